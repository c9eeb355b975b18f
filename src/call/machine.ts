// The call as a pure machine: no I/O, no clock, no randomness. The driver turns the world into events and effects
// into deeds. Rules:
// CM1: a call ends once; after that every event is ignored.
// CM2: one response at a time: a request waits while another is requested or active (turn.ts).
// CM3: any terminal signal (stop, close, loss, status callback, agent, limit) leads to the same end.
// CM4: a model link that is lost is dialled again with the history; a refusal that is final is not.
// CM5: a closing call says what it has begun to say, within its bound, then closes.
import { unreachable } from '../kit/errors.ts'
import {
  onBudgetLook,
  onNoTurnEnds,
  onPlayoutLooked,
  onQuiet,
  onTimeNear,
  onTimeOver,
  startBounds,
  watchQuiet,
} from './bounds.ts'
import { onCallerLooked, onCallerTurnLook } from './caller-turn.ts'
import type { EndCause } from './end-cause.ts'
import { isEndAwaited, takeBack } from './goodbye.ts'
import { askLink, giveUpTurn, onModelEvent, onResponseLooked, type Transitions } from './model-events.ts'
import {
  answered,
  dial,
  dialFirst,
  letToolsGo,
  mayDial,
  onDialWindow,
  onFillerDue,
  owe,
  resumeDials,
  settle,
} from './owed-turn.ts'
import {
  type CallEvent,
  type CallSettings,
  type CallState,
  type Effect,
  FAILOVER_CALM_MS,
  type Next,
  type Step,
  TIMER_NAMES,
  type TurnOutcome,
} from './state.ts'
import { answerTools, bargeInCut, flushDigits, flushWanted, greet, interrupt, owedRequest } from './turn.ts'

const DIGITS_MAX = 64
const RESPONSE_MAX_MS = 120_000

const TO: Transitions = { goLive, end: giveUp, interrupt, renewNow }

/** One step of a call. Returns the state after `event` and what is to be done, in order. */
export function step(before: CallState, event: CallEvent, settings: CallSettings): Step {
  if (before.phase.kind === 'ended') return { state: before, effects: [] }
  const effects: Effect[] = []
  const state = apply({ ...before }, event, settings, effects)
  watchQuiet(before, state, event, settings, effects)
  return { state, effects }
}

