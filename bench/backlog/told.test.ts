import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { judge, linesOf } from './told.ts'

const line = (reference: string, atMs: number, isWhole = true) => ({ reference, atMs, isWhole })

test('[TD1] the first time counts, others do not, and what is missing, twice or not whole is counted by itself', () => {
  const asked = [line('A', 1_000), line('B', 1_500), line('HANG1', 1_600)]
  const told = [line('A', 2_000), line('A', 9_000), line('FAIL1', 9_500), line('B', 3_000, false)]
  const drain = judge(['A', 'B', 'C'], asked, told)
  assert.deepEqual(drain, {
    perSecond: 1,
    tookS: 2,
    p50S: 2,
    p95S: 2,
    missing: 1,
    twice: 1,
    unwhole: 1,
    modelRequests: 3,
  })
})

test('a log is read up to its last whole line, and an absent one is empty', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'voiceplane-told-'))
  const file = join(folder, 'log.jsonl')
  assert.deepEqual(await linesOf(file), [])
  await writeFile(file, `${JSON.stringify(line('A', 1))}\n{"reference":"B","at`)
  assert.deepEqual(await linesOf(file), [line('A', 1)])
  await rm(folder, { recursive: true })
})
