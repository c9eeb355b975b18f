// The thread in which the embedded database runs: it answers one request after the other. Its other side is pglite.ts.
import { parentPort, workerData } from 'node:worker_threads'
import { PGlite } from '@electric-sql/pglite'
import { messageOf } from '../../kit/errors.ts'
import type { ThreadAnswer, ThreadRequest } from './pglite.ts'

const port = parentPort!
const { folder } = workerData as { folder: string | undefined }
const db = await (folder === undefined ? PGlite.create() : PGlite.create(folder))

async function answer({ kind, text, params }: ThreadRequest): Promise<unknown> {
  if (kind === 'query') return (await db.query(text, params)).rows
  if (kind === 'script') await db.exec(text)
  else await db.close()
  return []
}

let last = Promise.resolve()
port.on('message', (request: ThreadRequest) => {
  last = last.then(async () => {
    try {
      port.postMessage({ id: request.id, rows: await answer(request) } as ThreadAnswer)
    } catch (error) {
      const code = (error as { code?: unknown }).code
      port.postMessage({
        id: request.id,
        problem: { message: messageOf(error), code: typeof code === 'string' ? code : undefined },
      } satisfies ThreadAnswer)
    }
  })
})
port.postMessage({ id: 0, rows: [] } satisfies ThreadAnswer)
