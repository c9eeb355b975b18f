// The throttle of connects and the learnt ceiling, in virtual time with a seeded chance.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { FakeClock } from '../kit/clock.ts'
import {
  ASKS_FREE,
  CEILING_MIN,
  ConnectThrottle,
  CUT_EVERY_MS,
  POOLS_MAX,
  RISE_EVERY_MS,
  shedProbability,
  WINDOW_MS,
} from './connect-throttle.ts'

const POOL = { pool: 'a', callsMax: 1_000, weight: 1, connectsPerSecond: 30 }

/** A chance that repeats. */
function seeded(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}

/** Offers `offeredPerSecond` to a pool that accepts `acceptedPerSecond`, for `seconds`; counts the last half. */
function offer(plan: { offeredPerSecond: number; acceptedPerSecond: number; seconds: number }): {
  sent: number
  accepted: number
} {
  const clock = new FakeClock(1)
  const throttle = new ConnectThrottle({ clock, random: seeded(7), pools: [POOL] })
  let sent = 0
  let accepted = 0
  for (let second = 0; second < plan.seconds; second += 1) {
    let room = plan.acceptedPerSecond
    const counts = second >= plan.seconds / 2 ? 1 : 0
    for (let i = 0; i < plan.offeredPerSecond; i += 1) {
      if (throttle.ask('a', { isResume: false }).kind === 'shed') continue
      sent += counts
      if (room > 0) {
        room -= 1
        accepted += counts
        throttle.accepted('a')
      } else throttle.refused('a', { kind: 'other' })
    }
    clock.advance(1_000)
  }
  return { sent, accepted }
}

test('[TH1] nothing is shed while the pool accepts what is asked', () => {
  assert.deepEqual(offer({ offeredPerSecond: 10, acceptedPerSecond: 10, seconds: 60 }), { sent: 300, accepted: 300 })
  assert.equal(shedProbability({ asks: 0, accepts: 0 }), 0)
})

test('[TH1] a pool that accepts a quarter of what is offered is sent less than twice what it accepts', () => {
  const { sent, accepted } = offer({ offeredPerSecond: 40, acceptedPerSecond: 10, seconds: 120 })
  assert.ok(accepted >= 0.85 * 600, `${accepted} of 600 accepted`)
  assert.ok(sent < 2 * accepted, `${sent} sent for ${accepted}`)
})

test('[TH1] a dead pool is still tried now and then, and forgotten after the window', () => {
  const { sent } = offer({ offeredPerSecond: 40, acceptedPerSecond: 0, seconds: 120 })
  assert.ok(sent > 0 && sent < 20, `${sent} sent`)
  const clock = new FakeClock(1)
  const throttle = new ConnectThrottle({ clock, random: () => 0, pools: [POOL] })
  for (let i = 0; i < 10; i += 1) throttle.ask('a', { isResume: true })
  assert.equal(throttle.ask('a', { isResume: false }).kind, 'shed')
  clock.advance(WINDOW_MS)
  assert.equal(throttle.ask('a', { isResume: false }).kind, 'go')
})

test('[TH2] a resume is never shed, and counts', () => {
  const throttle = new ConnectThrottle({ clock: new FakeClock(1), random: () => 0, pools: [POOL] })
  for (let i = 0; i < 100; i += 1) assert.equal(throttle.ask('a', { isResume: true }).kind, 'go')
  assert.equal(throttle.ask('a', { isResume: false }).kind, 'shed')
})

test('[TH2] the first few asks are all sent: a lone call that is refused is not shed', () => {
  const throttle = new ConnectThrottle({ clock: new FakeClock(1), random: () => 0, pools: [POOL] })
  const kinds = Array.from({ length: ASKS_FREE + 1 }, () => throttle.ask('a', { isResume: false }).kind)
  assert.deepEqual(kinds, [...new Array(ASKS_FREE).fill('go'), 'shed'])
})

