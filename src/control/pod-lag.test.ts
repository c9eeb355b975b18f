// What lag does to a pod's placement, sample by sample.
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import fc from 'fast-check'
import { CALM_MS, type LagView, NO_LAG, penaltyOf, withSample } from './pod-lag.ts'

/** Samples one second apart, as p99 or [p99, utilisation]. */
function after(samples: readonly (number | [number, number])[], from: LagView = NO_LAG): LagView {
  let view = from
  let atMs = view.lastAtMs ?? 0
  for (const sample of samples) {
    const [p99Ms, utilization] = typeof sample === 'number' ? [sample, 0.3] : sample
    atMs += 1_000
    view = withSample(view, { atMs, p99Ms, utilization })
  }
  return view
}

suite('the lag of a pod', () => {
  test('[PG2] the penalty rises at once by the lag', () => {
    assert.deepEqual([0, 19.9, 20, 50, 50.1, 100, 101].map(penaltyOf), [0, 0, 5, 5, 10, 10, 20])
    assert.equal(after([30]).penalty, 5)
    assert.equal(after([30, 200]).penalty, 20)
  })

  test('[PG2] a lower penalty comes after five seconds of lower samples, and is the highest of those', () => {
    assert.equal(after([60, 0, 0, 0, 0]).penalty, 10)
    assert.equal(after([60, 0, 0, 0, 0, 0]).penalty, 0)
    assert.equal(after([60, 0, 30, 0, 0, 0]).penalty, 5)
    assert.equal(after([60, 0, 0, 0, 0, 60, 0, 0, 0, 0]).penalty, 10)
  })

  test('[POD-14][PG1] [PG3] one bad second moves nothing; two take the pod out of placement', () => {
    assert.equal(after([60, 0, 60, 0]).isLagging, false)
    assert.equal(after([60, 60]).isLagging, true)
    assert.equal(
      after([
        [5, 0.9],
        [5, 0.9],
      ]).isLagging,
      true,
    )
    assert.equal(
      after([
        [60, 0.1],
        [5, 0.9],
      ]).isLagging,
      true,
    )
    assert.equal(after([50, 50, 50]).isLagging, false)
  })

  test('[PG3] it comes back after five calm seconds in a row', () => {
    assert.equal(after([60, 60, 0, 0, 0, 0]).isLagging, true)
    assert.equal(after([60, 60, 0, 0, 0, 0, 0]).isLagging, false)
    assert.equal(after([60, 60, 0, 0, 0, 0, 60, 0, 0, 0, 0]).isLagging, true)
  })

  test('[PG4] five seconds over 100 ms ask for a move with each sample, until one is lower', () => {
    assert.equal(after([150, 150, 150, 150]).isMoveDue, false)
    const view = after([150, 150, 150, 150, 150])
    assert.equal(view.isMoveDue, true)
    assert.equal(after([150], view).isMoveDue, true)
    assert.equal(after([150, 80], view).isMoveDue, false)
  })

  test('[O17] [PG6] three seconds over 200 ms make it full, five below make room again', () => {
    assert.equal(after([300, 300]).isFull, false)
    assert.equal(after([300, 300, 150, 300]).isFull, false)
    const full = after([300, 201, 900])
    assert.equal(full.isFull, true)
    assert.equal(after([0, 0, 0, 0], full).isFull, true)
    assert.equal(after([0, 0, 300, 0, 0, 0, 0], full).isFull, true)
    assert.equal(after([200, 150, 0, 0, 0], full).isFull, false)
  })

  test('[PG1] a hole in the samples begins a row anew', () => {
    const view = withSample(after([60]), { atMs: 60_000, p99Ms: 60, utilization: 0 })
    assert.equal(view.isLagging, false)
  })

  test('[PG2] [PG3] by any samples a calm spell clears all, and the penalty is never under that of the last sample', () => {
    const sample = fc.tuple(fc.integer({ min: 0, max: 300 }), fc.double({ min: 0, max: 1, noNaN: true }))
    const property = fc.property(fc.array(sample, { maxLength: 60 }), (samples) => {
      const view = after(samples)
      const last = samples.at(-1)
      if (last !== undefined) assert.ok(view.penalty >= penaltyOf(last[0]))
      const calm = after(new Array(CALM_MS / 1_000).fill(0), view)
      assert.deepEqual([calm.penalty, calm.isLagging, calm.isMoveDue], [0, false, false])
    })
    fc.assert(property, { numRuns: 300 })
  })
})
