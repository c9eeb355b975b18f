// The driver of a pod's life, in virtual time, with actions that succeed, fail and hang.
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { FakeClock } from '../kit/clock.ts'
import type { CallSid } from '../kit/ids.ts'
import { type Log, silentLog } from '../kit/log.ts'
import { Wheel } from '../kit/wheel.ts'
import { FLUSH_RETRY_MS, graceProblem, PodDriver, SAMPLE_MS, utilizationReader } from './pod-driver.ts'
import { type ExitCause, FLUSH_MAX_MS, type ForceCause } from './pod-life.ts'
import { ASK_AFTER_MS } from './self-fence.ts'

const sid = (n: number): CallSid => `CA${n}` as CallSid

class World {
  readonly clock = new FakeClock(1_000)
  readonly wheel = new Wheel({ clock: this.clock, manual: true, onError: (error) => assert.fail(String(error)) })
  calls: CallSid[] = []
  lag = { p99Ms: 1, utilization: 0.1 }
  storeAgoMs = 0
  announced: [string, number][] = []
  handedOver: CallSid[] = []
  forced: ForceCause[] = []
  flushes = 0
  exits: ExitCause[] = []
  /** What handOver and flush do; by default the call moves and the flush succeeds. */
  handOver: (callSid: CallSid) => Promise<boolean> = async (callSid) => {
    this.calls = this.calls.filter((one) => one !== callSid)
    return true
  }
  flush: () => Promise<void> = async () => {}
  /** What the log said of shedding. */
  readonly told: string[] = []
  readonly log: Log = {
    ...silentLog,
    ...{ info: (_, text) => void this.#tell(text), warn: (_, text) => void this.#tell(text) },
  }
  readonly driver: PodDriver = new PodDriver({
    clock: this.clock,
    wheel: this.wheel,
    log: this.log,
    settings: { graceMs: 60_000, naturalMs: 2_000, arrivalsMs: 1_000 },
    calls: () => this.calls,
    readLag: () => this.lag,
    storeAgoMs: () => this.storeAgoMs,
    actions: {
      announce: async () => void this.announced.push([this.driver.podState, this.driver.penalty]),
      handOver: (callSid) => {
        this.handedOver.push(callSid)
        return this.handOver(callSid)
      },
      force: (cause) => {
        this.forced.push(cause)
        this.calls = []
      },
      flush: () => {
        this.flushes += 1
        return this.flush()
      },
      exit: (cause) => this.exits.push(cause),
    },
  })

  #tell(text: string): void {
    if (text.startsWith('the core ')) this.told.push(text)
  }

  async run(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= 50) {
      this.clock.advance(50)
      this.wheel.advance()
      await turn()
    }
  }
}

