// The calls that this pod holds: made once, checkpointed while they act, let go when another epoch acts. Rules:
// CA1: one held call for each Call SID: a higher epoch takes the place of a lower one, which is let go; a lower one is not made.
// CA2: a checkpoint is written CHECKPOINT_AFTER_MS after the first change that it holds, of active calls only; media waits for none.
// CA3: a call that was let go writes nothing more.
// CA5: the calls of this pod are those that it holds and its pending ones (pending-call.ts): for a drain, for its figures, for an end.
// CA4: an active call is written each SIGN_MS also when nothing changes in it: a call whose row stays unwritten has no pod.
import { writeCheckpoint } from '../call/checkpoint.ts'
import type { EndCause, Next } from '../call/state.ts'
import type { HeldLease } from '../control/ports.ts'
import { messageOf, VoiceError } from '../kit/errors.ts'
import type { CallSid } from '../kit/ids.ts'
import type { WheelTimer } from '../kit/wheel.ts'
import type { TimelineEntry } from '../ops/watch.ts'
import type { PlacesOf } from './caller-places.ts'
import { OPEN_MAX_MS, type PendingCall, PendingCalls } from './pending-call.ts'
import { leaseOf, makePodCall, type Origin, type PodCall, type PodCallMakerParts } from './pod-call.ts'

export const CHECKPOINT_AFTER_MS = 200
export const SIGN_MS = 30_000
/** A tool after a handoff waits so long for the checkpoint of it. */
export const KEEP_MAX_MS = 1_000

/** Where checkpoints go; never waits (store/records/checkpoint-writer.ts). */
export interface Checkpoints {
  put(write: { callSid: CallSid; epoch: number; sequence: number; text: string }): void
  /** True when everything put before is durable, false at the bound. */
  flush(callSid: CallSid | undefined, withinMs: number): Promise<boolean>
  remove(callSid: CallSid): void
}

export type PodCallsParts = Omit<PodCallMakerParts, 'onEnded' | 'onChanged' | 'onFenced' | 'keep'> & {
  checkpoints: Checkpoints | undefined
  placesOf: PlacesOf
  onEnded: (podCall: PodCall, cause: EndCause, next: Next) => void
}

export class PodCalls {
  readonly #parts: PodCallsParts
  readonly #podCall = new Map<CallSid, PodCall>()
  readonly #opening = new Map<CallSid, { epoch: number; made: Promise<PodCall | undefined> }>()
  /** [CA5] */
  readonly pending = new PendingCalls()
  readonly #dirty = new Set<PodCall>()
  #isWriting = false
  #signs: WheelTimer | undefined
  /** Every call was ended: none is made any more. */
  #isOver = false
  /** Told of the moments of every call that is made after it was set. */
  onTimeline: ((entry: TimelineEntry) => void) | undefined

  constructor(parts: PodCallsParts) {
    this.#parts = parts
  }

