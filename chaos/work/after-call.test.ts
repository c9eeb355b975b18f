// A small sample of the run: two workers die while they hold items, and every call has its effect and its record all the same.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { runChild } from '../../tools/child.ts'

const MAIN = new URL('../main.ts', import.meta.url).pathname
const MAX_MS = 110_000

test('[AL2][AL4] two workers killed at work: thirty calls have one effect and one record each, and nothing is left to do', async () => {
  const args = ['after-call', '--calls', '30', '--rounds', '2', '--pods', '2']
  const { end, lines } = await runChild(process.execPath, [MAIN, ...args], { maxMs: MAX_MS, output: 'keep' })
  const said = lines.join('\n')
  const line = lines.find((one) => one.startsWith('{'))
  assert.ok(line !== undefined, said)
  const { pass, samples, checks } = JSON.parse(line) as {
    pass: boolean
    samples: Record<string, number>
    checks: { name: string; value: number }[]
  }
  const value = (name: string): number | undefined => checks.find((check) => check.name === name)?.value
  assert.deepEqual([samples.calls, samples.workerKills], [30, 2], said)
  assert.deepEqual([value('effects at the receiver, one key each'), value('jobs lost')], [30, 0], said)
  assert.ok(pass, said)
  assert.deepEqual(end, { kind: 'exited', code: 0 }, said)
})
