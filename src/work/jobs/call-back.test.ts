import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { CallId, CallSid } from '../../kit/ids.ts'
import { FakeStore } from '../testing/fake-store.ts'
import { type CallBackLine, type CarrierCall, DIALS_MAX, makeCallBackJob } from './call-back.ts'

const FROM = '+15005550001'
const PERSON = '+15005550006'
const EXPIRES_MS = 4 * 3_600_000
const LEASE_MS = 10_000
/** So long after a dial the carrier may still carry it out. */
const LATE_MS = 20_000

/** The worker is gone: nothing of this attempt goes on. */
class Killed extends Error {}

/** A carrier and a worker in virtual time. `killAt`: the worker dies before this step of the next attempt; a step is a question to carrier or store. */
class World {
  nowMs = 1_000_000
  readonly store = new FakeStore(() => this.nowMs)
  readonly calls: (CarrierCall & { answersAs: string })[] = []
  readonly dialled: number[] = []
  /** How each dial ends, in order; the last one stays. */
  outcomes = ['completed']
  /** Creates whose answer, or whose request, is lost, in order. */
  faults: ('answer-lost' | 'request-lost' | 'late' | 'refused' | 'busy-api' | 'none')[] = []
  /** When a request that got no answer becomes a call after all. */
  late: number[] = []
  room = true
  mayCall = true
  killAt = Number.POSITIVE_INFINITY
  steps = 0

  constructor() {
    this.store.items.push({
      ...{ id: '1', callSid: 'CA1' as CallSid, callId: 'call-1' as CallId, tenant: 'default', type: 'call-back' },
      ...{
        attempt: 0,
        version: 1,
        keyNumber: 1,
        body: { language: 'de' },
        createdAtMs: this.nowMs,
        state: 'ready',
        dueMs: 0,
      },
    })
  }

  get item() {
    return this.store.items[0]!
  }

  #step(): void {
    this.steps += 1
    if (this.steps >= this.killAt) throw new Killed()
  }

  #make(atMs: number): CallSid {
    this.dialled.push(atMs)
    const callSid = `CA9${this.calls.length}` as CallSid
    const answersAs = this.outcomes.length > 1 ? this.outcomes.shift()! : this.outcomes[0]!
    // The carrier's clock is 20 s behind, and knows whole seconds.
    const createdAtMs = Math.floor((atMs - 20_000) / 1_000) * 1_000
    this.calls.unshift({ callSid, status: 'ringing', createdAtMs, answersAs })
    return callSid
  }

  readonly line: CallBackLine = {
    dial: async () => {
      this.#step()
      const fault = this.faults.shift() ?? 'none'
      if (fault === 'refused') return { kind: 'refused', reason: '21211 no such number', isForGood: true }
      if (fault === 'busy-api') return { kind: 'refused', reason: '20429 too many', isForGood: false }
      if (fault === 'late') this.late.push(this.nowMs + LATE_MS)
      if (fault === 'late') this.#step()
      if (fault === 'request-lost' || fault === 'late') return { kind: 'unknown', reason: 'lost' }
      const callSid = this.#make(this.nowMs)
      this.#step()
      return fault === 'answer-lost' ? { kind: 'unknown', reason: 'lost' } : { kind: 'made', callSid }
    },
    status: async (callSid) => {
      this.#step()
      const call = this.calls.find((one) => one.callSid === callSid)
      if (call === undefined) return { kind: 'gone' }
      const { status } = call
      call.status = call.answersAs
      return { kind: 'known', status }
    },
    find: async () => {
      this.#step()
      for (const atMs of this.late.splice(0)) {
        if (atMs > this.nowMs) this.late.push(atMs)
        else this.#make(atMs)
      }
      return { kind: 'found', calls: this.calls }
    },
    hasRoom: async () => this.room,
    mayCall: () => this.mayCall,
  }

  readonly #job = makeCallBackJob({
    store: {
      keep: async (held, body) => {
        this.#step()
        const kept = await this.store.keep(held, body)
        this.#step()
        return kept
      },
    },
    line: this.line,
    party: async () => ({ number: PERSON, ownNumber: FROM }),
    from: FROM,
    nowMs: () => this.nowMs,
    pause: async (ms) => {
      this.nowMs += ms
    },
    times: { expiresMs: EXPIRES_MS },
  })

  /** One attempt, as the lane does it; a killed one leaves the item to its lease. */
  async attempt(): Promise<void> {
    const [item] = await this.store.claim({ worker: 'w', types: ['call-back'], max: 1, leaseMs: LEASE_MS })
    if (item === undefined) {
      this.nowMs += 1_000
      return
    }
    try {
      const outcome = await this.#job.run(item, { signal: new AbortController().signal })
      if (outcome.kind === 'retry' || outcome.kind === 'dead' || outcome.kind === 'uncertain')
        await this.store.fail(item, outcome)
      else await this.store.finish(item, outcome)
    } catch (error) {
      if (!(error instanceof Killed)) throw error
      this.killAt = Number.POSITIVE_INFINITY
      this.nowMs += LEASE_MS
    }
  }

  async toItsEnd(): Promise<void> {
    for (let n = 0; n < 100_000 && ['ready', 'running'].includes(this.item.state); n += 1) await this.attempt()
    // What the carrier has yet to carry out rings too.
    for (const atMs of this.late.splice(0)) this.#make(atMs)
  }
}

