// Timers of calls, thousands at once, on one interval. Rules:
// TW1: a timer fires once, never early, at most one tick late beyond the loop's own lag.
// TW2: an empty wheel has no interval: an idle process is idle.
// TW3: a callback that throws stops neither the wheel nor the other timers; it is reported.
import type { Clock } from './clock.ts'

const SLOTS = 512

/** One waiting callback. */
export type WheelTimer = { dueTick: number; run: (() => void) | undefined; next: WheelTimer | undefined }

/** A hashed timing wheel with a tick of `tickMs` (default 10 ms). */
export class Wheel {
  readonly tickMs: number
  readonly #clock: Clock
  readonly #onError: (error: unknown) => void
  readonly #slots: (WheelTimer | undefined)[] = new Array(SLOTS).fill(undefined)
  #tick: number
  #waiting = 0
  #interval: NodeJS.Timeout | undefined
  readonly #isManual: boolean

  /** `manual`: the test calls `advance()`; no interval is made. */
  constructor(options: { clock: Clock; onError: (error: unknown) => void; tickMs?: number; manual?: boolean }) {
    this.#clock = options.clock
    this.#onError = options.onError
    this.tickMs = options.tickMs ?? 10
    this.#isManual = options.manual ?? false
    this.#tick = this.#now()
  }

  /** Timers that wait now. */
  get size(): number {
    return this.#waiting
  }

  /** Calls `run` once after at least `delayMs`. */
  after(delayMs: number, run: () => void): WheelTimer {
    if (this.#waiting === 0) this.#start()
    const dueTick = Math.max(Math.ceil((this.#clock.monotonicMs() + delayMs) / this.tickMs), this.#tick + 1)
    const slot = dueTick % SLOTS
    const timer: WheelTimer = { dueTick, run, next: this.#slots[slot] }
    this.#slots[slot] = timer
    this.#waiting += 1
    return timer
  }

  /** Resolves after at least `delayMs`; never, when the wheel is closed before. */
  pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => this.after(delayMs, resolve))
  }

  /** Takes a timer back; harmless when it has fired or was cancelled. */
  cancel(timer: WheelTimer | undefined): void {
    if (timer?.run === undefined) return
    timer.run = undefined
    this.#waiting -= 1
    if (this.#waiting === 0) this.#stop()
  }

  /** Fires what is due by the clock. */
  advance(): void {
    const now = this.#now()
    // After a long stall (or a sleep of the machine) one round over all slots is enough.
    if (now - this.#tick > SLOTS) this.#tick = now - SLOTS
    while (this.#tick < now && this.#waiting > 0) {
      this.#tick += 1
      this.#fire(this.#tick % SLOTS, now)
    }
    this.#tick = now
  }

  /** Drops all timers. */
  close(): void {
    for (let timer of this.#slots) for (; timer !== undefined; timer = timer.next) timer.run = undefined
    this.#slots.fill(undefined)
    this.#waiting = 0
    this.#stop()
  }

  #now(): number {
    return Math.floor(this.#clock.monotonicMs() / this.tickMs)
  }

  #fire(slot: number, now: number): void {
    let timer = this.#slots[slot]
    this.#slots[slot] = undefined
    let kept: WheelTimer | undefined
    const due: WheelTimer[] = []
    while (timer !== undefined) {
      const next = timer.next
      if (timer.run === undefined) timer.next = undefined
      else if (timer.dueTick <= now) due.push(timer)
      else {
        timer.next = kept
        kept = timer
      }
      timer = next
    }
    // What the callbacks add to this very slot is put in front of what was kept.
    for (let last = kept; last !== undefined; last = last.next) {
      if (last.next === undefined) {
        last.next = this.#slots[slot]
        break
      }
    }
    if (kept !== undefined) this.#slots[slot] = kept
    for (let i = due.length - 1; i >= 0; i -= 1) this.#run(due[i]!)
  }

  #run(timer: WheelTimer): void {
    const run = timer.run
    if (run === undefined) return
    timer.run = undefined
    this.#waiting -= 1
    if (this.#waiting === 0) this.#stop()
    try {
      run()
    } catch (error) {
      this.#onError(error)
    }
  }

  #start(): void {
    this.#slots.fill(undefined)
    this.#tick = this.#now()
    if (!this.#isManual && this.#interval === undefined) this.#interval = setInterval(() => this.advance(), this.tickMs)
  }

  #stop(): void {
    clearInterval(this.#interval)
    this.#interval = undefined
  }
}

/** Timers by name on one wheel: setting one again takes the place of the first. */
export class NamedTimers<Name extends string> {
  readonly #wheel: Wheel
  readonly #fire: (name: Name) => void
  readonly #timers = new Map<Name, WheelTimer>()

  constructor(wheel: Wheel, fire: (name: Name) => void) {
    this.#wheel = wheel
    this.#fire = fire
  }

  set(name: Name, delayMs: number): void {
    this.clear(name)
    this.#timers.set(
      name,
      this.#wheel.after(delayMs, () => this.#fire(name)),
    )
  }

  clear(name: Name): void {
    this.#wheel.cancel(this.#timers.get(name))
    this.#timers.delete(name)
  }

  clearAll(): void {
    for (const timer of this.#timers.values()) this.#wheel.cancel(timer)
    this.#timers.clear()
  }
}
