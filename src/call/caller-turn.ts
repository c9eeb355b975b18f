// One turn of the caller has a bound: a television, or an end of speech that the provider never told. Pure part of the machine. Rules:
// UT1: while the caller is thought to speak the plane's own inbound audio (inbound-audio.ts) is asked each TURN_LOOK_MS how long it has heard nothing.
// UT2: nothing for TURN_QUIET_MS, or a turn of TURN_BOUND_MS whatever is heard: the plane ends the turn itself. It commits what was heard, asks for
//      an answer, logs and counts it.
// UT3: after LONG_TURNS_MAX such turns in a row, none of which ended by the provider's word, the agent says goodbye, unless silence never ends a call.

import type { CallSettings, CallState, Effect } from './state.ts'
import { requestResponse, TURN_LOOK_MS } from './turn.ts'

export const TURN_QUIET_MS = 10_000
export const TURN_BOUND_MS = 60_000
export const LONG_TURNS_MAX = 3

/** [UT1] The time to look has come. */
export function onCallerTurnLook(state: CallState, effects: Effect[]): void {
  if (state.isCallerSpeaking) effects.push({ kind: 'look-caller' })
}

/** [UT2] The inbound audio had nothing for `quietMs` of this turn. True when the turn is over and was one too many [UT3]. */
export function onCallerLooked(state: CallState, quietMs: number, settings: CallSettings, effects: Effect[]): boolean {
  if (!state.isCallerSpeaking) return false
  const spokenMs = state.lastedMs - (state.spokeFromMs ?? state.lastedMs)
  const isQuiet = quietMs >= TURN_QUIET_MS
  if (!isQuiet && spokenMs < TURN_BOUND_MS) {
    effects.push({ kind: 'set-timer', name: 'caller-turn', ms: TURN_LOOK_MS })
    return false
  }
  state.isCallerSpeaking = false
  state.spokeFromMs = undefined
  state.turns += 1
  state.longTurns += 1
  const code = isQuiet ? 'caller-turn-quiet' : 'caller-turn-long'
  const message = isQuiet
    ? 'the model says that the caller speaks, and nothing is heard of them; their turn is ended here'
    : 'the caller has spoken for as long as a turn may last; it is ended here'
  effects.push({ kind: 'note', level: 'warn', message, code: 'CALLER_TURN_BOUND' })
  effects.push({ kind: 'count', what: 'limit', code })
  effects.push({ kind: 'count', what: 'turn' })
  effects.push({ kind: 'commit-turn' })
  if (state.longTurns >= LONG_TURNS_MAX && settings.silenceAskMs > 0) return true
  if (state.phase.kind === 'live') requestResponse(state, state.wanted ?? {}, settings, effects, 'caller')
  return false
}
