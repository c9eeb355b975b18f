import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Registry } from 'prom-client'
import { FakeClock, systemClock } from '../kit/clock.ts'
import { type Log, silentLog } from '../kit/log.ts'
import { until } from '../kit/testing/patience.ts'
import { Wheel } from '../kit/wheel.ts'
import { WorkMetrics } from '../ops/work.ts'
import { BACK_OFF_MAX_MS, backOffMs } from './back-off.ts'
import type { Job } from './job.ts'
import type { LaneOutcome } from './lane.ts'
import { ATTEMPTS_MAX, type WorkFailure, type WorkItem, type WorkResult, type WorkType } from './ports.ts'
import { FakeStore } from './testing/fake-store.ts'
import { Worker, type WorkerTimes } from './worker.ts'

const DONE: WorkResult = { kind: 'skipped', reason: 'a test' }
const TYPES: readonly WorkType[] = ['record', 'analysis', 'crm']
type Run = (item: WorkItem, signal: AbortSignal) => Promise<WorkResult | WorkFailure>

/** A worker on the real clock, with short times; `run` does the work of every type unless `of` names one. */
function rig(
  run: Run,
  options: { times?: Partial<WorkerTimes>; rooms?: Partial<Record<WorkType, number>>; log?: Log } = {},
) {
  const errors: unknown[] = []
  const wheel = new Wheel({ clock: systemClock, onError: (error) => errors.push(error), tickMs: 2 })
  const store = new FakeStore(() => systemClock.monotonicMs())
  const outcomes: [WorkType, LaneOutcome][] = []
  const jobs: Job[] = TYPES.map((type) => ({ type, run: (item, { signal }) => run(item, signal) }))
  const times = { pollMs: 10, leaseMs: 150, jobMaxMs: 1_000, deriveMs: 20, depthMs: 10, ...options.times }
  const worker = new Worker({
    name: 'worker-1',
    store,
    jobs,
    clock: systemClock,
    wheel,
    log: options.log ?? silentLog,
    times,
    ...(options.rooms === undefined ? {} : { rooms: options.rooms }),
    onOver: (type, outcome) => outcomes.push([type, outcome]),
  })
  const close = async () => {
    await worker.drain(0)
    wheel.close()
    assert.deepEqual(errors, [])
  }
  return { worker, store, outcomes, close }
}

test('[WORK-2][WE1] the chain of a call is worked in its order, each item once', async () => {
  const seen: string[] = []
  const { worker, store, close } = rig(async ({ callSid, type }) => {
    seen.push(`${callSid.slice(-2)} ${type}`)
    return DONE
  })
  for (let n = 0; n < 30; n++) store.addCall(n)
  worker.start()
  await until('all is done', () => store.inState('done').length === 90)
  assert.equal(seen.length, 90)
  for (let n = 0; n < 30; n++) {
    const own = seen.filter((one) => one.startsWith(String(n).padStart(2, '0'))).map((one) => one.slice(3))
    assert.deepEqual(own, ['record', 'analysis', 'crm'])
  }
  await close()
})

test('[LNE5] items that hang make way for others of their type once they are slow, and never without a bound', async () => {
  const hang = () => new Promise<never>(() => undefined)
  const isBad = ({ callSid }: WorkItem) => Number.parseInt(callSid.slice(-2), 10) < 4
  const { worker, store, close } = rig((item) => (isBad(item) ? hang() : Promise.resolve(DONE)), {
    rooms: { record: 4 },
    times: { slowMs: 30, leaseMs: 3_000, jobMaxMs: 30_000 },
  })
  for (let n = 0; n < 54; n++) store.addCall(n, ['record'])
  worker.start()
  await until('the others are done', () => store.inState('done').length === 50)
  assert.equal(worker.size, 4)
  await close()

  const all = rig(hang, { rooms: { record: 3 }, times: { slowMs: 10, leaseMs: 3_000, jobMaxMs: 30_000 } })
  for (let n = 0; n < 20; n++) all.store.addCall(n, ['record'])
  all.worker.start()
  await until('the room and its double are full', () => all.worker.size === 6)
  await new Promise((resolve) => setTimeout(resolve, 100))
  assert.equal(all.worker.size, 6)
  await all.close()
})

test('[LNE1] a type whose every item hangs takes no room of another, and each is tried again after its bound', async () => {
  const hang = () => new Promise<never>(() => undefined)
  const { worker, store, outcomes, close } = rig(({ type }) => (type === 'analysis' ? hang() : Promise.resolve(DONE)), {
    rooms: { analysis: 2 },
    times: { jobMaxMs: 40 },
  })
  for (let n = 0; n < 5; n++) store.addCall(n, ['analysis'])
  for (let n = 10; n < 60; n++) store.addCall(n, ['record'])
  worker.start()
  await until('the records are done', () => store.inState('done').length === 50)
  assert.ok(worker.size <= 2)
  await until(
    'the hanging ones were given back',
    () => outcomes.filter(([, outcome]) => outcome === 'retry').length >= 5,
  )
  assert.ok(store.items.some(({ error }) => error === 'took too long'))
  await close()
})

