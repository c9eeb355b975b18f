import assert from 'node:assert/strict'
import { test } from 'node:test'
import { arrivalsMs, pickWeighted, seededRandom } from './arrivals.ts'

test('constant arrivals are evenly spaced from zero', () => {
  assert.deepEqual(arrivalsMs(4, 20, 'constant', seededRandom(1)), [0, 50, 100, 150])
})

test('[A2] the same seed gives the same Poisson arrivals, another seed others', () => {
  const one = arrivalsMs(50, 20, 'poisson', seededRandom(7))
  assert.deepEqual(one, arrivalsMs(50, 20, 'poisson', seededRandom(7)))
  assert.notDeepEqual(one, arrivalsMs(50, 20, 'poisson', seededRandom(8)))
})

test('Poisson arrivals keep the rate and have gaps as irregular as they must be', () => {
  const times = arrivalsMs(20_000, 20, 'poisson', seededRandom(3))
  const gaps = times.slice(1).map((t, i) => t - times[i]!)
  const mean = gaps.reduce((a, b) => a + b) / gaps.length
  const deviation = Math.sqrt(gaps.reduce((sum, gap) => sum + (gap - mean) ** 2, 0) / gaps.length)
  assert.ok(Math.abs(mean - 50) < 2, `mean gap ${mean}`)
  assert.ok(Math.abs(deviation - mean) < 3, `an exponential law has deviation = mean, here ${deviation}`)
  assert.ok(gaps.every((gap) => gap >= 0))
})

test('weights are kept within two per cent over many picks', () => {
  const random = seededRandom(11)
  const counts = { talk: 0, silence: 0 }
  for (let i = 0; i < 20_000; i++) {
    counts[
      pickWeighted(
        [
          { name: 'talk', weight: 3 },
          { name: 'silence', weight: 1 },
        ],
        random,
      )
    ] += 1
  }
  assert.ok(Math.abs(counts.talk / 20_000 - 0.75) < 0.02)
})
