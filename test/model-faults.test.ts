// What the model's side may do to a call: refuse, stall, drop, expire, talk nonsense. The call goes on, or ends politely.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { assertUnbroken, clinicScript, LISTEN, Plane, type PlaneParts, stay, type WitnessLine } from './plane.ts'

const ENDED_BY_PLANE = { ...stay(9_000), isEndedByAgent: true }
const BRIEF = clinicScript([
  { say: 'Good morning, this is the clinic.' },
  {
    expectCaller: 'I need an appointment.',
    call: { name: 'find_available_slots', arguments: { service: 'check-up' } },
    thenSay: 'I can offer you a time tomorrow at ten. Would that suit you, or shall I look for another one?',
  },
])

const refusing = (status: number, count: number): PlaneParts => ({
  model: { faults: { refuse: { status, code: status === 429 ? 'rate_limit_exceeded' : 'refused', count } } },
})
const count = (log: WitnessLine[], name: string): number => log.filter(({ event }) => event === name).length

describe('a model that', { concurrency: 8 }, () => {
  for (const status of [401, 403, 404]) {
    test(`[MODEL-2][CM4] refuses with ${status} for good: it is asked once, the caller hears a sentence, the call ends`, () =>
      Plane.with(refusing(status, -1), async (plane) => {
        const report = await plane.call(ENDED_BY_PLANE)
        assert.deepEqual(
          report.verbs.slice(-2).map(({ verb }) => verb),
          ['Say', 'Hangup'],
        )
        assert.equal(plane.ended[0]!.cause, 'model-refused')
        assert.equal(count(await plane.witness(), 'session_refused'), 1)
      }))
  }

  for (const status of [429, 503]) {
    test(`[ME4] refuses with ${status} twice is dialled again, and the caller is greeted`, () =>
      Plane.with(refusing(status, 2), async (plane) => {
        const report = await plane.call(LISTEN)
        assert.deepEqual([report.scriptTimeouts, report.wasDropped], [[], false])
        assert.ok(report.agentPlayedMs > 0)
      }))
  }

  test('[MODEL-3][ME4] never comes is given up after the bound, and the person is dialled', () =>
    Plane.with({ ...refusing(503, -1), env: { FALLBACK_NUMBER: '+15005550009' } }, async (plane) => {
      const report = await plane.call(ENDED_BY_PLANE)
      assert.ok(
        report.verbs.some(({ verb, detail }) => verb === 'Dial' && detail.includes('+15005550009')),
        report.verbs.map(({ verb }) => verb).join(' '),
      )
      assert.equal(plane.ended[0]!.cause, 'model-lost')
      assert.equal(count(await plane.witness(), 'session_refused'), 6)
    }))

  test('[CM4] is full and says so only after the upgrade is dialled again until the bound', () =>
    Plane.with({ model: { ceiling: 0, ceilingMode: 'after-upgrade' } }, async (plane) => {
      const report = await plane.call(ENDED_BY_PLANE)
      assert.equal(report.verbs.at(-1)?.verb, 'Hangup')
      assert.ok(['model-lost', 'model-refused'].includes(plane.ended[0]!.cause))
    }))

  for (const fault of ['connectDelayMs', 'updatedDelayMs'] as const) {
    test(`[OS4] is silent before it is ready (${fault}) is given up within the bound and dialled anew`, () =>
      Plane.with({ env: { MODEL_CONNECT_MS: '1000' }, model: { faults: { [fault]: 60_000 } } }, async (plane) => {
        const placed = plane.carrier.placeCall({ caller: { ...LISTEN, maxMs: 8_000 } })
        await plane.until(() => plane.calls().length === 1)
        await new Promise((resolve) => setTimeout(resolve, 700))
        plane.model.faults[fault] = 0
        const report = await placed.done
        assert.deepEqual([report.scriptTimeouts, report.wasDropped], [[], false])
        assert.ok(report.firstAudioMs !== undefined && report.firstAudioMs < 2_500, `${report.firstAudioMs} ms`)
      }))
  }

  for (const act of [{ kind: 'drop' }, { kind: 'close', code: 1011 }, { kind: 'expire' }] as const) {
    test(`[MODEL-1][CM4] is lost by ${act.kind} while the agent speaks comes back with the history, and the agent speaks again`, () =>
      Plane.with({ hasRelay: true, model: { scripts: [BRIEF] } }, async (plane) => {
        const steps = [
          { waitForAgent: 'finished' as const, timeoutMs: 8_000 },
          { say: await plane.say('I need an appointment') },
          { waitForAgent: 'speaking' as const, timeoutMs: 8_000 },
          { pauseMs: 4_000 },
          { waitForAgent: 'finished' as const, timeoutMs: 10_000 },
          { hangUp: true as const },
        ]
        const placed = plane.carrier.placeCall({ caller: { steps, maxMs: 30_000 } })
        await plane.until(() => isAnswering(plane))
        await plane.act(act)
        const report = await placed.done
        assert.deepEqual([report.wasDropped, report.scriptTimeouts], [false, []])
        const log = await plane.witness()
        assert.equal(count(log, 'session_opened'), 2)
        assert.deepEqual(
          refusalsIn(log).filter((code) => code !== 'session_expired'),
          [],
        )
        assert.equal(plane.ended[0]!.call.state.modelRedials, 1)
        assert.deepEqual(plane.relay!.itemsOf(1), [
          'assistant: Good morning, this is the clinic.',
          'user: I need an appointment.',
          'call: find_available_slots',
          'output',
        ])
        const second = plane.relay!.sessions[1]!.map(({ type }) => type)
        assert.ok(second.includes('response.create'), 'the new session was not asked to speak')
      }))
  }

  test('[MODEL-1][CM4] drops the link mid-speech: what was sent is still heard, nothing is left over', () => {
    const faults = { midResponse: { afterAudioMs: 800, act: { kind: 'drop' as const }, count: 1 } }
    return Plane.with({ model: { scripts: [BRIEF], faults } }, async (plane) => {
      const report = await plane.call({
        steps: [{ waitForAgent: 'speaking', timeoutMs: 5_000 }, { pauseMs: 3_500 }, { hangUp: true }],
        maxMs: 15_000,
      })
      assert.deepEqual([report.wasDropped, report.scriptTimeouts], [false, []])
      assert.equal(count(await plane.witness(), 'session_opened'), 2)
      assert.ok(report.agentPlayedMs > 1_500, `${report.agentPlayedMs}`)
    })
  })

  test('[MODEL-4] does not answer within its bound is dialled again', () =>
    Plane.with({ env: { MODEL_STALL_MS: '1000' } }, async (plane) => {
      const placed = plane.carrier.placeCall({ caller: stay(5_000) })
      await plane.until(() => plane.model.liveSessions() === 1)
      await plane.act({ kind: 'stall', ms: 20_000 })
      const report = await placed.done
      assert.equal(report.wasDropped, false)
      assert.ok(count(await plane.witness(), 'session_opened') >= 2)
      assert.ok(report.agentPlayedMs > 500, 'the caller was left in silence')
    }))

  const caps: [string, PlaneParts, number][] = [
    ['tells when it expires', { model: { sessionCapMs: 6_000, scripts: [BRIEF] } }, 8_500],
    [
      'is older than MODEL_SESSION_MAX_MS',
      { env: { MODEL_SESSION_MAX_MS: '10000' }, model: { scripts: [BRIEF] } },
      11_500,
    ],
  ]
  for (const [what, parts, ms] of caps) {
    test(`[MODEL-5][OS2] ${what} is replaced in time, at a turn boundary, and the caller hears nothing of it`, () =>
      Plane.with({ hasRelay: true, ...parts }, async (plane) => {
        const report = await plane.call(stay(ms))
        assert.deepEqual([report.wasDropped, report.utterances], [false, 1])
        assertUnbroken(report)
        const log = await plane.witness()
        assert.equal(count(log, 'session_opened'), 2)
        assert.deepEqual(plane.relay!.itemsOf(1), ['assistant: Good morning, this is the clinic.'])
        assert.equal(plane.ended[0]!.call.state.modelRedials, 0)
        const closes = log.flatMap(({ event, code }) => (event === 'session_closed' ? [code] : []))
        assert.deepEqual(closes, [1000, 1000], 'a session ran into its cap')
      }))
  }

  test('sends odd deltas, unknown events, ends out of order, late deltas and doubled calls changes nothing for the caller', () =>
    Plane.with(
      {
        model: {
          scripts: [BRIEF],
          chunkLaw: { firstMs: 37, minMs: 11, maxMs: 173, alignBytes: 1 },
          faults: { unknownEvents: true, reorderDones: true, duplicateCalls: true, lateDeltas: 3 },
        },
      },
      async (plane) => {
        const steps = [
          { bargeIn: await plane.say('I need an appointment'), afterAgentMs: 600 },
          { waitForAgent: 'finished' as const, timeoutMs: 12_000 },
          { hangUp: true as const },
        ]
        const report = await plane.call({ steps, maxMs: 20_000 })
        assert.deepEqual([report.wasDropped, report.scriptTimeouts], [false, []])
        assertUnbroken(report)
        const log = await plane.witness()
        assert.equal(count(log, 'function_output'), 1)
        assert.deepEqual(refusalsIn(log), [])
        assert.equal(report.agentReceivedMs - report.agentPlayedMs < 1_500, true)
      },
    ))

  test('sends odd deltas in 24 kHz, cut inside a sample, leaves no hole in what is heard', () =>
    Plane.with(
      {
        env: { MODEL_AUDIO: 'pcm16' },
        model: { scripts: [BRIEF], chunkLaw: { firstMs: 37, minMs: 11, maxMs: 173, alignBytes: 1 } },
      },
      async (plane) => {
        const report = await plane.call({
          steps: [{ waitForAgent: 'finished', timeoutMs: 8_000 }, { hangUp: true }],
          maxMs: 12_000,
        })
        assert.deepEqual([report.wasDropped, report.scriptTimeouts], [false, []])
        assertUnbroken(report)
        const sent = (await plane.witness()).find(({ event }) => event === 'response_done')
        assert.ok(Math.abs(Number(sent?.audio_ms) - report.agentReceivedMs) <= 20, `${sent?.audio_ms} ms were sent`)
      },
    ))

  test('[ME3] fails a response for a passing reason is asked once more', () =>
    Plane.with({ model: { faults: { rateLimitedResponses: 1 } } }, async (plane) => {
      const report = await plane.call(LISTEN)
      assert.deepEqual([report.scriptTimeouts, report.wasDropped], [[], false])
      assert.ok(report.agentPlayedMs > 0)
    }))

  test('[ME3] fails every response for its limit is not asked for ever: the caller hears a sentence', () =>
    Plane.with({ model: { faults: { rateLimitedResponses: 1_000 } } }, async (plane) => {
      const report = await plane.call({ ...stay(20_000), isEndedByAgent: true })
      assert.equal(plane.ended[0]?.cause, 'unanswered')
      assert.deepEqual(
        report.verbs.slice(-2).map(({ verb }) => verb),
        ['Say', 'Hangup'],
      )
      assert.equal(count(await plane.witness(), 'response_created'), 4, 'two waits, then another link')
    }))
})

/** Codes of what the simulator refused, but for the proof of life that asks for an item nobody has (PF1). */
function refusalsIn(log: readonly Record<string, unknown>[]): unknown[] {
  const codes = log.flatMap(({ event, code }) => (event === 'client_error' ? [code] : []))
  return codes.filter((code) => code !== 'item_retrieve_invalid_item_id')
}

/** Is the agent in its second answer, with the tool's output given? */
function isAnswering(plane: Plane): boolean {
  const state = plane.calls()[0]?.state
  const hasOutput = state?.transcript.items.some((item) => item.kind === 'tool' && item.output !== undefined) ?? false
  return hasOutput && state?.response.kind === 'active' && state.response.hasAudio
}
