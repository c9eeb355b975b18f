import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { until } from '../src/kit/testing/patience.ts'
import { isRunning, runJudge } from './judging-run.ts'

/** Starts a grandchild that leads a group of its own and inherits the output, and tells its pid. */
const GRANDCHILD = `
  const { spawn } = require('node:child_process')
  const one = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { detached: true, stdio: 'inherit' })
  require('node:fs').writeFileSync('pid', String(one.pid))
  process.on('SIGTERM', () => {})
`

suite('a run that judges', () => {
  let folder: string
  const judge = (program: string, maxMs: number) =>
    runJudge(['-e', program], { cwd: folder, maxMs, logFile: join(folder, 'log'), endMs: 200 })

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'voiceplane-judging-'))
  })
  after(() => rm(folder, { recursive: true, force: true }))

  test('[JR1] is green with exit code 0 and red with any other, and its lines are known', async () => {
    assert.equal((await judge('', 20_000)).kind, 'green')
    const red = await judge("console.error('✖ it fails'); process.exit(3)", 20_000)
    assert.equal(red.kind, 'red')
    assert.ok(red.lines.includes('✖ it fails'))
  })

  test('[JR1][JR2][JR3] one that does not end is hung at its bound, and a grandchild outside its group ends with it', async () => {
    const { kind, ms } = await judge(`${GRANDCHILD}; setInterval(() => {}, 1000)`, 2_500)
    assert.equal(kind, 'hung')
    assert.ok(ms >= 2_500 && ms < 6_000, `${ms} ms`)
    const pid = Number(await readFile(join(folder, 'pid'), 'utf8'))
    await until('the grandchild has ended', () => !isRunning(pid))
  })

  test('[JR2] a run that ends in order when its bound is over is hung all the same', async () => {
    const program = "process.on('SIGTERM', () => process.exit(0)); setInterval(() => {}, 1000)"
    assert.equal((await judge(program, 1_500)).kind, 'hung')
  })
})
