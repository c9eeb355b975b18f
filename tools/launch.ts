// A program that runs beside us, for fleets, servers, benches, chaos runs and tests. (A program that runs to its end: child.ts.) Rules:
// FG1: it is up when its probe, or a line of its output, says so within READY_MAX_MS; else it is ended, and the last lines of its output are the error.
// FG2: it ends with this process, however that ends: on an exit of ours, and on Linux by the kernel's parent-death signal.
// FG3: it leads its own process group, so that Ctrl-C in a terminal reaches only us, who end things in order.
// FG4: a stop that is not obeyed within its bound becomes SIGKILL, which a frozen process obeys too.
// FG5: as root it runs as `user`, where one is given: PostgreSQL and pgbouncer refuse root. Otherwise it runs as ourselves.
// FG6: output that goes to no file is read for ever, so that the program never stands at a full pipe.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, existsSync, openSync, readSync, statSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'

const READY_MAX_MS = 45_000
const READY_POLL_MS = 30
const STOP_MAX_MS = 5_000
const TAIL_BYTES = 4_000
/** Lines of its output kept where it goes to no file; beyond it the oldest are dropped. */
const LINES_MAX = 40
/** What a program that has ended may still have in its pipes is waited for. */
const LAST_LINES_MS = 500
const SETPRIV = '/usr/bin/setpriv'

type LaunchOptions = {
  name: string
  command: string
  args: readonly string[]
  /** Its whole environment, besides PATH. */
  env?: NodeJS.ProcessEnv
  /** Standard output and standard error are appended here; otherwise they are read. */
  logFile?: string
  readyMaxMs?: number
  /** How it is asked to end; SIGTERM unless given. */
  stopSignal?: NodeJS.Signals
  /** What the kernel sends it when this process dies; SIGKILL unless given. */
  deathSignal?: NodeJS.Signals
  /** Whom it runs as when we are root. [FG5] */
  user?: string
  /** Gives the start up: the program is ended and the start rejects. */
  signal?: AbortSignal
  /** Called with the program as soon as it runs, before it is up. */
  onStart?: (launched: Launched) => void
} & (
  | {
      /** Asked again and again until it is true. */
      isReady: () => Promise<boolean>
    }
  | {
      /** Shown each line of its output until one says that it is up. Not with `logFile`. */
      isReadyLine: (line: string) => boolean
    }
)

/** How a program ended. */
export type Exit = { code: number | null; signal: NodeJS.Signals | null }

/** A running program. */
export type Launched = {
  readonly name: string
  readonly pid: number
  /** Undefined while it runs. */
  readonly exit: Exit | undefined
  /** Resolves when it has gone; never rejects. */
  readonly exited: Promise<Exit>
  /** The last lines of its output. */
  lastLines(): string
  /** Those of its standard error alone; empty when its output goes to a file. */
  lastErrors(): string
  /** Sends a signal and does not wait; harmless when it has gone. */
  kill(signal: NodeJS.Signals): void
  /** Asks it to end (by its stop signal, unless told otherwise) and waits; it gets `maxMs` before SIGKILL. */
  stop(options?: { signal?: NodeJS.Signals; maxMs?: number }): Promise<Exit>
}

/** Starts a program and waits until it is up. */
export async function launch(options: LaunchOptions): Promise<Launched> {
  const output = options.logFile === undefined ? 'pipe' : openSync(options.logFile, 'a')
  const { command, args } = tiedToUs(options)
  const child = spawn(command, args, {
    detached: true,
    stdio: ['ignore', output, output],
    env: { PATH: process.env.PATH, ...options.env },
  })
  if (output !== 'pipe') closeSync(output)
  const ready = Promise.withResolvers<void>()
  const lines: string[] = []
  const errors: string[] = []
  let isUp = !('isReadyLine' in options)
  const read = (line: string, ...kept: string[][]) => {
    for (const into of kept) if (into.push(line) > LINES_MAX) into.shift()
    if (isUp || !('isReadyLine' in options) || !options.isReadyLine(line)) return
    isUp = true
    ready.resolve()
  }
  if (child.stdout !== null) createInterface({ input: child.stdout }).on('line', (line) => read(line, lines))
  if (child.stderr !== null) createInterface({ input: child.stderr }).on('line', (line) => read(line, lines, errors))
  const { logFile } = options
  const launched = follow(child, options, {
    lastLines: () => (logFile === undefined ? lines.join('\n') : tailOf(logFile)),
    lastErrors: () => errors.join('\n'),
  })
  options.onStart?.(launched)
  try {
    await untilReady(launched, options, child, ready.promise)
  } catch (error) {
    await launched.stop({ signal: 'SIGKILL' })
    throw error
  }
  return launched
}

