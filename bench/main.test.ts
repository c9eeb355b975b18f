import assert from 'node:assert/strict'
import { type ExecFileException, execFile } from 'node:child_process'
import { test } from 'node:test'

type Run = { code: number; stdout: string; stderr: string }

function bench(...args: string[]): Promise<Run> {
  const main = new URL('./main.ts', import.meta.url).pathname
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [main, ...args],
      { timeout: 90_000 },
      (error: ExecFileException | null, stdout, stderr) => {
        resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr })
      },
    )
  })
}

test('help names every bench, with code 0', async () => {
  const { code, stdout } = await bench('--help')
  assert.equal(code, 0)
  for (const name of ['density', 'latency', 'thousand', 'leak']) assert.match(stdout, new RegExp(`^  ${name} `, 'm'))
})

test('[BM1] wrong arguments are listed together with code 2, and nothing is printed as a result', async () => {
  const { code, stdout, stderr } = await bench('speed', '--calls', '0', '--only', 'bare,magic', '--fast')
  assert.equal(code, 2)
  assert.equal(stdout, '')
  for (const word of ['"speed" is not a bench', '--calls "0" must be', '"magic" is unknown', '--fast is unknown']) {
    assert.ok(stderr.includes(word), `${word} in ${stderr}`)
  }
})

test('[BM1][B1] a bench prints one JSON line with its checks, and its code is that of `pass`', async () => {
  const { code, stdout, stderr } = await bench(
    'latency',
    '--only',
    'bare',
    '--calls',
    '2',
    '--seconds',
    '1',
    '--rounds',
    '1',
  )
  const lines = stdout.trimEnd().split('\n')
  assert.equal(lines.length, 1)
  const result = JSON.parse(lines[0]!)
  assert.equal(result.bench, 'latency')
  assert.equal(code, result.pass ? 0 : 1, stderr)
  assert.equal(result.figures.bare.rounds.length, 1, stderr)
  assert.equal(result.figures.bare.rounds[0].missed, 0, stderr)
  assert.equal(result.checks.length, 11)
  assert.equal(
    result.checks.every((check: { pass: boolean }) => check.pass),
    result.pass,
  )
  assert.ok(result.machine.cores >= 1)
})
