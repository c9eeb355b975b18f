// The life of a pod from its start to its exit. Pure: the same events give the same effects. Rules:
// LV1: warming → ready ⇄ cordoned → draining → migrating → flushing → down; ready and cordoned ⇄ suspect; from everywhere before
//      down → fenced → down. There is no way back from draining.
// LV2: readiness says whether sockets may still reach the pod: from ready to migrating. New calls are taken when ready, cordoned
//      or suspect, and placed by the store only when ready.
// LV3: a pod is cordoned while it lags or while the operator wants it; its calls stay.
// LV4: draining lets calls end by themselves for `naturalMs`, and waits `arrivalsMs` for streams that were promised this pod;
//      the deadline is that of the first drain: a later one never moves it.
// LV5: migrating hands over one call each HANDOVER_EVERY_MS, at most `inFlightMax` at once; a call is handed over by one attempt
//      at a time, and again RETRY_MS after one that failed.
// LV6: at the deadline (the grace less MARGIN_MS), and at the second signal, what is left is closed by force: it resumes elsewhere.
// LV7: exit comes after the flush, or when the flush has taken FLUSH_MAX_MS; forced calls are awaited for FORCE_WAIT_MS before it.
// LV8: a fenced pod closes all and writes nothing; it exits when no call is left, or after FORCE_WAIT_MS.
// LV9: a fresh pod has a penalty that falls from SLOW_START_CALLS to 0 over SLOW_START_MS; that of its lag is added.
// LV10: a pod whose lag asks for it hands over one call a second, while it is ready, cordoned or suspect.
import { unreachable } from '../kit/errors.ts'
import type { CallSid } from '../kit/ids.ts'
import { type LagSample, type LagView, NO_LAG, withSample } from './pod-lag.ts'
import type { PodState } from './ports.ts'

export const HANDOVER_EVERY_MS = 200
export const RETRY_MS = 5_000
export const MARGIN_MS = 20_000
export const FORCE_WAIT_MS = 5_000
export const FLUSH_MAX_MS = 10_000
export const SLOW_START_CALLS = 10
export const SLOW_START_MS = 30_000

export type PodLifeSettings = {
  /** From the first drain to the moment at which the process is killed. */
  graceMs: number
  naturalMs: number
  /** LeaseTimes.reservedMs in a fleet; 0 for a pod alone. */
  arrivalsMs: number
  inFlightMax: number
}
export const POD_LIFE_SETTINGS: PodLifeSettings = {
  graceMs: 600_000,
  naturalMs: 30_000,
  arrivalsMs: 10_000,
  inFlightMax: 50,
}

export type DrainCause = 'signal' | 'request' | 'scale-in'
export type ForceCause = 'deadline' | 'second-signal' | 'fenced'
export type ExitCause = 'flushed' | 'flush-overdue' | 'fenced'

type Phase =
  | { kind: 'warming' }
  | { kind: 'ready' | 'cordoned' | 'suspect' }
  | { kind: 'draining'; cause: DrainCause; sinceMs: number; forceAtMs: number }
  | { kind: 'migrating'; cause: DrainCause; forceAtMs: number }
  /** `awaitsUntilMs`: the flush begins when no call is left, or then. */
  | { kind: 'flushing'; awaitsUntilMs: number; flushAtMs: number | undefined }
  | { kind: 'fenced'; sinceMs: number }
  | { kind: 'down' }

export type PodLifeState = {
  phase: Phase
  lag: LagView
  readySinceMs: number | undefined
  isCordonAsked: boolean
  /** A signal to end has come; the next one forces. */
  hasSignal: boolean
  /** Handovers that run, and calls that rest after one; only live calls. */
  handovers: ReadonlyMap<CallSid, { kind: 'running' } | { kind: 'resting'; untilMs: number }>
  handoverAtMs: number
}

export type PodEvent =
  | { kind: 'started' }
  | { kind: 'lag'; p99Ms: number; utilization: number; calls: readonly CallSid[] }
  | { kind: 'cordon' | 'uncordon' }
  /** The store was not reached for long (ASK_AFTER_MS) / was reached again. */
  | { kind: 'store-lost' | 'store-found' }
  | { kind: 'drain'; cause: Exclude<DrainCause, 'signal'> }
  /** SIGTERM or its like: the first drains, the second closes. */
  | { kind: 'signal' }
  /** The store or this pod itself has fenced it. */
  | { kind: 'fenced' }
  | { kind: 'handover-ended'; callSid: CallSid; hasMoved: boolean }
  | { kind: 'flushed' }
  | { kind: 'tick'; calls: readonly CallSid[] }

