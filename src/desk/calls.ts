// The calls that this pod holds: made once, checkpointed while they act, let go when another epoch acts. Rules:
// CA1: one held call for each Call SID: a higher epoch takes the place of a lower one, which is let go; a lower one is not made.
// CA2: a checkpoint is written CHECKPOINT_AFTER_MS after the first change that it holds, of active calls only; media waits for none.
// CA3: a call that was let go writes nothing more.
// CA4: an active call is written each SIGN_MS also when nothing changes in it: a call whose row stays unwritten has no pod.
import { writeCheckpoint } from '../call/checkpoint.ts'
import type { EndCause, Next } from '../call/state.ts'
import type { HeldLease } from '../control/ports.ts'
import { messageOf } from '../kit/errors.ts'
import type { CallSid } from '../kit/ids.ts'
import type { WheelTimer } from '../kit/wheel.ts'
import type { TimelineEntry } from '../ops/watch.ts'
import { type CallMakerParts, type Held, leaseOf, makeHeld, type Origin } from './held.ts'

export const CHECKPOINT_AFTER_MS = 200
export const SIGN_MS = 30_000

/** Where checkpoints go; never waits (store/records/checkpoint-writer.ts). */
export interface Checkpoints {
  put(write: { callSid: CallSid; epoch: number; sequence: number; text: string }): void
  /** True when everything put before is durable, false at the bound. */
  flush(callSid: CallSid | undefined, withinMs: number): Promise<boolean>
  remove(callSid: CallSid): void
}

export type CallsParts = Omit<CallMakerParts, 'onEnded' | 'onChanged' | 'onFenced'> & {
  checkpoints: Checkpoints | undefined
  onEnded: (held: Held, cause: EndCause, next: Next) => void
}

export class Calls {
  readonly #parts: CallsParts
  readonly #held = new Map<CallSid, Held>()
  readonly #opening = new Map<CallSid, { epoch: number; made: Promise<Held | undefined> }>()
  readonly #dirty = new Set<Held>()
  #isWriting = false
  #signs: WheelTimer | undefined
  /** Every call was ended: one that is still being made ends at once. */
  #isOver = false
  /** Told of the moments of every call that is made after it was set. */
  onTimeline: ((entry: TimelineEntry) => void) | undefined

  constructor(parts: CallsParts) {
    this.#parts = parts
  }

  get size(): number {
    return this.#held.size + this.#opening.size
  }

  get(callSid: CallSid): Held | undefined {
    return this.#held.get(callSid)
  }

  all(): Held[] {
    return [...this.#held.values()]
  }

  /** The leases that this pod keeps alive. */
  leases(): HeldLease[] {
    const acting = this.all().filter(({ isActive, isMoving, isOver }) => isActive && !isMoving && !isOver)
    return acting.map(({ origin }) => leaseOf(origin))
  }

  /** The call of `origin`, made if need be; undefined when a higher epoch is held. Rejects when the pack does. */
  prepare(origin: Origin): Promise<Held | undefined> {
    const { callSid, epoch } = origin
    const held = this.#held.get(callSid)
    if (held !== undefined && held.epoch >= epoch) return Promise.resolve(held.epoch === epoch ? held : undefined)
    const opening = this.#opening.get(callSid)
    if (opening !== undefined && opening.epoch >= epoch) return opening.made
    const made = this.#make(origin).finally(() => {
      if (this.#opening.get(callSid)?.made === made) this.#opening.delete(callSid)
    })
    this.#opening.set(callSid, { epoch, made })
    return made
  }

  /** The stream of the call is here: from now on it acts. */
  activate(held: Held): void {
    held.isActive = true
    held.needsClaim = false
    if (this.#parts.checkpoints !== undefined && this.#signs === undefined) this.#signLater()
    this.#parts.history('acts', held.callSid, held.epoch)
    this.#changed(held)
  }

  /** Another pod acts for the call, or none may: this pod stops at once and writes nothing. */
  letGo(held: Held, cause: EndCause): void {
    if (held.isOver) return
    held.isOver = true
    this.#dirty.delete(held)
    this.#parts.checkpoints?.remove(held.callSid)
    this.#parts.history(cause === 'moved' ? 'fenced' : 'released', held.callSid, held.epoch)
    held.call.letGo(cause)
  }

  /** Hands what changed to the checkpoints now. */
  writeNow(): void {
    const { checkpoints } = this.#parts
    for (const held of this.#dirty) {
      const { callSid, epoch, call } = held
      checkpoints?.put({ callSid, epoch, sequence: call.changes, text: writeCheckpoint(call.checkpoint) })
    }
    this.#dirty.clear()
  }

  /** Every call that is still being made ends as soon as it is there. */
  noMore(): void {
    this.#isOver = true
  }

  async #make(origin: Origin): Promise<Held | undefined> {
    const { onEnded, checkpoints: _checkpoints, ...parts } = this.#parts
    const held = await makeHeld(
      {
        ...parts,
        onChanged: (changed) => this.#changed(changed),
        onFenced: (fenced) => this.letGo(fenced, 'moved'),
        onEnded: (ended, cause, next) => {
          if (this.#held.get(ended.callSid) === ended) this.#held.delete(ended.callSid)
          if (this.#held.size === 0) this.#noSigns()
          this.#dirty.delete(ended)
          if (ended.isActive && !ended.isOver && cause !== 'carrier-lost')
            this.#parts.history('ended', ended.callSid, ended.epoch)
          onEnded(ended, cause, next)
        },
      },
      origin,
      this.onTimeline,
    )
    const before = this.#held.get(origin.callSid)
    if (before !== undefined && before.epoch >= origin.epoch) {
      held.isOver = true
      held.call.letGo('moved')
      return before.epoch === origin.epoch ? before : undefined
    }
    if (before !== undefined) this.letGo(before, 'moved')
    this.#held.set(origin.callSid, held)
    held.call.start()
    if (this.#isOver) held.call.drainOver()
    return held
  }

  /** [CA4] While calls are held. */
  #signLater(): void {
    this.#signs = this.#parts.world.wheel.after(SIGN_MS, () => {
      for (const held of this.#held.values()) this.#changed(held)
      this.#signLater()
    })
  }

  #noSigns(): void {
    this.#parts.world.wheel.cancel(this.#signs)
    this.#signs = undefined
  }

  #changed(held: Held): void {
    if (this.#parts.checkpoints === undefined || !held.isActive || held.isOver) return
    this.#dirty.add(held)
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
