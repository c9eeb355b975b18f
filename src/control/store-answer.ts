// A question to a store, within a bound. Rules:
// SA1: each question is settled once, within its bound; what comes later is dropped and never an unhandled rejection.
// SA2: a rejection, a throw and silence are one outcome, `away`: nothing is known of what the store did.
// SA3: at the bound what has already arrived is read first: a process that was frozen beyond it finds its answer waiting.
import { messageOf, VoiceError } from '../kit/errors.ts'
import type { Wheel } from '../kit/wheel.ts'

/** `isExpected`: the store was unreachable or silent; otherwise its code threw something else, which is a bug to log. */
export type StoreAnswer<T> = { kind: 'answer'; value: T } | { kind: 'away'; reason: string; isExpected: boolean }

/** Asks, and waits at most `withinMs` (plus one tick of the wheel). Never rejects. */
export function askWithin<T>(wheel: Wheel, withinMs: number, ask: () => Promise<T>): Promise<StoreAnswer<T>> {
  return new Promise((resolve) => {
    const silent = (): void => resolve({ kind: 'away', reason: `no answer within ${withinMs} ms`, isExpected: true })
    // Timers run before sockets are read; an immediate runs after.
    const timer = wheel.after(withinMs, () => setImmediate(silent))
    const failed = (error: unknown): void => {
      wheel.cancel(timer)
      const isExpected = error instanceof VoiceError && error.code === 'STORE_UNAVAILABLE'
      resolve({ kind: 'away', reason: messageOf(error), isExpected })
    }
    try {
      ask().then((value) => {
        wheel.cancel(timer)
        resolve({ kind: 'answer', value })
      }, failed)
    } catch (error) {
      failed(error)
    }
  })
}
