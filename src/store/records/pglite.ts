// PostgreSQL inside the process, in a folder or in memory, for one pod without a database server. Rules:
// EB1: it is loaded only when it is used: it costs hundreds of megabytes.
// EB2: there is one session: a transaction keeps all others waiting until it ends.
// EB3: it runs in a thread of its own: no statement, nor its start of seconds, holds up a call's media.
// EB4: at most WAITING_MAX requests wait, the next is refused at once; when the thread ends, every request is refused.
import { mkdir } from 'node:fs/promises'
import { Worker as Thread } from 'node:worker_threads'
import { VoiceError } from '../../kit/errors.ts'
import type { Row, Sql, SqlQuery } from './sql.ts'

export const WAITING_MAX = 1_000

export type ThreadRequest = { id: number; kind: 'query' | 'script' | 'close'; text: string; params: unknown[] }
/** `id` 0: the database is open. `code` is the SQLSTATE. */
export type ThreadAnswer =
  | { id: number; rows: Row[]; problem?: undefined }
  | { id: number; problem: { message: string; code: string | undefined } }

/** Opens the database of `folder`, made when missing; undefined: in memory. The first start of a folder takes seconds. */
export async function openPglite(folder: string | undefined): Promise<Sql> {
  if (folder !== undefined) await mkdir(folder, { recursive: true })
  const database = new ThreadDatabase(folder)
  await database.opened
  return database
}

class ThreadDatabase implements Sql {
  readonly opened: Promise<Row[]>
  readonly #thread: Thread
  readonly #asked = new Map<number, PromiseWithResolvers<Row[]>>()
  #lastId = 0
  /** The end of the last piece of work that has the session for itself. */
  #turn: Promise<unknown> = Promise.resolve()
  #waiting = 0
  #over: VoiceError | undefined
  #closed: Promise<void> | undefined

  constructor(folder: string | undefined) {
    const opened = Promise.withResolvers<Row[]>()
    this.#asked.set(0, opened)
    this.opened = opened.promise
    this.#thread = new Thread(new URL('./pglite-thread.ts', import.meta.url), { workerData: { folder } })
    this.#thread.on('message', (answer: ThreadAnswer) => this.#answered(answer))
    this.#thread.on('error', (error) => this.#end(`failed: ${error.message}`))
    this.#thread.on('exit', () => this.#end('is closed'))
  }

  query(text: string, params: readonly unknown[] = []): Promise<Row[]> {
    return this.#alone(() => this.#ask('query', text, params))
  }

  async script(text: string): Promise<void> {
    await this.#alone(() => this.#ask('script', text))
  }

  /** [EB2] */
  transaction<T>(run: (tx: SqlQuery) => Promise<T>): Promise<T> {
    const tx: SqlQuery = {
      query: (text, params = []) => this.#ask('query', text, params),
      script: async (text) => void (await this.#ask('script', text)),
    }
    return this.#alone(async () => {
      await tx.script('begin')
      try {
        const value = await run(tx)
        await tx.script('commit')
        return value
      } catch (error) {
        await tx.script('rollback').catch(() => {})
        throw error
      }
    })
  }

  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async #close(): Promise<void> {
    await this.#alone(() => this.#ask('close', '')).catch(() => {})
    this.#end('is closed')
    await this.#thread.terminate()
  }

  /** [EB4] */
  async #alone<T>(run: () => Promise<T>): Promise<T> {
    if (this.#over !== undefined) throw this.#over
    if (this.#waiting >= WAITING_MAX) throw unavailable(`has ${WAITING_MAX} requests waiting`)
    this.#waiting += 1
    const before = this.#turn
    const turn = Promise.withResolvers<void>()
    this.#turn = turn.promise
    try {
      await before
      return await run()
    } finally {
      this.#waiting -= 1
      turn.resolve()
    }
  }

  #ask(kind: ThreadRequest['kind'], text: string, params: readonly unknown[] = []): Promise<Row[]> {
    if (this.#over !== undefined) return Promise.reject(this.#over)
    const asked = Promise.withResolvers<Row[]>()
    const id = ++this.#lastId
    this.#asked.set(id, asked)
    this.#thread.postMessage({ id, kind, text, params: [...params] } satisfies ThreadRequest)
    return asked.promise
  }

  #answered(answer: ThreadAnswer): void {
    const asked = this.#asked.get(answer.id)
    this.#asked.delete(answer.id)
    if (answer.problem === undefined) asked?.resolve(answer.rows)
    else {
      const { message, code } = answer.problem
      asked?.reject(Object.assign(new Error(message), { code }))
    }
  }

  #end(how: string): void {
    this.#over ??= unavailable(how)
    for (const asked of this.#asked.values()) asked.reject(this.#over)
    this.#asked.clear()
  }
}

function unavailable(how: string): VoiceError {
  return new VoiceError('STORE_UNAVAILABLE', { message: `the embedded database ${how}`, retryable: false })
}
