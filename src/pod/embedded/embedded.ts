// The database of a process that has no other, with the worker of its calls beside it (role all). Rules:
// EM1: the worker runs where the database is, since no other process can reach it; its rooms are small, and neither its statements
//      (they run in the database's thread) nor the model that it asks hold up a call.
// EM2: the folder belongs to one process; another one on the same folder keeps its calls in memory, and says so.
// EM3: at the end items get ENDING_MS to finish; what is left is due at the next start.
// EM4: a call that an earlier process left live is ended by the sweep: the leases are this process's own, and know it not.
import { join } from 'node:path'
import type { FastifyInstance } from 'fastify'
import type { Registry } from 'prom-client'
import type { SweeperTimes } from '../../call-control/rescue/sweeper.ts'
import type { Config } from '../../config.ts'
import { LEASE_TIMES } from '../../control/ports.ts'
import { systemClock } from '../../kit/clock.ts'
import { messageOf } from '../../kit/errors.ts'
import type { CallSid } from '../../kit/ids.ts'
import type { Log } from '../../kit/log.ts'
import { Wheel } from '../../kit/wheel.ts'
import type { Operators } from '../../ops/operators.ts'
import { makeMemoryLeases } from '../../store/leases/memory.ts'
import { type Database, openDatabase } from '../../store/work/open.ts'
import type { CallBackTimes } from '../../work/jobs/call-back.ts'
import type { CallRecord, WorkType } from '../../work/ports.ts'
import { carrierRestOf } from '../carrier-rest.ts'
import type { Stores } from '../stores.ts'
import { makeWorkEngine } from '../work-engine.ts'
import { workPartsOf } from '../work-parts.ts'
import { takeLock } from './folder-lock.ts'
import { ownPrivateFolder } from './private-folder.ts'

const ENDING_MS = 2_000
/** Sixteen analyses of a second keep up with the calls of a process ten times over. */
const ROOMS: Readonly<Record<WorkType, number>> = {
  record: 4,
  analysis: 16,
  crm: 8,
  recording: 4,
  voicemail: 4,
  'call-back': 2,
}

export type Embedded = {
  stores: Stores
  /** Undefined: another process has the folder, the calls are kept in memory. */
  folder: string | undefined
  /** The record of a call, as far as it is there. */
  record(callSid: CallSid): Promise<CallRecord | undefined>
  /** Puts the worker's routes and figures on the pod's port. */
  alsoServe(app: FastifyInstance, registry: Registry, operators: Operators): Promise<void>
  /** [EM3] Idempotent; never rejects. After the pod, which still writes its ends. */
  close(): Promise<void>
}

/** Opens the database in `DATA_DIR` and begins to work. Rejects when it cannot be opened. The first start takes seconds. */
export async function openEmbedded(
  config: Config,
  log: Log,
  sweep: Partial<SweeperTimes> = {},
  callBack: Partial<CallBackTimes> = {},
): Promise<Embedded> {
  const unlock = takeLock(join(config.dataDir, 'database.owner'))
  const folder = unlock === undefined ? undefined : join(config.dataDir, 'database')
  const clock = systemClock
  try {
    if (folder !== undefined) ownPrivateFolder(folder)
    const database = await openDatabase({ kind: 'pglite', folder }, { log, sealer: config.fleet.sealer })
    const wheel = new Wheel({ clock, onError: (error) => log.error({ reason: messageOf(error) }, 'a timer failed') })
    const stores = storesOf(database)
    const rest = await carrierRestOf(config, log)
    const parts = workPartsOf(database, config, { rest, leases: stores.leases }, callBack)
    const engine = makeWorkEngine({
      ...{ config, log, wheel, parts, leases: stores.leases, rest: undefined, sweep },
      rooms: { ...ROOMS, analysis: Math.min(ROOMS.analysis, config.work.analysisMax) },
    })
    engine.start()
    const end = async (): Promise<void> => {
      await engine.drain(ENDING_MS)
      rest?.close()
      await parts.close()
      wheel.close()
      unlock?.()
    }
    let closing: Promise<void> | undefined
    return {
      stores,
      folder,
      record: (callSid) => parts.work.record(callSid),
      alsoServe: engine.serve,
      close: () => {
        closing ??= end().catch((error: unknown) => log.error({ reason: messageOf(error) }, 'closing met an error'))
        return closing
      },
    }
  } catch (error) {
    unlock?.()
    throw error
  }
}

/** A call ends with the process: its end is kept, and no checkpoint while it lives. */
function storesOf({ records, work }: Database): Stores {
  const leases = makeMemoryLeases({
    times: { ...LEASE_TIMES, recoveringMs: 0 },
    nowMs: () => systemClock.monotonicMs(),
  })
  // The database is closed after the pod, by its owner.
  return {
    isAlone: true,
    leases,
    records,
    recordings: work,
    overflow: work,
    checkpoints: undefined,
    close: () => leases.close(),
  }
}
