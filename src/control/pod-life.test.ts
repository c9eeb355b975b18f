// The life of a pod: its rules one by one (any sequence of events: pod-life-property.test.ts).
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import type { CallSid } from '../kit/ids.ts'
import {
  FLUSH_MAX_MS,
  FORCE_WAIT_MS,
  HANDOVER_EVERY_MS,
  MARGIN_MS,
  type PodEvent,
  type PodLifeSettings,
  penaltyNow,
  RETRY_MS,
  SLOW_START_CALLS,
  SLOW_START_MS,
} from './pod-life.ts'
import { Life, many, SETTINGS, sid } from './testing/life.ts'

const ready = (settings: Partial<PodLifeSettings> = {}): Life => new Life(settings, { kind: 'started' })
const moved = (callSid: CallSid, hasMoved = true): PodEvent => ({ kind: 'handover-ended', callSid, hasMoved })

suite('the life of a pod', () => {
  test('[LV1] [LV2] what the pod shows of itself in each phase', () => {
    const life = new Life()
    assert.deepEqual(life.face, ['warming', false, false])
    life.take({ kind: 'started' })
    assert.deepEqual(life.face, ['ready', true, true])
    life.take({ kind: 'cordon' })
    assert.deepEqual(life.face, ['cordoned', true, true])
    life.take({ kind: 'uncordon' })
    life.take({ kind: 'store-lost' })
    assert.deepEqual(life.face, ['cordoned', true, true])
    life.take({ kind: 'store-found' })
    assert.deepEqual(life.face, ['ready', true, true])
    life.calls = many(1)
    life.take({ kind: 'drain', cause: 'request' })
    assert.deepEqual(life.face, ['draining', true, false])
    life.run(20_100)
    assert.equal(life.phase, 'migrating')
    assert.deepEqual(life.face, ['draining', true, false])
    life.calls = []
    life.run(100)
    assert.equal(life.phase, 'flushing')
    assert.deepEqual(life.face, ['draining', false, false])
    life.take({ kind: 'flushed' })
    assert.deepEqual(life.face, ['down', false, false])
  })

  test('[LV3] lag cordons and calm brings back, unless the operator wants it cordoned', () => {
    const life = ready()
    life.lag(60, 2)
    assert.equal(life.phase, 'cordoned')
    life.take({ kind: 'cordon' })
    life.lag(0, 6)
    assert.equal(life.phase, 'cordoned')
    life.take({ kind: 'uncordon' })
    assert.equal(life.phase, 'ready')
    const asked = new Life({}, { kind: 'cordon' }, { kind: 'started' })
    assert.equal(asked.phase, 'cordoned')
  })

  test('[LV4] a pod without calls waits for promised streams, then flushes', () => {
    const life = ready()
    life.take({ kind: 'drain', cause: 'scale-in' })
    life.run(9_900)
    assert.equal(life.phase, 'draining')
    life.run(100)
    assert.equal(life.phase, 'flushing')
    const alone = ready({ arrivalsMs: 0 })
    alone.take({ kind: 'signal' })
    alone.run(100)
    assert.equal(alone.phase, 'flushing')
  })

  test('[LV4] [LV6] a later drain never moves the deadline; at the deadline what is left is forced, once', () => {
    const life = ready()
    life.calls = many(2)
    life.take({ kind: 'drain', cause: 'request' })
    life.run(50_000)
    life.take({ kind: 'drain', cause: 'request' })
    life.take({ kind: 'signal' })
    life.run(SETTINGS.graceMs - MARGIN_MS - 50_000 - 100)
    assert.deepEqual(life.of('force'), [])
    life.run(200)
    assert.deepEqual(
      life.of('force').map(({ cause, atMs }) => [cause, atMs]),
      [['deadline', SETTINGS.graceMs - MARGIN_MS]],
    )
    life.run(5_000)
    assert.equal(life.of('force').length, 1)
  })

  test('[LV5] one handover each 200 ms, at most inFlightMax at once', () => {
    const life = ready({ inFlightMax: 3 })
    life.calls = many(10)
    life.take({ kind: 'signal' })
    life.run(SETTINGS.naturalMs + 2_000)
    const first = life.of('handover-next')
    assert.deepEqual(
      first.map(({ callSid }) => callSid),
      many(3),
    )
    assert.equal(first[1]!.atMs - first[0]!.atMs, HANDOVER_EVERY_MS)
    life.take(moved(sid(1)))
    life.calls = life.calls.filter((one) => one !== sid(1))
    life.run(200)
    assert.equal(life.of('handover-next').at(-1)!.callSid, sid(3))
  })

  test('[LV5] a call whose handover failed rests, then is tried again', () => {
    const life = ready()
    life.calls = many(1)
    life.take({ kind: 'signal' })
    life.run(SETTINGS.naturalMs)
    const failedAtMs = life.nowMs
    life.take(moved(sid(0), false))
    life.run(RETRY_MS + 200)
    const times = life.of('handover-next').map(({ atMs }) => atMs)
    assert.deepEqual(times, [failedAtMs, failedAtMs + RETRY_MS])
  })

  test('[LV6] [LV7] the second signal forces, waits shortly for the calls, flushes and exits', () => {
    const life = ready()
    life.calls = many(5)
    life.take({ kind: 'signal' })
    life.run(1_000)
    life.take({ kind: 'signal' })
    assert.deepEqual(life.of('force')[0]?.cause, 'second-signal')
    life.take({ kind: 'signal' })
    life.run(FORCE_WAIT_MS - 100)
    assert.equal(life.of('flush').length, 0)
    life.run(100)
    assert.equal(life.of('flush').length, 1)
    life.take({ kind: 'flushed' })
    assert.deepEqual(life.of('exit')[0]?.cause, 'flushed')
    assert.equal(life.of('force').length, 1)
  })

  test('[LV6] a signal after a drain by request is the first signal', () => {
    const life = ready()
    life.calls = many(1)
    life.take({ kind: 'drain', cause: 'request' })
    life.take({ kind: 'signal' })
    assert.equal(life.phase, 'draining')
    life.take({ kind: 'signal' })
    assert.equal(life.phase, 'flushing')
  })

  test('[LV7] a flush that never ends is left after its bound', () => {
    const life = ready({ arrivalsMs: 0 })
    life.take({ kind: 'signal' })
    life.run(100)
    life.run(FLUSH_MAX_MS)
    assert.deepEqual(life.of('exit')[0]?.cause, 'flush-overdue')
  })

  test('[LV8] a fenced pod closes all, flushes nothing, and exits when its calls are gone or overdue', () => {
    const life = ready()
    life.calls = many(2)
    life.take({ kind: 'fenced' })
    assert.deepEqual(life.face, ['fenced', false, false])
    assert.deepEqual(life.of('force')[0]?.cause, 'fenced')
    life.take({ kind: 'signal' })
    life.take({ kind: 'drain', cause: 'request' })
    life.run(FORCE_WAIT_MS - 100)
    assert.equal(life.phase, 'fenced')
    life.run(100)
    assert.deepEqual(life.of('exit')[0]?.cause, 'fenced')
    assert.deepEqual(life.of('flush'), [])
  })

  test('[LV9] the penalty of a fresh pod falls to nothing in thirty seconds', () => {
    const life = ready()
    assert.equal(penaltyNow(life.state, 0), SLOW_START_CALLS)
    assert.equal(penaltyNow(life.state, SLOW_START_MS / 2), SLOW_START_CALLS / 2)
    assert.equal(penaltyNow(life.state, SLOW_START_MS), 0)
    life.lag(30, 1)
    assert.equal(penaltyNow(life.state, SLOW_START_MS), 5)
    assert.deepEqual(life.of('announce').at(-1)?.atMs, 1_000)
  })

  test('[LV10] a pod that lags badly moves one call a second, while others handle their own', () => {
    const life = ready()
    life.calls = many(5)
    life.lag(150, 6)
    assert.deepEqual(
      life.of('handover-next').map(({ callSid, cause }) => [callSid, cause]),
      [[sid(0), 'lag']],
    )
    life.take(moved(sid(0)))
    life.calls.shift()
    life.lag(150, 2)
    assert.equal(life.of('handover-next').length, 2, 'the second runs: one at a time')
  })
})
