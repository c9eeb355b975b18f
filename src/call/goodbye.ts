// A goodbye is heard to its end. Pure part of the machine. Rules:
// GB1: a caller who speaks while the call closes does not cut what is said: neither a cough nor words.
// GB2: once in a call, a turn of his of more than COUGH_MAX_MS takes the closing back, when the agent wished to end the call or nobody had spoken: the
//      agent is told, and answers. While he speaks no such call ends, within `closingMaxMs`; at that bound it is taken back too.
// GB3: a transfer, and an end by time or money, stand whatever the caller says; so does the second goodbye of a call.
// GB4: a goodbye that the provider broke off because the caller made a sound is followed by its answer to him, which is heard to its end.
import { settle, turnTakingOf } from './owed-turn.ts'
import type { CallSettings, CallState, Effect } from './state.ts'
import { withMessage } from './transcript.ts'

/** From the provider's word that the caller speaks to its word that he is silent: a cough of 200 ms and 500 ms of silence fit in. */
export const COUGH_MAX_MS = 1_000
const NOTE_ID = 'vp_goodbye_taken_back'
const STILL_HERE =
  'The call has not ended: the caller went on speaking during your goodbye. Answer them. When nothing is left to do, say goodbye and ' +
  'end the call again.'

/** May this closing be taken back? [GB2][GB3] */
function mayTakeBack({ phase, hasTakenBack, isLegOpen, model }: CallState): boolean {
  const isWish = phase.kind === 'closing' && (phase.cause === 'agent-ended' || phase.cause === 'caller-silent')
  return isWish && !hasTakenBack && isLegOpen && model.kind === 'ready'
}

/** How long the caller has spoken in this turn, in ms of the call. */
function spokenMs({ lastedMs, spokeFromMs }: CallState): number {
  return spokeFromMs === undefined ? 0 : lastedMs - spokeFromMs
}

/** [GB2][GB4] Must the end wait, though all that was said has been heard? */
export function isEndAwaited(state: CallState): boolean {
  if (state.phase.kind !== 'closing') return false
  const isAnswerDue = state.owed?.cause === 'caller' || state.isCallerSpeaking
  return (state.isCallerSpeaking && mayTakeBack(state)) || (state.phase.isBroken === true && isAnswerDue)
}

/** [GB2] The caller has spoken for so long that the call is his again; false when the closing stands. */
export function takeBack(state: CallState, settings: CallSettings, effects: Effect[]): boolean {
  if (!mayTakeBack(state) || spokenMs(state) <= COUGH_MAX_MS) return false
  state.phase = { kind: 'live' }
  state.hasTakenBack = true
  state.isQuietAsked = false
  state.quietFromMs = undefined
  effects.push({ kind: 'clear-timer', name: 'closing' })
  // What is left of the goodbye is none any more.
  if (turnTakingOf(state, settings).interrupts) {
    effects.push({ kind: 'clear-playout' })
    settle(state, 'caller-spoke', effects)
  }
  const note = { kind: 'message' as const, id: NOTE_ID, role: 'system' as const, text: STILL_HERE }
  state.transcript = withMessage(state.transcript, note, undefined, settings.transcriptMaxItems)
  effects.push({ kind: 'send-note', itemId: NOTE_ID, text: STILL_HERE })
  effects.push({
    kind: 'note',
    level: 'info',
    message: 'the caller went on speaking during the goodbye; the call goes on',
  })
  effects.push({ kind: 'count', what: 'limit', code: 'goodbye-taken-back' })
  return true
}

/** [GB4] The provider has broken off what it was saying. */
export function goodbyeBroken(state: CallState): void {
  if (state.phase.kind === 'closing') state.phase = { ...state.phase, isBroken: true }
}
