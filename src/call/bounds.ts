// What bounds a call: its time, its silence, its money. Pure part of the machine. Rules:
// CB1: all of it counts in the call's own time (`lastedMs`): from its start, wherever it is. A move renews no bound.
// CB2: a caller who has been quiet for silenceAskMs is asked once whether they are there; quiet for silenceEndMs more, they hear a
//      goodbye and the call ends. Quiet is only when nobody is due to speak, no tool is out, and all that was said has been heard.
// CB3: at NEAR_SHARE of its time or its money the call tells so once; at the bound the agent is asked for a goodbye, and what it says is
//      heard to its end (CM5). If it says nothing, the plane's own sentence does.
import type { EndCause } from './end-cause.ts'
import type { CallEvent, CallSettings, CallState, Effect, Next } from './state.ts'
import { amountsOf } from './tariff.ts'
import { requestResponse } from './turn.ts'

/** From this share of a bound on it is near. */
const NEAR_SHARE = 0.8
/** How often a call with a budget is looked at. */
const BUDGET_LOOK_MS = 5_000

const ASK_QUIET =
  'The caller has said nothing for a while. Ask in a few words, in the language of this conversation, whether they are still there.'
const GOODBYE = {
  'caller-silent':
    'The caller does not answer any more. Say in one short sentence, in the language of this conversation, that you hang up now and ' +
    'that they can call again. Say goodbye. Ask nothing.',
  'too-long':
    'The time of this call is over. Say in one short sentence, in the language of this conversation, that the call has to end now and ' +
    'that the caller can call again. Say goodbye. Ask nothing.',
}

/** How the machine begins to close a call. */
type BeginClosing = (
  state: CallState,
  settings: CallSettings,
  effects: Effect[],
  cause: EndCause,
  next: Next,
) => CallState

/** The call was opened, or came here: its bounds run on from where they were. [CB1] */
export function startBounds(state: CallState, settings: CallSettings, effects: Effect[]): void {
  const leftMs = (boundMs: number): number => Math.max(1, Math.round(boundMs - state.lastedMs))
  effects.push({ kind: 'set-timer', name: 'call-max', ms: leftMs(settings.callMaxMs) })
  if (!state.isTimeNear)
    effects.push({ kind: 'set-timer', name: 'call-near', ms: leftMs(settings.callMaxMs * NEAR_SHARE) })
  if (settings.budget !== undefined) effects.push({ kind: 'set-timer', name: 'budget', ms: BUDGET_LOOK_MS })
}

/** [CB3] */
export function onTimeNear(state: CallState, effects: Effect[]): void {
  state.isTimeNear = true
  tell('call-time-near', 'the call is near the end of its time', effects)
}

/** [CB3] */
export function onTimeOver(
  state: CallState,
  settings: CallSettings,
  effects: Effect[],
  beginClosing: BeginClosing,
): CallState {
  tell('call-time-reached', 'the time of the call is over', effects)
  return sayGoodbye(state, settings, effects, 'too-long', beginClosing)
}

/** [CB3] What the call has cost so far is looked at. */
export function onBudgetLook(
  state: CallState,
  settings: CallSettings,
  effects: Effect[],
  beginClosing: BeginClosing,
): CallState {
  if (settings.budget === undefined) return state
  const { modelAmount, carrierAmount } = amountsOf(state.usage, state.lastedMs, settings.budget.prices)
  const share = (modelAmount + carrierAmount) / settings.budget.amount
  if (share >= 1) {
    tell('call-money-reached', 'the call has cost what it may', effects)
    return sayGoodbye(state, settings, effects, 'over-budget', beginClosing)
  }
  if (share >= NEAR_SHARE && !state.isMoneyNear) {
    state.isMoneyNear = true
    tell('call-money-near', 'the call has nearly cost what it may', effects)
  }
  effects.push({ kind: 'set-timer', name: 'budget', ms: BUDGET_LOOK_MS })
  return state
}

