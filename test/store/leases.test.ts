import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import {
  type AcquireRequest,
  type CellLimits,
  type HeldLease,
  LEASE_TIMES,
  type LeaseStore,
} from '../../src/control/ports.ts'
import type { CallSid } from '../../src/kit/ids.ts'
import {
  type LeaseWorld,
  limitsOf,
  memoryWorlds,
  openRedisWorlds,
  podOf,
  sid,
  type WorldMaker,
} from './lease-worlds.ts'

type Scenario = { name: string; limits?: CellLimits; pods?: number; run(world: LeaseWorld): Promise<void> }

const ask = (store: LeaseStore, name: string | number, more: Partial<AcquireRequest> = {}) =>
  store.acquire({ callSid: sid(name), tenant: 'acme', class: 'inbound', queue: false, ...more })
const wait = (store: LeaseStore, name: string | number, tenant = 'acme') => ask(store, name, { queue: true, tenant })
const held = (name: string | number, epoch = 1, tenant = 'acme'): HeldLease => ({
  callSid: sid(name),
  tenant,
  epoch,
  pool: 'main',
})
const move = (store: LeaseStore, name: string | number, fromEpoch: number, avoidPod?: string, preferPod?: string) =>
  store.transfer({ callSid: sid(name), fromEpoch, tenant: 'acme', pool: undefined, avoidPod, preferPod })

/** Acquires and opens `count` calls named from `from`. */
async function open(store: LeaseStore, from: number, count: number, tenant = 'acme'): Promise<void> {
  for (let i = from; i < from + count; i++) {
    const got = await ask(store, i, { tenant })
    assert.equal(got.kind, 'granted', `call ${i}`)
    if (got.kind === 'granted') await store.activate({ callSid: sid(i), epoch: 1, pod: got.pod })
  }
}

async function beat(store: LeaseStore, pods: number): Promise<void> {
  for (let i = 1; i <= pods; i++) await store.announce(podOf(`pod-${i}`))
}

