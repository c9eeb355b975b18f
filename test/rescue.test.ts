// Calls of a pod that has gone without a word, looked after by the others: three pods of one fleet in this process, model and
// carrier simulators, the carrier's REST, all on real sockets; the time of the leases runs ahead of the clock.
import assert from 'node:assert/strict'
import { afterEach, suite, test } from 'node:test'
import { type OpenAiSim, startOpenAiSim } from '../sim/openai/sim.ts'
import type { TwilioSimOptions } from '../sim/twilio/options.ts'
import { startTwilioSim, type TwilioSim } from '../sim/twilio/sim.ts'
import { readConfig } from '../src/config.ts'
import { LEASE_TIMES, type LeaseStore } from '../src/control/ports.ts'
import type { CallRecords, EndRequest } from '../src/control/records.ts'
import { type Edge, startEdge } from '../src/edge.ts'
import { systemClock } from '../src/kit/clock.ts'
import type { CallSid } from '../src/kit/ids.ts'
import { silentLog } from '../src/kit/log.ts'
import { until } from '../src/kit/testing/patience.ts'
import { Wheel } from '../src/kit/wheel.ts'
import { makeClinicPack } from '../src/packs/clinic/clinic.ts'
import { makeMemoryLeases } from '../src/store/leases/memory.ts'
import { CheckpointWriter } from '../src/store/records/checkpoint-writer.ts'
import { openRecords } from '../src/store/records/open.ts'
import { FrozenWire } from './frozen-wire.ts'

const ACCOUNT = `AC${'0'.repeat(31)}1`
const TOKEN = '0123456789abcdef0123456789abcdef'
const ADMIN_TOKEN = 'an-operators-token-for-the-tests'
const PUBLIC = 'https://plane.example.test'
/** A step that no store takes for a jump of its clock. */
const STEP_MS = 9_000
/** The sweep is so often that every pod finds every call, whoever reaped it. */
const RESCUE_TIMES = { lookMs: 100, sweepMs: 100, absentMs: 400, endedMs: 600, takeMs: 1_000 }

class Ground {
  #aheadMs = 0
  readonly leases: LeaseStore
  records!: CallRecords
  /** What became of each end that was written. */
  readonly ends: string[] = []
  readonly edges: Edge[] = []
  readonly wires: FrozenWire[] = []
  model!: OpenAiSim
  carrier!: TwilioSim
  readonly #dialled: Record<string, string> = {}
  readonly #wheel = new Wheel({ clock: systemClock, onError: (error) => assert.fail(String(error)) })

