// The engine of the work after calls. Rules:
// WE1: each type has a lane of its own with its own room; a lane claims when it has room, at most CLAIM_MAX at once, again at once while
//      claims come back full, otherwise each POLL_MS or when it is woken.
// WE2: leases are renewed together each third of their time; what is no longer held is aborted.
// WE3: a database that is away is waited for, each time longer, DB_WAIT_MAX_MS at most; nothing else happens meanwhile, and nothing crashes.
// WE4: analysis waits first: it is not claimed while another type's oldest item has been due for HOLD_BACK_MS.
// WE5: each DERIVE_MS what is missing for ended calls is made: a trigger of its own, whoever else made or forgot them.
// WE7: a failure is told in the log, once in FAILURE_TOLD_MS for each type and reason, with how many were not told since.
// WE6: a drain claims no more and lets jobs end; what is left at its bound is aborted and due again by its lease.
import type { Clock } from '../kit/clock.ts'
import { messageOf } from '../kit/errors.ts'
import type { Log } from '../kit/log.ts'
import type { Wheel, WheelTimer } from '../kit/wheel.ts'
import type { Job } from './job.ts'
import { Lane, type LaneOutcome } from './lane.ts'
import { AFTER, type WorkDepth, type WorkFailure, type WorkItem, type WorkStore, type WorkType } from './ports.ts'

const CLAIM_MAX = 100
const DERIVE_MAX = 500
const DB_WAIT_FIRST_MS = 500
const DB_WAIT_MAX_MS = 15_000
const DRAIN_LOOK_MS = 50
/** A figure of the store that is older than so many periods is not told. */
const DEPTH_KNOWN_TIMES = 3

/** In ms, but for rooms. */
export type WorkerTimes = {
  pollMs: number
  leaseMs: number
  jobMaxMs: number
  /** From when on an item makes way for another. */
  slowMs: number
  deriveMs: number
  depthMs: number
  holdBackMs: number
}

const WORKER_TIMES: WorkerTimes = {
  pollMs: 500,
  leaseMs: 30_000,
  jobMaxMs: 120_000,
  slowMs: 5_000,
  deriveMs: 30_000,
  depthMs: 5_000,
  holdBackMs: 60_000,
}

/** How many of a type this process does at once; as many again that have become slow. */
export const ROOMS: Readonly<Record<WorkType, number>> = {
  record: 16,
  analysis: 128,
  crm: 64,
  recording: 16,
  voicemail: 16,
  'call-back': 8,
}

type WorkerParts = {
  name: string
  store: WorkStore
  jobs: readonly Job[]
  clock: Clock
  wheel: Wheel
  log: Log
  rooms?: Partial<Record<WorkType, number>>
  times?: Partial<WorkerTimes>
  onOver?: (type: WorkType, outcome: LaneOutcome, tookMs: number) => void
}

/** [WE7] */
const FAILURE_TOLD_MS = 60_000
/** Kinds of failure that are remembered; beyond it all are forgotten, and told again. */
const FAILURE_KINDS_MAX = 100

/** Tells failures in the log without repeating each. [WE7] */
class FailureLog {
  readonly #log: Log
  readonly #nowMs: () => number
  readonly #told = new Map<string, { atMs: number; untold: number }>()

  constructor(log: Log, nowMs: () => number) {
    this.#log = log
    this.#nowMs = nowMs
  }

  failed({ type, attempt }: WorkItem, { kind: outcome, error }: WorkFailure): void {
    const name = `${type} ${outcome} ${error}`
    const before = this.#told.get(name)
    if (before !== undefined && this.#nowMs() - before.atMs < FAILURE_TOLD_MS) {
      before.untold += 1
      return
    }
    if (this.#told.size >= FAILURE_KINDS_MAX) this.#told.clear()
    this.#told.set(name, { atMs: this.#nowMs(), untold: 0 })
    this.#log.warn({ type, outcome, error, attempt, untold: before?.untold ?? 0 }, 'an item of work failed')
  }
}

export class Worker {
  readonly #parts: WorkerParts
  readonly #times: WorkerTimes
  readonly #lanes: Lane[]
  readonly #timers = new Map<string, WheelTimer>()
  #state: 'new' | 'working' | 'draining' | 'over' = 'new'
  #depth: { told: WorkDepth[]; atMs: number } | undefined
  #isAway = false

