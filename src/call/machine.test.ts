// The call's machine: any sequence of events by property, and the rules of its life one by one.
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import fc from 'fast-check'
import { isWorthKeeping, readCheckpoint, resumeFrom, writeCheckpoint } from './checkpoint.ts'
import { step } from './machine.ts'
import type { ModelEvent } from './ports.ts'
import {
  type CallEvent,
  type CallSettings,
  type CallState,
  type Effect,
  FAILOVER_CALM_MS,
  initialState,
  redialAfterMs,
  TIMER_NAMES,
} from './state.ts'
import { testSettings } from './testing/settings.ts'

const READY: ModelEvent = { kind: 'ready', expiresInMs: undefined, renewed: false }
const model = (event: ModelEvent): CallEvent => ({ kind: 'model', event })
const lost = (fatal = false): CallEvent => model({ kind: 'lost', loss: { code: 'x', fatal } })

/** A call that takes events; `effects` are those of the last one. */
class Life {
  state: CallState = initialState()
  effects: Effect[] = []
  readonly settings: CallSettings
  constructor(settings: Partial<CallSettings> = {}, ...events: CallEvent[]) {
    this.settings = testSettings({ greeting: { kind: 'agent' }, transcriptMaxItems: 5, ...settings })
    for (const event of events) this.take(event)
  }
  take(event: CallEvent): Effect[] {
    const { state, effects } = step(this.state, event, this.settings)
    this.state = state
    this.effects = effects
    return effects
  }
  kinds(): string[] {
    return this.effects.map((effect) => effect.kind)
  }
  find<K extends Effect['kind']>(kind: K): (Effect & { kind: K }) | undefined {
    return this.effects.find((effect): effect is Effect & { kind: K } => effect.kind === kind)
  }
}
const live = (settings: Partial<CallSettings> = {}): Life =>
  new Life(settings, { kind: 'opened' }, { kind: 'leg-opened' }, model(READY))
const quiet = (settings: Partial<CallSettings> = {}): Life => live({ greeting: { kind: 'caller-first' }, ...settings })

const id = fc.constantFrom('a', 'b', 'c')
const text = fc.string({ maxLength: 30 })
const loss = fc.record({ code: id, fatal: fc.nat(30).map((n) => n === 0) })
const usage = fc.option(
  fc.constant({ inputTokens: 1, outputTokens: 2, inputAudioTokens: 3, outputAudioTokens: 4, cachedTokens: 5 }),
  { nil: undefined },
)
const ended = fc.record({
  kind: fc.constant('response-ended' as const),
  responseId: id,
  status: fc.constantFrom('completed' as const, 'cancelled' as const, 'incomplete' as const, 'failed' as const),
  code: fc.constantFrom('rate_limit_exceeded', 'other'),
  usage,
})
const modelEvent: fc.Arbitrary<ModelEvent> = fc.oneof(
  fc.record({
    kind: fc.constant('ready' as const),
    expiresInMs: fc.option(fc.nat(4e6), { nil: undefined }),
    renewed: fc.boolean(),
  }),
  fc.record({ kind: fc.constantFrom('lost' as const, 'renewal-failed' as const), loss }),
  fc.record({
    kind: fc.constantFrom('speech-started' as const, 'speech-stopped' as const, 'audio-ended' as const),
    itemId: id,
  }),
  fc.record({ kind: fc.constant('response-started' as const), responseId: id }),
  ended as fc.Arbitrary<ModelEvent>,
  fc.record({ kind: fc.constantFrom('caller-said' as const, 'agent-said' as const), itemId: id, text }),
  fc.record({ kind: fc.constant('tool-called' as const), toolCallId: id, name: id, arguments: text }),
  fc.record({
    kind: fc.constant('tool-answered' as const),
    toolCallId: id,
    name: id,
    output: text,
    respond: fc.boolean(),
  }),
  fc.record({ kind: fc.constant('response-wanted' as const), instructions: text }),
  fc.constant({ kind: 'interrupt-wanted' as const }),
  fc.record({
    kind: fc.constant('request-refused' as const),
    code: fc.constantFrom('conversation_already_has_active_response', 'odd'),
    requestId: fc.constantFrom('vp-1', 'vp-2', 'vp-3', undefined),
  }),
  fc.record({ kind: fc.constant('agent-failed' as const), message: text }),
)
const cutItem = fc
  .record({ itemId: id, responseId: id, heardMs: fc.nat(9_000), receivedMs: fc.nat(9_000), isComplete: fc.boolean() })
  .map((item) => ({ ...item, heardMs: Math.min(item.heardMs, item.receivedMs) }))
