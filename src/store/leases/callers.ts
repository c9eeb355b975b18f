// How many places each far party has, live and waiting, in memory. Rules:
// LCA1: a place is counted for its caller from its grant or its ticket to the end of both; a lease that is served from the queue counts once.
// LCA2: a caller who has `max` places gets no further one, whatever the queue; a repeated question of one of them is answered as before.
// LCA3: a resume and an assertion never ask for room, but count.
// LCA4: a place whose lease and ticket are gone is forgotten when its caller is refused, at most callerLooks at a time: a pod of an older release
//      ends leases without counting.
// LCA5: a key of two words is a caller and its group: the place counts for both, and each has its bound.
import type { CallerPlaces } from '../../control/ports.ts'
import type { CallSid } from '../../kit/ids.ts'

export class Callers {
  readonly #of = new Map<CallSid, string>()
  readonly #places = new Map<string, Set<CallSid>>()

  /** [LCA2][LCA5] */
  isFull({ key, max, groupMax = max }: CallerPlaces): boolean {
    return key.split(' ').some((one, at) => (this.#places.get(one)?.size ?? 0) >= (at === 0 ? max : groupMax))
  }

  /** [LCA1] `caller` undefined: it is not known, and nothing is counted. */
  remember(callSid: CallSid, caller: string | undefined): void {
    if (caller === undefined || this.#of.has(callSid)) return
    this.#of.set(callSid, caller)
    for (const one of caller.split(' ')) {
      const places = this.#places.get(one) ?? new Set()
      places.add(callSid)
      this.#places.set(one, places)
    }
  }

  forget(callSid: CallSid): void {
    const caller = this.#of.get(callSid)
    if (caller === undefined) return
    this.#of.delete(callSid)
    for (const one of caller.split(' ')) {
      const places = this.#places.get(one)!
      places.delete(callSid)
      if (places.size === 0) this.#places.delete(one)
    }
  }
}
