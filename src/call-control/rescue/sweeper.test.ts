// The sweeper over records and leases in memory, in virtual time, with a carrier that the test decides.
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { makeLiveCalls } from '../../carrier/twilio/rest/live-calls.ts'
import type { CallStatus } from '../../carrier/twilio/rest/rest.ts'
import { LEASE_TIMES } from '../../control/ports.ts'
import { FakeClock } from '../../kit/clock.ts'
import type { CallId, CallSid } from '../../kit/ids.ts'
import { type Log, silentLog } from '../../kit/log.ts'
import { Wheel } from '../../kit/wheel.ts'
import { makeMemoryLeases } from '../../store/leases/memory.ts'
import { MemoryRecords } from '../../store/records/memory.ts'
import { SWEEP_MAX, Sweeper, type SweepOutcome } from './sweeper.ts'

const STEP_MS = 1_000
const MINUTE_MS = 60_000
const sid = (n: number): CallSid => `CA${String(n).padStart(32, '0')}` as CallSid
const known = (status: string): CallStatus => ({ kind: 'known', status })

class World {
  readonly clock = new FakeClock(1_000)
  readonly wheel = new Wheel({ clock: this.clock, manual: true, onError: (error) => assert.fail(String(error)) })
  readonly records = new MemoryRecords(this.clock)
  readonly leases = makeMemoryLeases({
    times: { ...LEASE_TIMES, recoveringMs: 0 },
    nowMs: () => this.clock.monotonicMs(),
  })
  readonly outcomes: SweepOutcome[] = []
  readonly lines: [string, object][] = []
  readonly asked: CallSid[] = []
  status: (callSid: CallSid) => CallStatus = () => known('completed')
  sweeper!: Sweeper

  /** `n` calls of a pod that never writes; those of `signed` saved one checkpoint. */
  static async open(calls: number, { hasRest = true, hasLeases = false, signed = true } = {}): Promise<World> {
    const world = new World()
    if (hasLeases) await world.#openLeases()
    for (let n = 1; n <= calls; n += 1) await world.openCall(n, signed)
    const log: Log = {
      ...silentLog,
      info: (fields: object, message: string) => void world.lines.push([message, fields]),
    }
    world.sweeper = new Sweeper({
      ...{ records: world.records, clock: world.clock, wheel: world.wheel, log },
      leases: hasLeases ? world.leases : undefined,
      carrier: hasRest
        ? makeLiveCalls(
            {
              callStatus: async (callSid) => {
                world.asked.push(callSid)
                return world.status(callSid)
              },
              redirectCall: () => assert.fail('a sweep sends no call anywhere'),
              load: { active: 0, waiting: 0 },
              close: () => {},
            },
            () => assert.fail('a sweep sends no call anywhere'),
          )
        : undefined,
      times: { sweepMs: 30_000, silentMs: 3 * MINUTE_MS, callMaxMs: 240 * MINUTE_MS, settleMs: MINUTE_MS },
      onSwept: (outcome) => world.outcomes.push(outcome),
    })
    world.sweeper.start()
    return world
  }