const SCENARIOS: Scenario[] = [
  {
    name: 'leases are looked at without a change: awaited, active, suspect with its silence, unknown left out',
    run: async ({ store, advance }) => {
      const of = (name: number) => ({ callSid: sid(name), epoch: 1, pod: 'pod-1' })
      await ask(store, 1)
      assert.deepEqual(await store.look([sid(1), sid(9)]), [{ ...of(1), state: 'awaited', silentMs: 0 }])
      await store.activate({ callSid: sid(1), epoch: 1, pod: 'pod-1' })
      await advance(4_000)
      assert.deepEqual(await store.look([sid(1)]), [{ ...of(1), state: 'active', silentMs: 4_000 }])
      await advance(16_000)
      assert.deepEqual((await store.reap(100)).suspected, [sid(1)])
      assert.deepEqual(await store.look([sid(1)]), [{ ...of(1), state: 'suspect', silentMs: 20_000 }])
      await store.renew({ pod: 'pod-1', leases: [held(1)] })
      assert.deepEqual(await store.look([sid(9), sid(1)]), [{ ...of(1), state: 'active', silentMs: 0 }])
      assert.deepEqual(await store.look([]), [])
    },
  },
  {
    name: '[CP1] a call is granted once: asked again it gets the same answer and takes no second slot',
    run: async ({ store }) => {
      const first = await ask(store, 1)
      assert.deepEqual(first, { kind: 'granted', pod: 'pod-1', address: 'http://pod-1:80', pool: 'main', epoch: 1 })
      assert.deepEqual(await ask(store, 1), { ...first, kind: 'repeated' })
      const { inUse, reserved } = await store.usage()
      assert.deepEqual({ inUse, reserved }, { inUse: 1, reserved: 1 })
    },
  },
  {
    name: '[LC4] nothing new enters while an emptied store recovers; live calls are asserted and moved meanwhile',
    pods: 0,
    run: async ({ store, advance }) => {
      await store.announce(podOf('pod-1'))
      await store.configure(limitsOf())
      assert.equal((await store.usage()).isRecovering, true)
      assert.deepEqual(await ask(store, 1), { kind: 'refused', reason: 'recovering' })
      await store.reassert({ pod: 'pod-1', leases: [held(7)] })
      assert.equal((await move(store, 8, 1)).kind, 'transferred')
      await advance(9_999)
      assert.equal((await ask(store, 1)).kind, 'refused')
      await advance(1)
      assert.equal((await ask(store, 1)).kind, 'granted')
      assert.equal((await store.usage()).inUse, 3)
    },
  },
  {
    name: '[LC4] whoever may wait is queued while an emptied store recovers, within the bound, and served when it is open',
    pods: 0,
    run: async ({ store, advance }) => {
      await store.announce(podOf('pod-1'))
      assert.deepEqual(await wait(store, 1), { kind: 'refused', reason: 'recovering' }, 'no limits are known')
      await store.configure(limitsOf({ queueMax: 2 }))
      await store.reassert({ pod: 'pod-1', leases: [held(7)] })
      const first = await wait(store, 1)
      assert.ok(first.kind === 'queued' && first.ahead === 0)
      const second = await wait(store, 2)
      assert.ok(second.kind === 'queued' && second.ahead === 1)
      assert.deepEqual(await wait(store, 1), first, 'asked again, the same place')
      assert.deepEqual(await wait(store, 3), { kind: 'refused', reason: 'queue-full' })
      await advance(9_999)
      assert.equal((await store.poll(sid(1))).kind, 'waiting')
      assert.equal((await store.usage()).inUse, 1)
      await advance(1)
      assert.equal((await store.poll(sid(2))).kind, 'granted')
      assert.equal((await store.poll(sid(1))).kind, 'granted')
      const { inUse, queued } = await store.usage()
      assert.deepEqual({ inUse, queued }, { inUse: 3, queued: 0 })
    },
  },
  {
    name: '[LM6] a call that changes its pool takes its count along, never above the other ceiling, and what it leaves is granted',
    limits: limitsOf({
      pools: [
        { pool: 'main', callsMax: 2, weight: 100, connectsPerSecond: 10 },
        { pool: 'spare', callsMax: 1, weight: 0, connectsPerSecond: 10 },
      ],
    }),
    run: async ({ store, advance }) => {
      const go = (name: number, pool: string, epoch = 1) => store.movePool({ callSid: sid(name), epoch, pool })
      const used = async () => (await store.usage()).pools.map(({ pool, inUse }) => `${pool} ${inUse}`).join(', ')
      await open(store, 1, 2)
      assert.equal((await wait(store, 3)).kind, 'queued')
      assert.deepEqual(await go(1, 'nowhere'), { kind: 'full' })
      assert.deepEqual(await go(9, 'spare'), { kind: 'unknown' })
      assert.deepEqual(await go(1, 'spare', 2), { kind: 'fenced', epoch: 1 })
      assert.equal(await used(), 'main 2, spare 0')
      assert.deepEqual(await go(1, 'spare'), { kind: 'moved' })
      assert.deepEqual(await go(1, 'spare'), { kind: 'moved' }, 'asked again')
      assert.equal((await store.poll(sid(3))).kind, 'granted', 'the slot that it left')
      assert.equal(await used(), 'main 2, spare 1')
      assert.deepEqual(await go(2, 'spare'), { kind: 'full' })
      assert.deepEqual(await go(1, 'main'), { kind: 'full' })
      await advance(1_000)
      assert.deepEqual(await store.renew({ pod: 'pod-1', leases: [held(1)] }), { unknown: [], fenced: [] })
      const moved = await move(store, 1, 1)
      assert.ok(moved.kind === 'transferred' && moved.pool === 'spare', 'it resumes where it is served')
      await store.release({ callSid: sid(1), epoch: 2 })
      assert.equal(await used(), 'main 2, spare 0')
      assert.deepEqual((await store.audit()).differences, [])
    },
  },
  {
    name: '[LCE1][LCE2] of ceilings that several pods tell the lowest stands while it is told, then the next, then what is configured',
    run: async ({ store, advance }) => {
      const tell = (ceiling?: number) => {
        const pool = { pool: 'main', callsMax: 10, weight: 1, connectsPerSecond: 50 }
        return store.configure(limitsOf({ pools: [{ ...pool, ...(ceiling === undefined ? {} : { ceiling }) }] }))
      }
      const limit = async () => {
        const { limit: whole, pools } = await store.usage()
        assert.equal(pools[0]!.limit, whole)
        return whole
      }
      await tell(3)
      await tell(5)
      await tell()
      assert.equal(await limit(), 3)
      await open(store, 1, 3)
      assert.deepEqual(await ask(store, 4), { kind: 'refused', reason: 'full' })
      await advance(10_000)
      await tell(3)
      await advance(14_999)
      await tell(5)
      assert.equal(await limit(), 3, 'it was told again')
      await advance(1)
      await tell(5)
      assert.equal(await limit(), 5)
      await tell(2)
      assert.equal(await limit(), 2, 'a lower one stands at once')
      await advance(15_000)
      await tell(40)
      assert.equal(await limit(), 10, 'it never raises')
      await advance(15_000)
      await tell()
      assert.equal(await limit(), 10)
    },
  },
  {
    name: '[LL2] an unused guarantee stays free for its tenant, and the burst is never exceeded',
    limits: limitsOf({
      tenants: [
        { tenant: 'sure', guaranteed: 3, burst: 4, weight: 1 },
        { tenant: 'acme', guaranteed: 0, burst: 8, weight: 1 },
      ],
    }),
    run: async ({ store }) => {
      await open(store, 1, 7)
      assert.deepEqual(await ask(store, 8), { kind: 'refused', reason: 'full' })
      await open(store, 20, 3, 'sure')
      assert.deepEqual(await ask(store, 23, { tenant: 'sure' }), { kind: 'refused', reason: 'full' })
      await store.release({ callSid: sid(1), epoch: 1 })
      await open(store, 23, 1, 'sure')
      await store.release({ callSid: sid(2), epoch: 1 })
      assert.deepEqual(await ask(store, 24, { tenant: 'sure' }), { kind: 'refused', reason: 'tenant-full' })
      assert.equal((await store.usage()).refusedLastMinute, 3)
    },
  },
  {
    name: '[LL2] slots are kept free of inbound and outbound calls, not of resumes',
    limits: limitsOf({ reserve: { inbound: 2, outbound: 5 } }),
    run: async ({ store }) => {
      await open(store, 1, 5)
      assert.equal((await ask(store, 50, { class: 'outbound' })).kind, 'refused')
      await open(store, 6, 3)
      assert.equal((await ask(store, 51)).kind, 'refused')
      for (const name of [52, 53, 54]) {
        const lost = { callSid: sid(name), fromEpoch: 1, tenant: 'acme', pool: undefined, avoidPod: undefined }
        assert.equal((await store.transfer(lost)).kind, 'transferred')
      }
    },
  },
  {
    name: '[MONEY-1][S8][LCA1][LCA2] a far party has its places, live and waiting; the next call of it is refused, those of others are not',
    limits: limitsOf({ callsMax: 5 }),
    run: async ({ store }) => {
      const of = (name: number, key: string, more: Partial<AcquireRequest> = {}) =>
        ask(store, name, { caller: { key, max: 3 }, queue: true, ...more })
      for (const name of [1, 2, 3]) assert.equal((await of(name, 'one')).kind, 'granted')
      for (const name of [4, 5, 6]) assert.deepEqual(await of(name, 'one'), { kind: 'refused', reason: 'caller-full' })
      assert.equal((await of(3, 'one')).kind, 'repeated', 'a webhook that comes again has its place')
      assert.equal((await of(7, 'other')).kind, 'granted')
      assert.equal((await ask(store, 8)).kind, 'granted', 'whose far party nobody counts')
      assert.equal((await of(9, 'other')).kind, 'queued')
      assert.equal((await of(10, 'other')).kind, 'queued')
      assert.deepEqual(await of(11, 'other'), { kind: 'refused', reason: 'caller-full' }, 'waiting counts')
      await store.leave(sid(10))
      assert.equal((await of(11, 'other')).kind, 'queued', 'who has left gives the place back')
      await store.release({ callSid: sid(1), epoch: 1 })
      assert.equal((await store.poll(sid(9))).kind, 'granted')
      assert.deepEqual(
        await of(12, 'other'),
        { kind: 'refused', reason: 'caller-full' },
        'served, it counts once and still',
      )
      assert.equal((await of(4, 'one')).kind, 'queued')
      assert.deepEqual((await store.audit()).differences, [])
    },
  },
  {
    name: '[S8][LCA5] a caller of a group has its places and the group has its own, whoever takes them',
    limits: limitsOf({ callsMax: 9 }),
    run: async ({ store }) => {
      const of = (name: number, key: string, max: number, groupMax?: number) =>
        ask(store, name, { caller: { key, max, groupMax } })
      const full = { kind: 'refused', reason: 'caller-full' }
      assert.equal((await of(1, 'a all', 2, 3)).kind, 'granted')
      assert.equal((await of(2, 'a all', 2, 3)).kind, 'granted')
      assert.deepEqual(await of(3, 'a all', 2, 3), full, 'its own places')
      assert.deepEqual(await of(3, 'a', 2), full, 'the same places without the group')
      assert.equal((await of(4, 'all', 3)).kind, 'granted')
      assert.deepEqual(await of(5, 'b all', 2, 3), full, 'those of the group')
      assert.equal((await of(6, 'b', 2)).kind, 'granted', 'whoever is not in the group')
      await store.release({ callSid: sid(1), epoch: 1 })
      assert.equal((await of(5, 'b all', 2, 3)).kind, 'granted', 'a place that ends is free in both')
      assert.deepEqual(await of(7, 'a all', 2, 3), full)
      assert.deepEqual((await store.audit()).differences, [])
    },
  },
  {
    name: '[S8][LM7] what tenants spend is added up by the store’s day',
    limits: limitsOf(),
    run: async ({ store, jump }) => {
      const of = (tenant: string, ms: number, millionths: number) => ({ tenant, ms, millionths })
      const first = await store.spend([of('a', 1_000, 7), of('b', 5, 0)])
      assert.deepEqual(first.spent, [of('a', 1_000, 7), of('b', 5, 0)])
      assert.deepEqual(await store.spend([of('b', 1, 2), of('c d', 0, 0)]), {
        day: first.day,
        spent: [of('b', 6, 2), of('c d', 0, 0)],
      })
      assert.deepEqual(await store.spend([]), { day: first.day, spent: [] })
      const many = Array.from({ length: 1_201 }, (_, n) => of(`t${n}`, n, 1))
      assert.deepEqual((await store.spend(many)).spent, many)
      await jump(86_400_000)
      assert.deepEqual(await store.spend([of('a', 1, 1)]), { day: first.day + 1, spent: [of('a', 1, 1)] })
    },
  },
  {
    name: '[S8][LCA3] a resume and an assertion are never refused for their caller, and count',
    limits: limitsOf({ callsMax: 50 }),
    run: async ({ store }) => {
      const caller = { key: 'one', max: 2 }
      const lost = { fromEpoch: 1, tenant: 'acme', pool: undefined, avoidPod: undefined, caller: 'one' }
      for (const name of [1, 2, 3])
        assert.equal((await store.transfer({ callSid: sid(name), ...lost })).kind, 'transferred')
      const leases = [{ callSid: sid(4), tenant: 'acme', epoch: 1, pool: 'main', caller: 'one' }]
      assert.deepEqual(await store.reassert({ pod: 'pod-1', leases }), { fenced: [] })
      assert.deepEqual(await ask(store, 5, { caller }), { kind: 'refused', reason: 'caller-full' })
      for (const name of [1, 2]) await store.release({ callSid: sid(name), epoch: 2 })
      assert.deepEqual(await ask(store, 5, { caller }), { kind: 'refused', reason: 'caller-full' })
      await store.release({ callSid: sid(3), epoch: 2 })
      assert.equal((await ask(store, 5, { caller })).kind, 'granted')
    },
  },
  {
    name: '[S8][LCA1] who does not come, and whose pod is lost, gives the places back',
    limits: limitsOf({ callsMax: 3 }),
    run: async ({ store, advance }) => {
      const caller = { key: 'one', max: 2 }
      assert.equal((await ask(store, 1, { caller })).kind, 'granted')
      assert.equal((await ask(store, 2, { caller })).kind, 'granted')
      await advance(LEASE_TIMES.reservedMs + 1_000)
      await store.announce(podOf('pod-1'))
      assert.deepEqual((await store.reap(100)).noShows.length, 2)
      assert.equal((await ask(store, 3, { caller })).kind, 'granted')
    },
  },
  {
    name: '[LPD1][LPD2] a call goes to the least loaded pod that is ready, fresh and has room',
    pods: 0,
    run: async ({ store, advance }) => {
      await store.announce(podOf('old'))
      await store.configure(limitsOf({ callsMax: 100 }))
      await advance(15_001)
      assert.deepEqual(await ask(store, 1), { kind: 'refused', reason: 'no-pod' })
      await store.announce(podOf('a', { penalty: 2, callsMax: 4 }))
      await store.announce(podOf('b', { callsMax: 3 }))
      await store.announce(podOf('c', { state: 'draining' }))
      const pods: string[] = []
      for (let i = 1; i <= 7; i++) {
        const got = await ask(store, i)
        pods.push(got.kind === 'granted' ? got.pod : got.kind)
      }
      assert.deepEqual(pods, ['b', 'b', 'a', 'b', 'a', 'a', 'a'])
      assert.deepEqual(await ask(store, 8), { kind: 'refused', reason: 'full' })
      const loads = (await store.pods()).map(({ pod, calls }) => [pod, calls])
      assert.deepEqual(loads, [
        ['a', 4],
        ['b', 3],
        ['c', 0],
        ['old', 0],
      ])
    },
  },
  {
    name: '[LL4] pools share calls by their weight while they have room',
    limits: limitsOf({
      pools: [
        { pool: 'big', callsMax: 7, weight: 3, connectsPerSecond: 100 },
        { pool: 'small', callsMax: 5, weight: 1, connectsPerSecond: 100 },
        { pool: 'off', callsMax: 5, weight: 0, connectsPerSecond: 100 },
      ],
    }),
    run: async ({ store }) => {
      await open(store, 1, 8)
      const inUse = async () => (await store.usage()).pools.map((pool) => pool.inUse)
      assert.deepEqual(await inUse(), [6, 2, 0])
      await open(store, 9, 4)
      assert.deepEqual(await inUse(), [7, 5, 0])
      assert.equal((await ask(store, 20)).kind, 'refused')
    },
  },
  {
    name: '[LL5] new calls wait for connects to spend; a resume does not, and they wait until its debt is paid',
    limits: limitsOf({ pools: [{ pool: 'main', callsMax: 100, weight: 1, connectsPerSecond: 2 }], callsMax: 100 }),
    run: async ({ store, advance }) => {
      assert.equal((await ask(store, 1)).kind, 'granted')
      assert.equal((await ask(store, 2)).kind, 'granted')
      assert.deepEqual(await ask(store, 3), { kind: 'refused', reason: 'full' })
      assert.equal((await move(store, 1, 1)).kind, 'transferred')
      await advance(500)
      assert.equal((await ask(store, 3)).kind, 'refused')
      await advance(500)
      assert.equal((await ask(store, 3)).kind, 'granted')
      assert.equal((await wait(store, 4)).kind, 'queued')
      await advance(500)
      await store.reap(10)
      assert.equal((await store.poll(sid(4))).kind, 'granted')
    },
  },
  {
    name: '[LM3] the stream of an epoch opens once, on any pod, and the count follows it',
    pods: 2,
    run: async ({ store }) => {
      await ask(store, 1)
      assert.deepEqual(await store.activate({ callSid: sid(1), epoch: 2, pod: 'pod-1' }), { kind: 'fenced', epoch: 1 })
      assert.equal((await store.activate({ callSid: sid(1), epoch: 1, pod: 'pod-2' })).kind, 'activated')
      assert.deepEqual(await store.activate({ callSid: sid(1), epoch: 1, pod: 'pod-1' }), { kind: 'used' })
      assert.deepEqual(await store.activate({ callSid: sid(9), epoch: 1, pod: 'pod-1' }), { kind: 'unknown' })
      assert.deepEqual(
        (await store.pods()).map(({ calls }) => calls),
        [0, 1],
      )
      const { inUse, reserved } = await store.usage()
      assert.deepEqual({ inUse, reserved }, { inUse: 1, reserved: 0 })
    },
  },
  {
    name: '[CP5] a release counts once and only for the epoch that acts',
    run: async ({ store }) => {
      await open(store, 1, 1)
      await move(store, 1, 1)
      assert.deepEqual(await store.release({ callSid: sid(1), epoch: 1 }), { kind: 'fenced' })
      assert.equal((await store.usage()).inUse, 1)
      assert.deepEqual(await store.release({ callSid: sid(1), epoch: 2 }), { kind: 'released' })
      assert.deepEqual(await store.release({ callSid: sid(1), epoch: 2 }), { kind: 'unknown' })
      assert.equal((await store.usage()).inUse, 0)
    },
  },
  {
    name: '[POD-4][LM5] a transfer needs no slot, moves the count, raises the epoch, and is repeated while its stream is awaited',
    limits: limitsOf({ callsMax: 2 }),
    pods: 2,
    run: async ({ store }) => {
      await open(store, 1, 2)
      const moved = await move(store, 1, 1, 'pod-1')
      assert.deepEqual(moved, {
        kind: 'transferred',
        unbacked: false,
        ...{ pod: 'pod-2', address: 'http://pod-2:80', pool: 'main', epoch: 2 },
      })
      assert.deepEqual(
        (await store.pods()).map(({ calls }) => calls),
        [0, 2],
      )
      const repeated = await move(store, 1, 1, 'pod-1')
      assert.deepEqual(repeated.kind === 'repeated' && [repeated.pod, repeated.epoch], ['pod-2', 2])
      await store.activate({ callSid: sid(1), epoch: 2, pod: 'pod-2' })
      assert.deepEqual(await move(store, 1, 1), { kind: 'fenced', epoch: 2 })
      assert.equal((await store.usage()).inUse, 2)
      // A call that no lease is known of is live all the same.
      const lost = await move(store, 9, 4)
      assert.deepEqual(lost.kind === 'transferred' && [lost.unbacked, lost.epoch], [true, 5])
      assert.equal((await store.usage()).inUse, 3)
      assert.equal((await ask(store, 10)).kind, 'refused')
    },
  },
  {
    name: '[P58][LPD3] a transfer takes the preferred pod if it lives, and the avoided one only when there is no other',
    pods: 3,
    run: async ({ store }) => {
      await open(store, 1, 3)
      const podOfMove = async (...args: Parameters<typeof move>) => {
        const got = await move(...args)
        return got.kind === 'transferred' ? got.pod : got.kind
      }
      assert.equal(await podOfMove(store, 1, 1, 'pod-1', 'pod-3'), 'pod-3')
      assert.equal(await podOfMove(store, 2, 1, 'pod-2', 'gone'), 'pod-1')
      await store.announce(podOf('pod-1', { state: 'draining' }))
      await store.announce(podOf('pod-3', { penalty: 500 }))
      assert.equal(await podOfMove(store, 3, 1, 'pod-2'), 'pod-3', 'a penalty does not stop a resume')
      await store.announce(podOf('pod-3', { state: 'down' }))
      await store.announce(podOf('pod-2', { callsMax: 1 }))
      assert.equal(await podOfMove(store, 4, 1, 'pod-2'), 'pod-2')
      assert.equal(await podOfMove(store, 4, 2, 'pod-2'), 'pod-2', 'its own place is room')
      assert.equal(await podOfMove(store, 5, 1), 'pod-2', 'half as many again')
      assert.equal(await podOfMove(store, 6, 1), 'pod-1', 'a draining one rather than none')
      assert.equal((await ask(store, 7)).kind, 'refused', 'and no new call')
      await store.announce(podOf('pod-1', { state: 'down' }))
      assert.deepEqual(await move(store, 7, 1), { kind: 'refused', reason: 'no-pod' })
    },
  },
  {
    name: '[P86][LPD3] a resume that finds no ready pod goes to one that lags, before the pod that was lost; a new call does not',
    pods: 3,
    run: async ({ store }) => {
      await open(store, 1, 2)
      // pod-1 is lost and still announced; the others lag.
      for (const name of ['pod-2', 'pod-3']) await store.announce(podOf(name, { state: 'cordoned', penalty: 20 }))
      const moved = await move(store, 1, 1, 'pod-1')
      assert.ok(moved.kind === 'transferred' && moved.pod !== 'pod-1', JSON.stringify(moved))
      await store.announce(podOf('pod-1', { state: 'down' }))
      assert.equal((await move(store, 2, 1, 'pod-1')).kind, 'transferred')
      assert.equal((await ask(store, 3)).kind, 'refused')
    },
  },
  {
    name: '[POD-4][P24][LPD3] the calls of a lost pod overfill full ones by half, evenly; new calls wait until those are below again',
    limits: limitsOf({ callsMax: 100 }),
    pods: 3,
    run: async ({ store }) => {
      for (const name of ['pod-1', 'pod-2', 'pod-3']) await store.announce(podOf(name, { callsMax: 4 }))
      for (let n = 1; n <= 12; n += 1) {
        assert.equal((await ask(store, n)).kind, 'granted')
        await store.activate({ callSid: sid(n), epoch: 1, pod: `pod-${1 + (n % 3)}` })
      }
      const calls = async () => (await store.pods()).map((pod) => pod.calls)
      assert.deepEqual(await calls(), [4, 4, 4])
      assert.equal((await ask(store, 20)).kind, 'refused')
      // pod-3 is lost; it may be taken for ready a while.
      for (const n of [2, 5, 8, 11]) {
        const moved = await move(store, n, 1, 'pod-3')
        assert.ok(moved.kind === 'transferred' && moved.pod !== 'pod-3', JSON.stringify(moved))
        await store.activate({ callSid: sid(n), epoch: 2, pod: moved.pod })
      }
      await store.announce(podOf('pod-3', { callsMax: 4, state: 'down' }))
      assert.deepEqual(await calls(), [6, 6, 0])
      assert.deepEqual(await move(store, 30, 1, 'pod-3'), { kind: 'refused', reason: 'no-pod' }, 'the bound')
      for (const n of [1, 4]) await store.release({ callSid: sid(n), epoch: 1 })
      const before = await calls()
      assert.equal(before[0]! + before[1]!, 10)
      assert.equal((await ask(store, 21)).kind, 'refused', 'a pod above its callsMax takes no new call')
      for (const n of [2, 5]) await store.release({ callSid: sid(n), epoch: 2 })
      await store.release({ callSid: sid(7), epoch: 1 })
      assert.equal((await ask(store, 22)).kind, 'granted', 'one is below again')
    },
  },
  {
    name: '[P80][LPD1][LPD3] a pod whose core is full takes no new call, and still takes the calls of a lost pod',
    limits: limitsOf({ callsMax: 100 }),
    pods: 2,
    run: async ({ store }) => {
      const announce = (newCallsMax?: number) =>
        store.announce(podOf('pod-1', { callsMax: 4, ...(newCallsMax === undefined ? {} : { newCallsMax }) }))
      await announce(2)
      await store.announce(podOf('pod-2', { callsMax: 4 }))
      for (const n of [1, 2]) {
        assert.equal((await ask(store, n)).kind, 'granted')
        await store.activate({ callSid: sid(n), epoch: 1, pod: 'pod-1' })
      }
      for (const n of [3, 4, 5, 6]) {
        const asked = await ask(store, n)
        assert.ok(asked.kind === 'granted' && asked.pod === 'pod-2', JSON.stringify(asked))
        await store.activate({ callSid: sid(n), epoch: 1, pod: 'pod-2' })
      }
      assert.deepEqual(await ask(store, 7).then(({ kind }) => kind), 'refused', 'nobody has room')
      const figures = async () => (await store.pods()).map((pod) => [pod.calls, pod.newCallsMax, pod.callsMax])
      assert.deepEqual(await figures(), [
        [2, 2, 4],
        [4, 4, 4],
      ])
      // pod-2 is lost: its four calls go to pod-1, which may hold six.
      for (const n of [3, 4, 5, 6]) {
        const moved = await move(store, n, 1, 'pod-2')
        assert.ok(moved.kind === 'transferred' && moved.pod === 'pod-1', JSON.stringify(moved))
        await store.activate({ callSid: sid(n), epoch: 2, pod: 'pod-1' })
      }
      await store.announce(podOf('pod-2', { state: 'down' }))
      for (const [n, epoch] of [
        [3, 2],
        [4, 2],
        [5, 2],
      ] as const)
        await store.release({ callSid: sid(n), epoch })
      assert.equal((await ask(store, 8)).kind, 'refused', 'it holds three of two')
      await announce()
      assert.equal((await ask(store, 9)).kind, 'granted', 'its core has room again')
    },
  },
  {
    name: '[LM4] a renewal says what is unknown and what is fenced, and the higher epoch wins',
    pods: 2,
    run: async ({ store }) => {
      await open(store, 1, 2)
      await move(store, 2, 1, 'pod-2', 'pod-1')
      assert.deepEqual(
        await store.renew({ pod: 'pod-1', leases: [held(1), held(2), held(3), held(1, 7), held(2, 2)] }),
        { unknown: [sid(3), sid(1)], fenced: [sid(2)] },
      )
      // Its stream has come, says its holder, though nobody told the store.
      assert.deepEqual(await store.activate({ callSid: sid(2), epoch: 2, pod: 'pod-1' }), { kind: 'used' })
      assert.deepEqual(await store.renew({ pod: 'pod-2', leases: [held(1), held(2, 2)] }), {
        unknown: [],
        fenced: [sid(1), sid(2)],
      })
      assert.deepEqual(await store.reassert({ pod: 'pod-2', leases: [held(1, 7), held(2, 1), held(3)] }), {
        fenced: [sid(2)],
      })
      assert.deepEqual(
        (await store.pods()).map(({ calls }) => calls),
        [1, 2],
      )
      assert.deepEqual(await store.release({ callSid: sid(1), epoch: 1 }), { kind: 'fenced' })
      assert.equal((await store.usage()).inUse, 3)
    },
  },
  {
    name: '[LUP1] a call whose stream never comes gives its slot back; a silent one becomes suspect, still counts, and goes at last',
    run: async ({ store, advance }) => {
      await open(store, 1, 2)
      await ask(store, 3)
      await advance(10_000)
      await store.renew({ pod: 'pod-1', leases: [held(2)] })
      assert.deepEqual(await store.reap(10), { noShows: [sid(3)], suspected: [], dropped: [], guard: 'none' })
      await advance(5_000)
      assert.deepEqual((await store.reap(10)).suspected, [sid(1)])
      const { inUse, suspect } = await store.usage()
      assert.deepEqual({ inUse, suspect }, { inUse: 2, suspect: 1 })
      await advance(10_000)
      assert.deepEqual((await store.reap(10)).suspected, [sid(2)])
      await store.renew({ pod: 'pod-1', leases: [held(1)] })
      assert.equal((await store.usage()).suspect, 1, 'a renewal revives')
      await advance(45_000)
      assert.deepEqual(await store.reap(1), { noShows: [], suspected: [sid(1)], dropped: [], guard: 'none' })
      assert.deepEqual((await store.reap(10)).dropped, [sid(2)])
      await advance(15_000)
      assert.deepEqual((await store.reap(10)).dropped, [sid(1)])
      assert.equal((await store.usage()).inUse, 0)
    },
  },
  {
    name: '[STORE-4][LUP2] a mass of leases due at once stops reaping for one ttl; when it is due again it is believed',
    limits: limitsOf({ callsMax: 100 }),
    run: async ({ store, advance }) => {
      await open(store, 1, 20)
      await advance(15_000)
      await store.renew({ pod: 'pod-1', leases: Array.from({ length: 11 }, (_, i) => held(i + 1)) })
      assert.deepEqual(await store.reap(100), { noShows: [], suspected: [], dropped: [], guard: 'mass-expiry' })
      await advance(14_999)
      assert.equal((await store.reap(100)).guard, 'mass-expiry')
      await advance(1)
      assert.equal((await store.reap(100)).suspected.length, 20)
      await advance(45_000)
      assert.equal((await store.reap(100)).dropped.length, 20)
    },
  },
  {
    name: '[LC1] a clock that jumps expires nothing for one ttl, and one that runs back expires nothing at all',
    run: async ({ store, advance, jump }) => {
      await open(store, 1, 2)
      await ask(store, 3)
      await jump(30_000)
      assert.deepEqual(await store.reap(10), { noShows: [], suspected: [], dropped: [], guard: 'time-gap' })
      await store.renew({ pod: 'pod-1', leases: [held(1)] })
      await jump(-30_000)
      await advance(20_000)
      assert.deepEqual((await store.reap(10)).guard, 'time-gap', 'time has not moved yet')
      await advance(10_000 + 14_000)
      await store.renew({ pod: 'pod-1', leases: [held(1)] })
      await advance(1_000)
      assert.deepEqual(await store.reap(10), { noShows: [sid(3)], suspected: [sid(2)], dropped: [], guard: 'none' })
    },
  },
  {
    name: '[LQ1][LC2] who waits is served in order when a slot comes free, and a new call does not overtake',
    limits: limitsOf({ callsMax: 2, queueMax: 3 }),
    run: async ({ store }) => {
      await open(store, 1, 2)
      assert.deepEqual(await wait(store, 3), { kind: 'queued', ahead: 0, etaMs: 90_000 })
      assert.deepEqual(await wait(store, 4), { kind: 'queued', ahead: 1, etaMs: 180_000 })
      assert.equal((await wait(store, 5)).kind, 'queued')
      assert.deepEqual(await wait(store, 6), { kind: 'refused', reason: 'queue-full' })
      assert.deepEqual(await wait(store, 4), { kind: 'queued', ahead: 1, etaMs: 180_000 }, 'asked again')
      await store.release({ callSid: sid(1), epoch: 1 })
      assert.equal((await ask(store, 7)).kind, 'refused')
      assert.equal((await store.usage()).inUse, 2)
      const got = await store.poll(sid(3))
      assert.equal(got.kind, 'granted')
      assert.deepEqual(await store.poll(sid(3)), got)
      assert.equal((await store.poll(sid(4))).kind, 'waiting')
      await store.leave(sid(4))
      await store.release({ callSid: sid(2), epoch: 1 })
      assert.equal((await store.poll(sid(5))).kind, 'granted')
      assert.deepEqual(await store.poll(sid(4)), { kind: 'gone' })
      await store.leave(sid(5))
      assert.equal((await store.usage()).inUse, 1, 'who leaves gives back what was granted')
    },
  },
  {
    name: '[LQ5][LC3] a caller who does not ask is gone; a grant nobody asked about is given back',
    limits: limitsOf({ callsMax: 1 }),
    run: async ({ store, advance }) => {
      await open(store, 1, 1)
      await wait(store, 2)
      await wait(store, 3)
      for (let i = 0; i < 3; i++) {
        await advance(8_000)
        await store.renew({ pod: 'pod-1', leases: [held(1)] })
        const got = await store.poll(sid(3))
        assert.deepEqual(got.kind === 'waiting' && got.waitedMs, (i + 1) * 8_000)
        await beat(store, 1)
      }
      await advance(1_000)
      await store.release({ callSid: sid(1), epoch: 1 })
      assert.deepEqual(await store.poll(sid(2)), { kind: 'gone' })
      assert.equal((await store.usage()).inUse, 1)
      await advance(12_499)
      assert.deepEqual((await store.reap(10)).noShows, [])
      await advance(1)
      assert.deepEqual((await store.reap(10)).noShows, [sid(3)])
      assert.deepEqual(await store.poll(sid(3)), { kind: 'gone' })
    },
  },
  {
    name: '[LQ2][LQ3] tenants are served by weight however long one line is, and callers who vanish cost their tenant nothing',
    limits: limitsOf({
      callsMax: 4,
      tenants: [{ tenant: 'double', guaranteed: 0, burst: 100, weight: 2 }],
    }),
    run: async ({ store }) => {
      await open(store, 1, 4)
      for (let i = 0; i < 60; i++) await wait(store, `flood-${i}`, 'flood')
      for (let i = 0; i < 20; i++) await wait(store, `small-${i}`, 'small')
      for (let i = 0; i < 40; i++) await wait(store, `double-${i}`, 'double')
      for (let i = 0; i < 10; i++) await store.leave(sid(`small-${i}`))
      const served = await serveNext(store, 40)
      const of = (tenant: string) => served.filter((name) => name.startsWith(`CA${tenant}`))
      assert.deepEqual([of('flood').length, of('small').length, of('double').length], [10, 10, 20])
      for (const tenant of ['flood', 'double'])
        assert.deepEqual(
          of(tenant),
          of(tenant).map((_, i) => sid(`${tenant}-${i}`)),
          `${tenant} in order`,
        )
    },
  },
  {
    name: '[LQ4] a waiting tenant below its guarantee is served first, one at its burst not at all',
    limits: limitsOf({
      callsMax: 4,
      tenants: [
        { tenant: 'sure', guaranteed: 2, burst: 2, weight: 1 },
        { tenant: 'small', guaranteed: 0, burst: 1, weight: 1 },
      ],
    }),
    run: async ({ store }) => {
      await open(store, 1, 2, 'sure')
      await open(store, 3, 1, 'small')
      await open(store, 4, 1)
      assert.equal((await wait(store, 10, 'small')).kind, 'queued')
      assert.equal((await wait(store, 11)).kind, 'queued')
      assert.equal((await wait(store, 12, 'sure')).kind, 'queued')
      await store.release({ callSid: sid(1), epoch: 1 })
      assert.equal((await store.poll(sid(12))).kind, 'granted')
      await store.release({ callSid: sid(4), epoch: 1 })
      assert.equal((await store.poll(sid(11))).kind, 'granted')
      assert.equal((await store.poll(sid(10))).kind, 'waiting')
      await store.release({ callSid: sid(3), epoch: 1 })
      assert.equal((await store.poll(sid(10))).kind, 'granted')
    },
  },
  {
    name: '[LB1] a raised limit serves who waits, so many at once, and the rest with the next reap',
    limits: limitsOf({ callsMax: 0 }),
    run: async ({ store }) => {
      for (let i = 0; i < 40; i++) await wait(store, i)
      await store.configure(limitsOf({ callsMax: 100 }))
      const { inUse, queued, limit } = await store.usage()
      assert.deepEqual({ inUse, queued, limit }, { inUse: 32, queued: 8, limit: 100 })
      await store.reap(10)
      assert.equal((await store.usage()).inUse, 40)
      await store.configure(limitsOf({ callsMax: 5 }))
      assert.equal((await store.usage()).inUse, 40, 'what was granted stays')
      assert.equal((await ask(store, 90)).kind, 'refused')
    },
  },
  {
    name: '[LPD4] a pod that fell silent is forgotten when it holds no call',
    pods: 2,
    run: async ({ store, advance }) => {
      await ask(store, 1)
      await advance(60_000)
      await store.announce(podOf('pod-2', { incarnation: 'new' }))
      await advance(1)
      await store.reap(10)
      const names = (await store.pods()).map(({ pod, incarnation, ageMs }) => [pod, incarnation, ageMs])
      assert.deepEqual(names, [['pod-2', 'new', 1]])
    },
  },
  {
    name: '[LUP4] an audit of a sound store finds nothing',
    run: async ({ store }) => {
      await open(store, 1, 3)
      await wait(store, 4)
      await move(store, 1, 1)
      assert.deepEqual(await store.audit(), { differences: [] })
    },
  },
]

