// The timing wheel, by a clock that moves only when told, and once by the machine's own.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { FakeClock, systemClock } from './clock.ts'
import { Wheel } from './wheel.ts'

function makeWheel(startMs = 3): { clock: FakeClock; wheel: Wheel; errors: unknown[] } {
  const clock = new FakeClock(startMs)
  const errors: unknown[] = []
  return { clock, errors, wheel: new Wheel({ clock, manual: true, onError: (error) => errors.push(error) }) }
}

test('[TW1] a timer fires once, not early, at most one tick after its time', () => {
  const { clock, wheel } = makeWheel()
  let fired = 0
  wheel.after(25, () => {
    fired += 1
  })
  for (let ms = 3; ms < 28; ms += 1) {
    wheel.advance()
    assert.equal(fired, 0, `at ${ms} ms`)
    clock.advance(1)
  }
  clock.advance(9)
  wheel.advance()
  assert.equal(fired, 1)
  clock.advance(10_000)
  wheel.advance()
  assert.equal(fired, 1)
})

test('[TW1] any timers, cancelled or not, under any steps of the clock, fire never early and within one step and tick', () => {
  const timers = fc.array(fc.record({ delayMs: fc.nat(12_000), cancelAtMs: fc.option(fc.nat(12_000)) }), {
    maxLength: 40,
  })
  const steps = fc.array(fc.integer({ min: 1, max: 900 }), { minLength: 1, maxLength: 60 })
  const property = fc.property(timers, steps, fc.nat(100), (plan, stepsMs, startMs) => {
    const { clock, wheel } = makeWheel(startMs)
    const firedAt = new Map<number, number>()
    const cancelled = new Set<number>()
    const handles = plan.map(({ delayMs }, i) =>
      wheel.after(delayMs, () => {
        assert.ok(!firedAt.has(i) && !cancelled.has(i))
        firedAt.set(i, clock.monotonicMs() - startMs)
      }),
    )
    for (const stepMs of stepsMs) {
      clock.advance(stepMs)
      wheel.advance()
      const nowMs = clock.monotonicMs() - startMs
      for (const [i, { delayMs, cancelAtMs }] of plan.entries()) {
        const at = firedAt.get(i)
        if (at !== undefined) assert.ok(at >= delayMs, `${at} < ${delayMs}`)
        else if (!cancelled.has(i)) assert.ok(nowMs < delayMs + 2 * wheel.tickMs, `${delayMs} did not fire by ${nowMs}`)
        if (at === undefined && cancelAtMs !== null && cancelAtMs <= nowMs) {
          cancelled.add(i)
          wheel.cancel(handles[i])
        }
      }
      assert.equal(wheel.size, plan.length - firedAt.size - cancelled.size)
    }
  })
  fc.assert(property, { numRuns: 150 })
})

test('[TW1] a callback may add timers, also for at once, without being run again in the same round', () => {
  const { clock, wheel } = makeWheel(0)
  let runs = 0
  const again = (): void => {
    runs += 1
    wheel.after(0, again)
  }
  wheel.after(0, again)
  for (let i = 1; i <= 5; i += 1) {
    clock.advance(10)
    wheel.advance()
    assert.equal(runs, i)
  }
  clock.advance(60_000)
  wheel.advance()
  assert.equal(runs, 6)
  assert.equal(wheel.size, 1)
})

test('[TW1] a callback may cancel another that is due in the same round', () => {
  const { clock, wheel } = makeWheel(0)
  const ran: string[] = []
  const pair: { second?: ReturnType<Wheel['after']> } = {}
  wheel.after(10, () => {
    ran.push('first')
    wheel.cancel(pair.second)
  })
  pair.second = wheel.after(10, () => ran.push('second'))
  clock.advance(30)
  wheel.advance()
  assert.deepEqual(ran, ['first'])
  assert.equal(wheel.size, 0)
})

test('[TW1] cancelling twice, after firing, or nothing at all is harmless', () => {
  const { clock, wheel } = makeWheel(0)
  const timer = wheel.after(10, () => {})
  wheel.cancel(timer)
  wheel.cancel(timer)
  wheel.cancel(undefined)
  const fired = wheel.after(10, () => {})
  clock.advance(20)
  wheel.advance()
  wheel.cancel(fired)
  assert.equal(wheel.size, 0)
})

test('[TW3] a callback that throws is reported; the others of its tick and later ones run', () => {
  const { clock, wheel, errors } = makeWheel(0)
  const ran: number[] = []
  wheel.after(10, () => {
    throw new Error('mine')
  })
  wheel.after(10, () => ran.push(1))
  wheel.after(30, () => ran.push(2))
  clock.advance(50)
  wheel.advance()
  assert.deepEqual(ran, [1, 2])
  assert.match(String(errors[0]), /mine/)
})

test('[TW2] a wheel that is empty has no interval, and starts again with its next timer', async () => {
  const wheel = new Wheel({ clock: systemClock, onError: (error) => assert.fail(String(error)), tickMs: 2 })
  const open = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length
  const before = open()
  for (let round = 0; round < 2; round += 1) {
    const startMs = systemClock.monotonicMs()
    await new Promise<void>((resolve) => {
      wheel.after(5, resolve)
      assert.equal(open(), before + 1)
    })
    assert.ok(systemClock.monotonicMs() - startMs >= 5)
    assert.equal(open(), before)
  }
  wheel.cancel(wheel.after(1_000, assert.fail))
  assert.equal(open(), before)
})

test('[TW2] a closed wheel drops its timers, and a late cancel does not upset its count', () => {
  const { clock, wheel } = makeWheel(0)
  const timer = wheel.after(10, assert.fail)
  wheel.close()
  wheel.cancel(timer)
  clock.advance(100)
  wheel.advance()
  assert.equal(wheel.size, 0)
  let fired = 0
  wheel.after(10, () => {
    fired += 1
  })
  clock.advance(20)
  wheel.advance()
  assert.equal(fired, 1)
})
