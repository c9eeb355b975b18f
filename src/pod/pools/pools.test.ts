// The pools of a pod and the way of a call among them, in told time, without sockets.
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { ASKS_FREE, CUT_EVERY_MS, WINDOW_MS } from '../../control/connect-throttle.ts'
import { type Limits, parseLimits } from '../../control/limits.ts'
import type { CellLimits, CellUsage, LeaseStore, PodEntry } from '../../control/ports.ts'
import { FakeClock } from '../../kit/clock.ts'
import { silentLog } from '../../kit/log.ts'
import { Wheel } from '../../kit/wheel.ts'
import type { LinkLoss, Route, Routes } from '../../model/route.ts'
import { Metrics } from '../../ops/metrics.ts'
import { FAILURES, OPEN_MS } from './breaker.ts'
import { ModelPools, NEWS_MS } from './pools.ts'

const FAILED: LinkLoss = { code: 'SOCKET_LOST', fatal: false }
const FULL: LinkLoss = { code: 'rate_limit_exceeded', fatal: false, isLimit: true, retryAfterMs: 5_000 }
const WRONG_KEY: LinkLoss = { code: 'invalid_api_key', fatal: true }
const RESUME = { isResume: true }
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

function limitsOf(pools: object[]): Limits {
  const result = parseLimits(JSON.stringify({ pools }))
  assert.ok(result.kind === 'ok', JSON.stringify(result))
  return result.limits
}

class Bench {
  readonly clock = new FakeClock(1)
  readonly metrics = new Metrics()
  readonly pools: ModelPools
  constructor(specs: Record<string, { callsMax?: number; weight?: number }>, random = () => 0) {
    const limits = limitsOf(Object.entries(specs).map(([pool, spec]) => ({ pool, callsMax: 100, ...spec })))
    const places = new Map(
      Object.keys(specs).map((pool) => [pool, { url: new URL(`ws://127.0.0.1/${pool}`), headers: { pool } }]),
    )
    this.pools = new ModelPools({ limits, places, clock: this.clock, log: silentLog, metrics: this.metrics, random })
  }
  routes(home?: string): Routes {
    return this.pools.routesOf(home, silentLog)
  }
  /** `ask`s of `pool` that are lost. */
  fail(pool: string, times: number, loss = FAILED): void {
    for (let i = 0; i < times; i += 1) {
      const link = this.pools.open(pool, { isResume: true, isForeign: false })!
      link.lost(loss)
      link.released()
    }
  }
}

function go(routes: Routes, dial = RESUME): Route & { pool: string } {
  const way = routes.next(dial)
  if (way.kind === 'shed') assert.fail('shed')
  return { ...way.route, pool: String(way.route.headers.pool) }
}

/** Dials, loses and says where it was and what the call was told. */
function lose(routes: Routes, loss: LinkLoss): [string, object] {
  const route = go(routes)
  const told = route.lost(loss)
  route.released()
  return [route.pool, told]
}

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
})

suite('the pools of a pod', () => {
  const usage = (pools: CellUsage['pools']): CellUsage => ({
    ...{ inUse: 0, reserved: 0, suspect: 0, limit: 0, queued: 0, refusedLastMinute: 0, isRecovering: false },
    pools,
  })
  const podsOf = (many: number): PodEntry[] =>
    Array.from({ length: many }, (_, i) => ({
      ...{ incarnation: 'i', address: '', state: 'ready' as const, callsMax: 10, penalty: 0, calls: 0, ageMs: 0 },
      pod: `p${i}`,
    }))
  /** Watches a store that answers as `isThere` says; returns what it was told. */
  function watch(bench: Bench, seen: { usage?: CellUsage; pods?: number } = {}) {
    const wheel = new Wheel({ clock: bench.clock, manual: true, onError: (error) => assert.fail(String(error)) })
    const told: number[][] = []
    const store = { isThere: true }
    const configure = async (cell: CellLimits): Promise<void> => {
      told.push(cell.pools.map(({ callsMax }) => callsMax))
      if (!store.isThere) throw new Error('away')
    }
    bench.pools.watch({
      leases: { configure } as Partial<LeaseStore> as LeaseStore,
      wheel,
      fleet: { usage: seen.usage },
      keeper: { pods: () => podsOf(seen.pods ?? 1) },
    })
    const later = async (ms: number): Promise<void> => {
      bench.clock.advance(ms)
      wheel.advance()
      await turn()
    }
    return { told, store, later, wheel }
  }

  test('[MP1] each dial is counted by its outcome, once, and a link until its end', async () => {
    const { pools, metrics } = new Bench({ a: {} })
    const open = () => pools.open('a', { isResume: true, isForeign: false })!
    for (const loss of [FAILED, FULL, WRONG_KEY]) assert.equal(open().lost(loss), 'dial')
    const served = open()
    served.accepted()
    served.accepted()
    assert.equal(served.lost(FAILED), 'serving')
    served.released()
    served.released()
    const idle = open()
    idle.released()
    const { Registry } = await import('prom-client')
    const registry = new Registry()
    metrics.register(registry, { activeCalls: () => 0, eventLoopLagMs: () => 0, poolCeilings: () => pools.ceilings() })
    const lines = (await registry.metrics())
      .split('\n')
      .filter((line) => line.startsWith('voice_model_connects_total{'))
    registry.clear()
    assert.deepEqual(lines.sort(), [
      'voice_model_connects_total{pool="a",outcome="accepted"} 1',
      'voice_model_connects_total{pool="a",outcome="failed"} 1',
      'voice_model_connects_total{pool="a",outcome="given-up"} 1',
      'voice_model_connects_total{pool="a",outcome="limit"} 1',
      'voice_model_connects_total{pool="a",outcome="refused"} 1',
    ])
  })

  test('[MP2] [MP4] a learnt ceiling is told once, again when the store was away, and again when it rises', async () => {
    const bench = new Bench({ a: {}, b: {} })
    const { told, store, later } = watch(bench, { usage: usage([{ pool: 'a', inUse: 40, limit: 100 }]) })
    await later(NEWS_MS + 20)
    assert.deepEqual(told, [], 'what is configured is no news')
    bench.fail('a', 3, FULL)
    assert.equal(bench.pools.ceilingOf('a'), 36)
    store.isThere = false
    await later(NEWS_MS + 20)
    store.isThere = true
    await later(NEWS_MS + 20)
    await later(NEWS_MS + 20)
    assert.deepEqual(told, [
      [36, 100],
      [36, 100],
    ])
    await later(CUT_EVERY_MS)
    assert.deepEqual(told.at(-1), [37, 100])
  })

  test('[MP2] what is in use is not taken for less than the own links show, many pods alike', () => {
    const bench = new Bench({ a: {} })
    watch(bench, { pods: 3 })
    for (let i = 0; i < 19; i += 1) bench.pools.open('a', { isResume: true, isForeign: false })!.accepted()
    bench.fail('a', 1, FULL)
    assert.equal(bench.pools.ceilingOf('a'), 54)
  })

  test('[MP3] room for others’ calls is this pod’s share of what is free, less what it has sent there', () => {
    const bench = new Bench({ a: {}, b: { callsMax: 10 } })
    watch(bench, { usage: usage([{ pool: 'b', inUse: 4, limit: 10 }]), pods: 2 })
    const sent: string[] = []
    for (let i = 0; i < 5; i += 1) {
      const routes = bench.routes('a')
      lose(routes, FULL)
      const route = go(routes)
      route.accepted()
      sent.push(route.pool)
    }
    assert.deepEqual(sent, ['b', 'b', 'b', 'a', 'a'])
  })
})