/** Releases whatever runs, one by one, and notes who is granted next. */
async function serveNext(store: LeaseStore, count: number): Promise<CallSid[]> {
  const running: CallSid[] = [1, 2, 3, 4].map(sid)
  const waiting = new Set<CallSid>()
  for (const tenant of ['flood', 'small', 'double']) for (let i = 0; i < 60; i++) waiting.add(sid(`${tenant}-${i}`))
  const served: CallSid[] = []
  while (served.length < count) {
    await store.release({ callSid: running.shift()!, epoch: 1 })
    for (const callSid of waiting) {
      const got = await store.poll(callSid)
      if (got.kind === 'gone') waiting.delete(callSid)
      if (got.kind !== 'granted') continue
      waiting.delete(callSid)
      served.push(callSid)
      running.push(callSid)
    }
  }
  return served
}

function runScenarios(worlds: () => WorldMaker): void {
  for (const { name, limits, pods = 1, run } of SCENARIOS) {
    test(name, async () => {
      const world = await worlds().open()
      try {
        if (pods > 0) {
          await world.store.configure(limits ?? limitsOf())
          await world.advance(10_000)
          await beat(world.store, pods)
        }
        await run(world)
        assert.deepEqual(await world.store.audit(), { differences: [] })
      } finally {
        await world.close()
      }
    })
  }
}

suite('leases in memory', () => runScenarios(() => memoryWorlds))

suite('leases on redis', () => {
  let worlds: WorldMaker
  before(async () => {
    worlds = await openRedisWorlds()
  })
  after(() => worlds.close())
  runScenarios(() => worlds)
})
