// A migrated Postgres for the tests of one file, with pgbouncer before it when asked for; all that was opened on it is closed with it.
import { runMigrations } from '../../src/store/records/migrate.ts'
import { openPostgres } from '../../src/store/records/postgres.ts'
import type { Sql } from '../../src/store/records/sql.ts'
import type { Sealer } from '../../src/store/sealing/sealer.ts'
import { type Database, openDatabase } from '../../src/store/work/open.ts'
import { type Pgbouncer, startPgbouncer } from '../../tools/servers/pgbouncer.ts'
import { type Postgres, startPostgres } from '../../tools/servers/postgres.ts'

/** Fewer connections than the tests ask for at once: transactions must share them. */
const POOL_SIZE = 4

export type TestDatabase = Pick<Postgres, 'url' | 'restartImmediate'> & {
  /** Through pgbouncer; that of Postgres itself when there is none. */
  readonly pooledUrl: string
  /** Sends a signal to pgbouncer: SIGSTOP freezes it, SIGCONT wakes it. */
  killPooler(signal: NodeJS.Signals): void
  /** What the plane opens on it. */
  open(options?: { url?: string; sealer?: Sealer; timeoutMs?: number }): Promise<Database>
  /** A connection for a test's own looks. */
  sql(options?: { poolMax?: number; timeoutMs?: number }): Sql
  close(): Promise<void>
}

/** Starts it and brings it to this version: some 2 s. */
export async function startDatabase({ isPooled = false } = {}): Promise<TestDatabase> {
  const postgres = await startPostgres()
  const opened: { close(): Promise<void> }[] = []
  let pgbouncer: Pgbouncer | undefined
  const close = async () => {
    await Promise.allSettled(opened.splice(0).map((one) => one.close()))
    await pgbouncer?.stop()
    await postgres.stop()
  }
  try {
    await runMigrations(postgres.url)
    if (isPooled) pgbouncer = await startPgbouncer({ postgresPort: postgres.port, poolSize: POOL_SIZE })
  } catch (error) {
    await close()
    throw error
  }
  const { url } = postgres
  return {
    url,
    pooledUrl: pgbouncer?.url ?? url,
    killPooler: (signal) => pgbouncer?.kill(signal),
    restartImmediate: postgres.restartImmediate,
    open: async ({ url: place = url, sealer, timeoutMs } = {}) => {
      const database = await openDatabase({ kind: 'postgres', url: place, timeoutMs }, { sealer })
      opened.push(database)
      return database
    },
    sql: (options = {}) => {
      const sql = openPostgres({ url, ...options })
      opened.push(sql)
      return sql
    },
    close,
  }
}
