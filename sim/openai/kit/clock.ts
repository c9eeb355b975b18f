// One clock for the simulator: microseconds of CLOCK_MONOTONIC, comparable between processes of one machine.

const ORIGIN_US = Number(process.hrtime.bigint()) / 1000 - performance.now() * 1000

/** Microseconds of the monotonic clock (the same scale as process.hrtime). */
export function nowUs(): number {
  return Math.floor(ORIGIN_US + performance.now() * 1000)
}

/** Milliseconds of the monotonic clock, with fraction. */
export function nowMs(): number {
  return performance.now()
}