test('[LNE2] an item whose lease was lost is aborted and nothing is written of it', async () => {
  let aborted = false
  const { worker, store, outcomes, close } = rig(
    (_item, signal) =>
      new Promise((resolve) =>
        signal.addEventListener('abort', () => {
          aborted = true
          resolve(DONE)
        }),
      ),
  )
  store.addCall(1, ['record'])
  worker.start()
  await until('it is being done', () => worker.size === 1)
  store.items[0]!.attempt = 7
  store.items[0]!.dueMs = Number.MAX_SAFE_INTEGER
  await until('it was let go', () => outcomes.length === 1)
  assert.deepEqual(outcomes, [['record', 'lost']])
  assert.equal(aborted, true)
  assert.equal(store.items[0]!.result, undefined)
  await close()
})

test('[LNE3] a job that throws is tried again, and its words are not kept', async () => {
  const { worker, store, outcomes, close } = rig(() => Promise.reject(new TypeError('secret words')))
  store.addCall(1, ['record'])
  worker.start()
  await until('it failed', () => outcomes.length === 1)
  assert.deepEqual(outcomes, [['record', 'retry']])
  assert.equal(store.items[0]!.error, 'the job threw TypeError')
  await close()
})

test('[LNE4][WE3] a database that is away in the middle loses nothing: the outcome is written when it is back', async () => {
  const { worker, store, close } = rig(
    async () => {
      store.isAway = true
      return DONE
    },
    { times: { leaseMs: 5_000 } },
  )
  store.addCall(1, ['record'])
  worker.start()
  await until('it is away', () => store.isAway)
  await until('the worker says so', () => worker.notReady().length > 0)
  store.isAway = false
  await until('it is written', () => store.inState('done').length === 1)
  assert.equal(store.items[0]!.attempt, 1)
  await until('the worker works again', () => worker.notReady().length === 0)
  await close()
})

test('[WE2] a job that outlasts its lease keeps it', async () => {
  const { worker, store, close } = rig(() => new Promise((resolve) => setTimeout(() => resolve(DONE), 500)))
  store.addCall(1, ['record'])
  worker.start()
  await until('it is done', () => store.inState('done').length === 1)
  assert.equal(store.items[0]!.attempt, 1)
  await close()
})

test('[WE4] analysis waits while other work has been due for long', async () => {
  const { worker, store, close } = rig(() => Promise.resolve(DONE), { times: { holdBackMs: 1_000 } })
  store.depths = [{ type: 'crm', state: 'ready', count: 9, oldestMs: 5_000 }]
  worker.start()
  await until('the depth is known', () => worker.depth?.length === 1)
  store.addCall(1, ['analysis'])
  store.addCall(2, ['record'])
  await until('the record is done', () => store.inState('done').length === 1)
  await new Promise((resolve) => setTimeout(resolve, 60))
  assert.deepEqual(
    store.inState('ready').map(({ type }) => type),
    ['analysis'],
  )
  store.depths = []
  await until('analysis goes on', () => store.inState('done').length === 2)
  await close()
})

test('[OPS-2][O14][WOP1] what the store has not said, or not for a while, is absent from the figures', async () => {
  const { worker, store, close } = rig(() => Promise.resolve(DONE), { times: { depthMs: 500 } })
  const registry = new Registry()
  new WorkMetrics().register(registry, () => worker.depth)
  const figures = async () =>
    (await registry.metrics()).split('\n').filter((line) => /^voice_postcall_(oldest|jobs)/.test(line))
  store.depths = [{ type: 'crm', state: 'ready', count: 2, oldestMs: 3_000 }]
  store.isAway = true
  worker.start()
  await until('it is away', () => worker.notReady().length > 0)
  assert.deepEqual(await figures(), [])
  store.isAway = false
  await until('the depth is known', () => worker.depth !== undefined)
  assert.deepEqual((await figures()).sort(), [
    'voice_postcall_jobs{type="crm",state="ready"} 2',
    'voice_postcall_oldest_seconds 3',
  ])
  store.isAway = true
  await until('the depth is too old', () => worker.depth === undefined)
  assert.deepEqual(await figures(), [])
  store.depths = []
  store.isAway = false
  await until('the depth is known again', () => worker.depth !== undefined)
  assert.deepEqual(await figures(), ['voice_postcall_oldest_seconds 0'])
  await close()
})