  /** Pod `b` may hold calls. */
  async #openLeases(): Promise<void> {
    const pools = [{ pool: 'main', callsMax: 10, weight: 1, connectsPerSecond: 10 }]
    const otherTenants = { guaranteed: 0, burst: 10, weight: 1 }
    await this.leases.configure({
      pools,
      tenants: [],
      otherTenants,
      reserve: { inbound: 0, outbound: 0 },
      queueMax: 0,
    })
    const pod = { incarnation: 'b', address: 'http://b', state: 'ready' as const, callsMax: 10, penalty: 0 }
    await this.leases.announce({ pod: 'b', ...pod })
  }

  async openCall(n: number, isSigned: boolean): Promise<void> {
    const call = { tenant: 't', from: '+1', to: '+2', direction: 'inbound' as const, pack: 'p', packVersion: '1' }
    const ids = { callId: `call_${n}` as CallId, callSid: sid(n), epoch: 1, pod: 'b', pool: 'main' }
    await this.records.open({ ...call, ...ids })
    if (isSigned) await this.sign(n)
  }

  sign(n: number, sequence = 1): Promise<CallSid[]> {
    return this.records.save([{ callSid: sid(n), epoch: 1, sequence, text: 'x' }])
  }

  async run(ms: number, each: () => Promise<unknown> = async () => {}): Promise<void> {
    for (let passedMs = 0; passedMs < ms; passedMs += STEP_MS) {
      this.clock.advance(STEP_MS)
      await each()
      await this.leases.reap(1_000)
      this.wheel.advance()
      for (let i = 0; i < 30; i += 1) await turn()
    }
  }

  async ended(): Promise<number[]> {
    const live = new Set((await this.records.live({ after: undefined, max: 100_000 })).map(({ callSid }) => callSid))
    return [1, 2, 3, 4, 5].filter((n) => !live.has(sid(n)))
  }
}

