// Pods for tests: real stores in memory, scripted models and legs.
import assert from 'node:assert/strict'
import { RealtimeAgent } from '@openai/agents-realtime'
import fastify, { type FastifyInstance } from 'fastify'
import { NEW_AGENT } from '../../call/agent-state.ts'
import type { CallEnds } from '../../call/identity.ts'
import type { Leg, LegListener, ModelListener, ModelSession, SessionStart } from '../../call/ports.ts'
import type { TransferOutcome } from '../../call/state.ts'
import type { Answer, NextQuestion, NextStep } from '../../call-control/call-control.ts'
import type { Recordings } from '../../call-control/call-finalizer.ts'
import { peerRoutes } from '../../call-control/peers.ts'
import type { MakeModel } from '../../call-control/pod-call.ts'
import { makeStreamTokens } from '../../call-control/stream-token.ts'
import { type Config, readConfig } from '../../config.ts'
import { LEASE_TIMES, type MovePool } from '../../control/ports.ts'
import { type Clock, systemClock } from '../../kit/clock.ts'
import type { CallSid } from '../../kit/ids.ts'
import { silentLog } from '../../kit/log.ts'
import { Wheel } from '../../kit/wheel.ts'
import { LagMeter } from '../../ops/lag.ts'
import { Metrics } from '../../ops/metrics.ts'
import { openTraces } from '../../ops/traces.ts'
import type { CallActions, PackCall } from '../../packs/pack.ts'
import { makeMemoryLeases } from '../../store/leases/memory.ts'
import { CheckpointWriter } from '../../store/records/checkpoint-writer.ts'
import { openRecords } from '../../store/records/open.ts'
import { callSettings, sorrySentence } from '../call-settings.ts'
import { Pod } from '../pod.ts'

const SECRET = 's'.repeat(32)
const traces = await openTraces({ endpoint: undefined, pod: 'p', log: silentLog })
const agent = new RealtimeAgent<unknown>({ name: 'A', instructions: 'x' })
export const sid = (n: number): CallSid => `CA${String(n).padStart(32, '0')}` as CallSid
export const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

function configOf(env: Record<string, string>): Config {
  const read = readConfig(env)
  if (read.kind === 'invalid') assert.fail(JSON.stringify(read.problems))
  return read.config
}

type Model = {
  listener: ModelListener
  start: SessionStart | undefined
  commands: string[]
  move: MovePool | undefined
}

/** Each call has a caller of its own. */
function endsOf(call: CallSid): CallEnds {
  return { from: `+1500555${1_000 + (Number(call.slice(2)) % 9_000)}`, to: '+15005550001', direction: 'inbound' }
}

/** The question after a transfer that ended as `outcome`. */
export const dialed = (outcome: TransferOutcome, isLast = false): NextQuestion => ({ transfer: { outcome, isLast } })

/** One pod with what the test may look at. */
export class Rig {
  readonly models: Model[] = []
  readonly controls: CallActions[] = []
  readonly ended: string[] = []
  readonly legs: string[] = []
  openCall: () => PackCall | Promise<PackCall> = () => ({ agent, greeting: { kind: 'caller-first' } })
  pod!: Pod
  app: FastifyInstance | undefined
  /** How far the pod's clock is ahead of the time; more of it makes timers due. */
  aheadMs = 0
  readonly clock: Clock = { ...systemClock, monotonicMs: () => systemClock.monotonicMs() + this.aheadMs }
  readonly wheel = new Wheel({ clock: this.clock, onError: (error) => assert.fail(String(error)) })
  readonly lag = new LagMeter()
  readonly metrics = new Metrics()

  async offer(call: CallSid, ends: CallEnds = endsOf(call)): Promise<Answer> {
    return this.pod.callControl.offer({ callSid: call, ...ends })
  }

  /** The stream of `epoch` opens here. */
  async open(call: CallSid, epoch = 1): Promise<LegListener | undefined> {
    const entry = await this.pod.streamAdmission.enter(call, epoch)
    if (entry.kind === 'refused') return undefined
    const leg: Leg = { streamSid: 'MZ', sendAudio() {}, clear() {}, close: (why) => this.legs.push(why) }
    return this.pod.callControl.attach(call, leg)
  }

  next(call: CallSid, question: NextQuestion = {}): Promise<NextStep> {
    return this.pod.callControl.next(call, question)
  }

  model(): Model {
    return this.models.at(-1)!
  }

  async close(): Promise<void> {
    await this.pod.close()
    await this.app?.close()
    this.wheel.close()
    this.lag.close()
  }
}

