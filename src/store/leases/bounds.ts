// The bounds that both lease stores keep; the Lua library gets them from here, so that they stand once. Rules:
// LB1: whatever one operation does beside its own answer (grants, expiries, looks at tenants) has a bound; the rest waits for
//      the next operation, at the latest for the next reap.
// LB2: limits are made sound before a store sees them: a guarantee is at most the burst, a weight is positive.
import { type CellLimits, RESUME_TENTHS, type TenantLimit } from '../../control/ports.ts'

export const LEASE_BOUNDS = {
  /** A pod may hold so many tenths of its callsMax when it takes live calls; new calls come again when it is below callsMax. */
  resumeTenths: RESUME_TENTHS,
  /** Pods of one cell; a further one is not entered and so gets no calls. */
  podsMax: 1_000,
  /** Leases given to waiting callers by one operation. */
  grantsMax: 32,
  /** Tenants and dead tickets looked at by one operation to find whom to serve. */
  stepsMax: 64,
  /** Tenants counted for the estimate of who is served before a caller; the rest is left out. */
  aheadTenantsMax: 64,
  /** Leases, tickets and pods that one reap takes at most, whatever it is asked. */
  reapMax: 1_000,
  /** Places of a refused caller that are looked at for leases that are gone. */
  callerLooks: 32,
  /** The longest wait that is ever estimated; beyond it this. */
  etaMaxMs: 600_000,
  /** Time over which the rate of grants is averaged. */
  rateSeconds: 60,
  /** A learnt ceiling of a pool stands so long after it was last told. */
  ceilingMs: 15_000,
  /** A call's length before anything was measured. */
  callPriorSeconds: 180,
  /** Seconds of silence after which a rate has faded as far as it will. */
  fadeMax: 600,
  /** Reaping stops when more than so many tenths of the leases are due at once … */
  massTenths: 4,
  /** … and more than so many. */
  massMin: 8,
  /** Refusals of the last minute are counted in slices of so long. */
  refusalSliceMs: 10_000,
  refusalSlices: 6,
} as const

/** Limits of an own making: [LB2], nothing of the caller's is kept. */
export function makeSound(limits: CellLimits): CellLimits {
  return {
    pools: limits.pools.map((pool) => ({ ...pool, weight: Math.max(0, pool.weight) })),
    tenants: limits.tenants.map((tenant) => ({ ...tenant, ...soundTenant(tenant) })),
    otherTenants: { ...soundTenant(limits.otherTenants), guaranteed: 0 },
    reserve: { ...limits.reserve },
    queueMax: limits.queueMax,
  }
}

function soundTenant(tenant: Omit<TenantLimit, 'tenant'>): Omit<TenantLimit, 'tenant'> {
  const { guaranteed, burst, weight } = tenant
  return { guaranteed: Math.min(guaranteed, burst), burst, weight: weight > 0 ? weight : 1 }
}
