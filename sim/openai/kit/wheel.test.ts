import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Wheel } from './wheel.ts'

const fail = (error: unknown): void => assert.fail(String(error))

const fired = (wheel: Wheel, delayMs: number) =>
  new Promise<number>((resolve) => {
    const startMs = performance.now()
    wheel.after(delayMs, () => resolve(performance.now() - startMs))
  })

test('[W1] timers fire in order, none early', async () => {
  const wheel = new Wheel(fail)
  const tookMs = await Promise.all([fired(wheel, 31), fired(wheel, 0), fired(wheel, 12)])
  for (const [i, least] of [31, 0, 12].entries()) {
    assert.ok(tookMs[i]! >= least - 0.01 && tookMs[i]! < least + 60, `${tookMs[i]} for ${least}`)
  }
})

test('[W2] cancelled timers leave nothing, and an idle wheel no interval', () => {
  const wheel = new Wheel(fail)
  const intervals = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length
  const before = intervals()
  const waiting = [wheel.after(10, () => fail('fired')), wheel.after(3_600_000, () => fail('fired'))]
  assert.equal(intervals(), before + 1)
  for (const timer of [...waiting, ...waiting, undefined]) wheel.cancel(timer)
  assert.equal(wheel.size, 0)
  assert.equal(intervals(), before)
})

test('[W3] a callback that throws is reported and the next one runs', async () => {
  const errors: unknown[] = []
  const wheel = new Wheel((error) => errors.push(error))
  wheel.after(1, () => {
    throw new Error('broken')
  })
  await fired(wheel, 2)
  assert.equal(errors.length, 1)
})
