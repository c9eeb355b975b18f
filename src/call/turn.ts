// Turns: who may speak now. Pure parts of the machine. Rules:
// TU1: one response.create at a time; requests made meanwhile become one, sent when the active response is over.
// TU2: barge-in, in this order: clear the carrier, cut the playout, truncate each item at what was heard (whole ms,
//     at most what arrived), drop late audio of that response. An item that was heard to its end is not truncated.
// TU3: a request waits while the caller speaks, if the provider will answer the caller by itself.
// TU4: keypad digits are gathered until a pause and given to the model as one message.
// TU5: a request that must be made again keeps its instructions, until its response has begun to sound.
// TU6: a key that the caller presses silences the agent as speech does, unless the pack says otherwise; a goodbye is heard to its end, whatever the caller
//      presses or says (goodbye.ts).
import { selfCut } from './echo.ts'
import { takeBack } from './goodbye.ts'
import { isSilentRequest, isToolAwaited, owe, settle, turnTakingOf } from './owed-turn.ts'
import type { CutItem } from './playout.ts'
import type { ResponseRequest } from './ports.ts'
import type { CallSettings, CallState, DueCause, Effect } from './state.ts'
import { cutAt, withItem, withMessage } from './transcript.ts'

/** How often a caller's turn is looked at (UT1). */
export const TURN_LOOK_MS = 2_500

/** Asks for a response, now or when it may be (TU1, TU3). */
export function requestResponse(
  state: CallState,
  wanted: ResponseRequest,
  settings: CallSettings,
  effects: Effect[],
  cause: DueCause = 'request',
): void {
  const isListening = state.isCallerSpeaking && turnTakingOf(state, settings).autoRespond
  const mustWait = state.model.kind !== 'ready' || state.response.kind !== 'idle' || isListening || state.isHolding
  const isOwed = !isSilentRequest(wanted) && !isListening && state.response.kind === 'idle'
  if (isOwed && (!mustWait || state.isLegOpen)) owe(state, cause, settings, effects)
  if (mustWait) {
    state.wanted = wanted
    return
  }
  state.requests += 1
  const requestId = `vp-${state.requests}`
  state.response = { kind: 'requested', asked: { requestId, request: wanted } }
  state.wanted = undefined
  if (state.toolsAnswered) effects.push({ kind: 'clear-timer', name: 'tool-hold' })
  state.toolsAnswered = false
  effects.push({ kind: 'respond', requestId, ...wanted })
  effects.push({ kind: 'set-timer', name: 'model-answer', ms: settings.modelStallMs })
}

/** What must be asked again when the response that is under way comes to nothing: once it sounds, only that it goes on (TU5). */
export function owedRequest(state: CallState): ResponseRequest {
  const { response } = state
  if (response.kind === 'idle' || (response.kind === 'active' && response.hasAudio)) return {}
  return response.asked?.request ?? {}
}

/** Sends the request that waits, if it may go now. */
export function flushWanted(state: CallState, settings: CallSettings, effects: Effect[]): void {
  if (state.wanted !== undefined) requestResponse(state, state.wanted, settings, effects)
}

/** [OD7] Asks for the answer to tools, once all that hold it have answered and the response that called them is over. */
export function answerTools(state: CallState, settings: CallSettings, effects: Effect[]): void {
  if (!state.toolsAnswered || state.response.kind !== 'idle' || isToolAwaited(state)) return
  requestResponse(state, state.wanted ?? {}, settings, effects, 'tool')
}

/** The agent speaks first, once both sides are there. */
export function greet(state: CallState, settings: CallSettings, effects: Effect[]): void {
  if (!state.isLegOpen || state.model.kind !== 'ready') return
  if (!state.hasGreeted) {
    state.hasGreeted = true
    if (settings.greeting.kind === 'agent') {
      const { instructions } = settings.greeting
      requestResponse(state, instructions === undefined ? {} : { instructions }, settings, effects, 'greeting')
    }
  }
  flushWanted(state, settings, effects)
}

