// The commands of the pages, and a shell in which a newcomer runs them. Rules:
// DC1: a command stands in a fence marked `sh`, in an indented block, or in back ticks with a program of PROGRAMS at its beginning. A fence
//      without a language is a mistake of the page, since nobody knows whether it is a command.
// DC2: the shell is the newcomer's: the machine's own Node and npm come first, and no variable of ours reaches it.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { ROOT } from '../../tools/tree.ts'

const PROGRAMS = ['npm', 'npx', 'node', 'docker', 'kind', 'kubectl', 'helm', 'curl', 'openssl', 'promtool'] as const
const COMMAND = new RegExp(`^(${PROGRAMS.join('|')}) (?!run$)\\S`)
/** Until a process says what is awaited of it, on a machine that others use too. */
const SAYS_MAX_MS = 60_000
const ENDS_MAX_MS = 60_000

/** A command as it stands on a page, without its remark. */
type Documented = { page: string; line: number; command: string }

/** The pages that tell a reader what to run. docs/cases.md tells what failed once. */
export function pages(): string[] {
  const inDocs = readdirSync(join(ROOT, 'docs'), { recursive: true, encoding: 'utf8' })
  const docs = inDocs.filter((name) => name.endsWith('.md') && name !== 'cases.md').map((name) => join('docs', name))
  return ['README.md', 'ARCHITECTURE.md', ...docs.sort()]
}

/** [DC1] The commands of one page; each `a && b` is two. Throws on a fence without a language. */
export function commandsOf(page: string, text = readFileSync(join(ROOT, page), 'utf8')): Documented[] {
  const found: Documented[] = []
  const add = (line: number, whole: string) => {
    for (const part of whole.replace(/\s+# .*$/, '').split(' && '))
      found.push({ page, line, command: part.trim().replace(/\s+/g, ' ') })
  }
  let fence: string | undefined
  let isBlock = true
  for (const [at, text_] of text.split('\n').entries()) {
    const line = at + 1
    const mark = /^ *```(\w*)/.exec(text_)
    if (mark !== null) {
      if (fence === undefined && mark[1] === '')
        throw new Error(`${page}:${line}: a fence needs a language: sh, text …`)
      fence = fence === undefined ? mark[1] : undefined
    } else if (fence !== undefined) {
      if (fence === 'sh' && text_.trim() !== '' && !text_.startsWith('#')) add(line, text_)
    } else if (/^ {4}\S/.test(text_) && isBlock) add(line, text_)
    else {
      isBlock = text_.trim() === ''
      for (const [, code] of text_.matchAll(/`([^`]+)`/g)) if (COMMAND.test(code!)) add(line, code!)
    }
  }
  return found
}

/** [DC2] */
function newcomerEnvironment(more: Record<string, string> = {}): Record<string, string> {
  const folders = (process.env.PATH ?? '').split(delimiter).filter((folder) => !folder.includes('node_modules'))
  const { HOME = '/' } = process.env
  return { PATH: folders.join(delimiter), HOME, LC_ALL: 'C.UTF-8', npm_config_update_notifier: 'false', ...more }
}

/** A command that runs, in a group of its own as in a terminal. */
type Running = {
  said(): string
  /** Its exit status, when it has ended. */
  readonly code: Promise<number | null>
  /** Waits for a text and gives the match back. */
  says(pattern: RegExp): Promise<RegExpExecArray>
  /** Ctrl-C: the signal goes to the whole group, npm's shell included, so that npm tells the signal as its own end. Throws on any other end, or on an error in the log. */
  interrupt(): Promise<void>
}

const groups: ChildProcess[] = []

/** Runs a line in the newcomer's shell, in the folder of the project unless told otherwise. */
export function runLine(line: string, env: Record<string, string> = {}, cwd = ROOT): Running {
  const child = spawn('bash', ['-c', line], {
    ...{ cwd, detached: true, env: newcomerEnvironment(env) },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  groups.push(child)
  let text = ''
  for (const stream of [child.stdout!, child.stderr!])
    stream.setEncoding('utf8').on('data', (more: string) => {
      text += more
    })
  const code = once(child, 'close').then(([status]) => status as number | null)
  const said = () => text
  return {
    said,
    code,
    says: async (pattern) => {
      const untilMs = performance.now() + SAYS_MAX_MS
      for (;;) {
        const match = pattern.exec(text)
        if (match !== null) return match
        if (child.exitCode !== null || child.signalCode !== null || performance.now() > untilMs)
          throw new Error(`${line}: never said ${pattern}; it said:\n${text}`)
        await sleep(50)
      }
    },
    interrupt: async () => {
      process.kill(-child.pid!, 'SIGINT')
      const end = await Promise.race([code, sleep(ENDS_MAX_MS, 'late' as const, { ref: false })])
      const isOrderly = end === 0 || end === 130 || (end === null && child.signalCode === 'SIGINT')
      if (!isOrderly || /"level":"(error|fatal)"/.test(text))
        throw new Error(`${line}: did not end in order (${end}); it said:\n${text}`)
    },
  }
}

/** Runs a line to its end, within a bound. Throws with all that it said unless the status is 0. */
export async function runToEnd(line: string, env: Record<string, string> = {}, cwd = ROOT): Promise<string> {
  const one = runLine(line, env, cwd)
  const bound = sleep(ENDS_MAX_MS, 'late' as const, { ref: false })
  const code = await Promise.race([one.code, bound])
  if (code !== 0) throw new Error(`${line}: ended with ${code}; it said:\n${one.said()}`)
  return one.said()
}

/** Ends the groups that still run; each by the id that it was started with. */
export function endAll(): void {
  for (const child of groups.splice(0)) {
    try {
      process.kill(-child.pid!, 'SIGKILL')
    } catch {
      // It has ended.
    }
  }
}
