// The choke point of every kind of call: may it enter, where, under which epoch. Rules:
// AD1: the store decides as long as it answers within STORE_MS; its answer is passed on as it is.
// AD2: without an answer a new inbound call is placed on this pod, under epoch 1, while this pod's own calls are fewer than its
//      static share floor(0.9 · limit / ready pods last seen); beyond it, and outbound always, it is refused `store-away`.
// AD3: the static share ends LOCAL_MAX_MS after the store's last answer, and never begins before its first: nobody knows then
//      how many pods there are.
// AD4: a caller who waits comes before a new one also while the store is away: its poll may take a place of the static share, if its
//      class may (AD2).
// AD5: a resume needs no share, only that this pod is below resumeMaxOf(callsMax) and still takes streams; it never waits for a slot.
// AD6: a call that was placed here counts from then on, once, until it is held or its stream is overdue; asked again, the answer
//      is the same.
// AD7: an answer that comes too late is not taken back: a retry may stand on it; the reservation ends by itself.
// AD8: a call goes over to another pool when the store says so, which counts it there; `unsure` is neither yes nor no.
// AD9: the places of a far party are bounded over the fleet by the store; without it, by this pod's share of them, at least one.
import type { Clock } from '../kit/clock.ts'
import type { CallSid } from '../kit/ids.ts'
import type { Log } from '../kit/log.ts'
import type { Wheel } from '../kit/wheel.ts'
import {
  type Acquired,
  type CallClass,
  type CallerPlaces,
  type CellLimits,
  type Grant,
  type HeldLease,
  LEASE_TIMES,
  type LeaseStore,
  type MovePool,
  type PodEntry,
  type Polled,
  resumeMaxOf,
  type Transferred,
} from './ports.ts'
import { askWithin, type StoreAnswer } from './store-answer.ts'

export const STORE_MS = 300
export const LOCAL_MAX_MS = 300_000
/** What is left of the limit for calls that the pods do not know of each other. */
const LOCAL_SHARE = 0.9

/** A place; `isLocal`: given by this pod alone, the store does not know of it yet. */
export type Placement = Grant & { isLocal: boolean }
type Refusal = (Acquired & { kind: 'refused' })['reason'] | 'store-away'
type Admitted =
  | ({ kind: 'granted' } & Placement)
  | { kind: 'queued'; ahead: number; etaMs: number }
  | { kind: 'refused'; reason: Refusal; retryAfterMs: number }
type Waited =
  | ({ kind: 'granted' } & Placement)
  | (Polled & { kind: 'waiting' | 'gone' })
  /** Nothing is known of the place in the queue: let the caller wait on and ask again. */
  | { kind: 'away'; retryAfterMs: number }
type Resumed =
  | ({ kind: 'transferred'; isUnbacked: boolean } & Placement)
  | { kind: 'fenced'; epoch: number }
  | { kind: 'refused'; reason: 'no-pod' | 'store-away'; retryAfterMs: number }

/** When it is worth asking again, ms. */
export const RETRY_AFTER_MS: Readonly<Record<Refusal, number>> = {
  recovering: 5_000,
  full: 10_000,
  'tenant-full': 10_000,
  'queue-full': 30_000,
  'no-pod': 3_000,
  'caller-full': 30_000,
  'store-away': 3_000,
}

export type AdmitRequest = {
  callSid: CallSid
  tenant: string
  class: CallClass
  /** Whose the place is; undefined: places of one caller are not bounded. */
  caller: CallerPlaces | undefined
  /** The caller may wait; false: full means refused. */
  queue: boolean
}
type ResumeRequest = {
  callSid: CallSid
  fromEpoch: number
  tenant: string
  pool: string | undefined
  avoidPod: string | undefined
  preferPod?: string
  caller?: string | undefined
}

/** What admission asks of the store of leases. */
type AdmissionStore = Pick<LeaseStore, 'acquire' | 'poll' | 'transfer' | 'movePool'>

type AdmissionParts = {
  store: AdmissionStore
  clock: Clock
  wheel: Wheel
  log: Log
  /** This pod, and the calls it may hold. */
  self: { pod: string; address: string; callsMax: number }
  /** Below how many calls it takes new ones now; left out: `callsMax`. */
  newCallsMax?: () => number
  limits: () => CellLimits
  /** The learnt ceiling of a pool (ConnectThrottle); it only lowers the pool's limit. */
  ceilingOf: (pool: string) => number
  /** The live calls of this pod. */
  held: () => readonly HeldLease[]
  /** What was last seen of the store, on the monotonic clock: a LeaseKeeper fits. */
  seen: { pods(): readonly PodEntry[]; readonly lastSuccessAtMs: number | undefined }
  /** Whether this pod may take new calls by itself (PodDriver's takesWebhooks). */
  takesCalls: () => boolean
  /** Whether streams may still reach this pod (PodDriver's isReady); left out: they may. */
  isReady?: () => boolean
}

