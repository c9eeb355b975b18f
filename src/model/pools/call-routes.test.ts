// The way of a call among the pools, in told time, without sockets.
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { ASKS_FREE, WINDOW_MS } from '../../control/connect-throttle.ts'
import { LEASE_TIMES } from '../../control/ports.ts'
import type { CallSid } from '../../kit/ids.ts'
import { silentLog } from '../../kit/log.ts'
import { Bench, FAILED, FULL, go, lose, RESUME, turn, WRONG_KEY } from '../../pod/testing/pools-bench.ts'
import { makeMemoryLeases } from '../../store/leases/memory.ts'
import { FAILURES, OPEN_MS } from './breaker.ts'
import { MOVE_RETRY_MS } from './call-routes.ts'

suite('the way of a call', () => {
  test('it begins in the pool that was granted; one that is not known is as the first', () => {
    const { pools } = new Bench({ a: {}, b: {} })
    assert.deepEqual(
      ['b', 'a', 'z', undefined].map((pool) => go(pools.routesOf(pool, silentLog)).url.pathname),
      ['/b', '/a', '/a', '/a'],
    )
  })

  test('[CR1] two failed dials in a row lead elsewhere, one does not; a dial that came through forgets', () => {
    const routes = new Bench({ a: {}, b: {} }).routes('a')
    assert.equal(lose(routes, FAILED)[0], 'a')
    const second = go(routes)
    second.accepted()
    assert.deepEqual([second.pool, second.lost(FAILED)], ['a', FAILED])
    second.released()
    assert.deepEqual([lose(routes, FAILED)[0], lose(routes, FAILED)[0], go(routes).pool], ['a', 'a', 'b'])
  })

  test('[CR1] a refusal for the limit leads elsewhere at once, and its Retry-After does not hold the call', () => {
    const routes = new Bench({ a: {}, b: {} }).routes('a')
    assert.deepEqual(lose(routes, FULL), ['a', { code: 'rate_limit_exceeded', fatal: false }])
    assert.equal(go(routes).pool, 'b')
    const alone = new Bench({ a: {} }).routes('a')
    assert.deepEqual(lose(alone, FULL)[1], { code: 'rate_limit_exceeded', fatal: false, retryAfterMs: 5_000 })
  })

  test('[CR1] an open breaker leads elsewhere before the call has failed itself, until it is tried again', () => {
    const bench = new Bench({ a: {}, b: {} })
    bench.fail('a', FAILURES)
    assert.equal(go(bench.routes('a')).pool, 'b')
    bench.clock.advance(OPEN_MS)
    const probe = go(bench.routes('a'))
    assert.deepEqual([probe.pool, go(bench.routes('a')).pool], ['a', 'b'])
    probe.accepted()
    assert.equal(go(bench.routes('a')).pool, 'a')
  })

  test('[BK4] [CR1] one dial that hung leads elsewhere at once, also other calls of the pod; alone it is dialled again', () => {
    const hung = { code: 'MODEL_STALLED', fatal: false }
    const bench = new Bench({ a: {}, b: {} })
    const routes = bench.routes('a')
    assert.equal(lose(routes, hung)[0], 'a')
    assert.deepEqual([go(routes).pool, go(bench.routes('a')).pool], ['b', 'b'])
    const alone = new Bench({ a: {} }).routes('a')
    assert.deepEqual([lose(alone, hung)[0], go(alone).pool], ['a', 'a'])
  })

  test('[CR2] of the others an untried one comes first, then the one with the most room for its weight', () => {
    const bench = new Bench({ a: {}, b: { weight: 1 }, c: { weight: 3 }, d: { weight: 2 } })
    const routes = bench.routes('a')
    const pools = [FULL, FULL, FULL, FULL].map((loss) => lose(routes, loss)[0])
    assert.deepEqual(pools, ['a', 'c', 'd', 'b'])
  })

  test('[CR3] it stays where it was served, also when its first pool is well again, and leaves only for a failure', () => {
    const routes = new Bench({ a: {}, b: {} }).routes('a')
    lose(routes, FULL)
    for (let i = 0; i < 3; i += 1) {
      const route = go(routes)
      route.accepted()
      assert.equal(route.pool, 'b')
      route.released()
    }
    assert.deepEqual([lose(routes, FAILED)[0], lose(routes, FAILED)[0], go(routes).pool], ['b', 'b', 'a'])
  })

  test('[CR4] a wrong key is fatal only when every pool has refused for good', () => {
    const routes = new Bench({ a: {}, b: {} }).routes('a')
    assert.deepEqual(lose(routes, WRONG_KEY), ['a', { code: 'invalid_api_key', fatal: false }])
    assert.deepEqual(lose(routes, FAILED), ['b', FAILED])
    assert.deepEqual(lose(routes, WRONG_KEY), ['b', { code: 'invalid_api_key', fatal: true }])
    assert.equal(routes.next(RESUME).kind, 'shed')
  })

  test('[CR6] a call that was shed twice in a row is dialled at its third try, and no earlier', () => {
    const bench = new Bench({ a: {} })
    bench.fail('a', ASKS_FREE * 10)
    const routes = bench.routes('a')
    const kinds = Array.from({ length: 6 }, () => {
      const way = routes.next({ isResume: false })
      if (way.kind === 'go') {
        way.route.lost(FAILED)
        way.route.released()
      }
      return way.kind
    })
    assert.deepEqual(kinds, ['shed', 'shed', 'go', 'shed', 'shed', 'go'])
    assert.equal(bench.routes('a').next({ isResume: false }).kind, 'shed', 'another call counts for itself')
  })

  test('[CR5] without another pool with room it is dialled in its own, whatever that has done', () => {
    const bench = new Bench({ a: {}, b: { callsMax: 1 } })
    bench.pools.open('b', { isResume: true, isForeign: false })
    bench.fail('a', 2 * FAILURES)
    const routes = bench.routes('a')
    assert.deepEqual([lose(routes, FULL)[0], lose(routes, FAILED)[0], go(routes).pool], ['a', 'a', 'a'])
  })

  test('[TH1] [TH2] new calls of a pool that refuses much go to another one, or are told when to come back; a resume is sent', () => {
    const one = new Bench({ a: {} })
    one.fail('a', ASKS_FREE)
    const way = one.routes('a').next({ isResume: false })
    assert.deepEqual(way, { kind: 'shed', loss: { code: 'MODEL_SHED', fatal: false, retryAfterMs: 500 } })
    assert.equal(go(one.routes('a')).pool, 'a')
    const two = new Bench({ a: {}, b: {} })
    two.fail('a', ASKS_FREE)
    assert.equal(go(two.routes('a'), { isResume: false }).pool, 'b')
    two.clock.advance(WINDOW_MS)
    assert.equal(go(two.routes('a'), { isResume: false }).pool, 'a')
  })

  test('[CR7] another pool is dialled only after the lease has gone there, which is asked for when the dial is lost', async () => {
    const asked: string[] = []
    let answer!: (word: 'moved' | 'full' | 'unsure') => void
    const move = (pool: string) => {
      asked.push(pool)
      return new Promise<'moved' | 'full' | 'unsure'>((resolve) => {
        answer = resolve
      })
    }
    const { pools } = new Bench({ a: {}, b: {} })
    const routes = pools.routesOf('a', silentLog, move)
    lose(routes, FULL)
    assert.deepEqual(asked, ['b'])
    assert.deepEqual(routes.next(RESUME), {
      kind: 'shed',
      loss: { code: 'MODEL_SHED', fatal: false, retryAfterMs: MOVE_RETRY_MS },
    })
    answer('moved')
    await turn()
    assert.equal(lose(routes, FAILED)[0], 'b')
    assert.equal(go(routes).pool, 'b')
    assert.deepEqual(asked, ['b'], 'its lease is there')
  })

  test('[CR7] a pool that is full for the store is not dialled; where the store is unsure the own share decides', async () => {
    const { pools } = new Bench({ a: {}, b: {} })
    const routes = pools.routesOf('a', silentLog, async () => 'full')
    lose(routes, FULL)
    await turn()
    assert.equal(lose(routes, FULL)[0], 'a')
    const unsure = pools.routesOf('a', silentLog, async () => 'unsure')
    lose(unsure, FULL)
    await turn()
    assert.equal(go(unsure).pool, 'b')
  })

  test('[CR7] pods that know nothing of each other send no more calls to a pool than its ceiling', async () => {
    const specs = { a: {}, b: { callsMax: 2 } }
    const pods = [new Bench(specs), new Bench(specs)]
    const leases = makeMemoryLeases({ times: { ...LEASE_TIMES, recoveringMs: 0 }, nowMs: () => 0 })
    await leases.configure(pods[0]!.pools.cell)
    const dialled: string[] = []
    for (let n = 0; n < 6; n += 1) {
      const held = { callSid: `CA${n}` as CallSid, tenant: 'default', epoch: 1, pool: 'a' }
      await leases.reassert({ pod: `p${n % 2}`, leases: [held] })
      const routes = pods[n % 2]!.pools.routesOf('a', silentLog, async (pool) => {
        const { kind } = await leases.movePool({ ...held, pool })
        return kind === 'moved' || kind === 'full' ? kind : 'unsure'
      })
      lose(routes, FULL)
      await turn()
      dialled.push(go(routes).pool)
    }
    assert.deepEqual(dialled, ['b', 'b', 'a', 'a', 'a', 'a'])
    const { pools } = await leases.usage()
    assert.deepEqual(
      pools.map(({ pool, inUse }) => [pool, inUse]),
      [
        ['a', 4],
        ['b', 2],
      ],
    )
  })
})
