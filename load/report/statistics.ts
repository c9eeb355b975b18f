// Exact figures over samples. Rules:
// S1: a percentile is taken from the sorted samples themselves (nearest rank), never from buckets or a sketch.
// S2: no sample, no figure: of an empty set `n` is 0 and all else null, never zero.

/** A summary of samples in the samples' own unit; every figure is null when there was no sample. */
export type Summary = {
  n: number
  min: number | null
  mean: number | null
  p50: number | null
  p95: number | null
  p99: number | null
  max: number | null
}

/** The nearest-rank percentile (`share` 0 to 1) of samples that are already sorted ascending. */
export function percentileOfSorted(sorted: readonly number[], share: number): number {
  if (sorted.length === 0) return Number.NaN
  const rank = Math.ceil(share * sorted.length)
  return sorted[Math.min(sorted.length, Math.max(1, rank)) - 1]!
}

/** [S1][S2] Sorts a copy and summarises it. */
export function summarise(samples: readonly number[]): Summary {
  if (samples.length === 0) return { n: 0, min: null, mean: null, p50: null, p95: null, p99: null, max: null }
  const sorted = Float64Array.from(samples).sort()
  let sum = 0
  for (const value of sorted) sum += value
  const at = (share: number): number => round(sorted[Math.max(1, Math.ceil(share * sorted.length)) - 1]!)
  return {
    n: sorted.length,
    min: round(sorted[0]!),
    mean: round(sum / sorted.length),
    p50: at(0.5),
    p95: at(0.95),
    p99: at(0.99),
    max: round(sorted[sorted.length - 1]!),
  }
}

/** Median of an unsorted list; the mean of the middle two when even; NaN when empty. */
export function median(samples: readonly number[]): number {
  if (samples.length === 0) return Number.NaN
  const sorted = [...samples].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/** Points of the cumulative distribution, at most `points` of them: the x below which each share of samples lies. */
export function distribution(samples: readonly number[], points = 200): { x: number[]; share: number[] } {
  const sorted = [...samples].sort((a, b) => a - b)
  const count = Math.min(points, sorted.length)
  const x: number[] = []
  const share: number[] = []
  for (let i = 1; i <= count; i++) {
    x.push(round(percentileOfSorted(sorted, i / count)))
    share.push(round(i / count))
  }
  return { x, share }
}

/** Counts of samples in `bins` equal bins from 0 to `max`; larger samples are counted in the last bin. */
export function histogram(samples: readonly number[], max: number, bins = 60): { edges: number[]; counts: number[] } {
  const width = max / bins
  const counts = new Array<number>(bins).fill(0)
  for (const sample of samples) {
    const bin = Math.min(bins - 1, Math.max(0, Math.floor(sample / width)))
    counts[bin]! += 1
  }
  return { edges: counts.map((_, i) => round(i * width)), counts }
}

/** Least-squares slope of y over x; NaN with fewer than two distinct x. */
export function slope(points: readonly { x: number; y: number }[]): number {
  const n = points.length
  let sumX = 0
  let sumY = 0
  for (const { x, y } of points) {
    sumX += x
    sumY += y
  }
  let top = 0
  let bottom = 0
  for (const { x, y } of points) {
    top += (x - sumX / n) * (y - sumY / n)
    bottom += (x - sumX / n) ** 2
  }
  return bottom === 0 ? Number.NaN : top / bottom
}

/** Rounds to three decimals, so that reports stay readable. */
export function round(value: number): number {
  return Math.round(value * 1_000) / 1_000
}
