// The records of the calls as they stand in PostgreSQL at the end of a run, written out for the checker. Rules:
// RD1: one line for each call (`record`) and one for each event (`event`), in the order of the calls' own numbers.
// RD2: at most ROWS_MAX rows of each; more is an error, never a silent cut.
import { writeFile } from 'node:fs/promises'
import { Client } from 'pg'

const ROWS_MAX = 500_000

/** Writes the records in the database at `url` to `file`. */
export async function dumpRecords(url: string, file: string): Promise<void> {
  const client = new Client({ connectionString: url })
  await client.connect()
  try {
    const calls = await client.query('select call_sid, state, cause, resumes, epoch from call limit $1', [ROWS_MAX + 1])
    const events = await client.query(
      'select call_sid, seq, epoch, type from call_event order by call_sid, seq limit $1',
      [ROWS_MAX + 1],
    )
    if (calls.rows.length > ROWS_MAX || events.rows.length > ROWS_MAX) throw new Error(`more than ${ROWS_MAX} records`)
    const lines = [
      ...calls.rows.map((row: Record<string, unknown>) => JSON.stringify({ t: 0, event: 'record', ...row })),
      ...events.rows.map((row: Record<string, unknown>) => JSON.stringify({ t: 0, event: 'event', ...row })),
    ]
    await writeFile(file, lines.map((line) => `${line}\n`).join(''))
  } finally {
    await client.end()
  }
}
