// The process: drains on the first signal, closes on the second, refuses a wrong configuration whole.
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { after, before, describe, test } from 'node:test'
import { type OpenAiSim, startOpenAiSim } from '../sim/openai/sim.ts'
import { openSpeech, type Speech } from '../sim/speech/speech.ts'
import { type CallerScript, startTwilioSim, type TwilioSim } from '../sim/twilio/sim.ts'
import { startWatch } from '../src/kit/testing/patience.ts'
import { ADMIN_TOKEN, clinicScript } from './plane.ts'
import { newCallSid } from './raw-carrier.ts'

const MAIN = new URL('../src/main.ts', import.meta.url).pathname
const READY_MAX_MS = 40_000
let model: OpenAiSim
let speech: Speech
before(async () => {
  model = await startOpenAiSim({
    thinkMs: 100,
    scripts: [clinicScript([{ say: 'Good morning.' }, { say: 'You are welcome.' }])],
  })
  speech = await openSpeech()
})
after(async () => {
  await model.close()
  await speech.close()
})

function start(env: Record<string, string>): ChildProcess {
  return spawn(process.execPath, [MAIN, 'edge'], { env: { ...env }, stdio: ['ignore', 'ignore', 'pipe'] })
}

type Pod = { child: ChildProcess; url: string; carrier: TwilioSim; exit: Promise<unknown[]> }

/** Runs `journey` on a pod in a process of its own; kills it if the journey has left it alive. */
async function withPod(env: Record<string, string>, journey: (pod: Pod) => Promise<void>): Promise<void> {
  const child = start({
    PORT: '0',
    OPENAI_REALTIME_URL: model.url,
    OPENAI_API_KEY: 'a-key-for-tests',
    ADMIN_TOKEN,
    ...env,
  })
  const exit = once(child, 'exit')
  let carrier: TwilioSim | undefined
  try {
    const url = await listening(child)
    carrier = await startTwilioSim({
      accountSid: `AC${'0'.repeat(31)}1`,
      authToken: 'any-token-will-do',
      number: '+15005550001',
      voiceUrl: `${url}/twilio/voice`,
      wsUrlRewrite: { [url.replace('http', 'wss')]: url.replace('http', 'ws') },
      verbTimeScale: 0.02,
    })
    await journey({ child, url, carrier, exit })
  } finally {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL')
    await exit
    await carrier?.close()
  }
}

/** The address in the line by which the pod says that it listens. */
function listening(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(reject, READY_MAX_MS, new Error('the pod does not listen'))
    createInterface({ input: child.stderr! }).on('line', (line) => {
      const url = line.includes('the edge is listening') ? (JSON.parse(line) as { url: string }).url : undefined
      if (url === undefined) return
      clearTimeout(timer)
      resolve(url)
    })
  })
}

async function liveCall({ carrier }: Pod, caller: CallerScript) {
  const call = carrier.placeCall({ caller })
  await once(call, 'stream-opened')
  await new Promise((resolve) => setTimeout(resolve, 300))
  return call
}