function apply(state: CallState, event: CallEvent, settings: CallSettings, effects: Effect[]): CallState {
  switch (event.kind) {
    case 'opened':
      effects.push({ kind: 'set-timer', name: 'stream-awaited', ms: settings.streamAwaitedMs })
      startBounds(state, settings, effects)
      // Keys that were pressed before the call came here wait for their pause anew.
      if (state.digits !== '') effects.push({ kind: 'set-timer', name: 'digits', ms: settings.digitsPauseMs })
      resumeDials(state, effects)
      dialFirst(state, effects)
      return state
    case 'leg-opened':
      effects.push({ kind: 'clear-timer', name: 'stream-awaited' })
      state.isLegOpen = true
      if (state.resume === 'failover') effects.push({ kind: 'play-filler' })
      if (state.failovers > 0) effects.push({ kind: 'set-timer', name: 'calm', ms: FAILOVER_CALM_MS })
      state.resume = undefined
      if (state.wanted !== undefined || (!state.hasGreeted && settings.greeting.kind === 'agent'))
        owe(state, 'greeting', settings, effects)
      if (state.model.kind === 'ready') goLive(state, settings, effects)
      return state
    case 'leg-ended':
      state.isLegOpen = false
      if (event.end.cause === 'overflow') {
        effects.push({
          kind: 'note',
          level: 'warn',
          message: 'the carrier does not read its socket',
          code: 'SOCKET_OVERFLOW',
        })
      }
      return end(state, effects, legEndCause(state, event.end.cause), legEndNext(state))
    case 'carrier-ended':
      return end(state, effects, 'caller-hung-up', { kind: 'none' })
    case 'media-silent':
      return end(state, effects, 'media-silent', { kind: 'hang-up' })
    case 'drain-over':
      return end(state, effects, 'drained', { kind: 'hang-up', sentence: settings.sorrySentence })
    case 'let-go':
      return end(state, effects, event.cause, { kind: 'none' })
    case 'digit':
      state.digits = (state.digits + event.digit).slice(-DIGITS_MAX)
      effects.push({ kind: 'set-timer', name: 'digits', ms: settings.digitsPauseMs })
      if (settings.keysInterrupt && state.phase.kind === 'live') interrupt(state, effects)
      return state
    case 'audio-begun':
      if (state.response.kind === 'active' && state.response.responseId === event.responseId) {
        state.response = { ...state.response, hasAudio: true, soundFromMs: state.lastedMs }
        effects.push({ kind: 'set-timer', name: 'model-answer', ms: settings.modelStallMs })
      } else effects.push({ kind: 'clear-timer', name: 'model-answer' })
      answered(state, event.responseId, effects)
      return state
    case 'cut':
      return bargeInCut(state, event.items, settings, effects)
    case 'end-wanted':
      return beginClosing(state, settings, effects, 'agent-ended', { kind: 'hang-up' })
    case 'transfer-wanted':
      return beginClosing(state, settings, effects, 'transferred', { kind: 'transfer', to: event.to })
    case 'playout-idle':
      return finishClosing(state, effects)
    case 'playout-looked':
      onPlayoutLooked(state, event.playoutMs, settings, effects)
      return state
    case 'response-looked':
      onResponseLooked(state, event, settings, effects, TO)
      return state
    case 'caller-looked':
      return onCallerLooked(state, event.quietMs, settings, effects)
        ? onNoTurnEnds(state, settings, effects, beginClosing)
        : state
    case 'timer':
      return onTimer(state, event.name, settings, effects)
    case 'model':
      return onModelEvent(state, event.event, settings, effects, TO)
    default:
      return unreachable(event)
  }
}

function goLive(state: CallState, settings: CallSettings, effects: Effect[]): void {
  if (state.phase.kind === 'opening') state.phase = { kind: 'live' }
  // Keys that were pressed in another pod.
  if (state.digits !== '') effects.push({ kind: 'set-timer', name: 'digits', ms: settings.digitsPauseMs })
  greet(state, settings, effects)
}

function onTimer(state: CallState, name: string, settings: CallSettings, effects: Effect[]): CallState {
  switch (name) {
    case 'stream-awaited':
      return state.isLegOpen ? state : end(state, effects, 'stream-never-came', { kind: 'none' })
    case 'call-max':
      return onTimeOver(state, settings, effects, beginClosing)
    case 'call-near':
      onTimeNear(state, effects)
      return state
    case 'budget':
      return onBudgetLook(state, settings, effects, beginClosing)
    case 'quiet':
      return onQuiet(state, settings, effects, beginClosing)
    case 'closing':
      if (state.phase.kind !== 'closing' || (state.isCallerSpeaking && takeBack(state, settings, effects))) return state
      return end(state, effects, state.phase.cause, state.phase.next)
    case 'caller-turn':
      onCallerTurnLook(state, effects)
      return state
    case 'redial':
      if (!mayDial(state)) return giveUp(state, settings, effects, 'model-lost')
      dial(state, false, effects)
      return state
    case 'turn-bound':
      return state.owed === undefined ? state : giveUpTurn(state, settings, effects, TO)
    case 'turn-filler':
      onFillerDue(state, settings, effects)
      return state
    case 'turn-retry':
      state.isHolding = false
      flushWanted(state, settings, effects)
      return state
    case 'tool-hold':
      letToolsGo(state)
      answerTools(state, settings, effects)
      return state
    case 'dial-window':
      onDialWindow(state, effects)
      return state
    case 'calm':
      state.failovers = 0
      return state
    case 'digits':
      return flushDigits(state, settings, effects)
    case 'renew':
      state.renewalDue = true
      renewNow(state, effects)
      return state
    case 'model-answer':
      if (state.owed === undefined && state.response.kind === 'idle') return state
      if (state.response.kind === 'active' && state.response.hasAudio && !isTooLong(state)) {
        effects.push({ kind: 'look-response' })
        return state
      }
      if (askLink(state, effects)) return state
      effects.push({
        kind: 'note',
        level: 'warn',
        message: 'the model did not answer within its bound',
        code: 'MODEL_STALLED',
      })
      state.wanted = state.wanted ?? owedRequest(state)
      return onModelEvent(state, { kind: 'lost', loss: { code: 'MODEL_STALLED', fatal: false } }, settings, effects, TO)
    default:
      return state
  }
}