type Placed = { tenant: string; pool: string; epoch: number; caller: string | undefined; untilMs: number }

export class Admission {
  readonly #parts: AdmissionParts
  /** Calls placed here without the store whose stream is awaited; at most `resumeMaxOf(callsMax)`. */
  readonly #placed = new Map<CallSid, Placed>()
  #lastAnswerAtMs: number | undefined
  #isAway = false
  #localPlacements = 0

  constructor(parts: AdmissionParts) {
    this.#parts = parts
  }

  /** Calls that this pod placed by itself since it started. */
  get localPlacements(): number {
    return this.#localPlacements
  }

  /** Asks for a place for a new call; the answer comes within STORE_MS. */
  async admit(request: AdmitRequest): Promise<Admitted> {
    const answer = await this.#ask((store) => store.acquire(request))
    if (answer.kind === 'answer') return admittedOf(answer.value)
    const place = this.#placeNew(request)
    return place === undefined ? refuse('store-away') : { kind: 'granted', ...place }
  }

  /** A waiting caller asks again. */
  async poll(request: Omit<AdmitRequest, 'queue'>): Promise<Waited> {
    const answer = await this.#ask((store) => store.poll(request.callSid))
    if (answer.kind === 'answer') {
      const { value } = answer
      return value.kind === 'granted' ? { ...value, isLocal: false } : value
    }
    const place = this.#placeNew(request)
    return place === undefined
      ? { kind: 'away', retryAfterMs: RETRY_AFTER_MS['store-away'] }
      : { kind: 'granted', ...place }
  }

  /** A live call needs another pod: the one it was on is lost, or gives it away. */
  async resume(request: ResumeRequest): Promise<Resumed> {
    const answer = await this.#ask((store) => store.transfer(request))
    if (answer.kind === 'answer') return resumedOf(answer.value)
    const place = this.#placeResume(request)
    if (place === undefined)
      return { kind: 'refused', reason: 'store-away', retryAfterMs: RETRY_AFTER_MS['store-away'] }
    return { kind: 'transferred', isUnbacked: true, ...place }
  }

  /** A live call needs another pool's model; the answer comes within STORE_MS. */
  async movePool(request: { callSid: CallSid; epoch: number; pool: string }): ReturnType<MovePool> {
    const answer = await this.#ask((store) => store.movePool(request))
    if (answer.kind === 'away') return 'unsure'
    const { kind } = answer.value
    return kind === 'moved' || kind === 'full' ? kind : 'unsure'
  }

