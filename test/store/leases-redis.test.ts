// What only the store on Redis can meet: a server that is away, empty, frozen, or shared with another version.
import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import type { LeaseStore } from '../../src/control/ports.ts'
import { LEASE_TIMES } from '../../src/control/ports.ts'
import { VoiceError } from '../../src/kit/errors.ts'
import { startWatch } from '../../src/kit/testing/patience.ts'
import { openRedisLeases } from '../../src/store/leases/redis.ts'
import { type RedisServer, startRedis } from '../../tools/servers/redis.ts'
import { limitsOf, podOf, sid } from './lease-worlds.ts'

const COME_BACK_MAX_MS = 30_000
const ask = (store: LeaseStore, name: string | number) =>
  store.acquire({ callSid: sid(name), tenant: 'acme', class: 'inbound', queue: false })
const isAway = (error: unknown) => error instanceof VoiceError && error.code === 'STORE_UNAVAILABLE'

/** Asks until the store answers again. */
async function untilBack<T>(question: () => Promise<T>): Promise<T> {
  const endMs = performance.now() + COME_BACK_MAX_MS
  for (;;) {
    try {
      return await question()
    } catch (error) {
      if (!isAway(error) || performance.now() > endMs) throw error
      await sleep(20)
    }
  }
}

suite('a Redis that fails', () => {
  let redis: RedisServer
  let control: Redis
  let cells = 0
  const openStore = async (recoveringMs = 0) => {
    const cell = `fail-${++cells}`
    const store = await openRedisLeases({ url: redis.url, cell, times: { ...LEASE_TIMES, recoveringMs } })
    return { store, key: `voice:{${cell}}:` }
  }
  const prepare = async (store: LeaseStore) => {
    await store.configure(limitsOf())
    await store.announce(podOf('pod-1'))
  }

  before(async () => {
    redis = await startRedis()
    control = new Redis(redis.url, { protocol: 2, retryStrategy: () => 50 })
    control.on('error', () => {})
  })
  after(async () => {
    control.disconnect()
    await redis.stop()
  })

  test('[RCN1][RCN3] a store opens while Redis is away, refuses at once, and serves when it has come', async () => {
    await redis.crash()
    const { store } = await openStore()
    const watch = startWatch()
    await assert.rejects(store.configure(limitsOf()), isAway)
    await assert.rejects(ask(store, 1), isAway)
    assert.ok(watch.elapsedMs() < 100)
    await redis.start()
    await untilBack(() => store.announce(podOf('pod-1')))
    // The limits that could not be set while it was away came with the library.
    assert.equal((await ask(store, 1)).kind, 'granted')
    await store.close()
  })

  test('[STORE-3][LE1][LC4] a Redis that restarts empty recovers: nothing new enters until the live calls were asserted', async () => {
    const { store } = await openStore(600)
    await prepare(store)
    await sleep(650)
    assert.equal((await ask(store, 1)).kind, 'granted')
    await redis.restartEmpty()
    const refused = await untilBack(() => ask(store, 2))
    assert.deepEqual(refused, { kind: 'refused', reason: 'recovering' })
    const patient = { callSid: sid(3), tenant: 'acme', class: 'inbound' as const, queue: true }
    assert.equal((await store.acquire(patient)).kind, 'queued')
    const own = { callSid: sid(1), tenant: 'acme', epoch: 1, pool: 'main' }
    assert.deepEqual(await store.renew({ pod: 'pod-1', leases: [own] }), { unknown: [sid(1)], fenced: [] })
    assert.deepEqual(await store.reassert({ pod: 'pod-1', leases: [own] }), { fenced: [] })
    await store.announce(podOf('pod-1'))
    await sleep(650)
    assert.equal((await store.poll(sid(3))).kind, 'granted')
    assert.equal((await ask(store, 2)).kind, 'granted')
    assert.equal((await store.usage()).inUse, 3)
    await store.close()
  })

  test('[RCN4] a Redis that was emptied under an open connection, or lost its functions, is set up again', async () => {
    const { store } = await openStore()
    await prepare(store)
    await control.flushall()
    await assert.rejects(ask(store, 1), isAway)
    await untilBack(() => store.announce(podOf('pod-1')))
    await control.call('FUNCTION', 'FLUSH')
    await assert.rejects(ask(store, 1), isAway)
    assert.equal((await untilBack(() => ask(store, 1))).kind, 'granted')
    await store.close()
  })

  test('[STORE-7][RCN2][RCN3] a frozen Redis rejects within the bound, and serves when it is awake', async () => {
    const { store } = await openStore()
    await prepare(store)
    redis.kill('SIGSTOP')
    const watch = startWatch()
    await assert.rejects(ask(store, 1), isAway)
    const tookMs = watch.elapsedMs()
    assert.ok(tookMs > 250 && tookMs < 1_500, `${tookMs} ms`)
    const reasons = await Promise.all(
      Array.from({ length: 10_050 }, () => ask(store, 1).then(String, (error: Error) => error.message)),
    )
    assert.equal(reasons.filter((reason) => reason === 'too many commands wait for redis').length, 50)
    await sleep(2_200)
    await assert.rejects(ask(store, 1), isAway)
    redis.kill('SIGCONT')
    assert.equal((await untilBack(() => ask(store, 2))).kind, 'granted')
    await store.close()
  })

  test('[DEPLOY-4][LF1] the library of another version stays beside ours', async () => {
    const other = "#!lua name=vp0\nredis.register_function('vp0_acquire', function() return 'old' end)"
    await control.call('FUNCTION', 'LOAD', 'REPLACE', other)
    const { store } = await openStore()
    await prepare(store)
    assert.equal(await control.call('FCALL', 'vp0_acquire', 0), 'old')
    assert.equal((await ask(store, 1)).kind, 'granted')
    await store.close()
  })

  test('[LE2][LE3] every key bears the hash tag of its cell, and a long renewal goes in parts', async () => {
    const { store, key } = await openStore()
    await store.configure(limitsOf({ callsMax: 3_000 }))
    await store.announce(podOf('pod-1', { callsMax: 3_000 }))
    const leases = Array.from({ length: 1_201 }, (_, i) => ({ callSid: sid(i), tenant: 't', epoch: 1, pool: 'main' }))
    await store.reassert({ pod: 'pod-1', leases: leases.slice(0, 1_200) })
    assert.deepEqual(await store.renew({ pod: 'pod-1', leases }), { unknown: [sid(1_200)], fenced: [] })
    assert.equal((await store.usage()).inUse, 1_200)
    await store.acquire({ callSid: sid('q'), tenant: 'q', class: 'inbound', queue: true })
    const keys = (await control.keys('voice:*')).filter((one) => one.startsWith(key.slice(0, -2)))
    assert.ok(keys.length > 8)
    assert.deepEqual(
      keys.filter((one) => !one.startsWith(key)),
      [],
    )
    await store.close()
  })

  test('[LUP4] an audit says where the counts are wrong and puts them right', async () => {
    const { store, key } = await openStore()
    await store.configure(limitsOf({ tenants: [{ tenant: 'acme', guaranteed: 3, burst: 9, weight: 1 }] }))
    await store.announce(podOf('pod-1'))
    await ask(store, 1)
    await control.hincrby(`${key}T`, 'acme', 4)
    await control.hincrby(`${key}P`, 'pod-2', 1)
    await control.hincrby(`${key}cfg`, 'unused', 5)
    await control.zrem(`${key}R`, sid(1))
    await control.zadd(`${key}S`, 1, sid(9))
    assert.deepEqual((await store.audit()).differences, [
      'tenants acme: counted 5, held 1',
      'pods pod-2: counted 1, held 0',
      'lease CA1: had no end',
      'lease CA9: an end without it',
      'unused guarantees: counted 7, free 2',
    ])
    assert.deepEqual(await store.audit(), { differences: [] })
    await store.close()
  })

  test('[LE4] a store in real time refuses a virtual one, also when asked later', async () => {
    const { store, key } = await openStore()
    await prepare(store)
    const setTime = () => control.call('FCALL', 'vp5_test_time', 1, `${key}cfg`, 5)
    await assert.rejects(setTime(), /VPTIME/)
    const cell = key.slice('voice:{'.length, -2)
    const late = await openRedisLeases({ url: redis.url, cell, hasVirtualTime: true })
    await assert.rejects(setTime(), /VPTIME/)
    await Promise.all([store.close(), late.close()])
  })
})
