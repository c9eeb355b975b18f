// Drives a pod's life: samples its lag, ticks while it goes, runs the effects of the machine. Rules:
// PV1: an effect that throws or rejects is logged and stops nothing; a handover that rejects has not moved its call.
// PV2: the lag is sampled each SAMPLE_MS from start() on; ticks run each TICK_MS from the first drain or fence to the exit.
// PV3: a flush that fails is tried again each FLUSH_RETRY_MS until the machine ends it.
// PV4: exit() is called once; afterwards no timer is left.
// PV5: the pod is suspect from ASK_AFTER_MS without the store on, until the store is reached again.
// PV6: each lag sample teaches the capacity of the pod (CAP1); a new callsFit is announced at once, and the log says when shedding of new
//      calls begins and ends.
import { performance } from 'node:perf_hooks'
import type { Clock } from '../kit/clock.ts'
import { messageOf, unreachable } from '../kit/errors.ts'
import type { CallSid } from '../kit/ids.ts'
import type { Log } from '../kit/log.ts'
import type { Wheel, WheelTimer } from '../kit/wheel.ts'
import { type Capacity, learnCapacity, UNKNOWN_CAPACITY } from './pod-capacity.ts'
import {
  type DrainCause,
  type ExitCause,
  type ForceCause,
  INITIAL_POD_LIFE,
  isReady,
  POD_LIFE_SETTINGS,
  type PodEffect,
  type PodEvent,
  type PodLifeSettings,
  type PodLifeState,
  penaltyNow,
  podStateOf,
  stepPodLife,
  takesWebhooks,
} from './pod-life.ts'
import type { PodState } from './ports.ts'
import { ASK_AFTER_MS } from './self-fence.ts'

export const SAMPLE_MS = 1_000
const TICK_MS = 100
export const FLUSH_RETRY_MS = 1_000
/** Part of the grace that is not for handovers: natural ends, forcing and flushing. */
const GRACE_KEPT_MS = 60_000

/** What the machine's effects come to. */
type PodActions = {
  /** Tell the store the pod's state and penalty now (LeaseKeeper.announceNow). */
  announce: () => Promise<void>
  /** Hand the call over at a turn boundary; false: it stays. Reports once, at the latest when the call ends. */
  handOver: (callSid: CallSid, cause: 'drain' | 'lag') => Promise<boolean>
  /** Close every call now; after `fenced` without a write. */
  force: (cause: ForceCause) => void
  /** Last checkpoints, releases, outbox. */
  flush: () => Promise<void>
  exit: (cause: ExitCause) => void
}

type PodDriverParts = {
  clock: Clock
  wheel: Wheel
  log: Log
  settings?: Partial<PodLifeSettings>
  /** The live calls; those that should move first come first. */
  calls: () => readonly CallSid[]
  /** The last second of the event loop; undefined before there is one. */
  readLag: () => { p99Ms: number; utilization: number } | undefined
  /** Since the store was last reached, ms (LeaseKeeper.lastSuccessAgoMs). */
  storeAgoMs?: () => number
  actions: PodActions
}

export class PodDriver {
  readonly #parts: PodDriverParts
  readonly #settings: PodLifeSettings
  #state: PodLifeState = INITIAL_POD_LIFE
  #capacity: Capacity = UNKNOWN_CAPACITY
  #sampleTimer: WheelTimer | undefined
  #tickTimer: WheelTimer | undefined
  #flushTimer: WheelTimer | undefined

  constructor(parts: PodDriverParts) {
    this.#parts = parts
    this.#settings = { ...POD_LIFE_SETTINGS, ...parts.settings }
  }

  get phase(): PodLifeState['phase']['kind'] {
    return this.#state.phase.kind
  }

