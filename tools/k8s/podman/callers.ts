// Callers of the run: simulated calls through the ingress, with real sockets and sound.
import { once } from 'node:events'
import { type CallReport, startTwilioSim } from '../../../sim/twilio/sim.ts'

const OPEN_MAX_MS = 40_000
const NUMBER = '+15005550001'
/** As a carrier needs them: from the end of a stream to its question, and from the answer to the next stream. */
const AFTER_STREAM = { actionMs: 200, openMs: 200 }

type Callers = {
  /** Resolves with each call's report when all have hung up. */
  done: Promise<CallReport[]>

  close(): Promise<void>
}

/** Places `count` calls that stay for `stayMs` and hang up; resolves when each has its stream. */
export async function placeCallers(options: {
  port: number
  baseUrl: string
  authToken: string
  count: number
  stayMs: number
}): Promise<Callers> {
  const { port, baseUrl, authToken, count, stayMs } = options
  const sim = await startTwilioSim({
    accountSid: `AC${'1'.repeat(32)}`,
    authToken,
    number: NUMBER,
    voiceUrl: `${baseUrl}/twilio/voice`,
    httpUrlRewrite: { [baseUrl]: `http://127.0.0.1:${port}` },
    wsUrlRewrite: { [baseUrl.replace('https', 'wss')]: `ws://127.0.0.1:${port}` },
    afterStream: AFTER_STREAM,
    verbTimeScale: 0.1,
  })
  const caller = { steps: [{ stayMs }, { hangUp: true as const }], maxMs: stayMs + 10_000 }
  try {
    const calls = Array.from({ length: count }, () => sim.placeCall({ caller }))
    const signal = AbortSignal.timeout(OPEN_MAX_MS)
    await Promise.all(calls.map((call) => once(call, 'stream-opened', { signal })))
    return { done: Promise.all(calls.map((call) => call.done)), close: () => sim.close() }
  } catch (error) {
    await sim.close()
    throw error
  }
}