suite('the driver of a pod', () => {
  test('[PV6] what the pod learns of its core is announced at once, and the log says once that shedding begins and once that it ends', async () => {
    const world = new World()
    world.calls = Array.from({ length: 100 }, (_, n) => sid(n))
    world.lag = { p99Ms: 5, utilization: 0.5 }
    world.driver.start()
    await world.run(9 * SAMPLE_MS)
    const before = world.announced.length
    assert.equal(world.driver.capacity.callsFit, undefined)
    await world.run(2 * SAMPLE_MS)
    assert.equal(world.driver.capacity.callsFit, 140)
    assert.equal(world.announced.length, before + 1)
    world.calls = Array.from({ length: 140 }, (_, n) => sid(n))
    world.lag = { p99Ms: 5, utilization: 0.7 }
    await world.run(5 * SAMPLE_MS)
    world.calls = world.calls.slice(0, 130)
    await world.run(5 * SAMPLE_MS)
    assert.deepEqual(world.told, [
      'the core is full: the pod sheds new calls',
      'the core has room: the pod takes new calls',
    ])
    assert.equal(world.handedOver.length, 0)
    world.driver.close()
  })

  test('[PV2] [PV4] from warm to exit: announced, handed over in pace, flushed, and no timer left', async () => {
    const world = new World()
    world.calls = [0, 1, 2, 3, 4, 5].map(sid)
    assert.equal(world.driver.isReady, false)
    world.driver.start()
    assert.equal(world.driver.isReady, true)
    assert.equal(world.driver.takesWebhooks, true)
    world.driver.signal()
    assert.equal(world.driver.takesWebhooks, false)
    await world.run(2_100)
    assert.equal(world.handedOver.length, 1)
    await world.run(1_200)
    assert.deepEqual(world.handedOver, [0, 1, 2, 3, 4, 5].map(sid))
    await world.run(200)
    assert.deepEqual([world.flushes, world.exits], [1, ['flushed']])
    assert.deepEqual(
      world.announced.map(([state]) => state),
      ['ready', 'draining', 'down'],
    )
    assert.equal(world.wheel.size, 0)
    assert.deepEqual(world.forced, [])
  })

  test('[PV1] a handover that rejects leaves its call, which is tried again and forced at the deadline', async () => {
    const world = new World()
    world.calls = [sid(1)]
    world.handOver = async () => {
      throw new Error('no target')
    }
    world.driver.start()
    world.driver.drain('scale-in')
    await world.run(2_000 + 6_000)
    assert.ok(world.handedOver.length >= 2)
    await world.run(60_000)
    assert.deepEqual(world.forced, ['deadline'])
    assert.deepEqual(world.exits, ['flushed'])
  })

  test('[PV1] actions that throw stop nothing', async () => {
    const world = new World()
    world.calls = [sid(1)]
    world.driver.start()
    Object.defineProperty(world, 'forced', {
      get: () => {
        throw new Error('a bug')
      },
    })
    world.driver.signal()
    world.driver.signal()
    await world.run(6_000)
    assert.deepEqual(world.exits, ['flushed'])
  })

  test('[PV3] a flush that fails is tried again; one that hangs is left at its bound', async () => {
    const world = new World()
    let failures = 2
    world.flush = async () => {
      failures -= 1
      if (failures >= 0) throw new Error('the store is away')
    }
    world.driver.start()
    world.driver.signal()
    await world.run(1_000 + 2 * FLUSH_RETRY_MS + 200)
    assert.deepEqual([world.flushes, world.exits], [3, ['flushed']])

    const stuck = new World()
    stuck.flush = () => new Promise<void>(() => {})
    stuck.driver.start()
    stuck.driver.signal()
    await stuck.run(1_200 + FLUSH_MAX_MS)
    assert.deepEqual([stuck.flushes, stuck.exits], [1, ['flush-overdue']])
    assert.equal(stuck.wheel.size, 0)

    const failing = new World()
    failing.flush = async () => {
      throw new Error('the store is away')
    }
    failing.driver.start()
    failing.driver.signal()
    await failing.run(1_200 + FLUSH_MAX_MS + 2 * FLUSH_RETRY_MS)
    assert.deepEqual(failing.exits, ['flush-overdue'])
    assert.equal(failing.wheel.size, 0)
  })

  test('[PV5] without the store the pod is suspect, and ready again when it is reached', async () => {
    const world = new World()
    world.driver.start()
    world.storeAgoMs = ASK_AFTER_MS
    await world.run(SAMPLE_MS + 50)
    assert.equal(world.driver.phase, 'suspect')
    assert.equal(world.driver.isReady, true)
    world.storeAgoMs = 0
    await world.run(SAMPLE_MS)
    assert.equal(world.driver.phase, 'ready')
    world.driver.close()
    assert.equal(world.wheel.size, 0)
  })

  test('[PV2] lag cordons the pod, moves calls away, and a fence closes all', async () => {
    const world = new World()
    world.calls = [0, 1, 2].map(sid)
    world.driver.start()
    world.lag = { p99Ms: 180, utilization: 0.9 }
    await world.run(2 * SAMPLE_MS + 50)
    assert.equal(world.driver.podState, 'cordoned')
    await world.run(4 * SAMPLE_MS)
    assert.deepEqual(world.handedOver, [sid(0), sid(1)])
    assert.ok(world.announced.some(([state, penalty]) => state === 'cordoned' && penalty >= 20))
    world.driver.fence()
    assert.deepEqual(world.forced, ['fenced'])
    await world.run(200)
    assert.deepEqual([world.exits, world.flushes], [['fenced'], 0])
    assert.equal(world.wheel.size, 0)
  })

  test('the operator cordons and uncordons', () => {
    const world = new World()
    world.driver.start()
    world.driver.cordon(true)
    assert.equal(world.driver.podState, 'cordoned')
    world.driver.cordon(false)
    assert.equal(world.driver.podState, 'ready')
    world.driver.close()
  })

  test('utilisation is read for the time since it was last read', async () => {
    const read = utilizationReader()
    const spunMs = performance.now() + 30
    while (performance.now() < spunMs);
    await turn()
    const busy = read()
    assert.ok(busy >= 0 && busy <= 1)
    await new Promise((resolve) => setTimeout(resolve, 60))
    const idle = read()
    assert.ok(idle < 0.9, `${idle}`)
  })

  test('a grace that is too short for a full pod is told in words', () => {
    assert.equal(graceProblem({ callsMax: 40, handoverPerSecond: 5, graceMs: 600_000 }), undefined)
    assert.equal(graceProblem({ callsMax: 2_699, handoverPerSecond: 5, graceMs: 600_000 }), undefined)
    assert.match(graceProblem({ callsMax: 2_700, handoverPerSecond: 5, graceMs: 600_000 })!, /600 s is too short/)
    assert.match(graceProblem({ callsMax: 40, handoverPerSecond: 5, graceMs: 30_000 })!, /more than 68 s/)
  })
})