/** Looks at calls that are over for the carrier come soon in tests. */
export const OVER_LOOKS_MS = [60, 200, 400]

type Ground = Awaited<ReturnType<typeof ground>>

/** The stores that the pods of one test share. */
export async function ground() {
  const leases = makeMemoryLeases({ times: { ...LEASE_TIMES, recoveringMs: 0 }, nowMs: () => performance.now() })
  const recordings: [CallSid, Record<string, unknown>][] = []
  const addRecording: Recordings['addRecording'] = async (callSid, body) => {
    recordings.push([callSid, body])
    return { kind: 'added' }
  }
  return { leases, records: await openRecords({ kind: 'memory' }), recordings: { addRecording }, recorded: recordings }
}

const rigs: Rig[] = []

/** Ends all pods of the test. */
export async function closeRigs(): Promise<void> {
  await Promise.all(rigs.splice(0).map((rig) => rig.close()))
}

export async function start(
  name: string,
  on: Ground | undefined,
  env: Record<string, string> = {},
  openMaxMs?: number,
): Promise<Rig> {
  const rig = new Rig()
  rigs.push(rig)
  const config = configOf({ POD_NAME: name, STREAM_TOKEN_SECRET: SECRET, DRAIN_NATURAL_MS: '0', ...env })
  const world = { clock: rig.clock, wheel: rig.wheel, log: silentLog, metrics: rig.metrics, traces }
  const makeModel: MakeModel = (listener, _pack, _log, begin, _pool, move): ModelSession => {
    const model: Model = { listener, start: begin, commands: [], move }
    rig.models.push(model)
    return {
      dial: () => {
        model.commands.push('dial')
        setImmediate(() => listener.onModelEvent({ kind: 'ready', expiresInMs: undefined, renewed: false }))
      },
      appendAudio() {},
      appendSilence() {},
      callerSeemsLoud() {},
      command: ({ kind }) => model.commands.push(kind),
      interrupted() {},
      carried: () => begin?.agent ?? NEW_AGENT,
      close: () => model.commands.push('close'),
    }
  }
  const pack = {
    name: 'p',
    version: '1',
    openCall: (control: CallActions) => {
      rig.controls.push(control)
      return rig.openCall()
    },
  }
  let address = ''
  const checkpoints =
    on === undefined
      ? undefined
      : new CheckpointWriter({
          records: on.records,
          wheel: rig.wheel,
          log: silentLog,
          onFenced: (call) => rig.pod.fenced(call),
        })
  const stores = on === undefined ? {} : { stores: { isAlone: false, ...on, checkpoints, close: async () => {} } }
  rig.pod = await Pod.open({
    config,
    pack,
    makeModel,
    shape: {
      settingsOf: (packCall) => callSettings(config, packCall),
      playout: { leadMs: 300, chunkMs: 200, markEveryMs: 400 },
      mediaWatchdogMs: 30_000,
      ...(openMaxMs === undefined ? {} : { openMaxMs }),
    },
    tokens: makeStreamTokens({ secret: SECRET, ttlMs: 60_000 }),
    sorry: sorrySentence(config),
    lag: rig.lag,
    world,
    address: () => address,
    baseUrl: () => address,
    overLooksMs: OVER_LOOKS_MS,
    ...stores,
  })
  rig.pod.onCallEnded = (call, cause) => rig.ended.push(`${Number(call.callSid.slice(2))} ${cause}`)
  rig.app = fastify()
  await rig.app.register(peerRoutes, { secret: SECRET, wallMs: () => Date.now(), answers: rig.pod.peerAnswers })
  address = await rig.app.listen({ host: '127.0.0.1', port: 0 })
  await rig.pod.start()
  return rig
}

/** Says something as the model hears it and answers it, so that the history has two items. */
export function converse({ listener }: Model): void {
  listener.onModelEvent({ kind: 'speech-started', itemId: 'i1' })
  listener.onModelEvent({ kind: 'speech-stopped', itemId: 'i1' })
  listener.onModelEvent({ kind: 'caller-said', itemId: 'i1', text: 'a check up please' })
  listener.onModelEvent({ kind: 'response-started', responseId: 'r1' })
  listener.onModelAudio('r1', 'a1', Buffer.alloc(160, 0x55))
  listener.onModelEvent({ kind: 'agent-said', itemId: 'i2', text: 'on which day' })
  listener.onModelEvent({ kind: 'response-ended', responseId: 'r1', status: 'completed' })
}

export const said = (rig: Rig, call: CallSid): string[] =>
  (rig.pod.calls.get(call)?.call.state.transcript.items ?? []).map((item) =>
    item.kind === 'tool' ? item.name : item.text,
  )
