// Child processes of a bench, started as tools/launch.ts does. Rules:
// CH1: a child is up when it printed its ready line (JSON with a port), or answered 200 on its `readyUrl`, within READY_MS; or it is
//      stopped and reported.
// CH2: every child started here is ended here: SIGTERM, then SIGKILL after STOP_MS, by pid; also when the bench itself is interrupted.
//      A bench that is over starts none.
// CH3: the last lines of a child's standard error are kept, to be shown when it fails.
// CH4: a child ends with the bench, however that ends: the kernel's parent-death signal kills it, also when the bench was killed itself.
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { launch } from '../../tools/launch.ts'

const READY_MS = 30_000
const STOP_MS = 5_000

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
  const { name, file, args, env, readyMs = READY_MS, readyUrl } = command
  let ready: Record<string, unknown> | undefined
  const launched = await launch({
    ...{ name, command: file, args, readyMaxMs: readyMs },
    env: { ...process.env, ...env },
    onStart: (child) => owner.atEnd(async () => void (await child.stop())),
    ...(readyUrl === undefined
      ? {
          isReadyLine: (line: string) => {
            ready = readReadyLine(line)
            return ready !== undefined
          },
        }
      : { isReady: () => answersWell(readyUrl) }),
  })
  ready ??= { port: Number(new URL(readyUrl!).port) }
  return {
    ...{ name, pid: launched.pid, port: Number(ready.port), ready },
    hasExited: () => launched.exit !== undefined,
    errorText: launched.lastErrors,
    stop: async () => void (await launched.stop()),
  }
}

async function answersWell(url: string): Promise<boolean> {
  const answer = await fetch(url)
  await answer.arrayBuffer()
  return answer.status === 200
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
