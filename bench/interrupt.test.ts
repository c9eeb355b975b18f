import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { comesAbout, until } from '../src/kit/testing/patience.ts'
import { familyOf, parseStat } from './runner/procfs.ts'

const MAIN = new URL('./main.ts', import.meta.url).pathname
/** A plane hangs up live calls within the runner's STOP_MS; a slow machine needs as long again. */
const GONE_MS = 30_000
const LOOK_MS = 20
const SOON_MS = 20

/** When a process began, in ticks: with its id it is one process, whoever has the id later. */
function beganAt(pid: number): string | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return parseStat(text) === undefined ? undefined : text.slice(text.lastIndexOf(')') + 2).split(' ')[19]
  } catch {
    return undefined
  }
}

/** Starts a bench, acts on it when it has `children` processes of its own, and gives back those that outlive it. */
async function cutOff(children: number, act: (pid: number) => Promise<void>) {
  const args = [MAIN, 'density', '--only', 'voiceplane', '--calls', '2', '--seconds', '20', '--rounds', '2']
  const bench = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'ignore'] })
  let output = ''
  bench.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text
  })
  const exited = once(bench, 'exit')
  const seen = new Map<number, string>()
  const look = (): void => {
    for (const pid of familyOf(bench.pid!)) {
      const began = beganAt(pid)
      if (pid !== bench.pid && began !== undefined) seen.set(pid, began)
    }
  }
  await until(
    () => `${children} children, of which ${seen.size} are up`,
    () => {
      look()
      return seen.size >= children
    },
    90_000,
  )
  const watch = setInterval(look, LOOK_MS)
  await act(bench.pid!)
    .then(() => exited)
    .finally(() => clearInterval(watch))
  const alive = () => [...seen].filter(([pid, began]) => beganAt(pid) === began).map(([pid]) => pid)
  await comesAbout(() => alive().length === 0, GONE_MS)
  return { left: alive(), output, exitCode: bench.exitCode }
}

for (const children of [1, 2, 3]) {
  test(`[BM2][CH2][B3] SIGINT ends all ${children} children that run, and what the case would start next`, async () => {
    const { left, output, exitCode } = await cutOff(children, async (pid) => void process.kill(pid, 'SIGINT'))
    assert.deepEqual(left, [])
    assert.equal(exitCode, 1)
    assert.equal((JSON.parse(output) as { error: string }).error, 'interrupted by SIGINT')
  })

  test(`[IN1][CH4] a second signal soon after leaves none of ${children} children`, async () => {
    const { left } = await cutOff(children, async (pid) => {
      process.kill(pid, 'SIGINT')
      await sleep(SOON_MS)
      // It may have ended already.
      if (beganAt(pid) !== undefined) process.kill(pid, 'SIGINT')
    })
    assert.deepEqual(left, [])
  })
}

test('[CH4] a bench that is killed leaves no child', async () => {
  const { left } = await cutOff(3, async (pid) => void process.kill(pid, 'SIGKILL'))
  assert.deepEqual(left, [])
})
