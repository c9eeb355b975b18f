// What a worker works with: the store of the work, the records of calls, and the jobs. Rules:
// WPA1: a job sees a call as its material: the checkpoint read, the tools' outcomes put in, numbers left out.
// WPA2: tables older than this program end the start; a database that is away does not: it is waited for.
// WPA3: a call that is sealed under a key that is not here fails its jobs, which are tried again; nothing is written of it as if it were empty.

import { type CheckpointReading, readCheckpoint } from '../call/checkpoint.ts'
import { figuresOf } from '../call/figures.ts'
import { farPartyOf, numberOf, ownNumberOf } from '../call/identity.ts'
import type { TranscriptItem } from '../call/transcript.ts'
import type { CarrierRest } from '../carrier/twilio/rest/rest.ts'
import type { Config } from '../config.ts'
import type { LeaseStore } from '../control/ports.ts'
import type { CallRecords, CallRow } from '../control/records.ts'
import { systemClock } from '../kit/clock.ts'
import { messageOf, VoiceError } from '../kit/errors.ts'
import type { Log } from '../kit/log.ts'
import { type Database, openDatabase } from '../store/work/open.ts'
import { type OperatorReads, replicaReads } from '../store/work/replica.ts'
import type { ErasureStore } from '../work/erasures.ts'
import type { Job } from '../work/job.ts'
import type { CallBackParty, CallBackTimes } from '../work/jobs/call-back.ts'
import { makeJobs } from '../work/jobs/jobs.ts'
import type { CallMaterial, Said } from '../work/jobs/material.ts'
import type { WorkStore } from '../work/ports.ts'
import { makeCallBackLine } from './call-back-line.ts'
import { carrierRestOf } from './carrier-rest.ts'

/** Connections to the replica: a few operators at once. */
const REPLICA_POOL_MAX = 2

export type WorkParts = {
  work: WorkStore
  records: CallRecords
  erasures: ErasureStore
  jobs: Job[]
  close(): Promise<void>
}

/** What role worker has besides: whom it asks, and where operators read. */
export type RoleParts = WorkParts & {
  reads: OperatorReads
  /** undefined: REDIS_URL is not set. */
  leases: LeaseStore | undefined
  /** undefined: no credentials of the carrier are configured. */
  rest: CarrierRest | undefined
}

/** Opens the parts on the database of `config`; rejects when there is none, or its tables are older than this program. */
export async function openWorkParts(config: Config, log: Log): Promise<RoleParts> {
  const { databaseUrl, databaseReplicaUrl, databasePoolMax, redisUrl, cell, sealer } = config.fleet
  if (databaseUrl === undefined)
    throw new Error('DATABASE_URL is not set: a worker works from the database of the pods (postgres://…)')
  const place = { kind: 'postgres' as const, url: databaseUrl, poolMax: databasePoolMax }
  const leases =
    redisUrl === undefined
      ? undefined
      : await (await import('../store/leases/redis.ts')).openRedisLeases({ url: redisUrl, cell, log })
  const rest = await carrierRestOf(config, log)
  const parts = workPartsOf(await openDatabase(place, { log, sealer }), config, { rest, leases })
  await checkTables(parts.work, log).catch(async (error: unknown) => {
    rest?.close()
    await Promise.allSettled([parts.close(), leases?.close()])
    throw error
  })
  const replica =
    databaseReplicaUrl === undefined
      ? undefined
      : await openDatabase({ kind: 'postgres', url: databaseReplicaUrl, poolMax: REPLICA_POOL_MAX }, { log, sealer })
  return {
    ...parts,
    reads: replica === undefined ? parts.work : replicaReads(replica.work, parts.work),
    leases,
    rest,
    close: async () => {
      rest?.close()
      await Promise.allSettled([parts.close(), replica?.close(), leases?.close()])
    },
  }
}

/** The parts on an open database, which is closed with them. */
export function workPartsOf(
  { records, work, erasures, close: closeDatabase }: Database,
  config: Config,
  outside: { rest: CarrierRest | undefined; leases: LeaseStore | undefined },
  times: Partial<CallBackTimes> = {},
): WorkParts {
  const find = async (callSid: CallRow['callSid']): Promise<CallMaterial | undefined> => {
    const row = await records.find(callSid)
    // What is sealed under a key that is not here is no empty call: the job is tried again when the key may be there.
    if (row?.isSealed === true) throw new VoiceError('DATA_KEY_MISSING', { retryable: true })
    return row === undefined ? undefined : materialOf(row)
  }
  const { rest, leases } = outside
  const { callBackFrom: from, callBackExpiresMs: expiresMs } = config.overflow
  const callBack =
    from === undefined || rest === undefined
      ? undefined
      : {
          line: makeCallBackLine(config, rest, leases),
          party: (callSid: CallRow['callSid']) => callBackParty(records, callSid),
          from,
          nowMs: () => systemClock.wallMs(),
          pause: (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms)),
          times: { expiresMs, ...times },
        }
  const { jobs, close } = makeJobs({ find, store: work, settings: config.work, clock: systemClock, callBack })
  return {
    work,
    records,
    erasures,
    jobs,
    close: async () => {
      close()
      await closeDatabase()
    },
  }
}

/** [WPA3] Who asked in the call to be called back. */
async function callBackParty(records: CallRecords, callSid: CallRow['callSid']): Promise<CallBackParty | undefined> {
  const row = await records.find(callSid)
  if (row?.isSealed === true) throw new VoiceError('DATA_KEY_MISSING', { retryable: true })
  const number = row === undefined ? undefined : numberOf(farPartyOf(row))
  return row === undefined || number === undefined ? undefined : { number, ownNumber: ownNumberOf(row) }
}

/** [WPA2] */
async function checkTables(work: WorkStore, log: Log): Promise<void> {
  try {
    await work.depth()
  } catch (error) {
    if (error instanceof VoiceError && error.code === 'MIGRATION_MISSING') throw error
    log.warn({ reason: messageOf(error) }, 'the database is away at the start, it is waited for')
  }
}

/** [WPA1] */
function materialOf(row: CallRow): CallMaterial {
  const reading: CheckpointReading =
    row.checkpoint === undefined ? { kind: 'unreadable', reason: 'was not written' } : readCheckpoint(row.checkpoint)
  const state = reading.kind === 'read' ? reading.state : undefined
  const answers = new Map(row.intents.map((intent) => [intent.toolCallId, intent.output]))
  const heard = (state?.transcript.items ?? []).flatMap((item) => saidOf(item, answers))
  const known = new Set(state?.transcript.items.map(({ id }) => id))
  const unseen = row.intents
    .filter(({ toolCallId }) => !known.has(toolCallId))
    .map(({ name, argumentsText, output }): Said => ({ who: 'tool', name, argumentsText, output }))
  return {
    startedAtMs: row.startedAtMs,
    endedAtMs: row.endedAtMs ?? row.startedAtMs,
    cause: row.cause,
    isTransferred: row.next?.kind === 'transfer' && (row.next.outcome ?? 'answered') === 'answered',
    turns: state?.turns ?? 0,
    figures: state === undefined ? {} : figuresOf(state),
    usage: state?.usage,
    said: [...heard, ...unseen],
  }
}

function saidOf(item: TranscriptItem, answers: ReadonlyMap<string, string | undefined>): Said[] {
  if (item.kind === 'message') return []
  if (item.kind !== 'tool') return [{ who: item.kind, text: item.text }]
  const { name, arguments: argumentsText, output } = item
  return [{ who: 'tool', name, argumentsText, output: output ?? answers.get(item.id) }]
}
