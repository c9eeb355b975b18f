// The turn that the caller is owed: through the whole machine, in virtual time, against a model that does anything.
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import fc from 'fast-check'
import { resumeFrom } from './checkpoint.ts'
import { step } from './machine.ts'
import { DIALS_MAX, FILLER_EVERY_MS, LIMIT_WAIT_MAX_MS, remedyOf, TOOL_HOLD_MS } from './owed-turn.ts'
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

type Planned = { atMs: number; run: () => void }
type Ended = Omit<ModelEvent & { kind: 'response-ended' }, 'kind' | 'responseId'>

/** A call, its timers, and virtual time. What is planned happens in order of its time. */
class World {
  state: CallState = initialState()
  nowMs = 0
  readonly settings: CallSettings
  readonly outcomes: string[] = []
  readonly log: Effect[] = []
  readonly dials: { atMs: number; elsewhere: boolean }[] = []
  readonly respondedMs: number[] = []
  readonly requests: (Effect & { kind: 'respond' })[] = []
  /** When the turn that is owed now became due, and when the caller last heard anything. */
  owedSinceMs: number | undefined
  soundMs = 0
  /** Pieces of sound that came, and when the last of them has been heard. */
  sounds = 0
  heardAtMs = 0
  readonly #timers = new Map<TimerName, number>()
  readonly #planned: Planned[] = []
  onRespond: (world: World) => void = () => {}
  onDial: (world: World) => void = (world) => world.after(300, () => world.ready())

  constructor(settings: Partial<CallSettings> = {}) {
    this.settings = testSettings({ modelStallMs: 5_000, ...settings })
  }
  take(event: CallEvent): Effect[] {
    const wasOwed = this.state.owed !== undefined
    const { state, effects } = step({ ...this.state, lastedMs: this.nowMs }, event, this.settings)
    this.state = state
    const settled = effects.filter((effect) => effect.kind === 'count' && effect.what === 'turn-outcome').length
    assert.equal(wasOwed || this.state.owed !== undefined ? settled <= 2 : settled === 0, true)
    if (wasOwed && this.state.owed === undefined) assert.ok(settled >= 1, 'a turn went without an outcome')
    for (const effect of effects) this.#do(effect)
    if (this.state.owed === undefined) this.owedSinceMs = undefined
    else if (this.owedSinceMs === undefined || settled > 0) {
      this.owedSinceMs = this.nowMs
      this.soundMs = this.nowMs
    }
    return effects
  }
  #do(effect: Effect): void {
    this.log.push(effect)
    if (effect.kind === 'set-timer') this.#timers.set(effect.name, this.nowMs + effect.ms)
    else if (effect.kind === 'clear-timer') this.#timers.delete(effect.name)
    else if (effect.kind === 'look-response') this.#lookAtResponse()
    else if (effect.kind === 'play-filler') this.soundMs = this.nowMs
    else if (effect.kind === 'count' && effect.what === 'turn-outcome') this.outcomes.push(effect.code ?? '')
    else if (effect.kind === 'dial') {
      this.dials.push({ atMs: this.nowMs, elsewhere: effect.elsewhere === true })
      this.onDial(this)
    } else if (effect.kind === 'respond') {
      this.respondedMs.push(this.nowMs)
      this.requests.push(effect)
      this.onRespond(this)
    }
  }
  #lookAtResponse(): void {
    const playoutMs = Math.max(0, this.heardAtMs - this.nowMs)
    this.after(0, () => this.take({ kind: 'response-looked', playoutMs, sounds: this.sounds }))
  }
  model(event: ModelEvent): Effect[] {
    return this.take({ kind: 'model', event })
  }
  after(ms: number, run: () => void): void {
    this.#planned.push({ atMs: this.nowMs + ms, run })
  }
  ready(): void {
    if (this.state.model.kind !== 'ready') this.model({ kind: 'ready', expiresInMs: undefined, renewed: false })
  }
  lose(code = 'close_1011'): void {
    this.model({ kind: 'lost', loss: { code, fatal: false } })
  }
  /** Lets time pass, everything that is due in order; `each` looks after each step. */
  run(forMs: number, each: () => void = () => {}): this {
    const untilMs = this.nowMs + forMs
    for (;;) {
      const timer = [...this.#timers].reduce<[TimerName, number] | undefined>(
        (best, one) => (best === undefined || one[1] < best[1] ? one : best),
        undefined,
      )
      const planned = this.#planned.reduce<Planned | undefined>(
        (best, one) => (best === undefined || one.atMs < best.atMs ? one : best),
        undefined,
      )
      const atMs = Math.min(timer?.[1] ?? Infinity, planned?.atMs ?? Infinity)
      if (atMs > untilMs) break
      this.nowMs = Math.max(this.nowMs, atMs)
      if (planned !== undefined && planned.atMs === atMs) {
        this.#planned.splice(this.#planned.indexOf(planned), 1)
        planned.run()
      } else {
        this.#timers.delete(timer![0])
        this.take({ kind: 'timer', name: timer![0] })
      }
      each()
    }
    this.nowMs = untilMs
    return this
  }
  live(): this {
    this.take({ kind: 'opened' })
    this.take({ kind: 'leg-opened' })
    return this.run(400)
  }
  caller(): this {
    this.model({ kind: 'speech-started', itemId: 'u' })
    this.model({ kind: 'speech-stopped', itemId: 'u' })
    return this
  }
  begin(id: string): void {
    this.model({ kind: 'response-started', responseId: id })
  }
  sound(id: string): void {
    this.soundMs = this.nowMs
    this.take({ kind: 'audio-begun', responseId: id })
  }
  finish(id: string, how: Partial<Ended> = {}): void {
    this.model({ kind: 'response-ended', responseId: id, status: 'completed', ...how })
  }
  /** A response from its beginning to its end. */
  response(id: string, how: Partial<Ended> = {}): void {
    this.begin(id)
    this.finish(id, how)
  }
  good(id: string): void {
    this.begin(id)
    this.sound(id)
    this.finish(id)
  }
  call(toolCallId: string): void {
    this.model({ kind: 'tool-called', toolCallId, name: 't', arguments: '{}' })
  }
  answer(toolCallId: string, respond = true): void {
    this.model({ kind: 'tool-answered', toolCallId, name: 't', output: 'o', respond })
  }
  counted(code: string): boolean {
    return this.log.some((effect) => effect.kind === 'count' && effect.code === code)
  }
  get end(): (Effect & { kind: 'ended' }) | undefined {
    return this.log.find((effect): effect is Effect & { kind: 'ended' } => effect.kind === 'ended')
  }
}

