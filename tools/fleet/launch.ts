// A program that runs as long as the fleet does, its output in a file. Rules:
// FG1: it is up when its probe says so within READY_MAX_MS; else it is ended, and the last lines of its output are the error.
// FG2: it ends with this process, however that ends: on an exit of ours, and on Linux by the kernel's parent-death signal.
// FG3: it leads its own process group, so that Ctrl-C in a terminal reaches only us, who end things in order.
// FG4: a stop that is not obeyed within its bound becomes SIGKILL, which a frozen process obeys too.
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, existsSync, openSync, readSync, statSync } from 'node:fs'
import { createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

const READY_MAX_MS = 45_000
const READY_POLL_MS = 30
const STOP_MAX_MS = 5_000
const TAIL_BYTES = 4_000
/** Below the range from which the kernel takes ports for connections, so that a program that starts again finds its port free. */
const PORT_MIN = 20_000
const PORT_MAX = 31_999
const PORT_TRIES = 200

type LaunchOptions = {
  name: string
  command: string
  args: readonly string[]
  /** Its whole environment, besides PATH. */
  env?: Readonly<Record<string, string>>
  /** Standard output and standard error are appended here. */
  logFile: string
  /** Asked again and again until it is true. */
  isReady: () => Promise<boolean>
  readyMaxMs?: number
  /** Gives the start up: the program is ended and the start rejects. */
  signal?: AbortSignal
}

/** How a program ended. */
export type Exit = { code: number | null; signal: NodeJS.Signals | null }

/** A running program. */
export type Launched = {
  readonly name: string
  readonly pid: number
  readonly logFile: string
  /** Undefined while it runs. */
  readonly exit: Exit | undefined
  /** Resolves when it has gone; never rejects. */
  readonly exited: Promise<Exit>
  /** Sends a signal and does not wait; harmless when it has gone. */
  kill(signal: NodeJS.Signals): void
  /** Asks it to end (SIGTERM, unless told otherwise) and waits; it gets `maxMs` before SIGKILL. */
  stop(options?: { signal?: NodeJS.Signals; maxMs?: number }): Promise<Exit>
}

/** Starts a program and waits until it is up. */
export async function launch(options: LaunchOptions): Promise<Launched> {
  const output = openSync(options.logFile, 'a')
  const { command, args } = tiedToUs(options.command, options.args)
  const child = spawn(command, args, {
    detached: true,
    stdio: ['ignore', output, output],
    env: { PATH: process.env.PATH, ...options.env },
  })
  closeSync(output)
  const launched = follow(child, options)
  try {
    await untilReady(launched, options)
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

function follow(child: ChildProcess, { name, logFile }: LaunchOptions): Launched {
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
    logFile,
    get exit() {
      return exit
    },
    exited,
    kill,
    stop: async ({ signal = 'SIGTERM', maxMs = STOP_MAX_MS } = {}) => {
      kill(signal)
      const late = setTimeout(() => kill('SIGKILL'), maxMs)
      const how = await exited
      clearTimeout(late)
      return how
    },
  }
}

/** [FG1] */
async function untilReady(launched: Launched, options: LaunchOptions): Promise<void> {
  const { isReady, readyMaxMs = READY_MAX_MS, signal } = options
  const untilMs = performance.now() + readyMaxMs
  const fail = (reason: string) => new Error(`${launched.name} ${reason}:\n${tailOf(launched.logFile)}`)
  while (!(await isReady().catch(() => false))) {
    if (launched.exit !== undefined) throw fail(`ended before it was up (${describeExit(launched.exit)})`)
    signal?.throwIfAborted()
    if (performance.now() > untilMs) throw fail(`was not up within ${readyMaxMs} ms`)
    await sleep(READY_POLL_MS)
  }
  // Something else may hold its port and have answered in its place.
  if (launched.exit !== undefined) throw fail(`ended at once (${describeExit(launched.exit)})`)
}

/** [FG2] setpriv becomes the program, so that the pid is the program's own. */
function tiedToUs(command: string, args: readonly string[]): { command: string; args: string[] } {
  if (process.platform !== 'linux' || !existsSync('/usr/bin/setpriv')) return { command, args: [...args] }
  return { command: '/usr/bin/setpriv', args: ['--pdeathsig', 'KILL', '--', command, ...args] }
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

const taken = new Set<number>()

/** A port of 127.0.0.1 that is free now and that this process has not handed out before. */
export async function pickPort(): Promise<number> {
  for (let tried = 0; tried < PORT_TRIES; tried++) {
    const port = PORT_MIN + Math.floor(Math.random() * (PORT_MAX - PORT_MIN + 1))
    if (taken.has(port) || !(await isFree(port))) continue
    taken.add(port)
    return port
  }
  throw new Error(`no free port from ${PORT_MIN} to ${PORT_MAX} in ${PORT_TRIES} tries`)
}

/** Whether nobody listens on this port of 127.0.0.1. */
export function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}
