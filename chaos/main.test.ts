import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { test } from 'node:test'
import { readArguments } from './arguments.ts'
import { CASES } from './cases/cases.ts'

async function chaos(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const child = spawn(process.execPath, [new URL('./main.ts', import.meta.url).pathname, ...args])
  let out = ''
  let err = ''
  child.stdout.on('data', (text) => (out += text))
  child.stderr.on('data', (text) => (err += text))
  const [code] = await once(child, 'close')
  return { code: Number(code), out, err }
}

test('--help names every run with its faults', async () => {
  const { code, out } = await chaos('--help')
  assert.equal(code, 0)
  for (const [name, { faults }] of Object.entries(CASES)) assert.ok(out.includes(name) && out.includes(faults), name)
})

test('[CM1][CA1] wrong arguments are reported together with exit code 2, and nothing is started', async () => {
  const { code, out, err } = await chaos('kill-pods', '--calls', '0', '--pods', 'x', '--what', '3')
  assert.deepEqual([code, out], [2, ''])
  for (const part of ['"kill-pods" is not a run', '--calls "0" must be', '--pods "x" must be', '--what is unknown']) {
    assert.ok(err.includes(part), `${part} in ${err}`)
  }
})

test('[CA1] what is asked is read with its bounds', () => {
  const names = Object.keys(CASES)
  const options = { seed: 7, calls: 40, pods: 3, rounds: 2, seconds: 5, keep: 'logs' }
  const args = [
    'kill-pod',
    '--seed',
    '7',
    '--calls',
    '40',
    '--pods',
    '3',
    '--rounds',
    '2',
    '--seconds',
    '5',
    '--keep',
    'logs',
  ]
  assert.deepEqual(readArguments(args, names), { kind: 'run', name: 'kill-pod', options })
  assert.equal(readArguments(['kill-pod', '--pods', '1'], names).kind, 'wrong')
  assert.equal(readArguments(['kill-pod', 'drain'], names).kind, 'wrong')
  assert.equal(readArguments([], names).kind, 'help')
})