  get podState(): PodState {
    return podStateOf(this.#state)
  }

  get penalty(): number {
    return penaltyNow(this.#state, this.#parts.clock.monotonicMs())
  }

  get isReady(): boolean {
    return isReady(this.#state)
  }

  get takesWebhooks(): boolean {
    return takesWebhooks(this.#state)
  }

  /** The loop is so late that a new call would harm all (PG6). */
  get isFull(): boolean {
    return this.#state.lag.isFull
  }

  /** What the pod has learnt of the cost of its calls, and how many of them it carries. */
  get capacity(): Capacity {
    return this.#capacity
  }

  /** The pod is warm: it may be ready. Begins to sample its lag. */
  start(): void {
    this.#take({ kind: 'started' })
    this.#sampleTimer ??= this.#parts.wheel.after(SAMPLE_MS, () => this.#sample())
  }

  /** Begins to drain; a repeated one changes nothing. */
  drain(cause: Exclude<DrainCause, 'signal'>): void {
    this.#take({ kind: 'drain', cause })
  }

  /** SIGTERM or SIGINT: the first drains, the second closes all calls now. */
  signal(): void {
    this.#take({ kind: 'signal' })
  }

  /** The pod has lost its calls: by its own watch (LeaseKeeper.onSelfFence) or by the store's word. */
  fence(): void {
    this.#take({ kind: 'fenced' })
  }

  /** Takes the pod out of placement, or puts it back. */
  cordon(isWanted: boolean): void {
    this.#take({ kind: isWanted ? 'cordon' : 'uncordon' })
  }

  /** Ends all timers without an exit. */
  close(): void {
    for (const timer of [this.#sampleTimer, this.#tickTimer, this.#flushTimer]) this.#parts.wheel.cancel(timer)
  }

  #take(event: PodEvent): void {
    const before = this.#state.phase.kind
    const { state, effects } = stepPodLife(this.#state, event, this.#parts.clock.monotonicMs(), this.#settings)
    this.#state = state
    const after = state.phase.kind
    if (after !== before)
      this.#parts.log.info({ before, after, calls: this.#parts.calls().length }, 'pod state changed')
    if (after === 'down') this.close()
    else if (!isServing(after) && this.#tickTimer === undefined) this.#tick()
    for (const effect of effects) this.#run(effect)
  }

  #tick(): void {
    this.#tickTimer = this.#parts.wheel.after(TICK_MS, () => {
      this.#tick()
      this.#take({ kind: 'tick', calls: this.#parts.calls() })
    })
  }

  #sample(): void {
    this.#sampleTimer = this.#parts.wheel.after(SAMPLE_MS, () => this.#sample())
    const ago = this.#parts.storeAgoMs?.() ?? 0
    this.#take({ kind: ago >= ASK_AFTER_MS ? 'store-lost' : 'store-found' })
    const lag = this.#parts.readLag()
    if (lag === undefined) return
    const calls = this.#parts.calls()
    this.#learn({ ...lag, calls: calls.length })
    this.#take({ kind: 'lag', ...lag, calls })
  }

  /** [PV6] */
  #learn(sample: { p99Ms: number; utilization: number; calls: number }): void {
    const before = this.#capacity
    this.#capacity = learnCapacity(before, { atMs: this.#parts.clock.monotonicMs(), ...sample })
    const { callsFit, costShare, isSaturated } = this.#capacity
    if (isSaturated !== before.isSaturated) {
      const told = { calls: sample.calls, callsFit, costShare, utilization: sample.utilization, lagMs: sample.p99Ms }
      if (isSaturated) this.#parts.log.warn(told, 'the core is full: the pod sheds new calls')
      else this.#parts.log.info(told, 'the core has room: the pod takes new calls')
    }
    if (callsFit !== before.callsFit) void this.#tried(this.#parts.actions.announce)
  }

  #run(effect: PodEffect): void {
    const { actions } = this.#parts
    switch (effect.kind) {
      case 'announce':
        void this.#tried(actions.announce)
        return
      case 'handover-next':
        void this.#handOver(effect.callSid, effect.cause)
        return
      case 'force':
        void this.#tried(async () => actions.force(effect.cause))
        return
      case 'flush':
        void this.#flush()
        return
      case 'exit':
        void this.#tried(async () => actions.exit(effect.cause))
        return
      default:
        unreachable(effect)
    }
  }

  async #handOver(callSid: CallSid, cause: 'drain' | 'lag'): Promise<void> {
    const moved = await this.#tried(() => this.#parts.actions.handOver(callSid, cause))
    this.#take({ kind: 'handover-ended', callSid, hasMoved: moved?.value === true })
  }

  async #flush(): Promise<void> {
    if ((await this.#tried(this.#parts.actions.flush)) !== undefined) this.#take({ kind: 'flushed' })
    else if (this.phase === 'flushing') {
      this.#flushTimer = this.#parts.wheel.after(FLUSH_RETRY_MS, () => void this.#flush())
    }
  }

  async #tried<T>(run: () => Promise<T>): Promise<{ value: T } | undefined> {
    try {
      return { value: await run() }
    } catch (error) {
      this.#parts.log.error({ reason: messageOf(error), phase: this.phase }, 'a step of the pod failed')
      return undefined
    }
  }
}

function isServing(kind: PodLifeState['phase']['kind']): boolean {
  return kind === 'warming' || kind === 'ready' || kind === 'cordoned' || kind === 'suspect'
}

/** Reads the event loop's utilisation, 0 to 1, since it was last read. */
export function utilizationReader(): () => number {
  let last = performance.eventLoopUtilization()
  return () => {
    const now = performance.eventLoopUtilization()
    const { utilization } = performance.eventLoopUtilization(now, last)
    last = now
    return utilization
  }
}

/** Why the grace does not suffice to hand over a full pod, or undefined. */
export function graceProblem(plan: {
  callsMax: number
  handoverPerSecond: number
  graceMs: number
}): string | undefined {
  const neededMs = (plan.callsMax / plan.handoverPerSecond) * 1_000 + GRACE_KEPT_MS
  if (neededMs < plan.graceMs) return undefined
  return (
    `the grace of ${plan.graceMs / 1_000} s is too short: ${plan.callsMax} calls at ${plan.handoverPerSecond} handovers a second ` +
    `and ${GRACE_KEPT_MS / 1_000} s besides need more than ${Math.ceil(neededMs / 1_000)} s`
  )
}
