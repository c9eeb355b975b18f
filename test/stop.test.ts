// The process: drains on the first signal, closes on the second, refuses a wrong configuration whole.
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { after, before, test } from 'node:test'
import { type OpenAiSim, startOpenAiSim } from '../sim/openai/sim.ts'
import { startTwilioSim } from '../sim/twilio/sim.ts'

const MAIN = new URL('../src/main.ts', import.meta.url).pathname
let model: OpenAiSim
before(async () => {
  model = await startOpenAiSim({})
})
after(() => model.close())

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  server.close()
  await once(server, 'close')
  return port
}

function start(env: Record<string, string>): ChildProcess {
  return spawn(process.execPath, [MAIN, 'edge'], {
    env: { PATH: process.env.PATH, ...env },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
}

async function ready(url: string): Promise<void> {
  for (let tries = 0; tries < 200; tries += 1) {
    const answer = await fetch(`${url}/ready`).catch(() => undefined)
    if (answer?.status === 200) return
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  assert.fail('the edge did not become ready')
}

/** A pod with one live call. */
async function podWithCall(): Promise<{
  pod: ChildProcess
  url: string
  call: ReturnType<Awaited<ReturnType<typeof startTwilioSim>>['placeCall']>
  close(): Promise<void>
}> {
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const pod = start({
    PORT: String(port),
    OPENAI_REALTIME_URL: model.url,
    OPENAI_API_KEY: 'a-key-for-tests',
    LOG_LEVEL: 'error',
  })
  await ready(url)
  const carrier = await startTwilioSim({
    accountSid: `AC${'0'.repeat(31)}1`,
    authToken: 'any-token-will-do',
    number: '+15005550001',
    voiceUrl: `${url}/twilio/voice`,
    wsUrlRewrite: { [url.replace('http', 'wss')]: url.replace('http', 'ws') },
    verbTimeScale: 0.02,
  })
  const call = carrier.placeCall({ caller: { steps: [{ stayMs: 4_000 }, { hangUp: true }], maxMs: 20_000 } })
  await once(call, 'stream-opened')
  return { pod, url, call, close: () => carrier.close() }
}

test('the first SIGTERM refuses new calls with 503, keeps the live one to its end, and exits 0', async () => {
  const { pod, url, call, close } = await podWithCall()
  const exited = once(pod, 'exit')
  await new Promise((resolve) => setTimeout(resolve, 500))
  pod.kill('SIGTERM')
  await new Promise((resolve) => setTimeout(resolve, 200))
  const body = new URLSearchParams({
    CallSid: `CA${'f'.repeat(32)}`,
    From: '+15005550006',
    To: '+15005550001',
    CallStatus: 'ringing',
  })
  const refused = await fetch(`${url}/twilio/voice`, { method: 'POST', body })
  assert.equal(refused.status, 503)
  assert.equal((await fetch(`${url}/ready`)).status, 503)
  assert.equal((await fetch(`${url}/healthz`)).status, 200)
  const report = await call.done
  assert.equal(report.wasDropped, false)
  assert.equal(report.endCause, 'caller-hung-up')
  assert.deepEqual(await exited, [0, null])
  await close()
})

test('the second SIGTERM closes at once', async () => {
  const { pod, call, close } = await podWithCall()
  const exited = once(pod, 'exit')
  pod.kill('SIGTERM')
  await new Promise((resolve) => setTimeout(resolve, 200))
  const sentAt = performance.now()
  pod.kill('SIGTERM')
  assert.deepEqual(await exited, [0, null])
  assert.ok(performance.now() - sentAt < 3_000)
  await call.done
  await close()
})

test('the drain deadline ends what is left; the caller is told so by /twilio/next', async () => {
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const pod = start({
    PORT: String(port),
    OPENAI_REALTIME_URL: model.url,
    OPENAI_API_KEY: 'a-key-for-tests',
    LOG_LEVEL: 'error',
    DRAIN_DEADLINE_MS: '500',
  })
  await ready(url)
  const carrier = await startTwilioSim({
    accountSid: `AC${'0'.repeat(31)}1`,
    authToken: 'any-token-will-do',
    number: '+15005550001',
    voiceUrl: `${url}/twilio/voice`,
    wsUrlRewrite: { [url.replace('http', 'wss')]: url.replace('http', 'ws') },
    verbTimeScale: 0.02,
  })
  const call = carrier.placeCall({ caller: { steps: [{ stayMs: 15_000 }], maxMs: 20_000, isEndedByAgent: true } })
  await once(call, 'stream-opened')
  const exited = once(pod, 'exit')
  pod.kill('SIGTERM')
  const report = await call.done
  assert.deepEqual(
    report.verbs.slice(-2).map(({ verb }) => verb),
    ['Say', 'Hangup'],
  )
  assert.deepEqual(await exited, [0, null])
  await carrier.close()
})

test('[CF2] a wrong configuration is refused whole, with exit code 78', async () => {
  const pod = start({ PORT: 'many', CALLS_MAX: '0', LOG_LEVEL: 'loud' })
  let text = ''
  pod.stderr!.on('data', (part) => (text += String(part)))
  const [code] = (await once(pod, 'close')) as [number]
  assert.equal(code, 78)
  for (const name of ['PORT', 'CALLS_MAX', 'LOG_LEVEL']) assert.match(text, new RegExp(`^ {2}${name}: `, 'm'))
})
