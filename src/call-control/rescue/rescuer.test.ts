// The rescuer over real stores in memory, in virtual time, with a carrier and peers that the test decides.
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { writeCheckpoint } from '../../call/checkpoint.ts'
import { initialState } from '../../call/state.ts'
import { makeLiveCalls } from '../../carrier/twilio/rest/live-calls.ts'
import type { CallStatus, Redirected } from '../../carrier/twilio/rest/rest.ts'
import { LEASE_TIMES, type PodHeartbeat } from '../../control/ports.ts'
import { FakeClock } from '../../kit/clock.ts'
import type { CallId, CallSid } from '../../kit/ids.ts'
import { silentLog } from '../../kit/log.ts'
import { Wheel } from '../../kit/wheel.ts'
import { Metrics } from '../../ops/metrics.ts'
import { makeMemoryLeases } from '../../store/leases/memory.ts'
import { MemoryRecords } from '../../store/records/memory.ts'
import { CallFinalizer } from '../call-finalizer.ts'
import { RESCUES_MAX, Rescuer } from './rescuer.ts'

const STEP_MS = 500
const sid = (n: number): CallSid => `CA${String(n).padStart(32, '0')}` as CallSid
const LIMITS = {
  pools: [{ pool: 'main', callsMax: 1_000, weight: 1, connectsPerSecond: 10_000 }],
  tenants: [],
  otherTenants: { guaranteed: 0, burst: 1_000, weight: 1 },
  reserve: { inbound: 0, outbound: 0 },
  queueMax: 0,
}

/** Pod `a` rescues; the calls are those of pod `b`, which renews nothing. */
class World {
  readonly clock = new FakeClock(1_000)
  readonly wheel = new Wheel({ clock: this.clock, manual: true, onError: (error) => assert.fail(String(error)) })
  readonly leases = makeMemoryLeases({
    times: { ...LEASE_TIMES, recoveringMs: 0 },
    nowMs: () => this.clock.monotonicMs(),
  })
  readonly records = new MemoryRecords(this.clock)
  readonly asked: CallSid[] = []
  readonly redirected: CallSid[] = []
  readonly outcomes: string[] = []
  status: () => Promise<CallStatus> = async () => ({ kind: 'known', status: 'in-progress' })
  redirect: () => Redirected = () => ({ kind: 'redirected' })
  doesPodAnswer = false
  isRecovering = false
  doesReap = true
  rescuer!: Rescuer

  static async open(calls: number, hasRest = true): Promise<World> {
    const world = new World()
    await world.leases.configure(LIMITS)
    for (const pod of ['a', 'b']) await world.leases.announce(announcementOf(pod))
    for (let n = 1; n <= calls; n += 1) await world.openCall(sid(n))
    world.rescuer = world.#makeRescuer(hasRest)
    world.rescuer.start()
    return world
  }

  async openCall(callSid: CallSid): Promise<void> {
    const call = { tenant: 't', from: '+1', to: '+2', direction: 'inbound' as const, pack: 'p', packVersion: '1' }
    await this.records.open({ ...call, callId: `call_${callSid}` as CallId, callSid, epoch: 1, pod: 'b', pool: 'main' })
    await this.leases.acquire({ callSid, tenant: 't', class: 'inbound', queue: false })
    await this.leases.activate({ callSid, epoch: 1, pod: 'b' })
  }

  async run(ms: number): Promise<void> {
    for (let passedMs = 0; passedMs < ms; passedMs += STEP_MS) {
      this.clock.advance(STEP_MS)
      this.wheel.advance()
      const reaped = await this.leases.reap(1_000)
      if (this.doesReap) this.rescuer.reaped(reaped)
      for (let i = 0; i < 20; i += 1) await turn()
    }
  }

