// Keeps what this pod holds alive in the store: announces the pod, renews its leases, reaps what is due, and gives the calls up
// when it must. Rules:
// KE1: a round announces the pod and renews every held lease in batches of BATCH_MAX; the next begins RENEW_MS (± JITTER) after it.
// KE2: a round has succeeded only when every question of it was answered; it ends at the first that was not.
// KE3: a lease that the store does not know is reasserted if the call is still held under the same epoch; one that is fenced is
//      reported once, unless the call has meanwhile another epoch here or none.
// KE4: the store is `well` for this pod, and so in what it tells its peers, only by rounds that succeeded; an answered read says
//      nothing (a store that refuses writes would make the whole fleet fence itself).
// KE5: the list of pods is refreshed each PODS_MS and kept as it is while the store is away.
// KE6: reaping runs each REAP_MS (± JITTER) with at most REAP_MAX leases; one question at a time.
// KE7: the pod fences itself (SF1-SF5) at most once and renews no lease from then on; a pod whose peers are without the store
//      too keeps its calls (`isFailStatic`).
// KE8: stop() is idempotent, ends all timers, waits for the running round and announces the pod `down`.
import type { Clock } from '../kit/clock.ts'
import { messageOf, unreachable } from '../kit/errors.ts'
import type { CallSid } from '../kit/ids.ts'
import type { Log } from '../kit/log.ts'
import type { Wheel, WheelTimer } from '../kit/wheel.ts'
import type { HeldLease, LeaseStore, PodEntry, PodHeartbeat, Reaped } from './ports.ts'
import {
  ASK_WITHIN_MS,
  decideFence,
  type FenceSight,
  freshSight,
  type PeerWord,
  TRY_WITHIN_MS,
  withSuccess,
  withWord,
} from './self-fence.ts'
import { askWithin } from './store-answer.ts'

export const RENEW_MS = 5_000
const JITTER = 0.1
export const BATCH_MAX = 500
const PODS_MS = 2_000
const REAP_MS = 1_000
export const REAP_MAX = 200
/** Two renewals and one question: a round that is missing longer is a store that is away. */
export const WELL_MS = 12_000
const CHECK_MS = 1_000

const WHY_PAUSED: Readonly<Record<string, string>> = {
  'time-gap': 'the store took no write for a while, or its clock jumped',
  'mass-expiry': 'many leases are due at once, so their pods are not believed to be dead',
}

/** What the keeper asks of the store of leases. */
type KeeperStore = Pick<LeaseStore, 'announce' | 'renew' | 'reassert' | 'pods' | 'reap'>

type KeeperParts = {
  store: KeeperStore
  clock: Clock
  wheel: Wheel
  log: Log
  /** The live calls of this pod. A call must leave it before its release is sent, or it is reasserted for a while. */
  held: () => readonly HeldLease[]
  announcement: () => PodHeartbeat
  /** Another pod acts for the call: stop without a write. */
  onFenced: (callSid: CallSid) => void
  /** Give up every call of the pod now: they go on elsewhere. */
  onSelfFence: () => void
  /** How the store does for the other pods (their `storeState`): `well` when at least one says so, else `away` when one does. */
  askPeers: () => Promise<PeerWord>
  onReaped?: (reaped: Reaped) => void
  random?: () => number
}

type Loop = 'round' | 'pods' | 'reap' | 'check'

export class LeaseKeeper {
  readonly #parts: KeeperParts
  readonly #random: () => number
  readonly #timers = new Map<Loop, WheelTimer>()
  #sight: FenceSight
  #hasSucceeded = false
  #round: Promise<void> | undefined
  #isAsking = false
  #isFailStatic = false
  #isFenced = false
  #pods: readonly PodEntry[] = []
  #guard: Reaped['guard'] = 'none'
  #end: Promise<void> | undefined

  constructor(parts: KeeperParts) {
    this.#parts = parts
    this.#random = parts.random ?? Math.random
    this.#sight = freshSight(parts.clock.monotonicMs())
  }

