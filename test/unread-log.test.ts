// A pod whose log nobody reads: standard error is a pipe, or a socket, that is full.
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, constants, openSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { type OpenAiSim, startOpenAiSim } from '../sim/openai/sim.ts'
import { startTwilioSim, type TwilioSim } from '../sim/twilio/sim.ts'
import { until } from '../src/kit/testing/patience.ts'
import { pickPort } from '../tools/ports.ts'
import { LISTEN, stay, TOKEN } from './plane.ts'

const MAIN = new URL('../src/main.ts', import.meta.url).pathname
const FORGERIES = 400

let model: OpenAiSim
let folder: string
before(async () => {
  model = await startOpenAiSim({ thinkMs: 100, scripts: [{ name: 'weather', turns: [{ say: 'Good morning.' }] }] })
  folder = await mkdtemp(join(tmpdir(), 'voiceplane-log-'))
})
after(async () => {
  await model.close()
  await rm(folder, { recursive: true, force: true })
})

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

/**
 * An agent that fills standard error at its first call, and then starts a program which inherits it: libuv makes it wait again, for
 * all who share it.
 */
const AGENT = `import { spawnSync } from 'node:child_process'
import { agent } from ${JSON.stringify(new URL('./agents/simple.ts', import.meta.url).href)}
let isFull = false
export function createAgent() {
  if (!isFull) process.stderr.write('x'.repeat(1_000_000))
  if (!isFull) spawnSync('true', { stdio: 'inherit' })
  isFull = true
  return agent
}
`

/** Waits until the pod answers. */
async function ready(url: string): Promise<void> {
  await until('the pod answers', async () => {
    const answer = await fetch(`${url}/ready`, { signal: AbortSignal.timeout(1_000) }).catch(() => undefined)
    return answer?.ok === true
  })
}

/** A pipe that nobody reads. `given` is the end of the pod. */
function pipe(): { given: number; close: () => void } {
  const path = join(folder, 'stderr')
  assert.equal(spawnSync('mkfifo', [path]).status, 0)
  const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  const given = openSync(path, constants.O_WRONLY)
  return {
    given,
    close: () => {
      for (const end of [reader, given]) closeSync(end)
    },
  }
}

for (const kind of ['pipe', 'socket'] as const) {
  test(`[SAFE-10][S6] [LG3] [STE1] [STE2] a pod whose standard error is a full ${kind} answers forgeries, carries its calls on, takes new ones, and exits`, async () => {
    const file = join(folder, `agent-${kind}.ts`)
    await writeFile(file, AGENT)
    const port = await pickPort()
    const url = `http://127.0.0.1:${port}`
    const env = {
      PORT: String(port),
      OPENAI_REALTIME_URL: model.url,
      OPENAI_API_KEY: 'a-key-for-tests',
      TWILIO_AUTH_TOKEN: TOKEN,
      AGENT_MODULE: file,
      LOG_LEVEL: 'debug',
    }
    const unread = kind === 'pipe' ? pipe() : undefined
    // Node's own pipe to a child is a socket; it is not read as long as nobody listens.
    const child = spawn(process.execPath, [MAIN, 'edge'], { env, stdio: ['ignore', 'ignore', unread?.given ?? 'pipe'] })
    const exit = once(child, 'exit')
    let carrier: TwilioSim | undefined
    try {
      await ready(url)
      carrier = await carrierOf(url)
      const call = carrier.placeCall({ caller: stay(4_000) })
      await once(call, 'stream-opened')
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
      unread?.close()
    }
  })
}
