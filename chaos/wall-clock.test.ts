// F15 on a real Redis: a pod whose wall clock is hours off is a pod like any other to the lease store, since no pod sends a time.
import assert from 'node:assert/strict'
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { after, before, suite, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { LeaseStore } from '../src/control/ports.ts'
import type { CallSid } from '../src/kit/ids.ts'
import { until } from '../src/kit/testing/patience.ts'
import { openRedisLeases } from '../src/store/leases/redis.ts'
import { type RedisServer, startRedis } from '../tools/servers/redis.ts'
import { type HolderOrder, SKEWED_TIMES } from './agents/skewed-order.ts'

const HOUR_MS = 3_600_000
/** Long enough that a lease or a pod that is not renewed would be lost. */
const HELD_MS = SKEWED_TIMES.hardMs + 1_000
const REAP_EVERY_MS = 100

type Told = { kind: string; answer: Record<string, unknown> | number }

function startHolder(order: HolderOrder, skewMs: number) {
  const module = new URL('./agents/clock-skew.ts', import.meta.url).href
  const told: Told[] = []
  const child = fork(fileURLToPath(new URL('./agents/skewed-holder.ts', import.meta.url)), [JSON.stringify(order)], {
    execArgv: [`--import=${module}`],
    env: { ...process.env, CLOCK_SKEW_MS: String(skewMs) },
  })
  child.on('message', (message: Told) => told.push(message))
  const exited = once(child, 'exit')
  const answers = (kind: string) => told.filter((one) => one.kind === kind).map(({ answer }) => answer)
  return { child, exited, answers }
}

/** Reaps with a right clock for `forMs`; the calls that were judged silent or lost. */
async function reapFor(store: LeaseStore, forMs: number): Promise<CallSid[]> {
  const lost: CallSid[] = []
  for (const endMs = performance.now() + forMs; performance.now() < endMs; await sleep(REAP_EVERY_MS)) {
    const { noShows, suspected, dropped } = await store.reap(10)
    lost.push(...noShows, ...suspected, ...dropped)
  }
  return lost
}

suite('a pod whose wall clock is hours off', { concurrency: true }, () => {
  let redis: RedisServer
  before(async () => {
    redis = await startRedis()
  })
  after(() => redis.stop())

  for (const [name, skewMs] of [
    ['ahead', 6 * HOUR_MS],
    ['behind', -6 * HOUR_MS],
  ] as const) {
    test(`[CP3] six hours ${name}, it admits, renews and resumes, and is lost only when it ends`, async () => {
      const order: HolderOrder = { url: redis.url, cell: `clock-${name}`, pod: 'pod-off', callSid: 'CA1' as CallSid }
      const store = await openRedisLeases({ url: order.url, cell: order.cell, times: SKEWED_TIMES })
      await store.configure({
        pools: [{ pool: 'main', callsMax: 10, weight: 1, connectsPerSecond: 1_000 }],
        tenants: [],
        otherTenants: { guaranteed: 0, burst: 10, weight: 1 },
        reserve: { inbound: 0, outbound: 0 },
        queueMax: 10,
      })
      const holder = startHolder(order, skewMs)
      try {
        await until('it renews', () => holder.answers('renewed').length > 0 || holder.child.exitCode !== null)
        const offMs = Number(holder.answers('wall')[0]) - Date.now() - skewMs
        assert.ok(Math.abs(offMs) < 10_000, `its clock is off by ${offMs} ms beside the skew`)
        assert.equal((holder.answers('acquired')[0] as { kind: string }).kind, 'granted')
        assert.equal((holder.answers('activated')[0] as { kind: string }).kind, 'activated')
        assert.deepEqual(await reapFor(store, HELD_MS), [])
        for (const renewed of holder.answers('renewed')) assert.deepEqual(renewed, { unknown: [], fenced: [] })
        assert.equal((await store.look([order.callSid]))[0]?.state, 'active')
        const [pod] = await store.pods()
        assert.ok(pod !== undefined && pod.ageMs >= 0 && pod.ageMs < SKEWED_TIMES.ttlMs, `${pod?.ageMs} ms`)
        holder.child.send('move')
        await holder.exited
        assert.equal((holder.answers('moved')[0] as { kind: string }).kind, 'transferred')
        assert.equal((holder.answers('resumed')[0] as { kind: string }).kind, 'activated')
        assert.deepEqual(await reapFor(store, HELD_MS), [order.callSid, order.callSid], 'suspected, then dropped')
        assert.equal((await store.usage()).inUse, 0)
      } finally {
        holder.child.kill('SIGKILL')
        await store.close()
      }
    })
  }
})
