// The event loop's lag: quiet, blocked, and blocked across the end of a window.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { LagMeter } from './lag.ts'

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

function block(ms: number): void {
  const until = performance.now() + ms
  while (performance.now() < until);
}

/** Looks at each reading until one satisfies, for at most three seconds; gives the largest maximum seen. */
async function highestLag(meter: LagMeter, atLeastMs: number): Promise<number> {
  let highestMs = 0
  for (let tries = 0; tries < 60 && highestMs < atLeastMs; tries++) {
    await sleep(50)
    highestMs = Math.max(highestMs, meter.last?.maxMs ?? 0)
  }
  return highestMs
}

test('[LA1] before the first window the lag is unknown, then it is small at rest and large after a block', async () => {
  const meter = new LagMeter()
  assert.equal(typeof meter.last, 'undefined')
  assert.equal(meter.isStuck({ thresholdMs: 0, windows: 1 }), false)
  await sleep(1_150)
  const rest = meter.last
  assert.ok(rest !== undefined && rest.p99Ms >= 0 && rest.p99Ms < 150, `at rest ${rest?.p99Ms} ms`)
  block(400)
  assert.ok((await highestLag(meter, 300)) >= 300)
  meter.close()
  meter.close()
})

test('[LA2] a block right at the end of a window is seen', async () => {
  const meter = new LagMeter()
  // The meter's timer runs first in this turn of the loop; the block follows at once, over the reset.
  await new Promise<void>((resolve) => {
    setTimeout(() => {
      block(400)
      resolve()
    }, 500)
  })
  assert.ok((await highestLag(meter, 300)) >= 300)
  meter.close()
})

test('isStuck asks for every one of the last windows', async () => {
  const meter = new LagMeter()
  await sleep(30) // the first delay is counted from the first sample on
  for (let n = 0; n < 6; n++) {
    block(550)
    await sleep(0)
  }
  assert.equal(meter.isStuck({ thresholdMs: 300, windows: 3 }), true)
  assert.equal(meter.isStuck({ thresholdMs: 300, windows: 20 }), false)
  assert.equal(meter.isStuck({ thresholdMs: 60_000, windows: 1 }), false)
  meter.close()
})
