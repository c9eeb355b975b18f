// What admission, placement and ownership need of a store of leases, whichever store it is. Rules:
// CP1: each operation is one atomic step of the store; an expected outcome is a value, never an exception.
// CP2: a store that cannot be reached rejects with STORE_UNAVAILABLE within its own bound; nothing is known then of the outcome.
// CP3: time is the store's own and never runs back; no pod sends a time.
// CP4: three things are apart: the lease (how many), the epoch (who acts), the placement (where).
// CP5: a lease is known by its Call SID; every decrement is driven by the lease's own record, so that it happens once.
import type { CallSid } from '../kit/ids.ts'

/** What a new call is admitted as. A resume is no class: it is a transfer, which needs no free place. */
export type CallClass = 'inbound' | 'outbound'

/**
 * Whose a place is: `key` is the same for all calls of one far party, and says nothing of the number; `max`: places at once.
 * A key `own group` counts in both, each with its bound.
 */
export type CallerPlaces = { key: string; max: number; groupMax?: number | undefined }

/** Bounds of leases, in ms. A slot is granted again only after its holder must have stopped: fence < hard. */
export type LeaseTimes = {
  /** A lease that was not renewed so long is suspect; it still counts. */
  ttlMs: number
  /** A suspect lease is dropped when it was not renewed so long. */
  hardMs: number
  /** A granted call whose stream never came gives its slot back after so long. */
  reservedMs: number
  /** A fresh or emptied store admits nothing new for so long: live calls are reasserted meanwhile. */
  recoveringMs: number
  /** A waiting caller who has not asked so long is gone. */
  ticketMs: number
}

export const LEASE_TIMES: LeaseTimes = {
  ttlMs: 15_000,
  hardMs: 60_000,
  reservedMs: 10_000,
  recoveringMs: 10_000,
  ticketMs: 25_000,
}

/**
 * A model pool: a key, an organisation, a deployment. `weight` shares calls between pools that have room. `ceiling`: what a pod has
 * learnt that it bears, when that is less than `callsMax`.
 */
export type PoolLimit = { pool: string; callsMax: number; weight: number; connectsPerSecond: number; ceiling?: number }
/** What a tenant is sure of (`guaranteed`), may never exceed (`burst`), and weighs in the queue. */
export type TenantLimit = { tenant: string; guaranteed: number; burst: number; weight: number }

/** The limits of one cell. Their sum over pools is the organisation's ceiling; `reserve` slots stay free for resumes. */
export type CellLimits = {
  pools: readonly PoolLimit[]
  tenants: readonly TenantLimit[]
  /** For tenants that are not listed. */
  otherTenants: Omit<TenantLimit, 'tenant'>
  reserve: { inbound: number; outbound: number }
  queueMax: number
}

/** `ready` takes calls; `cordoned` and `draining` take none but keep theirs; `fenced` and `down` hold none. */
export type PodState = 'warming' | 'ready' | 'cordoned' | 'draining' | 'fenced' | 'down'
/** A live call that needs another pod may fill it to so many tenths of its callsMax. */
export const RESUME_TENTHS = 15

/** The calls that a pod holds at most when it takes live calls: half as many again as `callsMax`. */
export function resumeMaxOf(callsMax: number): number {
  return Math.ceil((callsMax * RESUME_TENTHS) / 10)
}

/** A pod as it announces itself: `penalty` calls are added to its load when a pod is picked (slow start, lag). */
export type PodHeartbeat = {
  pod: string
  /** New at each start of the process: a pod that came back is not the pod that went. */
  incarnation: string
  /** Where other pods reach it, `http://host:port`. */
  address: string
  state: PodState
  callsMax: number
  /** Below this it takes new calls, `callsMax` at most; left out: `callsMax`. A resume goes by `callsMax` alone. */
  newCallsMax?: number
  penalty: number
}
/** A pod as the store knows it. `ageMs`: since its last announcement. */
export type PodEntry = PodHeartbeat & { calls: number; ageMs: number }

/** A place for a call: which pod, with which pool's model, under which epoch. */
export type Grant = { pod: string; address: string; pool: string; epoch: number }

/** `caller` left out: places of one caller are not bounded. */
export type AcquireRequest = {
  callSid: CallSid
  tenant: string
  class: CallClass
  queue: boolean
  caller?: CallerPlaces | undefined
}
export type Acquired =
  | ({ kind: 'granted' } & Grant)
  /** The same call asked before: the same answer. */
  | ({ kind: 'repeated' } & Grant)
  /** Full, or others of its tenant wait already; `ahead` callers are served before it, `etaMs` is an estimate. */
  | { kind: 'queued'; ahead: number; etaMs: number }
  /** `caller-full`: the far party has its places, live and waiting. */
  | { kind: 'refused'; reason: 'recovering' | 'full' | 'tenant-full' | 'queue-full' | 'no-pod' | 'caller-full' }

export type Activated =
  | ({ kind: 'activated' } & Grant)
  /** This epoch's stream was opened before: the token was used. */
  | { kind: 'used' }
  /** Another epoch acts. */
  | { kind: 'fenced'; epoch: number }
  | { kind: 'unknown' }