const FAILED = { status: 'failed', code: 'server_error' } as const
const limited = (retryAfterMs: number): Partial<Ended> => ({
  status: 'failed',
  code: 'rate_limit_exceeded',
  limit: 'rate',
  retryAfterMs,
})

suite('an answer that comes to nothing', () => {
  test('[LIMIT-4][P5] [OD3] a limit is waited for as the provider says, with a sound, twice; and the next turn has its own tries', () => {
    const world = new World().live().caller()
    for (const [i, waitMs] of [1_500, 700].entries()) {
      world.response(`a${i}`, limited(waitMs))
      const askedMs = world.nowMs
      world.run(waitMs - 10)
      assert.equal(world.respondedMs.length, i, 'not before its time')
      world.run(20)
      assert.deepEqual([world.respondedMs.length, world.respondedMs.at(-1)], [i + 1, askedMs + waitMs])
    }
    assert.ok(world.log.some(({ kind }) => kind === 'play-filler'))
    world.good('b')
    world.caller()
    world.response('c', limited(900))
    world.run(1_000)
    world.good('d')
    assert.deepEqual(world.outcomes, ['answered-after-retry', 'answered-after-retry'])
    assert.equal(world.dials.length, 1)
  })

  test('[P5] [OD3] a wait that is too long, and a quota, go elsewhere at once', () => {
    for (const trouble of [
      { code: 'x', limit: 'rate', retryAfterMs: LIMIT_WAIT_MAX_MS + 1 },
      { code: 'x', limit: 'quota' },
    ] as const) {
      const { remedy } = remedyOf({ rung: 0, limitWaits: 0 }, trouble)
      assert.deepEqual(remedy, { kind: 'dial', elsewhere: true })
    }
  })

  test('[P85] [OD6] a call that moved as often as it may dial still outlives the loss of its link; losses have their bound', () => {
    let world = new World().live()
    for (let i = 0; i < DIALS_MAX; i += 1) {
      const state = resumeFrom(world.state, i % 2 === 0 ? 'failover' : 'handover', [], 0)
      world = new World()
      world.state = state
      world.onRespond = (which) => which.after(50, () => which.good(`r${which.nowMs}`))
      world.live()
    }
    const lose = (): number => {
      world.lose()
      world.run(2_000)
      return world.dials.length
    }
    assert.equal(lose(), 2, 'the link is dialled again')
    assert.notEqual(world.state.phase.kind, 'ended')
    for (let i = 0; i < DIALS_MAX; i += 1) lose()
    // The first of the six was that with which the call began, elsewhere.
    assert.equal(world.dials.length, 1 + (DIALS_MAX - 1))
    assert.equal(world.end?.cause, 'model-lost')
  })

  test('[P6] [OD2] asked again, another link, elsewhere, then a person; an utterance of the caller between gives no new tries', () => {
    const world = new World({ fallbackNumber: '+15550009999' }).live()
    world.onRespond = () => world.after(50, () => world.response(`r${world.nowMs}`, FAILED))
    world.caller()
    world.response('first', FAILED)
    world.run(1_000)
    assert.equal(world.respondedMs.length, 2, 'asked again, then on the new link')
    world.caller()
    world.response('second', FAILED)
    world.run(10_000)
    assert.deepEqual(
      world.dials.map(({ elsewhere }) => elsewhere),
      [false, false, true],
    )
    assert.deepEqual(world.end?.next, { kind: 'transfer', to: '+15550009999' })
    assert.equal(world.outcomes.at(-1), 'person')
  })

  test('[P6] [OD2] without a person the call ends with a sentence', () => {
    const world = new World().live()
    world.onRespond = () => world.after(50, () => world.response(`r${world.nowMs}`, FAILED))
    world.caller()
    world.response('first', FAILED)
    world.run(20_000)
    assert.deepEqual([world.end?.cause, world.end?.next], ['unanswered', { kind: 'hang-up', sentence: 'Sorry.' }])
    assert.deepEqual(world.outcomes, ['sentence'])
  })

  test('[P7] [ME7] speech that breaks off is counted, and the agent is asked once to go on', () => {
    for (const code of ['max_output_tokens', 'content_filter']) {
      const world = new World().live().caller()
      world.begin('a')
      world.sound('a')
      world.finish('a', { status: 'incomplete', code })
      assert.ok(world.counted(code))
      assert.match(world.requests[0]?.instructions ?? '', /broke off/)
      world.begin('b')
      world.sound('b')
      world.finish('b', { status: 'incomplete', code })
      assert.equal(world.requests.length, 1)
      assert.deepEqual(world.outcomes, ['answered', 'answered'])
    }
  })

  test('[P7] [ME3] an answer without sound is asked for again, whatever its end was called', () => {
    const ends: Partial<Ended>[] = [
      { status: 'incomplete', code: 'content_filter' },
      { status: 'incomplete', code: 'max_output_tokens' },
      { status: 'cancelled' },
      { status: 'completed' },
      { status: 'failed' },
    ]
    for (const how of ends) {
      const world = new World().live().caller()
      world.response('a', how)
      world.run(300)
      assert.equal(world.requests.length, 1, JSON.stringify(how))
      world.good('b')
      assert.deepEqual(world.outcomes, ['answered-after-retry'])
    }
  })

  test('[P8] [ME3] what is only written is asked for aloud, word for word', () => {
    const world = new World().live().caller()
    world.model({ kind: 'agent-said', itemId: 'i', text: 'At ten.' })
    world.response('a', { text: 'At ten.' })
    world.run(300)
    assert.ok(world.requests[0]?.instructions?.endsWith('At ten.'))
    assert.deepEqual(world.requests[0]?.extra, { output_modalities: ['audio'] })
    assert.ok(world.counted('text_only'))
    assert.ok(world.state.transcript.items.some((item) => item.kind === 'agent' && item.text === 'At ten.'))
  })

  test('[P8] a response that the agent wants in writing, or outside the conversation, is no answer and owes none', () => {
    for (const extra of [{ conversation: 'none' }, { output_modalities: ['text'] }]) {
      const world = new World().live()
      world.model({ kind: 'response-wanted', extra })
      world.response('a', { text: 'a label' })
      world.run(90_000)
      assert.deepEqual([world.requests.length, world.outcomes, world.end], [1, [], undefined])
    }
  })

  test('[ME1] a request that is refused is made again', () => {
    const world = new World().live()
    world.model({ kind: 'response-wanted' })
    world.model({ kind: 'request-refused', code: 'odd', requestId: 'vp-1' })
    world.run(300)
    assert.equal(world.requests.length, 2)
  })
})

