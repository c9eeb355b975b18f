// Brings a pod's checkpoints to the records without anybody waiting for it. Rules:
// CW1: only the newest checkpoint of a call waits; `put` never waits and never throws.
// CW2: one save is in flight, of BATCH_MAX calls at most, those that have waited longest first.
// CW3: while the records are away everything waits, and is tried again after RETRY_MIN_MS, doubling to RETRY_MAX_MS.
// CW4: at most `bufferedMax` calls wait; beyond it the call that has waited longest is dropped and counted.
// CW5: a fenced checkpoint is dropped and its pod told, unless the call has since been removed or goes on under another epoch.
import type { CallRecords, CheckpointWrite } from '../../control/records.ts'
import { type Clock, systemClock } from '../../kit/clock.ts'
import { messageOf } from '../../kit/errors.ts'
import type { CallSid } from '../../kit/ids.ts'
import type { Log } from '../../kit/log.ts'
import type { Wheel, WheelTimer } from '../../kit/wheel.ts'

export const EVERY_MS = 50
export const BATCH_MAX = 200
const BUFFERED_MAX = 20_000
export const RETRY_MIN_MS = 100
export const RETRY_MAX_MS = 2_000

type CheckpointWriterParts = {
  records: Pick<CallRecords, 'save'>
  wheel: Wheel
  log: Log
  onFenced: (callSid: CallSid) => void
  /** Between a put and the save that takes it along, at most, while the records answer. */
  everyMs?: number
  bufferedMax?: number
  clock?: Clock
}

/** `firstPut`: number of the oldest put that is not durable; `lastPut`: of the one that waits. */
type Waiting = { write: CheckpointWrite; firstPut: number; lastPut: number; sinceMs: number }
/** Satisfied when no put up to `put` (of `callSid`, or of all) waits. */
type Flush = { callSid: CallSid | undefined; put: number; resolve: (isDurable: boolean) => void; timer: WheelTimer }

export class CheckpointWriter {
  readonly #parts: CheckpointWriterParts
  readonly #clock: Clock
  /** In the order of `sinceMs`. */
  readonly #waiting = new Map<CallSid, Waiting>()
  readonly #flushes = new Set<Flush>()
  #puts = 0
  #isSaving = false
  #timer: WheelTimer | undefined
  #retryMs = 0
  #dropped = 0

  constructor(parts: CheckpointWriterParts) {
    this.#parts = parts
    this.#clock = parts.clock ?? systemClock
  }

  /** Calls whose newest checkpoint is not durable yet. */
  get pendingCount(): number {
    return this.#waiting.size
  }

  /** Age of the oldest of them in ms, 0 when there is none: how much a lost pod would lose. */
  get oldestMs(): number {
    const [first] = this.#waiting.values()
    return first === undefined ? 0 : this.#clock.monotonicMs() - first.sinceMs
  }

  /** Checkpoints dropped at the bound. */
  get droppedCount(): number {
    return this.#dropped
  }