/** What this process has started and what has not gone; [FG2] ends them. One listener, however many they are. */
const running = new Set<ChildProcess>()
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

function follow(
  child: ChildProcess,
  { name, stopSignal }: LaunchOptions,
  output: Pick<Launched, 'lastLines' | 'lastErrors'>,
): Launched {
  let exit: Exit | undefined
  const kill = (signal: NodeJS.Signals) => {
    if (exit === undefined) child.kill(signal)
  }
  running.add(child)
  const exited = new Promise<Exit>((resolve) => {
    const settle = (how: Exit) => {
      if (exit !== undefined) return
      exit = how
      running.delete(child)
      resolve(how)
    }
    child.once('exit', (code, signal) => settle({ code, signal }))
    child.once('error', () => settle({ code: null, signal: null }))
  })
  return {
    name,
    pid: child.pid ?? 0,
    get exit() {
      return exit
    },
    exited,
    ...output,
    kill,
    stop: async ({ signal = stopSignal ?? 'SIGTERM', maxMs = STOP_MAX_MS } = {}) => {
      kill(signal)
      const late = setTimeout(() => kill('SIGKILL'), maxMs)
      const how = await exited
      clearTimeout(late)
      return how
    },
  }
}

/** [FG1] `said` resolves when a line of its output says that it is up. */
async function untilReady(
  launched: Launched,
  options: LaunchOptions,
  child: ChildProcess,
  said: Promise<void>,
): Promise<void> {
  const { readyMaxMs = READY_MAX_MS, signal } = options
  const untilMs = performance.now() + readyMaxMs
  let isSaid = false
  void said.then(() => {
    isSaid = true
  })
  const isReady = 'isReady' in options ? options.isReady : async () => isSaid
  const fail = (reason: string) => new Error(`${launched.name} ${reason}:\n${launched.lastLines()}`)
  const failEnded = async (when: string, exit: Exit) => {
    if (options.logFile === undefined && exit.code !== null) await Promise.race([closed, sleep(LAST_LINES_MS)])
    return fail(`${when} (${describeExit(exit)})`)
  }
  const closed = once(child, 'close').catch(() => undefined)
  while (!(await isReady().catch(() => false))) {
    if (launched.exit !== undefined) throw await failEnded('ended before it was up', launched.exit)
    signal?.throwIfAborted()
    if (performance.now() > untilMs) throw fail(`was not up within ${readyMaxMs} ms`)
    await Promise.race([sleep(READY_POLL_MS), said, launched.exited])
  }
  // Something else may hold its port and have answered in its place.
  if (launched.exit !== undefined) throw await failEnded('ended at once', launched.exit)
}

/** [FG2] [FG5] setpriv becomes the program, so that the pid is the program's own. */
function tiedToUs({ command, args, deathSignal = 'SIGKILL', user }: LaunchOptions): {
  command: string
  args: string[]
} {
  if (process.platform !== 'linux' || !existsSync(SETPRIV)) return { command, args: [...args] }
  return {
    command: SETPRIV,
    args: [...ownerArguments(user), '--pdeathsig', deathSignal.slice(3), '--', command, ...args],
  }
}

/** The arguments of setpriv that make a program run as `user`; none when we are not root. [FG5] */
export function ownerArguments(user: string | undefined): string[] {
  return user === undefined || process.getuid?.() !== 0 ? [] : ['--reuid', user, '--regid', user, '--init-groups']
}

/** One phrase about an end, for a person. */
export function describeExit({ code, signal }: Exit): string {
  if (signal !== null) return signal
  return code === null ? 'it could not be started' : `exit code ${code}`
}

/** The last lines of a log file, at most TAIL_BYTES of them. */
function tailOf(path: string): string {
  const size = statSync(path, { throwIfNoEntry: false })?.size ?? 0
  const tail = Buffer.alloc(Math.min(size, TAIL_BYTES))
  const file = openSync(path, 'r')
  readSync(file, tail, 0, tail.length, size - tail.length)
  closeSync(file)
  const lines = tail.toString('utf8').trimEnd().split('\n')
  return (size > TAIL_BYTES ? lines.slice(1) : lines).join('\n')
}