  /** Begins all loops; resolves when the first round and the first list of pods were answered, or were not. */
  async start(): Promise<void> {
    this.#sight = freshSight(this.#parts.clock.monotonicMs())
    this.#later('check', CHECK_MS, () => this.#check())
    this.#later('reap', this.#jittered(REAP_MS), () => this.#reap())
    await Promise.all([this.renewNow(), this.#readPods()])
  }

  /** Ends all loops and announces the pod `down`. */
  stop(): Promise<void> {
    this.#end ??= this.#stop()
    return this.#end
  }

  /** What this pod says to a peer that asks. */
  get storeState(): 'well' | 'away' {
    return this.#hasSucceeded && this.lastSuccessAgoMs < WELL_MS ? 'well' : 'away'
  }

  /** Since the begin of the last round that succeeded (of the keeper before the first), ms. */
  get lastSuccessAgoMs(): number {
    return this.#parts.clock.monotonicMs() - this.#sight.lastSuccessAtMs
  }

  /** On the monotonic clock; undefined before the first success. */
  get lastSuccessAtMs(): number | undefined {
    return this.#hasSucceeded ? this.#sight.lastSuccessAtMs : undefined
  }

  /** The pod has gone without the store so long that it would be fenced, if its peers were better off. */
  get isFailStatic(): boolean {
    return this.#isFailStatic
  }

  get isFenced(): boolean {
    return this.#isFenced
  }

  /** The pods as they were last seen. */
  pods(): readonly PodEntry[] {
    return this.#pods
  }

  /** Tells the store the pod's state out of turn (a drain has begun). */
  async announceNow(): Promise<void> {
    if (this.#end !== undefined) return
    await this.#ask((store) => store.announce(this.#parts.announcement()))
  }

  /** A round now, or the one that runs. */
  renewNow(): Promise<void> {
    if (this.#end !== undefined) return Promise.resolve()
    this.#round ??= this.#runRound()
    return this.#round
  }

  async #runRound(): Promise<void> {
    const startedAtMs = this.#parts.clock.monotonicMs()
    const hasSucceeded = await this.#renewAll()
    this.#round = undefined
    if (hasSucceeded) this.#succeeded(startedAtMs)
    else this.#sight = { ...this.#sight, failedTryAtMs: startedAtMs }
    const tookMs = this.#parts.clock.monotonicMs() - startedAtMs
    this.#later('round', Math.max(0, this.#jittered(RENEW_MS) - tookMs), () => void this.renewNow())
    if (!hasSucceeded) this.#check()
  }

  #succeeded(startedAtMs: number): void {
    if (this.#isFailStatic) this.#parts.log.info({}, 'the store answers this pod again')
    this.#sight = withSuccess(this.#sight, startedAtMs)
    this.#hasSucceeded = true
    this.#isFailStatic = false
  }

  async #renewAll(): Promise<boolean> {
    const { held, announcement } = this.#parts
    if ((await this.#ask((store) => store.announce(announcement()))) === undefined) return false
    const leases = this.#isFenced ? [] : held()
    for (let from = 0; from < leases.length; from += BATCH_MAX) {
      if (!(await this.#renewBatch(leases.slice(from, from + BATCH_MAX)))) return false
    }
    return true
  }

  async #renewBatch(leases: readonly HeldLease[]): Promise<boolean> {
    const { pod } = this.#parts.announcement()
    const renewed = await this.#ask((store) => store.renew({ pod, leases }))
    if (renewed === undefined) return false
    this.#reportFenced(leases, renewed.value.fenced)
    const unknown = this.#stillHeld(leases, renewed.value.unknown)
    if (unknown.length === 0) return true
    const reasserted = await this.#ask((store) => store.reassert({ pod, leases: unknown }))
    if (reasserted === undefined) return false
    this.#reportFenced(unknown, reasserted.value.fenced)
    return true
  }

  #reportFenced(leases: readonly HeldLease[], fenced: readonly CallSid[]): void {
    for (const { callSid } of this.#stillHeld(leases, fenced)) {
      try {
        this.#parts.onFenced(callSid)
      } catch (error) {
        this.#parts.log.error({ callSid, reason: messageOf(error) }, 'a fenced call could not be given up')
      }
    }
  }

  /** Those of `leases` that are named and still held under the epoch that was sent. */
  #stillHeld(leases: readonly HeldLease[], named: readonly CallSid[]): HeldLease[] {
    if (named.length === 0) return []
    const names = new Set(named)
    const epochs = new Map(this.#parts.held().map(({ callSid, epoch }) => [callSid, epoch]))
    return leases.filter(({ callSid, epoch }) => names.has(callSid) && epochs.get(callSid) === epoch)
  }

  #check(): void {
    this.#later('check', CHECK_MS, () => this.#check())
    const nowMs = this.#parts.clock.monotonicMs()
    if (this.#isFenced || this.#end !== undefined) return
    const step = decideFence(this.#sight, nowMs)
    switch (step) {
      case 'go-on':
        return
      case 'ask-peers':
        void this.#askPeers(nowMs)
        return
      case 'try':
        void this.renewNow()
        return
      case 'fence':
        this.#fence()
        return
      case 'fail-static':
        if (!this.#isFailStatic) this.#parts.log.warn({ code: 'STORE_UNAVAILABLE' }, 'calls go on without the store')
        this.#isFailStatic = true
        return
      default:
        unreachable(step)
    }
  }

  async #askPeers(nowMs: number): Promise<void> {
    if (this.#isAsking) return
    this.#isAsking = true
    this.#sight = { ...this.#sight, askedAtMs: nowMs }
    const answer = await askWithin(this.#parts.wheel, ASK_WITHIN_MS, this.#parts.askPeers)
    this.#isAsking = false
    const word = answer.kind === 'answer' ? answer.value : 'unknown'
    this.#sight = withWord(this.#sight, word, this.#parts.clock.monotonicMs())
    this.#check()
  }

  #fence(): void {
    this.#isFenced = true
    this.#isFailStatic = false
    this.#parts.log.error({ code: 'POD_FENCED', agoMs: this.lastSuccessAgoMs }, 'this pod gives up its calls')
    try {
      this.#parts.onSelfFence()
    } catch (error) {
      this.#parts.log.error({ reason: messageOf(error) }, 'giving up the calls failed')
    }
  }

  async #readPods(): Promise<void> {
    const answer = await this.#ask((store) => store.pods())
    if (answer !== undefined) this.#pods = answer.value
    this.#later('pods', PODS_MS, () => void this.#readPods())
  }

  /** Once for each time that reaping pauses. */
  #tellGuard(guard: Reaped['guard']): void {
    if (guard !== 'none' && guard !== this.#guard)
      this.#parts.log.warn({ guard, why: WHY_PAUSED[guard] }, 'reaping is paused')
    this.#guard = guard
  }

  async #reap(): Promise<void> {
    const answer = await this.#ask((store) => store.reap(REAP_MAX))
    this.#later('reap', this.#jittered(REAP_MS), () => void this.#reap())
    if (answer === undefined) return
    const { guard } = answer.value
    this.#tellGuard(guard)
    try {
      this.#parts.onReaped?.(answer.value)
    } catch (error) {
      this.#parts.log.error({ reason: messageOf(error) }, 'a listener of reaping failed')
    }
  }

  async #ask<T>(question: (store: KeeperStore) => Promise<T>): Promise<{ value: T } | undefined> {
    const answer = await askWithin(this.#parts.wheel, TRY_WITHIN_MS, () => question(this.#parts.store))
    if (answer.kind === 'answer') return answer
    if (!answer.isExpected) this.#parts.log.error({ reason: answer.reason }, 'the store failed the keeper of leases')
    return undefined
  }

  #later(loop: Loop, delayMs: number, run: () => void): void {
    const { wheel } = this.#parts
    wheel.cancel(this.#timers.get(loop))
    if (this.#end === undefined) this.#timers.set(loop, wheel.after(delayMs, run))
  }

  #jittered(ms: number): number {
    return ms * (1 - JITTER + 2 * JITTER * this.#random())
  }

  async #stop(): Promise<void> {
    await Promise.resolve() // `#end` is set from here on: nothing begins anew
    for (const timer of this.#timers.values()) this.#parts.wheel.cancel(timer)
    await this.#round
    for (const timer of this.#timers.values()) this.#parts.wheel.cancel(timer)
    await this.#ask((store) => store.announce({ ...this.#parts.announcement(), state: 'down' }))
  }
}