  /** [CW1] An older one than the one that waits is ignored. */
  put(write: CheckpointWrite): void {
    const number = ++this.#puts
    const there = this.#waiting.get(write.callSid)
    if (there === undefined) {
      if (this.#waiting.size >= (this.#parts.bufferedMax ?? BUFFERED_MAX)) this.#dropOldest()
      const sinceMs = this.#clock.monotonicMs()
      this.#waiting.set(write.callSid, { write, firstPut: number, lastPut: number, sinceMs })
    } else if (isNewer(write, there.write)) {
      there.write = write
      there.lastPut = number
    }
    if (!this.#isSaving && this.#timer === undefined) this.#saveAfter(this.#parts.everyMs ?? EVERY_MS)
  }

  /** Resolves true when everything put before (of one call, or of all) is durable; false after `withinMs`, or when it was dropped. */
  flush(callSid: CallSid | undefined, withinMs: number): Promise<boolean> {
    return new Promise((resolve) => {
      const settle = (isDurable: boolean) => {
        this.#parts.wheel.cancel(flush.timer)
        this.#flushes.delete(flush)
        resolve(isDurable)
      }
      const timer = this.#parts.wheel.after(withinMs, () => settle(false))
      const flush: Flush = { callSid, put: this.#puts, resolve: settle, timer }
      if (!this.#waitsFor(flush)) {
        settle(true)
        return
      }
      this.#flushes.add(flush)
      if (!this.#isSaving) this.#saveAfter(0)
    })
  }

  /** The call is over here: what waits of it is forgotten. */
  remove(callSid: CallSid): void {
    if (this.#waiting.delete(callSid)) this.#settleFlushes()
  }

  #saveAfter(delayMs: number): void {
    this.#parts.wheel.cancel(this.#timer)
    this.#timer = undefined
    if (delayMs === 0) void this.#save()
    else
      this.#timer = this.#parts.wheel.after(delayMs, () => {
        this.#timer = undefined
        void this.#save()
      })
  }

  /** [CW2] Saves batch after batch until nothing waits that has waited its time; never rejects. */
  async #save(): Promise<void> {
    if (this.#isSaving || this.#waiting.size === 0) return
    this.#isSaving = true
    const batch: Waiting[] = []
    for (const one of this.#waiting.values()) if (batch.push(one) === BATCH_MAX) break
    const writes = batch.map((one) => one.write)
    const saved = new Map(batch.map((one) => [one, { write: one.write, put: one.lastPut }]))
    try {
      const fenced = new Set(await this.#parts.records.save(writes))
      if (this.#retryMs > 0) this.#parts.log.info({ waiting: this.#waiting.size }, 'checkpoints are written again')
      this.#retryMs = 0
      for (const [one, { write, put }] of saved) {
        if (fenced.has(write.callSid)) this.#fence(write)
        else this.#keepNewer(one, write, put)
      }
      this.#settleFlushes()
    } catch (error) {
      this.#waitLonger(error)
    } finally {
      this.#isSaving = false
    }
    if (this.#waiting.size > 0 && this.#timer === undefined) this.#saveAfter(this.#nextMs())
  }

  /** How long the next save waits: for its retry; not at all with a full batch or somebody who waits for it. */
  #nextMs(): number {
    if (this.#retryMs > 0) return this.#retryMs
    return this.#waiting.size >= BATCH_MAX || this.#flushes.size > 0 ? 0 : (this.#parts.everyMs ?? EVERY_MS)
  }

  /** What was saved waits no more; a newer one of the same call, put meanwhile, goes to the end of the line. */
  #keepNewer(one: Waiting, write: CheckpointWrite, put: number): void {
    const { callSid } = write
    if (this.#waiting.get(callSid) !== one) return
    this.#waiting.delete(callSid)
    if (one.write === write) return
    one.firstPut = put + 1
    one.sinceMs = this.#clock.monotonicMs()
    this.#waiting.set(callSid, one)
  }

  /** [CW5] */
  #fence({ callSid, epoch }: CheckpointWrite): void {
    const there = this.#waiting.get(callSid)
    if (there === undefined || there.write.epoch !== epoch) return
    this.#forget(callSid, there)
    try {
      this.#parts.onFenced(callSid)
    } catch (error) {
      this.#parts.log.error({ callSid, reason: messageOf(error) }, 'telling of a fenced call failed')
    }
  }

  /** [CW3] */
  #waitLonger(error: unknown): void {
    const { log } = this.#parts
    if (this.#retryMs === 0)
      log.warn({ waiting: this.#waiting.size, reason: messageOf(error) }, 'checkpoints could not be written, they wait')
    this.#retryMs = Math.min(RETRY_MAX_MS, Math.max(RETRY_MIN_MS, this.#retryMs * 2))
  }

  /** [CW4] */
  #dropOldest(): void {
    const [oldest] = this.#waiting
    if (oldest === undefined) return
    this.#dropped += 1
    this.#forget(...oldest)
  }

  /** Drops what waits of a call without its being durable: who flushes it is told. */
  #forget(callSid: CallSid, waiting: Waiting): void {
    for (const flush of this.#flushes) {
      const isMeant = flush.callSid === undefined || flush.callSid === callSid
      if (isMeant && waiting.firstPut <= flush.put) flush.resolve(false)
    }
    this.#waiting.delete(callSid)
  }

  #settleFlushes(): void {
    for (const flush of this.#flushes) if (!this.#waitsFor(flush)) flush.resolve(true)
  }

  #waitsFor({ callSid, put }: Flush): boolean {
    if (callSid !== undefined) return (this.#waiting.get(callSid)?.firstPut ?? Number.POSITIVE_INFINITY) <= put
    for (const one of this.#waiting.values()) if (one.firstPut <= put) return true
    return false
  }
}

function isNewer(one: CheckpointWrite, other: CheckpointWrite): boolean {
  return one.epoch > other.epoch || (one.epoch === other.epoch && one.sequence >= other.sequence)
}