suite('the sweeper', () => {
  test('[SWP1] a call that no pod saved for three minutes is ended half a minute later at most, and not before', async () => {
    const world = await World.open(1)
    await world.run(3 * MINUTE_MS - 2_000)
    assert.deepEqual([world.asked, (await world.records.find(sid(1)))?.state], [[], 'live'])
    await world.run(32_000)
    const row = await world.records.find(sid(1))
    assert.deepEqual([row?.state, row?.cause, world.outcomes], ['ended', 'caller-hung-up', ['ended']])
    assert.deepEqual(world.lines, [['calls that no pod looked after were ended', { calls: 1 }]], 'a count alone')
  })

  test('[SWP1] a call that is saved again and again is not looked at; neither is one that has ended', async () => {
    const world = await World.open(2)
    await world.records.end({
      callSid: sid(2),
      epoch: 1,
      cause: 'agent-ended',
      next: { kind: 'none' },
      checkpoint: undefined,
    })
    let sequence = 1
    await world.run(20 * MINUTE_MS, async () => {
      sequence += 1
      if (sequence % 30 === 0) await world.sign(1, sequence)
    })
    assert.deepEqual([world.asked, world.outcomes], [[], []])
  })

  test('[SWP1] a sweep looks at so many at most, and the next one goes on behind them', async () => {
    const world = await World.open(SWEEP_MAX + 300)
    world.status = () => known('in-progress')
    await world.run(3 * MINUTE_MS + 1_000)
    assert.equal(world.asked.length, SWEEP_MAX)
    await world.run(30_000)
    assert.equal(new Set(world.asked).size, SWEEP_MAX + 300)
  })

  test('[SWP2] a lease that is renewed keeps its call; one that has been silent for long does not, and is given back', async () => {
    const world = await World.open(0, { hasLeases: true, hasRest: false })
    await world.openCall(1, true)
    await world.leases.acquire({ callSid: sid(1), tenant: 't', class: 'inbound', queue: false })
    await world.leases.activate({ callSid: sid(1), epoch: 1, pod: 'b' })
    const lease = { callSid: sid(1), tenant: 't', epoch: 1, pool: 'main' }
    await world.run(6 * MINUTE_MS, () => world.leases.renew({ pod: 'b', leases: [lease] }))
    assert.deepEqual([(await world.records.find(sid(1)))?.state, new Set(world.outcomes)], ['live', new Set(['kept'])])
    await world.run(2 * MINUTE_MS)
    assert.equal((await world.records.find(sid(1)))?.cause, 'carrier-lost')
    assert.equal((await world.leases.usage()).inUse, 0)
  })

  test('[SWP2] leases that are away, or recover, end nothing', async () => {
    const world = await World.open(1, { hasLeases: true })
    const usage = world.leases.usage.bind(world.leases)
    world.leases.usage = async () => ({ ...(await usage()), isRecovering: true })
    await world.run(10 * MINUTE_MS)
    world.leases.usage = () => Promise.reject(new Error('away'))
    await world.run(10 * MINUTE_MS)
    assert.deepEqual([world.asked, world.outcomes, await world.ended()], [[], [], [2, 3, 4, 5]])
    world.leases.usage = usage
    await world.run(3 * MINUTE_MS)
    assert.equal((await world.records.find(sid(1)))?.state, 'ended')
  })

  test('[SWP3] what goes on at the carrier, or is not answered, stays; what it does not know, or says is over, ends', async () => {
    const world = await World.open(5)
    const answers: CallStatus[] = [
      known('in-progress'),
      { kind: 'failed', status: 503, code: undefined, reason: 'x' },
      known('busy'),
      { kind: 'unknown' },
      known('ringing'),
    ]
    world.status = (callSid) => answers[Number(callSid.slice(2)) - 1]!
    await world.run(5 * MINUTE_MS)
    assert.deepEqual(await world.ended(), [3, 4])
    assert.deepEqual(new Set(world.outcomes), new Set(['kept', 'failed', 'ended']))
    world.status = () => known('completed')
    await world.run(2 * MINUTE_MS)
    assert.deepEqual(await world.ended(), [1, 2, 3, 4, 5])
  })

  test('[SWP4] without leases and carrier the silence decides; a call that was never saved has the longest time of a call', async () => {
    const world = await World.open(1, { hasRest: false })
    await world.openCall(2, false)
    await world.run(5 * MINUTE_MS)
    assert.deepEqual([(await world.records.find(sid(1)))?.cause, await world.ended()], ['carrier-lost', [1, 3, 4, 5]])
    await world.run(237 * MINUTE_MS)
    assert.deepEqual(await world.ended(), [1, 2, 3, 4, 5])
  })

  test('[SWP4] after the database was away pods have a minute to write again', async () => {
    const world = await World.open(2, { hasRest: false })
    let sequence = 1
    const signs = async (): Promise<void> => {
      sequence += 1
      if (sequence % 30 === 0) await world.sign(1, sequence)
    }
    await world.run(MINUTE_MS, signs)
    const silent = world.records.silent.bind(world.records)
    world.records.silent = () => Promise.reject(new Error('away'))
    await world.run(10 * MINUTE_MS)
    world.records.silent = silent
    await world.run(31_000) // a sweep comes before the pod has written again
    await world.run(5 * MINUTE_MS, signs)
    assert.deepEqual(await world.ended(), [2, 3, 4, 5])
  })

  test('[SWP5] a call that a pod claims while the carrier is asked is not ended; one that another asks about is left to him', async () => {
    const world = await World.open(2)
    const find = world.records.find.bind(world.records)
    world.records.find = async (callSid) => {
      const row = await find(callSid)
      if (callSid === sid(1)) await world.records.claim({ callSid, epoch: 2, pod: 'c', pool: 'main' })
      return row
    }
    await world.records.take({ callSid: sid(2), epoch: 1, forMs: 5 * MINUTE_MS })
    await world.run(3 * MINUTE_MS + 1_000)
    assert.deepEqual(world.outcomes.toSorted(), ['later', 'moot'])
    const row = await find(sid(1))
    assert.deepEqual([row?.state, row?.epoch, row?.pod], ['live', 2, 'c'])
  })

  test('[SWP5] two sweepers at once end a call once', async () => {
    const world = await World.open(3)
    const ends: string[] = []
    const end = world.records.end.bind(world.records)
    world.records.end = async (request) => {
      const answer = await end(request)
      ends.push(answer.kind)
      return answer
    }
    await world.run(2 * MINUTE_MS + 59_000)
    world.clock.advance(2_000)
    await Promise.all([world.sweeper.sweep(), world.sweeper.sweep()])
    assert.deepEqual(ends, ['ended', 'ended', 'ended'])
  })

  test('[SWP1] one that is closed writes nothing more', async () => {
    const world = await World.open(1)
    world.sweeper.close()
    world.sweeper.close()
    await world.run(10 * MINUTE_MS)
    assert.deepEqual([world.asked, await world.ended()], [[], [2, 3, 4, 5]])
  })
})
