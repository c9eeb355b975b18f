// The end of a call, written where it must be: the records and the lease. Rules:
// EG1: an end, and the beginning of a row, is tried again while the stores are away, each ENDING_RETRY_MS, at most ENDINGS_MAX at once and ENDING_TRIES times;
//      what is given up is found by the sweep, since its lease expires.
// EG2: the lease is released also when the records are away, and the other way round.
// EG4: a call whose stream never came here has ended only if it came nowhere: another pod may have opened the stream of its epoch,
//      and it is that pod's then. When the store does not say, nothing is written.
// EG5: a call that is over for the carrier and acts on no call of this pod is looked at after each of OVER_LOOKS_MS. Its own pod has heard
//      the caller go too, and ends it with its last words; if it has not, the call ends here at its row's epoch, never above. A lease
//      that is renewed puts that off to the last look.
// EG8: the pod that a call's lease names is told of the end at once, and before each look; when it has the call, the end is its own.
// EG6: the carrier's word that comes again while a call is looked at changes nothing. At most OVERS_MAX calls are looked at; what is beyond,
//      or is not decided at the last look or when the pod closes, is found by a sweep. Nothing is made for a call without a row.
// EG10: the row of a call that ended is written when its last words have come (CD5); its place and its caller do not wait for that.
// EG9: the end of a call that was transferred waits until the transfer has ended, TRANSFER_AWAITED_MS at most, TRANSFERS_AWAITED_MAX calls at most; its place is
//      free meanwhile, and its row says where it is. A store that is away is told so again, for as long as the transfer is awaited.
// EG11: who tells of an end may wait until it is written, or told to the pod of the call, KNOWN_MS at most: whatever pod is asked then finds the call over.
// EG7: where a recording lies is told to the store of the work; a pod without one counts it.
import type { EndCause } from '../call/end-cause.ts'
import type { TransferOutcome } from '../call/state.ts'
import type { LeaseSeen, LeaseStore } from '../control/ports.ts'
import type { CallRecords, CallRow, EndRequest } from '../control/records.ts'
import { askWithin } from '../control/store-answer.ts'
import { messageOf, VoiceError } from '../kit/errors.ts'
import type { CallSid } from '../kit/ids.ts'
import type { Log } from '../kit/log.ts'
import type { Wheel, WheelTimer } from '../kit/wheel.ts'
import type { Metrics } from '../ops/metrics.ts'
import { endOfRow, withOutcome } from './resume.ts'

const ENDING_RETRY_MS = 1_000
const ENDING_TRIES = 30
const ENDINGS_MAX = 10_000
/** How often an end looks for a row that is not there yet, each ENDING_RETRY_MS. */
const ROW_AWAITED_TRIES = 5
const SETTLE_LOOK_MS = 50
const LOOK_MS = 1_000
/** Waits before each look at a call that is over for the carrier: a minute in all, until a silent lease is certainly suspect. */
const OVER_LOOKS_MS: readonly number[] = [5_000, 15_000, 40_000]
export const OVERS_MAX = 10_000
/** Shorter than the pod that tells another one of an end waits for its answer. */
const KNOWN_MS = 500

export type CallFinalizerParts = {
  records: CallRecords
  leases: LeaseStore
  wheel: Wheel
  log: Log
  metrics: Pick<Metrics, 'carrierEnds' | 'recordings'>
  /** undefined: this pod has no store of the work. */
  recordings?: Recordings | undefined
  overLooksMs?: readonly number[] | undefined
  /** Tells the pod of `lease` that its call is over, within a bound of its own; false: that pod does not have it, or is silent. */
  tellHolder: (lease: LeaseSeen, cause: EndCause) => Promise<boolean>
}

/** Where the work of a recording is kept; repeated, it changes nothing. */
export interface Recordings {
  addRecording(callSid: CallSid, body: Record<string, unknown>): Promise<{ kind: 'added' | 'exists' | 'unknown' }>
}

