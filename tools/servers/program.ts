// A server run as a child for tests, benches and fleets. Rules:
// VP1: it is ready when it says so on its own output, within READY_MAX_MS; else it is ended and its last lines are the error.
// VP2: it ends with this process, however that ends: on exit by a signal of ours, on a kill by the kernel's parent-death signal.
// VP3: as root it runs as an unprivileged user, since PostgreSQL and pgbouncer refuse root; otherwise as ourselves.
// VP4: a stop that is not obeyed within STOP_MAX_MS becomes SIGKILL.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { chownSync, mkdtempSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

const READY_MAX_MS = 20_000
const STOP_MAX_MS = 5_000
/** Lines of its output kept for an error; beyond it the oldest are dropped. */
const LINES_MAX = 40

type ProgramOptions = {
  command: string
  args: readonly string[]
  /** The user it runs as when we are root. */
  user: string
  /** The line of its output that says it serves. */
  ready: RegExp
  /** Asks it to end in an orderly way. */
  stopSignal: NodeJS.Signals
}

/** A running server. */
export type Program = {
  readonly pid: number
  /** Resolves when the process has gone. */
  readonly gone: Promise<void>
  /** Sends a signal and does not wait; harmless when it has gone. */
  kill(signal: NodeJS.Signals): void
  /** Sends `signal` (the stop signal unless told otherwise) and waits until the process has gone. */
  stop(signal?: NodeJS.Signals): Promise<void>
}

const isRoot = (): boolean => process.getuid?.() === 0

/** Starts a server and waits until it is ready. */
export async function startProgram(options: ProgramOptions): Promise<Program> {
  const { command, args } = asUser(options)
  const child = spawn(command, args, {
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: process.env.PATH },
  })
  const onExit = () => kill(child, 'SIGKILL')
  process.on('exit', onExit)
  const gone = new Promise<void>((resolve) => {
    const settle = () => {
      process.off('exit', onExit)
      resolve()
    }
    child.once('exit', settle)
    child.once('error', settle)
  })
  const program: Program = {
    pid: child.pid ?? 0,
    gone,
    kill: (signal) => kill(child, signal),
    stop: async (signal = options.stopSignal) => {
      kill(child, signal)
      const late = setTimeout(() => kill(child, 'SIGKILL'), STOP_MAX_MS)
      await gone
      clearTimeout(late)
    },
  }
  try {
    await waitUntilReady(child, options)
  } catch (error) {
    await program.stop('SIGKILL')
    throw error
  }
  return program
}

/** A new temporary folder that belongs to `user` when we are root. */
export function makeFolder(name: string, user: string): string {
  const folder = mkdtempSync(join(tmpdir(), `voiceplane-${name}-`))
  if (isRoot()) chownSync(folder, idOf('-u', user), idOf('-g', user))
  return folder
}

/** Runs a short program to its end, as `user` when we are root; its output is the error when it fails. */
export function runAs(user: string, program: string, programArgs: readonly string[]): void {
  const { command, args } = asUser({ user, command: program, args: programArgs, stopSignal: 'SIGTERM' })
  execFileSync(command, args, { stdio: ['ignore', 'ignore', 'pipe'], timeout: READY_MAX_MS })
}

/** A port that is free now on 127.0.0.1. */
export function findFreePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => (address === null || typeof address === 'string' ? reject() : resolve(address.port)))
    })
  })
}

/** [VP2][VP3] setpriv becomes the program, so that the pid is the program's own. */
function asUser(options: Pick<ProgramOptions, 'user' | 'command' | 'args' | 'stopSignal'>): {
  command: string
  args: string[]
} {
  const owner = isRoot() ? ['--reuid', options.user, '--regid', options.user, '--init-groups'] : []
  const death = ['--pdeathsig', options.stopSignal.slice(3)]
  return { command: 'setpriv', args: [...owner, ...death, '--', options.command, ...options.args] }
}

function idOf(flag: '-u' | '-g', user: string): number {
  return Number(execFileSync('id', [flag, user], { encoding: 'utf8' }))
}

function kill(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.exitCode === null && child.signalCode === null) child.kill(signal)
}

/** [VP1] The output is read for ever, so that the server never stands at a full pipe. */
function waitUntilReady(child: ChildProcess, options: ProgramOptions): Promise<void> {
  const lines: string[] = []
  return new Promise((resolve, reject) => {
    const fail = (reason: string) => reject(new Error(`${options.command} ${reason}: ${lines.join(' | ')}`))
    const bound = setTimeout(() => fail(`was not ready within ${READY_MAX_MS} ms`), READY_MAX_MS)
    for (const stream of [child.stdout!, child.stderr!]) {
      createInterface({ input: stream }).on('line', (line) => {
        if (lines.push(line) > LINES_MAX) lines.shift()
        if (!options.ready.test(line)) return
        clearTimeout(bound)
        resolve()
      })
    }
    child.once('error', (error) => {
      clearTimeout(bound)
      fail(`could not start (${error.message})`)
    })
    child.once('exit', () => {
      clearTimeout(bound)
      fail('ended at once')
    })
  })
}
