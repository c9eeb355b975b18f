// A pod whose log nobody reads: standard error is a named pipe that is full.
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, constants, openSync, readSync, writeSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type OpenAiSim, startOpenAiSim } from '../sim/openai/sim.ts'
import { startTwilioSim, type TwilioSim } from '../sim/twilio/sim.ts'
import { clinicScript, LISTEN, stay, TOKEN } from './plane.ts'

const MAIN = new URL('../src/main.ts', import.meta.url).pathname
const READY_MAX_MS = 20_000
const FORGERIES = 400

let model: OpenAiSim
let folder: string
before(async () => {
  model = await startOpenAiSim({ thinkMs: 100, scripts: [clinicScript([{ say: 'Good morning.' }])] })
  folder = await mkdtemp(join(tmpdir(), 'voiceplane-log-'))
})
after(async () => {
  await model.close()
  await rm(folder, { recursive: true, force: true })
})

/** Reads the pipe until the pod has said its address there. */
async function urlFrom(pipe: number): Promise<string> {
  const chunk = Buffer.alloc(65_536)
  const untilMs = performance.now() + READY_MAX_MS
  let text = ''
  while (performance.now() < untilMs) {
    try {
      text += chunk.toString('utf8', 0, readSync(pipe, chunk))
    } catch (error) {
      assert.equal((error as NodeJS.ErrnoException).code, 'EAGAIN')
    }
    const line = text.split('\n').find((one) => one.includes('the edge is listening') && one.endsWith('}'))
    if (line !== undefined) return (JSON.parse(line) as { url: string }).url
    await sleep(50)
  }
  return assert.fail(`the pod did not start: ${text}`)
}

/** Writes until the pipe takes nothing more. */
function fill(pipe: number): void {
  for (const bytes of [4_096, 1]) {
    try {
      for (;;) writeSync(pipe, Buffer.alloc(bytes, 0x2e))
    } catch (error) {
      assert.equal((error as NodeJS.ErrnoException).code, 'EAGAIN')
    }
  }
}

function carrierOf(url: string): Promise<TwilioSim> {
  return startTwilioSim({
    accountSid: `AC${'0'.repeat(31)}1`,
    authToken: TOKEN,
    number: '+15005550001',
    voiceUrl: `${url}/twilio/voice`,
    statusCallback: `${url}/twilio/status`,
    wsUrlRewrite: { [url.replace('http', 'wss')]: url.replace('http', 'ws') },
    verbTimeScale: 0.02,
  })
}

test('[S6] [LG3] a pod whose standard error is a full pipe answers forgeries, carries its calls on, takes new ones, and exits', async () => {
  const path = join(folder, 'stderr')
  assert.equal(spawnSync('mkfifo', [path]).status, 0)
  const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  const own = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK)
  // Another file description, which blocks as a process gets it.
  const given = openSync(path, constants.O_WRONLY)
  const env = {
    PORT: '0',
    OPENAI_REALTIME_URL: model.url,
    OPENAI_API_KEY: 'a-key-for-tests',
    TWILIO_AUTH_TOKEN: TOKEN,
    LOG_LEVEL: 'debug',
  }
  const child = spawn(process.execPath, [MAIN, 'edge'], { env, stdio: ['ignore', 'ignore', given] })
  const exit = once(child, 'exit')
  let carrier: TwilioSim | undefined
  try {
    const url = await urlFrom(reader)
    carrier = await carrierOf(url)
    const call = carrier.placeCall({ caller: stay(4_000) })
    await once(call, 'stream-opened')
    fill(own)
    const statuses = new Set<number>()
    for (let i = 0; i < FORGERIES; i += 1) {
      const answer = await fetch(`${url}/twilio/voice`, {
        method: 'POST',
        body: new URLSearchParams({ CallSid: 'CA1' }),
        signal: AbortSignal.timeout(10_000),
      })
      statuses.add(answer.status)
    }
    assert.deepEqual([...statuses], [403])
    const report = await call.done
    assert.deepEqual([report.wasDropped, report.endCause], [false, 'caller-hung-up'])
    const next = await carrier.placeCall({ caller: LISTEN }).done
    assert.deepEqual([next.wasDropped, next.scriptTimeouts], [false, []])
    assert.ok(next.agentPlayedMs > 0)
    child.kill('SIGTERM')
    const [code] = (await exit) as [number | null]
    assert.equal(code, 0)
  } finally {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL')
    await exit
    await carrier?.close()
    for (const pipe of [reader, own, given]) closeSync(pipe)
  }
})
