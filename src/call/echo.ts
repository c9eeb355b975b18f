// Does the agent interrupt itself? Its own voice may come back from a handset or a carrier without echo cancellation. Pure. Rules:
// EH1: SELF_CUTS_MAX barge-ins within SELF_CUTS_MS, and no word of the caller between them but what the agent has said itself, are told once in a
//      call: a warning with the remedy, and a count. The call behaves as before.
import type { CallState, Effect } from './state.ts'

export const SELF_CUTS_MAX = 6
const SELF_CUTS_MS = 20_000
const SAID_LOOKS = 6

/** The agent was cut. */
export function selfCut(state: CallState, effects: Effect[]): void {
  if (state.isEchoTold) return
  state.cutsAtMs = [...state.cutsAtMs, state.lastedMs].slice(-SELF_CUTS_MAX)
  if (state.cutsAtMs.length < SELF_CUTS_MAX || state.lastedMs - state.cutsAtMs[0]! > SELF_CUTS_MS) return
  state.isEchoTold = true
  state.cutsAtMs = []
  const message =
    'the agent is interrupted again and again, and the caller says nothing: its own voice may come back as an echo; cancel the echo at ' +
    'the carrier or the handset, or raise the threshold of the voice detection (turn_detection.threshold)'
  effects.push({ kind: 'note', level: 'warn', message, code: 'ECHO_SUSPECTED' })
  effects.push({ kind: 'count', what: 'limit', code: 'echo-suspected' })
}

/** The caller's words as transcribed: they prove that he speaks himself, unless they are the agent's own. */
export function callerWords(state: CallState, text: string): void {
  if (state.cutsAtMs.length === 0) return
  const words = wordsOf(text)
  if (words.length === 0) return
  const agents = state.transcript.items.filter((item) => item.kind === 'agent').slice(-SAID_LOOKS)
  const said = new Set(agents.flatMap((item) => wordsOf(item.text)))
  // What was cut stands in the history only as far as it was heard: half of the words is enough.
  if (words.filter((word) => said.has(word)).length * 2 < words.length) state.cutsAtMs = []
}

const wordsOf = (text: string): string[] => text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? []
