// The stores of a pod: on Redis and Postgres when their URLs are set, in memory otherwise. A pod without Redis is alone.

import type { Recordings } from '../call-control/call-finalizer.ts'
import type { OverflowStore } from '../call-control/overflow.ts'
import type { Checkpoints } from '../call-control/pod-calls.ts'
import type { Config } from '../config.ts'
import type { LeaseStore } from '../control/ports.ts'
import { LEASE_TIMES } from '../control/ports.ts'
import type { CallRecords } from '../control/records.ts'
import type { Clock } from '../kit/clock.ts'
import type { CallSid } from '../kit/ids.ts'
import type { Log } from '../kit/log.ts'
import type { Wheel } from '../kit/wheel.ts'
import { makeMemoryLeases } from '../store/leases/memory.ts'
import { CheckpointWriter } from '../store/records/checkpoint-writer.ts'
import { openRecords } from '../store/records/open.ts'
import { openDatabase } from '../store/work/open.ts'

export type Stores = {
  /** No other pod shares the leases. */
  isAlone: boolean
  leases: LeaseStore
  records: CallRecords
  /** undefined: the records end with the process, so that a checkpoint would help nobody. */
  checkpoints: Checkpoints | undefined
  /** undefined: there is no database, and so no work after calls. */
  recordings?: Recordings | undefined
  /** undefined: as for the recordings. */
  overflow?: OverflowStore | undefined
  /** Rejects with MIGRATION_MISSING when the database has no tables of this version; undefined: there is no database. */
  checkTables?: (() => Promise<void>) | undefined
  close(): Promise<void>
}

/** Opens the stores; neither needs to be reachable yet. `onFenced`: the records refused a checkpoint of the call. */
export async function openStores(
  config: Config,
  world: { clock: Clock; wheel: Wheel; log: Log },
  onFenced: (callSid: CallSid) => void,
): Promise<Stores> {
  const { redisUrl, databaseUrl, databasePoolMax, cell, sealer } = config.fleet
  const { clock, wheel, log } = world
  const leases =
    redisUrl === undefined
      ? makeMemoryLeases({ times: { ...LEASE_TIMES, recoveringMs: 0 }, nowMs: () => clock.monotonicMs() })
      : await (await import('../store/leases/redis.ts')).openRedisLeases({ url: redisUrl, cell, log })
  const database =
    databaseUrl === undefined
      ? undefined
      : await openDatabase({ kind: 'postgres', url: databaseUrl, poolMax: databasePoolMax }, { log, sealer })
  const records = database?.records ?? (await openRecords({ kind: 'memory' }))
  const checkpoints = databaseUrl === undefined ? undefined : new CheckpointWriter({ records, wheel, log, onFenced })
  return {
    isAlone: redisUrl === undefined,
    leases,
    records,
    checkpoints,
    recordings: database?.work,
    overflow: database?.work,
    checkTables: database?.checkTables,
    close: async () => {
      await Promise.allSettled([leases.close(), records.close(), database?.close()])
    },
  }
}
