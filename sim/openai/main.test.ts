import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { readFlags } from './flags.ts'
import { connect } from './test/client.ts'

const main = fileURLToPath(new URL('./main.ts', import.meta.url))

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  test(`the process says where it listens, serves, and ends cleanly on ${signal}`, async () => {
    const sim = spawn(process.execPath, [main, '--port', '0'], { stdio: ['ignore', 'pipe', 'pipe'] })
    let errors = ''
    sim.stderr.on('data', (text: Buffer) => {
      errors += text.toString()
    })
    const [line] = (await once(createInterface(sim.stdout), 'line')) as [string]
    const client = await connect((JSON.parse(line) as { url: string }).url)
    await client.next('session.created')
    sim.kill(signal)
    assert.equal((await client.closed).code, 1001)
    const [code] = (await once(sim, 'exit')) as [number | null]
    assert.deepEqual([code, errors], [0, ''])
  })
}

test('all wrong flags are reported at once', () => {
  const flags = readFlags([
    '--speed',
    'x',
    '--chunk-law',
    '3',
    '--faults',
    '{"slowMs":"a"}',
    '--script',
    'nowhere.json',
    '--ceiling-mode',
    'maybe',
  ])
  assert.equal(flags.kind === 'wrong' && flags.problems.length, 5)
  assert.equal(readFlags(['--nonsense']).kind, 'wrong')
  assert.equal(readFlags(['--help']).kind, 'help')
})

test('flags become options', () => {
  const flags = readFlags([
    '--speed',
    '5',
    '--chunk-law',
    '20,20,20,160',
    '--probes',
    '--bad-key',
    'a',
    '--bad-key',
    'b',
    '--faults',
    '{"lateDeltas":1}',
  ])
  assert.ok(flags.kind === 'start')
  assert.deepEqual(flags.options.chunkLaw, { firstMs: 20, minMs: 20, maxMs: 20, alignBytes: 160 })
  assert.deepEqual(
    [flags.options.speed, flags.options.probes, flags.options.badKeys, flags.options.faults],
    [5, true, ['a', 'b'], { lateDeltas: 1 }],
  )
})
