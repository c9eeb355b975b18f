import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { joinBargeIns, readClears, readModelWitness } from './witness.ts'

test('[WJ2] a clear answers the last speech_started before it, each used once', () => {
  const started = [
    { call: 1, t: 1_000_000 },
    { call: 1, t: 2_000_000 },
    { call: 1, t: 9_000_000 },
    { call: 2, t: 2_000_000 },
  ]
  const clears = [
    { call: 1, t: 2_004_000 },
    { call: 1, t: 2_500_000 },
    { call: 1, t: 9_002_500 },
  ]
  assert.deepEqual(joinBargeIns(started, clears), [4, 2.5])
})

test('[WJ1] calls are not mixed, and order in the logs does not matter', () => {
  const started = [
    { call: 5, t: 300 },
    { call: 4, t: 100 },
  ]
  const clears = [
    { call: 4, t: 2_100 },
    { call: 5, t: 3_300 },
    { call: 6, t: 10 },
  ]
  assert.deepEqual(joinBargeIns(started, clears).sort(), [2, 3])
})

test('[WJ2] a clear long after the speech is not an answer to it', () => {
  assert.deepEqual(joinBargeIns([{ call: 1, t: 0 }], [{ call: 1, t: 5_000_001 }]), [])
})

test('[WJ1][WJ3] only this run’s calls are read, a broken last line is skipped and counted', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'witness-'))
  try {
    const model = join(folder, 'model.jsonl')
    await writeFile(
      model,
      [
        '{"t":1,"event":"probe","call":7,"carrier_to_model_us":900}',
        '{"t":11,"event":"probe","call":7,"carrier_to_model_us":1500}',
        '{"t":12,"event":"probe","call":8,"carrier_to_model_us":9000}',
        '{"t":13,"event":"frames_lost","call":7,"frames":2}',
        '{"t":14,"event":"speech_started","call":7,"session":"s"}',
        '{"t":15,"event":"probe","call":7,"laten',
      ].join('\n'),
    )
    const sight = await readModelWitness([model], new Set([7]), 10)
    assert.deepEqual(sight.latenciesMs, [1.5])
    assert.deepEqual(sight.speechStarted, [{ call: 7, t: 14 }])
    assert.equal(sight.framesLost, 2)
    assert.equal(sight.brokenLines, 1)
    const carrier = join(folder, 'carrier.jsonl')
    await writeFile(carrier, '{"t":20,"event":"clear-received","call":7}\n{"t":21,"event":"mark-played","call":7}\n')
    assert.deepEqual(await readClears([carrier]), [{ call: 7, t: 20 }])
  } finally {
    await rm(folder, { recursive: true })
  }
})
