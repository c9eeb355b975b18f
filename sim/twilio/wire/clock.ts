// The monotonic clock of this process, on the machine's own scale.
// K1: nowMs and nowUs read CLOCK_MONOTONIC, so stamps of two processes on one machine can be subtracted.
// K2: no BigInt on the frame path: the offset to hrtime is taken once, both clocks tick from the same source.

const OFFSET_MS = Number(process.hrtime.bigint() / 1000n) / 1000 - performance.now()

/** Monotonic time in milliseconds (fractional), comparable between processes of one machine. */
export function nowMs(): number {
  return OFFSET_MS + performance.now()
}

/** Monotonic time in whole microseconds, comparable between processes of one machine. */
export function nowUs(): number {
  return Math.round((OFFSET_MS + performance.now()) * 1000)
}
