// The keeper of leases over a store whose answers the test decides, in virtual time.
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { FakeClock } from '../kit/clock.ts'
import { VoiceError } from '../kit/errors.ts'
import type { CallSid } from '../kit/ids.ts'
import { silentLog } from '../kit/log.ts'
import { Wheel } from '../kit/wheel.ts'
import { BATCH_MAX, LeaseKeeper, REAP_MAX, RENEW_MS, WELL_MS } from './lease-keeper.ts'
import type { HeldLease, PodEntry, PodHeartbeat, PodState, Reaped, Renewed } from './ports.ts'
import { FENCE_AFTER_MS, FENCE_LATEST_MS, type PeerWord } from './self-fence.ts'

const sid = (n: number | string): CallSid => `CA${n}` as CallSid
const lease = (n: number | string, epoch = 1): HeldLease => ({ callSid: sid(n), tenant: 't', epoch, pool: 'p' })
const ANNOUNCEMENT: PodHeartbeat = {
  pod: 'a',
  incarnation: 'i',
  address: 'http://a',
  state: 'ready',
  callsMax: 40,
  penalty: 0,
}
type Leases = { leases: readonly HeldLease[] }
type Mode = 'answers' | 'rejects' | 'hangs' | 'throws'

/** Answers what it is told to, notes what it was asked. */
class ToldStore {
  mode: Mode = 'answers'
  /** Reads are answered although writes are not. */
  doReadsAnswer = false
  renewed: (leases: readonly HeldLease[]) => Renewed = () => ({ unknown: [], fenced: [] })
  reassertFenced: CallSid[] = []
  reaped: Reaped = { noShows: [], suspected: [], dropped: [], guard: 'none' }
  entries: PodEntry[] = [{ ...ANNOUNCEMENT, calls: 0, ageMs: 0 }]
  readonly states: PodState[] = []
  readonly batches: number[] = []
  readonly reasserts: HeldLease[][] = []
  readonly reaps: number[] = []
  reading = 0
  asked = 0

  async #answer<T>(value: () => T, isRead = false): Promise<T> {
    this.asked += 1
    if (this.mode === 'answers' || (isRead && this.doReadsAnswer)) return value()
    if (this.mode === 'hangs') return new Promise<never>(() => {})
    if (this.mode === 'throws') throw new TypeError('a bug of the store')
    throw new VoiceError('STORE_UNAVAILABLE')
  }

  /** Notes `one` in `list` when the question is answered. */
  #note<N, T>(list: N[], one: N, value: () => T): Promise<T> {
    return this.#answer(() => {
      list.push(one)
      return value()
    })
  }

  readonly store = {
    announce: ({ state }: PodHeartbeat) => this.#note(this.states, state, () => undefined),
    renew: ({ leases }: Leases) => this.#note(this.batches, leases.length, () => this.renewed(leases)),
    reassert: ({ leases }: Leases) => this.#note(this.reasserts, [...leases], () => ({ fenced: this.reassertFenced })),
    reap: (max: number) => this.#note(this.reaps, max, () => this.reaped),
    pods: () =>
      this.#answer(() => {
        this.reading += 1
        return this.entries
      }, true),
  }
}

class World {
  readonly clock = new FakeClock(1_000)
  readonly wheel = new Wheel({ clock: this.clock, manual: true, onError: (error) => assert.fail(String(error)) })
  readonly told = new ToldStore()
  readonly warnings: [string, object][] = []
  held: HeldLease[] = []
  fencedCalls: CallSid[] = []
  selfFences = 0
  peers: PeerWord = 'unknown'
  peerAsks: number[] = []
  readonly keeper = new LeaseKeeper({
    store: this.told.store,
    clock: this.clock,
    wheel: this.wheel,
    log: { ...silentLog, warn: (fields, message) => void this.warnings.push([message, fields]) },
    held: () => this.held,
    announcement: () => ANNOUNCEMENT,
    onFenced: (callSid) => this.fencedCalls.push(callSid),
    onSelfFence: () => {
      this.selfFences += 1
    },
    askPeers: async () => {
      this.peerAsks.push(this.clock.monotonicMs())
      return this.peers
    },
    random: () => 0.5,
  })

