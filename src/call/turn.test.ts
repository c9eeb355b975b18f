// Turns: barge-in, the one response at a time, digits, and what the model's side does to them. Through the whole machine.
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { step } from './machine.ts'
import type { CutItem } from './playout.ts'
import type { ModelEvent } from './ports.ts'
import {
  type CallEvent,
  type CallSettings,
  type CallState,
  type Effect,
  initialState,
  type TimerName,
} from './state.ts'
import { testSettings } from './testing/settings.ts'
import { WISH_KNOWN_MS } from './turn.ts'

const GO_ON = 'Your speech broke off. Finish what you were saying in one or two short sentences.'
const ALREADY = 'conversation_already_has_active_response'

class Life {
  state: CallState = initialState()
  readonly settings: CallSettings
  constructor(settings: Partial<CallSettings> = {}) {
    this.settings = testSettings(settings)
  }
  take(event: CallEvent): Effect[] {
    const { state, effects } = step(this.state, event, this.settings)
    this.state = state
    return effects
  }
  model(event: ModelEvent): Effect[] {
    return this.take({ kind: 'model', event })
  }
  ready(more: { renewed?: boolean; expiresInMs?: number } = {}): Effect[] {
    return this.model({ kind: 'ready', expiresInMs: undefined, renewed: false, ...more })
  }
  lose(fatal = false): Effect[] {
    return this.model({ kind: 'lost', loss: { code: 'close_1011', fatal } })
  }
  started(responseId: string): Effect[] {
    return this.model({ kind: 'response-started', responseId })
  }
  ended(responseId: string, status: 'completed' | 'cancelled' | 'failed' = 'completed', code?: string): Effect[] {
    return this.model({ kind: 'response-ended', responseId, status, ...(code === undefined ? {} : { code }) })
  }
  /** A response that is heard, from its beginning to its end. */
  said(responseId: string): Effect[] {
    this.started(responseId)
    this.sounds(responseId)
    return this.ended(responseId)
  }
  sounds(responseId: string): Effect[] {
    return this.take({ kind: 'audio-begun', responseId })
  }
  timer(name: TimerName): Effect[] {
    return this.take({ kind: 'timer', name })
  }
  want(instructions: string): Effect[] {
    return this.model({ kind: 'response-wanted', instructions })
  }
}

function live(settings: Partial<CallSettings> = {}): Life {
  const life = new Life(settings)
  life.take({ kind: 'opened' })
  life.take({ kind: 'leg-opened' })
  life.ready()
  return life
}

const kinds = (effects: readonly Effect[]): string[] => effects.map(({ kind }) => kind)
const responds = (effects: readonly Effect[]) => effects.filter((effect) => effect.kind === 'respond')
const cut = (item: Partial<CutItem> = {}): CallEvent => ({
  kind: 'cut',
  items: [{ itemId: 'i', responseId: 'r', heardMs: 500, receivedMs: 1_000, isComplete: true, ...item }],
})