test('[P30][CBK2] a person who answers is called once, and the item says in which call', async () => {
  const world = new World()
  await world.toItsEnd()
  assert.deepEqual([world.item.state, world.item.result], ['done', { kind: 'called-back', callSid: 'CA90', dials: 1 }])
  assert.equal(world.dialled.length, 1)
})

test('[P30][CBK1] wherever the worker is killed, and whatever answer is lost, nobody is dialled twice', async () => {
  let whole = 0
  for (const fault of ['none', 'answer-lost', 'request-lost', 'late'] as const) {
    const free = new World()
    free.faults = [fault]
    await free.toItsEnd()
    assert.deepEqual([free.item.state, free.dialled.length], ['done', 1], fault)
    for (let killAt = 1; killAt <= free.steps; killAt += 1) {
      const world = new World()
      Object.assign(world, { faults: [fault], killAt })
      await world.toItsEnd()
      assert.deepEqual([world.item.state, world.dialled.length], ['done', 1], `${fault}, killed at step ${killAt}`)
      whole += 1
    }
  }
  assert.ok(whole >= 15, `only ${whole} kill points`)
})

test('[P30][CBK1] two kills in one call-back, at every pair of steps, dial nobody twice', async () => {
  for (let first = 1; first <= 8; first += 1)
    for (let second = 1; second <= 8; second += 1) {
      const world = new World()
      world.killAt = first
      for (let n = 0; n < 1_000 && world.killAt < Number.POSITIVE_INFINITY && world.item.state !== 'done'; n += 1)
        await world.attempt()
      world.killAt = world.steps + second
      await world.toItsEnd()
      assert.deepEqual([world.item.state, world.dialled.length], ['done', 1], `${first} and ${second}`)
    }
})

test('[WORK-5][P30][CBK2] busy and no answer are dialled again later, at most DIALS_MAX times; then the item is dead and names it', async () => {
  const world = new World()
  world.outcomes = ['busy', 'no-answer']
  await world.toItsEnd()
  assert.deepEqual([world.item.state, world.item.error], ['dead', `the call-back: no-answer, ${DIALS_MAX} times`])
  assert.equal(world.dialled.length, DIALS_MAX)
  const gaps = world.dialled.slice(1).map((atMs, n) => atMs - world.dialled[n]!)
  assert.ok(
    gaps.every((ms) => ms >= 300_000),
    String(gaps),
  )
  await world.store.rerun('1')
  world.outcomes = ['completed']
  await world.toItsEnd()
  assert.deepEqual([world.item.state, world.dialled.length], ['done', DIALS_MAX + 1], 'a person may run it again')
})

test('[WORK-5][P30][CBK3] one that is too old is not dialled; one that a person runs again is', async () => {
  const world = new World()
  world.nowMs += EXPIRES_MS + 1
  await world.toItsEnd()
  assert.deepEqual([world.item.state, world.item.error, world.dialled.length], ['dead', 'the call-back: expired', 0])
  await world.store.rerun('1')
  await world.toItsEnd()
  assert.deepEqual([world.item.state, world.dialled.length], ['done', 1])
})

test('[P30][CBK4] nobody is dialled while there is no place; when there is one, once', async () => {
  const world = new World()
  world.room = false
  for (let n = 0; n < 3; n += 1) await world.attempt()
  assert.equal(world.dialled.length, 0)
  world.room = true
  await world.toItsEnd()
  assert.deepEqual([world.item.state, world.dialled.length], ['done', 1])
})

test('[P30][CBK5] a number that is not allowed, and one that the carrier refuses, is final; a busy API is not', async () => {
  const refused = new World()
  refused.mayCall = false
  await refused.toItsEnd()
  assert.deepEqual([refused.item.error, refused.dialled.length], ['the call-back: the number is not allowed', 0])
  const invalid = new World()
  invalid.faults = ['refused']
  await invalid.toItsEnd()
  assert.match(invalid.item.error ?? '', /refuses it, 21211/)
  const busy = new World()
  busy.faults = ['busy-api', 'busy-api', 'busy-api', 'busy-api']
  await busy.toItsEnd()
  assert.deepEqual([busy.item.state, busy.dialled.length], ['done', 1])
})
