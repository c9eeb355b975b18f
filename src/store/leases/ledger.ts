// The leases in memory, with what is counted of them, and the limits that they stand under. Rules:
// LL1: counts change only together with a lease, by what the lease's own record says.
// LL2: a guarantee that is not used stays reserved: another tenant is admitted only beside all unused guarantees.
// LL3: only a tenant that is listed has a guarantee; nothing can be kept free for tenants nobody knows.
// LL4: a new call goes to the pool with the least (calls + 1) / weight among those that have room and a connect to spend;
//      a pool of weight 0 takes none.
// LL5: connects are spent from a bucket of one second's worth; a resume spends one also when there is none, and new calls wait
//      until that debt, of at most one second's worth, is paid.
import type { CallClass, CellLimits, PoolLimit, TenantLimit } from '../../control/ports.ts'
import type { CallSid } from '../../kit/ids.ts'
import { Callers } from './callers.ts'

/** `offered`: reserved for a waiting caller who has not heard of it yet. */
export type LeaseState = 'offered' | 'reserved' | 'active' | 'suspect'
export type Lease = {
  readonly callSid: CallSid
  state: LeaseState
  epoch: number
  tenant: string
  pod: string
  pool: string
  /** Made without a slot, since the call was live already. */
  readonly isUnbacked: boolean
  /** When its state ends, unless it is renewed. */
  untilMs: number
}
type Verdict = 'ok' | 'tenant-full' | 'full'
/** What is counted of the leases. */
export type Counts = { tenants: Map<string, number>; pods: Map<string, number>; pools: Map<string, number> }
type Bucket = { tokens: number; atMs: number }

const NO_LIMITS: CellLimits = {
  pools: [],
  tenants: [],
  otherTenants: { guaranteed: 0, burst: 0, weight: 1 },
  reserve: { inbound: 0, outbound: 0 },
  queueMax: 0,
}

export class Ledger {
  readonly leases = new Map<CallSid, Lease>()
  readonly callers = new Callers()
  counts: Counts = emptyCounts()
  limits: CellLimits = NO_LIMITS
  #tenants = new Map<string, TenantLimit>()
  /** At most one for each configured pool. */
  #buckets = new Map<string, Bucket>()

  setLimits(limits: CellLimits): void {
    this.limits = limits
    this.#tenants = new Map(limits.tenants.map((one) => [one.tenant, one]))
    const names = new Set(limits.pools.map(({ pool }) => pool))
    for (const pool of this.#buckets.keys()) if (!names.has(pool)) this.#buckets.delete(pool)
  }

  get limit(): number {
    return this.limits.pools.reduce((sum, { callsMax }) => sum + callsMax, 0)
  }

  tenantLimit(tenant: string): Omit<TenantLimit, 'tenant'> {
    return this.#tenants.get(tenant) ?? this.limits.otherTenants
  }

  callsOf(kind: keyof Counts, name: string): number {
    return this.counts[kind].get(name) ?? 0
  }

  /** [LL2] */
  unusedGuarantees(): number {
    return this.limits.tenants.reduce(
      (sum, { tenant, guaranteed }) => sum + Math.max(0, guaranteed - this.callsOf('tenants', tenant)),
      0,
    )
  }

  add(lease: Lease): void {
    this.leases.set(lease.callSid, lease)
    addTo(this.counts, lease, 1)
  }

  drop(lease: Lease): void {
    this.leases.delete(lease.callSid)
    this.callers.forget(lease.callSid)
    addTo(this.counts, lease, -1)
  }

  /** Changes who holds a lease, and the counts with it. */
  move(lease: Lease, to: { tenant?: string; pod?: string; pool?: string }): void {
    addTo(this.counts, lease, -1)
    Object.assign(lease, to)
    addTo(this.counts, lease, 1)
  }

  /** Whether the limits let a call in, pools and pods aside. */
  judge(tenant: string, callClass: CallClass): Verdict {
    const { reserve } = this.limits
    const { guaranteed, burst } = this.tenantLimit(tenant)
    const own = this.callsOf('tenants', tenant)
    if (own >= burst) return 'tenant-full'
    const used = this.leases.size
    if (own < guaranteed) return used < this.limit - reserve.inbound ? 'ok' : 'full'
    return used + this.unusedGuarantees() < this.limit - reserve[callClass] ? 'ok' : 'full'
  }

  /** [LL4] */
  pickPool(nowMs: number): string | undefined {
    return this.#leastUsed((pool) => this.#hasRoom(pool) && this.#tokensOf(pool, nowMs) >= 1)
  }

  /** The pool of a resume whose lease is lost: its own if there is such a pool, else one with room, else the least used. */
  poolOfResume(wanted: string | undefined): string {
    if (wanted !== undefined && this.limits.pools.some(({ pool }) => pool === wanted)) return wanted
    return this.#leastUsed((pool) => this.#hasRoom(pool)) ?? this.#leastUsed(() => true) ?? wanted ?? 'default'
  }

  /** Whether the pool is configured and below its ceiling. */
  hasRoom(name: string): boolean {
    const pool = this.limits.pools.find((one) => one.pool === name)
    return pool !== undefined && this.#hasRoom(pool)
  }

  /** [LL5] */
  spendConnect(name: string, nowMs: number): void {
    const pool = this.limits.pools.find((one) => one.pool === name)
    if (pool === undefined) return
    const tokens = Math.max(this.#tokensOf(pool, nowMs) - 1, -pool.connectsPerSecond)
    this.#buckets.set(name, { tokens, atMs: nowMs })
  }

  /** Counts everything anew from the leases. */
  recount(): Counts {
    const counts = emptyCounts()
    for (const lease of this.leases.values()) addTo(counts, lease, 1)
    return counts
  }

  #leastUsed(isFit: (pool: PoolLimit) => boolean): string | undefined {
    let best: { name: string; share: number } | undefined
    for (const pool of this.limits.pools) {
      if (pool.weight <= 0 || !isFit(pool)) continue
      const share = (this.callsOf('pools', pool.pool) + 1) / pool.weight
      if (best === undefined || share < best.share) best = { name: pool.pool, share }
    }
    return best?.name
  }

  #hasRoom(pool: PoolLimit): boolean {
    return this.callsOf('pools', pool.pool) < pool.callsMax
  }

  #tokensOf({ pool, connectsPerSecond }: PoolLimit, nowMs: number): number {
    const size = connectsPerSecond > 0 ? Math.max(1, connectsPerSecond) : 0
    const bucket = this.#buckets.get(pool)
    if (bucket === undefined) return size
    return Math.min(size, bucket.tokens + ((nowMs - bucket.atMs) / 1000) * connectsPerSecond)
  }
}

function emptyCounts(): Counts {
  return { tenants: new Map(), pods: new Map(), pools: new Map() }
}

/** [LL1] A count of 0 has no entry, so the maps are bounded by the leases. */
function addTo(counts: Counts, { tenant, pod, pool }: Lease, by: number): void {
  for (const [map, name] of [
    [counts.tenants, tenant],
    [counts.pods, pod],
    [counts.pools, pool],
  ] as const) {
    const next = (map.get(name) ?? 0) + by
    if (next === 0) map.delete(name)
    else map.set(name, next)
  }
}
