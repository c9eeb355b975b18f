import assert from 'node:assert/strict'
import { test } from 'node:test'
import { countProcesses, planCalls } from './conductor.ts'
import { parseOptions } from './options.ts'
import { formatProgress } from './progress.ts'

function optionsOf(...args: string[]) {
  const parsed = parseOptions(args, {})
  assert.ok(parsed.kind === 'run')
  return parsed.options
}

test('processes grow with calls, stop at the cores, and are a multiple of the URLs', () => {
  const count = (calls: number, urls: number, cores: number) =>
    countProcesses({ processes: 'auto', calls, urls: Array.from({ length: urls }, () => 'u') }, cores)
  assert.equal(count(10, 1, 8), 1)
  assert.equal(count(1_000, 1, 8), 4)
  assert.equal(count(1_000, 1, 2), 2)
  assert.equal(count(10, 2, 8), 2)
  assert.equal(count(1_000, 3, 2), 3)
  assert.equal(countProcesses({ processes: 5, calls: 1, urls: ['u'] }, 1), 5)
})

test('a plan is the same for the same seed, with numbers from the first on', () => {
  const options = optionsOf('--calls', '40', '--scenario', 'mixed', '--arrivals', 'poisson', '--seed', '4')
  const plan = planCalls(options, 1_000)
  assert.deepEqual(plan, planCalls(options, 1_000))
  assert.deepEqual(
    plan.map((call) => call.number),
    Array.from({ length: 40 }, (_, i) => 1_000 + i),
  )
  assert.ok(new Set(plan.map((call) => call.scenario)).size > 1)
  assert.ok(new Set(plan.map((call) => call.seed)).size > 35)
})

test('a progress line names every count; the bar is as wide as its frame whatever the counts', () => {
  const state = {
    offered: 20,
    live: 12,
    talking: 11,
    done: 8,
    failed: 1,
    dropped: 2,
    refused: 0,
    latenessMs: 3.25,
    total: 20,
    elapsedS: 4.4,
  }
  const line = formatProgress(state, false)
  for (const part of ['offered 20/20', 'live 12', 'done 8', 'failed 1', 'dropped 2', 'late p99 3.3 ms'])
    assert.ok(line.includes(part), line)
  for (const done of [0, 7, 20]) {
    const bar = /▕(.*)▏/.exec(formatProgress({ ...state, done, live: 20 }, true))![1]!
    assert.equal(bar.length, 24)
  }
})
