// What a worker works with: the store of the work, the records of calls, and the jobs. Rules:
// WPA1: a job sees a call as its material: the checkpoint read, the tools' outcomes put in, numbers left out.
import { type CheckpointReading, readCheckpoint } from '../call/checkpoint.ts'
import type { TranscriptItem } from '../call/transcript.ts'
import type { Config } from '../config.ts'
import type { CallRecords, CallRow } from '../control/records.ts'
import { systemClock } from '../kit/clock.ts'
import type { Log } from '../kit/log.ts'
import { type Database, openDatabase } from '../store/work/open.ts'
import type { Job } from '../work/job.ts'
import { makeJobs } from '../work/jobs/jobs.ts'
import type { CallMaterial, Said } from '../work/jobs/material.ts'
import type { WorkStore } from '../work/ports.ts'

export type WorkParts = { work: WorkStore; records: CallRecords; jobs: Job[]; close(): Promise<void> }

/** Opens the parts on the database of `config`; rejects when there is none, or its tables are older than this program. */
export async function openWorkParts(config: Config, log: Log): Promise<WorkParts> {
  const { databaseUrl, databasePoolMax } = config.fleet
  if (databaseUrl === undefined)
    throw new Error('DATABASE_URL is not set: a worker works from the database of the pods (postgres://…)')
  const place = { kind: 'postgres' as const, url: databaseUrl, poolMax: databasePoolMax }
  return workPartsOf(await openDatabase(place, { log }), config)
}

/** The parts on an open database, which is closed with them. */
export function workPartsOf({ records, work, close: closeDatabase }: Database, config: Config): WorkParts {
  const find = async (callSid: CallRow['callSid']): Promise<CallMaterial | undefined> => {
    const row = await records.find(callSid)
    return row === undefined ? undefined : materialOf(row)
  }
  const { jobs, close } = makeJobs({ find, store: work, settings: config.work, clock: systemClock })
  return {
    work,
    records,
    jobs,
    close: async () => {
      close()
      await closeDatabase()
    },
  }
}

/** [WPA1] */
export function materialOf(row: CallRow): CallMaterial {
  const reading: CheckpointReading =
    row.checkpoint === undefined ? { kind: 'unreadable', reason: 'was not written' } : readCheckpoint(row.checkpoint)
  const state = reading.kind === 'read' ? reading.state : undefined
  const answers = new Map(row.intents.map((intent) => [intent.toolCallId, intent.output]))
  const heard = (state?.transcript.items ?? []).map((item) => saidOf(item, answers))
  const known = new Set(state?.transcript.items.map(({ id }) => id))
  const unseen = row.intents
    .filter(({ toolCallId }) => !known.has(toolCallId))
    .map(({ name, argumentsText, output }): Said => ({ who: 'tool', name, argumentsText, output }))
  return {
    startedAtMs: row.startedAtMs,
    endedAtMs: row.endedAtMs ?? row.startedAtMs,
    cause: row.cause,
    isTransferred: row.next?.kind === 'transfer',
    turns: state?.turns ?? 0,
    usage: state?.usage,
    said: [...heard, ...unseen],
  }
}

function saidOf(item: TranscriptItem, answers: ReadonlyMap<string, string | undefined>): Said {
  if (item.kind !== 'tool') return { who: item.kind, text: item.text }
  const { name, arguments: argumentsText, output } = item
  return { who: 'tool', name, argumentsText, output: output ?? answers.get(item.id) }
}