  #makeRescuer(hasRest: boolean): Rescuer {
    const { leases, records, wheel, clock } = this
    const rest = {
      callStatus: (callSid: CallSid) => {
        this.asked.push(callSid)
        return this.status()
      },
      redirectCall: async (callSid: CallSid, url: string) => {
        assert.equal(url, 'https://plane.example.test/twilio/next')
        this.redirected.push(callSid)
        return this.redirect()
      },
      load: { active: 0, waiting: 0 },
      close: () => {},
    }
    const usage = { inUse: 0, reserved: 0, suspect: 0, limit: 0, queued: 0, refusedLastMinute: 0, pools: [] }
    return new Rescuer({
      ...{ pod: 'a', leases, records, wheel, clock, log: silentLog },
      finalizer: new CallFinalizer({
        tellHolder: async () => false,
        records,
        leases,
        wheel,
        log: silentLog,
        metrics: new Metrics(),
      }),
      carrier: hasRest ? makeLiveCalls(rest, () => 'https://plane.example.test/twilio/next') : undefined,
      peers: { storeWord: async () => (this.doesPodAnswer ? 'away' : 'unknown') },
      pods: () => ['a', 'b'].map((pod) => ({ ...announcementOf(pod), calls: 0, ageMs: 0 })),
      usage: () => ({ ...usage, isRecovering: this.isRecovering }),
      isHeld: () => false,
      onRescue: (outcome) => this.outcomes.push(outcome),
    })
  }
}

const announcementOf = (pod: string): PodHeartbeat => ({
  ...{ pod, incarnation: pod, address: `http://${pod}`, state: 'ready', callsMax: 1_000, penalty: 0 },
})

