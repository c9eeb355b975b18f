// The pods of a cell in memory. Rules:
// LPD1: a pod is placeable when it is ready, was announced within the ttl, and holds less than newCallsMax; the penalty only ranks.
// LPD2: a call goes to the placeable pod with the least calls + penalty, the first by name among equals.
// LPD3: a resume takes the preferred pod if that is ready and below resumeMaxOf(callsMax); else the least loaded placeable one but the
//      avoided; else any ready one with room whatever its penalty; else any ready one below resumeMaxOf(callsMax); then, by the same
//      bound, a cordoned one (it lags, or an operator wants no new calls there); the avoided one; a draining one: it hands the call over, or
//      keeps it to its end. Its own old place counts as room.
// LPD4: a pod without calls that was not announced within the hard time is forgotten.
import { type PodEntry, type PodHeartbeat, type PodState, resumeMaxOf } from '../../control/ports.ts'
import { LEASE_BOUNDS } from './bounds.ts'

type Known = Required<PodHeartbeat> & { announcedAtMs: number }

/** What the roster must know of the leases and the time. */
export type RosterView = { nowMs: number; ttlMs: number; callsOf: (pod: string) => number }

export class Roster {
  /** At most podsMax. */
  readonly #pods = new Map<string, Known>()

  announce(pod: PodHeartbeat, nowMs: number): void {
    if (!this.#pods.has(pod.pod) && this.#pods.size >= LEASE_BOUNDS.podsMax) return
    const { incarnation, address, state, callsMax, penalty } = pod
    const newCallsMax = Math.min(callsMax, pod.newCallsMax ?? callsMax)
    const shown = { pod: pod.pod, incarnation, address, state, callsMax, newCallsMax, penalty }
    this.#pods.set(pod.pod, { ...shown, announcedAtMs: nowMs })
  }

  addressOf(pod: string): string {
    return this.#pods.get(pod)?.address ?? ''
  }

  /** All pods by name. */
  list({ nowMs, callsOf }: RosterView): PodEntry[] {
    return [...this.#pods.values()]
      .sort((a, b) => compare(a.pod, b.pod))
      .map(({ announcedAtMs, ...pod }) => ({ ...pod, calls: callsOf(pod.pod), ageMs: nowMs - announcedAtMs }))
  }

  hasReady(view: RosterView): boolean {
    return [...this.#pods.values()].some((pod) => isIn(pod, 'ready', view))
  }

  /** [LPD2] */
  pick(view: RosterView, avoidPod?: string): string | undefined {
    return this.#least(view, (pod) => pod.pod !== avoidPod && view.callsOf(pod.pod) < pod.newCallsMax)
  }

  /** [LPD3] `ownPod`: where the call is counted now. */
  pickResume(
    view: RosterView,
    wish: { avoidPod: string | undefined; preferPod: string | undefined; ownPod: string | undefined },
  ): string | undefined {
    const callsBeside = ({ pod }: Known) => view.callsOf(pod) - (pod === wish.ownPod ? 1 : 0)
    const hasRoom = (pod: Known) => callsBeside(pod) < pod.newCallsMax
    const mayTake = (pod: Known) => callsBeside(pod) < resumeMaxOf(pod.callsMax)
    const preferred = wish.preferPod === undefined ? undefined : this.#pods.get(wish.preferPod)
    if (preferred !== undefined && isIn(preferred, 'ready', view) && mayTake(preferred)) return preferred.pod
    return (
      this.pick(view, wish.avoidPod) ??
      this.#least(view, (pod) => pod.pod !== wish.avoidPod && hasRoom(pod)) ??
      this.#least(view, (pod) => pod.pod !== wish.avoidPod && mayTake(pod)) ??
      this.#least(view, (pod) => pod.pod !== wish.avoidPod && mayTake(pod), 'cordoned') ??
      this.#least(view, (pod) => pod.pod === wish.avoidPod && mayTake(pod)) ??
      this.#least(view, mayTake, 'draining')
    )
  }

  /** [LPD4] At most `max`. */
  forget(view: RosterView, hardMs: number, max: number): void {
    const old = [...this.#pods.values()]
      .filter(({ announcedAtMs }) => announcedAtMs < view.nowMs - hardMs)
      .sort((a, b) => a.announcedAtMs - b.announcedAtMs || compare(a.pod, b.pod))
    for (const { pod } of old.slice(0, max)) if (view.callsOf(pod) === 0) this.#pods.delete(pod)
  }

  #least(view: RosterView, isFit: (pod: Known) => boolean, state: PodState = 'ready'): string | undefined {
    let best: { pod: string; load: number } | undefined
    for (const pod of this.#pods.values()) {
      if (!isIn(pod, state, view) || !isFit(pod)) continue
      const load = view.callsOf(pod.pod) + pod.penalty
      if (best === undefined || load < best.load || (load === best.load && pod.pod < best.pod))
        best = { pod: pod.pod, load }
    }
    return best?.pod
  }
}

function isIn(pod: Known, state: PodState, { nowMs, ttlMs }: RosterView): boolean {
  return pod.state === state && nowMs - pod.announcedAtMs <= ttlMs
}

/** The order of bytes, as Redis has it; names are ASCII. */
export function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
