// One call: the thin driver around the machine. Events in, effects out; media goes straight through. Rules:
// CD1: the machine decides, the driver does; no decision of its own but what is a matter of bytes.
// CD2: a frame of media costs no step of the machine.
// CD3: an event that arises while effects run waits its turn: steps never nest.
// CD4: `onEnded` is called once; after it nothing of the call runs but the wait for its last words.
// CD5: words of the caller that are owed when the call ends are awaited for LAST_WORDS_MS at most; what has not come then has a line that says so.
import { chime } from '../audio/chime.ts'
import type { Clock } from '../kit/clock.ts'
import { unreachable } from '../kit/errors.ts'
import type { CallId, CallSid } from '../kit/ids.ts'
import type { Log } from '../kit/log.ts'
import { NamedTimers, type Wheel, type WheelTimer } from '../kit/wheel.ts'
import { isQuiet, isSettled, isWorthKeeping } from './checkpoint.ts'
import type { EndCause } from './end-cause.ts'
import { InboundAudio } from './inbound-audio.ts'
import { step } from './machine.ts'
import type { CallMeter } from './meter.ts'
import { OutboundAudio, OWN_ITEM } from './outbound-audio.ts'
import type { PlayoutSettings } from './playout.ts'
import type { Leg, LegEnd, LegListener, ModelEvent, ModelListener, ModelSession } from './ports.ts'
import {
  type CallEvent,
  type CallSettings,
  type CallState,
  type Effect,
  initialState,
  type Next,
  type TimerName,
} from './state.ts'
import { owedWords, type TranscriptItem, withCallerWords } from './transcript.ts'

const DROPPED_RESPONSES_MAX = 8
const CLOSING_POLL_MS = 100
/** A transcription comes within a second or two of the words. */
export const LAST_WORDS_MS = 2_000
/** Ends after which somebody else has the call's words, or nobody can wait for them. */
const HAS_NO_LAST_WORDS: ReadonlySet<EndCause> = new Set([
  'moved',
  'handed-over',
  'carrier-lost',
  'drained',
  'transferred',
])

type CallWorld = { clock: Clock; wheel: Wheel; log: Log; meter: CallMeter }
type CallOptions = {
  callId: CallId
  callSid: CallSid
  settings: CallSettings
  playout: PlayoutSettings
  mediaWatchdogMs: number
  /** The state that the call comes back with; undefined for a new one. */
  initial?: CallState
  /** Something happened that a checkpoint should hold. */
  onChanged?(): void
  onEnded(cause: EndCause, next: Next): void
}

export class Call implements LegListener, ModelListener {
  readonly callId: CallId
  readonly callSid: CallSid
  readonly #options: CallOptions
  readonly #world: CallWorld
  readonly #model: ModelSession
  readonly #outbound: OutboundAudio
  readonly #inbound: InboundAudio
  readonly #timers: NamedTimers<TimerName>
  readonly #queue: CallEvent[] = []
  #state: CallState
  /** When the call would have begun by the clock here (CB1). */
  readonly #bornMs: number
  #changes = 0
  #isStepping = false
  #leg: Leg | undefined
  #closingTimer: WheelTimer | undefined
  #droppedResponses: string[] = []
  #speakingResponse = ''
  #lastWords: { done: PromiseWithResolvers<void>; timer: WheelTimer } | undefined
  #lastWordsOver: Promise<void> | undefined
  /** Pieces of sound that came from the model. */
  #sounds = 0

  constructor(options: CallOptions, makeModel: (listener: ModelListener) => ModelSession, world: CallWorld) {
    this.callId = options.callId
    this.callSid = options.callSid
    this.#options = options
    this.#state = options.initial ?? initialState()
    this.#world = world
    this.#bornMs = world.clock.monotonicMs() - this.#state.lastedMs
    this.#outbound = new OutboundAudio(options.playout, world, (frames) => world.meter.framesSent(frames))
    this.#timers = new NamedTimers(world.wheel, (name) => this.#dispatch({ kind: 'timer', name }))
    this.#model = makeModel(this)
    this.#inbound = new InboundAudio(this.#model, world.meter, world.clock)
  }

  /** The call's state: what a checkpoint holds. */
  get state(): CallState {
    return this.#state
  }

