// Work that comes round: `work` runs, and `everyMs` after its end it runs again. It never overlaps itself. What it rejects with is told, and the next
// round comes all the same. After `close` no round begins; one that is under way asks `isClosed` before it writes.
import type { Wheel, WheelTimer } from './wheel.ts'

export class Rounds {
  readonly #wheel: Wheel
  readonly #everyMs: number
  readonly #work: () => Promise<void>
  readonly #onFailed: (error: unknown) => void
  #timer: WheelTimer | undefined
  #isClosed = false

  constructor(
    wheel: Wheel,
    options: { everyMs: number; work: () => Promise<void>; onFailed: (error: unknown) => void },
  ) {
    this.#wheel = wheel
    this.#everyMs = options.everyMs
    this.#work = options.work
    this.#onFailed = options.onFailed
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  /** The first round comes after `everyMs`. Once. */
  start(): void {
    if (this.#isClosed) return
    this.#timer = this.#wheel.after(this.#everyMs, () => {
      void this.#work()
        .catch(this.#onFailed)
        .finally(() => this.start())
    })
  }

  /** Idempotent. */
  close(): void {
    this.#isClosed = true
    this.#wheel.cancel(this.#timer)
  }
}