  async #ask<T>(question: (store: AdmissionStore) => Promise<T>): Promise<StoreAnswer<T>> {
    const { wheel, store, clock, log } = this.#parts
    const answer = await askWithin(wheel, STORE_MS, () => question(store))
    if (answer.kind === 'answer') {
      this.#lastAnswerAtMs = clock.monotonicMs()
      if (this.#isAway) log.info({}, 'the store answers admissions again')
      this.#isAway = false
      return answer
    }
    if (!answer.isExpected) log.error({ reason: answer.reason }, 'the store failed an admission')
    else if (!this.#isAway)
      log.warn({ code: 'STORE_UNAVAILABLE', reason: answer.reason }, 'admission goes on without the store')
    this.#isAway = true
    return answer
  }

  /** Two pods may place the same resume under the same epoch; only one claim of the call's row succeeds (RR2). */
  #placeResume({ callSid, fromEpoch, tenant, pool, caller }: ResumeRequest): Placement | undefined {
    const epoch = fromEpoch + 1
    const known = this.#known(callSid)
    if (known !== undefined && known.epoch >= epoch) return this.#placement(known.pool, known.epoch)
    if (this.#parts.isReady?.() === false) return undefined
    // The call itself may still be held here under its old epoch: it needs no second room.
    const own = this.#ownCalls().filter((call) => call.callSid !== callSid)
    if (own.length >= resumeMaxOf(this.#parts.self.callsMax)) return undefined
    return this.#place(callSid, { tenant, pool: pool ?? this.#poolWithRoom(own), epoch, caller })
  }

  #isCallerFull(own: readonly HeldLease[], { key, max, groupMax = max }: CallerPlaces): boolean {
    return key.split(' ').some((one, at) => {
      const count = own.filter(({ caller }) => caller?.split(' ').includes(one) === true).length
      return count >= Math.max(1, this.#share(at === 0 ? max : groupMax))
    })
  }

  #placeNew({ callSid, tenant, class: callClass, caller }: Omit<AdmitRequest, 'queue'>): Placement | undefined {
    const known = this.#known(callSid)
    if (known !== undefined) return this.#placement(known.pool, known.epoch)
    if (callClass !== 'inbound' || !this.#parts.takesCalls() || !this.#mayPlaceAlone()) return undefined
    const own = this.#ownCalls()
    const limits = this.#parts.limits()
    const limit = limits.pools.reduce((sum, { pool, callsMax }) => sum + this.#limitOf(pool, callsMax), 0)
    const most = this.#parts.newCallsMax?.() ?? this.#parts.self.callsMax
    if (own.length >= Math.min(this.#share(limit), most)) return undefined
    const { burst } = limits.tenants.find((one) => one.tenant === tenant) ?? limits.otherTenants
    const ofTenant = own.filter((call) => call.tenant === tenant).length
    // A small burst divided by many pods is still one call, or the tenant could not be reached at all.
    if (ofTenant >= Math.min(burst, Math.max(1, this.#share(burst)))) return undefined
    // A caller's places are divided likewise, and one of them is everybody's.
    if (caller !== undefined && this.#isCallerFull(own, caller)) return undefined
    return this.#place(callSid, { tenant, pool: this.#poolWithRoom(own), epoch: 1, caller: caller?.key })
  }

  #place(callSid: CallSid, place: Omit<Placed, 'untilMs'>): Placement {
    const untilMs = this.#parts.clock.monotonicMs() + LEASE_TIMES.reservedMs
    this.#placed.set(callSid, { ...place, untilMs })
    this.#localPlacements += 1
    return this.#placement(place.pool, place.epoch)
  }

  #placement(pool: string, epoch: number): Placement {
    const { pod, address } = this.#parts.self
    return { pod, address, pool, epoch, isLocal: true }
  }

  #known(callSid: CallSid): { pool: string; epoch: number } | undefined {
    return this.#ownCalls().find((call) => call.callSid === callSid)
  }

  /** What is held, and what is placed and not held yet. */
  #ownCalls(): HeldLease[] {
    const nowMs = this.#parts.clock.monotonicMs()
    const own = new Map(this.#parts.held().map((lease) => [lease.callSid, lease]))
    for (const [callSid, placed] of this.#placed) {
      const held = own.get(callSid)
      if (placed.untilMs <= nowMs || (held !== undefined && held.epoch >= placed.epoch)) this.#placed.delete(callSid)
      else own.set(callSid, { callSid, ...placed })
    }
    return [...own.values()]
  }

  /** The first pool whose own share has room; the first of all when none has. */
  #poolWithRoom(own: readonly { pool: string }[]): string {
    const { pools } = this.#parts.limits()
    const inUse = (pool: string): number => own.filter((call) => call.pool === pool).length
    const found = pools.find(({ pool, callsMax }) => inUse(pool) < this.#share(this.#limitOf(pool, callsMax)))
    return (found ?? pools[0])?.pool ?? 'default'
  }

  #limitOf(pool: string, callsMax: number): number {
    return Math.min(callsMax, this.#parts.ceilingOf(pool))
  }

  #share(limit: number): number {
    // A pod unheard of so long holds no lease any more: it has no part.
    const isPart = ({ state, ageMs }: PodEntry): boolean => state === 'ready' && ageMs < LEASE_TIMES.hardMs
    const readyPods = this.#parts.seen.pods().filter(isPart).length
    return Math.floor((LOCAL_SHARE * limit) / Math.max(1, readyPods))
  }

  #mayPlaceAlone(): boolean {
    const lastMs = Math.max(this.#lastAnswerAtMs ?? -Infinity, this.#parts.seen.lastSuccessAtMs ?? -Infinity)
    return this.#parts.clock.monotonicMs() - lastMs <= LOCAL_MAX_MS
  }
}

function refuse(reason: Refusal): Admitted {
  return { kind: 'refused', reason, retryAfterMs: RETRY_AFTER_MS[reason] }
}

function admittedOf(acquired: Acquired): Admitted {
  if (acquired.kind === 'refused') return refuse(acquired.reason)
  if (acquired.kind === 'queued') return acquired
  return { ...acquired, kind: 'granted', isLocal: false }
}

function resumedOf(transferred: Transferred): Resumed {
  switch (transferred.kind) {
    case 'fenced':
      return transferred
    case 'refused':
      return { kind: 'refused', reason: transferred.reason, retryAfterMs: RETRY_AFTER_MS[transferred.reason] }
    default: {
      const { pod, address, pool, epoch } = transferred
      const isUnbacked = transferred.kind === 'transferred' && transferred.unbacked
      return { kind: 'transferred', isUnbacked, pod, address, pool, epoch, isLocal: false }
    }
  }
}
