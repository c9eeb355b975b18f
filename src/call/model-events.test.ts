// A model link that is lost, stalls, is renewed; what was said. Through the whole machine.
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { step } from './machine.ts'
import type { ModelEvent } from './ports.ts'
import { type CallEvent, type CallState, type Effect, initialState } from './state.ts'
import { testSettings } from './testing/settings.ts'
import { TEXT_MAX_CHARS } from './transcript.ts'

const SETTINGS = testSettings({ transcriptMaxItems: 3 })

class Life {
  state: CallState = initialState()
  constructor(...events: (CallEvent | ModelEvent)[]) {
    for (const event of events) this.take(event as CallEvent)
  }
  take(event: CallEvent): Effect[] {
    const { state, effects } = step(this.state, event, SETTINGS)
    this.state = state
    return effects
  }
  model(event: ModelEvent): Effect[] {
    return this.take({ kind: 'model', event })
  }
  ready(renewed = false, expiresInMs?: number): Effect[] {
    return this.model({ kind: 'ready', expiresInMs, renewed })
  }
  lose(): Effect[] {
    return this.model({ kind: 'lost', loss: { code: 'close_1011', fatal: false } })
  }
  timer(name: 'redial' | 'renew' | 'model-answer'): Effect[] {
    return this.take({ kind: 'timer', name })
  }
}

function live(): Life {
  const life = new Life({ kind: 'opened' }, { kind: 'leg-opened' })
  life.ready()
  return life
}
const kinds = (effects: readonly Effect[]): string[] => effects.map(({ kind }) => kind)
const started = (responseId: string): ModelEvent => ({ kind: 'response-started', responseId })
const ended = (responseId: string): ModelEvent => ({ kind: 'response-ended', responseId, status: 'completed' })
const timerOf = (effects: readonly Effect[], name: string): number | undefined =>
  effects.flatMap((effect) => (effect.kind === 'set-timer' && effect.name === name ? [effect.ms] : [])).at(-1)

suite('a link that is lost', () => {
  test('[ME4] it is dialled again, each time later, with a sound for the caller once, then the call is given up', () => {
    const life = live()
    const first = life.lose()
    assert.ok(kinds(first).includes('play-filler'))
    assert.equal(timerOf(first, 'redial'), 100)
    assert.deepEqual(life.timer('redial'), [{ kind: 'dial', renewal: false }])
    const second = life.lose()
    assert.equal(timerOf(second, 'redial'), 200)
    assert.ok(!kinds(second).includes('play-filler'))
    assert.equal(timerOf(life.lose(), 'redial'), 400)
    const last = life.lose()
    assert.ok(last.some((effect) => effect.kind === 'ended' && effect.cause === 'model-lost'))
  })

  test('[ME4] a link that came back starts the count again', () => {
    const life = live()
    for (let round = 0; round < 5; round += 1) {
      assert.equal(timerOf(life.lose(), 'redial'), 100)
      life.ready()
    }
    assert.equal(life.state.modelRedials, 5)
  })

  test('[CM4] whoever was owed an answer gets it after the redial: one request, no more', () => {
    for (const before of [started('r'), { kind: 'speech-started', itemId: 'u' } as ModelEvent]) {
      const life = live()
      life.model(before)
      life.lose()
      assert.equal(life.ready().filter(({ kind }) => kind === 'respond').length, 1)
    }
    const idle = live()
    idle.lose()
    assert.ok(!kinds(idle.ready()).includes('respond'))
  })

  test('[CM4] a model that does not answer within its bound counts as lost and is asked again', () => {
    const life = live()
    life.model({ kind: 'speech-started', itemId: 'u' })
    assert.equal(timerOf(life.model({ kind: 'speech-stopped', itemId: 'u' }), 'model-answer'), 8_000)
    const effects = life.timer('model-answer')
    assert.ok(effects.some((effect) => effect.kind === 'count' && effect.code === 'MODEL_STALLED'))
    life.timer('redial')
    assert.ok(kinds(life.ready()).includes('respond'))
  })

  test('[ME5] a link that stalled while nothing was due is dialled once, with a sound, and the agent speaks on the new one', () => {
    const life = live()
    const effects = life.model({ kind: 'lost', loss: { code: 'MODEL_STALLED', fatal: false } })
    assert.deepEqual([kinds(effects).includes('play-filler'), timerOf(effects, 'redial')], [true, 100])
    assert.deepEqual(life.timer('redial'), [{ kind: 'dial', renewal: false }])
    assert.equal(life.ready().filter(({ kind }) => kind === 'respond').length, 1)
    assert.equal(life.state.modelRedials, 1)
  })

  test('[CM4] what the old link still says before the redial does not hold the new one’s turn', () => {
    const life = live()
    life.model({ kind: 'response-wanted' })
    life.timer('model-answer')
    life.model(started('late'))
    life.timer('redial')
    assert.ok(kinds(life.ready()).includes('respond'))
  })

  test('[CM4] before the first ready a fault of the agent ends the call, later it does not', () => {
    const opening = new Life({ kind: 'opened' })
    assert.ok(kinds(opening.model({ kind: 'agent-failed', message: 'm' })).includes('ended'))
    assert.deepEqual(kinds(live().model({ kind: 'agent-failed', message: 'm' })), ['note'])
  })
})

