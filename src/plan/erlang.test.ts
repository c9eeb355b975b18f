import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { erlangB, erlangC, meanWaitS, SERVERS_MAX } from './erlang.ts'

const near = (actual: number, wanted: number, share: number): void =>
  assert.ok(Math.abs(actual - wanted) <= share * wanted, `${actual} is not ${wanted}`)

/** The formula as books write it, for sizes at which its powers and factorials are still exact enough. */
function bookB(servers: number, erlangs: number): number {
  let term = 1
  let sum = 1
  for (let n = 1; n <= servers; n += 1) {
    term *= erlangs / n
    sum += term
  }
  return term / sum
}

test('[EL1] blocking is what the tables say', () => {
  near(erlangB(1, 1), 0.5, 1e-12)
  near(erlangB(2, 1), 0.2, 1e-12)
  near(erlangB(10, 5), 0.018385, 1e-4)
  // Traffic that so many lines carry at a blocking of 1 % and 0.1 %.
  near(erlangB(10, 4.461), 0.01, 2e-3)
  near(erlangB(20, 12.03), 0.01, 5e-3)
  near(erlangB(100, 84.06), 0.01, 2e-3)
  near(erlangB(40, 24.44), 0.001, 0.02)
})

test('[EL2] waiting is what the tables say', () => {
  near(erlangC(1, 0.5), 0.5, 1e-12)
  near(erlangC(2, 1), 1 / 3, 1e-12)
  near(erlangC(10, 5), 0.0361, 2e-3)
})

test('[EL2] the waits of 1 000 places at 95, 98 and 99 % are those of the design', () => {
  near(erlangC(1_000, 950), 0.07, 0.1)
  near(erlangC(1_000, 980), 0.41, 0.03)
  near(erlangC(1_000, 990), 0.66, 0.02)
  near(meanWaitS(1_000, 950, 180)!, 3.6, 1e-12)
})

test('[EL2] at a load of all servers or more everybody waits, and there is no mean', () => {
  assert.equal(erlangC(10, 10), 1)
  assert.equal(erlangC(10, 11), 1)
  assert.equal(meanWaitS(10, 10, 180), undefined)
})

test('[EL1] a million servers neither overflow nor lose the answer', () => {
  const full = erlangB(1_000_000, 1_000_000)
  // For a load of all servers blocking tends to the square root of 2 ÷ (pi · n).
  near(full, Math.sqrt(2 / (Math.PI * 1_000_000)), 0.002)
  assert.equal(erlangB(1_000_000, 1_000), 0)
  near(erlangB(1_000, 1_000_000), 0.999, 1e-5)
})

test('[EL3] no load blocks nobody, no server blocks everybody, and nonsense is refused', () => {
  assert.equal(erlangB(5, 0), 0)
  assert.equal(erlangC(5, 0), 0)
  assert.equal(erlangB(0, 3), 1)
  assert.equal(erlangC(0, 3), 1)
  for (const [servers, erlangs] of [
    [-1, 1],
    [1.5, 1],
    [SERVERS_MAX + 1, 1],
    [1, -1],
    [1, Number.NaN],
    [1, Infinity],
  ] as const)
    assert.throws(() => erlangB(servers, erlangs), RangeError, `${servers}, ${erlangs}`)
})

test('[EL1] the recursion is the formula, falls with servers and rises with load', () => {
  const servers = fc.integer({ min: 1, max: 120 })
  const erlangs = fc.double({ min: 0.01, max: 100, noNaN: true })
  fc.assert(
    fc.property(servers, erlangs, (n, a) => {
      const blocked = erlangB(n, a)
      const book = bookB(n, a)
      // Near the smallest double neither is exact any more; EL1 says zero there.
      if (book < 1e-290) {
        assert.ok(blocked <= 1e-280)
        return
      }
      near(blocked, book, 1e-9)
      assert.ok(erlangB(n + 1, a) < blocked)
      assert.ok(erlangB(n, a * 1.01) > blocked)
      const waits = erlangC(n, a)
      assert.ok(waits >= blocked && waits <= 1)
    }),
    { numRuns: 200 },
  )
})