suite('barge-in', () => {
  test('[TU2] the playout is cleared first; only its cut truncates, drops late audio and counts', () => {
    const life = live()
    life.started('r')
    life.sounds('r')
    life.model({ kind: 'agent-said', itemId: 'i', text: 'one two three four' })
    assert.deepEqual(kinds(life.model({ kind: 'speech-started', itemId: 'u' })), ['clear-playout', 'set-timer'])
    const effects = life.take(cut())
    assert.deepEqual(effects, [
      { kind: 'drop-response', responseId: 'r' },
      { kind: 'truncate', itemId: 'i', audioEndMs: 500, heardText: 'one two' },
      { kind: 'count', what: 'barge-in' },
    ])
    assert.deepEqual(life.state.transcript.items, [
      { kind: 'agent', id: 'i', text: 'one two', heardMs: 500, cut: true },
    ])
    assert.equal(life.state.bargeIns, 1)
  })

  test('[TU2] truncation names whole milliseconds and never more than arrived', () => {
    const effects = live().take(cut({ heardMs: 1_200, receivedMs: 1_000, isComplete: false }))
    const truncate = effects.find((effect) => effect.kind === 'truncate')
    assert.ok(truncate?.kind === 'truncate' && truncate.audioEndMs === 1_000)
  })

  test('[TU2] an item that was heard to its end is not truncated, one of which nothing came has nothing to truncate', () => {
    const life = live()
    assert.deepEqual(life.take(cut({ heardMs: 1_000 })), [])
    assert.equal(life.state.bargeIns, 0)
    assert.deepEqual(kinds(life.take(cut({ heardMs: 0, receivedMs: 0, isComplete: false }))), [
      'drop-response',
      'count',
    ])
  })

  test('[TU2] two items that wait are both truncated, the unheard one at 0', () => {
    const items = [
      { itemId: 'a', responseId: 'r', heardMs: 300, receivedMs: 900, isComplete: true },
      { itemId: 'b', responseId: 'r', heardMs: 0, receivedMs: 400, isComplete: false },
    ]
    const effects = live().take({ kind: 'cut', items })
    assert.deepEqual(
      effects.flatMap((effect) => (effect.kind === 'truncate' ? [[effect.itemId, effect.audioEndMs]] : [])),
      [
        ['a', 300],
        ['b', 0],
      ],
    )
    assert.equal(effects.filter(({ kind }) => kind === 'count').length, 1)
  })

  test('[TU2] no barge-in when the agent does not want one', () => {
    assert.deepEqual(kinds(live({ bargeIn: false }).model({ kind: 'speech-started', itemId: 'u' })), ['set-timer'])
  })

  test('[TU2] our own interruption cancels the response, then clears', () => {
    const life = live()
    life.started('r')
    life.sounds('r')
    assert.deepEqual(kinds(life.model({ kind: 'interrupt-wanted' })), ['cancel-response', 'clear-playout'])
    life.ended('r', 'cancelled')
    assert.deepEqual(kinds(life.model({ kind: 'interrupt-wanted' })), ['clear-playout'])
  })

  test('[TR2] words that are told after the cut do not bring back what was not heard', () => {
    const life = live()
    life.started('r')
    life.take(cut({ isComplete: false }))
    life.model({ kind: 'agent-said', itemId: 'i', text: 'one two three four' })
    life.ended('r', 'cancelled')
    const [item] = life.state.transcript.items
    assert.ok(item?.kind === 'agent' && item.cut)
    assert.ok(!item.text.includes('four'), item.text)
    life.model({ kind: 'agent-said', itemId: 'i', text: 'one two three four' })
    assert.deepEqual(life.state.transcript.items, [item])
  })
})

suite('[P59] who answers a caller', () => {
  test('[TU2] a response that has not sounded yet is dropped when the caller speaks: nothing of it is to be cut', () => {
    const life = live()
    life.started('r')
    const kinds = life.model({ kind: 'speech-started', itemId: 'c' }).map(({ kind }) => kind)
    assert.deepEqual(kinds.slice(0, 2), ['drop-response', 'clear-playout'])
    const sounding = live()
    sounding.started('r')
    sounding.sounds('r')
    assert.equal(
      sounding.model({ kind: 'speech-started', itemId: 'c' })[0]?.kind,
      'clear-playout',
      'the cut says the rest',
    )
    const deaf = live({ bargeIn: false })
    deaf.started('r')
    assert.ok(deaf.model({ kind: 'speech-started', itemId: 'c' }).every(({ kind }) => kind !== 'drop-response'))
  })

  /** A plain request comes while the caller speaks, who falls silent `knownMs` later; what is asked of the model after its own answer. */
  const askedAfter = (knownMs: number, instructions?: string): Effect[] => {
    const life = live()
    life.model({ kind: 'speech-started', itemId: 'c' })
    const request = instructions === undefined ? {} : { instructions }
    assert.deepEqual(responds(life.model({ kind: 'response-wanted', ...request })), [])
    life.state = { ...life.state, lastedMs: life.state.lastedMs + knownMs }
    life.model({ kind: 'speech-stopped', itemId: 'c' })
    return responds(life.said('own'))
  }

  test('[TU7] a plain request that the provider knew of is met by its own answer; a fresh one, or one with words, is not', () => {
    assert.deepEqual(askedAfter(WISH_KNOWN_MS), [])
    assert.equal(askedAfter(WISH_KNOWN_MS - 1).length, 1)
    assert.equal(askedAfter(WISH_KNOWN_MS, 'Say the price.').length, 1)
  })
})