/** The caller began to speak. */
export function onSpeechStarted(state: CallState, settings: CallSettings, effects: Effect[]): void {
  const { autoRespond, interrupts } = turnTakingOf(state, settings)
  if (interrupts && state.phase.kind !== 'closing') effects.push({ kind: 'clear-playout' })
  if (!state.isCallerSpeaking) {
    state.spokeFromMs = state.lastedMs
    effects.push({ kind: 'set-timer', name: 'caller-turn', ms: TURN_LOOK_MS })
  }
  state.isCallerSpeaking = true
  if (state.owed !== undefined && state.response.kind === 'idle')
    effects.push({ kind: 'clear-timer', name: 'model-answer' })
  settle(state, 'caller-spoke', effects)
  if (!autoRespond || !state.isHolding) return
  // The provider answers what the caller says now; what was to be asked for again is behind it.
  state.isHolding = false
  state.wanted = undefined
  effects.push({ kind: 'clear-timer', name: 'turn-retry' })
}

/** The caller fell silent: an answer is due. */
export function onSpeechStopped(state: CallState, settings: CallSettings, effects: Effect[]): void {
  if (state.isCallerSpeaking) {
    takeBack(state, settings, effects)
    state.longTurns = 0
    effects.push({ kind: 'clear-timer', name: 'caller-turn' })
  }
  state.isCallerSpeaking = false
  state.spokeFromMs = undefined
  state.turns += 1
  effects.push({ kind: 'count', what: 'turn' })
  state.hasContinued = false
  if (!turnTakingOf(state, settings).autoRespond) {
    flushWanted(state, settings, effects)
    return
  }
  owe(state, 'caller', settings, effects)
  effects.push({ kind: 'set-timer', name: 'model-answer', ms: settings.modelStallMs })
}

/** Our side wants silence (a guardrail tripped, or code called interrupt): as barge-in, and the response is cancelled. */
export function interrupt(state: CallState, effects: Effect[]): void {
  if (state.response.kind === 'active') {
    effects.push({ kind: 'cancel-response' })
    state.response = { ...state.response, isCancelled: true }
  }
  effects.push({ kind: 'clear-playout' })
  settle(state, 'agent-quiet', effects)
}

/** The playout was cut: tell the model what was heard (TU2). */
export function bargeInCut(state: CallState, items: CutItem[], settings: CallSettings, effects: Effect[]): CallState {
  let hasCut = false
  for (const item of items) {
    if (item.isComplete && item.heardMs >= item.receivedMs) continue
    hasCut = true
    effects.push({ kind: 'drop-response', responseId: item.responseId })
    const said = state.transcript.items.find((other) => other.kind === 'agent' && other.id === item.itemId)
    let heardText = ''
    if (said?.kind === 'agent') {
      const cut = cutAt(said, item.heardMs, item.receivedMs)
      heardText = cut.text
      state.transcript = withItem(state.transcript, cut, settings.transcriptMaxItems)
    } else if (item.receivedMs > 0) {
      // Its words come later, all of them: they are cut then (model-events.ts).
      const { itemId: id, heardMs, receivedMs } = item
      const unsaid = { kind: 'agent' as const, id, text: '', heardMs, receivedMs, cut: true }
      state.transcript = withItem(state.transcript, unsaid, settings.transcriptMaxItems)
    }
    if (item.receivedMs > 0) {
      const audioEndMs = Math.min(item.heardMs, item.receivedMs)
      effects.push({ kind: 'truncate', itemId: item.itemId, audioEndMs, heardText })
    }
  }
  if (hasCut) {
    state.bargeIns += 1
    effects.push({ kind: 'count', what: 'barge-in' })
    selfCut(state, effects)
  }
  return state
}

/** What the model is told of pressed keys. */
export function wordsOfKeys(digits: string): string {
  return `The caller pressed these keys on the telephone: ${digits}`
}

/** Gives the gathered digits to the model and asks for an answer (TU4). */
export function flushDigits(state: CallState, settings: CallSettings, effects: Effect[]): CallState {
  if (state.digits === '') return state
  if (state.model.kind !== 'ready') {
    effects.push({ kind: 'set-timer', name: 'digits', ms: settings.digitsPauseMs })
    return state
  }
  // What began to be said since the last key is no answer to these.
  if (settings.keysInterrupt && state.phase.kind === 'live' && state.response.kind === 'active')
    interrupt(state, effects)
  state.keyMessages += 1
  const itemId = `keys_${state.keyMessages}`
  const message = { kind: 'message' as const, id: itemId, role: 'user' as const, text: wordsOfKeys(state.digits) }
  state.transcript = withMessage(state.transcript, message, undefined, settings.transcriptMaxItems)
  effects.push({ kind: 'send-digits', itemId, digits: state.digits })
  state.digits = ''
  requestResponse(state, {}, settings, effects, 'digits')
  return state
}
