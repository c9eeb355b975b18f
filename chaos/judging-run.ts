// A program that judges: run within a bound, ended with all it has started. Rules:
// JR1: its output goes to a file, so that nobody waits for a pipe that a grandchild keeps open.
// JR2: at the bound it is asked to end (SIGTERM to its group), and after END_MS it is killed; its outcome is `hung`, whatever its code.
// JR3: what it has started is killed with it, also what left its group or stands still: the tree below it is read from /proc and its
//      processes are ended by number, each only while it is still the one that was read.
// JR4: an end of this process kills the tree at once.
import { spawn } from 'node:child_process'
import { closeSync, openSync, readdirSync, readFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'

/** A chaos run ends a whole fleet when it is asked to. */
const END_MS = 20_000
/** The last lines are kept; what failed stands there. */
const LINES_MAX = 2_000

export type JudgingRun = { kind: 'green' | 'red' | 'hung'; lines: string[]; ms: number }

type JudgingOptions = {
  cwd: string
  /** The bound of the run. */
  maxMs: number
  /** Its output; overwritten. */
  logFile: string
  /** Between asking and killing (END_MS). */
  endMs?: number
}

/** A process as /proc tells it; `started` keeps a number that was given again apart. */
type Seen = { pid: number; parent: number; started: string; isZombie: boolean }

/** Runs node with `args`: green is exit code 0 within the bound, red is any other end within it. Never rejects for what the program does. */
export async function runJudge(args: readonly string[], options: JudgingOptions): Promise<JudgingRun> {
  const { cwd, maxMs, logFile, endMs = END_MS } = options
  const startedMs = performance.now()
  const output = openSync(logFile, 'w')
  const child = spawn(process.execPath, args, { cwd, detached: true, stdio: ['ignore', output, output] })
  closeSync(output)
  let below: Seen[] = []
  const killAll = (): void => {
    below = merge(below, treeBelow(child.pid))
    endGroup(child.pid, 'SIGKILL')
    for (const one of below) endOne(one)
  }
  process.on('exit', killAll)
  let isHung = false
  let killing: NodeJS.Timeout | undefined
  const bound = setTimeout(() => {
    isHung = true
    below = treeBelow(child.pid)
    endGroup(child.pid, 'SIGTERM')
    killing = setTimeout(killAll, endMs)
  }, maxMs)
  const code = await new Promise<number | null>((resolve) => {
    child.once('exit', resolve)
    child.once('error', () => resolve(null))
  })
  clearTimeout(bound)
  clearTimeout(killing)
  process.off('exit', killAll)
  killAll()
  const lines = (await readFile(logFile, 'utf8')).split('\n').slice(-LINES_MAX)
  return { kind: isHung ? 'hung' : code === 0 ? 'green' : 'red', lines, ms: performance.now() - startedMs }
}

/** Whether a process runs; one that has ended and is not yet reaped does not. */
export function isRunning(pid: number): boolean {
  const seen = look(pid)
  return seen !== undefined && !seen.isZombie
}

/** [JR3] All that `root` has started, and what that has started. */
function treeBelow(root: number | undefined): Seen[] {
  if (root === undefined) return []
  const all = readdirSync('/proc').flatMap((name) => (/^\d+$/.test(name) ? (look(Number(name)) ?? []) : []))
  const found: Seen[] = []
  for (let next = [root]; next.length > 0; ) {
    const children = all.filter(({ parent }) => next.includes(parent))
    found.push(...children)
    next = children.map(({ pid }) => pid)
  }
  return found
}

function look(pid: number): Seen | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    // The name may hold spaces and brackets: what counts comes after its last bracket.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return { pid, parent: Number(fields[1]), started: fields[19]!, isZombie: fields[0] === 'Z' }
  } catch {
    return undefined // It has gone.
  }
}

function merge(known: readonly Seen[], more: readonly Seen[]): Seen[] {
  return [...known, ...more.filter(({ pid }) => !known.some((one) => one.pid === pid))]
}

function endOne({ pid, started }: Seen): void {
  if (look(pid)?.started !== started) return
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It went between the look and the signal.
  }
}

function endGroup(pid: number | undefined, signal: NodeJS.Signals): void {
  if (pid === undefined) return
  try {
    process.kill(-pid, signal)
  } catch {
    // Nobody of the group is left.
  }
}
