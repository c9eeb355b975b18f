// Stores that fail over: the old server lives on, keeps its connections and takes no writes; only new connections reach the new one.
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { Redis } from 'ioredis'
import pg from 'pg'
import type { LeaseStore } from '../../src/control/ports.ts'
import { LEASE_TIMES } from '../../src/control/ports.ts'
import { VoiceError } from '../../src/kit/errors.ts'
import { until } from '../../src/kit/testing/patience.ts'
import { openRedisLeases } from '../../src/store/leases/redis.ts'
import { runMigrations } from '../../src/store/records/migrate.ts'
import { openRecords } from '../../src/store/records/open.ts'
import { startPostgres } from '../../tools/servers/postgres.ts'
import { type RedisServer, startRedis } from '../../tools/servers/redis.ts'
import { type Relay, startRelay } from '../../tools/servers/relay.ts'
import { limitsOf, podOf, sid } from './lease-worlds.ts'
import { nextSid, openRequest } from './records-suite.ts'

/** "Within seconds", on a busy machine. */
const BACK_MAX_MS = 8_000
const isAway = (error: unknown) => error instanceof VoiceError && error.code === 'STORE_UNAVAILABLE'

/** Asks until the store answers again. */
async function untilBack<T>(question: () => Promise<T>): Promise<T> {
  const endMs = performance.now() + BACK_MAX_MS
  for (;;) {
    try {
      return await question()
    } catch (error) {
      if (!isAway(error) || performance.now() > endMs) throw error
      await pause(20)
    }
  }
}

type Ground = { old: RedisServer; next: RedisServer; relay: Relay; store: LeaseStore; say: typeof say }

async function say({ url }: RedisServer, command: string, ...args: (string | number)[]): Promise<unknown> {
  const client = new Redis(url, { protocol: 2, maxRetriesPerRequest: 1 })
  client.on('error', () => {})
  try {
    return await client.call(command, [...args])
  } finally {
    client.disconnect()
  }
}

/** A store that reaches `old` through an address which may come to mean `next`; a call is in. */
async function withPair(journey: (ground: Ground) => Promise<void>): Promise<void> {
  const [old, next] = await Promise.all([startRedis(), startRedis()])
  const relay = await startRelay(old.port)
  const times = { ...LEASE_TIMES, recoveringMs: 0 }
  const store = await openRedisLeases({ url: `redis://127.0.0.1:${relay.port}`, cell: 'fail-over', times })
  try {
    await store.configure(limitsOf())
    await store.announce(podOf('pod-1'))
    assert.equal((await ask(store, 1)).kind, 'granted')
    await journey({ old, next, relay, store, say })
  } finally {
    await store.close()
    await relay.close()
    await Promise.all([old.stop(), next.stop()])
  }
}

const ask = (store: LeaseStore, n: number) =>
  store.acquire({ callSid: sid(n), tenant: 'acme', class: 'inbound', queue: false })

/** `next` has what `old` has. */
async function synced({ old, next }: Ground): Promise<void> {
  await say(next, 'REPLICAOF', '127.0.0.1', old.port)
  await until('the replica is up', async () =>
    String(await say(next, 'INFO', 'replication')).includes('master_link_status:up'),
  )
}

suite('Redis', () => {
  test('[STORE-5][P15][RCN5] that became a replica and kept its connection is left for the new primary within seconds', () =>
    withPair(async (ground) => {
      const { old, next, relay, store } = ground
      await synced(ground)
      await say(next, 'REPLICAOF', 'NO', 'ONE')
      await say(old, 'REPLICAOF', '127.0.0.1', next.port)
      relay.retarget(next.port, true)
      await untilBack(() => store.announce(podOf('pod-1')))
      assert.equal((await ask(store, 1)).kind, 'repeated', 'the lease came along')
      assert.equal((await ask(store, 2)).kind, 'granted')
      assert.match(String(await say(next, 'INFO', 'replication')), /role:master/)
      assert.equal((await store.usage()).inUse, 2)
    }))

  test('[P15][RCN5] is asked anew as long as its address leads to the replica', () =>
    withPair(async (ground) => {
      const { old, next, relay, store } = ground
      await synced(ground)
      await say(next, 'REPLICAOF', 'NO', 'ONE')
      await say(old, 'REPLICAOF', '127.0.0.1', next.port)
      const startMs = performance.now()
      let refused = 0
      while (performance.now() - startMs < 2_500) {
        await assert.rejects(store.announce(podOf('pod-1')), isAway)
        refused += 1
        await pause(50)
      }
      assert.ok(refused > 5)
      const dials = Number(/total_connections_received:(\d+)/.exec(String(await say(old, 'INFO', 'stats')))![1])
      assert.ok(dials > 2 && dials < 60, `${dials} connections in 2.5 s: neither one nor a storm`)
      relay.retarget(next.port, true)
      await untilBack(() => store.announce(podOf('pod-1')))
      assert.equal((await ask(store, 2)).kind, 'granted')
    }))

  test('[P15][RCN5] whose primary is out of reach (MASTERDOWN) is left too', () =>
    withPair(async (ground) => {
      const { old, next, relay, store } = ground
      await synced(ground)
      await say(next, 'REPLICAOF', 'NO', 'ONE')
      await say(old, 'CONFIG', 'SET', 'replica-serve-stale-data', 'no')
      // Nobody listens there.
      await say(old, 'REPLICAOF', '127.0.0.1', 1)
      relay.retarget(next.port, true)
      await untilBack(() => store.announce(podOf('pod-1')))
      assert.equal((await ask(store, 2)).kind, 'granted')
    }))
})

test('[STORE-5][P15][PO4] a Postgres that became read-only is left for the new one, by all connections at once', async () => {
  const [old, next] = await Promise.all([startPostgres(), startPostgres()])
  const relay = await startRelay(old.port)
  const records = await openRecords({ kind: 'postgres', url: old.url.replace(String(old.port), String(relay.port)) })
  try {
    await Promise.all([runMigrations(old.url), runMigrations(next.url)])
    // Several connections are open to the old one.
    await Promise.all(Array.from({ length: 6 }, () => records.open(openRequest(nextSid()))))
    const control = new pg.Client({ connectionString: old.url })
    await control.connect()
    await control.query('alter system set default_transaction_read_only = on')
    await control.query('select pg_reload_conf()')
    await control.end()
    relay.retarget(next.port, true)
    await pause(300)
    const callSid = nextSid()
    await assert.rejects(records.open(openRequest(callSid)), isAway)
    for (let n = 0; n < 6; n += 1) assert.equal((await records.open(openRequest(nextSid()))).kind, 'opened')
    assert.equal((await records.open(openRequest(callSid))).kind, 'opened')
  } finally {
    await records.close()
    await relay.close()
    await Promise.all([old.stop(), next.stop()])
  }
})
