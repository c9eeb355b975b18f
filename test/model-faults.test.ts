// What the model's side may do to a call: refuse, stall, drop, expire, talk nonsense. The call goes on or ends politely.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { NO_FAULTS } from '../sim/openai/options.ts'
import { LISTEN, Plane, type PlaneParts } from './plane.ts'

const STAY = { steps: [{ stayMs: 12_000 }], maxMs: 14_000, isEndedByAgent: true }

async function withPlane(parts: PlaneParts, run: (plane: Plane) => Promise<void>): Promise<void> {
  const plane = await Plane.open(parts)
  try {
    await run(plane)
    await plane.settled()
  } finally {
    await plane.close()
  }
}

for (const status of [401, 403, 404]) {
  test(`[CM4] a refusal with ${status} is final: the caller hears a sentence and the call ends`, () =>
    withPlane(
      { model: { faults: { ...NO_FAULTS, refuse: { status, code: 'refused', count: -1 } } } },
      async (plane) => {
        const report = await plane.call(STAY)
        assert.ok(report.durationMs < 8_000)
        const verbs = report.verbs.map(({ verb }) => verb)
        assert.deepEqual(verbs.slice(-2), ['Say', 'Hangup'])
        assert.equal(plane.ended[0]!.cause, 'model-refused')
      },
    ))
}

for (const status of [429, 503]) {
  test(`[ME4] a refusal with ${status} that passes is dialled again; the caller is greeted`, () =>
    withPlane(
      { model: { faults: { ...NO_FAULTS, refuse: { status, code: 'rate_limit_exceeded', count: 2 } } } },
      async (plane) => {
        const report = await plane.call(LISTEN)
        assert.deepEqual(report.scriptTimeouts, [])
        assert.ok(report.agentReceivedMs > 0)
      },
    ))
}

test('[ME4] a model that never comes is given up after the bound, and the person is dialled', () =>
  withPlane(
    {
      env: { FALLBACK_NUMBER: '+15005550009' },
      model: { faults: { ...NO_FAULTS, refuse: { status: 503, code: 'down', count: -1 } } },
    },
    async (plane) => {
      const report = await plane.call(STAY)
      assert.ok(report.verbs.some(({ verb, detail }) => verb === 'Dial' && detail.includes('+15005550009')))
      assert.equal(plane.ended[0]!.cause, 'model-lost')
    },
  ))

for (const act of [{ kind: 'drop' }, { kind: 'close', code: 1011 }, { kind: 'expire' }] as const) {
  test(`[CM4] a link lost by ${act.kind} while the agent speaks comes back with the history, and the agent speaks again`, () =>
    withPlane({}, async (plane) => {
      const line = await plane.say('I need an appointment')
      const placed = plane.carrier.placeCall({
        caller: {
          steps: [
            { waitForAgent: 'finished', timeoutMs: 10_000 },
            { say: line },
            { waitForAgent: 'speaking', timeoutMs: 8_000 },
            { pauseMs: 4_000 },
            { waitForAgent: 'finished', timeoutMs: 10_000 },
            { hangUp: true },
          ],
          maxMs: 30_000,
        },
      })
      await plane.until(
        () =>
          plane.calls()[0]?.state.transcript.items.some((item) => item.kind === 'tool' && item.output !== undefined) ??
          false,
      )
      await fetch(`${plane.model.controlUrl}/sim/faults`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ act }),
      })
      const report = await placed.done
      assert.equal(report.wasDropped, false)
      const log = await plane.witness()
      assert.equal(log.filter(({ event }) => event === 'session_opened').length, 2)
      assert.equal(plane.ended[0]!.call.state.resumes, 1)
      assert.deepEqual(report.scriptTimeouts, [])
    }))
}

test('[TU1] a model that does not answer within its bound is dialled again', () =>
  withPlane({ env: { MODEL_STALL_MS: '1000' } }, async (plane) => {
    const placed = plane.carrier.placeCall({ caller: { steps: [{ stayMs: 7_000 }, { hangUp: true }], maxMs: 12_000 } })
    await plane.until(() => plane.model.liveSessions() === 1)
    await fetch(`${plane.model.controlUrl}/sim/faults`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ act: { kind: 'stall', ms: 20_000 } }),
    })
    const report = await placed.done
    assert.equal(report.wasDropped, false)
    assert.ok((await plane.witness()).filter(({ event }) => event === 'session_opened').length >= 2)
  }))

test('[OS2] a session is renewed before its cap, at a turn boundary, unheard', () =>
  withPlane({ env: { MODEL_SESSION_MAX_MS: '60000' }, model: { sessionCapMs: 6_000 } }, async (plane) => {
    const report = await plane.call({ steps: [{ stayMs: 9_000 }, { hangUp: true }], maxMs: 15_000 })
    assert.equal(report.wasDropped, false)
    assert.deepEqual(report.gapsMs, [])
    const log = await plane.witness()
    assert.equal(log.filter(({ event }) => event === 'session_opened').length, 2)
    assert.equal(plane.ended[0]!.call.state.resumes, 0)
  }))

test('odd deltas, unknown events, reordered ends, late deltas and doubled calls change nothing for the caller', () =>
  withPlane(
    {
      model: {
        chunkLaw: { firstMs: 37, minMs: 11, maxMs: 173, alignBytes: 1 },
        faults: { ...NO_FAULTS, unknownEvents: true, reorderDones: true, duplicateCalls: true, lateDeltas: 3 },
      },
    },
    async (plane) => {
      const line = await plane.say('I need an appointment')
      const report = await plane.call({
        steps: [
          { bargeIn: line, afterAgentMs: 800 },
          { waitForAgent: 'finished', timeoutMs: 12_000 },
          { hangUp: true },
        ],
        maxMs: 20_000,
      })
      assert.equal(report.wasDropped, false)
      assert.deepEqual(report.scriptTimeouts, [])
      const outputs = (await plane.witness()).filter(({ event }) => event === 'function_output')
      assert.equal(outputs.length, 1)
    },
  ))

test('[ME3] a response that fails for a passing reason is asked for once more', () =>
  withPlane({ model: { faults: { ...NO_FAULTS, rateLimitedResponses: 1 } } }, async (plane) => {
    const report = await plane.call(LISTEN)
    assert.deepEqual(report.scriptTimeouts, [])
    assert.ok(report.agentReceivedMs > 0)
  }))
