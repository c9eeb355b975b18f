import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { until } from '../src/kit/testing/patience.ts'
import { exitCodeOf, runChild } from './child.ts'

const folder = mkdtempSync(join(tmpdir(), 'voiceplane-child-'))
after(() => rmSync(folder, { recursive: true }))

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

test('a child that ends by itself gives its lines and its exit code', async () => {
  const { end, lines } = await runChild('sh', ['-c', 'echo out; echo err >&2; exit 7'], {
    maxMs: 5_000,
    output: 'keep',
  })
  assert.deepEqual(end, { kind: 'exited', code: 7 })
  assert.deepEqual(lines.toSorted(), ['err', 'out'])
  assert.equal(exitCodeOf(end), 7)
})

test('[K1][K2] at the time bound the child and its own children are ended', async () => {
  const script = 'sleep 60 & echo $!; wait'
  const { end, lines } = await runChild('sh', ['-c', script], { maxMs: 300, output: 'keep' })
  assert.deepEqual(end, { kind: 'timed-out', afterMs: 300 })
  assert.equal(exitCodeOf(end), 1)
  await until('it is gone', () => !isAlive(Number(lines[0])))
})

test('[K3] an interrupt sent to the tool ends its children and gives 128 + 2', async () => {
  const tool = join(folder, 'tool.ts')
  const module = pathToFileURL(join(import.meta.dirname, 'child.ts')).href
  writeFileSync(
    tool,
    `import { exitCodeOf, runChild } from '${module}'
const { end } = await runChild('sh', ['-c', 'echo $$; sleep 60'], { maxMs: 30000, output: 'show' })
process.exitCode = exitCodeOf(end)`,
  )
  const child = spawn(process.execPath, [tool], { stdio: ['ignore', 'pipe', 'inherit'] })
  const [pid] = await once(child.stdout, 'data')
  child.kill('SIGINT')
  const [code] = await once(child, 'exit')
  assert.equal(code, 130)
  await until('it is gone', () => !isAlive(Number(String(pid))))
})
