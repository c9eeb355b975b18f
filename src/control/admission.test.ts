// Admission with a store that answers, and without one; in virtual time.
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import fc from 'fast-check'
import { FakeClock } from '../kit/clock.ts'
import { VoiceError } from '../kit/errors.ts'
import type { CallSid } from '../kit/ids.ts'
import { silentLog } from '../kit/log.ts'
import { Wheel } from '../kit/wheel.ts'
import { Admission, LOCAL_MAX_MS, RETRY_AFTER_MS, STORE_MS } from './admission.ts'
import {
  type Acquired,
  type CallerPlaces,
  type CellLimits,
  type HeldLease,
  LEASE_TIMES,
  type PodEntry,
  type PodState,
  type Polled,
  type Transferred,
} from './ports.ts'

const sid = (n: number | string): CallSid => `CA${n}` as CallSid
const pod = (name: string, state: PodState = 'ready'): PodEntry => ({
  ...{ pod: name, incarnation: 'i', address: `http://${name}`, state, callsMax: 40, penalty: 0, calls: 0, ageMs: 0 },
})
const LIMITS: CellLimits = {
  pools: [{ pool: 'main', callsMax: 40, weight: 1, connectsPerSecond: 10 }],
  tenants: [{ tenant: 'small', guaranteed: 1, burst: 3, weight: 1 }],
  otherTenants: { guaranteed: 0, burst: 40, weight: 1 },
  reserve: { inbound: 0, outbound: 5 },
  queueMax: 10,
}
const GRANT = { pod: 'b', address: 'http://b', pool: 'main', epoch: 1 }

class World {
  readonly clock = new FakeClock(10_000)
  readonly wheel = new Wheel({ clock: this.clock, manual: true, onError: (error) => assert.fail(String(error)) })
  mode: 'answers' | 'hangs' | 'rejects' | 'throws' = 'answers'
  acquired: Acquired = { kind: 'granted', ...GRANT }
  polled: Polled = { kind: 'gone' }
  transferred: Transferred = { kind: 'transferred', unbacked: false, ...GRANT, epoch: 2 }
  limits = LIMITS
  held: HeldLease[] = []
  pods = [pod('a'), pod('b'), pod('c', 'draining'), { ...pod('dead'), ageMs: LEASE_TIMES.hardMs }]
  readonly seen: { pods: () => PodEntry[]; lastSuccessAtMs: number | undefined } = {
    pods: () => this.pods,
    lastSuccessAtMs: this.clock.monotonicMs(),
  }
  readonly self = { pod: 'a', address: 'http://a', callsMax: 40 }
  takesCalls = true
  isReady = true
  ceilings = new Map<string, number>()
  readonly admission: Admission

  constructor() {
    const store = {
      acquire: () => this.#answer(() => this.acquired),
      poll: () => this.#answer(() => this.polled),
      transfer: () => this.#answer(() => this.transferred),
      movePool: () => assert.fail('no test moves a pool'),
    }
    this.admission = new Admission({
      store,
      clock: this.clock,
      wheel: this.wheel,
      log: silentLog,
      self: this.self,
      limits: () => this.limits,
      ceilingOf: (pool) => this.ceilings.get(pool) ?? Number.POSITIVE_INFINITY,
      held: () => this.held,
      seen: this.seen,
      takesCalls: () => this.takesCalls,
      isReady: () => this.isReady,
    })
  }

  async #answer<T>(value: () => T): Promise<T> {
    if (this.mode === 'answers') return value()
    if (this.mode === 'hangs') return new Promise<never>(() => {})
    if (this.mode === 'throws') throw new TypeError('a bug of the store')
    throw new VoiceError('STORE_UNAVAILABLE')
  }

  async admit(
    n: number | string,
    more: { tenant?: string; class?: 'inbound' | 'outbound'; caller?: CallerPlaces } = {},
  ): Promise<string> {
    const request = {
      callSid: sid(n),
      tenant: 'big',
      class: 'inbound' as const,
      queue: true,
      caller: undefined,
      ...more,
    }
    const admitted = await this.#settle(this.admission.admit(request))
    if (admitted.kind === 'refused') return admitted.reason
    return admitted.kind === 'granted' ? `${admitted.pod}/${admitted.pool}/${admitted.epoch}` : admitted.kind
  }

  /** Lets a hanging store reach its bound. */
  async #settle<T>(promise: Promise<T>): Promise<T> {
    if (this.mode === 'hangs') {
      this.clock.advance(STORE_MS + 10)
      this.wheel.advance()
    }
    await turn()
    return promise
  }
}

