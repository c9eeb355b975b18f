// A real pgbouncer in transaction mode before a PostgreSQL, for tests, benches and fleets. Rules:
// VB1: transaction mode: a connection of the server changes hands after each transaction, so nothing of a session lasts.
// VB2: it refuses what Debian's would: no startup parameter is ignored that a plain pgbouncer would not ignore.
import { writeFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type Launched, launch } from '../launch.ts'
import { findFreePort } from '../ports.ts'
import { makeFolder } from './program.ts'

const PROGRAM = '/usr/sbin/pgbouncer'
const USER = 'postgres'
const SERVER_CONNECTIONS = 10
const CLIENTS_MAX = 1_000

type PgbouncerOptions = {
  /** Where PostgreSQL listens on 127.0.0.1. */
  postgresPort: number
  /** A free one unless given. */
  port?: number
  /** Connections to PostgreSQL at most; default 10. */
  poolSize?: number
}

export type Pgbouncer = {
  readonly port: number
  /** `postgres://postgres@127.0.0.1:port/postgres` */
  readonly url: string
  readonly pid: number
  /** Sends a signal and does not wait. */
  kill(signal: NodeJS.Signals): void
  /** Ends it and removes its folder; harmless when repeated. */
  stop(): Promise<void>
}

/** Starts pgbouncer; PostgreSQL need not run yet. */
export async function startPgbouncer(options: PgbouncerOptions): Promise<Pgbouncer> {
  const folder = makeFolder('pgbouncer', USER)
  let port = options.port ?? (await findFreePort())
  const program = await startServer(folder, port, options).catch(async (error: Error) => {
    if (options.port !== undefined || !/in use/i.test(error.message)) throw error
    port = await findFreePort()
    return startServer(folder, port, options)
  })
  return {
    port,
    url: `postgres://${USER}@127.0.0.1:${port}/postgres`,
    pid: program.pid,
    kill: program.kill,
    stop: async () => {
      await program.stop()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

function startServer(folder: string, port: number, options: PgbouncerOptions): Promise<Launched> {
  const file = join(folder, 'pgbouncer.ini')
  writeFileSync(
    file,
    `[databases]
* = host=127.0.0.1 port=${options.postgresPort} user=${USER}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = ${options.poolSize ?? SERVER_CONNECTIONS}
max_client_conn = ${CLIENTS_MAX}
server_login_retry = 1
log_connections = 0
log_disconnections = 0
log_stats = 0
`,
    { mode: 0o644 },
  )
  return launch({
    name: 'pgbouncer',
    command: PROGRAM,
    args: [file],
    user: USER,
    isReadyLine: (line) => line.includes('process up'),
    deathSignal: 'SIGTERM',
  })
}
