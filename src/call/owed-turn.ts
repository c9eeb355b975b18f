// The turn that the caller is owed: from what makes an answer due to its first sound. Pure part of the machine. Rules:
// OD1: what makes an answer due (greeting, end of the caller's words, digits, a tool, a request of the agent) opens one owed turn;
//      it ends in one named outcome within `turnMaxMs`. What comes due while a turn is owed belongs to that turn.
// OD2: an answer that comes to nothing is asked for again, then on another link, then elsewhere (another pool); then a person
//      or a sentence ends the call. A link that is lost or stalls begins at "another link".
// OD3: a limit of a rate is waited for as the provider says, at most LIMIT_WAITS_MAX times and LIMIT_WAIT_MAX_MS each; a longer
//      wait, and a limit of a quota, go elsewhere at once.
// OD4: only an answer that is heard clears the strikes: no redial, no other response, no new turn of the caller.
// OD5: while a turn is owed the caller hears our own sound after `fillerAfterMs`, and again each FILLER_EVERY_MS.
// OD6: a call dials at most DIALS_MAX times in any minute; a turn for which no dial is left ends as when nothing helped. The dial of a
//      pod that takes the call over is not among them: moves have a bound of their own, and a call that moved must still outlive its link.
// OD7: tools that were called together are answered by one response; one that is out for longer than TOOL_HOLD_MS does not hold it.
import type { ResponseRequest, TurnTaking } from './ports.ts'
import type { CallSettings, CallState, DueCause, Effect, Rung, Strikes, TurnOutcome } from './state.ts'

export const FILLER_EVERY_MS = 5_000
export const LIMIT_WAIT_MAX_MS = 10_000
const LIMIT_WAITS_MAX = 2
export const TOOL_HOLD_MS = 5_000
export const DIALS_MAX = 6
const DIAL_BUCKET_MS = 20_000
/** The present stretch and the three before it: at least a minute. */
const DIAL_BUCKETS = 4
const ASK_AGAIN_MS = 200
/** A wait that the caller would notice is begun with our own sound. */
export const NOTICED_MS = 1_000
const TOOLS_OUT_MAX = 32

/** Why an answer came to nothing. */
export type Trouble = { code: string; limit?: 'rate' | 'quota'; retryAfterMs?: number; isLink?: true }

/** What is done about it. */
type Remedy = { kind: 'ask'; waitMs: number } | { kind: 'dial'; elsewhere: boolean } | { kind: 'give-up' }

/** Who ends turns: as configured, until the first configuration was sent as the settings say. */
export function turnTakingOf(state: CallState, settings: CallSettings): TurnTaking {
  return state.turnTaking ?? { autoRespond: settings.autoRespond, interrupts: settings.bargeIn }
}

/** Does the caller hear nothing of this request, by its own wish (out of the conversation, or text only)? */
export function isSilentRequest({ extra }: ResponseRequest): boolean {
  const modalities = extra?.output_modalities
  const isText = Array.isArray(modalities) && modalities.length > 0 && !modalities.includes('audio')
  return extra?.conversation === 'none' || isText
}

/** An answer is due (OD1). */
export function owe(state: CallState, cause: DueCause, settings: CallSettings, effects: Effect[]): void {
  if (state.owed !== undefined || state.phase.kind === 'ended') return
  const { response } = state
  const before = response.kind === 'active' && cause !== 'model' ? response.responseId : undefined
  state.owed = { cause, reached: 0, hasFilled: false, isQuiet: false, before, proof: 'none' }
  effects.push({ kind: 'set-timer', name: 'turn-bound', ms: settings.turnMaxMs })
  effects.push({ kind: 'set-timer', name: 'turn-filler', ms: settings.fillerAfterMs })
}

/** The owed turn ends in `outcome`; nothing when none is owed. */
export function settle(state: CallState, outcome: TurnOutcome, effects: Effect[]): void {
  if (state.owed === undefined) return
  state.owed = undefined
  for (const name of ['turn-bound', 'turn-filler'] as const) effects.push({ kind: 'clear-timer', name })
  effects.push({ kind: 'count', what: 'turn-outcome', code: outcome })
}

/** The agent is heard (OD4). */
export function answered(state: CallState, responseId: string, effects: Effect[]): void {
  const { owed } = state
  if (owed !== undefined && owed.before === responseId && responseId !== '') return
  state.strikes = { rung: 0, limitWaits: 0 }
  if (owed === undefined) return
  const names = ['answered', 'answered-after-retry', 'answered-after-redial', 'answered-after-move'] as const
  settle(state, owed.reached === 0 && owed.hasFilled ? 'answered-after-filler' : names[owed.reached], effects)
}

/** Notes how far the plane went for this turn. */
export function reach(state: CallState, rung: Rung): void {
  if (state.owed !== undefined && rung > state.owed.reached) state.owed = { ...state.owed, reached: rung }
}

