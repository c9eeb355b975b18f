// What follows calls that are over for this pod. Rules:
// AW1: what follows is remembered for NEXT_KEPT_MS, for at most NEXT_MAX calls; the oldest leaves first.
// AW2: a repeated question gets the same answer; the end of a transfer is judged by call control (DK13).
// AW4: a call whose stream broke before it began keeps no place meanwhile: it comes back without one.
// AW3: a call whose socket broke is kept for RESUME_AWAITED_MS, for at most DETACHED_MAX calls; then, or beyond it, it has ended.

import type { Next } from '../call/state.ts'
import type { HeldLease } from '../control/ports.ts'
import type { Clock } from '../kit/clock.ts'
import type { CallSid } from '../kit/ids.ts'
import type { Wheel, WheelTimer } from '../kit/wheel.ts'
import type { NextStep, StreamGrant } from './call-control.ts'
import type { PlacesOf } from './caller-places.ts'
import { leaseOf, type Origin } from './pod-call.ts'

export const NEXT_KEPT_MS = 120_000
export const NEXT_MAX = 10_000
export const RESUME_AWAITED_MS = 30_000
export const DETACHED_MAX = 10_000

/** A call without its socket: all that is needed to go on with it, or to end it. */
export type Detached = { origin: Origin; checkpoint: string; hasPlace: boolean }

export class Afterwards {
  readonly #clock: Clock
  readonly #wheel: Wheel
  readonly #onGivenUp: (detached: Detached) => void
  readonly #placesOf: PlacesOf
  readonly #next = new Map<CallSid, { next: Next | StreamGrant; untilMs: number; isAsked: boolean; epoch: number }>()
  readonly #detached = new Map<CallSid, Detached & { timer: WheelTimer }>()

  constructor(parts: { clock: Clock; wheel: Wheel; placesOf: PlacesOf; onGivenUp: (detached: Detached) => void }) {
    this.#placesOf = parts.placesOf
    this.#clock = parts.clock
    this.#wheel = parts.wheel
    this.#onGivenUp = parts.onGivenUp
  }

  /** Callers who still have to be told what follows (their stream was ended by us). */
  get unasked(): number {
    let count = 0
    for (const { isAsked } of this.#next.values()) if (!isAsked) count += 1
    return count
  }

  /** `epoch`: of the pod's part that is over. */
  remember(callSid: CallSid, next: Next | StreamGrant, epoch = 0): void {
    const nowMs = this.#clock.monotonicMs()
    for (const [sid, { untilMs }] of this.#next) {
      if (untilMs > nowMs && this.#next.size < NEXT_MAX) break
      this.#next.delete(sid)
    }
    this.#next.delete(callSid)
    this.#next.set(callSid, { next, untilMs: nowMs + NEXT_KEPT_MS, isAsked: next.kind === 'none', epoch })
  }

  /** Whether it was told before what follows the call. */
  isAsked(callSid: CallSid): boolean {
    return this.#next.get(callSid)?.isAsked === true
  }

  /** The part of a call that ended here with a transfer. */
  transferOf(callSid: CallSid): { to: string; epoch: number } | undefined {
    const remembered = this.#next.get(callSid)
    return remembered?.next.kind === 'transfer' ? { to: remembered.next.to, epoch: remembered.epoch } : undefined
  }

  /** The call goes on. */
  forget(callSid: CallSid): void {
    this.#next.delete(callSid)
  }

  /** What follows the call; undefined when nothing is known of it here. */
  answer(callSid: CallSid): NextStep | undefined {
    const remembered = this.#next.get(callSid)
    if (remembered === undefined) return undefined
    remembered.isAsked = true
    const { next } = remembered
    if (next.kind === 'none') return { kind: 'hang-up' }
    return next
  }

  /** Whether all that is known is the carrier's word that the call is over: no part of it ended here. */
  isOnlyTold(callSid: CallSid): boolean {
    const remembered = this.#next.get(callSid)
    return remembered?.next.kind === 'none' && remembered.epoch === 0
  }

  /** Whether the call has ended here of late; one that another pod goes on with has not. */
  hasEnded(callSid: CallSid): boolean {
    const next = this.#next.get(callSid)?.next
    return next !== undefined && next.kind !== 'stream'
  }

  /** The call's socket broke: its carrier may ask for it. */
  keepDetached(detached: Detached): void {
    const { callSid } = detached.origin
    this.takeDetached(callSid)
    if (this.#detached.size >= DETACHED_MAX) {
      this.#onGivenUp(detached)
      return
    }
    const timer = this.#wheel.after(RESUME_AWAITED_MS, () => {
      if (this.takeDetached(callSid) !== undefined) this.#onGivenUp(detached)
    })
    this.#detached.set(callSid, { ...detached, timer })
  }

  takeDetached(callSid: CallSid): Detached | undefined {
    const detached = this.#detached.get(callSid)
    if (detached === undefined) return undefined
    this.#wheel.cancel(detached.timer)
    this.#detached.delete(callSid)
    return detached
  }

  /** The leases of calls without a socket: their slots are kept while they may come back. */
  leases(): HeldLease[] {
    return [...this.#detached.values()]
      .filter(({ hasPlace }) => hasPlace)
      .map(({ origin }) => leaseOf(origin, this.#placesOf))
  }
}
