// A cell on a Redis that was started a moment ago. A store without its boot mark recovers: it admits nothing for ten seconds, so that
// live calls can be asserted again. The starter of a fleet knows that there are none, and says so; a Redis that is emptied later
// recovers as in life, since the pods bring the true times with them.
import { defaultLimits } from '../../src/control/limits.ts'
import { LEASE_TIMES } from '../../src/control/ports.ts'
import { openRedisLeases } from '../../src/store/leases/redis.ts'

/** Gives the cell its boot mark with nothing to wait for. `ceiling` is what stands until a pod brings its limits. */
export async function openNewCell(redisUrl: string, cell: string, ceiling: number): Promise<void> {
  const leases = await openRedisLeases({ url: redisUrl, cell, times: { ...LEASE_TIMES, recoveringMs: 0 } })
  try {
    await leases.configure(defaultLimits(ceiling).cell)
  } finally {
    await leases.close()
  }
}
