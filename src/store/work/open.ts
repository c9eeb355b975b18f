// The way to the work after calls, and to the records beside it: one database, one pool of connections.
import type { CallRecords } from '../../control/records.ts'
import { type Log, silentLog } from '../../kit/log.ts'
import type { ErasureStore } from '../../work/erasures.ts'
import type { WorkStore } from '../../work/ports.ts'
import { SqlRecords } from '../records/calls.ts'
import { checkMigrated, migrate } from '../records/migrate.ts'
import type { RecordsPlace } from '../records/open.ts'
import { codecOf } from '../sealing/codec.ts'
import type { Sealer } from '../sealing/sealer.ts'
import { SqlErasures } from './erasures.ts'
import { addWork, SqlWork } from './work.ts'

/** The stores of one database; the end of a call makes its work. */
export type Database = {
  records: CallRecords
  work: WorkStore
  erasures: ErasureStore
  /** Rejects with MIGRATION_MISSING when the tables are missing or older. */
  checkTables(): Promise<void>
  close(): Promise<void>
}

/**
 * Opens the database. 'pglite' makes its tables itself; 'postgres' neither connects nor migrates yet: each operation rejects until it
 * is there, with MIGRATION_MISSING until its tables are. `sealer`: what of it is encrypted (sealing/codec.ts).
 */
export async function openDatabase(
  place: Exclude<RecordsPlace, { kind: 'memory' }>,
  { log = silentLog, sealer }: { log?: Log; sealer?: Sealer | undefined } = {},
): Promise<Database> {
  const atEnd = addWork
  const codec = codecOf(sealer)
  if (place.kind === 'pglite') {
    const { openPglite } = await import('../records/pglite.ts')
    const sql = await openPglite(place.folder)
    await migrate(sql)
    return {
      records: new SqlRecords(sql, { atEnd, codec }),
      work: new SqlWork(sql, { codec }),
      erasures: new SqlErasures(sql, sealer),
      checkTables: async () => {},
      close: () => sql.close(),
    }
  }
  const { openPostgres } = await import('../records/postgres.ts')
  const sql = openPostgres({ ...place, log })
  const check = () => checkMigrated(sql)
  return {
    records: new SqlRecords(sql, { check, atEnd, codec }),
    work: new SqlWork(sql, { check, codec }),
    erasures: new SqlErasures(sql, sealer),
    checkTables: check,
    close: () => sql.close(),
  }
}
