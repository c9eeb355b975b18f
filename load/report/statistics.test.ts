import assert from 'node:assert/strict'
import { test } from 'node:test'
import { distribution, histogram, median, percentileOfSorted, slope, summarise } from './statistics.ts'

test('[S1] percentiles are samples by nearest rank, with the sample size', () => {
  const samples = Array.from({ length: 100 }, (_, i) => 100 - i)
  const figures = summarise(samples)
  assert.deepEqual(figures, { n: 100, min: 1, mean: 50.5, p50: 50, p95: 95, p99: 99, max: 100 })
  assert.equal(samples[0], 100, 'the caller’s list is left as it was')
  assert.equal(percentileOfSorted([1, 2, 3, 4], 0.5), 2)
  assert.equal(percentileOfSorted([7], 0.99), 7)
})

test('[S1] numbers are sorted as numbers, negative ones too', () => {
  const figures = summarise([10, 9, -2, 100])
  assert.equal(figures.p50, 9)
  assert.equal(figures.min, -2)
})

test('[S2] an empty set has no figures', () => {
  assert.deepEqual(summarise([]), { n: 0, min: null, mean: null, p50: null, p95: null, p99: null, max: null })
  assert.ok(Number.isNaN(median([])))
})

test('the median of an even count is the mean of the middle two', () => {
  assert.equal(median([4, 1, 3, 2]), 2.5)
  assert.equal(median([10, 9, 100]), 10)
})

test('a distribution ends at the largest sample with share one, in at most the asked points', () => {
  const { x, share } = distribution([5, 1, 3, 2, 4], 200)
  assert.deepEqual(x, [1, 2, 3, 4, 5])
  assert.equal(share.at(-1), 1)
  assert.equal(distribution(Array.from({ length: 5_000 }, (_, i) => i)).x.length, 200)
})

test('a histogram keeps every sample, the ones beyond its end in the last bin', () => {
  const { counts, edges } = histogram([0, 0.5, 1, 9.99, 50, -1], 10, 10)
  assert.equal(
    counts.reduce((a, b) => a + b),
    6,
  )
  assert.equal(counts[0], 3)
  assert.equal(counts[9], 2)
  assert.equal(edges.length, 10)
})

test('the slope of a line is its slope', () => {
  assert.equal(
    slope([
      { x: 0, y: 1 },
      { x: 1, y: 3 },
      { x: 2, y: 5 },
    ]),
    2,
  )
  assert.ok(Number.isNaN(slope([{ x: 1, y: 1 }])))
})
