// All timers of all sessions on one interval. Rules:
// W1: a timer fires once, never early, and at most one tick late beyond the loop's own lag.
// W2: with nothing to wait for there is no interval; a cancelled timer leaves nothing behind.
// W3: a callback that throws is reported and stops no other.
import { nowMs } from './clock.ts'

const TICK_MS = 5

/** One waiting callback. */
export type Waiting = { readonly tick: number; readonly run: () => void }

export class Wheel {
  readonly #buckets = new Map<number, Set<Waiting>>()
  readonly #onError: (error: unknown) => void
  #interval: NodeJS.Timeout | undefined
  #lastTick = 0
  #size = 0

  constructor(onError: (error: unknown) => void) {
    this.#onError = onError
  }

  /** Timers that wait now. */
  get size(): number {
    return this.#size
  }

  /** Runs `run` once, `delayMs` from now or up to a tick later. */
  after(delayMs: number, run: () => void): Waiting {
    if (this.#interval === undefined) this.#start()
    const tick = Math.max(Math.ceil((nowMs() + delayMs) / TICK_MS), this.#lastTick + 1)
    const waiting = { tick, run }
    const bucket = this.#buckets.get(tick)
    if (bucket === undefined) this.#buckets.set(tick, new Set([waiting]))
    else bucket.add(waiting)
    this.#size += 1
    return waiting
  }

  /** Takes a timer back; harmless when it fired or was cancelled before. */
  cancel(waiting: Waiting | undefined): void {
    if (waiting === undefined) return
    const bucket = this.#buckets.get(waiting.tick)
    if (bucket === undefined || !bucket.delete(waiting)) return
    if (bucket.size === 0) this.#buckets.delete(waiting.tick)
    this.#size -= 1
    if (this.#size === 0) this.#stop()
  }

  /** Drops all timers without running them. */
  close(): void {
    this.#buckets.clear()
    this.#size = 0
    this.#stop()
  }

  #start(): void {
    this.#lastTick = Math.floor(nowMs() / TICK_MS)
    this.#interval = setInterval(() => this.#turn(), TICK_MS)
  }

  #stop(): void {
    clearInterval(this.#interval)
    this.#interval = undefined
  }

  #turn(): void {
    const now = Math.floor(nowMs() / TICK_MS)
    while (this.#lastTick < now) {
      this.#lastTick += 1
      const bucket = this.#buckets.get(this.#lastTick)
      if (bucket === undefined) continue
      this.#buckets.delete(this.#lastTick)
      this.#size -= bucket.size
      for (const waiting of bucket) this.#fire(waiting)
    }
    if (this.#size === 0) this.#stop()
  }

  #fire(waiting: Waiting): void {
    try {
      waiting.run()
    } catch (error) {
      this.#onError(error)
    }
  }
}