suite('a model that says nothing', () => {
  test('[P4] [ME6] signs of life count: arguments that take long do not cost the link', () => {
    const world = new World().live().caller()
    world.begin('a')
    for (let ms = 0; ms < 12_000; ms += 500) world.after(ms, () => world.model({ kind: 'response-alive' }))
    world.run(12_400)
    world.call('t')
    world.finish('a')
    world.answer('t')
    world.good('b')
    assert.deepEqual([world.dials.length, world.outcomes], [1, ['answered-after-filler']])
  })

  test('[P4] [ME6] a slow first sound keeps its link when the link answers, for one more bound', () => {
    const isAnswering = (world: World): boolean => {
      const asked = world.log.filter(({ kind }) => kind === 'prove-link').length
      if (asked === 1) world.model({ kind: 'link-alive' })
      return asked > 0
    }
    const slow = new World().live().caller()
    slow.begin('a')
    slow.run(4_500)
    assert.ok(isAnswering(slow))
    slow.run(4_000)
    slow.sound('a')
    assert.deepEqual([slow.dials.length, slow.outcomes], [1, ['answered-after-filler']])
    const dead = new World().live().caller()
    dead.begin('a')
    dead.run(5_500)
    assert.equal(dead.dials.length, 2, 'nothing answered')
  })

  test('[P4] [OD4] links that stall one after the other end the turn: the strikes survive the redial', () => {
    const world = new World().live().caller()
    world.run(60_000)
    assert.deepEqual(
      world.dials.map(({ elsewhere }) => elsewhere),
      [false, false, true],
    )
    assert.equal(world.end?.cause, 'unanswered')
    assert.ok(world.nowMs < 61_000 && world.log.filter(({ kind }) => kind === 'play-filler').length >= 3)
  })

  test('[P4] a response that sounds and never ends costs its link in the end, and what was begun is asked for', () => {
    const world = new World().live().caller()
    world.begin('a')
    world.sound('a')
    const piece = (): void => {
      world.sounds += 1
      world.after(1_000, piece)
    }
    piece()
    world.run(119_000)
    assert.equal(world.dials.length, 1)
    world.run(6_000)
    assert.deepEqual([world.dials.length, world.requests.length], [2, 1])
  })

  test('[P4][P45][ME9] a response whose end is never told is over, a stall bound after its last sound was heard', () => {
    const world = new World().live().caller()
    world.begin('a')
    world.sound('a')
    world.sounds = 12
    world.heardAtMs = world.nowMs + 9_000
    world.model({ kind: 'response-wanted', instructions: 'next' })
    world.run(13_500)
    assert.deepEqual([world.state.response.kind, world.requests.length], ['active', 0])
    world.run(1_000)
    assert.equal(world.requests[0]?.instructions, 'next')
    assert.ok(world.log.some((effect) => effect.kind === 'cancel-response'))
    assert.deepEqual([world.counted('response_never_done'), world.dials.length], [true, 1])
    // Its late end changes nothing of the next one.
    world.begin('b')
    world.finish('a')
    assert.equal(world.state.response.kind, 'active')
  })

  test('[P45][ME9] a response that has sounded and still shows life, such as the arguments of a tool, goes on', () => {
    const world = new World().live().caller()
    world.begin('a')
    world.sound('a')
    world.sounds = 3
    for (let n = 0; n < 60; n += 1) {
      world.run(1_000)
      world.model({ kind: 'response-alive' })
    }
    assert.deepEqual([world.state.response.kind, world.counted('response_never_done')], ['active', false])
    world.run(20_000)
    assert.deepEqual([world.state.response.kind, world.counted('response_never_done')], ['idle', true])
  })

  test('[P45][ME9] a response of ours that the provider does not know when asked to cancel it is over', () => {
    const world = new World().live().caller()
    world.begin('a')
    world.sound('a')
    world.take({ kind: 'digit', digit: '5' })
    world.model({ kind: 'request-refused', code: 'response_cancel_not_active', requestId: 'vp-cancel' })
    assert.equal(world.state.response.kind, 'idle')
    world.run(1_600)
    assert.equal(world.requests.length, 1, 'the key is answered')
    // The same words about a response that nobody cancelled mean nothing.
    world.begin('b')
    world.model({ kind: 'request-refused', code: 'response_cancel_not_active', requestId: 'vp-cancel' })
    assert.equal(world.state.response.kind, 'active')
  })

  test('[P45][ME10] three links that say nothing until their bound are enough, the later ones elsewhere', () => {
    const world = new World({ greeting: { kind: 'agent' }, redialMax: 5 })
    world.onDial = () => world.after(8_000, () => world.lose('MODEL_STALLED'))
    world.take({ kind: 'opened' })
    world.take({ kind: 'leg-opened' })
    world.run(60_000)
    assert.deepEqual(
      world.dials.map(({ elsewhere }) => elsewhere),
      [false, true, true],
    )
    assert.equal(world.end?.cause, 'model-lost')
  })

  test('[P45][ME10] links that are refused at once are dialled as often as before, and one that serves clears the count', () => {
    const world = new World({ redialMax: 5 })
    world.onDial = () => world.after(10, () => world.lose('http_503'))
    world.take({ kind: 'opened' })
    world.take({ kind: 'leg-opened' })
    world.run(60_000)
    assert.equal(world.dials.length, 6)
  })

  test('[P22] the link goes between the end of the words and the response: it is asked for on the next one', () => {
    const world = new World().live().caller()
    world.lose()
    world.run(1_000)
    assert.equal(world.requests.length, 1)
    world.good('a')
    assert.deepEqual(world.outcomes, ['answered-after-redial'])
  })

  test('[P22] in a renewal, too', () => {
    const world = new World().live().caller()
    world.model({ kind: 'ready', expiresInMs: undefined, renewed: true })
    assert.equal(world.requests.length, 1)
  })
})

