// Roles of the plane as processes of their own, for tests: what they say is kept, and they are ended by the id they were started with.
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { findFreePort } from '../../tools/ports.ts'
import { ROOT } from '../../tools/tree.ts'

const START_MAX_MS = 30_000
const children: ChildProcess[] = []

/** `errors`: what it said on standard error; `said`: on both. */
type Run = { child: ChildProcess; errors: () => string; said: () => string; code: Promise<number | null> }

/** Starts a role with these variables and no others that mean something to the plane. */
export function run(env: Record<string, string>, role = 'worker'): Run {
  const { PATH, HOME } = process.env as Record<string, string>
  const child = spawn(process.execPath, ['src/main.ts', role], {
    cwd: ROOT,
    env: { PATH, HOME, NODE_ENV: 'test', HOST: '127.0.0.1', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  children.push(child)
  let said = ''
  let errors = ''
  child.stdout!.setEncoding('utf8').on('data', (more: string) => {
    said += more
  })
  child.stderr!.setEncoding('utf8').on('data', (more: string) => {
    said += more
    errors += more
  })
  const code = once(child, 'close').then(([status]) => status as number | null)
  return { child, errors: () => errors, said: () => said, code }
}

/** A worker that listens at `url`. */
export async function startWorkerProcess(
  databaseUrl: string,
  env: Record<string, string> = {},
): Promise<Run & { url: string }> {
  const port = await findFreePort()
  const one = run({ DATABASE_URL: databaseUrl, PORT: String(port), WORK_POLL_MS: '50', ...env })
  const url = `http://127.0.0.1:${port}`
  const endMs = performance.now() + START_MAX_MS
  for (;;) {
    const ready = await fetch(`${url}/ready`).catch(() => undefined)
    if (ready?.ok === true) return { ...one, url }
    assert.ok(one.child.exitCode === null, `it ended: ${one.errors()}`)
    assert.ok(performance.now() < endMs, `it was not ready in time: ${one.errors()}`)
    await sleep(50)
  }
}

/** Ends what was started and still runs. */
export function endPrograms(): void {
  for (const child of children.splice(0)) if (child.exitCode === null) child.kill('SIGKILL')
}
