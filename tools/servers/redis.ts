// A real Redis for tests, benches and fleets. Rules:
// VR1: it keeps nothing unless `args` say otherwise: no snapshot, no append-only file, so that each start is an empty one.
// VR2: it listens on 127.0.0.1 only.
// VR3: a restart keeps port and folder; `stop` removes the folder.
import { rm } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { findFreePort, makeFolder, type Program, startProgram } from './program.ts'

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
  let program = await launch(folder, port, options).catch(async (error: Error) => {
    if (options.port !== undefined || !/address already in use/i.test(error.message)) throw error
    port = await findFreePort()
    return launch(folder, port, options)
  })
  const crash = () => program.stop('SIGKILL')
  const start = async () => {
    program = await launchAgain(folder, port, options)
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
      await program.stop('SIGKILL')
      await rm(folder, { recursive: true, force: true })
    },
  }
}

async function launchAgain(folder: string, port: number, options: RedisOptions): Promise<Program> {
  for (let tried = 1; ; tried++) {
    try {
      return await launch(folder, port, options)
    } catch (error) {
      if (tried === START_TRIES) throw error
      await sleep(START_RETRY_MS)
    }
  }
}

function launch(folder: string, port: number, options: RedisOptions): Promise<Program> {
  return startProgram({
    command: 'redis-server',
    args: [
      ...['--port', String(port), '--bind', '127.0.0.1', '--dir', folder],
      ...['--save', '', '--appendonly', 'no', '--daemonize', 'no'],
      ...(options.args ?? []),
    ],
    user: USER,
    ready: /Ready to accept connections/,
    stopSignal: 'SIGTERM',
  })
}