describe('a pod', { concurrency: 3 }, () => {
  test('[POD-5][OPS-1] on the first SIGTERM refuses new calls with 503, serves the live one to its end, and exits 0', () =>
    withPod({}, async (pod) => {
      const say = await speech.say('Thank you very much', 'rms')
      const finished = { waitForAgent: 'finished' as const, timeoutMs: 8_000 }
      const steps = [finished, { pauseMs: 400 }, { say }, finished, { hangUp: true as const }]
      const call = await liveCall(pod, { steps, maxMs: 20_000 })
      pod.child.kill('SIGTERM')
      await new Promise((resolve) => setTimeout(resolve, 200))
      const body = new URLSearchParams({
        CallSid: newCallSid(),
        From: '+15005550006',
        To: '+15005550001',
        CallStatus: 'ringing',
      })
      const refused = await fetch(`${pod.url}/twilio/voice`, { method: 'POST', body })
      assert.equal(refused.status, 503)
      assert.ok(Number(refused.headers.get('retry-after')) > 0)
      assert.equal((await fetch(`${pod.url}/ready`)).status, 503)
      assert.equal((await fetch(`${pod.url}/healthz`)).status, 200)
      const report = await call.done
      assert.deepEqual([report.wasDropped, report.endCause, report.scriptTimeouts], [false, 'caller-hung-up', []])
      assert.equal(report.voiceToVoiceMs.length, 1, 'the caller was not answered while the pod drained')
      assert.deepEqual(await pod.exit, [0, null])
    }))

  test('[POD-5] on the second SIGTERM closes at once and exits 0', () =>
    withPod({}, async (pod) => {
      const call = await liveCall(pod, { steps: [{ stayMs: 9_000 }], maxMs: 10_000 })
      pod.child.kill('SIGTERM')
      await new Promise((resolve) => setTimeout(resolve, 200))
      assert.equal(pod.child.exitCode, null, 'it did not wait for the live call')
      const sentAtWatch = startWatch()
      pod.child.kill('SIGTERM')
      assert.deepEqual(await pod.exit, [0, null])
      assert.ok(sentAtWatch.elapsedMs() < 2_000)
      await call.done
    }))

  test('[POD-6] at the drain deadline ends what is left, and the caller is told so by /twilio/next', () =>
    withPod({ DRAIN_DEADLINE_MS: '500' }, async (pod) => {
      const call = await liveCall(pod, { steps: [{ stayMs: 9_000 }], maxMs: 10_000, isEndedByAgent: true })
      pod.child.kill('SIGTERM')
      const report = await call.done
      assert.deepEqual(
        report.verbs.slice(-2).map(({ verb }) => verb),
        ['Say', 'Hangup'],
      )
      assert.deepEqual(await pod.exit, [0, null])
    }))

  test('without a call exits at once on SIGTERM', () =>
    withPod({}, async (pod) => {
      pod.child.kill('SIGTERM')
      assert.deepEqual(await pod.exit, [0, null])
    }))

  test('[P19] SIGTERM while the agent of a call is made: the webhook is answered, the call is served, then it exits 0', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'agent-'))
    const file = join(folder, 'agent.ts')
    await writeFile(
      file,
      `import { RealtimeAgent } from '@openai/agents-realtime'
export const createAgent = async () => {
  await new Promise((resolve) => setTimeout(resolve, 1_500))
  return new RealtimeAgent({ name: 'clinic', instructions: 'You answer.' })
}
`,
    )
    try {
      await withPod({ AGENT_MODULE: file }, async (pod) => {
        const call = pod.carrier.placeCall({ caller: { steps: [{ stayMs: 1_500 }, { hangUp: true }], maxMs: 20_000 } })
        await new Promise((resolve) => setTimeout(resolve, 400))
        pod.child.kill('SIGTERM')
        const report = await call.done
        assert.deepEqual([report.wasDropped, report.endCause, report.streams], [false, 'caller-hung-up', 1])
        assert.deepEqual(await pod.exit, [0, null])
      })
    } finally {
      await rm(folder, { recursive: true })
    }
  })

  test('[TOOL-8][P53][AF1][AF2] an agent that ends the process, or throws from a timer, ends nothing: its call and the others go on', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'agent-'))
    const file = join(folder, 'agent.ts')
    await writeFile(
      file,
      `import { RealtimeAgent, tool } from '@openai/agents-realtime'
const leave = tool({
  name: 'leave',
  description: 'Leaves.',
  parameters: { type: 'object', properties: {}, required: [], additionalProperties: false },
  execute: () => {
    setTimeout(() => { throw new Error('from a timer') }, 1)
    setTimeout(() => process.exit(4), 1)
    process.exit(3)
  },
})
export default new RealtimeAgent({ name: 'clinic', instructions: 'You answer.', tools: [leave] })
`,
    )
    const turns = [{ say: 'Hello.' }, { call: { name: 'leave', arguments: {} }, thenSay: 'I am still here.' }]
    const leaving = await startOpenAiSim({ thinkMs: 100, scripts: [{ name: 'leave', matchTools: ['leave'], turns }] })
    const lines: string[] = []
    try {
      await withPod({ AGENT_MODULE: file, OPENAI_REALTIME_URL: leaving.url }, async (pod) => {
        createInterface({ input: pod.child.stderr! }).on('line', (line) => lines.push(line))
        const say = await speech.say('Thank you very much', 'rms')
        const finished = { waitForAgent: 'finished' as const, timeoutMs: 8_000 }
        const other = await liveCall(pod, { steps: [{ stayMs: 9_000 }, { hangUp: true }], maxMs: 20_000 })
        const steps = [finished, { pauseMs: 400 }, { say }, finished, { hangUp: true as const }]
        const report = await (await liveCall(pod, { steps, maxMs: 20_000 })).done
        assert.deepEqual([report.wasDropped, report.endCause, report.scriptTimeouts], [false, 'caller-hung-up', []])
        const beside = await other.done
        assert.deepEqual([beside.wasDropped, beside.endCause], [false, 'caller-hung-up'])
        assert.deepEqual([pod.child.exitCode, pod.child.signalCode], [null, null])
      })
      const told = lines.filter((line) => line.includes('AGENT_FAILED'))
      for (const what of ['process.exit(3)', 'process.exit(4)', 'from a timer'])
        assert.ok(
          told.some((line) => line.includes(what) && line.includes(`${file}:`)),
          `${what} in ${told.join('\n')}`,
        )
    } finally {
      await leaving.close()
      await rm(folder, { recursive: true })
    }
  })

  const drain = async ({ url }: Pod) => {
    const headers = { authorization: `Bearer ${ADMIN_TOKEN}` }
    assert.equal((await fetch(`${url}/drain`, { method: 'POST', headers })).status, 200)
  }

  test('[POD-5][O2] after POST /drain serves the live call to its end, then exits 0 without a signal', () =>
    withPod({}, async (pod) => {
      const call = await liveCall(pod, { steps: [{ stayMs: 1_500 }, { hangUp: true }], maxMs: 20_000 })
      await drain(pod)
      await drain(pod)
      const report = await call.done
      assert.deepEqual([report.wasDropped, report.endCause], [false, 'caller-hung-up'])
      assert.deepEqual(await pod.exit, [0, null])
    }))

  test('[O2] after POST /drain without a call exits 0', () =>
    withPod({}, async (pod) => {
      await drain(pod)
      assert.deepEqual(await pod.exit, [0, null])
    }))

  test('[O2] after POST /drain the first SIGTERM goes on to wait, the second lets the call go, and it exits 0', () =>
    withPod({}, async (pod) => {
      const call = await liveCall(pod, { steps: [{ stayMs: 15_000 }], maxMs: 16_000 })
      await drain(pod)
      pod.child.kill('SIGTERM')
      await new Promise((resolve) => setTimeout(resolve, 300))
      assert.equal(pod.child.exitCode, null, 'it did not wait for the live call')
      pod.child.kill('SIGTERM')
      assert.deepEqual(await pod.exit, [0, null])
      await call.done
    }))

  test('[O2] that cannot come up, since its agent never loads, ends on the second SIGTERM', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'agent-'))
    const file = join(folder, 'agent.ts')
    await writeFile(
      file,
      "process.stderr.write('loading\\n')\nawait new Promise((resolve) => setTimeout(resolve, 3_600_000))\n",
    )
    const child = start({ PORT: '0', OPENAI_API_KEY: 'a-key-for-tests', AGENT_MODULE: file })
    const exit = once(child, 'exit')
    try {
      await once(child.stderr!, 'data')
      child.kill('SIGTERM')
      await new Promise((resolve) => setTimeout(resolve, 300))
      child.kill('SIGTERM')
      assert.deepEqual(await exit, [0, null])
    } finally {
      child.kill('SIGKILL')
      await rm(folder, { recursive: true })
    }
  })

  test('[DEPLOY-1][CF2] that is configured wrongly tells every problem by name with its fix, and exits 78', async () => {
    const child = start({
      PORT: 'many',
      CALLS_MAX: '0',
      LOG_LEVEL: 'loud',
      TWILIO_AUTH_TOKEN_SECONDARY: 'a-lonely-one',
    })
    let text = ''
    child.stderr!.on('data', (part) => (text += String(part)))
    const [code] = (await once(child, 'close')) as [number]
    assert.equal(code, 78)
    for (const name of ['PORT', 'CALLS_MAX', 'LOG_LEVEL', 'TWILIO_AUTH_TOKEN_SECONDARY']) {
      assert.match(text, new RegExp(`^ {2}${name}: .+; .+`, 'm'))
    }
    assert.doesNotMatch(text, /a-lonely-one/, 'a secret is shown')
  })
})