export type Transferred =
  /** `unbacked`: no lease was known; one was made, above the limit if need be (a resume never waits). */
  | ({ kind: 'transferred'; unbacked: boolean } & Grant)
  /** The transfer of this epoch was made before and its stream is still awaited: the same answer. */
  | ({ kind: 'repeated' } & Grant)
  /** Somebody else moved the call on: `epoch` acts. */
  | { kind: 'fenced'; epoch: number }
  | { kind: 'refused'; reason: 'no-pod' }

export type PoolMoved =
  | { kind: 'moved' }
  /** The other pool has no room, or is not known: nothing has changed. */
  | { kind: 'full' }
  | { kind: 'fenced'; epoch: number }
  | { kind: 'unknown' }

/** Asks for one call's place in another pool; `unsure`: the store is away, or the lease is not there under its epoch. Never rejects. */
export type MovePool = (pool: string) => Promise<'moved' | 'full' | 'unsure'>

/** One live call as its holder knows it. */
export type HeldLease = {
  callSid: CallSid
  tenant: string
  epoch: number
  pool: string
  /** The key of its far party; undefined: not known. */
  caller?: string | undefined
}
/** What became of each lease that was to be renewed; those not named are renewed. */
export type Renewed = { unknown: CallSid[]; fenced: CallSid[] }

export type Reaped = {
  noShows: CallSid[]
  suspected: CallSid[]
  dropped: CallSid[]
  /** Reaping was stopped: too many at once, or time jumped. */
  guard: 'none' | 'mass-expiry' | 'time-gap'
}

/** A caller who waits. */
export type Polled =
  | ({ kind: 'granted' } & Grant)
  | { kind: 'waiting'; ahead: number; etaMs: number; waitedMs: number }
  | { kind: 'gone' }

/** A lease as the store sees it. `silentMs`: since it was last renewed; 0 while its stream is awaited. */
export type LeaseSeen = {
  callSid: CallSid
  epoch: number
  pod: string
  state: 'awaited' | 'active' | 'suspect'
  silentMs: number
}

export type CellUsage = {
  inUse: number
  reserved: number
  suspect: number
  limit: number
  queued: number
  refusedLastMinute: number
  pools: { pool: string; inUse: number; limit: number }[]
  isRecovering: boolean
}

/** Differences that `audit` found between the counters and the leases, and healed. */
export type Audited = { differences: string[] }

/** What a tenant has spent: time of calls, and money in whole millionths of the currency. */
export type Spent = { tenant: string; ms: number; millionths: number }

/** Leases, pods and the queue of one cell. */
export interface LeaseStore {
  /** Sets the limits. Of ceilings told by several pods the lowest stands for a while. A store without its boot mark begins to recover. */
  configure(limits: CellLimits): Promise<void>
  /** Writes the pod's entry; a new incarnation of a known name takes over its entry (its leases stay until reaped or transferred). */
  announce(pod: PodHeartbeat): Promise<void>
  pods(): Promise<PodEntry[]>
  acquire(request: AcquireRequest): Promise<Acquired>
  /** The stream of `epoch` has opened on `pod`, which need not be the one that was picked. Once for each epoch. */
  activate(request: { callSid: CallSid; epoch: number; pod: string }): Promise<Activated>
  renew(request: { pod: string; leases: readonly HeldLease[] }): Promise<Renewed>
  /** Adds what the store does not know, above the limit if need be; a lower epoch than the store's is `fenced`. */
  reassert(request: { pod: string; leases: readonly HeldLease[] }): Promise<{ fenced: CallSid[] }>
  /** The call is over. A release of another epoch than the lease's changes nothing. Grants the slot to the queue. */
  release(request: { callSid: CallSid; epoch: number }): Promise<{ kind: 'released' | 'unknown' | 'fenced' }>
  /**
   * Moves the call to another pod (`preferPod` if it lives, never `avoidPod` unless it is the only one) under
   * `fromEpoch` + 1. The lease goes along, so the ceiling does not matter; `no-pod` when every pod is full for resumes.
   */
  transfer(request: {
    callSid: CallSid
    fromEpoch: number
    tenant: string
    pool: string | undefined
    avoidPod: string | undefined
    preferPod?: string | undefined
    caller?: string | undefined
  }): Promise<Transferred>
  /** The call is served by another pool's model from now on, if that pool has room. Grants the slot that it leaves to the queue. */
  movePool(request: { callSid: CallSid; epoch: number; pool: string }): Promise<PoolMoved>
  /** Expires what is due, at most `max` leases, and grants what became free. */
  reap(max: number): Promise<Reaped>
  /** A waiting caller asks again; the asking keeps the place. */
  poll(callSid: CallSid): Promise<Polled>
  /** A waiting caller has gone. */
  leave(callSid: CallSid): Promise<void>
  /** The leases of these calls, changing nothing; those that the store does not know are left out. */
  look(callSids: readonly CallSid[]): Promise<LeaseSeen[]>
  /** Adds what tenants have spent to the store's present day, and tells what each of them has spent in it over the fleet. */
  spend(spent: readonly Spent[]): Promise<{ day: number; spent: Spent[] }>
  usage(): Promise<CellUsage>
  audit(): Promise<Audited>
  close(): Promise<void>
}