suite('one response at a time', () => {
  test('[TU1] requests that come while a response is made become one, sent when it is over', () => {
    const life = live()
    const [first] = responds(life.want('first'))
    assert.deepEqual(first, { kind: 'respond', requestId: 'vp-1', instructions: 'first' })
    assert.deepEqual(life.want('second'), [])
    life.started('r')
    assert.deepEqual(life.want('third'), [])
    const effects = responds(life.ended('r'))
    assert.deepEqual(effects, [{ kind: 'respond', requestId: 'vp-2', instructions: 'third' }])
    assert.deepEqual(responds(life.said('r2')), [])
  })

  test('[TU1] the end of another response does not free the turn of the active one', () => {
    const life = live()
    life.started('r')
    life.want('later')
    assert.deepEqual(responds(life.ended('other')), [])
    assert.equal(responds(life.ended('r')).length, 1)
  })

  test('[TU3] a request waits while the caller speaks if the provider answers by itself, else it goes', () => {
    const life = live()
    life.model({ kind: 'speech-started', itemId: 'u' })
    assert.deepEqual(life.want('now'), [])
    life.model({ kind: 'speech-stopped', itemId: 'u' })
    assert.equal(responds(life.said('auto')).length, 1)
    const manual = live({ autoRespond: false })
    manual.model({ kind: 'speech-started', itemId: 'u' })
    assert.equal(responds(manual.want('now')).length, 1)
  })

  test('[ME2] "already active" is weather: the request goes again when that response is over, nothing is counted', () => {
    const life = live()
    life.want('hello')
    const refused = life.model({ kind: 'request-refused', code: ALREADY, requestId: 'vp-1' })
    assert.ok(!kinds(refused).includes('count'))
    assert.equal(responds(life.said('theirs')).length, 1)
    const other = live()
    other.want('hello')
    other.model({ kind: 'request-refused', code: ALREADY, requestId: 'vp-1' })
    assert.equal(responds(other.ended('one that had begun before')).length, 1)
  })

  test('[TU5] a greeting that met a response of the provider is asked for again with its words, in both orders', () => {
    const extra = { metadata: { k: 'v' } }
    for (const isToldFirst of [true, false]) {
      const life = live()
      life.model({ kind: 'response-wanted', instructions: 'Say hi.', extra })
      if (isToldFirst) life.started('theirs')
      life.model({ kind: 'request-refused', code: ALREADY, requestId: 'vp-1' })
      if (!isToldFirst) life.started('theirs')
      assert.deepEqual(responds(life.ended('theirs')), [
        { kind: 'respond', requestId: 'vp-2', instructions: 'Say hi.', extra },
      ])
    }
  })

  test('[TU5] what was wanted meanwhile goes before what was refused; one answer is asked for', () => {
    const life = live()
    life.want('old')
    life.want('new')
    life.model({ kind: 'request-refused', code: ALREADY, requestId: 'vp-1' })
    life.model({ kind: 'request-refused', code: ALREADY, requestId: undefined })
    assert.deepEqual(responds(life.ended('theirs')), [{ kind: 'respond', requestId: 'vp-2', instructions: 'new' }])
  })

  test('[TU5] a response that failed or was lost before it sounded is asked for again with its words, after that without', () => {
    for (const hasAudio of [false, true]) {
      const want = { kind: 'respond', requestId: 'vp-2', ...(hasAudio ? {} : { instructions: 'Say hi.' }) }
      const begun = (): Life => {
        const life = live()
        life.want('Say hi.')
        life.started('r')
        if (hasAudio) life.take({ kind: 'audio-begun', responseId: 'r' })
        return life
      }
      const failed = begun()
      const more = hasAudio ? { instructions: GO_ON } : {}
      const again = [...failed.ended('r', 'failed', 'server_error'), ...failed.timer('turn-retry')]
      assert.deepEqual(responds(again), [{ ...want, ...more }])
      const lost = begun()
      lost.lose()
      assert.deepEqual(responds(lost.ready()), [want])
      const stalled = begun()
      stalled.take({ kind: 'timer', name: 'model-answer' })
      assert.deepEqual(responds(stalled.ready()), [want])
    }
  })

  test('[ME1] a refusal of our request frees the turn and is counted; one of somebody else’s does not free it', () => {
    const life = live()
    life.want('hello')
    life.model({ kind: 'request-refused', code: 'odd', requestId: 'event_9' })
    assert.equal(life.state.response.kind, 'requested')
    const effects = life.model({ kind: 'request-refused', code: 'odd', requestId: 'vp-1' })
    assert.ok(effects.some((effect) => effect.kind === 'count' && effect.code === 'odd'))
    assert.deepEqual(responds(effects), [])
    assert.equal(responds(life.timer('turn-retry')).length, 1, 'what the caller is owed is asked for again')
  })

  test('[TU1] the greeting is asked for once, when leg and model are both there, in either order', () => {
    for (const isModelFirst of [true, false]) {
      const life = new Life({ greeting: { kind: 'agent', instructions: 'Say hi.' } })
      life.take({ kind: 'opened' })
      const first = isModelFirst ? life.ready() : life.take({ kind: 'leg-opened' })
      assert.deepEqual(responds(first), [])
      const second = isModelFirst ? life.take({ kind: 'leg-opened' }) : life.ready()
      assert.deepEqual(responds(second), [{ kind: 'respond', requestId: 'vp-1', instructions: 'Say hi.' }])
      life.said('r')
      life.lose()
      assert.deepEqual(responds(life.ready()), [])
    }
  })

  test('[TU4] digits are gathered until the pause and given as one message, with one request', () => {
    const life = live()
    for (const digit of ['1', '2', '#'])
      assert.deepEqual(life.take({ kind: 'digit', digit }), [
        { kind: 'set-timer', name: 'digits', ms: 1_500 },
        { kind: 'clear-playout' },
      ])
    const effects = life.take({ kind: 'timer', name: 'digits' })
    assert.deepEqual(
      effects.filter(({ kind }) => kind !== 'set-timer'),
      [
        { kind: 'send-digits', itemId: 'keys_1', digits: '12#' },
        { kind: 'respond', requestId: 'vp-1' },
      ],
    )
    assert.deepEqual(life.take({ kind: 'timer', name: 'digits' }), [])
  })

  test('[P14][TU6] a key silences the agent as speech does, and what begins before the digits are given; a pack may say not', () => {
    for (const keysInterrupt of [true, false]) {
      const life = live({ keysInterrupt })
      life.started('r')
      const pressed = kinds(life.take({ kind: 'digit', digit: '1' }))
      assert.deepEqual(
        pressed.filter((kind) => ['cancel-response', 'clear-playout'].includes(kind)),
        keysInterrupt ? ['cancel-response', 'clear-playout'] : [],
      )
      life.ended('r')
      life.started('r2')
      const given = kinds(life.take({ kind: 'timer', name: 'digits' }))
      assert.deepEqual(
        given.filter((kind) => ['cancel-response', 'clear-playout', 'send-digits'].includes(kind)),
        keysInterrupt ? ['cancel-response', 'clear-playout', 'send-digits'] : ['send-digits'],
      )
      life.ended('r2')
    }
  })

  test('[P14] a key during the goodbye changes nothing of it', () => {
    const life = live()
    life.take({ kind: 'end-wanted' })
    assert.deepEqual(kinds(life.take({ kind: 'digit', digit: '1' })), ['set-timer'])
  })

  test('[TU4] digits pressed while the model is away wait for it; at most 64 are kept, the newest', () => {
    const life = live()
    life.lose()
    for (let i = 0; i < 70; i += 1) life.take({ kind: 'digit', digit: String(i % 10) })
    const waiting = life.take({ kind: 'timer', name: 'digits' })
    assert.deepEqual(kinds(waiting), ['set-timer'])
    life.ready()
    const [sent] = life.take({ kind: 'timer', name: 'digits' })
    assert.ok(sent?.kind === 'send-digits' && sent.digits.length === 64 && sent.digits.endsWith('789'))
  })
})
