// A load run ends in order: by itself, by Ctrl-C, and when its parent is gone. No trace, no file, no process is left.
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import { FakePlane } from '../sim/twilio/testing/fake-plane.ts'

const GONE_MAX_MS = 30_000
const LOOK_EVERY_MS = 50

type Run = { child: ChildProcess; plane: FakePlane; ended: Promise<{ code: number | null; out: string; err: string }> }

/** Runs the generator as the head of a process group of its own, as a terminal does; checks what it leaves. */
async function run(args: string[], act: (run: Run) => Promise<void> | void, stdio: 'ignore' | 'ipc' = 'ignore') {
  const plane = await new FakePlane().start()
  plane.onRequest = ({ path }) => ({ body: path === '/twilio/voice' ? plane.connectTwiml() : '<Response/>' })
  plane.onStream = (stream) => stream.say(Buffer.alloc(1_600, 0x20))
  const folder = await mkdtemp(join(tmpdir(), 'load-orderly-'))
  const main = new URL('./main.ts', import.meta.url).pathname
  try {
    const child = spawn(process.execPath, [main, '--url', plane.base, ...args], {
      detached: true,
      env: { ...process.env, TMPDIR: folder },
      stdio: ['ignore', 'pipe', 'pipe', ...(stdio === 'ipc' ? (['ipc'] as const) : [])],
    })
    let out = ''
    let err = ''
    child.stdout!.on('data', (text) => (out += text))
    child.stderr!.on('data', (text) => (err += text))
    const read = [once(child.stdout!, 'close'), once(child.stderr!, 'close')]
    const ended = once(child, 'exit').then(async ([code]) => {
      await Promise.all(read)
      return { code: code as number | null, out, err }
    })
    await act({ child, plane, ended })
    const result = await ended
    await groupGone(child.pid!)
    assert.deepEqual(await readdir(folder), [], 'files are left')
    assert.doesNotMatch(result.err, /ERR_|Error|^\s+at /m)
    return result
  } finally {
    await plane.close()
    await rm(folder, { recursive: true })
  }
}

/** Waits until no process of the group is left. */
async function groupGone(group: number): Promise<void> {
  const untilMs = performance.now() + GONE_MAX_MS
  for (;;) {
    try {
      process.kill(-group, 0)
    } catch {
      return
    }
    assert.ok(performance.now() < untilMs, 'a process of the run is left')
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS))
  }
}

async function streams(plane: FakePlane, count: number): Promise<void> {
  const untilMs = performance.now() + GONE_MAX_MS
  while (plane.streams.length < count) {
    assert.ok(performance.now() < untilMs, `${plane.streams.length} of ${count} streams opened`)
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS))
  }
}

suite('[O6] a load run', { concurrency: 2 }, () => {
  test('[CP3] that is over ends without a trace, in several processes', async () => {
    const args = ['--calls', '6', '--processes', '3', '--hold-s', '2', '--scenario', 'silence']
    const { code, out } = await run(args, () => undefined)
    assert.equal(code, 0, out)
    assert.match(out, /dropped\s+0/)
  })

  test('[LM1] that is interrupted by Ctrl-C hangs up, reports and cleans up', async () => {
    const { out, code } = await run(['--calls', '4', '--processes', '2'], async ({ child, plane }) => {
      await streams(plane, 4)
      process.kill(-child.pid!, 'SIGINT')
    })
    assert.match(out, /^Interrupted/)
    assert.match(out, /ended: caller-hung-up\s+4/)
    assert.equal(code, 0)
  })

  test('[CN2] that is interrupted twice ends at once, and says what was lost', async () => {
    const { err, code } = await run(['--calls', '4', '--processes', '2'], async ({ child, plane }) => {
      await streams(plane, 4)
      process.kill(-child.pid!, 'SIGINT')
      process.kill(-child.pid!, 'SIGTERM')
    })
    assert.match(err, /caller process|^$/)
    assert.ok(code === 0 || code === 1)
  })

  test('[LM1] whose parent goes away hangs up and ends', async () => {
    const act = async ({ child, plane }: Run) => {
      await streams(plane, 2)
      child.disconnect()
    }
    const { out } = await run(['--calls', '2', '--processes', '1'], act, 'ipc')
    assert.match(out, /ended: caller-hung-up\s+2/)
  })
})
