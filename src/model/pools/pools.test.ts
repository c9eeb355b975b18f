// The pools of a pod, in told time, without sockets.
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { CUT_EVERY_MS } from '../../control/connect-throttle.ts'
import type { CellLimits, CellUsage, LeaseStore, PodEntry } from '../../control/ports.ts'
import { Wheel } from '../../kit/wheel.ts'
import { Bench, FAILED, FULL, go, lose, turn, WRONG_KEY } from '../../pod/testing/pools-bench.ts'
import { NEWS_MS } from './pools.ts'

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
      told.push(cell.pools.map(({ callsMax, ceiling }) => ceiling ?? callsMax))
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

  test('[MP2] [MP4] a learnt ceiling is told at once and once, again when the store was away, and again when it rises', async () => {
    const bench = new Bench({ a: {}, b: {} })
    const { told, store, later } = watch(bench, { usage: usage([{ pool: 'a', inUse: 40, limit: 100 }]) })
    await later(NEWS_MS + 20)
    assert.deepEqual(told, [], 'what is configured is no news')
    store.isThere = false
    bench.fail('a', 3, FULL)
    assert.equal(bench.pools.ceilingOf('a'), 35)
    assert.deepEqual(told, [[35, 100]], 'at once')
    await later(0)
    store.isThere = true
    for (let i = 0; i < 3; i += 1) await later(NEWS_MS + 20)
    assert.deepEqual(told, [
      [35, 100],
      [35, 100],
    ])
    await later(CUT_EVERY_MS)
    assert.deepEqual(told.at(-1), [36, 100])
  })

  test('[MP4] a ceiling is told again while it is lowered, here or by another pod’s word, and not otherwise', async () => {
    const bench = new Bench({ a: {} })
    const cell = usage([{ pool: 'a', inUse: 40, limit: 100 }])
    const { told, later } = watch(bench, { usage: cell })
    for (let i = 0; i < 5; i += 1) await later(NEWS_MS + 20)
    assert.deepEqual(told, [])
    cell.pools[0]!.limit = 30
    for (let i = 0; i < 4; i += 1) await later(NEWS_MS + 20)
    assert.deepEqual(told, [[100], [100]], 'so that the other word ends when nobody tells it any more')
    cell.pools[0]!.limit = 100
    bench.fail('a', 1, FULL)
    for (let i = 0; i < 4; i += 1) await later(NEWS_MS + 20)
    assert.deepEqual(told.slice(2), [[35], [35]])
  })

  test('[MP2] what is in use is not taken for less than the own links show, many pods alike', () => {
    const bench = new Bench({ a: {} })
    watch(bench, { pods: 3 })
    for (let i = 0; i < 19; i += 1) bench.pools.open('a', { isResume: true, isForeign: false })!.accepted()
    bench.fail('a', 1, FULL)
    assert.equal(bench.pools.ceilingOf('a'), 53)
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