suite('tools', () => {
  test('[P9] [OD7] two tools of one response are answered by one, after both', () => {
    const world = new World().live().caller()
    world.begin('a')
    world.call('fast')
    world.answer('fast')
    world.call('slow')
    world.finish('a')
    world.run(3_000)
    assert.equal(world.requests.length, 0)
    world.answer('slow')
    assert.equal(world.requests.length, 1)
    world.run(TOOL_HOLD_MS)
    assert.equal(world.requests.length, 1)
  })

  test('[P9] [OD7] one that is out for too long does not hold the other, and has its own answer later', () => {
    const world = new World().live().caller()
    world.begin('a')
    world.call('fast')
    world.call('slow')
    world.finish('a')
    world.answer('fast')
    world.run(TOOL_HOLD_MS + 10)
    assert.equal(world.requests.length, 1)
    world.good('b')
    world.answer('slow')
    assert.equal(world.requests.length, 2)
  })

  test('a tool that wants no response ends the turn, and the caller is not left with a turn that nobody owns', () => {
    const world = new World().live().caller()
    world.begin('a')
    world.call('note')
    world.answer('note', false)
    world.finish('a')
    world.run(90_000)
    assert.deepEqual([world.requests.length, world.outcomes], [0, ['agent-quiet']])
  })
})

