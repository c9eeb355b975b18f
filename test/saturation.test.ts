// A pod whose core is full: it sheds the next call in words, and its running calls lose nothing.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CALLS_MIN } from '../src/control/pod-capacity.ts'
import { Plane, stay } from './plane.ts'
import { newCallSid, RawCarrier } from './raw-carrier.ts'

const HELD_MS = 30_000
/** Of each STEP_MS the load takes BUSY_MS: more than the pod's share of the core. */
const BUSY_MS = 15
const STEP_MS = 20
const LEARNT_MAX_MS = 25_000

/** Keeps this thread busy, in parts that no call hears. */
function loadCore(): () => void {
  const timer = setInterval(() => {
    const untilMs = performance.now() + BUSY_MS
    while (performance.now() < untilMs);
  }, STEP_MS)
  return () => clearInterval(timer)
}

test('[POD-16] [P80] a pod whose core is full says so to the next call in words, and its running calls go on whole', () =>
  Plane.with({ env: { CALLS_MAX: '100', QUEUE_MAX: '0' } }, async (plane) => {
    const running = Array.from({ length: CALLS_MIN }, () =>
      plane.carrier.placeCall({ caller: stay(HELD_MS), probe: true }),
    )
    await plane.until(() => plane.calls().length === CALLS_MIN)
    const rest = loadCore()
    try {
      await plane.until(() => plane.edge.pod.driver.capacity.isSaturated, LEARNT_MAX_MS)
      const { status, body } = await new RawCarrier(plane.edge.url).voice(newCallSid())
      assert.equal(status, 200)
      assert.match(body, /<Say/)
      assert.doesNotMatch(body, /<Connect/)
      assert.ok((await plane.counter('voice_capacity_calls')) <= CALLS_MIN)
      assert.ok((await plane.counter('voice_call_cost_cores')) > 0)
    } finally {
      rest()
    }
    const reports = await Promise.all(running.map(({ done }) => done))
    for (const { wasDropped, framesSent } of reports) {
      assert.equal(wasDropped, false)
      assert.ok(framesSent > 0)
    }
    const witness = await plane.witness()
    assert.ok(
      witness.some(({ event }) => event === 'probe'),
      'no probe reached the model',
    )
    assert.deepEqual(
      witness.filter(({ event }) => event === 'frames_lost'),
      [],
    )
  }))