suite('admission with a store', () => {
  test('[AD1] the store’s answers are passed on, each refusal with a time to ask again', async () => {
    const world = new World()
    const request = { callSid: sid(1), tenant: 't', class: 'inbound' as const, caller: undefined, queue: true }
    assert.deepEqual(await world.admission.admit(request), { kind: 'granted', ...GRANT, isLocal: false })
    world.acquired = { kind: 'repeated', ...GRANT }
    assert.deepEqual(await world.admission.admit(request), { kind: 'granted', ...GRANT, isLocal: false })
    world.acquired = { kind: 'queued', ahead: 3, etaMs: 9_000 }
    assert.deepEqual(await world.admission.admit(request), world.acquired)
    for (const reason of ['recovering', 'full', 'tenant-full', 'queue-full', 'no-pod'] as const) {
      world.acquired = { kind: 'refused', reason }
      const retryAfterMs = RETRY_AFTER_MS[reason]
      assert.deepEqual(await world.admission.admit(request), { kind: 'refused', reason, retryAfterMs })
    }
    assert.equal(world.admission.localPlacements, 0)
    assert.equal(world.wheel.size, 0)
  })

  test('[AD1] a waiting caller hears what the store says', async () => {
    const world = new World()
    const request = { callSid: sid(1), tenant: 't', class: 'inbound' as const, caller: undefined }
    assert.deepEqual(await world.admission.poll(request), { kind: 'gone' })
    world.polled = { kind: 'waiting', ahead: 1, etaMs: 2_000, waitedMs: 8_000 }
    assert.deepEqual(await world.admission.poll(request), world.polled)
    world.polled = { kind: 'granted', ...GRANT }
    assert.deepEqual(await world.admission.poll(request), { kind: 'granted', ...GRANT, isLocal: false })
  })

  test('[AD1] a resume is a transfer; a repeated one and one that was overtaken are told as they are', async () => {
    const world = new World()
    const request = { callSid: sid(1), fromEpoch: 1, tenant: 't', pool: 'main', avoidPod: 'c' }
    const placement = { ...GRANT, epoch: 2, isLocal: false }
    assert.deepEqual(await world.admission.resume(request), { kind: 'transferred', isUnbacked: false, ...placement })
    world.transferred = { kind: 'repeated', ...GRANT, epoch: 2 }
    assert.deepEqual(await world.admission.resume(request), { kind: 'transferred', isUnbacked: false, ...placement })
    world.transferred = { kind: 'fenced', epoch: 4 }
    assert.deepEqual(await world.admission.resume(request), { kind: 'fenced', epoch: 4 })
    world.transferred = { kind: 'refused', reason: 'no-pod' }
    assert.equal((await world.admission.resume(request)).kind, 'refused')
  })
})

