// A real Redis for tests, benches and fleets. Rules:
// VR1: it keeps nothing unless `args` say otherwise: no snapshot, no append-only file, so that each start is an empty one.
// VR2: it listens on 127.0.0.1 only.
// VR3: a restart keeps port and folder; `stop` removes the folder.
import { rm } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Launched, launch } from '../launch.ts'
import { findFreePort } from '../ports.ts'
import { makeFolder } from './program.ts'

const USER = 'redis'
/** Tries to take back a port whose last process still dies. */
const START_TRIES = 5
const START_RETRY_MS = 100

type RedisOptions = {
  /** A free one unless given. */
  port?: number
  /** Further arguments of redis-server, after ours: they win. */
  args?: readonly string[]
}

export type RedisServer = {
  readonly port: number
  /** `redis://127.0.0.1:port` */
  readonly url: string
  /** Another after a restart. */
  readonly pid: number
  /** Sends a signal and does not wait: SIGSTOP freezes it, SIGCONT wakes it. */
  kill(signal: NodeJS.Signals): void
  /** Ends it as a crash would and waits. */
  crash(): Promise<void>
  /** Starts it again on the same port: empty, unless `args` asked for persistence. */
  start(): Promise<void>
  /** `crash` and `start`; empty unless `args` asked for persistence. */
  restartEmpty(): Promise<void>
  /** Ends it and removes its folder; harmless when repeated. */
  stop(): Promise<void>
}

/** Starts a Redis and waits until it answers: about 50 ms. */
export async function startRedis(options: RedisOptions = {}): Promise<RedisServer> {
  const folder = makeFolder('redis', USER)
  let port = options.port ?? (await findFreePort())
  let program = await startServer(folder, port, options).catch(async (error: Error) => {
    if (options.port !== undefined || !/address already in use/i.test(error.message)) throw error
    port = await findFreePort()
    return startServer(folder, port, options)
  })
  const crash = async () => void (await program.stop({ signal: 'SIGKILL' }))
  const start = async () => {
    program = await startAgain(folder, port, options)
  }
  return {
    port,
    url: `redis://127.0.0.1:${port}`,
    get pid() {
      return program.pid
    },
    kill: (signal) => program.kill(signal),
    crash,
    start,
    restartEmpty: async () => {
      await crash()
      await start()
    },
    stop: async () => {
      await program.stop({ signal: 'SIGKILL' })
      await rm(folder, { recursive: true, force: true })
    },
  }
}

async function startAgain(folder: string, port: number, options: RedisOptions): Promise<Launched> {
  for (let tried = 1; ; tried++) {
    try {
      return await startServer(folder, port, options)
    } catch (error) {
      if (tried === START_TRIES) throw error
      await sleep(START_RETRY_MS)
    }
  }
}

function startServer(folder: string, port: number, options: RedisOptions): Promise<Launched> {
  return launch({
    name: 'redis',
    command: 'redis-server',
    args: [
      ...['--port', String(port), '--bind', '127.0.0.1', '--dir', folder],
      ...['--save', '', '--appendonly', 'no', '--daemonize', 'no'],
      ...(options.args ?? []),
    ],
    user: USER,
    isReadyLine: (line) => line.includes('Ready to accept connections'),
    deathSignal: 'SIGTERM',
  })
}