suite('renewal', () => {
  test('[ME1] the link is renewed at a turn boundary only', () => {
    const life = live()
    life.model(started('r'))
    assert.ok(!kinds(life.timer('renew')).includes('dial'))
    life.model({ kind: 'speech-started', itemId: 'u' })
    assert.ok(!kinds(life.model(ended('r'))).includes('dial'))
    life.model({ kind: 'speech-stopped', itemId: 'u' })
    life.model(started('r2'))
    life.take({ kind: 'audio-begun', responseId: 'r2' })
    assert.deepEqual(life.model(ended('r2')).at(-1), { kind: 'dial', renewal: true })
    assert.deepEqual(life.timer('renew'), [], 'one renewal at a time')
    const ready = life.ready(true)
    assert.ok(ready.some((effect) => effect.kind === 'count' && effect.what === 'renewal'))
    assert.ok(!kinds(ready).includes('respond'))
  })

  test('[ME1] when it is due follows the provider’s own end, well before it', () => {
    const life = live()
    assert.equal(timerOf(life.ready(true, 1_800_000), 'renew'), 1_656_000)
    assert.equal(timerOf(life.ready(true, 9_999_999_999), 'renew'), SETTINGS.renewAfterMs)
  })

  test('[P10][ME8] a provider that keeps saying that its session is about to end is believed later each time', () => {
    const life = live()
    assert.equal(timerOf(life.ready(false, 3_000), 'renew'), 2_760)
    const waits = Array.from({ length: 8 }, () => timerOf(life.ready(true, 3_000), 'renew'))
    assert.deepEqual(waits, [4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000, 60_000])
    assert.equal(timerOf(life.ready(true, 1_800_000), 'renew'), 1_656_000)
    assert.equal(timerOf(life.ready(true, 3_000), 'renew'), 4_000)
  })

  test('[ME1] a renewal that failed is tried again later; the call goes on', () => {
    const life = live()
    life.timer('renew')
    const effects = life.model({ kind: 'renewal-failed', loss: { code: 'x', fatal: false } })
    assert.equal(timerOf(effects, 'renew'), 60_000)
    assert.deepEqual(life.state.model, { kind: 'ready', isRenewing: false })
    assert.deepEqual(life.timer('renew').at(-1), { kind: 'dial', renewal: true })
  })

  test('[ME1] a response that the swap cut off is owed on the new link, and holds no turn there', () => {
    const life = live()
    life.timer('renew')
    life.model({ kind: 'speech-started', itemId: 'u' })
    life.model({ kind: 'speech-stopped', itemId: 'u' })
    life.model(started('r'))
    life.take({ kind: 'audio-begun', responseId: 'r' })
    assert.ok(kinds(life.ready(true)).includes('respond'))
    assert.equal(life.state.response.kind, 'requested')
    const speaking = live()
    speaking.timer('renew')
    speaking.model({ kind: 'speech-started', itemId: 'u' })
    speaking.ready(true)
    assert.equal(speaking.state.isCallerSpeaking, false, 'the new link hears for itself')
  })
})

suite('what was said', () => {
  test('[TR1] the transcript keeps the newest items, clips their text and counts what it dropped', () => {
    const life = live()
    for (let i = 0; i < 5; i += 1) life.model({ kind: 'caller-said', itemId: `i${i}`, text: 'x'.repeat(9_000) })
    const { items, dropped } = life.state.transcript
    assert.deepEqual(
      items.map(({ id }) => id),
      ['i2', 'i3', 'i4'],
    )
    assert.equal(dropped, 2)
    assert.ok(items.every((item) => item.kind === 'caller' && item.text.length === TEXT_MAX_CHARS))
  })

  test('[TR1] an item that is said again replaces itself and stays in its place', () => {
    const life = live()
    life.model({ kind: 'caller-said', itemId: 'a', text: 'one' })
    life.model({ kind: 'agent-said', itemId: 'b', text: 'two' })
    life.model({ kind: 'caller-said', itemId: 'a', text: 'uno' })
    assert.deepEqual(
      life.state.transcript.items.map((item) => (item.kind === 'tool' ? '' : item.text)),
      ['uno', 'two'],
    )
  })

  test('[TR1] a tool call is one item, with its arguments and then its output; its answer may ask for a response', () => {
    const life = live()
    life.model({ kind: 'tool-called', toolCallId: 't', name: 'book', arguments: '{"a":1}' })
    const answer = { kind: 'tool-answered', toolCallId: 't', name: 'book', output: 'done' } as const
    assert.ok(!kinds(life.model({ ...answer, respond: false })).includes('respond'))
    assert.ok(kinds(life.model({ ...answer, respond: true })).includes('respond'))
    const item = { kind: 'tool', id: 't', name: 'book', arguments: '{"a":1}', output: 'done' }
    assert.deepEqual(life.state.transcript.items, [item])
  })

  test('[ME1] usage is summed over responses, whatever became of them', () => {
    const life = live()
    const usage = { inputTokens: 1, outputTokens: 2, inputAudioTokens: 3, outputAudioTokens: 4, cachedTokens: 5 }
    life.model({ kind: 'response-ended', responseId: 'r', status: 'completed', usage })
    life.model({ kind: 'response-ended', responseId: 's', status: 'failed', usage })
    const want = { inputTokens: 2, outputTokens: 4, inputAudioTokens: 6, outputAudioTokens: 8, cachedTokens: 10 }
    assert.deepEqual(life.state.usage, want)
  })
})
