// The tables of the records, made and changed by numbered files. Rules:
// MG1: files run in the order of their numbers, each once, each in one transaction with its line in `schema_version`.
// MG2: two programs that migrate at once take turns: each transaction holds the same advisory lock.
// MG3: forward only, and every file leaves what an older program reads: pods of both versions run side by side during a rollout.
// MG4: a pod does not migrate a Postgres server, it looks whether that was done, and says MIGRATION_MISSING if not. A newer
//      version than its own is fine.
import { readdirSync, readFileSync } from 'node:fs'
import { VoiceError } from '../../kit/errors.ts'
import type { Log } from '../../kit/log.ts'
import { openPostgres } from './postgres.ts'
import type { Sql, SqlQuery } from './sql.ts'

const FOLDER = new URL('./migrations/', import.meta.url)
/** Any number that nobody else takes for an advisory lock of this database. */
const LOCK = 8_417_302_519
const MIGRATION_MAX_MS = 120_000
const UNDEFINED_TABLE = '42P01'

type Migration = { version: number; name: string; text: string }

/** The migrations of this program, lowest first. */
export function readMigrations(): Migration[] {
  return readdirSync(FOLDER)
    .filter((file) => file.endsWith('.sql'))
    .sort()
    .map((file) => ({
      version: Number.parseInt(file, 10),
      name: file.slice(0, -'.sql'.length),
      text: readFileSync(new URL(file, FOLDER), 'utf8'),
    }))
}

/** Runs what has not run yet; gives back the names of those. */
export async function migrate(sql: Sql, migrations: readonly Migration[] = readMigrations()): Promise<string[]> {
  const done: string[] = []
  for (const migration of migrations) {
    const isNew = await sql.transaction((tx) => apply(tx, migration))
    if (isNew) done.push(migration.name)
  }
  return done
}

/** Migrates the Postgres at `url`; gives back the names of the migrations that ran. */
export async function runMigrations(url: string, options: { log?: Log } = {}): Promise<string[]> {
  const sql = openPostgres({ url, poolMax: 1, timeoutMs: MIGRATION_MAX_MS, ...options })
  try {
    return await migrate(sql)
  } finally {
    await sql.close()
  }
}

/** Rejects with MIGRATION_MISSING when the database is older than this program. [MG4] */
export async function checkMigrated(sql: SqlQuery, migrations: readonly Migration[] = readMigrations()): Promise<void> {
  const wanted = migrations.at(-1)?.version ?? 0
  const found = await versionOf(sql)
  if (found >= wanted) return
  throw new VoiceError('MIGRATION_MISSING', {
    message: `the database has version ${found} of the tables, this program needs ${wanted}: run the role "migrate" first`,
    retryable: true,
  })
}

async function apply(tx: SqlQuery, { version, name, text }: Migration): Promise<boolean> {
  await tx.query('select pg_advisory_xact_lock($1::bigint)', [LOCK])
  await tx.script(`create table if not exists schema_version (
    version integer primary key, name text not null, applied_at timestamptz not null default clock_timestamp())`)
  const known = await tx.query('select 1 from schema_version where version = $1', [version])
  if (known.length > 0) return false
  await tx.script(text)
  await tx.query('insert into schema_version (version, name) values ($1, $2)', [version, name])
  return true
}

async function versionOf(sql: SqlQuery): Promise<number> {
  try {
    const [row] = await sql.query('select coalesce(max(version), 0) as version from schema_version')
    return Number(row?.version)
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === UNDEFINED_TABLE) return 0
    throw error
  }
}