suite('admission without a store', () => {
  for (const mode of ['hangs', 'rejects', 'throws'] as const) {
    test(`[STORE-1][AD2] a store that ${mode}: the pod fills its static share and refuses the rest`, async () => {
      const world = new World()
      world.mode = mode
      // floor(0.9 · 40 / 2 ready pods) = 18
      for (let n = 0; n < 18; n += 1) {
        assert.equal(await world.admit(n), 'a/main/1')
        world.held.push({ callSid: sid(n), tenant: 'big', epoch: 1, pool: 'main' })
      }
      assert.equal(await world.admit('more'), 'store-away')
      world.held.pop()
      assert.equal(await world.admit('again'), 'a/main/1')
      assert.equal(world.wheel.size, 0)
    })
  }

  test('[AD2] outbound calls, a pod that takes none, and a full pod place nothing', async () => {
    const world = new World()
    world.mode = 'rejects'
    assert.equal(await world.admit(1, { class: 'outbound' }), 'store-away')
    world.takesCalls = false
    assert.equal(await world.admit(2), 'store-away')
    world.takesCalls = true
    world.self.callsMax = 0
    assert.equal(await world.admit(3), 'store-away')
  })

  test('[AD2] a tenant has its own share, at least one call and never more than its burst', async () => {
    const world = new World()
    world.mode = 'rejects'
    assert.equal(await world.admit(1, { tenant: 'small' }), 'a/main/1')
    assert.equal(await world.admit(2, { tenant: 'small' }), 'store-away')
    assert.equal(await world.admit(3), 'a/main/1')
    world.limits = { ...LIMITS, tenants: [{ tenant: 'small', guaranteed: 0, burst: 0, weight: 1 }] }
    world.held = []
    assert.equal(await world.admit(4, { tenant: 'small' }), 'store-away')
  })

  test('[AD2] a learnt ceiling lowers the share, and each pool is filled to its own', async () => {
    const world = new World()
    world.mode = 'rejects'
    world.pods = [pod('a')]
    world.limits = { ...LIMITS, pools: [LIMITS.pools[0]!, { ...LIMITS.pools[0]!, pool: 'second', callsMax: 4 }] }
    world.ceilings.set('main', 2)
    // main: floor(0.9 · 2) = 1; second: floor(0.9 · 4) = 3; together floor(0.9 · 6) = 5
    const places: string[] = []
    for (let n = 0; n < 6; n += 1) places.push(await world.admit(n))
    assert.deepEqual(places, ['a/main/1', 'a/second/1', 'a/second/1', 'a/second/1', 'a/main/1', 'store-away'])
  })

  test('[STORE-1][AD3] the share ends five minutes after the last answer, and never begins before the first', async () => {
    const world = new World()
    assert.equal(await world.admit(1), 'b/main/1')
    world.seen.lastSuccessAtMs = undefined
    world.mode = 'rejects'
    world.clock.advance(LOCAL_MAX_MS)
    assert.equal(await world.admit(2), 'a/main/1')
    world.clock.advance(1)
    assert.equal(await world.admit(3), 'store-away')
    world.seen.lastSuccessAtMs = world.clock.monotonicMs() - 1
    assert.equal(await world.admit(4), 'a/main/1')
    const fresh = Object.assign(new World(), { mode: 'rejects' })
    fresh.seen.lastSuccessAtMs = undefined
    assert.equal(await fresh.admit(1), 'store-away')
  })

  test('[AD4] a waiting caller takes a place of the share, and waits on when there is none', async () => {
    const world = new World()
    world.mode = 'rejects'
    world.self.callsMax = 1
    assert.equal(
      (await world.admission.poll({ callSid: sid(1), tenant: 'big', class: 'inbound', caller: undefined })).kind,
      'granted',
    )
    assert.equal(
      (await world.admission.poll({ callSid: sid(2), tenant: 'big', class: 'inbound', caller: undefined })).kind,
      'away',
    )
  })

  test('[S8][AD9] without the store a caller has a share of their places on this pod, at least one', async () => {
    const world = new World()
    world.mode = 'rejects'
    const one = { key: 'one', max: 3 }
    assert.equal(await world.admit(1, { caller: one }), 'a/main/1')
    assert.equal(await world.admit(1, { caller: one }), 'a/main/1', 'asked again')
    assert.equal(await world.admit(2, { caller: one }), 'store-away')
    assert.equal(await world.admit(3, { caller: { key: 'other', max: 3 } }), 'a/main/1')
  })

  test('[P18][AD2][AD4] an outbound call that waits takes no place of the share: nobody counts outbound calls over the fleet', async () => {
    const world = new World()
    world.mode = 'rejects'
    const request = { callSid: sid(1), tenant: 'big', class: 'outbound' as const, caller: undefined }
    assert.equal((await world.admission.poll(request)).kind, 'away')
    assert.equal((await world.admission.admit({ ...request, queue: true })).kind, 'refused')
    assert.equal((await world.admission.poll({ ...request, class: 'inbound', caller: undefined })).kind, 'granted')
  })

  test('[P24][AD5] a resume is placed here under the next epoch, beyond the share, while the pod has room', async () => {
    const world = Object.assign(new World(), { mode: 'rejects' })
    world.seen.lastSuccessAtMs = undefined
    world.self.callsMax = 20
    // Live calls may fill it half as much again: up to 30.
    world.held = Array.from({ length: 29 }, (_, n) => ({ callSid: sid(n), tenant: 'big', epoch: 1, pool: 'main' }))
    const request = { callSid: sid('lost'), fromEpoch: 3, tenant: 'big', pool: 'other', avoidPod: 'a' }
    const resumed = await world.admission.resume(request)
    const place = { pod: 'a', address: 'http://a', pool: 'other', epoch: 4, isLocal: true }
    assert.deepEqual(resumed, { kind: 'transferred', isUnbacked: true, ...place })
    assert.deepEqual(await world.admission.resume(request), resumed)
    const other = await world.admission.resume({ ...request, callSid: sid('other') })
    assert.deepEqual(other, { kind: 'refused', reason: 'store-away', retryAfterMs: RETRY_AFTER_MS['store-away'] })
    // A call that is itself still held here under its old epoch needs no second room.
    const own = await world.admission.resume({ ...request, callSid: sid(3), fromEpoch: 1 })
    assert.equal(own.kind, 'transferred')
    world.isReady = false
    assert.equal((await world.admission.resume({ ...request, callSid: sid(4), fromEpoch: 1 })).kind, 'refused')
  })

  test('[AD6] asked again the answer is the same; a stream that never comes gives its place back', async () => {
    const world = new World()
    world.mode = 'rejects'
    world.self.callsMax = 1
    assert.equal(await world.admit(1), 'a/main/1')
    assert.equal(await world.admit(1), 'a/main/1')
    assert.equal(world.admission.localPlacements, 1)
    assert.equal(await world.admit(2), 'store-away')
    world.clock.advance(LEASE_TIMES.reservedMs)
    assert.equal(await world.admit(2), 'a/main/1')
  })

  test('[AD7] an answer that comes after the bound changes nothing', async () => {
    const world = new World()
    let late: ((acquired: Acquired) => void) | undefined
    const slow = new Promise<Acquired>((resolve) => {
      late = resolve
    })
    Object.defineProperty(world, 'acquired', { get: () => slow })
    const asked = world.admission.admit({
      callSid: sid(2),
      tenant: 'big',
      class: 'inbound',
      caller: undefined,
      queue: true,
    })
    await turn()
    world.clock.advance(STORE_MS + 10)
    world.wheel.advance()
    const admitted = await asked
    late!({ kind: 'granted', ...GRANT })
    await turn()
    assert.deepEqual(admitted, {
      kind: 'granted',
      pod: 'a',
      address: 'http://a',
      pool: 'main',
      epoch: 1,
      isLocal: true,
    })
  })

  test('[AD2] [AD6] by any arrivals and ends the pods together never exceed nine tenths of the limit', async () => {
    const plan = fc.array(fc.record({ pod: fc.nat(3), call: fc.nat(80), ends: fc.boolean() }), { maxLength: 150 })
    const property = fc.asyncProperty(plan, fc.integer({ min: 1, max: 60 }), async (steps, limit) => {
      const pods = ['a', 'b', 'c', 'd'].map((name) => pod(name))
      const worlds = pods.map(() => new World())
      for (const world of worlds) {
        world.mode = 'rejects'
        world.pods = pods
        world.limits = { ...LIMITS, pools: [{ ...LIMITS.pools[0]!, callsMax: limit }] }
      }
      for (const step of steps) {
        const world = worlds[step.pod]!
        const callSid = sid(`${step.pod}-${step.call}`)
        if (step.ends) world.held = world.held.filter((lease) => lease.callSid !== callSid)
        else if ((await world.admit(`${step.pod}-${step.call}`)) !== 'store-away') {
          if (!world.held.some((lease) => lease.callSid === callSid)) {
            world.held.push({ callSid, tenant: 'big', epoch: 1, pool: 'main' })
          }
        }
        const inUse = worlds.reduce((sum, { held }) => sum + held.length, 0)
        assert.ok(inUse <= 0.9 * limit, `${inUse} calls of ${limit}`)
      }
    })
    await fc.assert(property, { numRuns: 60 })
  })
})