export type PodEffect =
  /** What the store should know has changed. */
  | { kind: 'announce' }
  | { kind: 'handover-next'; callSid: CallSid; cause: 'drain' | 'lag' }
  | { kind: 'force'; cause: ForceCause }
  | { kind: 'flush' }
  | { kind: 'exit'; cause: ExitCause }

type Step = { state: PodLifeState; effects: PodEffect[] }

export const INITIAL_POD_LIFE: PodLifeState = {
  phase: { kind: 'warming' },
  lag: NO_LAG,
  readySinceMs: undefined,
  isCordonAsked: false,
  hasSignal: false,
  handovers: new Map(),
  handoverAtMs: -Infinity,
}

/** What the pod announces of itself (LV2). A suspect pod is heard only when it is none any more. */
export function podStateOf({ phase }: PodLifeState): PodState {
  if (phase.kind === 'suspect') return 'cordoned'
  return phase.kind === 'migrating' || phase.kind === 'flushing' ? 'draining' : phase.kind
}

/** Whether sockets may reach the pod. */
export function isReady({ phase }: PodLifeState): boolean {
  return isServing(phase) || phase.kind === 'draining' || phase.kind === 'migrating'
}

/** Whether webhooks of new calls are answered; those of live calls always are while the process lives. */
export function takesWebhooks({ phase }: PodLifeState): boolean {
  return isServing(phase)
}

/** Calls to add to the pod's load when a pod is picked. */
export function penaltyNow({ readySinceMs, lag }: PodLifeState, nowMs: number): number {
  const share = readySinceMs === undefined ? 1 : Math.max(0, 1 - (nowMs - readySinceMs) / SLOW_START_MS)
  return Math.ceil(SLOW_START_CALLS * share) + lag.penalty
}

/** One event at `nowMs` (monotonic, never lower than before). */
export function stepPodLife(before: PodLifeState, event: PodEvent, nowMs: number, settings: PodLifeSettings): Step {
  const step = take(before, event, nowMs, settings)
  const isChanged = podStateOf(before) !== podStateOf(step.state) || before.lag.penalty !== step.state.lag.penalty
  return isChanged ? { state: step.state, effects: [{ kind: 'announce' }, ...step.effects] } : step
}

function take(state: PodLifeState, event: PodEvent, nowMs: number, settings: PodLifeSettings): Step {
  const { phase } = state
  if (phase.kind === 'down') return same(state)
  switch (event.kind) {
    case 'started':
      return phase.kind === 'warming' ? same(settled({ ...state, readySinceMs: nowMs }, 'ready')) : same(state)
    case 'lag':
      return takeLag(state, { ...event, atMs: nowMs }, event.calls)
    case 'cordon':
    case 'uncordon':
      return same(settled({ ...state, isCordonAsked: event.kind === 'cordon' }, phase.kind))
    case 'store-lost':
      return same(isServing(phase) ? { ...state, phase: { kind: 'suspect' } } : state)
    case 'store-found':
      return same(phase.kind === 'suspect' ? settled(state, 'ready') : state)
    case 'drain':
      return same(drained(state, event.cause, nowMs, settings))
    case 'signal':
      if (state.hasSignal) return forced(state, 'second-signal', nowMs)
      return same(drained({ ...state, hasSignal: true }, 'signal', nowMs, settings))
    case 'fenced':
      if (phase.kind === 'fenced') return same(state)
      return {
        state: { ...state, phase: { kind: 'fenced', sinceMs: nowMs } },
        effects: [{ kind: 'force', cause: 'fenced' }],
      }
    case 'handover-ended':
      return same(handoverEnded(state, event.callSid, event.hasMoved, nowMs))
    case 'flushed':
      return phase.kind === 'flushing' && phase.flushAtMs !== undefined ? exit(state, 'flushed') : same(state)
    case 'tick':
      return takeTick(forgetGone(state, event.calls), event.calls, nowMs, settings)
    default:
      return unreachable(event)
  }
}

function takeLag(before: PodLifeState, sample: LagSample, calls: readonly CallSid[]): Step {
  const lag = withSample(before.lag, sample)
  const state = settled({ ...forgetGone(before, calls), lag }, before.phase.kind)
  // Once draining, the handovers of the drain are the faster ones.
  return lag.isMoveDue && isServing(state.phase) ? handOver(state, calls, sample.atMs, 1, 'lag') : same(state)
}