const anyEvent: fc.Arbitrary<CallEvent> = fc.oneof(
  { weight: 20, arbitrary: modelEvent.map(model) },
  {
    weight: 3,
    arbitrary: fc.constantFrom<CallEvent>({ kind: 'opened' }, { kind: 'leg-opened' }, { kind: 'playout-idle' }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('digit' as const), digit: fc.constantFrom('1', '#') }) },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('timer' as const),
      name: fc.constantFrom(...TIMER_NAMES),
    }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('audio-begun' as const), responseId: id }) },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant('cut' as const), items: fc.array(cutItem, { maxLength: 3 }) }),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom<CallEvent>(
      { kind: 'end-wanted' },
      { kind: 'transfer-wanted', to: '+1' },
      { kind: 'drain-over' },
      { kind: 'media-silent' },
      { kind: 'carrier-ended' },
      { kind: 'leg-ended', end: { cause: 'overflow', code: 1006 } },
    ),
  },
)

suite('any sequence of events', () => {
  test('[CM1] never throws, ends at most once, and after the end does nothing', () => {
    const property = fc.property(fc.array(anyEvent, { maxLength: 80 }), (events) => {
      const life = new Life()
      let ends = 0
      for (const event of events) {
        const wasEnded = life.state.phase.kind === 'ended'
        const effects = life.take(event)
        if (wasEnded) assert.deepEqual(effects, [])
        const at = effects.findIndex((effect) => effect.kind === 'ended')
        if (at >= 0) assert.equal(at, effects.length - 1, 'nothing is done after the end')
        ends += at >= 0 ? 1 : 0
      }
      assert.equal(ends, life.state.phase.kind === 'ended' ? 1 : 0)
    })
    fc.assert(property, { numRuns: 500 })
  })

  test('[CM2] at most one response is asked for at a time', () => {
    const frees = new Set(['response-ended', 'request-refused', 'lost', 'ready'])
    const property = fc.property(fc.array(anyEvent, { maxLength: 80 }), (events) => {
      const life = new Life()
      for (const event of events) {
        const before = life.state.response.kind
        const asked = life.take(event).filter((effect) => effect.kind === 'respond')
        assert.ok(asked.length <= 1)
        const isFreeing =
          (event.kind === 'model' && frees.has(event.event.kind)) ||
          (event.kind === 'timer' && event.name === 'model-answer')
        if (asked.length === 1 && !isFreeing) assert.equal(before, 'idle')
        if (asked.length === 1) assert.equal(life.state.response.kind, 'requested')
      }
    })
    fc.assert(property, { numRuns: 500 })
  })

  test('[ST2] the state is JSON at each step, and a call that was read back goes on in the same way', () => {
    const property = fc.property(fc.array(anyEvent, { maxLength: 40 }), fc.nat(40), (events, at) => {
      const life = new Life()
      const twin = new Life()
      for (const [i, event] of events.entries()) {
        const before = JSON.stringify(life.state)
        const frozen = life.state
        if (i === at) {
          const reading = readCheckpoint(writeCheckpoint(twin.state))
          assert.ok(reading.kind === 'read')
          twin.state = reading.state
        }
        assert.equal(JSON.stringify(twin.take(event)), JSON.stringify(life.take(event)))
        assert.equal(JSON.stringify(frozen), before, 'a step changes no older state')
        const { items } = life.state.transcript
        assert.ok(items.length <= testSettings().transcriptMaxItems && life.state.digits.length <= 64)
      }
    })
    fc.assert(property, { numRuns: 300 })
  })
})

