// One lost call: who may rescue it, what the carrier says of it, and what becomes of it. Rules:
// RX1: one pod at a time: the one that takes the call in the records under the row's epoch, for takeMs. It looks at the lease
//      once more then: what another pod has moved meanwhile is let alone.
// RX2: the carrier decides. In progress: the call is sent to /twilio/next, where it goes on under the next epoch. Over, or unknown
//      there: its end is written and its slot given back. Not answered yet, or no word of the carrier: later.
// RX5: a call that was transferred and has no place is with a person, or rings there: it is not sent anywhere while the carrier has it.
// RX3: without a way to ask the carrier no call is sent anywhere: its end is written.
// RX4: a call that has ended gives its slot back; one without a row is left to its lease, since nobody could go on with it.
import type { LeaseSeen, LeaseStore } from '../../control/ports.ts'
import type { CallRecords, CallRow } from '../../control/records.ts'
import { askWithin } from '../../control/store-answer.ts'
import type { Clock } from '../../kit/clock.ts'
import type { CallSid } from '../../kit/ids.ts'
import type { Log } from '../../kit/log.ts'
import type { Wheel } from '../../kit/wheel.ts'
import type { CallFinalizer } from '../call-finalizer.ts'
import type { CarrierCalls, CarrierEndCause } from '../carrier-calls.ts'
import { transferIn } from '../resume.ts'

/** How long a store may take to answer a rescue. */
export const STORE_MS = 1_000

/**
 * `redirected`: the carrier was told where to go on. `ended`: its end was written. `failed`: the carrier or a store did not
 * answer. `later`: another pod is at it, or nobody has answered the call. `none`: there was nothing to rescue.
 */
export type RescueOutcome = 'redirected' | 'ended' | 'failed' | 'later' | 'none'

export type RescueParts = {
  leases: LeaseStore
  records: CallRecords
  finalizer: CallFinalizer
  /** undefined: no credentials are configured. */
  carrier: CarrierCalls | undefined
  /** This pod acts for it; what is only prepared here may be lost elsewhere. */
  isHeld: (callSid: CallSid) => boolean
  clock: Clock
  wheel: Wheel
  log: Log
}

export class Rescue {
  readonly #parts: RescueParts
  readonly #takeMs: number
  #isClosed = false

  constructor(parts: RescueParts, takeMs: number) {
    this.#parts = parts
    this.#takeMs = takeMs
  }

  /** Rescues nothing more; what is under way ends without a write. */
  close(): void {
    this.#isClosed = true
    this.#parts.carrier?.close()
  }

  /** Rescues the call if it is still lost. */
  async of(callSid: CallSid): Promise<RescueOutcome> {
    const { records, leases, finalizer, isHeld } = this.#parts
    if (isHeld(callSid)) return 'none'
    const found = await this.#ask(() => records.find(callSid))
    if (found === undefined) return 'failed'
    const row = found.value
    if (row === undefined) return 'none'
    if (row.state === 'live') {
      const taken = await this.#ask(() => records.take({ callSid, epoch: row.epoch, forMs: this.#takeMs }))
      if (taken === undefined) return 'failed'
      if (taken.value.kind === 'busy') return 'later'
    }
    const looked = await this.#ask(() => leases.look([callSid]))
    if (looked === undefined) return 'failed'
    const lease = looked.value[0]
    if (lease !== undefined && lease.state !== 'suspect') return 'none'
    if (row.state === 'live') return this.#decide(row, lease)
    if (lease !== undefined) finalizer.release(lease)
    return 'none'
  }

  /** [RX2][RX3] */
  async #decide(row: CallRow, lease: LeaseSeen | undefined): Promise<RescueOutcome> {
    const { carrier } = this.#parts
    if (carrier === undefined) return this.#end(row, lease, 'carrier-lost')
    const there = await carrier.stateOf(row.callSid)
    switch (there.kind) {
      case 'failed':
        return 'failed'
      case 'unknown':
        return this.#end(row, lease, 'carrier-lost')
      case 'ringing':
        return 'later'
      case 'in-progress': {
        if (this.#isClosed || (lease === undefined && transferIn(row.checkpoint) !== undefined)) return 'later'
        const redirected = await carrier.askNext(row.callSid)
        return redirected.kind === 'over' ? this.#end(row, lease, 'caller-hung-up') : redirected.kind
      }
      default:
        return this.#end(row, lease, there.cause)
    }
  }

  #end(row: CallRow, lease: LeaseSeen | undefined, why: CarrierEndCause): RescueOutcome {
    if (this.#isClosed) return 'later'
    this.#parts.finalizer.endRow(row, lease, why)
    return 'ended'
  }

  async #ask<T>(question: () => Promise<T>): Promise<{ value: T } | undefined> {
    const answer = await askWithin(this.#parts.wheel, STORE_MS, question)
    return answer.kind === 'answer' ? answer : undefined
  }
}