  async run(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= 50) {
      this.clock.advance(Math.min(50, left))
      this.wheel.advance()
      await turn()
    }
  }
  async end(): Promise<void> {
    const ended = this.keeper.stop()
    await this.run(5_000)
    await ended
  }
}

/** A keeper that has started, and its end. */
async function inWorld(body: (world: World) => Promise<void>, prepare?: (world: World) => void): Promise<void> {
  const world = new World()
  prepare?.(world)
  const started = world.keeper.start()
  await world.run(50)
  if (world.told.mode === 'answers') await started
  try {
    await body(world)
  } finally {
    await world.end()
  }
  assert.equal(world.wheel.size, 0, 'a timer is left')
}

suite('the keeper of leases', () => {
  test('[P35] reaping that pauses is told once, with its cause, however often the store says so', () =>
    inWorld(async (world) => {
      const paused = () => world.warnings.filter(([message]) => message === 'reaping is paused')
      world.told.reaped = { noShows: [], suspected: [], dropped: [], guard: 'time-gap' }
      await world.run(10_000)
      assert.ok(world.told.reaps.length >= 5, 'it was asked again and again')
      assert.equal(paused().length, 1)
      assert.match(JSON.stringify(paused()), /took no write for a while/)
      world.told.reaped = { noShows: [], suspected: [], dropped: [], guard: 'none' }
      await world.run(3_000)
      world.told.reaped = { noShows: [], suspected: [], dropped: [], guard: 'mass-expiry' }
      await world.run(10_000)
      assert.equal(paused().length, 2, 'another pause is told too')
    }))

  test('[KE1] it announces and renews at once, then each five seconds, in batches of 500', () =>
    inWorld(
      async (world) => {
        assert.deepEqual(world.told.batches, [BATCH_MAX, BATCH_MAX, 203])
        assert.deepEqual(world.told.states, ['ready'])
        await world.run(4 * RENEW_MS)
        assert.equal(world.told.states.length, 5)
        assert.equal(world.told.batches.length, 15)
      },
      (world) => {
        world.held = Array.from({ length: 2 * BATCH_MAX + 203 }, (_, n) => lease(n))
      },
    ))

  test('[KE2] a round that fails at its second batch is no success', () =>
    inWorld(async (world) => {
      world.held = Array.from({ length: BATCH_MAX + 1 }, (_, n) => lease(n))
      world.told.renewed = () => {
        world.told.mode = 'rejects'
        return { unknown: [], fenced: [] }
      }
      const beforeMs = world.keeper.lastSuccessAtMs
      await world.run(RENEW_MS + 100)
      assert.deepEqual(world.told.batches, [BATCH_MAX])
      assert.equal(world.keeper.lastSuccessAtMs, beforeMs)
      assert.ok(world.keeper.lastSuccessAgoMs >= RENEW_MS)
    }))

  test('[KE2] the age of a success counts from before its request', () =>
    inWorld(async (world) => {
      world.held = [lease(1)]
      let answer: (() => void) | undefined
      const slow = new Promise<Renewed>((resolve) => {
        answer = () => resolve({ unknown: [], fenced: [] })
      })
      world.told.store.renew = () => slow
      await world.run(RENEW_MS)
      await world.run(1_500)
      answer!()
      await world.run(50)
      assert.ok(world.keeper.lastSuccessAgoMs >= 1_500, `${world.keeper.lastSuccessAgoMs}`)
    }))

  test('[KE3] what the store does not know is reasserted, what another pod has is reported', () =>
    inWorld(async (world) => {
      world.held = [lease(1), lease(2), lease(3), lease(4)]
      world.told.renewed = () => ({ unknown: [sid(1), sid(2)], fenced: [sid(3)] })
      world.told.reassertFenced = [sid(2)]
      await world.run(RENEW_MS)
      assert.deepEqual(world.told.reasserts, [[lease(1), lease(2)]])
      assert.deepEqual(world.fencedCalls, [sid(3), sid(2)])
    }))

  test('[KE3] a call that ended or moved on during the question is neither reasserted nor reported', () =>
    inWorld(async (world) => {
      world.held = [lease(1), lease(2), lease(3)]
      world.told.renewed = () => {
        world.held = [lease(2, 2), lease(3)]
        return { unknown: [sid(1), sid(2)], fenced: [sid(1), sid(2)] }
      }
      await world.run(RENEW_MS)
      assert.deepEqual(world.told.reasserts, [])
      assert.deepEqual(world.fencedCalls, [])
    }))

  test('[KE4] the store is away until the first success, and after two missed renewals; reads say nothing', () =>
    inWorld(
      async (world) => {
        assert.equal(world.keeper.storeState, 'away')
        assert.equal(world.keeper.lastSuccessAtMs, undefined)
        world.told.mode = 'answers'
        await world.run(RENEW_MS)
        assert.equal(world.keeper.storeState, 'well')
        world.told.mode = 'rejects'
        world.told.doReadsAnswer = true
        const readBefore = world.told.reading
        await world.run(WELL_MS)
        assert.ok(world.told.reading > readBefore)
        assert.equal(world.keeper.storeState, 'away')
      },
      (world) => {
        world.told.mode = 'rejects'
      },
    ))

  test('[KE5] the list of pods is refreshed, and kept while the store is away', () =>
    inWorld(async (world) => {
      assert.equal(world.keeper.pods().length, 1)
      world.told.entries = [...world.told.entries, { ...ANNOUNCEMENT, pod: 'b', calls: 3, ageMs: 1 }]
      await world.run(2_100)
      assert.equal(world.keeper.pods().length, 2)
      world.told.mode = 'hangs'
      await world.run(30_000)
      assert.equal(world.keeper.pods()[1]!.calls, 3)
    }))

  test('[KE6] it reaps about each second, a bounded number, one question at a time', () =>
    inWorld(async (world) => {
      await world.run(10_000)
      assert.ok(world.told.reaps.length >= 9 && world.told.reaps.length <= 11, `${world.told.reaps.length}`)
      assert.ok(world.told.reaps.every((max) => max === REAP_MAX))
      world.told.mode = 'hangs'
      const before = world.told.asked
      await world.run(10_000)
      // announcing, listing and reaping, each at most once in its bound of two seconds
      assert.ok(world.told.asked - before <= 12, `${world.told.asked - before} questions to a store that hangs`)
    }))

  for (const mode of ['rejects', 'hangs', 'throws'] as const) {
    test(`[POD-13][KE7] cut off alone from a store that ${mode}, the pod gives up its calls once, in time`, () =>
      inWorld(async (world) => {
        world.held = [lease(1)]
        await world.run(RENEW_MS)
        world.peers = 'well'
        world.told.mode = mode
        const lastMs = world.keeper.lastSuccessAtMs!
        await world.run(FENCE_AFTER_MS - (world.clock.monotonicMs() - lastMs) - 100)
        assert.equal(world.selfFences, 0)
        await world.run(FENCE_LATEST_MS - FENCE_AFTER_MS)
        assert.equal(world.selfFences, 1)
        assert.equal(world.keeper.isFenced, true)
        await world.run(30_000)
        assert.equal(world.selfFences, 1)
        const batches = world.told.batches.length
        world.told.mode = 'answers'
        await world.run(2 * RENEW_MS)
        assert.equal(world.told.batches.length, batches, 'a fenced pod renews nothing')
      }))
  }

  for (const peers of ['away', 'unknown'] as const) {
    test(`[STORE-2][KE7] when the peers say ${peers}, the calls stay for as long as it takes, and all is well afterwards`, () =>
      inWorld(async (world) => {
        world.held = [lease(1)]
        world.peers = peers
        world.told.mode = 'rejects'
        await world.run(300_000)
        assert.equal(world.selfFences, 0)
        assert.equal(world.keeper.isFailStatic, true)
        assert.ok(world.peerAsks.length <= 300_000 / 5_000)
        world.peers = 'well'
        world.told.mode = 'answers'
        await world.run(2 * RENEW_MS)
        assert.equal(world.selfFences, 0)
        assert.equal(world.keeper.isFailStatic, false)
        assert.equal(world.keeper.storeState, 'well')
      }))
  }

  test('[KE8] stop ends all loops, announces the pod down once, and may be called again', async () => {
    const world = new World()
    await world.keeper.start()
    const first = world.keeper.stop()
    assert.equal(world.keeper.stop(), first)
    await first
    assert.deepEqual(world.told.states, ['ready', 'down'])
    assert.equal(world.wheel.size, 0)
    await world.keeper.announceNow()
    await world.keeper.renewNow()
    assert.deepEqual(world.told.states, ['ready', 'down'])
  })
})
