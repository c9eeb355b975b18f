// A backlog of ended calls, as a cell leaves it: rows with a checkpoint of a talk of three minutes, and their items of work. Rules:
// EC1: the checkpoint is what the plane itself writes of such a state; the items are made by the store's own statement.
// EC2: the first words of the caller name a reference, which the systems beside the worker log.
import { writeCheckpoint } from '../../src/call/checkpoint.ts'
import { initialState } from '../../src/call/state.ts'
import type { TranscriptItem } from '../../src/call/transcript.ts'
import { newCallId } from '../../src/kit/ids.ts'
import type { Sql } from '../../src/store/records/sql.ts'
import { SqlWork } from '../../src/store/work/work.ts'

const CALL_MS = 180_000
const CHECKPOINT_BYTES = 8_192
const BATCH = 250

const EMPTY = 'truncate call cascade'
const SEED = `
insert into call (call_sid, call_id, tenant, from_number, to_number, direction, pack, pack_version, state, epoch, pod, pool,
  checkpoint, sequence, checkpoint_epoch, started_at, ended_at, cause, next)
select sid, id, 'acme', '+15550100', '+15550199', 'inbound', 'clinic', '1', 'ended', 1, 'pod-a', 'default',
  checkpoint, 40, 1, clock_timestamp() - make_interval(secs => ${CALL_MS / 1_000}), clock_timestamp(), 'caller-hung-up', '{"kind":"none"}'
from unnest($1::text[], $2::text[], $3::text[]) as t (sid, id, checkpoint)`

/** Empties the tables and puts a call there for each of `references`; every checkpoint has about 8 kB. */
export async function seedEndedCalls(sql: Sql, references: readonly string[]): Promise<void> {
  await sql.query(EMPTY)
  for (let from = 0; from < references.length; from += BATCH) {
    const some = references.slice(from, from + BATCH)
    const sids = some.map((_, i) => `CA${(from + i).toString(16).padStart(32, '0')}`)
    await sql.query(SEED, [sids, some.map(() => newCallId()), some.map(checkpointOf)])
  }
  const store = new SqlWork(sql)
  let made = 0
  for (let last = -1; last !== 0; made += last) last = await store.derive(BATCH)
  if (made !== references.length) throw new Error(`${made} calls got their work instead of ${references.length}`)
  await sql.query('vacuum analyze')
}

/** [EC1][EC2] */
function checkpointOf(reference: string): string {
  const items: TranscriptItem[] = [
    { kind: 'caller', id: 'item_0', text: `Hello, my reference is ${reference} and I need an appointment.` },
  ]
  for (let bytes = 0; bytes < CHECKPOINT_BYTES; ) {
    const item = itemOf(items.length)
    items.push(item)
    bytes += JSON.stringify(item).length + 1
  }
  const usage = {
    inputTokens: 9_000,
    outputTokens: 2_400,
    inputAudioTokens: 6_000,
    outputAudioTokens: 2_000,
    cachedTokens: 3_000,
  }
  const state = { ...initialState(), hasGreeted: true, turns: 18, requests: 19, usage }
  return writeCheckpoint({ ...state, transcript: { items, dropped: 0 } })
}

function itemOf(n: number): TranscriptItem {
  const id = `item_${n}`
  if (n % 12 === 7)
    return {
      kind: 'tool',
      id,
      name: 'find_slots',
      arguments: `{"day":${n}}`,
      output: '{"slots":["09:00","10:30","14:15"]}',
    }
  if (n % 2 === 0)
    return { kind: 'caller', id, text: `Would number ${n * 7_919} be possible, or is Friday better for you?` }
  const text = `We have an opening on Thursday at ${n % 12} o’clock, and another one on Friday in the afternoon. Shall I book it?`
  return { kind: 'agent', id, text, heardMs: 4_200, receivedMs: 4_200, cut: false }
}
