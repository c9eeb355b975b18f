// The way to the records of calls: in memory, in an embedded database, or in Postgres.
import type { CallRecords } from '../../control/records.ts'
import { type Log, silentLog } from '../../kit/log.ts'
import type { Codec } from '../sealing/codec.ts'
import { SqlRecords, type SqlRecordsOptions } from './calls.ts'
import { MemoryRecords } from './memory.ts'
import { checkMigrated, migrate } from './migrate.ts'

export type RecordsPlace =
  | { kind: 'memory' }
  /** undefined: in memory, gone with the process. */
  | { kind: 'pglite'; folder: string | undefined }
  | { kind: 'postgres'; url: string; poolMax?: number; timeoutMs?: number }

/**
 * Opens the records. 'pglite' makes its tables itself; 'postgres' neither connects nor migrates: it may be down, each operation
 * rejects until it is back, and with MIGRATION_MISSING until its tables are there.
 */
export async function openRecords(
  where: RecordsPlace,
  options: { log?: Log; atEnd?: SqlRecordsOptions['atEnd']; codec?: Codec } = {},
): Promise<CallRecords> {
  const { log = silentLog, atEnd, codec } = options
  switch (where.kind) {
    case 'memory':
      return new MemoryRecords()
    case 'pglite': {
      const { openPglite } = await import('./pglite.ts')
      const sql = await openPglite(where.folder)
      await migrate(sql)
      return new SqlRecords(sql, { atEnd, codec })
    }
    case 'postgres': {
      const { openPostgres } = await import('./postgres.ts')
      const sql = openPostgres({ ...where, log })
      return new SqlRecords(sql, { check: () => checkMigrated(sql), atEnd, codec })
    }
  }
}
