// Role reseal: what is in the database comes under the first key, so that an older one may go. Rules:
// RSL1: everything that is not under the first key is written anew: what an older key sealed, and what was never sealed. Marks too. Which
//      columns these are the schema says (sealed-columns.ts), so that none is forgotten. A number that identifies nobody has no mark.
// RSL2: a row is written only if it still is what was read: a live call's own write wins, and is under the first key by itself.
// RSL3: tables are walked by their key, PAGE rows at a time; it may be broken off and begun again, and beside live pods.
// RSL4: what no key opens is left as it is and counted: the old key must not go, or is gone already.
// RSL5: an open erasure by number gets the marks of every key that is here, before the calls get theirs.
import { numberOf, partyOf } from '../../call/identity.ts'
import { openPostgres } from '../records/postgres.ts'
import type { Row, Sql } from '../records/sql.ts'
import { isSealTrouble } from './codec.ts'
import { readSealedTables, type SealedField, type SealedTable } from './sealed-columns.ts'
import type { Sealer } from './sealer.ts'

const PAGE = 200
const SAY_EVERY_MS = 2_000
const TIMEOUT_MS = 60_000

/** Rows that were read, that were written anew, that changed meanwhile, and that no key opens. */
type Resealed = { rows: number; written: number; moved: number; unopened: number }

type Sealed = SealedField & { kind: 'sealed' }
/** One column that is written anew; `old` is what was read, `null` where marks had none. */
type Renewed = { column: string; cast: string; old: unknown; value: unknown }

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
  for (const table of await readSealedTables(sql)) {
    const { name, key, fields } = table
    const rowNames = fields.flatMap((field) => (field.kind === 'sealed' ? [field.rowName] : []))
    const told = fields.flatMap((field) =>
      field.kind === 'sealed' || field.unless === undefined ? [] : [field.unless.column],
    )
    const names = [...new Set([...rowNames, ...told, ...fields.map(({ column }) => column)])]
    const page = `select ${key}::text as row_key, ${names.join(', ')} from ${name}
      where ${key}::text > $1 order by ${key}::text limit $2::int`
    for (let after = ''; ; ) {
      const rows = await sql.query(page, [after, PAGE])
      for (const row of rows) await resealRow(sql, sealer, table, row, done)
      done.rows += rows.length
      if (performance.now() - saidMs > SAY_EVERY_MS) {
        saidMs = performance.now()
        say(`${name}: ${done.rows} rows looked at, ${done.written} sealed anew`)
      }
      if (rows.length < PAGE) break
      after = String(rows.at(-1)!.row_key)
    }
  }
  return done
}

/** [RSL1][RSL2] */
async function resealRow(sql: Sql, sealer: Sealer, table: SealedTable, row: Row, done: Resealed): Promise<void> {
  let renewed: Renewed[]
  try {
    renewed = table.fields.flatMap((field) => renewField(sealer, table, field, row) ?? [])
  } catch (error) {
    if (!isSealTrouble(error)) throw error
    done.unopened += 1
    return
  }
  if (renewed.length === 0) return
  const params: unknown[] = [row.row_key]
  const sets = renewed.map(({ column, cast, value }) => `${column} = $${params.push(value)}${cast}`)
  const olds = renewed.map(({ column, cast, old }) => `${column} is not distinct from $${params.push(old)}${cast}`)
  const text = `update ${table.name} set ${sets.join(', ')} where ${table.key}::text = $1 and ${olds.join(' and ')} returning 1`
  if ((await sql.query(text, params)).length > 0) done.written += 1
  else done.moved += 1
}

/** Undefined: there is nothing to write anew. */
function renewField(sealer: Sealer, table: SealedTable, field: SealedField, row: Row): Renewed | undefined {
  const { column } = field
  const before = row[column]
  if (field.kind === 'sealed') {
    if (before === null || before === undefined) return undefined
    const place = placeOf(table, field, row)
    if (typeof before === 'string') {
      return sealer.isCurrent(before)
        ? undefined
        : { column, cast: '', old: before, value: sealer.seal(sealer.open(before, place), place) }
    }
    const value = renewMembers(sealer, before as object, field.members ?? [], place)
    return value === undefined ? undefined : { column, cast: '::jsonb', old: JSON.stringify(before), value }
  }
  const { unless } = field
  const of = unless !== undefined && row[unless.column] === unless.is ? unless.of : field.of
  const numberField = table.fields.find((one): one is Sealed => one.kind === 'sealed' && one.column === of)
  const sealed = row[of]
  if (numberField === undefined || typeof sealed !== 'string') return undefined
  const number = numberOf(partyOf(sealer.open(sealed, placeOf(table, numberField, row))))
  if (field.kind === 'mark') {
    const mark = number === undefined ? null : (sealer.marks(number)[0] ?? null)
    return (before ?? null) === mark ? undefined : { column, cast: '', old: before ?? null, value: mark }
  }
  // [RSL5]
  const known = (before ?? []) as string[]
  const marks = [...new Set([...known, ...(number === undefined ? [] : sealer.marks(number))])]
  return marks.length === known.length ? undefined : { column, cast: '::text[]', old: before ?? null, value: marks }
}

const placeOf = ({ name }: SealedTable, { column, rowName }: Sealed, row: Row): string =>
  `${name}.${column} ${String(row[rowName])}`

/** The members of an object that hold a number or words. */
function renewMembers(sealer: Sealer, value: object, names: readonly string[], place: string): string | undefined {
  const members = Object.entries(value).filter(
    ([name, text]) => names.includes(name) && typeof text === 'string' && !sealer.isCurrent(text),
  ) as [string, string][]
  if (members.length === 0) return undefined
  const renewed = members.map(([name, text]) => [name, sealer.seal(sealer.open(text, place), place)])
  return JSON.stringify({ ...value, ...Object.fromEntries(renewed) })
}