export class CallFinalizer {
  readonly #parts: CallFinalizerParts
  #running = 0
  readonly #overs = new Set<CallSid>()
  /** [EG11] Ends under way; as bounded as they are. */
  readonly #writes = new Map<CallSid, Promise<unknown>>()

  constructor(parts: CallFinalizerParts) {
    this.#parts = parts
  }

  /** Ends that are not written yet. */
  get pendingCount(): number {
    return this.#running
  }

  /** Counts `work` among what a pod that closes waits for. */
  async during<T>(work: Promise<T>): Promise<T> {
    this.#running += 1
    try {
      return await work
    } finally {
      this.#running -= 1
    }
  }

  /** Writes where a call is, once. `fenced`: another epoch has written. */
  async save(write: {
    callSid: CallSid
    epoch: number
    sequence: number
    text: string
  }): Promise<'saved' | 'fenced' | 'away'> {
    const { wheel, records } = this.#parts
    const saved = await this.during(askWithin(wheel, LOOK_MS, () => records.save([write])))
    if (saved.kind === 'away') return 'away'
    return saved.value.includes(write.callSid) ? 'fenced' : 'saved'
  }

  /** Writes the end of a transferred call. Never waits. */
  endTransfer({ to, request }: { to: string; request: EndRequest }, outcome: TransferOutcome): void {
    const checkpoint = withOutcome(request.checkpoint, outcome)
    this.end({ ...request, next: { kind: 'transfer', to, outcome }, checkpoint })
  }

  /** [EG4] The end of a call whose stream never came here; `over` is called if it came nowhere. Never waits. */
  endUnlessOpened(request: EndRequest & { cause: EndCause }, over: () => void): void {
    this.#track(request.callSid, this.#overUnlessOpened(request, over))
  }

