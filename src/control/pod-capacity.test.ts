// What a pod learns of its core, sample by sample, in virtual time.
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import {
  CALLS_MIN,
  type Capacity,
  type CapacitySample,
  CORE_SHARE,
  learnCapacity,
  SAMPLES_MIN,
  UNKNOWN_CAPACITY,
} from './pod-capacity.ts'
import { LATE_P99_MS } from './pod-lag.ts'

type Second = Partial<Omit<CapacitySample, 'atMs'>>

/** A second with 100 calls of 0.5 % of the core each: 140 fit. */
const BUSY: Required<Second> = { calls: 100, utilization: 0.5, p99Ms: 10 }
const times = (count: number, second: Second = {}): Second[] => Array.from({ length: count }, () => second)

class Learner {
  capacity: Capacity = UNKNOWN_CAPACITY
  #atMs = 0

  /** Takes samples one second apart; each fit that was published, without repetitions. */
  take(...seconds: Second[]): (number | undefined)[] {
    const fits: (number | undefined)[] = []
    for (const second of seconds) {
      this.#atMs += 1_000
      this.capacity = learnCapacity(this.capacity, { atMs: this.#atMs, ...BUSY, ...second })
      if (fits.length === 0 || fits.at(-1) !== this.capacity.callsFit) fits.push(this.capacity.callsFit)
    }
    return fits
  }
}

suite('the learnt capacity of a pod', () => {
  test('[CAP1] [CAP2] what fits is the share of the core over the cost of one call', () => {
    const pod = new Learner()
    pod.take(...times(SAMPLES_MIN))
    assert.equal(pod.capacity.costShare, 0.005)
    assert.equal(pod.capacity.callsFit, Math.floor(CORE_SHARE / 0.005))
  })

  test('[CAP3] too few samples, too few calls or a loop that rests say nothing', () => {
    assert.deepEqual(new Learner().take(...times(SAMPLES_MIN - 1)), [undefined])
    assert.deepEqual(new Learner().take(...times(60, { calls: CALLS_MIN - 1, utilization: 1 })), [undefined])
    assert.deepEqual(new Learner().take(...times(60, { utilization: CORE_SHARE / 2 - 0.01 })), [undefined])
  })

  test('[CAP3] what was learnt is forgotten when there have been few calls for the window', () => {
    const pod = new Learner()
    pod.take(...times(30))
    assert.notEqual(pod.capacity.callsFit, undefined)
    pod.take(...times(30, { calls: 3, utilization: 0.02 }))
    assert.deepEqual(pod.capacity, UNKNOWN_CAPACITY)
  })

  test('[CAP4] a pod that lags for more than half of the window takes no more calls than it has', () => {
    const pod = new Learner()
    pod.take(...times(30))
    pod.take(...times(14, { p99Ms: LATE_P99_MS + 1 }))
    assert.equal(pod.capacity.callsFit, 140)
    pod.take(...times(8, { p99Ms: LATE_P99_MS + 1 }))
    assert.equal(pod.capacity.callsFit, 100)
  })

  test('[CAP5] one collection changes nothing, nor does a neighbour for seconds', () => {
    const pod = new Learner()
    pod.take(...times(30))
    assert.deepEqual(pod.take({ utilization: 1, p99Ms: 400 }, ...times(30)), [140])
    assert.deepEqual(pod.take(...times(10, { utilization: 1, p99Ms: 80 }), ...times(30)), [140])
  })

  test('[CAP5] a start under load is known with its tenth sample, and one bad second in it is not heard', () => {
    const seconds = times(SAMPLES_MIN)
    seconds[4] = { utilization: 1, p99Ms: 300 }
    assert.deepEqual(new Learner().take(...seconds), [undefined, 140])
  })

  test('[CAP6] noise around one cost moves what fits once at most', () => {
    const pod = new Learner()
    const noise = [0.47, 0.52, 0.5, 0.54, 0.49, 0.46, 0.51, 0.53, 0.48, 0.5, 0.55]
    pod.take(...times(30, {}).map((_, i) => ({ utilization: noise[i % noise.length]! })))
    const moves = pod.take(...times(300).map((_, i) => ({ utilization: noise[(i * 7) % noise.length]! })))
    assert.ok(moves.length <= 2, `it moved: ${moves.join(', ')}`)
  })

  test('[CAP6] a cost that is not certain keeps what was known, and says nothing new', () => {
    const wild = times(40).map((_, i) => ({ utilization: i % 2 === 0 ? 0.05 : 1 }))
    assert.deepEqual(new Learner().take(...wild), [undefined])
    const pod = new Learner()
    pod.take(...times(30))
    pod.take(...wild)
    assert.equal(pod.capacity.callsFit, 140)
  })

  test('[CAP2] calls that cost twice as much halve what fits, within the window', () => {
    const pod = new Learner()
    pod.take(...times(30))
    pod.take(...times(30, { utilization: 1 }))
    assert.equal(pod.capacity.callsFit, 70)
  })

  test('[P80] [CAP7] a pod at what fits is saturated, until it has some calls less', () => {
    const pod = new Learner()
    const at = (calls: number): boolean => {
      pod.take(...times(30, { calls, utilization: calls * 0.005 }))
      return pod.capacity.isSaturated
    }
    assert.deepEqual([120, 140, 139, 134, 133, 139, 140].map(at), [false, true, true, true, false, false, true])
  })
})
