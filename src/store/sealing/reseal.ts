// Role reseal: what is in the database comes under the first key, so that an older one may go. Rules:
// RSL1: everything that is not under the first key is written anew: what an older key sealed, and what was never sealed. Marks too.
// RSL2: a row is written only if it still is what was read: a live call's own write wins, and is under the first key by itself.
// RSL3: tables are walked by their key, PAGE rows at a time; it may be broken off and begun again, and beside live pods.
// RSL4: what no key opens is left as it is and counted: the old key must not go, or is gone already.
import { directionOf, farPartyOf, numberOf } from '../../call/identity.ts'
import { openPostgres } from '../records/postgres.ts'
import type { Row, Sql } from '../records/sql.ts'
import { isSealTrouble } from './codec.ts'
import type { Sealer } from './sealer.ts'

const PAGE = 200
const SAY_EVERY_MS = 2_000
const TIMEOUT_MS = 60_000

/** Rows that were read, that were written anew, that changed meanwhile, and that no key opens. */
export type Resealed = { rows: number; written: number; moved: number; unopened: number }

const ENDS: ReadonlySet<string> = new Set(['from_number', 'to_number'])

type Table = { name: string; key: string; columns: readonly string[]; isMarked?: boolean }

const TABLES: readonly Table[] = [
  { name: 'call', key: 'call_sid', columns: ['from_number', 'to_number', 'checkpoint', 'next'], isMarked: true },
  { name: 'tool_intent', key: 'key', columns: ['arguments', 'output'] },
  { name: 'call_record', key: 'call_sid', columns: ['transcript', 'summary', 'intent'] },
]

/** Reseals the Postgres at `url`; `say` is told how far it is. */
export async function runReseal(url: string, sealer: Sealer, say: (line: string) => void): Promise<Resealed> {
  const sql = openPostgres({ url, poolMax: 1, timeoutMs: TIMEOUT_MS })
  try {
    return await reseal(sql, sealer, say)
  } finally {
    await sql.close()
  }
}

/** Reseals all tables of an open database. */
export async function reseal(sql: Sql, sealer: Sealer, say: (line: string) => void = () => {}): Promise<Resealed> {
  const done: Resealed = { rows: 0, written: 0, moved: 0, unopened: 0 }
  let saidMs = performance.now()
  for (const table of TABLES) {
    const names = [table.key, ...table.columns, ...(table.isMarked === true ? ['from_mark', 'direction'] : [])]
    const page = `select ${names.join(', ')} from ${table.name} where ${table.key} > $1 order by ${table.key} limit $2::int`
    for (let after = ''; ; ) {
      const rows = await sql.query(page, [after, PAGE])
      for (const row of rows) await resealRow(sql, sealer, table, row, done)
      done.rows += rows.length
      if (performance.now() - saidMs > SAY_EVERY_MS) {
        saidMs = performance.now()
        say(`${table.name}: ${done.rows} rows looked at, ${done.written} sealed anew`)
      }
      if (rows.length < PAGE) break
      after = String(rows.at(-1)![table.key])
    }
  }
  return done
}

/** [RSL1][RSL2] */
async function resealRow(sql: Sql, sealer: Sealer, table: Table, row: Row, done: Resealed): Promise<void> {
  const key = String(row[table.key])
  const renewed: { name: string; old: string; text: string }[] = []
  const ends: Record<string, string> = {}
  try {
    for (const name of table.columns) {
      const value = row[name]
      if (value === null || value === undefined) continue
      const place = `${table.name}.${name} ${key}`
      const old = typeof value === 'string' ? value : JSON.stringify(value)
      const text = typeof value === 'string' ? renew(sealer, value, place) : renewMembers(sealer, value, place)
      if (table.isMarked === true && ENDS.has(name)) ends[name] = sealer.open(old, place)
      if (text !== undefined) renewed.push({ name, old, text })
    }
  } catch (error) {
    if (!isSealTrouble(error)) throw error
    done.unopened += 1
    return
  }
  const mark = markOf(sealer, ends, row.direction)
  const isMarked = table.isMarked !== true || row.from_mark === mark
  if (renewed.length === 0 && isMarked) return
  const cast = (name: string): string => (name === 'next' ? '::jsonb' : '')
  const sets = renewed.map(({ name }, i) => `${name} = $${2 + 2 * i}${cast(name)}`)
  const olds = renewed.map(({ name }, i) => `${name} = $${3 + 2 * i}${cast(name)}`)
  const params: unknown[] = [key, ...renewed.flatMap(({ text, old }) => [text, old])]
  if (!isMarked) sets.push(`from_mark = $${params.push(mark)}`)
  const where = [`${table.key} = $1`, ...olds].join(' and ')
  const text = `update ${table.name} set ${sets.join(', ')} where ${where} returning ${table.key}`
  const written = await sql.query(text, params)
  if (written.length > 0) done.written += 1
  else done.moved += 1
}

/** The mark of the far party; null: it identifies nobody. */
function markOf(sealer: Sealer, ends: Record<string, string>, direction: unknown): string | null {
  const { from_number: from = '', to_number: to = '' } = ends
  const number = numberOf(farPartyOf({ from, to, direction: directionOf(String(direction)) }))
  return number === undefined ? null : (sealer.marks(number)[0] ?? null)
}

/** Undefined: it is under the first key already. */
function renew(sealer: Sealer, text: string, place: string): string | undefined {
  return sealer.isCurrent(text) ? undefined : sealer.seal(sealer.open(text, place), place)
}

/** The members of `next` that hold a number or words. */
function renewMembers(sealer: Sealer, value: object, place: string): string | undefined {
  const members = Object.entries(value).filter(
    ([name, text]) => (name === 'to' || name === 'sentence') && typeof text === 'string' && !sealer.isCurrent(text),
  ) as [string, string][]
  if (members.length === 0) return undefined
  const renewed = members.map(([name, text]) => [name, sealer.seal(sealer.open(text, place), place)])
  return JSON.stringify({ ...value, ...Object.fromEntries(renewed) })
}