  /** The state as a checkpoint holds it, with what lives in the agent's own objects. */
  get checkpoint(): CallState {
    const atWallMs = this.#world.clock.wallMs()
    return { ...this.#state, agent: this.#model.carried(), lastedMs: this.lastedMs, atWallMs }
  }

  /** The number of its next checkpoint. */
  get changes(): number {
    return this.#changes
  }

  /** Nobody is about to speak and no tool is out: the model has said all it has to say (the caller may still hear it). */
  get isSettled(): boolean {
    return isSettled(this.#state)
  }

  /** The same, though the caller may be thought to speak. */
  get isSettledButCaller(): boolean {
    return isSettled(this.#state, true)
  }

  /** Up to where the caller's media has come, in ms since the stream began: it grows as long as the stream lives. */
  get heardToMs(): number {
    return this.#inbound.heardToMs
  }

  /** What the caller has still to hear, in ms. */
  get remainingMs(): number {
    return this.#outbound.remainingMs()
  }

  /** This pod's part in the call is over; what follows for the caller is said elsewhere. */
  relinquish(cause: EndCause): void {
    this.#dispatch({ kind: 'let-go', cause })
  }

  /** Dials the model and awaits the caller's stream. */
  start(): void {
    this.#dispatch({ kind: 'opened' })
  }

  /** The carrier's stream is here. A second stream of the same call is refused. */
  attach(leg: Leg): boolean {
    if (this.#leg !== undefined || this.#state.phase.kind === 'ended') return false
    this.#leg = leg
    this.#outbound.attach(leg)
    this.#inbound.silentMs()
    this.#inbound.watch(this.#world.wheel, {
      silentMaxMs: this.#options.mediaWatchdogMs,
      isCallerSpeaking: () => this.#state.isCallerSpeaking,
      onSilent: () => this.#dispatch({ kind: 'media-silent' }),
    })
    this.#dispatch({ kind: 'leg-opened' })
    return true
  }

  /** The carrier says by another way that the call is over. */
  carrierEnded(): void {
    this.#dispatch({ kind: 'carrier-ended' })
  }

  endCall(): void {
    this.#dispatch({ kind: 'end-wanted' })
  }

  transferCall(to: string): void {
    this.#dispatch({ kind: 'transfer-wanted', to })
  }

  /** The drain deadline has come. */
  drainOver(): void {
    this.#dispatch({ kind: 'drain-over' })
  }

  onMedia(buffer: Buffer, start: number, end: number, timestampMs: number): void {
    this.#inbound.hear(buffer, start, end, timestampMs)
  }

  onMark(name: string): void {
    if (this.#outbound.onMark(name) === 'unknown') this.#world.log.debug({}, 'a mark came back that was never sent')
  }

  onDigit(digit: string): void {
    this.#dispatch({ kind: 'digit', digit })
  }

  onLegEnd(end: LegEnd): void {
    this.#leg = undefined
    this.#dispatch({ kind: 'leg-ended', end })
  }

  /** [CD5] Resolves when the transcript of an ended call is whole; undefined: nothing is awaited. */
  get lastWords(): Promise<void> | undefined {
    return this.#lastWordsOver
  }

  onModelEvent(event: ModelEvent): void {
    if (this.#lastWords !== undefined) {
      this.#onLastWords(event)
      return
    }
    const { meter } = this.#world
    if (event.kind === 'speech-started') meter.moment('caller-speaking')
    else if (event.kind === 'speech-stopped') meter.moment('caller-silent')
    else if (event.kind === 'tool-called') meter.toolStarted(event.toolCallId, event.name)
    else if (event.kind === 'tool-answered') meter.toolEnded(event.toolCallId)
    this.#dispatch({ kind: 'model', event })
  }

  history(): readonly TranscriptItem[] {
    return this.#state.transcript.items
  }

  renewalMoment(): readonly TranscriptItem[] | undefined {
    return isQuiet(this.#state) ? this.#state.transcript.items : undefined
  }

  onModelAudio(responseId: string, itemId: string, ulaw: Buffer): void {
    if (this.#droppedResponses.includes(responseId)) {
      this.#world.meter.frameDropped('after-barge-in')
      return
    }
    const isFirst = responseId !== this.#speakingResponse
    const readAtMs = isFirst ? this.#world.clock.monotonicMs() : 0
    const isKept = this.#outbound.say(responseId, itemId, ulaw)
    this.#sounds += 1
    if (!isKept) this.#world.meter.frameDropped('playout-full')
    if (!isFirst) return
    this.#speakingResponse = responseId
    // Only the first piece goes out at once; what follows waits in the playout on purpose.
    this.#world.meter.added('outbound', this.#world.clock.monotonicMs() - readAtMs)
    this.#world.meter.moment('agent-speaking')
    this.#dispatch({ kind: 'audio-begun', responseId })
  }

  #dispatch(event: CallEvent): void {
    this.#queue.push(event)
    if (this.#isStepping) return
    this.#isStepping = true
    try {
      for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
        const last = { ...this.#state, lastedMs: this.lastedMs }
        const { state, effects } = step(last, next, this.#options.settings)
        this.#state = state
        if (isWorthKeeping(last, state)) {
          this.#changes += 1
          this.#options.onChanged?.()
        }
        for (const effect of effects) this.#do(effect)
        this.#listen()
        if (state.phase.kind === 'closing' && last.phase.kind !== 'closing') {
          this.#closingTimer = this.#world.wheel.after(0, () => this.#awaitSilence())
        }
      }
    } finally {
      this.#isStepping = false
    }
  }

  /** How long the call has lasted, wherever it was, in ms. */
  get lastedMs(): number {
    return this.#world.clock.monotonicMs() - this.#bornMs
  }

  /** Opens or shuts the way of caller audio to the model, as the state says. */
  #listen(): void {
    const isHearing = this.#state.model.kind === 'ready' && this.#state.phase.kind !== 'ended'
    this.#inbound.attend(this.#state.isCallerSpeaking)
    if (this.#inbound.set(isHearing) && isHearing) this.#world.meter.moment('model-ready')
  }

  #do(effect: Effect): void {
    const { log, meter } = this.#world
    switch (effect.kind) {
      case 'dial':
        this.#model.dial(this.#state.transcript.items, effect.renewal, effect.elsewhere)
        break
      case 'respond':
        this.#model.command(effect)
        break
      case 'cancel-response':
        this.#model.command({ kind: 'cancel' })
        break
      case 'drop-response':
        this.#droppedResponses.push(effect.responseId)
        if (this.#droppedResponses.length > DROPPED_RESPONSES_MAX) this.#droppedResponses.shift()
        break
      case 'clear-playout':
        this.#queue.push({ kind: 'cut', items: this.#outbound.clear() })
        break
      case 'truncate':
        this.#model.command({ kind: 'truncate', itemId: effect.itemId, audioEndMs: effect.audioEndMs })
        this.#model.interrupted(effect.itemId, effect.heardText)
        break
      case 'complete-item':
        this.#outbound.complete(effect.itemId)
        break
      case 'send-note':
        this.#model.command({ kind: 'note', itemId: effect.itemId, text: effect.text })
        break
      case 'commit-turn':
        this.#model.command({ kind: 'commit' })
        break
      case 'look-response':
        this.#queue.push({
          kind: 'response-looked',
          playoutMs: this.#outbound.remainingMs(),
          sounds: this.#sounds,
        })
        break
      case 'look-caller':
        this.#queue.push({ kind: 'caller-looked', quietMs: this.#inbound.quietMs })
        break
      case 'prove-link':
        this.#model.command({ kind: 'prove' })
        break
      case 'play-filler':
        // The agent is still heard: the line is not silent.
        if (this.#outbound.remainingMs() > 0) break
        this.#outbound.say(OWN_ITEM, OWN_ITEM, chime())
        this.#outbound.complete(OWN_ITEM)
        break
      case 'look-playout':
        this.#queue.push({ kind: 'playout-looked', playoutMs: this.#outbound.remainingMs() })
        break
      case 'send-digits':
        this.#model.command({ kind: 'digits', itemId: effect.itemId, digits: effect.digits })
        break
      case 'set-timer':
        this.#timers.set(effect.name, effect.ms)
        break
      case 'clear-timer':
        this.#timers.clear(effect.name)
        break
      case 'close-leg':
        this.#leg?.close(effect.reason)
        this.#leg = undefined
        break
      case 'close-model':
        if (!this.#awaitWords()) this.#model.close()
        break
      case 'note':
        log[effect.level]({ code: effect.code }, effect.message)
        break
      case 'count':
        meter.count(effect.what, effect.code)
        break
      case 'ended':
        this.#ended(effect.cause, effect.next)
        break
      default:
        unreachable(effect)
    }
  }

  /** [CD5] */
  #awaitWords(): boolean {
    const { phase, transcript } = this.#state
    if (phase.kind !== 'ended' || HAS_NO_LAST_WORDS.has(phase.cause) || phase.next.kind === 'transfer') return false
    if (owedWords(transcript).length === 0 || this.#model.awaitWords?.() !== true) return false
    const done = Promise.withResolvers<void>()
    this.#lastWords = { done, timer: this.#world.wheel.after(LAST_WORDS_MS, () => this.#wordsOver()) }
    this.#lastWordsOver = done.promise
    return true
  }

  #onLastWords(event: ModelEvent): void {
    const { transcriptMaxItems: max } = this.#options.settings
    if (event.kind === 'caller-said' || event.kind === 'caller-said-part' || event.kind === 'caller-unclear')
      this.#state = { ...this.#state, transcript: withCallerWords(this.#state.transcript, event, max) }
    else if (event.kind !== 'lost') return
    if (event.kind === 'lost' || owedWords(this.#state.transcript).length === 0) this.#wordsOver()
  }

  #wordsOver(): void {
    if (this.#lastWords === undefined) return
    const { done, timer } = this.#lastWords
    this.#lastWords = undefined
    this.#world.wheel.cancel(timer)
    this.#model.close()
    const { transcriptMaxItems: max } = this.#options.settings
    let { transcript } = this.#state
    for (const itemId of owedWords(transcript))
      transcript = withCallerWords(transcript, { kind: 'caller-unclear', itemId }, max)
    this.#state = { ...this.#state, transcript }
    done.resolve()
  }

  #ended(cause: EndCause, next: Next): void {
    const { wheel, meter } = this.#world
    this.#timers.clearAll()
    wheel.cancel(this.#closingTimer)
    this.#outbound.close()
    this.#inbound.close()
    meter.ended(cause, this.#state)
    this.#options.onEnded(cause, next)
  }

  /** A closing call ends when what was said has been heard. */
  #awaitSilence(): void {
    if (this.#state.phase.kind !== 'closing') return
    const remainingMs = this.#outbound.remainingMs()
    if (remainingMs <= 0) this.#dispatch({ kind: 'playout-idle' })
    if (this.state.phase.kind === 'ended') return
    this.#closingTimer = this.#world.wheel.after(CLOSING_POLL_MS, () => this.#awaitSilence())
  }
}