// ---- anything, in any order

const BEHAVIOURS = [
  'good',
  'slow',
  'limited',
  'failed',
  'incomplete',
  'text',
  'empty',
  'cancelled',
  'silent',
  'lost',
  'two tools',
  'tool for ever',
  'alive for ever',
  'cut short',
  'refused',
] as const
type Behaviour = (typeof BEHAVIOURS)[number]

function behave(world: World, what: Behaviour, id: string, requestId: string | undefined): void {
  const later = (ms: number, run: () => void): void =>
    world.after(ms, () => world.state.phase.kind !== 'ended' && run())
  const isMine = (): boolean => world.state.response.kind === 'active' && world.state.response.responseId === id
  const end = (how: Partial<Ended>): void => later(400, () => isMine() && world.finish(id, how))
  if (what === 'refused' && requestId !== undefined) {
    world.after(20, () => world.model({ kind: 'request-refused', code: 'odd', requestId }))
    return
  }
  if (what === 'lost') {
    later(20, () => world.lose())
    return
  }
  if (what === 'silent') return
  later(30, () => world.begin(id))
  if (what === 'good' || what === 'cut short') later(300, () => isMine() && world.sound(id))
  if (what === 'good') end({})
  else if (what === 'slow') {
    later(8_000, () => isMine() && world.sound(id))
    later(8_100, () => isMine() && world.finish(id))
  } else if (what === 'limited') end(limited(1_500))
  else if (what === 'failed') end(FAILED)
  else if (what === 'incomplete') end({ status: 'incomplete', code: 'content_filter' })
  else if (what === 'text') end({ text: 'words' })
  else if (what === 'empty') end({})
  else if (what === 'cancelled') end({ status: 'cancelled' })
  else if (what === 'cut short') end({ status: 'incomplete', code: 'max_output_tokens' })
  else if (what === 'two tools' || what === 'tool for ever') {
    for (const n of [1, 2]) later(100, () => isMine() && world.call(`${id}-${n}`))
    end({})
    later(500, () => world.answer(`${id}-1`))
    // The session answers for a tool that does not (tool-calls.ts).
    later(what === 'two tools' ? 3_500 : 30_000, () => world.answer(`${id}-2`))
  } else if (what === 'alive for ever')
    for (let ms = 100; ms < 120_000; ms += 400) later(ms, () => isMine() && world.model({ kind: 'response-alive' }))
}

