// One agent on a fleet of two pods in this process, with a model and a carrier of its own, all on real sockets: what a call of
// that agent goes through, link and pod included.
import assert from 'node:assert/strict'
import type { Script } from '../../sim/openai/dialogue/script.ts'
import { type OpenAiSim, startOpenAiSim } from '../../sim/openai/sim.ts'
import { type CallerScript, type CallReport, startTwilioSim, type TwilioSim } from '../../sim/twilio/sim.ts'
import type { TranscriptItem } from '../../src/call/transcript.ts'
import { readConfig } from '../../src/config.ts'
import { LEASE_TIMES } from '../../src/control/ports.ts'
import { type Edge, startEdge } from '../../src/edge.ts'
import { systemClock } from '../../src/kit/clock.ts'
import type { CallSid } from '../../src/kit/ids.ts'
import { until } from '../../src/kit/testing/patience.ts'
import { Wheel } from '../../src/kit/wheel.ts'
import type { Pack } from '../../src/packs/pack.ts'
import { makeMemoryLeases } from '../../src/store/leases/memory.ts'
import { CheckpointWriter } from '../../src/store/records/checkpoint-writer.ts'
import { openRecords } from '../../src/store/records/open.ts'
import { keepingLog, type LogLine } from '../plane.ts'

const ACCOUNT = `AC${'0'.repeat(31)}1`
const TOKEN = '0123456789abcdef0123456789abcdef'
const PUBLIC = 'https://plane.example.test'
const RENEW_EVERY_MS = 250
/**
 * All pods of a test share one process: when it stalls, each of them sees its own lag and asks for no calls. Of two such pods the
 * fleet keeps the one whose name comes first, which has to be the one that calls move to.
 */
const NAMES = ['pod-b', 'pod-a'] as const

/** A live call on one of the pods. */
type LiveCall = { callSid: CallSid; hangUp(): void; done: Promise<CallReport> }

export class TwoPods {
  readonly edges: Edge[] = []
  readonly log: LogLine[] = []
  readonly #dialled: Record<string, string> = {}
  readonly #wheel = new Wheel({ clock: systemClock, onError: (error) => assert.fail(String(error)) })
  model!: OpenAiSim
  carrier!: TwilioSim

  /** `makePack` is asked once for each pod. */
  static async open(makePack: () => Promise<Pack>, script: Script): Promise<TwoPods> {
    const pods = new TwoPods()
    const times = { ...LEASE_TIMES, recoveringMs: 0 }
    const leases = makeMemoryLeases({ times, nowMs: () => performance.now() })
    const records = await openRecords({ kind: 'memory' })
    const log = keepingLog(pods.log)
    pods.model = await startOpenAiSim({ thinkMs: 50, scripts: [script] })
    for (const name of NAMES) {
      let edge: Edge | undefined
      const reading = readConfig({
        PORT: '0',
        POD_NAME: name,
        PUBLIC_BASE_URL: PUBLIC,
        OPENAI_REALTIME_URL: pods.model.url,
        OPENAI_API_KEY: 'a-key-for-tests',
        STREAM_TOKEN_SECRET: 's'.repeat(32),
        TWILIO_AUTH_TOKEN: TOKEN,
        DRAIN_NATURAL_MS: '0',
      })
      if (reading.kind === 'invalid') assert.fail(JSON.stringify(reading.problems))
      const onFenced = (callSid: CallSid) => edge?.pod.fenced(callSid)
      const checkpoints = new CheckpointWriter({ records, wheel: pods.#wheel, log, onFenced })
      const stores = { isAlone: false, leases, records, checkpoints, close: async () => {} }
      edge = await startEdge({ config: reading.config, pack: await makePack(), log, stores })
      pods.edges.push(edge)
    }
    pods.carrier = await startTwilioSim({
      accountSid: ACCOUNT,
      authToken: TOKEN,
      number: '+15005550001',
      voiceUrl: `${PUBLIC}/twilio/voice`,
      statusCallback: `${PUBLIC}/twilio/status`,
      httpUrlRewrite: pods.#dialled,
      wsUrlRewrite: pods.#dialled,
      verbTimeScale: 0.02,
    })
    pods.reach(0)
    return pods
  }

  /** From now on the carrier's requests and new streams go to this pod. */
  reach(pod: number): void {
    const { url } = this.edges[pod]!
    this.#dialled[PUBLIC] = url
    this.#dialled[PUBLIC.replace('https', 'wss')] = url.replace('http', 'ws')
  }

  place(caller: CallerScript): LiveCall {
    const call = this.carrier.placeCall({ caller })
    return { callSid: call.callSid as CallSid, hangUp: () => call.hangUp(), done: call.done }
  }

  /** The transcript as the pod has it; empty when the call is not there. */
  items(pod: number, { callSid }: LiveCall): readonly TranscriptItem[] {
    return this.edges[pod]!.pod.calls.get(callSid)?.call.state.transcript.items ?? []
  }

  /** Standing faults of the model. */
  async fault(faults: object): Promise<void> {
    const answer = await fetch(`${this.model.controlUrl}/faults`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ set: faults }),
    })
    assert.equal(answer.status, 200, await answer.text())
  }

  /** The first pod is told to stop at once: its calls resume at the second. */
  async move(call: LiveCall): Promise<void> {
    this.reach(1)
    for (let signals = 0; signals < 2; signals += 1) this.edges[0]!.pod.driver.signal()
    const hasMoved = () => this.items(1, call).length > 0 && this.items(0, call).length === 0
    // It is known to be the last sooner than by its heartbeat.
    const timer = setInterval(() => void this.edges[1]!.pod.keeper.renewNow(), RENEW_EVERY_MS)
    await this.until('the call at the other pod', hasMoved).finally(() => clearInterval(timer))
  }

  /** Errors that were logged, but for the desk's waiting while the only pod left was not yet known to be the last. */
  errors(): LogLine[] {
    const isWait = ({ reason }: LogLine) => reason === 'no pod can take the call now'
    return this.log.filter((line) => line.level === 'error' && !isWait(line))
  }

  async until(what: string, isSo: () => boolean): Promise<void> {
    await until(() => `${what}; logged: ${JSON.stringify(this.log.slice(0, 5))}`, isSo)
  }

  async close(): Promise<void> {
    await this.carrier?.close()
    for (const edge of this.edges) await edge.close()
    await this.model?.close()
    this.#wheel.close()
  }
}
