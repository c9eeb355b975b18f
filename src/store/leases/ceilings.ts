// The ceilings of model pools that pods have learnt and told the store in memory. Rules:
// LCE1: of ceilings that several pods tell, the lowest stands for ceilingMs after it was last told; only then is a higher one taken.
// LCE2: a ceiling only lowers its pool's limit; it is looked at when limits are set, and a pool that is not configured has none.
import type { PoolLimit } from '../../control/ports.ts'
import { LEASE_BOUNDS } from './bounds.ts'

export class Ceilings {
  /** At most one for each configured pool. */
  #known = new Map<string, { ceiling: number; untilMs: number }>()

  /** The pools with the limits that stand now. */
  apply(pools: readonly PoolLimit[], nowMs: number): PoolLimit[] {
    const stand = new Map<string, { ceiling: number; untilMs: number }>()
    for (const { pool, ceiling } of pools) {
      const before = this.#known.get(pool)
      const standing = before !== undefined && before.untilMs > nowMs ? before : undefined
      const isTaken = ceiling !== undefined && ceiling <= (standing?.ceiling ?? ceiling)
      const known = isTaken ? { ceiling, untilMs: nowMs + LEASE_BOUNDS.ceilingMs } : standing
      if (known !== undefined) stand.set(pool, known)
    }
    this.#known = stand
    return pools.map(({ ceiling: _ceiling, ...one }) => {
      return { ...one, callsMax: Math.min(one.callsMax, stand.get(one.pool)?.ceiling ?? one.callsMax) }
    })
  }
}