suite('the ends of a call', () => {
  const ends: [string, CallEvent, string, string][] = [
    ['stop', { kind: 'leg-ended', end: { cause: 'stop', code: 1000 } }, 'caller-hung-up', 'none'],
    ['close', { kind: 'leg-ended', end: { cause: 'closed', code: 1000 } }, 'caller-hung-up', 'none'],
    ['loss', { kind: 'leg-ended', end: { cause: 'lost', code: 1006 } }, 'carrier-lost', 'none'],
    ['overflow', { kind: 'leg-ended', end: { cause: 'overflow', code: 1006 } }, 'carrier-lost', 'none'],
    ['the status callback', { kind: 'carrier-ended' }, 'caller-hung-up', 'none'],
    ['silence of the media', { kind: 'media-silent' }, 'media-silent', 'hang-up'],
    ['the drain', { kind: 'drain-over' }, 'drained', 'hang-up'],
    ['a fatal refusal', lost(true), 'model-refused', 'hang-up'],
  ]
  for (const [what, event, cause, next] of ends)
    test(`[CM3] ${what} ends the call: timers cleared, leg and model closed, ended said last`, () => {
      const life = live()
      life.take(event)
      assert.ok(life.state.phase.kind === 'ended')
      assert.deepEqual([life.state.phase.cause, life.state.phase.next.kind], [cause, next])
      const cleared = life.effects.flatMap((effect) => (effect.kind === 'clear-timer' ? [effect.name] : []))
      for (const name of TIMER_NAMES) assert.ok(cleared.includes(name), name)
      assert.equal(life.kinds().includes('close-leg'), event.kind !== 'leg-ended')
      assert.deepEqual(life.kinds().slice(-2), ['close-model', 'ended'])
    })

  test('[CM3] a stream that never comes ends the call; one that came does not', () => {
    const life = new Life({}, { kind: 'opened' }, model(READY), { kind: 'timer', name: 'stream-awaited' })
    assert.deepEqual(life.find('ended')?.cause, 'stream-never-came')
    assert.deepEqual(live().take({ kind: 'timer', name: 'stream-awaited' }), [])
  })

  test('[CM5] a call that wants to end says what it has begun to say, then closes', () => {
    const life = live()
    life.take(model({ kind: 'response-started', responseId: 'r' }))
    life.take({ kind: 'audio-begun', responseId: 'r' })
    life.take({ kind: 'end-wanted' })
    assert.deepEqual(life.find('set-timer'), { kind: 'set-timer', name: 'closing', ms: testSettings().closingMaxMs })
    assert.deepEqual(life.take({ kind: 'playout-idle' }), [])
    life.take(model({ kind: 'response-ended', responseId: 'r', status: 'completed' }))
    assert.equal(life.state.phase.kind, 'closing')
    life.take({ kind: 'playout-idle' })
    assert.deepEqual(life.find('ended'), { kind: 'ended', cause: 'agent-ended', next: { kind: 'hang-up' } })
  })

  test('[CM5] a closing call is bounded, keeps its first cause, and a caller who hangs up does not change the transfer', () => {
    const life = quiet()
    life.take({ kind: 'transfer-wanted', to: '+49' })
    assert.deepEqual(life.take({ kind: 'end-wanted' }), [])
    life.take({ kind: 'timer', name: 'closing' })
    assert.deepEqual(life.find('ended'), { kind: 'ended', cause: 'transferred', next: { kind: 'transfer', to: '+49' } })
    const other = quiet()
    other.take({ kind: 'transfer-wanted', to: '+49' })
    other.take({ kind: 'leg-ended', end: { cause: 'stop', code: 1000 } })
    assert.equal(other.find('ended')?.cause, 'transferred')
  })

  test('[CM5][CB3] the longest call is closed with a sentence, if the goodbye that the agent was asked for does not come', () => {
    const life = quiet()
    life.take({ kind: 'timer', name: 'call-max' })
    assert.match(life.find('respond')?.instructions ?? '', /goodbye/)
    life.take({ kind: 'playout-idle' })
    assert.equal(life.find('ended'), undefined, 'it is awaited')
    life.take({ kind: 'timer', name: 'closing' })
    assert.deepEqual(life.find('ended')?.next, { kind: 'hang-up', sentence: 'Sorry.' })
  })

  test('[CM4] a call without its model goes to a person when there is one', () => {
    const life = live({ fallbackNumber: '+1555' })
    life.take(lost(true))
    assert.deepEqual(life.find('ended')?.next, { kind: 'transfer', to: '+1555' })
  })
})