  private constructor() {
    const times = { ...LEASE_TIMES, recoveringMs: 0 }
    this.leases = makeMemoryLeases({ times, nowMs: () => performance.now() + this.#aheadMs })
  }

  /** `pods` pods; the carrier reaches the first. */
  static async open(pods: number, options: { hasRest?: boolean; carrier?: Partial<TwilioSimOptions> } = {}) {
    const ground = new Ground()
    grounds.push(ground)
    ground.records = ground.#counted(await openRecords({ kind: 'memory' }))
    ground.model = await startOpenAiSim({ thinkMs: 50 })
    ground.carrier = await startTwilioSim({
      accountSid: ACCOUNT,
      authToken: TOKEN,
      number: '+15005550001',
      voiceUrl: `${PUBLIC}/twilio/voice`,
      httpUrlRewrite: ground.#dialled,
      wsUrlRewrite: ground.#dialled,
      verbTimeScale: 0.02,
      ...options.carrier,
    })
    for (let i = 0; i < pods; i += 1) await ground.#startPod(`pod-${i}`, options.hasRest ?? true)
    ground.reach(0)
    return ground
  }

  /** From now on the carrier's requests go to this pod. */
  reach(pod: number): void {
    const { port } = this.wires[pod]!
    this.#dialled[PUBLIC] = `http://127.0.0.1:${port}`
    this.#dialled[PUBLIC.replace('https', 'wss')] = `ws://127.0.0.1:${port}`
  }

  /** The pod is cut off from everybody, without a word. */
  async lose(pod: number, how: 'freeze' | 'cut' = 'freeze'): Promise<void> {
    this.wires[pod]![how]()
    await this.edges[pod]!.pod.keeper.stop()
  }

  /** The time of the leases moves on; pods that live renew meanwhile. */
  async pass(ms: number, lost: number): Promise<void> {
    for (let left = ms; left > 0; left -= STEP_MS) {
      this.#aheadMs += Math.min(STEP_MS, left)
      await this.leases.usage()
      for (const [pod, edge] of this.edges.entries()) if (pod !== lost) await edge.pod.keeper.renewNow()
    }
  }

  /** Sum over the pods of `voice_rescues_total{outcome}`. */
  async rescues(outcome: string): Promise<number> {
    const pages = await Promise.all(
      this.edges.map(async ({ url }) =>
        (await fetch(`${url}/metrics`, { headers: { authorization: `Bearer ${ADMIN_TOKEN}` } })).text(),
      ),
    )
    const counts = pages.map((page) => page.match(`voice_rescues_total{outcome="${outcome}"} (\\d+)`)?.[1])
    return counts.reduce((sum, count) => sum + Number(count ?? 0), 0)
  }

  async close(): Promise<void> {
    await this.carrier.close()
    for (const wire of this.wires) await wire.close()
    for (const edge of this.edges) await edge.close()
    await this.model.close()
    this.#wheel.close()
  }

  #counted(records: CallRecords): CallRecords {
    const end = records.end.bind(records)
    records.end = async (request: EndRequest) => {
      const ended = await end(request)
      this.ends.push(`${ended.kind} ${request.cause}`)
      return ended
    }
    return records
  }

  async #startPod(name: string, hasRest: boolean): Promise<void> {
    let edge: Edge | undefined
    const wire = await FrozenWire.open(() => Number(new URL(edge!.url).port))
    this.wires.push(wire)
    const reading = readConfig({
      PORT: '0',
      POD_NAME: name,
      POD_ADDRESS: `http://127.0.0.1:${wire.port}`,
      PUBLIC_BASE_URL: PUBLIC,
      OPENAI_REALTIME_URL: this.model.url,
      OPENAI_API_KEY: 'a-key-for-tests',
      STREAM_TOKEN_SECRET: 's'.repeat(32),
      TWILIO_AUTH_TOKEN: TOKEN,
      ADMIN_TOKEN,
      ...(hasRest ? { TWILIO_ACCOUNT_SID: ACCOUNT, TWILIO_API_BASE_URL: this.carrier.restUrl } : {}),
    })
    if (reading.kind === 'invalid') assert.fail(JSON.stringify(reading.problems))
    const { leases, records } = this
    const onFenced = (callSid: CallSid) => edge?.pod.fenced(callSid)
    const checkpoints = new CheckpointWriter({ records, wheel: this.#wheel, log: silentLog, onFenced })
    const stores = { isAlone: false, leases, records, checkpoints, close: async () => {} }
    const pack = makeClinicPack({ clock: systemClock, log: silentLog })
    edge = await startEdge({ config: reading.config, pack, log: silentLog, stores, rescueTimes: RESCUE_TIMES })
    this.edges.push(edge)
  }
}

const grounds: Ground[] = []
afterEach(async () => {
  for (const ground of grounds.splice(0)) await ground.close()
})

const STAYS = { steps: [{ stayMs: 30_000 }], maxMs: 40_000 }

suite('a pod goes without a word', () => {
  test('[POD-1][RU2][RX2] its caller is sent to another pod and talks on; the lost pod acts no more', async () => {
    const ground = await Ground.open(2)
    const call = ground.carrier.placeCall({ caller: STAYS })
    const callSid = call.callSid as CallSid
    const [first, second] = ground.edges.map(({ pod }) => pod)
    const greeted = () => first!.calls.get(callSid)?.call.state.transcript.items.length ?? 0
    await until('the greeting', () => greeted() > 0)
    await until('its checkpoint', async () => (await ground.records.find(callSid))?.checkpoint !== undefined)
    await ground.lose(0)
    ground.reach(1)
    await ground.pass(14_000, 0)
    assert.equal(second!.calls.size, 0, 'too early: the lease is not suspect yet')
    await ground.pass(12_000, 0)
    await until('the call at the second pod', () => second!.calls.get(callSid)?.isActive === true)
    const answered = () => second!.calls.get(callSid)!.call.state.transcript.items.length
    await until('the agent speaks again', () => answered() > greeted())
    await until('its voice is on its way', () => (second!.calls.get(callSid)?.call.remainingMs ?? 0) > 0)
    // On a full machine the carrier hears it later than the pod has sent it.
    await until('the caller hears it', () => call.record.ear.utterances >= 2)
    const row = await ground.records.find(callSid)
    assert.deepEqual([row?.state, row?.epoch, row?.pod, row?.resumes], ['live', 2, 'pod-1', 1])
    assert.equal((await ground.leases.usage()).inUse, 1)
    assert.equal(await ground.rescues('redirected'), 1)
    call.hangUp()
    const report = await call.done
    assert.deepEqual([report.streams, report.endCause], [2, 'caller-hung-up'])
    assert.ok(report.utterances >= 2, `utterances heard: ${report.utterances}`)
    await until('one end', () => ground.ends.length > 0)
    assert.deepEqual(ground.ends, ['ended caller-hung-up'])
  })

  test('[RX1][RX2] a caller who hung up meanwhile is written down once, whichever of the others comes first', async () => {
    const afterStream = { actionMs: 1_000, openMs: 0 }
    const ground = await Ground.open(3, { carrier: { afterStream } })
    const call = ground.carrier.placeCall({ caller: STAYS })
    const callSid = call.callSid as CallSid
    await until('the call', () => ground.edges[0]!.pod.calls.get(callSid)?.isActive === true)
    await ground.lose(0, 'cut')
    call.hangUp()
    await call.done
    assert.equal((await ground.records.find(callSid))?.state, 'live')
    await ground.pass(26_000, 0)
    await until('the end', async () => (await ground.records.find(callSid))?.state === 'ended')
    await until('the slot', async () => (await ground.leases.usage()).inUse === 0)
    await new Promise((resolve) => setTimeout(resolve, 300))
    assert.deepEqual(ground.ends, ['ended caller-hung-up'])
    assert.equal(await ground.rescues('ended'), 1)
  })

  test('[RX3] without the carrier’s REST its calls are written down when no lease of them is left', async () => {
    const ground = await Ground.open(2, { hasRest: false })
    const call = ground.carrier.placeCall({ caller: STAYS })
    const callSid = call.callSid as CallSid
    await until('the call', () => ground.edges[0]!.pod.calls.get(callSid)?.isActive === true)
    await ground.lose(0)
    await ground.pass(26_000, 0)
    await new Promise((resolve) => setTimeout(resolve, 1_500))
    assert.equal((await ground.records.find(callSid))?.state, 'live', 'it may still come back')
    await ground.pass(50_000, 0)
    await until('the end', async () => (await ground.records.find(callSid))?.state === 'ended')
    assert.deepEqual(ground.ends, ['ended carrier-lost'])
    assert.equal(call.isOver, false)
  })
})
