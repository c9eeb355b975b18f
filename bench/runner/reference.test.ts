import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Bench } from './bench.ts'
import { atLeastScaled, besideReference, REFERENCE_ECHOES_PER_SECOND, speedOf } from './reference.ts'

test('[O17] a machine of half the speed owes half the rate; a faster one owes no more than was wanted', () => {
  const half = speedOf([REFERENCE_ECHOES_PER_SECOND * 0.6, REFERENCE_ECHOES_PER_SECOND * 0.4])
  assert.equal(half.speed, 0.5)
  assert.equal(atLeastScaled('calls', 500, 1_000, half).pass, true)
  assert.equal(atLeastScaled('calls', 499, 1_000, half).pass, false)
  assert.equal(atLeastScaled('calls', null, 1_000, half).pass, false)
  const fast = speedOf([REFERENCE_ECHOES_PER_SECOND * 3])
  assert.equal(fast.speed, 1)
  assert.equal(atLeastScaled('calls', 999, 1_000, fast).pass, false)
})

test('[O17] the reference is measured before and after, around what is measured', async () => {
  const bench = await Bench.open('reference-test', {})
  try {
    const { value, machine } = await besideReference(bench, async () => 'measured')
    assert.equal(value, 'measured')
    assert.ok(machine.echoesPerSecond > 0 && machine.speed > 0 && machine.speed <= 1, JSON.stringify(machine))
  } finally {
    await bench.close()
  }
})
