// Time as a test may judge it on a machine that others use too. Rules:
// TP1: what has to come is waited for COMES_MS: the bound is there to end a test that has failed, not to judge how fast the machine is.
// TP2: where a wall clock is the point, the time that the process which is judged stood ready and was given no core does not count (Linux: run delay of its
//      main thread in schedstat; elsewhere nothing is allowed for).
import { readFileSync } from 'node:fs'

const COMES_MS = 60_000
const LOOK_EVERY_MS = 5

/** Waits until `isSo`, `withinMs` at most; then it throws `what`, which may be read only then. [TP1] */
export async function until(
  what: string | (() => string),
  isSo: () => boolean | Promise<boolean>,
  withinMs = COMES_MS,
): Promise<void> {
  if (await comesAbout(isSo, withinMs)) return
  throw new Error(`did not come about in ${withinMs} ms: ${typeof what === 'string' ? what : what()}`)
}

/** Whether `isSo` came about within `withinMs`: for what may stay away. */
export async function comesAbout(isSo: () => boolean | Promise<boolean>, withinMs: number): Promise<boolean> {
  const endMs = performance.now() + withinMs
  while (!(await isSo())) {
    if (performance.now() > endMs) return false
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS))
  }
  return true
}

/** For how long the main thread of a process was ready to run and did not, in ms, since it began. */
function runDelayMs(pid: number | 'self' = 'self'): number {
  try {
    return Number(readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ')[1]) / 1e6
  } catch {
    return 0
  }
}

type Watch = {
  /** The time since the start that counts, in ms. [TP2] */
  elapsedMs(): number
  /** The same where `pid` is judged, a process that was started after this watch. */
  elapsedMsOf(pid: number): number
}

/** Starts to measure. */
export function startWatch(): Watch {
  const startMs = performance.now()
  const delayMs = runDelayMs()
  return {
    elapsedMs: () => performance.now() - startMs - (runDelayMs() - delayMs),
    elapsedMsOf: (pid) => performance.now() - startMs - runDelayMs(pid),
  }
}
