// Child processes of role all: the offline model and the demonstration caller. Rules:
// CH1: a child is ended by its id; it never outlives this process by our doing.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'

const READY_MAX_MS = 20_000
const STOP_MAX_MS = 3_000

/** A child that has said its ready line (one JSON object). */
export type ReadyChild = { ready: Record<string, unknown>; stop(): Promise<void> }

/** Starts `node file args`, waits for its first line of JSON. Throws when it ends or is silent for READY_MAX_MS. */
export async function startReady(file: string, args: readonly string[]): Promise<ReadyChild> {
  // A group of its own: Ctrl-C in the terminal must not take the model from live calls. It ends with our channel.
  const child = spawn(process.execPath, [file, ...args], {
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
    detached: true,
  })
  const lines = createInterface({ input: child.stdout as Readable })
  const timer = AbortSignal.timeout(READY_MAX_MS)
  try {
    const [line] = (await Promise.race([
      once(lines, 'line', { signal: timer }),
      once(child, 'exit').then(() => Promise.reject(new Error(`${file} ended before it was ready`))),
    ])) as [string]
    return { ready: JSON.parse(line) as Record<string, unknown>, stop: () => stop(child) }
  } catch (error) {
    await stop(child)
    throw error
  }
}

/** Runs `node file args` to its end, handing on each line it prints. Resolves with its exit code. */
export async function runLines(
  file: string,
  args: readonly string[],
  onLine: (line: string) => void,
  signal: AbortSignal,
): Promise<number> {
  const child = spawn(process.execPath, [file, ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
  createInterface({ input: child.stdout }).on('line', onLine)
  const abort = (): void => void stop(child)
  signal.addEventListener('abort', abort, { once: true })
  const [code] = (await once(child, 'close')) as [number | null]
  signal.removeEventListener('abort', abort)
  return code ?? 1
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'exit')
  child.kill('SIGTERM')
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MAX_MS)
  await ended
  clearTimeout(timer)
}
