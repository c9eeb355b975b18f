// Child processes of a bench, by pid. Rules:
// CH1: a child is up when it printed its ready line (JSON with a port), or answered 200 on its `readyUrl`, within READY_MS; or it is
//      stopped and reported.
// CH2: every child started here is ended here: SIGTERM, then SIGKILL after STOP_MS, by pid; also when the bench itself is interrupted.
//      A bench that is over starts none.
// CH3: the last lines of a child's standard error are kept, to be shown when it fails.
// CH4: a child ends with the bench, however that ends: the kernel's parent-death signal kills it, also when the bench was killed itself.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'

const READY_MS = 30_000
const STOP_MS = 5_000
const READY_POLL_MS = 50
const ERROR_LINES_MAX = 30

/** What to run. `env` is added to the bench's own environment. With `readyUrl` that address says when it is up. */
export type ChildCommand = {
  name: string
  file: string
  args: string[]
  env?: Record<string, string>
  readyMs?: number
  readyUrl?: string
}

/** A running child. */
export type Child = {
  name: string
  pid: number
  port: number
  /** The ready line's fields. */
  ready: Record<string, unknown>
  hasExited: () => boolean
  errorText: () => string
  stop: () => Promise<void>
}

/** Who ends the children: a bench, when it closes. */
type ChildOwner = { readonly isOver: boolean; atEnd: (end: () => Promise<void>) => void }

/** [CH1][CH2] Starts a child, which is `owner`'s from its first moment, and waits until it is up. */
export async function startChild(command: ChildCommand, owner: ChildOwner): Promise<Child> {
  if (owner.isOver) throw new Error(`${command.name}: not started, the bench is over`)
  // setpriv becomes the program, so that the pid is the program's own. [CH4]
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', command.file, ...command.args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...command.env },
  })
  const errorLines: string[] = []
  child.stderr.setEncoding('utf8').on('data', (text: string) => keepLines(errorLines, text))
  let hasExited = false
  child.on('exit', () => {
    hasExited = true
  })
  const stop = async (): Promise<void> => {
    if (!hasExited) await stopChild(child)
  }
  owner.atEnd(stop)
  let ready: Record<string, unknown>
  try {
    ready = await waitReady(command, child)
  } catch (error) {
    child.kill('SIGKILL')
    throw new Error(`${command.name}: ${(error as Error).message}\n${errorLines.join('\n')}`)
  }
  return {
    name: command.name,
    pid: child.pid!,
    port: Number(ready.port),
    ready,
    hasExited: () => hasExited,
    errorText: () => errorLines.join('\n'),
    stop,
  }
}

function keepLines(lines: string[], text: string): void {
  lines.push(...text.split('\n').filter((line) => line !== ''))
  lines.splice(0, Math.max(0, lines.length - ERROR_LINES_MAX))
}

function waitReady(command: ChildCommand, child: ChildProcess): Promise<Record<string, unknown>> {
  const { promise, resolve, reject } = Promise.withResolvers<Record<string, unknown>>()
  const readyMs = command.readyMs ?? READY_MS
  const timer = setTimeout(() => reject(new Error(`no ready line within ${readyMs} ms`)), readyMs)
  const lines = createInterface({ input: child.stdout! })
  if (command.readyUrl !== undefined) void pollReady(command.readyUrl, child).then(resolve)
  lines.on('line', (line) => {
    const ready = command.readyUrl === undefined ? readReadyLine(line) : undefined
    if (ready !== undefined) resolve(ready)
  })
  child.on('error', reject)
  child.on('exit', (code, signal) => reject(new Error(`ended before it was ready (${signal ?? `code ${code}`})`)))
  return promise.finally(() => clearTimeout(timer))
}

async function pollReady(url: string, child: ChildProcess): Promise<Record<string, unknown>> {
  while (child.exitCode === null && child.signalCode === null) {
    const status = await fetch(url).then(
      (answer) => answer.arrayBuffer().then(() => answer.status),
      () => 0,
    )
    if (status === 200) break
    await sleep(READY_POLL_MS)
  }
  return { port: Number(new URL(url).port) }
}

/** The fields of a line that is JSON with a whole `port`; undefined for any other line. */
export function readReadyLine(line: string): Record<string, unknown> | undefined {
  if (!line.startsWith('{')) return undefined
  try {
    const value = JSON.parse(line) as Record<string, unknown>
    return Number.isInteger(value.port) ? value : undefined
  } catch {
    return undefined
  }
}

/** [CH2] Resolves when it has gone; harmless when it has. */
export async function stopChild(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  child.kill('SIGTERM')
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS)
  await exited
  clearTimeout(timer)
}
