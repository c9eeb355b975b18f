// Time comes in by argument. Rules:
// CL1: durations are measured on the monotonic clock (`monotonicMs`), never on the wall clock.
// CL2: nothing outside this file calls Date.now, performance.now or setTimeout on the call's behalf.

/** The clock handed to everything that measures or waits. */
export interface Clock {
  /** Milliseconds since an arbitrary origin; never goes back. */
  monotonicMs(): number
  /** Wall-clock milliseconds since 1970, for records only. */
  wallMs(): number
}

/** The machine's own clock. */
export const systemClock: Clock = {
  monotonicMs: () => performance.now(),
  wallMs: () => Date.now(),
}

/** A clock for tests that moves only when told. */
export class FakeClock implements Clock {
  #ms: number
  constructor(startMs = 0) {
    this.#ms = startMs
  }
  monotonicMs(): number {
    return this.#ms
  }
  wallMs(): number {
    return 1_790_000_000_000 + this.#ms
  }
  /** Moves time forward by `ms`. */
  advance(ms: number): void {
    this.#ms += ms
  }
}
