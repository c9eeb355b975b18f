// The items of one type that this worker holds. Rules:
// LNE1: at most `room` at once, and each at most `jobMaxMs`: a type, or an item that hangs, takes no room of another type.
// LNE2: an item whose lease was lost is aborted, and nothing is written of it.
// LNE3: a job that throws is tried again like one that failed; its words stay out of the records, since they may hold anything.
// LNE4: an outcome that the database did not take is offered again while the lease lasts, then given up: the item is due again
//      by its lease.
// LNE5: an item that has taken `slowMs` makes way for another, `room` such items at most: those that hang hold up none of their own type,
//      and never more than twice `room` are done at once.
import { messageOf } from '../kit/errors.ts'
import type { Log } from '../kit/log.ts'
import type { Wheel } from '../kit/wheel.ts'
import { backOffMs } from './back-off.ts'
import type { Job } from './job.ts'
import type { HeldItem, WorkFailure, WorkItem, WorkResult, WorkStore, WorkType } from './ports.ts'

const OFFER_AGAIN_MS = 1_000

/** Why an item left the lane. */
export type LaneOutcome = 'done' | 'retry' | 'dead' | 'uncertain' | 'lost' | 'unwritten'

type LaneParts = {
  store: WorkStore
  wheel: Wheel
  log: Log
  jobMaxMs: number
  leaseMs: number
  slowMs: number
  /** Monotonic ms. */
  nowMs: () => number
  onOver: (type: WorkType, outcome: LaneOutcome, tookMs: number) => void
  /** An attempt failed; before it is written. */
  onFailed: (item: WorkItem, failure: WorkFailure) => void
}

type Running = { held: HeldItem; abort: AbortController; isSlow: boolean }

export class Lane {
  readonly type: WorkType
  readonly #job: Job
  readonly #room: number
  readonly #parts: LaneParts
  readonly #running = new Map<string, Running>()
  #slow = 0
  #woken = Promise.withResolvers<void>()

  constructor(job: Job, room: number, parts: LaneParts) {
    this.type = job.type
    this.#job = job
    this.#room = room
    this.#parts = parts
  }

  /** [LNE5] */
  get free(): number {
    return Math.max(0, this.#room - (this.#running.size - Math.min(this.#slow, this.#room)))
  }

  get held(): HeldItem[] {
    return [...this.#running.values()].map(({ held }) => held)
  }

  get size(): number {
    return this.#running.size
  }

  /** Resolves at the next `wake`. */
  get woken(): Promise<void> {
    return this.#woken.promise
  }

  /** There may be something to claim. */
  wake(): void {
    this.#woken.resolve()
    this.#woken = Promise.withResolvers<void>()
  }

  /** Begins `item`. Never waits. */
  begin(item: WorkItem): void {
    const running = {
      held: { id: item.id, callSid: item.callSid, attempt: item.attempt, version: item.version },
      abort: new AbortController(),
      isSlow: false,
    }
    this.#running.set(item.id, running)
    void this.#work(item, running)
  }

  /** The lease of `id` is another's now. [LNE2] */
  lose(id: string): void {
    this.#running.get(id)?.abort.abort()
  }

  abortAll(): void {
    for (const { abort } of this.#running.values()) abort.abort()
  }

  async #work(item: WorkItem, running: Running): Promise<void> {
    const { held, abort } = running
    const { wheel, jobMaxMs, slowMs, nowMs, onOver } = this.#parts
    const startedMs = nowMs()
    let isLate = false
    const bound = wheel.after(jobMaxMs, () => {
      isLate = true
      abort.abort()
    })
    const slow = wheel.after(slowMs, () => {
      running.isSlow = true
      this.#slow += 1
      this.wake()
    })
    const outcome = await this.#outcomeOf(item, abort.signal)
    wheel.cancel(bound)
    const written =
      abort.signal.aborted && !isLate
        ? 'lost'
        : await this.#write(item, held, isLate ? { kind: 'retry', error: 'took too long', inMs: 0 } : outcome)
    wheel.cancel(slow)
    this.#running.delete(item.id)
    if (running.isSlow) this.#slow -= 1
    onOver(this.type, written, nowMs() - startedMs)
    this.wake()
  }

  /** Settles at the abort, whatever the job does then. */
  #outcomeOf(item: WorkItem, signal: AbortSignal): Promise<WorkResult | WorkFailure> {
    const aborted = new Promise<WorkFailure>((resolve) => {
      signal.addEventListener('abort', () => resolve({ kind: 'retry', error: 'aborted', inMs: 0 }), { once: true })
    })
    const run = async (): Promise<WorkResult | WorkFailure> => {
      try {
        return await this.#job.run(item, { signal })
      } catch (error) {
        const name = error instanceof Error ? error.name : 'unknown'
        this.#parts.log.warn({ type: item.type, error: name }, 'a job threw')
        return { kind: 'retry', error: `the job threw ${name}`, inMs: 0 }
      }
    }
    return Promise.race([run(), aborted])
  }

  /** [LNE4] */
  async #write(item: WorkItem, held: HeldItem, outcome: WorkResult | WorkFailure): Promise<LaneOutcome> {
    const { wheel, leaseMs, nowMs, log } = this.#parts
    const untilMs = nowMs() + leaseMs
    for (;;) {
      try {
        return await this.#offer(item, held, outcome)
      } catch (error) {
        log.warn({ type: item.type, reason: messageOf(error) }, 'the outcome of an item could not be written')
        if (nowMs() > untilMs) return 'unwritten'
      }
      await wheel.pause(OFFER_AGAIN_MS)
    }
  }

  async #offer(item: WorkItem, held: HeldItem, outcome: WorkResult | WorkFailure): Promise<LaneOutcome> {
    const { store } = this.#parts
    switch (outcome.kind) {
      case 'retry': {
        const inMs = Math.max(outcome.inMs, backOffMs(item.attempt))
        this.#parts.onFailed(item, outcome)
        return (await store.fail(held, { ...outcome, inMs })).kind === 'lost' ? 'lost' : 'retry'
      }
      case 'dead':
      case 'uncertain':
        this.#parts.onFailed(item, outcome)
        return (await store.fail(held, outcome)).kind === 'lost' ? 'lost' : outcome.kind
      default:
        return (await store.finish(held, outcome)).kind
    }
  }
}
