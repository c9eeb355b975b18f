// From signals, and from what a role says of itself, to the exit of the process. Rules:
// WO1: the first SIGTERM or SIGINT drains, the second lets all calls go, the third closes, a further one exits at once.
// WO2: a role that has ended by itself exits as well: with 0 after a drain that was asked for (POST /drain), with EXIT_FENCED after a fence.
// WO3: a role that still starts is awaited STARTING_MAX_MS after the first signal, then drained; a second signal exits at once. A start
//      that fails after a signal was ended by it, and is no failure.
import { messageOf } from './kit/errors.ts'
import type { Log } from './kit/log.ts'

export const STARTING_MAX_MS = 10_000
export const EXIT_FENCED = 75 // EX_TEMPFAIL of sysexits.h
const SIGNALS = ['SIGTERM', 'SIGINT'] as const

/** What a role does on its way out. `drain` asked again lets all go; `close` is idempotent, bounded, and never rejects. */
export type Stoppable = {
  drain(): Promise<void>
  close(): Promise<void>
  /** The role has ended by itself; left out: it never does. */
  ended?: Promise<'drained' | 'fenced'>
}
/** Where signals come from: `process`. */
type Signals = { on(signal: (typeof SIGNALS)[number], listener: (signal: string) => void): unknown }

/** Starts a role and resolves with its exit code when it has stopped. Rejects when it cannot start. */
export async function runUntilStopped(
  start: () => Promise<Stoppable>,
  { signals, log }: { signals: Signals; log: Log },
): Promise<number> {
  const { promise: stopped, resolve, reject } = Promise.withResolvers<number>()
  let count = 0
  let running: Stoppable | undefined
  let code = 0
  const stopBy = (stopping: Promise<void>): void => void stopping.then(() => resolve(code), reject)
  const onSignal = (signal: string): void => {
    count += 1
    log.info({ signal, signals: count }, 'signal received')
    if (running === undefined) {
      // Nothing is served yet: there is nobody to let go.
      if (count === 1) setTimeout(() => running === undefined && resolve(code), STARTING_MAX_MS)
      else resolve(code)
    } else if (count <= 2) stopBy(running.drain())
    else if (count === 3) stopBy(running.close())
    else resolve(code)
  }
  const notStarted = (error: unknown): void => {
    if (count > 0) {
      log.info({ reason: messageOf(error) }, 'the start was ended by a signal')
      resolve(code)
    } else reject(error)
  }
  for (const signal of SIGNALS) signals.on(signal, onSignal)
  start().then((started) => {
    running = started
    void started.ended?.then((how) => {
      if (how === 'fenced') {
        code = EXIT_FENCED
        log.error({ code: 'POD_FENCED' }, 'the pod was fenced off and ends')
      }
      stopBy(how === 'fenced' ? started.close() : started.drain())
    })
    if (count > 0) stopBy(started.drain())
  }, notStarted)
  return stopped
}

/** Runs `close`, `withinMs` at most. An error or the bound is logged; the process goes on to its exit. Never rejects. */
export async function closeWithin(withinMs: number, log: Log, close: () => Promise<void>): Promise<void> {
  const overdue = Promise.withResolvers<never>()
  const timer = setTimeout(() => overdue.reject(new Error(`not closed after ${withinMs} ms`)), withinMs)
  try {
    await Promise.race([close(), overdue.promise])
  } catch (error) {
    log.error({ reason: messageOf(error) }, 'closing met an error')
  }
  clearTimeout(timer)
}
