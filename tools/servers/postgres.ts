// A real PostgreSQL 15 for tests, benches and fleets. Rules:
// VG1: it keeps what it acknowledged: fsync and synchronous_commit stay on, so that a crash in a test means what it means in life.
// VG2: it listens on 127.0.0.1 only and trusts it; it has no Unix socket.
// VG3: a restart keeps port and folder; `stop` removes the folder.
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Launched, launch } from '../launch.ts'
import { findFreePort } from '../ports.ts'
import { makeFolder, runAs } from './program.ts'

const BINARIES = '/usr/lib/postgresql/15/bin'
const USER = 'postgres'
/** Tries to take a port that somebody else took meanwhile, or a folder whose last process still dies. */
const START_TRIES = 5
const START_RETRY_MS = 100

type PostgresOptions = {
  /** A free one unless given. */
  port?: number
  /** Default 100, as PostgreSQL's own. */
  connectionsMax?: number
  /** Further settings, e.g. `{ log_statement: 'all' }`. */
  settings?: Readonly<Record<string, string>>
}

export type Postgres = {
  readonly port: number
  /** `postgres://postgres@127.0.0.1:port/postgres` */
  readonly url: string
  /** Of the postmaster; another after a restart. */
  readonly pid: number
  /** Sends a signal to the postmaster and does not wait: SIGTERM smart, SIGINT fast, SIGQUIT immediate; SIGSTOP freezes only it. */
  kill(signal: NodeJS.Signals): void
  /** Ends it as a crash would (no checkpoint, connections cut), waits, and starts it again: it recovers from its log. */
  restartImmediate(): Promise<void>
  /** The crash of `restartImmediate` without the start. */
  crash(): Promise<void>
  /** Starts it again on the same port and folder. */
  start(): Promise<void>
  /** Ends it and removes its folder; harmless when repeated. */
  stop(): Promise<void>
}

/** Makes a cluster in a temporary folder and starts it: about 1 s. */
export async function startPostgres(options: PostgresOptions = {}): Promise<Postgres> {
  const folder = makeFolder('postgres', USER)
  const data = join(folder, 'data')
  // No sync of the empty cluster: only what is written to it later must survive.
  runAs(USER, join(BINARIES, 'initdb'), ['-D', data, '-A', 'trust', '-U', USER, '-E', 'UTF8', '--locale=C', '-N'])
  let port = options.port ?? (await findFreePort())
  let program = await startServer(data, port, options).catch(async (error: Error) => {
    if (options.port !== undefined || !/could not bind|in use/i.test(error.message)) throw error
    port = await findFreePort()
    return startServer(data, port, options)
  })
  const crash = async () => void (await program.stop({ signal: 'SIGQUIT' }))
  const start = async () => {
    program = await launchAgain(data, port, options)
  }
  return {
    port,
    url: `postgres://${USER}@127.0.0.1:${port}/postgres`,
    get pid() {
      return program.pid
    },
    kill: (signal) => program.kill(signal),
    crash,
    start,
    restartImmediate: async () => {
      await crash()
      await start()
    },
    stop: async () => {
      await program.stop()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

/** After a crash the last children may hold the shared memory for some ms. */
async function launchAgain(data: string, port: number, options: PostgresOptions): Promise<Launched> {
  for (let tried = 1; ; tried++) {
    try {
      return await startServer(data, port, options)
    } catch (error) {
      if (tried === START_TRIES) throw error
      await sleep(START_RETRY_MS)
    }
  }
}

function startServer(data: string, port: number, options: PostgresOptions): Promise<Launched> {
  const settings: Record<string, string> = {
    port: String(port),
    listen_addresses: '127.0.0.1',
    unix_socket_directories: '',
    max_connections: String(options.connectionsMax ?? 100),
    ...options.settings,
  }
  return launch({
    name: 'postgres',
    command: join(BINARIES, 'postgres'),
    args: ['-D', data, ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])],
    user: USER,
    isReadyLine: (line) => line.includes('database system is ready to accept connections'),
    stopSignal: 'SIGINT',
    deathSignal: 'SIGINT',
  })
}