  /** [EG4] The carrier's own word is kept, whoever has the call (EG5). */
  async #overUnlessOpened(request: EndRequest & { cause: EndCause }, over: () => void): Promise<void> {
    const { wheel, leases } = this.#parts
    const answer = await this.during(askWithin(wheel, LOOK_MS, () => leases.look([request.callSid])))
    const lease = answer.kind === 'answer' ? answer.value[0] : undefined
    const isOpened = lease !== undefined && (lease.epoch > request.epoch || lease.state !== 'awaited')
    if (answer.kind === 'answer' && !isOpened) over()
    else if (request.cause === 'caller-hung-up') this.overAtCarrier(request.callSid, request.cause)
  }

  /** The carrier says that a call which this pod does not act for is over, for `cause`. Never waits. [EG5][EG6] */
  overAtCarrier(callSid: CallSid, cause: EndCause): void {
    if (this.#overs.has(callSid)) return
    if (this.#overs.size >= OVERS_MAX) {
      this.#parts.metrics.carrierEnds.add('full')
      return
    }
    this.#overs.add(callSid)
    const told = this.#told(callSid, cause)
    this.#track(callSid, told)
    void this.#lookUntilOver(callSid, cause, told).then((outcome) => {
      this.#overs.delete(callSid)
      this.#parts.metrics.carrierEnds.add(outcome)
    })
  }

  /** [EG5] `left`: the stores did not answer, a sweep will find it. */
  async #lookUntilOver(
    callSid: CallSid,
    cause: EndCause,
    told: Promise<boolean>,
  ): Promise<'told' | 'ended' | 'already' | 'unknown' | 'left'> {
    const { wheel, records, leases, overLooksMs = OVER_LOOKS_MS } = this.#parts
    if (await told) return 'told'
    for (const [at, waitMs] of overLooksMs.entries()) {
      await wheel.pause(waitMs)
      if (await this.#told(callSid, cause)) return 'told'
      const found = await askWithin(wheel, LOOK_MS, () => records.find(callSid))
      if (found.kind === 'away') continue
      const row = found.value
      if (row?.state !== 'live') return row === undefined ? 'unknown' : 'already'
      const looked = await askWithin(wheel, LOOK_MS, () => leases.look([callSid]))
      const lease = looked.kind === 'answer' ? looked.value[0] : undefined
      const isLast = at === overLooksMs.length - 1
      if (!isLast && (looked.kind === 'away' || (lease !== undefined && lease.state !== 'suspect'))) continue
      this.endRow(row, lease, cause)
      return 'ended'
    }
    return 'left'
  }

  /** [EG8] */
  async #told(callSid: CallSid, cause: EndCause): Promise<boolean> {
    const { wheel, leases, tellHolder } = this.#parts
    const looked = await askWithin(wheel, LOOK_MS, () => leases.look([callSid]))
    const lease = looked.kind === 'answer' ? looked.value[0] : undefined
    return lease !== undefined && (await tellHolder(lease, cause))
  }

  /** Writes the end of a call that no pod acts for: as its checkpoint says if it was ending anyway, otherwise for `cause`. Never waits. */
  endRow(row: CallRow, lease: LeaseSeen | undefined, cause: EndCause): void {
    const { callSid, epoch } = row
    // A transfer raises the lease's epoch first; the row follows when the stream has come.
    if (lease !== undefined && lease.epoch > epoch) this.release(lease)
    this.end({ callSid, epoch, ...endOfRow(row, cause), checkpoint: undefined })
  }

  /** The carrier keeps a recording of the call. Never waits. [EG7] */
  recorded(callSid: CallSid, recording: Record<string, unknown>): void {
    const { recordings, metrics } = this.#parts
    if (recordings === undefined) metrics.recordings.add('no-store')
    else
      void this.#retry('where a recording lies', async () => {
        metrics.recordings.add((await recordings.addRecording(callSid, recording)).kind)
      })
  }

  /** Writes the end and gives the slot back. Never waits. */
  end(request: EndRequest): void {
    this.release(request)
    let unknown = 0
    const written = this.#retry('the end of a call', async () => {
      const { kind } = await this.#parts.records.end(request)
      // Its row may be on its way: another pod writes it while this one hears of the end.
      if (kind === 'unknown' && ++unknown < ROW_AWAITED_TRIES) throw new VoiceError('CALL_UNKNOWN', { retryable: true })
    })
    this.#track(request.callSid, written)
  }

  /** The row of a new call could not be written in time: it is tried again. Never waits. */
  open(attempt: () => Promise<unknown>): void {
    void this.#retry('the row of a call', attempt)
  }

  /** Gives the slot back. Never waits. */
  release({ callSid, epoch }: { callSid: CallSid; epoch: number }): void {
    void this.#retry('the release of a lease', () => this.#parts.leases.release({ callSid, epoch }))
  }

  /** Waits until the end of `callSid` is written or told, KNOWN_MS at most; not at all when none is under way. [EG11] */
  async known(callSid: CallSid): Promise<void> {
    if (!this.#writes.has(callSid)) return
    const { wheel } = this.#parts
    let isLate = false
    let timer: WheelTimer | undefined
    const late = new Promise<void>((resolve) => {
      timer = wheel.after(KNOWN_MS, () => {
        isLate = true
        resolve()
      })
    })
    for (let write = this.#writes.get(callSid); write !== undefined && !isLate; write = this.#writes.get(callSid))
      await Promise.race([write, late])
    wheel.cancel(timer)
  }

  #track(callSid: CallSid, write: Promise<unknown>): void {
    const all = Promise.allSettled([this.#writes.get(callSid), write]).then(() => {
      if (this.#writes.get(callSid) === all) this.#writes.delete(callSid)
    })
    this.#writes.set(callSid, all)
  }

  /** Waits until all ends are written, `withinMs` at most. */
  async settled(withinMs: number): Promise<void> {
    for (let waitedMs = 0; this.#running > 0 && waitedMs < withinMs; waitedMs += SETTLE_LOOK_MS) {
      await this.#parts.wheel.pause(SETTLE_LOOK_MS)
    }
  }

  /** Does what follows a call outside its row, tried again while the stores are away. Never waits. */
  retry(what: string, attempt: () => Promise<unknown>): void {
    void this.#retry(what, attempt)
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
