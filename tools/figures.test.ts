import assert from 'node:assert/strict'
import { test } from 'node:test'
import { figuresTable } from './figures.ts'

const MACHINE = { cpu: 'AMD EPYC', cores: 2, memoryMb: 7936, node: 'v24.21.0', platform: 'linux-x64' }
const CHECKS = [
  { name: 'added latency p99', value: 7, limit: '≤ 10 ms', pass: true },
  { name: 'frames | lost', value: null, limit: '≤ 0', pass: false },
]
const bench = { bench: 'latency', startedAt: '2026-12-01T10:00:00Z', machine: MACHINE, samples: { frames: 900 } }

test('[FG1] [FG3] the last JSON line becomes a table with its command, machine and samples', () => {
  const table = figuresTable(`> bench\n${JSON.stringify({ ...bench, checks: CHECKS, pass: false })}\n`)
  assert.equal(
    table,
    [
      '`npm run bench -- latency`, 2026-12-01T10:00:00Z; AMD EPYC, 2 cores, 7936 MB, linux-x64, Node v24.21.0. Samples: frames 900.',
      '',
      '| figure | wanted | measured |',
      '| --- | --- | --- |',
      '| added latency p99 | ≤ 10 ms | 7 |',
      '| frames \\| lost | ≤ 0 | no figure: **not reached** |',
    ].join('\n'),
  )
})

test('[FG2] a run that broke, and a file that is no run, have no table', () => {
  assert.throws(() => figuresTable(JSON.stringify({ ...bench, error: 'no port' })), /the run broke: no port/)
  assert.throws(() => figuresTable('pass\n'), /no JSON/)
  assert.throws(() => figuresTable('{"calls":1}'), /not that of a bench/)
})

test('[FG3] a chaos run names its own command', () => {
  const run = { run: 'kill-pod', seed: 1, pass: true, machine: MACHINE, checks: CHECKS.slice(0, 1) }
  assert.match(figuresTable(JSON.stringify(run)), /^`npm run chaos -- kill-pod`; AMD EPYC/)
})