  get size(): number {
    let unmade = 0
    for (const callSid of this.pending.callSids()) if (!this.#podCall.has(callSid)) unmade += 1
    return this.#podCall.size + unmade
  }

  /** PodCalls that have been made: a field to read, cheap enough to be asked at each frame. */
  get madeCount(): number {
    return this.#podCall.size
  }

  /** [CA5] */
  callSids(): CallSid[] {
    return [...new Set([...this.#podCall.keys(), ...this.pending.callSids()])]
  }

  get(callSid: CallSid): PodCall | undefined {
    return this.#podCall.get(callSid)
  }

  /** The call when it has been made; undefined when it is not being made, or comes to nothing. Never rejects. */
  async made(callSid: CallSid): Promise<PodCall | undefined> {
    return this.#podCall.get(callSid) ?? this.#opening.get(callSid)?.made.catch(() => undefined)
  }

  all(): PodCall[] {
    return [...this.#podCall.values()]
  }

  /** The leases that this pod keeps alive. */
  leases(): HeldLease[] {
    const acting = this.all().filter(({ isActive, isMoving, isOver }) => isActive && !isMoving && !isOver)
    return acting.map(({ origin }) => leaseOf(origin, this.#parts.placesOf))
  }

  /**
   * The call of `origin`, made if need be; undefined when a higher epoch is held, or when it has ended before it was made. Rejects when the
   * pack does, or is overdue.
   */
  prepare(origin: Origin): Promise<PodCall | undefined> {
    const { callSid, epoch } = origin
    const podCall = this.#podCall.get(callSid)
    if (podCall !== undefined && podCall.epoch >= epoch)
      return Promise.resolve(podCall.epoch === epoch ? podCall : undefined)
    const opening = this.#opening.get(callSid)
    if (opening !== undefined && opening.epoch >= epoch) return opening.made
    if (this.#isOver) return Promise.resolve(undefined)
    const made = this.pending
      .during(callSid, (pending) => this.#make(origin, pending))
      .finally(() => {
        if (this.#opening.get(callSid)?.made === made) this.#opening.delete(callSid)
      })
    this.#opening.set(callSid, { epoch, made })
    return made
  }

  /** The stream of the call is here: from now on it acts. */
  activate(podCall: PodCall): void {
    podCall.begin()
    podCall.needsClaim = false
    if (this.#parts.checkpoints !== undefined && this.#signs === undefined) this.#signLater()
    this.#parts.history('acts', podCall.callSid, podCall.epoch)
    this.#changed(podCall)
  }

  /** What is made or was made for `epoch` is not needed: its stream is elsewhere, or the call is over. */
  forget(callSid: CallSid, epoch: number): void {
    const podCall = this.#podCall.get(callSid)
    if (podCall?.epoch === epoch && !podCall.isActive) this.relinquish(podCall, 'handed-over')
    if (this.#opening.get(callSid)?.epoch === epoch) this.pending.get(callSid)?.end({ kind: 'elsewhere' })
  }

  /** Another pod acts for the call, or none may: this pod stops at once and writes nothing. */
  relinquish(podCall: PodCall, cause: EndCause): void {
    if (podCall.isOver) return
    podCall.finish()
    this.#dirty.delete(podCall)
    this.#parts.checkpoints?.remove(podCall.callSid)
    this.#parts.history(cause === 'moved' ? 'fenced' : 'released', podCall.callSid, podCall.epoch)
    podCall.call.relinquish(cause)
  }

  /** Hands what changed to the checkpoints now. */
  writeNow(): void {
    const { checkpoints } = this.#parts
    for (const podCall of this.#dirty) {
      const { callSid, epoch, call } = podCall
      checkpoints?.put({ callSid, epoch, sequence: call.changes, text: writeCheckpoint(call.checkpoint) })
    }
    this.#dirty.clear()
  }

  /** No call is made any more; those that come are let go. */
  noMore(): void {
    this.#isOver = true
    this.pending.endAll({ kind: 'let-go' })
  }

  async #make(origin: Origin, pending: PendingCall): Promise<PodCall | undefined> {
    const { wheel } = this.#parts.world
    const { openMaxMs = OPEN_MAX_MS } = this.#parts.shape
    if (pending.ending !== undefined) return undefined
    const timer = wheel.after(openMaxMs, () => {
      pending.end({
        kind: 'failed',
        error: new VoiceError('AGENT_FAILED', { message: `no agent after ${openMaxMs} ms` }),
      })
    })
    try {
      const made = this.#open(origin, () => pending.ending === undefined)
      const podCall = await pending.race(made, (end) => {
        if (end.kind === 'failed') throw end.error
        return undefined
      })
      return podCall === undefined ? undefined : this.#hold(podCall)
    } finally {
      wheel.cancel(timer)
    }
  }

  #open(origin: Origin, isWanted: () => boolean): Promise<PodCall | undefined> {
    const { onEnded, checkpoints: _checkpoints, placesOf: _placesOf, ...parts } = this.#parts
    return makePodCall(
      {
        ...parts,
        onChanged: (changed) => this.#changed(changed),
        keep: (one) => this.#keep(one),
        onFenced: (fenced) => this.relinquish(fenced, 'moved'),
        onEnded: (ended, cause, next) => {
          if (this.#podCall.get(ended.callSid) === ended) this.#podCall.delete(ended.callSid)
          if (this.#podCall.size === 0) this.#noSigns()
          this.#dirty.delete(ended)
          if (ended.isActive && !ended.isOver && cause !== 'carrier-lost')
            this.#parts.history('ended', ended.callSid, ended.epoch)
          onEnded(ended, cause, next)
        },
      },
      origin,
      isWanted,
      this.onTimeline,
    )
  }

  #hold(podCall: PodCall): PodCall | undefined {
    const { callSid, epoch } = podCall
    const before = this.#podCall.get(callSid)
    if (before !== undefined && before.epoch >= epoch) {
      podCall.finish()
      podCall.call.relinquish('moved')
      return before.epoch === epoch ? before : undefined
    }
    if (before !== undefined) this.relinquish(before, 'moved')
    this.#podCall.set(callSid, podCall)
    podCall.call.start()
    return podCall
  }

  /** The call as it is now, in a checkpoint, or KEEP_MAX_MS later. */
  async #keep(podCall: PodCall): Promise<void> {
    const { checkpoints } = this.#parts
    if (checkpoints === undefined || !podCall.isActive || podCall.isOver) return
    this.writeNow()
    await checkpoints.flush(podCall.callSid, KEEP_MAX_MS)
  }

  /** [CA4] While calls are held. */
  #signLater(): void {
    this.#signs = this.#parts.world.wheel.after(SIGN_MS, () => {
      for (const podCall of this.#podCall.values()) this.#changed(podCall)
      this.#signLater()
    })
  }

  #noSigns(): void {
    this.#parts.world.wheel.cancel(this.#signs)
    this.#signs = undefined
  }

  #changed(podCall: PodCall): void {
    if (this.#parts.checkpoints === undefined || !podCall.isActive || podCall.isOver) return
    this.#dirty.add(podCall)
    if (this.#isWriting) return
    this.#isWriting = true
    this.#parts.world.wheel.after(CHECKPOINT_AFTER_MS, () => {
      this.#isWriting = false
      try {
        this.writeNow()
      } catch (error) {
        this.#parts.world.log.error({ reason: messageOf(error) }, 'checkpoints could not be written')
      }
    })
  }
}