suite('the rescuer', () => {
  test('[RU2] a silent call is sent on when its lease was silent for 20 s, and not asked for before', async () => {
    const world = await World.open(1)
    await world.run(19_000)
    assert.deepEqual(world.asked, [])
    await world.run(5_000)
    assert.deepEqual([world.asked, world.redirected, world.outcomes], [[sid(1)], [sid(1)], ['redirected']])
  })

  test('[RU2] a pod that answers keeps its calls until it must have fenced itself', async () => {
    const world = await World.open(1)
    world.doesPodAnswer = true
    await world.run(45_000)
    assert.deepEqual(world.asked, [])
    await world.run(8_000)
    assert.deepEqual(world.redirected, [sid(1)])
  })

  test('[RU2] a store that recovers says nothing of a call', async () => {
    const world = await World.open(1)
    world.isRecovering = true
    await world.run(90_000)
    assert.deepEqual(world.asked, [])
    world.isRecovering = false
    await world.run(40_000)
    assert.deepEqual(world.redirected, [sid(1)])
  })

  test('[RU1] a call that nobody saw reaped is found by the sweep', async () => {
    const world = await World.open(3)
    world.doesReap = false
    await world.run(180_000)
    assert.deepEqual([...new Set(world.redirected)].sort(), [sid(1), sid(2), sid(3)])
  })

  test('[RU2] a call that is renewed again is let alone and no longer watched', async () => {
    const world = await World.open(1)
    const lease = { callSid: sid(1), tenant: 't', epoch: 1, pool: 'main' }
    await world.run(17_000)
    assert.equal(world.rescuer.watchedCount, 1)
    for (let i = 0; i < 12; i += 1) {
      await world.leases.renew({ pod: 'b', leases: [lease] })
      await world.run(5_000)
    }
    assert.deepEqual([world.asked, world.rescuer.watchedCount], [[], 0])
  })

  test('[RU3] a carrier that does not answer is asked again, each time twice as late', async () => {
    const world = await World.open(1)
    world.status = async () => ({ kind: 'failed', status: 503, code: undefined, reason: 'x' })
    await world.run(25_000)
    assert.equal(world.asked.length, 1)
    await world.run(34_000)
    assert.equal(world.asked.length, 2)
    await world.run(45_000)
    assert.equal(world.asked.length, 2)
    await world.run(500_000)
    assert.ok(world.asked.length >= 4 && world.asked.length <= 6, `asked ${world.asked.length} times`)
    assert.equal((await world.records.find(sid(1)))?.state, 'live')
  })

  test('[RU4] at most so many are rescued at once; the others follow as soon as one is done', async () => {
    const world = await World.open(RESCUES_MAX * 2 + 7)
    let open: (() => void)[] = []
    let most = 0
    world.status = () =>
      new Promise((resolve) => {
        open.push(() => resolve({ kind: 'known', status: 'completed' }))
        most = Math.max(most, open.length)
      })
    await world.run(60_000)
    assert.equal(open.length, RESCUES_MAX)
    while (open.length > 0) {
      const now = open
      open = []
      for (const answer of now) answer()
      for (let i = 0; i < 50; i += 1) await turn()
    }
    assert.equal(most, RESCUES_MAX)
    assert.equal(world.outcomes.filter((outcome) => outcome === 'ended').length, RESCUES_MAX * 2 + 7)
    assert.equal((await world.leases.usage()).inUse, 0)
  })

  test('[RX1] a call that another pod has moved meanwhile is let alone', async () => {
    const world = await World.open(1)
    const take = world.records.take.bind(world.records)
    world.records.take = async (request) => {
      const taken = await take(request)
      await world.leases.announce(announcementOf('a'))
      const move = { callSid: sid(1), fromEpoch: 1, tenant: 't', pool: 'main', avoidPod: 'b' }
      assert.equal((await world.leases.transfer(move)).kind, 'transferred')
      return taken
    }
    await world.run(24_000)
    assert.deepEqual([world.asked, world.outcomes], [[], ['none']])
  })

  test('[RX1] of two that find it only one asks the carrier', async () => {
    const world = await World.open(1)
    await world.run(14_000)
    assert.deepEqual(await world.records.take({ callSid: sid(1), epoch: 1, forMs: 20_000 }), { kind: 'taken' })
    await world.run(12_000)
    assert.deepEqual([world.asked, world.outcomes], [[], ['later']])
  })

  test('[RX2] what the carrier does not know, or says is over, ends once and gives its slot back', async () => {
    const answers: [CallStatus, string][] = [
      [{ kind: 'unknown' }, 'carrier-lost'],
      [{ kind: 'known', status: 'completed' }, 'caller-hung-up'],
      [{ kind: 'known', status: 'failed' }, 'carrier-lost'],
    ]
    for (const [answer, cause] of answers) {
      const world = await World.open(1)
      world.status = async () => answer
      await world.run(25_000)
      const row = await world.records.find(sid(1))
      assert.deepEqual([row?.state, row?.cause, world.redirected.length], ['ended', cause, 0])
      assert.equal((await world.leases.usage()).inUse, 0)
    }
    const over = await World.open(1)
    over.redirect = () => ({ kind: 'over' })
    await over.run(25_000)
    assert.equal((await over.records.find(sid(1)))?.cause, 'caller-hung-up')
  })

  test('[RX2] a call that rings is left alone', async () => {
    const world = await World.open(1)
    world.status = async () => ({ kind: 'known', status: 'ringing' })
    await world.run(25_000)
    assert.deepEqual([world.redirected.length, (await world.records.find(sid(1)))?.state], [0, 'live'])
  })

  test('[POD-2][RX5] a call that is with a person is left there as long as the carrier has it', async () => {
    const world = await World.open(1)
    const next = { kind: 'transfer' as const, to: '+12025550143' }
    const phase = { kind: 'ended' as const, cause: 'transferred' as const, next }
    const text = writeCheckpoint({ ...initialState(), phase })
    await world.records.save([{ callSid: sid(1), epoch: 1, sequence: 1, text }])
    await world.leases.release({ callSid: sid(1), epoch: 1 })
    await world.run(180_000)
    assert.ok(world.asked.length > 0, 'the carrier was not asked')
    assert.deepEqual([world.redirected, (await world.records.find(sid(1)))?.state], [[], 'live'])
    world.status = async () => ({ kind: 'known', status: 'completed' })
    await world.run(180_000)
    assert.equal((await world.records.find(sid(1)))?.state, 'ended')
  })

  test('[RX4] the slot of a call that has ended is given back before its lease is dropped', async () => {
    const world = await World.open(1)
    const end = { callSid: sid(1), epoch: 1, cause: 'agent-ended' as const, next: { kind: 'none' as const } }
    await world.records.end({ ...end, checkpoint: undefined })
    await world.run(25_000)
    assert.deepEqual([world.asked, (await world.leases.usage()).inUse], [[], 0])
  })

  test('[RX3] without the carrier’s REST the end is written when no lease has been there for a minute', async () => {
    const world = await World.open(1, false)
    await world.run(100_000)
    assert.equal((await world.records.find(sid(1)))?.state, 'live')
    await world.run(30_000)
    assert.equal((await world.records.find(sid(1)))?.cause, 'carrier-lost')
  })
})