test('[TH1] asks that were given up before an answer leave nothing behind', () => {
  const throttle = new ConnectThrottle({ clock: new FakeClock(1), random: () => 0, pools: [POOL] })
  for (let i = 0; i < 5 * ASKS_FREE; i += 1) {
    assert.equal(throttle.ask('a', { isResume: false }).kind, 'go')
    throttle.withdrawn('a')
  }
})

test('[LIMIT-3][TH3] a burst of refusals for the limit lowers the ceiling once, to less than what was in use', () => {
  const clock = new FakeClock(1)
  const throttle = new ConnectThrottle({ clock, pools: [POOL] })
  for (let i = 0; i < 50; i += 1) throttle.refused('a', { kind: 'limit', inUse: 500 })
  assert.equal(throttle.ceilingOf('a'), 450)
  clock.advance(CUT_EVERY_MS)
  throttle.refused('a', { kind: 'limit', inUse: 460 })
  assert.equal(throttle.ceilingOf('a'), 405)
  throttle.refused('a', { kind: 'other' })
  assert.equal(throttle.ceilingOf('a'), 405)
})

test('[LIMIT-3][TH4] the ceiling rises step by step to the configured one and no further', () => {
  const clock = new FakeClock(1)
  const throttle = new ConnectThrottle({ clock, pools: [POOL] })
  throttle.refused('a', { kind: 'limit', inUse: 1_000 })
  assert.equal(throttle.ceilingOf('a'), 900)
  clock.advance(RISE_EVERY_MS - 1)
  assert.equal(throttle.ceilingOf('a'), 900)
  clock.advance(1)
  assert.equal(throttle.ceilingOf('a'), 910)
  clock.advance(100 * RISE_EVERY_MS)
  assert.equal(throttle.ceilingOf('a'), 1_000)
})

test('[TH4] a ceiling that is configured anew is taken, a learnt lower one stays', () => {
  const throttle = new ConnectThrottle({ clock: new FakeClock(1), pools: [POOL] })
  throttle.configure([{ ...POOL, callsMax: 2_000 }])
  assert.equal(throttle.ceilingOf('a'), 2_000)
  throttle.refused('a', { kind: 'limit', inUse: 100 })
  throttle.configure([{ ...POOL, callsMax: 500 }])
  assert.equal(throttle.ceilingOf('a'), 90)
})

test('[TH3] [TH4] by any refusals the ceiling stays between its bounds and only time raises it', () => {
  const refusals = fc.array(fc.record({ inUse: fc.nat(3_000), afterMs: fc.nat(20_000) }), { maxLength: 50 })
  const property = fc.property(fc.integer({ min: 1, max: 2_000 }), refusals, (callsMax, all) => {
    const clock = new FakeClock(1)
    const throttle = new ConnectThrottle({ clock, pools: [{ ...POOL, callsMax }] })
    for (const { inUse, afterMs } of all) {
      clock.advance(afterMs)
      const before = throttle.ceilingOf('a')
      throttle.refused('a', { kind: 'limit', inUse })
      const after = throttle.ceilingOf('a')
      assert.ok(after <= before && after >= CEILING_MIN && after <= callsMax, `${before} to ${after}`)
    }
  })
  fc.assert(property, { numRuns: 200 })
})

test('[TH5] a pool that nobody configured has no ceiling until it refuses; at the bound it is forgotten, a configured one is not', () => {
  const throttle = new ConnectThrottle({ clock: new FakeClock(1), pools: [POOL] })
  assert.equal(throttle.ceilingOf('b'), Number.POSITIVE_INFINITY)
  throttle.refused('b', { kind: 'limit', inUse: 20 })
  assert.equal(throttle.ceilingOf('b'), 18)
  throttle.refused('a', { kind: 'limit', inUse: 100 })
  for (let i = 0; i < POOLS_MAX; i += 1) throttle.ask(`other-${i}`, { isResume: true })
  assert.equal(throttle.ceilingOf('b'), Number.POSITIVE_INFINITY)
  assert.equal(throttle.ceilingOf('a'), 90)
})
