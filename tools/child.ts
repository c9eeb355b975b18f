// Running a child program within bounds. Rules:
// K1: every child leads its own process group, and it is that group that is ended, by number: no grandchild stays behind.
// K2: a child has a time bound; at the bound it gets SIGTERM, and KILL_AFTER_MS later SIGKILL.
// K3: SIGINT, SIGTERM and SIGHUP sent to this process end the child the same way, and the outcome says so.
import { type ChildProcess, spawn } from 'node:child_process'
import { constants } from 'node:os'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'

/** Time between asking a child to end and ending it. */
const KILL_AFTER_MS = 5_000
/** Lines of a child's output kept for a report; beyond it the oldest are dropped. */
const OUTPUT_LINES_MAX = 2_000

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/** How a child ended. */
export type ChildEnd =
  | { kind: 'exited'; code: number }
  | { kind: 'signalled'; signal: NodeJS.Signals }
  | { kind: 'timed-out'; afterMs: number }
  | { kind: 'interrupted'; signal: NodeJS.Signals }
  | { kind: 'not-started'; reason: string }

type ChildOptions = {
  env?: NodeJS.ProcessEnv
  cwd?: string
  /** The child is ended when it runs longer. */
  maxMs: number
  /** `show` passes the child's output through; `keep` collects it as lines. */
  output: 'show' | 'keep'
  /** Called with each line in `keep` mode. */
  onLine?: (line: string) => void
}

/** Runs a program without standard input and waits for its end; never rejects. `lines` is empty in `show` mode. */
export async function runChild(
  command: string,
  args: readonly string[],
  options: ChildOptions,
): Promise<{ end: ChildEnd; lines: string[]; ms: number }> {
  const startedMs = performance.now()
  const stdio = options.output === 'show' ? 'inherit' : 'pipe'
  // Before the spawn: the child may be seen, and a signal sent to us, before this line's successor runs.
  const isHeld = () => {}
  for (const signal of SIGNALS) process.on(signal, isHeld)
  const child = spawn(command, args, {
    detached: true,
    stdio: ['ignore', stdio, stdio],
    env: options.env ?? process.env,
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  })
  const lines: string[] = []
  const keep = (line: string) => {
    if (lines.push(line) > OUTPUT_LINES_MAX) lines.shift()
    options.onLine?.(line)
  }
  const read = [child.stdout, child.stderr].filter((s) => s !== null).map((stream) => readLines(stream, keep))
  const end = await waitForEnd(child, options.maxMs)
  await Promise.all(read)
  for (const signal of SIGNALS) process.off(signal, isHeld)
  return { end, lines, ms: performance.now() - startedMs }
}

/** The exit code to pass on for an end: the child's own, 128 + signal number, or 1. */
export function exitCodeOf(end: ChildEnd): number {
  if (end.kind === 'exited') return end.code
  if (end.kind === 'signalled' || end.kind === 'interrupted') return 128 + (constants.signals[end.signal] ?? 0)
  return 1
}

/** One phrase about an end, for a person. */
export function describeEnd(end: ChildEnd): string {
  switch (end.kind) {
    case 'exited':
      return `exit code ${end.code}`
    case 'signalled':
      return `ended by ${end.signal}`
    case 'timed-out':
      return `not finished after ${Math.round(end.afterMs / 1000)} s, ended`
    case 'interrupted':
      return `interrupted by ${end.signal}`
    case 'not-started':
      return `could not start: ${end.reason}`
  }
}

function readLines(stream: Readable, onLine: (line: string) => void): Promise<void> {
  return new Promise((resolve) => {
    createInterface({ input: stream }).on('line', onLine).on('close', resolve)
  })
}

function waitForEnd(child: ChildProcess, maxMs: number): Promise<ChildEnd> {
  return new Promise((resolve) => {
    let cause: ChildEnd | undefined
    let killTimer: NodeJS.Timeout | undefined
    const stop = (why: ChildEnd) => {
      if (cause !== undefined) return
      cause = why
      endGroup(child, 'SIGTERM')
      killTimer = setTimeout(() => endGroup(child, 'SIGKILL'), KILL_AFTER_MS)
    }
    const bound = setTimeout(() => stop({ kind: 'timed-out', afterMs: maxMs }), maxMs)
    const onSignal = (signal: NodeJS.Signals) => stop({ kind: 'interrupted', signal })
    const onOwnExit = () => endGroup(child, 'SIGKILL')
    for (const signal of SIGNALS) process.on(signal, onSignal)
    process.on('exit', onOwnExit)
    const settle = (end: ChildEnd) => {
      clearTimeout(bound)
      clearTimeout(killTimer)
      for (const signal of SIGNALS) process.off(signal, onSignal)
      process.off('exit', onOwnExit)
      endGroup(child, 'SIGKILL') // whatever the child left behind in its group
      resolve(cause ?? end)
    }
    child.once('error', (error) => settle({ kind: 'not-started', reason: error.message }))
    child.once('exit', (code, signal) =>
      settle(signal === null ? { kind: 'exited', code: code ?? 1 } : { kind: 'signalled', signal }),
    )
  })
}

function endGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined) return
  try {
    process.kill(-child.pid, signal)
  } catch {
    // The group is empty already: nothing to end.
  }
}
