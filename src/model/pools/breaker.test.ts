// The breaker of a pool, in told time.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Breaker, FAILURES, FINAL_OPEN_MS, OPEN_MS, PROBE_MS, WINDOW_MS } from './breaker.ts'

/** A breaker that has just opened at `nowMs`. */
function opened(nowMs: number): Breaker {
  const breaker = new Breaker()
  for (let i = 0; i < FAILURES; i += 1) breaker.failed(nowMs, 'other')
  return breaker
}

test('[BK1] it opens at the bound of failures within the window, not by those that are older', () => {
  const breaker = new Breaker()
  for (let i = 0; i < FAILURES - 1; i += 1) breaker.failed(0, 'other')
  breaker.failed(WINDOW_MS, 'other')
  assert.ok(breaker.isWell(WINDOW_MS))
  assert.ok(!opened(0).isWell(OPEN_MS - 1))
})

test('[BK1] one failure that no other try can mend opens it at once and for longer', () => {
  const breaker = new Breaker()
  breaker.failed(0, 'final')
  assert.deepEqual([breaker.isWell(OPEN_MS), breaker.isWell(FINAL_OPEN_MS)], [false, true])
})

test('[BK2] then one dial is let through; its failure opens it anew, its silence lets another one through later', () => {
  const breaker = opened(0)
  assert.ok(breaker.isWell(OPEN_MS))
  breaker.dialled(OPEN_MS)
  assert.ok(!breaker.isWell(OPEN_MS + 1))
  assert.ok(breaker.isWell(OPEN_MS + PROBE_MS))
  breaker.failed(OPEN_MS + 100, 'other')
  assert.deepEqual([breaker.isWell(2 * OPEN_MS + 99), breaker.isWell(2 * OPEN_MS + 100)], [false, true])
})

test('[BK2] dials that were made in spite of it do not keep it open for ever', () => {
  const breaker = opened(0)
  for (let ms = 1; ms < OPEN_MS; ms += 500) breaker.dialled(ms)
  assert.ok(breaker.isWell(OPEN_MS))
})

test('[BK3] a success closes it and forgets what was', () => {
  const breaker = opened(0)
  breaker.succeeded()
  for (let i = 0; i < FAILURES - 1; i += 1) breaker.failed(1, 'other')
  assert.ok(breaker.isWell(1))
})

test('[BK4] one dial that hung opens it at once, and for no longer than many failures do', () => {
  const breaker = new Breaker()
  breaker.failed(0, 'hung')
  assert.deepEqual([breaker.isWell(0), breaker.isWell(OPEN_MS - 1), breaker.isWell(OPEN_MS)], [false, false, true])
})