/** [OD5] Our own sound, now and again. */
export function playFiller(state: CallState, effects: Effect[]): void {
  if (!state.isLegOpen) return
  effects.push({ kind: 'play-filler' })
  if (state.owed === undefined) return
  state.owed = { ...state.owed, hasFilled: true }
  effects.push({ kind: 'set-timer', name: 'turn-filler', ms: FILLER_EVERY_MS })
}

/** The filler's time has come. */
export function onFillerDue(state: CallState, settings: CallSettings, effects: Effect[]): void {
  if (state.owed === undefined) return
  if (state.isLegOpen) playFiller(state, effects)
  else effects.push({ kind: 'set-timer', name: 'turn-filler', ms: settings.fillerAfterMs })
}

/** [OD2][OD3] What follows `trouble`, and the strikes after it. */
export function remedyOf(strikes: Strikes, trouble: Trouble): { remedy: Remedy; strikes: Strikes } {
  const { limit, retryAfterMs = NOTICED_MS, isLink } = trouble
  const mayWait = limit === 'rate' && strikes.limitWaits < LIMIT_WAITS_MAX && retryAfterMs <= LIMIT_WAIT_MAX_MS
  if (mayWait && strikes.rung < 2) {
    const remedy = { kind: 'ask', waitMs: Math.max(ASK_AGAIN_MS, retryAfterMs) } as const
    return { remedy, strikes: { rung: 1, limitWaits: strikes.limitWaits + 1 } }
  }
  const least = limit !== undefined ? 3 : isLink === true ? 2 : 1
  const rung = Math.max(strikes.rung + 1, least)
  if (rung > 3) return { remedy: { kind: 'give-up' }, strikes }
  const remedy: Remedy = rung === 1 ? { kind: 'ask', waitMs: ASK_AGAIN_MS } : { kind: 'dial', elsewhere: rung === 3 }
  return { remedy, strikes: { ...strikes, rung: rung as Rung } }
}

/** [OD6] */
export function mayDial(state: CallState): boolean {
  return state.dials.reduce((sum, count) => sum + count, 0) < DIALS_MAX
}

/** Dials, and counts it (OD6). */
export function dial(state: CallState, renewal: boolean, effects: Effect[]): void {
  const [now = 0, ...before] = state.dials
  if (!state.dials.some((count) => count > 0))
    effects.push({ kind: 'set-timer', name: 'dial-window', ms: DIAL_BUCKET_MS })
  state.dials = [now + 1, ...before]
  dialUncounted(state, renewal, effects)
}

function dialUncounted(state: CallState, renewal: boolean, effects: Effect[]): void {
  effects.push({ kind: 'dial', renewal, ...(state.mustMove ? { elsewhere: true } : {}) })
  state.mustMove = false
}

/** [OD6] The dial with which a pod begins: counted, unless it took the call over. */
export function dialFirst(state: CallState, effects: Effect[]): void {
  if (state.resume === undefined) dial(state, false, effects)
  else dialUncounted(state, false, effects)
}

/** [OD6] The call comes from another pod: its dials of the last minute count here too. */
export function resumeDials(state: CallState, effects: Effect[]): void {
  if (state.dials.some((count) => count > 0))
    effects.push({ kind: 'set-timer', name: 'dial-window', ms: DIAL_BUCKET_MS })
}

/** The dial was not made: our own throttle put it off. */
export function takeBackDial(state: CallState): void {
  const [now = 0, ...before] = state.dials
  state.dials = [Math.max(0, now - 1), ...before]
}

/** [OD6] A stretch of time is over. */
export function onDialWindow(state: CallState, effects: Effect[]): void {
  state.dials = [0, ...state.dials].slice(0, DIAL_BUCKETS)
  if (state.dials.some((count) => count > 0))
    effects.push({ kind: 'set-timer', name: 'dial-window', ms: DIAL_BUCKET_MS })
}

/** [OD7] A tool is called: the answers of those that are called with it wait for it. */
export function toolOut(state: CallState, id: string): void {
  if (state.tools.some((tool) => tool.id === id)) return
  state.tools = [...state.tools, { id, holds: true }].slice(-TOOLS_OUT_MAX)
}

/** A tool has answered. */
export function toolBack(state: CallState, id: string): void {
  if (state.tools.some((tool) => tool.id === id)) state.tools = state.tools.filter((tool) => tool.id !== id)
}

/** Is an answer held back for a tool that is out (OD7)? */
export function isToolAwaited(state: CallState): boolean {
  return state.tools.some(({ holds }) => holds)
}

/** [OD7] Those that are out hold nobody any more. */
export function letToolsGo(state: CallState): void {
  state.tools = state.tools.map(({ id }) => ({ id, holds: false }))
}
