// PostgreSQL through one pool of connections. Rules:
// PO1: at most `poolMax` connections; at most WAITING_MAX requests wait for one, the next is refused at once.
// PO2: a request has `timeoutMs` in all, the wait for a connection included; at the bound its connection is cut, since nobody
//      knows what still comes on it.
// PO4: an answer that says "this server takes no writes" (read-only after a fail-over, in recovery, shutting down) ends all connections made
//      before it: each is replaced when it is next needed, and the address is resolved again.
// PO3: a transaction bears its bounds on the server too, so that a pod that vanished leaves no lock. Nothing is set for a session
//      or at the start of a connection: a pool of transactions would refuse it or hand it on to others.
import { Pool, type PoolClient, type QueryResult } from 'pg'
import { messageOf, VoiceError } from '../../kit/errors.ts'
import { type Log, silentLog } from '../../kit/log.ts'
import type { Row, Sql, SqlQuery } from './sql.ts'

const POOL_MAX = 10
const TIMEOUT_MS = 3_000
export const WAITING_MAX = 1_000
const IDLE_MS = 30_000

type PostgresOptions = { url: string; poolMax?: number; timeoutMs?: number; log?: Log }

/** Makes the pool; connects when first asked. */
export function openPostgres(options: PostgresOptions): Sql {
  return new PostgresSql(options)
}

class PostgresSql implements Sql {
  readonly #pool: Pool
  readonly #timeoutMs: number
  /** Raised when the server turns out to be the wrong one; connections of an earlier generation are not used. [PO4] */
  #generation = 0
  readonly #generations = new WeakMap<PoolClient, number>()
  #closed: Promise<void> | undefined

  constructor({ url, poolMax = POOL_MAX, timeoutMs = TIMEOUT_MS, log = silentLog }: PostgresOptions) {
    this.#timeoutMs = timeoutMs
    this.#pool = new Pool({
      connectionString: url,
      max: poolMax,
      connectionTimeoutMillis: timeoutMs,
      idleTimeoutMillis: IDLE_MS,
      keepAlive: true,
      application_name: 'voiceplane',
    })
    // An idle connection that is lost leaves the pool by itself; the next request makes another.
    this.#pool.on('connect', (client) => this.#generations.set(client, this.#generation))
    this.#pool.on('error', (error) => log.warn({ reason: error.message }, 'an idle connection to Postgres was lost'))
  }

  query(text: string, params: readonly unknown[] = []): Promise<Row[]> {
    return this.#use((client) => rowsOf(client, text, params))
  }

  script(text: string): Promise<void> {
    return this.#use(async (client) => {
      await client.query(text)
    })
  }

  transaction<T>(run: (tx: SqlQuery) => Promise<T>): Promise<T> {
    const bounds = `set local statement_timeout = ${this.#timeoutMs};
      set local idle_in_transaction_session_timeout = ${this.#timeoutMs}`
    return this.#use(async (client) => {
      await client.query(`begin; ${bounds}`)
      try {
        const value = await run({
          query: (text, params = []) => rowsOf(client, text, params),
          script: async (text) => void (await client.query(text)),
        })
        await client.query('commit')
        return value
      } catch (error) {
        if (!isLost(error)) await client.query('rollback')
        throw error
      }
    })
  }

  close(): Promise<void> {
    this.#closed ??= this.#pool.end().catch(() => {})
    return this.#closed
  }

  /** [PO4] At most as many tries as there are connections. */
  async #connect(): Promise<PoolClient> {
    for (;;) {
      const client = await this.#pool.connect().catch((error: unknown) => {
        throw unavailable(messageOf(error), error)
      })
      if (this.#generations.get(client) === this.#generation) return client
      client.release(true)
    }
  }

  /** [PO1][PO2] */
  async #use<T>(run: (client: PoolClient) => Promise<T>): Promise<T> {
    if (this.#pool.waitingCount >= WAITING_MAX) throw unavailable(`${WAITING_MAX} requests wait for a connection`)
    const startedMs = performance.now()
    const client = await this.#connect()
    // While it is ours the pool does not listen; the request in flight is told of the loss by its own rejection.
    const onError = () => {}
    client.on('error', onError)
    let isReleased = false
    const release = (isBroken: boolean) => {
      if (isReleased) return
      isReleased = true
      client.off('error', onError)
      if (isBroken) client.on('error', onError) // whatever the cut connection still has to say
      client.release(isBroken)
    }
    const bound = setTimeout(() => release(true), Math.max(1, this.#timeoutMs - (performance.now() - startedMs)))
    try {
      const value = await run(client)
      release(false)
      return value
    } catch (error) {
      const isUnknown = isLost(error)
      if (isWrongServer(error) && this.#generations.get(client) === this.#generation) this.#generation += 1
      release(isUnknown)
      throw isUnknown ? unavailable(messageOf(error), error) : error
    } finally {
      clearTimeout(bound)
    }
  }
}

async function rowsOf(client: PoolClient, text: string, params: readonly unknown[]): Promise<Row[]> {
  const result: QueryResult<Row> = await client.query(text, [...params])
  return result.rows
}

/** Classes of SQLSTATE that tell of the database's state, not of the statement: connection, login, resources, operator, system. */
const LOST_CLASSES = new Set(['08', '28', '3D', '53', '57', '58'])
/** Read-only (a replica), idle too long in a transaction, serialisation, deadlock. */
const LOST_CODES = new Set(['25006', '25P03', '40001', '40P01', '55P03'])

/** Read-only, or a server that is going, has crashed or cannot be used yet. */
const WRONG_SERVER_CODES = new Set(['25006', '57P01', '57P02', '57P03'])

function isWrongServer(error: unknown): boolean {
  return error instanceof Error && 'code' in error && WRONG_SERVER_CODES.has(String(error.code))
}

/** An error without SQLSTATE comes from the connection (an errno, or words of the driver) or is a bug. */
function isLost(error: unknown): boolean {
  if (!(error instanceof Error) || error instanceof VoiceError) return false
  const code = 'code' in error ? error.code : undefined
  if (typeof code !== 'string') return /connection|timeout|socket|queryable|terminated/i.test(error.message)
  if (/^E(?!RR_)[A-Z]+$/.test(code)) return true
  return LOST_CLASSES.has(code.slice(0, 2)) || LOST_CODES.has(code)
}

function unavailable(reason: string, cause?: unknown): VoiceError {
  return new VoiceError('STORE_UNAVAILABLE', { message: `Postgres: ${reason}`, retryable: true, cause })
}
