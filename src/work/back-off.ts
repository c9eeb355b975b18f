// How long a failed item waits. Rules:
// BO1: twice as long after each attempt, BACK_OFF_MAX_MS at most, with jitter over its upper half: a sink that was away is not met by all at once.

const BACK_OFF_FIRST_MS = 2_000
export const BACK_OFF_MAX_MS = 10 * 60_000

/** The wait after attempt `attempt` (from 1), in ms; `random` in [0, 1). */
export function backOffMs(attempt: number, random: number = Math.random()): number {
  const wholeMs = Math.min(BACK_OFF_MAX_MS, BACK_OFF_FIRST_MS * 2 ** Math.min(30, Math.max(0, attempt - 1)))
  return Math.round(wholeMs * (0.5 + random / 2))
}
