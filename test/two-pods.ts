// Two pods of one fleet in this process, which share leases and records, with the simulators of model and carrier on real sockets.
// What each pod says to the model is noted, so that a journey can hold a call after its move to what it was before.
import assert from 'node:assert/strict'
import { getExpectedTwilioSignature } from 'twilio/lib/webhooks/webhooks.js'
import type { Script } from '../sim/openai/dialogue/script.ts'
import { type OpenAiSim, startOpenAiSim } from '../sim/openai/sim.ts'
import type { CallerScript } from '../sim/twilio/media/script.ts'
import type { AfterStreamDelays, DialAnswer } from '../sim/twilio/options.ts'
import { startTwilioSim, type TwilioSim } from '../sim/twilio/sim.ts'
import type { Call } from '../src/call/call.ts'
import type { TranscriptItem } from '../src/call/transcript.ts'
import { readConfig } from '../src/config.ts'
import { LEASE_TIMES } from '../src/control/ports.ts'
import type { CallRecords } from '../src/control/records.ts'
import { type Edge, startEdge } from '../src/edge.ts'
import { systemClock } from '../src/kit/clock.ts'
import type { CallSid } from '../src/kit/ids.ts'
import { until } from '../src/kit/testing/patience.ts'
import { Wheel } from '../src/kit/wheel.ts'
import type { Pack } from '../src/packs/pack.ts'
import { makeMemoryLeases } from '../src/store/leases/memory.ts'
import { CheckpointWriter } from '../src/store/records/checkpoint-writer.ts'
import { openRecords } from '../src/store/records/open.ts'
import { FrozenWire } from './frozen-wire.ts'
import { type ClientEvent, ModelRelay } from './model-relay.ts'
import { keepingLog, type LogLine, TOKEN } from './plane.ts'

const PUBLIC = 'https://plane.example.test'
/** A pod that drains waits ten seconds for calls that are on their way to it. */
const PODS = 2

/** A session configuration as the plane put it on the wire. */
export type WireSession = {
  instructions?: string
  tools?: { name: string }[]
  audio: { input: Record<string, unknown>; output: Record<string, unknown> }
} & Record<string, unknown>

type TwoPodsParts = {
  /** The pack of each pod: another process has other objects. */
  pack: (pod: string) => Pack
  script: Script
  env?: Record<string, string>
  /** How long the carrier takes to ask after a stream, and to open the next. */
  afterStream?: AfterStreamDelays
  /** What a number that is dialled does. */
  dial?: (number: string) => DialAnswer
}

export class TwoPods {
  readonly edges: Edge[] = []
  readonly logs: LogLine[] = []
  readonly relay: ModelRelay
  readonly records: CallRecords
  readonly model: OpenAiSim
  readonly #carrier: TwilioSim
  readonly #wires: FrozenWire[] = []
  readonly #wheel: Wheel
  readonly #dialled: Record<string, string>

  private constructor(
    parts: Pick<TwoPods, 'relay' | 'records' | 'model'> & {
      carrier: TwilioSim
      wheel: Wheel
      dialled: Record<string, string>
    },
  ) {
    this.relay = parts.relay
    this.records = parts.records
    this.model = parts.model
    this.#carrier = parts.carrier
    this.#wheel = parts.wheel
    this.#dialled = parts.dialled
  }

  /** Runs `journey` on two pods; the carrier reaches the first. */
  static async with(parts: TwoPodsParts, journey: (pods: TwoPods) => Promise<void>): Promise<void> {
    const wheel = new Wheel({ clock: systemClock, onError: (error) => assert.fail(String(error)) })
    const records = await openRecords({ kind: 'memory' })
    const model = await startOpenAiSim({ thinkMs: 50, scripts: [parts.script] })
    const relay = await ModelRelay.open(model.url)
    const dialled: Record<string, string> = {}
    const carrier = await startTwilioSim({
      accountSid: `AC${'0'.repeat(31)}1`,
      authToken: TOKEN,
      number: '+15005550001',
      voiceUrl: `${PUBLIC}/twilio/voice`,
      httpUrlRewrite: dialled,
      wsUrlRewrite: dialled,
      verbTimeScale: 0.02,
      ...(parts.afterStream === undefined ? {} : { afterStream: parts.afterStream }),
      ...(parts.dial === undefined ? {} : { dial: parts.dial }),
    })
    const pods = new TwoPods({ relay, records, model, carrier, wheel, dialled })
    try {
      await pods.#start(parts)
      await journey(pods)
      const errors = pods.logs.filter(({ level }) => level === 'error')
      assert.deepEqual(errors, [], 'the pods logged errors')
    } finally {
      await pods.#close()
    }
  }

