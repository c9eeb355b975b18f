// What the database says of the work after calls, read by plain SQL past every program of the plane. Rules:
// WU1: one line for each item (`item`), one for each call's record (`kept`), and one for each end (`over`), stamped with its time on the clock of
//      the witnesses. No words of a call are read.
// WU2: at most ROWS_MAX rows of each; more is an error, never a silent cut.
import { writeFile } from 'node:fs/promises'
import { Client } from 'pg'
import { nowUs } from '../../load/messages.ts'

const ROWS_MAX = 100_000
const CONNECT_MS = 2_000

/** How much is left to do: calls that are not ended, ended calls whose work was not made, items that are neither done nor a person's. */
type Left = { calls: number; live: number; unmade: number; items: number }

const LEFT = `select (select count(*) from call)::int as calls, (select count(*) from call where state <> 'ended')::int as live,
  (select count(*) from call where state = 'ended' and not has_work)::int as unmade,
  (select count(*) from work_item where state in ('waiting', 'ready', 'running'))::int as items`

/** What is left now; undefined when the database does not answer. */
export async function readLeft(url: string): Promise<Left | undefined> {
  const rows = await ask(url, LEFT).catch(() => undefined)
  return rows?.[0] as Left | undefined
}

/** Items under the name of each worker, as `id:attempt`, those of a dead holder too; none when the database does not answer. */
export async function heldItems(url: string): Promise<Map<string, string[]>> {
  const text = "select worker, id || ':' || attempt as held from work_item where state = 'running'"
  const rows = await ask(url, text).catch(() => [])
  const byWorker = Map.groupBy(rows, ({ worker }) => String(worker))
  return new Map([...byWorker].map(([worker, own]) => [worker, own.map(({ held }) => String(held))]))
}

/** [WU1] Writes the items and records in the database at `url` to `file`. */
export async function dumpWork(url: string, file: string): Promise<void> {
  const items = await ask(url, 'select call_sid, type, state, attempt, version from work_item limit $1', [ROWS_MAX + 1])
  const kept = await ask(
    url,
    'select call_sid, duration_ms is not null as has_record, analyser from call_record limit $1',
    [ROWS_MAX + 1],
  )
  const ends = await ask(
    url,
    'select call_sid, (extract(epoch from ended_at) * 1000000)::float8 as at from call where ended_at is not null limit $1',
    [ROWS_MAX + 1],
  )
  const aheadUs = Date.now() * 1_000 - nowUs()
  if (items.length > ROWS_MAX || kept.length > ROWS_MAX || ends.length > ROWS_MAX)
    throw new Error(`more than ${ROWS_MAX} items, records or ends`)
  const lines = [
    ...items.map((row) => JSON.stringify({ t: 0, event: 'item', ...row })),
    ...kept.map((row) => JSON.stringify({ t: 0, event: 'kept', ...row })),
    ...ends.map((row) =>
      JSON.stringify({ t: Math.round(Number(row.at) - aheadUs), event: 'over', call_sid: row.call_sid }),
    ),
  ]
  await writeFile(file, lines.map((line) => `${line}\n`).join(''))
}

async function ask(url: string, text: string, params: readonly unknown[] = []): Promise<Record<string, unknown>[]> {
  const client = new Client({
    connectionString: url,
    connectionTimeoutMillis: CONNECT_MS,
    query_timeout: CONNECT_MS * 5,
  })
  // A database that dies under the question is told by the question's own rejection.
  client.on('error', () => {})
  try {
    await client.connect()
    return (await client.query(text, [...params])).rows as Record<string, unknown>[]
  } finally {
    await client.end().catch(() => {})
  }
}
