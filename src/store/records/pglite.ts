// PostgreSQL inside the process, in a folder or in memory, for one pod without a database server. Rules:
// EB1: it is loaded only when it is used: it costs hundreds of megabytes.
// EB2: there is one session: a transaction keeps all others waiting until it ends.
import { mkdir } from 'node:fs/promises'
import { VoiceError } from '../../kit/errors.ts'
import type { Row, Sql } from './sql.ts'

/** Opens the database of `folder`, made when missing; undefined: in memory. The first start of a folder takes seconds. */
export async function openPglite(folder: string | undefined): Promise<Sql> {
  const { PGlite } = await import('@electric-sql/pglite')
  if (folder !== undefined) await mkdir(folder, { recursive: true })
  const db = await (folder === undefined ? PGlite.create() : PGlite.create(folder))
  let closed: Promise<void> | undefined
  const open = () => {
    if (closed !== undefined)
      throw new VoiceError('STORE_UNAVAILABLE', { message: 'the embedded database is closed', retryable: false })
    return db
  }
  return {
    query: async (text, params = []) => (await open().query<Row>(text, [...params])).rows,
    script: async (text) => void (await open().exec(text)),
    transaction: async (run) =>
      open().transaction((tx) =>
        run({
          query: async (text, params = []) => (await tx.query<Row>(text, [...params])).rows,
          script: async (text) => void (await tx.exec(text)),
        }),
      ),
    close: () => {
      closed ??= db.close().catch(() => {})
      return closed
    },
  }
}
