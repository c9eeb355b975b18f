// The tables as the migrations make them, in words that are the same on every PostgreSQL, and the files that make them.
// Run by itself it prints what `schema.txt` should hold: node test/store/schema-dump.ts > test/store/schema.txt
import { createHash } from 'node:crypto'
import { migrate, readMigrations } from '../../src/store/records/migrate.ts'
import { openPglite } from '../../src/store/records/pglite.ts'
import type { SqlQuery } from '../../src/store/records/sql.ts'

const COLUMNS = `
select table_name || '.' || column_name || ' ' || udt_name || case is_nullable when 'YES' then '' else ' not null' end ||
  coalesce(' default ' || column_default, '') || case is_identity when 'YES' then ' identity' else '' end as line
from information_schema.columns where table_schema = 'public' order by table_name, column_name`
const CONSTRAINTS = `
select conrelid::regclass || ': ' || pg_get_constraintdef(oid) as line from pg_constraint
where connamespace = 'public'::regnamespace and contype <> 'n' order by 1`
const INDEXES = `select indexdef as line from pg_indexes where schemaname = 'public' order by 1`

/** One line for each migration (with a digest of its text), column, constraint and index. */
export async function describeSchema(sql: SqlQuery): Promise<string> {
  const files = readMigrations().map(
    ({ name, text }) => `${name} ${createHash('sha256').update(text).digest('hex').slice(0, 16)}`,
  )
  const parts = [files]
  for (const text of [COLUMNS, CONSTRAINTS, INDEXES]) {
    const rows = await sql.query(text)
    parts.push(rows.map(({ line }) => String(line)).sort())
  }
  return `${parts.map((lines) => lines.join('\n')).join('\n\n')}\n`
}

if (import.meta.main) {
  const sql = await openPglite(undefined)
  await migrate(sql)
  process.stdout.write(await describeSchema(sql))
  await sql.close()
}