suite('any order of bad answers', () => {
  const stimulus = fc.record({
    what: fc.constantFrom('speech', 'speech', 'speech', 'digit', 'loss', 'agent'),
    afterMs: fc.integer({ min: 50, max: 12_000 }),
  })
  const behaviours = fc.array(fc.constantFrom(...BEHAVIOURS), { minLength: 1, maxLength: 12 })
  const property = fc.property(
    behaviours,
    fc.array(stimulus, { minLength: 1, maxLength: 12 }),
    fc.array(fc.constantFrom('ready', 'ready', 'ready', 'refused', 'shed'), { minLength: 1, maxLength: 6 }),
    fc.boolean(),
    (plans, stimuli, dials, isAlive) => {
      const world = new World({ greeting: { kind: 'agent' } })
      let responses = 0
      let isCalm = false
      const answer = (requestId?: string): void => {
        responses += 1
        behave(world, isCalm ? 'good' : plans[responses % plans.length]!, `r${responses}`, requestId)
      }
      world.onRespond = () => answer(world.requests.at(-1)!.requestId)
      let dialled = 0
      world.onDial = () => {
        const how = dials[dialled++ % dials.length]
        if (how === 'ready') world.after(300, () => world.ready())
        else world.after(50, () => world.lose(how === 'shed' ? 'MODEL_SHED' : 'http_503'))
        if (how === 'shed') world.dials.pop()
      }
      const look = (): void => {
        const { owedSinceMs, settings } = world
        if (world.state.phase.kind === 'ended') return
        if (owedSinceMs === undefined) return
        assert.ok(world.nowMs - owedSinceMs <= settings.turnMaxMs, 'a turn is past its bound')
        assert.ok(world.nowMs - world.soundMs <= FILLER_EVERY_MS, 'the caller waits in silence')
        if (isAlive && world.log.at(-1)?.kind === 'prove-link') world.model({ kind: 'link-alive' })
      }
      world.take({ kind: 'opened' })
      world.take({ kind: 'leg-opened' })
      for (const { what, afterMs } of stimuli) {
        world.run(afterMs, look)
        if (world.state.phase.kind === 'ended') break
        if (what === 'digit') world.take({ kind: 'digit', digit: '1' })
        else if (what === 'agent') world.model({ kind: 'response-wanted' })
        else if (what === 'loss' && world.state.model.kind === 'ready') world.lose()
        else if (what === 'speech' && world.state.model.kind === 'ready') {
          world.model({ kind: 'speech-started', itemId: 'u' })
          const { response } = world.state
          if (response.kind === 'active')
            world.finish(response.responseId, { status: 'cancelled', code: 'turn_detected' })
          world.model({ kind: 'speech-stopped', itemId: 'u' })
          assert.ok(world.state.owed !== undefined)
          if (world.state.response.kind === 'idle') answer()
        }
      }
      world.run(400_000, look)
      isCalm = true
      world.run(100_000, look)
      assert.equal(world.state.owed, undefined, 'a turn is still owed')
      if (world.state.phase.kind === 'ended') assert.equal(world.log.at(-1)?.kind, 'ended')
      for (const [i, { atMs }] of world.dials.entries()) {
        const within = world.dials.slice(i).filter((other) => other.atMs - atMs < 60_000).length
        assert.ok(within <= DIALS_MAX, `${within} dials in a minute`)
      }
    },
  )

  test('[TALK-4][OD1] [OD5] [OD6] no turn ends in silence: each has one outcome within its bound, a sound meanwhile, and no storm of dials', () => {
    fc.assert(property, { numRuns: 1_000 })
  })
})