test('[CK1] what is no checkpoint of this version is unreadable, never an exception', () => {
  for (const [textOf, reason] of [
    ['{', 'is not JSON'],
    ['7', 'is not an object'],
    ['null', 'is not an object'],
    ['{"version":0}', 'has another version'],
    ['{"version":1}', 'lacks its transcript or phase'],
    ['{"version":1,"phase":{"kind":"live"},"transcript":{"items":{}}}', 'lacks its transcript or phase'],
    ['{"version":1,"phase":null,"transcript":null}', 'lacks its transcript or phase'],
  ] as const)
    assert.deepEqual(readCheckpoint(textOf), { kind: 'unreadable', reason })
  fc.assert(fc.property(fc.oneof(fc.json(), fc.string()), (any) => readCheckpoint(any).kind === 'unreadable'))
})

test('[CK1] a checkpoint of an earlier program is read: what it lacks has its initial value', () => {
  const { failovers: _, handovers: __, modelRedials: ___, ...earlier } = initialState()
  const reading = readCheckpoint(JSON.stringify({ ...earlier, resumes: 4, turns: 7 }))
  assert.ok(reading.kind === 'read')
  const { failovers, handovers, modelRedials, turns } = reading.state
  assert.deepEqual([failovers, handovers, modelRedials, turns], [0, 0, 0, 7])
})

test('[RZ2] failovers, handovers and redials are counted apart; failovers alone are forgotten after a calm while', () => {
  let state = initialState()
  const take = (event: CallEvent): Effect[] => {
    const done = step(state, event, testSettings({}))
    state = done.state
    return done.effects
  }
  const calm = (effects: Effect[]) => effects.find((effect) => effect.kind === 'set-timer' && effect.name === 'calm')
  const move = (how: 'failover' | 'handover'): Effect[] => {
    const reading = readCheckpoint(writeCheckpoint(state))
    assert.ok(reading.kind === 'read')
    state = resumeFrom(reading.state, how, [], 0)
    take({ kind: 'opened' })
    return take({ kind: 'leg-opened' })
  }
  assert.equal(calm(move('handover')), undefined, 'nothing to forget')
  assert.deepEqual(calm(move('failover')), { kind: 'set-timer', name: 'calm', ms: FAILOVER_CALM_MS })
  take({ kind: 'model', event: { kind: 'ready', expiresInMs: undefined, renewed: false } })
  take({ kind: 'model', event: { kind: 'lost', loss: { code: 'x', fatal: false } } })
  take({ kind: 'model', event: { kind: 'ready', expiresInMs: undefined, renewed: false } })
  assert.ok(calm(move('handover')), 'a planned move is no calm')
  assert.deepEqual([state.failovers, state.handovers, state.modelRedials], [1, 2, 1])
  assert.equal(
    (JSON.parse(writeCheckpoint(state)) as { resumes: number }).resumes,
    1,
    'for a pod of an earlier version',
  )
  const before = state
  take({ kind: 'timer', name: 'calm' })
  assert.deepEqual([state.failovers, state.handovers, state.modelRedials], [0, 2, 1])
  assert.ok(isWorthKeeping(before, state))
})

test('[ME4] each redial waits longer than the last, up to 2 s; Retry-After makes it longer within a bound', () => {
  const waits = [1, 2, 3, 4, 5, 6, 7].map((attempt) => redialAfterMs(attempt, { code: 'x', fatal: false }))
  assert.deepEqual(waits, [100, 200, 400, 800, 1_600, 2_000, 2_000])
  assert.equal(redialAfterMs(1, { code: 'x', fatal: false, retryAfterMs: 3_000 }), 3_000)
  assert.ok(redialAfterMs(1, { code: 'x', fatal: false, retryAfterMs: 86_400_000 }) <= 10_000)
})
