// How late ticks were, in a fixed amount of memory.
// L1: buckets of a quarter octave from 10 µs to about 10 s: a percentile is exact to 19 %; the maximum is exact.

const BUCKETS = 81
const SMALLEST_MS = 0.01

export type LatenessSummary = { count: number; p50Ms: number; p99Ms: number; maxMs: number }

export class Lateness {
  private readonly buckets = new Uint32Array(BUCKETS)
  private count = 0
  private maxMs = 0

  /** Adds one delay in milliseconds; an early tick counts as zero. */
  add(lateMs: number): void {
    this.count++
    if (lateMs > this.maxMs) this.maxMs = lateMs
    const index = lateMs <= SMALLEST_MS ? 0 : Math.min(BUCKETS - 1, Math.ceil(Math.log2(lateMs / SMALLEST_MS) * 4))
    this.buckets[index]!++
  }

  /** The delay in milliseconds that this share (0–1) of the ticks did not exceed. */
  quantile(share: number): number {
    let left = Math.ceil(this.count * share)
    for (let i = 0; i < BUCKETS; i++) {
      left -= this.buckets[i]!
      if (left <= 0) return Math.min(this.maxMs, SMALLEST_MS * 2 ** (i / 4))
    }
    return this.maxMs
  }

  summary(): LatenessSummary {
    const round = (ms: number): number => Math.round(ms * 1000) / 1000
    return {
      count: this.count,
      p50Ms: this.count === 0 ? 0 : round(this.quantile(0.5)),
      p99Ms: this.count === 0 ? 0 : round(this.quantile(0.99)),
      maxMs: round(this.maxMs),
    }
  }
}
