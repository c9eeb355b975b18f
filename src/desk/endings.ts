// The end of a call, written where it must be: the records and the lease. Rules:
// EG1: an end, and the beginning of a row, is tried again while the stores are away, each ENDING_RETRY_MS, at most ENDINGS_MAX at once and ENDING_TRIES times;
//      what is given up is found by the sweep, since its lease expires.
// EG3: whoever lets a call go to another pod writes nothing; a call whose socket broke has not ended yet; what was prepared for
//      a handover and never came into use leaves no trace.
// EG2: the lease is released also when the records are away, and the other way round.
// EG4: a call whose stream never came here has ended only if it came nowhere: another pod may have opened the stream of its epoch,
//      and it is that pod's then. When the store does not say, nothing is written.
import { writeCheckpoint } from '../call/checkpoint.ts'
import type { EndCause, Next } from '../call/state.ts'
import type { LeaseStore } from '../control/ports.ts'
import type { CallRecords, EndRequest } from '../control/records.ts'
import { askWithin } from '../control/store-answer.ts'
import { messageOf } from '../kit/errors.ts'
import type { CallSid } from '../kit/ids.ts'
import type { Log } from '../kit/log.ts'
import type { Wheel } from '../kit/wheel.ts'
import type { Afterwards, Broken } from './afterwards.ts'
import type { Held } from './held.ts'

export const ENDING_RETRY_MS = 1_000
export const ENDING_TRIES = 30
export const ENDINGS_MAX = 10_000
const SETTLE_LOOK_MS = 50
const LOOK_MS = 1_000

export type EndingsParts = {
  records: CallRecords
  leases: LeaseStore
  afterwards: Afterwards
  wheel: Wheel
  log: Log
}

export class Endings {
  readonly #parts: EndingsParts
  #running = 0

  constructor(parts: EndingsParts) {
    this.#parts = parts
  }

  /** Ends that are not written yet. */
  get pendingCount(): number {
    return this.#running
  }

  /** A call of this pod is over for it, for `cause`. */
  callEnded(held: Held, cause: EndCause, next: Next): void {
    const { call, callSid, epoch, origin } = held
    const { turns, bargeIns } = call.state
    this.#parts.log.info({ callSid, cause, turns, bargeIns }, 'call ended')
    held.isOver = true
    if (cause === 'moved' || cause === 'handed-over') return
    const checkpoint = writeCheckpoint(call.state)
    if (cause === 'carrier-lost' && held.isActive) {
      this.#parts.afterwards.keepBroken({ origin, checkpoint })
      return
    }
    if (!held.isActive && origin.comeback?.kind === 'handover') return
    const request = { callSid, epoch, cause, next, checkpoint }
    if (held.isActive || cause === 'caller-hung-up') this.over(request)
    else void this.#endUnlessOpened(request)
  }

  /** [EG4] */
  async #endUnlessOpened(request: EndRequest): Promise<void> {
    const { wheel, leases } = this.#parts
    this.#running += 1
    const answer = await askWithin(wheel, LOOK_MS, () => leases.look([request.callSid]))
    this.#running -= 1
    if (answer.kind === 'away') return
    const [lease] = answer.value
    const isOpened = lease !== undefined && (lease.epoch > request.epoch || lease.state !== 'awaited')
    if (!isOpened) this.over(request)
  }

  /** A call is over: what follows is remembered here and its end is written. Never waits. */
  over(request: EndRequest): void {
    this.#parts.afterwards.remember(request.callSid, request.next)
    this.end(request)
  }

  /** A call without its socket was not asked for again. */
  givenUp({ origin, checkpoint }: Broken): void {
    this.over({ ...origin, cause: 'carrier-lost', next: { kind: 'none' }, checkpoint })
  }

  /** Writes the end and gives the slot back. Never waits. */
  end(request: EndRequest): void {
    this.release(request)
    void this.#retry('the end of a call', () => this.#parts.records.end(request))
  }

  /** The row of a new call could not be written in time: it is tried again. Never waits. */
  open(attempt: () => Promise<unknown>): void {
    void this.#retry('the row of a call', attempt)
  }

  /** Gives the slot back. Never waits. */
  release({ callSid, epoch }: { callSid: CallSid; epoch: number }): void {
    void this.#retry('the release of a lease', () => this.#parts.leases.release({ callSid, epoch }))
  }

  /** Waits until all ends are written, `withinMs` at most. */
  async settled(withinMs: number): Promise<void> {
    for (let waitedMs = 0; this.#running > 0 && waitedMs < withinMs; waitedMs += SETTLE_LOOK_MS) {
      await this.#parts.wheel.pause(SETTLE_LOOK_MS)
    }
  }

  async #retry(what: string, attempt: () => Promise<unknown>): Promise<void> {
    const { log, wheel } = this.#parts
    if (this.#running >= ENDINGS_MAX) {
      log.warn({ code: 'STORE_UNAVAILABLE', what }, 'too much waits for the stores, something was left out')
      return
    }
    this.#running += 1
    for (let tries = 1; ; tries += 1) {
      try {
        await attempt()
        break
      } catch (error) {
        if (tries >= ENDING_TRIES) {
          log.warn(
            { code: 'STORE_UNAVAILABLE', reason: messageOf(error), what },
            'the stores were away too long, something was left out',
          )
          break
        }
      }
      await wheel.pause(ENDING_RETRY_MS)
    }
    this.#running -= 1
  }
}
