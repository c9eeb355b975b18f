// What the lag of a pod's event loop means for its placement. Pure. Rules:
// PG1: each sample speaks of the second before it; a condition "for n seconds" needs so many in a row.
// PG2: the penalty is the highest of the samples of the last CALM_MS: 0 under 20 ms, 5 to 50 ms, 10 to 100 ms, 20 above, so that
//      the store can order pods that all lag.
// PG3: over 50 ms or over 0.75 of utilisation for 2 s: the pod lags and leaves placement; it comes back after CALM_MS below both.
// PG4: over 100 ms for 5 s: one call is to move away with each further sample.
// PG5: a pod judges only itself; that not every pod leaves placement is the store's care.
// PG6: over 200 ms for 3 s: the pod is full whatever its number of calls says; it takes new calls again after CALM_MS below that.

/** One second of the event loop: p99 of its delay, and its utilisation from 0 to 1. */
export type LagSample = { atMs: number; p99Ms: number; utilization: number }

const LAG_WINDOW_MS = 1_000
export const CALM_MS = 5_000
const BUSY_P99_MS = 20
/** Beyond it a pod is late: it leaves placement, and has no core to spare (pod-capacity.ts). */
export const LATE_P99_MS = 50
const LEAVE_UTILIZATION = 0.75
const LEAVE_AFTER_MS = 2_000
const MOVE_P99_MS = 100
const MOVE_AFTER_MS = 5_000
const FULL_P99_MS = 200
const FULL_AFTER_MS = 3_000
/** After a hole in the samples a row begins anew. */
const HOLE_MS = 3 * LAG_WINDOW_MS
const RECENT_MAX = 20

export type LagView = {
  penalty: number
  isLagging: boolean
  /** A new call would be one too many for everyone. */
  isFull: boolean
  /** Whether the last sample asks for one call to move. */
  isMoveDue: boolean
  lastAtMs: number | undefined
  /** Since when each condition has held without a break; undefined: it does not hold. */
  overLeaveSinceMs: number | undefined
  overMoveSinceMs: number | undefined
  overFullSinceMs: number | undefined
  belowFullSinceMs: number | undefined
  calmSinceMs: number | undefined
  /** The penalties of the samples of the last CALM_MS, at most RECENT_MAX. */
  recent: readonly { atMs: number; penalty: number }[]
}

export const NO_LAG: LagView = {
  penalty: 0,
  isLagging: false,
  isFull: false,
  isMoveDue: false,
  lastAtMs: undefined,
  overLeaveSinceMs: undefined,
  overMoveSinceMs: undefined,
  overFullSinceMs: undefined,
  belowFullSinceMs: undefined,
  calmSinceMs: undefined,
  recent: [],
}

/** The penalty of one sample. */
export function penaltyOf(p99Ms: number): number {
  if (p99Ms < BUSY_P99_MS) return 0
  if (p99Ms <= LATE_P99_MS) return 5
  return p99Ms <= MOVE_P99_MS ? 10 : 20
}

/** The view after one more sample. */
export function withSample(view: LagView, sample: LagSample): LagView {
  const { atMs, p99Ms, utilization } = sample
  const isHole = view.lastAtMs !== undefined && atMs - view.lastAtMs > HOLE_MS
  const row = (holds: boolean, sinceMs: number | undefined): number | undefined => {
    if (!holds) return undefined
    return sinceMs === undefined || isHole ? atMs - LAG_WINDOW_MS : sinceMs
  }
  const isOver = p99Ms > LATE_P99_MS || utilization > LEAVE_UTILIZATION
  const overLeaveSinceMs = row(isOver, view.overLeaveSinceMs)
  const overMoveSinceMs = row(p99Ms > MOVE_P99_MS, view.overMoveSinceMs)
  const overFullSinceMs = row(p99Ms > FULL_P99_MS, view.overFullSinceMs)
  const belowFullSinceMs = row(p99Ms <= FULL_P99_MS, view.belowFullSinceMs)
  const calmSinceMs = row(!isOver, view.calmSinceMs)
  const isRecent = (one: { atMs: number }): boolean => atMs - one.atMs < CALM_MS
  const recent = [...view.recent.filter(isRecent), { atMs, penalty: penaltyOf(p99Ms) }].slice(-RECENT_MAX)
  const held = (sinceMs: number | undefined, forMs: number): boolean => sinceMs !== undefined && atMs - sinceMs >= forMs
  return {
    penalty: Math.max(...recent.map(({ penalty }) => penalty)),
    recent,
    isLagging: view.isLagging ? !held(calmSinceMs, CALM_MS) : held(overLeaveSinceMs, LEAVE_AFTER_MS),
    isFull: view.isFull ? !held(belowFullSinceMs, CALM_MS) : held(overFullSinceMs, FULL_AFTER_MS),
    isMoveDue: held(overMoveSinceMs, MOVE_AFTER_MS),
    lastAtMs: atMs,
    overLeaveSinceMs,
    overMoveSinceMs,
    overFullSinceMs,
    belowFullSinceMs,
    calmSinceMs,
  }
}