  place(caller: CallerScript) {
    return this.#carrier.placeCall({ caller })
  }

  call(pod: number, callSid: string): Call | undefined {
    return this.edges[pod]!.pod.calls.get(callSid as CallSid)?.call
  }

  items(pod: number, callSid: string): readonly TranscriptItem[] {
    return this.call(pod, callSid)?.state.transcript.items ?? []
  }

  /** The pod is gone for everybody, as if it was killed; the carrier finds the other one. */
  async kill(pod: number): Promise<void> {
    this.#reach(1 - pod)
    this.#wires[pod]!.cut()
    await this.edges[pod]!.pod.keeper.stop()
  }

  /** Every model link is cut; the pods live. */
  dropLinks(): void {
    this.relay.drop()
  }

  /** The carrier's requests go to this pod, whose calls or not. */
  reach(pod: number): void {
    this.#reach(pod)
  }

  /** The carrier asks the pod what follows the call, and loses its answer. */
  async askInVain(pod: number, callSid: string, fields: Record<string, string>): Promise<void> {
    const path = `/twilio/next?pod=pod-${pod}`
    const form = { CallSid: callSid, CallStatus: 'in-progress', From: '', To: '', Direction: 'inbound', ...fields }
    const signature = getExpectedTwilioSignature(TOKEN, PUBLIC + path, form)
    const headers = { 'x-twilio-signature': signature }
    const answer = await fetch(this.edges[pod]!.url + path, {
      method: 'POST',
      headers,
      body: new URLSearchParams(form),
    })
    assert.equal(answer.status, 200)
  }

  /** The pod hands its calls over; new streams find the other one. */
  drain(pod: number): void {
    this.#reach(1 - pod)
    void this.edges[pod]!.pod.drain()
  }

  /** What the last checkpoint of the call says. */
  async checkpoint(callSid: string): Promise<string> {
    return (await this.records.find(callSid as CallSid))?.checkpoint ?? ''
  }

  async until(what: string, isSo: () => boolean | Promise<boolean>): Promise<void> {
    await until(() => `${what}; logged: ${JSON.stringify(this.logs.slice(-5))}`, isSo)
  }

  /** What was said to the model in a session, oldest session first. */
  told(session: number): ClientEvent[] {
    return this.relay.sessions.at(session) ?? []
  }

  /** The configurations of a session, in order. */
  configurations(session: number): WireSession[] {
    return this.told(session)
      .filter(({ type }) => type === 'session.update')
      .map((event) => event.session as WireSession)
  }

  async #start(parts: TwoPodsParts): Promise<void> {
    const leases = makeMemoryLeases({ times: { ...LEASE_TIMES, recoveringMs: 0 }, nowMs: () => performance.now() })
    for (let i = 0; i < PODS; i += 1) {
      const name = `pod-${i}`
      let edge: Edge | undefined
      const wire = await FrozenWire.open(() => Number(new URL(edge!.url).port))
      this.#wires.push(wire)
      const reading = readConfig({
        PORT: '0',
        POD_NAME: name,
        POD_ADDRESS: `http://127.0.0.1:${wire.port}`,
        PUBLIC_BASE_URL: PUBLIC,
        OPENAI_REALTIME_URL: this.relay.url,
        OPENAI_API_KEY: 'a-key-for-tests',
        STREAM_TOKEN_SECRET: 's'.repeat(32),
        TWILIO_AUTH_TOKEN: TOKEN,
        DRAIN_NATURAL_MS: '0',
        ...parts.env,
      })
      if (reading.kind === 'invalid') assert.fail(JSON.stringify(reading.problems))
      const log = keepingLog(this.logs, { pod: name })
      const onFenced = (callSid: CallSid) => edge?.pod.fenced(callSid)
      const checkpoints = new CheckpointWriter({ records: this.records, wheel: this.#wheel, log, onFenced })
      const stores = { isAlone: false, leases, records: this.records, checkpoints, close: async () => {} }
      edge = await startEdge({ config: reading.config, pack: parts.pack(name), log, stores })
      this.edges.push(edge)
    }
    this.#reach(0)
  }

  #reach(pod: number): void {
    const { port } = this.#wires[pod]!
    this.#dialled[PUBLIC] = `http://127.0.0.1:${port}`
    this.#dialled[PUBLIC.replace('https', 'wss')] = `ws://127.0.0.1:${port}`
  }

  async #close(): Promise<void> {
    await this.#carrier.close()
    for (const wire of this.#wires) await wire.close()
    for (const edge of this.edges) await edge.close()
    await this.relay.close()
    await this.model.close()
    this.#wheel.close()
  }
}
