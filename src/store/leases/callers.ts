// How many places each far party has, live and waiting, in memory. Rules:
// LCA1: a place is counted for its caller from its grant or its ticket to the end of both; a lease that is served from the queue counts once.
// LCA2: a caller who has `max` places gets no further one, whatever the queue; a repeated question of one of them is answered as before.
// LCA3: a resume and an assertion never ask for room, but count.
// LCA4: a place whose lease and ticket are gone is forgotten when its caller is refused, at most callerLooks at a time: a pod of an older release
//      ends leases without counting.
import type { CallSid } from '../../kit/ids.ts'

export class Callers {
  readonly #of = new Map<CallSid, string>()
  readonly #places = new Map<string, Set<CallSid>>()

  placesOf(caller: string): number {
    return this.#places.get(caller)?.size ?? 0
  }

  /** [LCA1] `caller` undefined: it is not known, and nothing is counted. */
  remember(callSid: CallSid, caller: string | undefined): void {
    if (caller === undefined || this.#of.has(callSid)) return
    this.#of.set(callSid, caller)
    const places = this.#places.get(caller) ?? new Set()
    places.add(callSid)
    this.#places.set(caller, places)
  }

  forget(callSid: CallSid): void {
    const caller = this.#of.get(callSid)
    if (caller === undefined) return
    this.#of.delete(callSid)
    const places = this.#places.get(caller)!
    places.delete(callSid)
    if (places.size === 0) this.#places.delete(caller)
  }
}
