// How many calls the core of this pod carries: learnt from what its calls cost, never configured. Pure. Rules:
// CAP1: the cost of a call is its share of the event loop's busy time: utilization divided by live calls, the median of the samples of
//       the last WINDOW_MS. Time in which the loop waits for the CPU counts, so that a neighbour or a CPU quota lowers what fits.
// CAP2: callsFit is CORE_SHARE of the one core divided by that cost. New calls are refused or queued from there on; live calls stay.
// CAP3: nothing is known before SAMPLES_MIN samples with CALLS_MIN calls each in which the loop used half of CORE_SHARE, by the median:
//       a pod that starts, or has few calls, refuses nothing. What is known is forgotten when the window has fewer such samples.
// CAP4: a sample whose lag is over LATE_P99_MS counts as a core that is used up to CORE_SHARE at least: a pod that lags for half of
//       the window takes no more calls than it has.
// CAP5: a median hears no single sample: one collection, or a neighbour for less than half of the window, changes nothing.
// CAP6: callsFit keeps its value while it lies within the error of the newest estimate (twice the standard error of the median), so
//       that it does not flap. While the estimate is uncertain by more than ERROR_SHARE_MAX, the last value stays.
// CAP7: the pod is saturated from callsFit calls on, and until it has RELIEF_SHARE of callsFit or less.
// CAP8: live calls are never moved, ended or refused for callsFit: it bounds new calls alone. A call that sounds bad for a while is better
//       than one that is gone, and what was learnt may be wrong.

import { LATE_P99_MS, type LagSample } from './pod-lag.ts'

/** One second of the pod: its event loop and its live calls. */
export type CapacitySample = LagSample & { calls: number }

const WINDOW_MS = 30_000
export const SAMPLES_MIN = 10
export const CALLS_MIN = 20
/** Below LEAVE_UTILIZATION, so that a pod is full before it lags (PG3). */
export const CORE_SHARE = 0.7
const ERROR_SHARE_MAX = 0.25
const RELIEF_SHARE = 0.95
/** The samples come once a second; more than these are never kept. */
const KEPT_MAX = 60
/** Median absolute deviation × this estimates a standard deviation; the median's standard error is 1.253 times the mean's. */
const DEVIATION_PER_MAD = 1.4826
const MEDIAN_ERROR = 1.253

type Known = { atMs: number; cost: number; used: number }

export type Capacity = {
  /** At most KEPT_MAX. */
  samples: readonly Known[]
  /** Share of the core that one call takes, 0 to 1; undefined: not known. */
  costShare: number | undefined
  /** New calls may be placed here while it holds less; undefined: the configured limit alone counts. */
  callsFit: number | undefined
  isSaturated: boolean
}

export const UNKNOWN_CAPACITY: Capacity = { samples: [], costShare: undefined, callsFit: undefined, isSaturated: false }

/** What is known of the capacity after one more sample. */
export function learnCapacity(before: Capacity, { atMs, calls, utilization, p99Ms }: CapacitySample): Capacity {
  const recent = before.samples.filter((one) => atMs - one.atMs < WINDOW_MS)
  const used = p99Ms > LATE_P99_MS ? Math.max(utilization, CORE_SHARE) : utilization
  const samples = calls < CALLS_MIN ? recent : [...recent, { atMs, cost: used / calls, used }].slice(-KEPT_MAX)
  const isKnown =
    samples.length >= SAMPLES_MIN &&
    (before.callsFit !== undefined || median(samples.map((one) => one.used)) >= CORE_SHARE / 2)
  if (!isKnown) return { ...UNKNOWN_CAPACITY, samples }
  const costs = samples.map(({ cost }) => cost)
  const costShare = median(costs)
  const error = errorOf(costs, costShare)
  const callsFit = error > ERROR_SHARE_MAX * costShare ? before.callsFit : settle(before.callsFit, costShare, error)
  return { samples, costShare, callsFit, isSaturated: isSaturated(before.isSaturated, calls, callsFit) }
}

/** [CAP6] */
function settle(before: number | undefined, cost: number, error: number): number {
  const fit = (one: number): number => Math.max(CALLS_MIN, Math.floor(CORE_SHARE / one))
  const isWithin = before !== undefined && before >= fit(cost + error) && before <= fit(cost - error)
  return isWithin ? before : fit(cost)
}

/** [CAP7] */
function isSaturated(was: boolean, calls: number, callsFit: number | undefined): boolean {
  if (callsFit === undefined) return false
  return was ? calls > callsFit * RELIEF_SHARE : calls >= callsFit
}

/** Twice the standard error of the median of `values`, by their absolute deviations from it. */
function errorOf(values: readonly number[], middle: number): number {
  const deviation = DEVIATION_PER_MAD * median(values.map((value) => Math.abs(value - middle)))
  return (2 * MEDIAN_ERROR * deviation) / Math.sqrt(values.length)
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const half = Math.floor(sorted.length / 2)
  return sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2
}