/** [CB2] Follows each step: begins to count when it grows quiet, and stops when somebody is due to speak. */
export function watchQuiet(
  before: CallState,
  state: CallState,
  event: CallEvent,
  settings: CallSettings,
  effects: Effect[],
): void {
  if (event.kind === 'audio-begun' && state.phase.kind === 'closing' && isGoodbye(state.phase.cause))
    state.phase = { ...state.phase, next: { kind: 'hang-up' } }
  if (settings.silenceAskMs === 0 || state.phase.kind !== 'live') return
  if (isSignOfCaller(event)) state.isQuietAsked = false
  if (isBusy(state)) {
    if (state.quietFromMs !== undefined) effects.push({ kind: 'clear-timer', name: 'quiet' })
    state.quietFromMs = undefined
  } else if (isBusy(before) || before.phase.kind !== 'live') effects.push({ kind: 'look-playout' })
}

/** [CB2] Nobody is due to speak; the caller has still `playoutMs` to hear. */
export function onPlayoutLooked(state: CallState, playoutMs: number, settings: CallSettings, effects: Effect[]): void {
  if (state.phase.kind !== 'live' || isBusy(state)) return
  state.quietFromMs = state.quietFromMs ?? state.lastedMs + playoutMs
  effects.push({ kind: 'set-timer', name: 'quiet', ms: quietLeftMs(state, settings) })
}

/** [CB2] */
export function onQuiet(
  state: CallState,
  settings: CallSettings,
  effects: Effect[],
  beginClosing: BeginClosing,
): CallState {
  if (state.phase.kind !== 'live' || isBusy(state)) return state
  if (state.isQuietAsked) {
    tell('caller-silent-ended', 'the caller did not answer whether they are there', effects)
    return sayGoodbye(state, settings, effects, 'caller-silent', beginClosing)
  }
  tell('caller-silent-asked', 'a caller who is silent is asked whether they are there', effects)
  state.isQuietAsked = true
  state.quietFromMs = undefined
  requestResponse(state, { instructions: ASK_QUIET }, settings, effects)
  return state
}

/** [UT3] The caller's turns do not end: the agent says goodbye. */
export function onNoTurnEnds(
  state: CallState,
  settings: CallSettings,
  effects: Effect[],
  beginClosing: BeginClosing,
): CallState {
  if (state.phase.kind !== 'live') return state
  tell('caller-turns-ended', 'turns of the caller do not end by themselves; the call is ended', effects)
  return sayGoodbye(state, settings, effects, 'caller-silent', beginClosing)
}

/** [CB3] */
function sayGoodbye(
  state: CallState,
  settings: CallSettings,
  effects: Effect[],
  cause: EndCause,
  beginClosing: BeginClosing,
): CallState {
  const isOther = state.phase.kind === 'closing'
  const next = beginClosing(state, settings, effects, cause, { kind: 'hang-up', sentence: settings.sorrySentence })
  if (!isOther && next.phase.kind === 'closing' && next.model.kind === 'ready')
    requestResponse(next, { instructions: GOODBYE[cause === 'caller-silent' ? cause : 'too-long'] }, settings, effects)
  return next
}

function isGoodbye(cause: EndCause): boolean {
  return cause === 'too-long' || cause === 'caller-silent' || cause === 'over-budget'
}

function quietLeftMs({ quietFromMs = 0, lastedMs, isQuietAsked }: CallState, settings: CallSettings): number {
  const boundMs = isQuietAsked ? settings.silenceEndMs : settings.silenceAskMs
  return Math.max(1, Math.round(quietFromMs + boundMs - lastedMs))
}

function isSignOfCaller(event: CallEvent): boolean {
  return event.kind === 'digit' || (event.kind === 'model' && event.event.kind === 'speech-started')
}

/** Somebody is due to speak, or something is being done for the caller. */
function isBusy(state: CallState): boolean {
  const { isLegOpen, model, response, wanted, isCallerSpeaking, owed, tools, digits } = state
  const isServed = isLegOpen && model.kind === 'ready'
  const isIdle = response.kind === 'idle' && wanted === undefined && owed === undefined
  return !isServed || !isIdle || isCallerSpeaking || tools.length > 0 || digits !== ''
}

function tell(limit: string, message: string, effects: Effect[]): void {
  effects.push({ kind: 'note', level: 'info', message })
  effects.push({ kind: 'count', what: 'limit', code: limit })
}