test('[O3][WE7] a failure is told in the log, once for each kind in a while', async () => {
  const told: { fields: object; message: string }[] = []
  const log = { ...silentLog, warn: (fields: object, message: string) => told.push({ fields, message }) }
  const { worker, store, close } = rig(async () => ({ kind: 'dead', error: 'analysis: the model refuses with 401' }), {
    log,
  })
  for (let n = 0; n < 20; n++) store.addCall(n, ['record'])
  worker.start()
  await until('all are dead', () => store.inState('dead').length === 20)
  assert.deepEqual(told, [
    {
      fields: { type: 'record', outcome: 'dead', error: 'analysis: the model refuses with 401', attempt: 1, untold: 0 },
      message: 'an item of work failed',
    },
  ])
  await close()
})

test('[WE5] what is missing is made again and again', async () => {
  const { worker, store, close } = rig(() => Promise.resolve(DONE))
  worker.start()
  await until('it was asked for thrice', () => store.derived >= 3)
  await close()
})

test('[WE6] a drain lets a job end and claims no more; at its bound the rest is aborted', async () => {
  const { worker, store, close } = rig((item) =>
    item.callSid.endsWith('1')
      ? new Promise((resolve) => setTimeout(() => resolve(DONE), 80))
      : new Promise<never>(() => undefined),
  )
  store.addCall(1, ['record'])
  store.addCall(2, ['record'])
  worker.start()
  await until('both are being done', () => worker.size === 2)
  const draining = worker.drain(250)
  store.addCall(3, ['record'])
  await draining
  assert.deepEqual(
    store.inState('done').map(({ id }) => id),
    ['1'],
  )
  assert.deepEqual(
    store.inState('running').map(({ id }) => id),
    ['2'],
  )
  assert.deepEqual(
    store.inState('ready').map(({ id }) => id),
    ['3'],
  )
  assert.deepEqual(worker.notReady(), ['over'])
  await close()
})

test('[WK4] an item that always fails is dead after its last attempt, and its successor goes on without it', async () => {
  const clock = new FakeClock()
  const wheel = new Wheel({ clock, onError: (error) => assert.fail(String(error)), manual: true })
  const store = new FakeStore(() => clock.monotonicMs())
  const jobs: Job[] = [
    { type: 'analysis', run: async () => ({ kind: 'retry', error: 'no', inMs: 0 }) },
    { type: 'crm', run: async () => DONE },
  ]
  const worker = new Worker({ name: 'w', store, jobs, clock, wheel, log: silentLog })
  store.addCall(1, ['analysis', 'crm'])
  worker.start()
  for (let hours = 0; hours < 3 * 3_600 && store.inState('done').length === 0; hours++) {
    clock.advance(1_000)
    wheel.advance()
    await new Promise((resolve) => setImmediate(resolve))
  }
  const [analysis, crm] = store.items
  assert.deepEqual([analysis!.state, analysis!.attempt, crm!.state], ['dead', ATTEMPTS_MAX, 'done'])
  void worker.drain(0)
  wheel.close()
})

test('[BO1] waits double with jitter up to their bound', () => {
  assert.deepEqual([backOffMs(1, 0), backOffMs(1, 0.999_9), backOffMs(2, 0)], [1_000, 2_000, 2_000])
  for (let attempt = 1; attempt <= 40; attempt++)
    for (const random of [0, 0.5, 0.999]) {
      const ms = backOffMs(attempt, random)
      assert.ok(ms >= 1_000 && ms <= BACK_OFF_MAX_MS)
    }
  assert.equal(backOffMs(30, 0), BACK_OFF_MAX_MS / 2)
})

test('[WK2] the store of these tests refuses who holds an item from before a person ran it again, as SQL does', async () => {
  const store = new FakeStore(() => systemClock.monotonicMs())
  store.addCall(1, ['record'])
  const claim = async (): Promise<WorkItem> =>
    (await store.claim({ worker: 'w', types: TYPES, max: 1, leaseMs: 60_000 }))[0]!
  const first = await claim()
  await store.fail(first, { kind: 'dead', error: 'no' })
  assert.deepEqual(await store.rerun(first.id), { kind: 'ready' })
  assert.deepEqual(await store.rerun(first.id), { kind: 'unknown' }, 'it is not dead')
  const second = await claim()
  assert.deepEqual([second.attempt, second.version], [first.attempt, first.version + 1])
  assert.deepEqual(await store.renew([first, second], 60_000), [first.id])
  assert.deepEqual(await store.finish(first, DONE), { kind: 'lost' })
  assert.deepEqual(await store.fail(first, { kind: 'dead', error: 'late' }), { kind: 'lost' })
  assert.deepEqual(await store.intend(first, 'k'), { kind: 'lost' })
  assert.deepEqual(await store.finish(second, DONE), { kind: 'done' })
})