  constructor(parts: WorkerParts) {
    this.#parts = parts
    this.#times = { ...WORKER_TIMES, ...parts.times }
    const { store, wheel, log, clock } = parts
    const { jobMaxMs, leaseMs, slowMs } = this.#times
    const onOver = (type: WorkType, outcome: LaneOutcome, tookMs: number): void => {
      parts.onOver?.(type, outcome, tookMs)
      // The next of the chain is ready now.
      if (outcome === 'done' || outcome === 'dead' || outcome === 'uncertain')
        for (const lane of this.#lanes) if (AFTER[lane.type] === type) lane.wake()
    }
    const nowMs = () => clock.monotonicMs()
    const failures = new FailureLog(log, nowMs)
    const onFailed = (item: WorkItem, failure: WorkFailure): void => failures.failed(item, failure)
    const laneParts = { store, wheel, log, jobMaxMs, leaseMs, slowMs, nowMs, onOver, onFailed }
    this.#lanes = parts.jobs.map((job) => new Lane(job, parts.rooms?.[job.type] ?? ROOMS[job.type], laneParts))
  }

  /** Items that are being done now. */
  get size(): number {
    return this.#lanes.reduce((sum, lane) => sum + lane.size, 0)
  }

  /** What the store last said, DEPTH_KNOWN_TIMES periods old at most; undefined: it is not known. */
  get depth(): readonly WorkDepth[] | undefined {
    const { clock } = this.#parts
    const depth = this.#depth
    if (depth === undefined || clock.monotonicMs() - depth.atMs > DEPTH_KNOWN_TIMES * this.#times.depthMs)
      return undefined
    return depth.told
  }

  /** Why it does not work; none: it does. */
  notReady(): string[] {
    if (this.#state !== 'working') return [this.#state]
    return this.#isAway ? ['the database is away'] : []
  }

  /** Begins to claim. Once. */
  start(): void {
    if (this.#state !== 'new') return
    this.#state = 'working'
    for (const lane of this.#lanes) void this.#serve(lane)
    this.#each('renew', this.#times.leaseMs / 3, () => this.#renew())
    this.#each('derive', this.#times.deriveMs, () => this.#derive())
    this.#each('depth', this.#times.depthMs, async () => {
      const told = await this.#parts.store.depth()
      this.#depth = { told, atMs: this.#parts.clock.monotonicMs() }
    })
  }

  /** [WE6] Resolves when nothing is being done any more, `withinMs` at most and a moment. */
  async drain(withinMs: number): Promise<void> {
    if (this.#state === 'over') return
    this.#state = 'draining'
    for (const lane of this.#lanes) lane.wake()
    const { clock, wheel } = this.#parts
    const untilMs = clock.monotonicMs() + withinMs
    while (this.size > 0 && clock.monotonicMs() < untilMs) await wheel.pause(DRAIN_LOOK_MS)
    this.#state = 'over'
    for (const timer of this.#timers.values()) wheel.cancel(timer)
    for (const lane of this.#lanes) lane.abortAll()
  }

  /** [WE1][WE3] */
  async #serve(lane: Lane): Promise<void> {
    const { store, name, wheel, log } = this.#parts
    let waitMs = DB_WAIT_FIRST_MS
    while (this.#state === 'working') {
      const max = Math.min(CLAIM_MAX, this.#isHeldBack(lane.type) ? 0 : lane.free)
      let claimed = 0
      if (max > 0) {
        try {
          const items = await store.claim({ worker: name, types: [lane.type], max, leaseMs: this.#times.leaseMs })
          claimed = items.length
          for (const item of items) lane.begin(item)
          waitMs = DB_WAIT_FIRST_MS
          this.#isAway = false
        } catch (error) {
          if (!this.#isAway) log.warn({ reason: messageOf(error) }, 'the database of the work is away')
          this.#isAway = true
          await wheel.pause(waitMs * (0.5 + Math.random() / 2))
          waitMs = Math.min(DB_WAIT_MAX_MS, waitMs * 2)
          continue
        }
      }
      if (claimed === max && max > 0 && lane.free > 0) continue
      await this.#pause(lane)
    }
  }

  /** Until the lane is woken, or POLL_MS. */
  async #pause(lane: Lane): Promise<void> {
    const { wheel } = this.#parts
    const over = Promise.withResolvers<void>()
    const timer = wheel.after(this.#times.pollMs, over.resolve)
    await Promise.race([lane.woken, over.promise])
    wheel.cancel(timer)
  }

  /** [WE4] */
  #isHeldBack(type: WorkType): boolean {
    return (
      type === 'analysis' &&
      (this.depth ?? []).some(
        ({ type: other, state, oldestMs }) =>
          other !== 'analysis' && state === 'ready' && oldestMs > this.#times.holdBackMs,
      )
    )
  }

  /** [WE2] */
  async #renew(): Promise<void> {
    const held = this.#lanes.flatMap((lane) => lane.held)
    if (held.length === 0) return
    const lost = await this.#parts.store.renew(held, this.#times.leaseMs)
    for (const id of lost) for (const lane of this.#lanes) lane.lose(id)
  }

  /** [WE5] */
  async #derive(): Promise<void> {
    for (;;) {
      const made = await this.#parts.store.derive(DERIVE_MAX)
      if (made > 0) this.#parts.log.info({ calls: made }, 'work was missing for calls and was made')
      if (made < DERIVE_MAX || this.#state !== 'working') return
    }
  }

  #each(name: string, everyMs: number, act: () => Promise<void>): void {
    const run = (): void => {
      act()
        .catch((error: unknown) =>
          this.#parts.log.debug({ reason: messageOf(error) }, 'the store of the work did not answer'),
        )
        .finally(() => {
          if (this.#state === 'working' || (name === 'renew' && this.#state === 'draining'))
            this.#each(name, everyMs, act)
        })
    }
    this.#timers.set(name, this.#parts.wheel.after(everyMs, run))
  }
}