/** A response that has sounded for so long is over, or its link is taken for stalled. Speech is made faster than it is spoken. */
function isTooLong({ response, lastedMs }: CallState): boolean {
  return response.kind === 'active' && lastedMs - (response.soundFromMs ?? lastedMs) >= RESPONSE_MAX_MS
}

/** Renews the link at a turn boundary: nobody speaks, nothing is being made. Unheard by the caller. */
function renewNow(state: CallState, effects: Effect[]): void {
  const isQuiet = state.response.kind === 'idle' && state.wanted === undefined && !state.isCallerSpeaking
  if (
    !state.renewalDue ||
    !isQuiet ||
    state.owed !== undefined ||
    !mayDial(state) ||
    state.model.kind !== 'ready' ||
    state.model.isRenewing
  )
    return
  state.renewalDue = false
  state.model = { kind: 'ready', isRenewing: true }
  dial(state, true, effects)
}

function beginClosing(
  state: CallState,
  settings: CallSettings,
  effects: Effect[],
  cause: EndCause,
  next: Next,
): CallState {
  if (state.phase.kind === 'closing') return state
  if (!state.isLegOpen) return end(state, effects, cause, next)
  state.phase = { kind: 'closing', cause, next }
  effects.push({ kind: 'set-timer', name: 'closing', ms: settings.closingMaxMs })
  return state
}

/** Nothing is left to hear: a closing call may end, unless a response is still being made. */
function finishClosing(state: CallState, effects: Effect[]): CallState {
  if (state.phase.kind !== 'closing' || state.response.kind !== 'idle' || state.wanted !== undefined) return state
  if (state.toolsAnswered || isEndAwaited(state)) return state
  return end(state, effects, state.phase.cause, state.phase.next)
}

/** The call cannot go on without its model: a person if there is one, else a polite sentence. */
function giveUp(state: CallState, settings: CallSettings, effects: Effect[], cause: EndCause): CallState {
  if (state.phase.kind === 'closing') return end(state, effects, state.phase.cause, state.phase.next)
  const next: Next =
    settings.fallbackNumber === undefined
      ? { kind: 'hang-up', sentence: settings.sorrySentence }
      : { kind: 'transfer', to: settings.fallbackNumber }
  return end(state, effects, cause, next)
}

function legEndCause(state: CallState, cause: string): EndCause {
  if (state.phase.kind === 'closing') return state.phase.cause
  return cause === 'stop' || cause === 'closed' ? 'caller-hung-up' : 'carrier-lost'
}

function legEndNext(state: CallState): Next {
  return state.phase.kind === 'closing' ? state.phase.next : { kind: 'none' }
}

/** What becomes of a turn that is owed when the call ends. */
function outcomeOf(cause: EndCause, next: Next): TurnOutcome {
  if (cause === 'moved' || cause === 'handed-over') return 'moved'
  if (next.kind === 'transfer') return 'person'
  return next.kind === 'hang-up' && next.sentence !== undefined ? 'sentence' : 'call-ended'
}

function end(state: CallState, effects: Effect[], cause: EndCause, next: Next): CallState {
  settle(state, outcomeOf(cause, next), effects)
  for (const name of TIMER_NAMES) effects.push({ kind: 'clear-timer', name })
  if (state.isLegOpen) effects.push({ kind: 'close-leg', reason: cause })
  effects.push({ kind: 'close-model' })
  effects.push({ kind: 'ended', cause, next })
  state.isLegOpen = false
  state.phase = { kind: 'ended', cause, next }
  return state
}