function takeTick(state: PodLifeState, calls: readonly CallSid[], nowMs: number, settings: PodLifeSettings): Step {
  const { phase } = state
  switch (phase.kind) {
    case 'warming':
    case 'ready':
    case 'cordoned':
    case 'suspect':
    case 'down':
      return same(state)
    case 'draining': {
      const { cause, forceAtMs, sinceMs } = phase
      const sinceDrainMs = nowMs - sinceMs
      if (nowMs >= forceAtMs) return forced(state, 'deadline', nowMs)
      if (sinceDrainMs < settings.arrivalsMs) return same(state)
      if (calls.length === 0) return flush(state, nowMs)
      return sinceDrainMs < settings.naturalMs
        ? same(state)
        : handOver(
            { ...state, phase: { kind: 'migrating', cause, forceAtMs } },
            calls,
            nowMs,
            settings.inFlightMax,
            'drain',
          )
    }
    case 'migrating':
      if (calls.length === 0) return flush(state, nowMs)
      if (nowMs >= phase.forceAtMs) return forced(state, 'deadline', nowMs)
      return handOver(state, calls, nowMs, settings.inFlightMax, 'drain')
    case 'flushing':
      if (phase.flushAtMs === undefined) {
        return calls.length === 0 || nowMs >= phase.awaitsUntilMs ? flush(state, nowMs) : same(state)
      }
      return nowMs - phase.flushAtMs >= FLUSH_MAX_MS ? exit(state, 'flush-overdue') : same(state)
    case 'fenced':
      return calls.length === 0 || nowMs - phase.sinceMs >= FORCE_WAIT_MS ? exit(state, 'fenced') : same(state)
    default:
      return unreachable(phase)
  }
}

function handOver(
  state: PodLifeState,
  calls: readonly CallSid[],
  nowMs: number,
  inFlightMax: number,
  cause: 'drain' | 'lag',
): Step {
  const running = [...state.handovers.values()].filter(({ kind }) => kind === 'running').length
  if (running >= inFlightMax || nowMs - state.handoverAtMs < HANDOVER_EVERY_MS) return same(state)
  const callSid = calls.find((one) => {
    const known = state.handovers.get(one)
    return known === undefined || (known.kind === 'resting' && nowMs >= known.untilMs)
  })
  if (callSid === undefined) return same(state)
  const handovers = new Map(state.handovers).set(callSid, { kind: 'running' })
  return { state: { ...state, handovers, handoverAtMs: nowMs }, effects: [{ kind: 'handover-next', callSid, cause }] }
}

function handoverEnded(state: PodLifeState, callSid: CallSid, hasMoved: boolean, nowMs: number): PodLifeState {
  if (state.handovers.get(callSid)?.kind !== 'running') return state
  const handovers = new Map(state.handovers)
  // One that has moved is still listed until its end here is known: it rests longer.
  const untilMs = hasMoved ? nowMs + 2 * RETRY_MS : nowMs + RETRY_MS
  handovers.set(callSid, { kind: 'resting', untilMs })
  return { ...state, handovers }
}

/** Calls that ended need no ledger. */
function forgetGone(state: PodLifeState, calls: readonly CallSid[]): PodLifeState {
  if (state.handovers.size === 0) return state
  const live = new Set(calls)
  if ([...state.handovers.keys()].every((callSid) => live.has(callSid))) return state
  return { ...state, handovers: new Map([...state.handovers].filter(([callSid]) => live.has(callSid))) }
}

/** Ready or cordoned, whichever the wishes and the lag say; other phases stay. */
function settled(state: PodLifeState, from: Phase['kind'] | 'ready'): PodLifeState {
  if (from !== 'ready' && from !== 'cordoned') return state
  return { ...state, phase: { kind: state.isCordonAsked || state.lag.isLagging ? 'cordoned' : 'ready' } }
}

function drained(state: PodLifeState, cause: DrainCause, nowMs: number, settings: PodLifeSettings): PodLifeState {
  if (!isServing(state.phase) && state.phase.kind !== 'warming') return state
  const forceAtMs = nowMs + Math.max(0, settings.graceMs - MARGIN_MS)
  return { ...state, phase: { kind: 'draining', cause, sinceMs: nowMs, forceAtMs } }
}

function forced(state: PodLifeState, cause: ForceCause, nowMs: number): Step {
  if (state.phase.kind === 'flushing' || state.phase.kind === 'fenced') return same(state)
  const phase: Phase = { kind: 'flushing', awaitsUntilMs: nowMs + FORCE_WAIT_MS, flushAtMs: undefined }
  return { state: { ...state, phase }, effects: [{ kind: 'force', cause }] }
}

function flush(state: PodLifeState, nowMs: number): Step {
  const phase: Phase = { kind: 'flushing', awaitsUntilMs: nowMs, flushAtMs: nowMs }
  return { state: { ...state, phase }, effects: [{ kind: 'flush' }] }
}

function exit(state: PodLifeState, cause: ExitCause): Step {
  return { state: { ...state, phase: { kind: 'down' } }, effects: [{ kind: 'exit', cause }] }
}

function same(state: PodLifeState): Step {
  return { state, effects: [] }
}

function isServing({ kind }: Phase): boolean {
  return kind === 'ready' || kind === 'cordoned' || kind === 'suspect'
}
