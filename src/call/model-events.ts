// What the model's side does to a call. Pure part of the machine. Rules:
// ME1: a response that ends frees the turn; what waited goes out.
// ME2: `conversation_already_has_active_response` is weather: the request waits for that response's end, with all it asked for.
// ME3: a response that ends without sound, whatever the reason, is an answer that came to nothing: it is counted and takes the
//      next rung (owed-turn.ts). What was only written is kept in the history, and asked for aloud.
// ME4: a lost link is dialled again at most `redialMax` times in a row, each later than the last.
// ME5: a link that stalled was due to say something, even if the call cannot know what: the next one is asked for a response.
// ME6: any sign of life of a response counts against the stall bound. A response that began and says nothing costs its link only
//      when the link does not answer either, or after one more bound.
// ME7: speech that breaks off without the caller's doing (length, filter, failure) is counted, and the agent is asked once to go on.
// ME8: a provider that says again and again that its session is about to expire is believed later each time: its clock or ours may be wrong.
// ME9: a response that has sounded, and gives no sign of life for `modelStallMs` after its last sound was played, is over though nobody said so:
//      it is cancelled, counted, and what waited goes out. So is one of ours that the provider, asked to cancel it, does not know.
// ME10: SLOW_LINKS_MAX links in a row that say nothing until their bound are enough: a person, or a sentence. The later ones go elsewhere.
import { unreachable } from '../kit/errors.ts'
import { callerWords } from './echo.ts'
import type { EndCause } from './end-cause.ts'
import { goodbyeBroken } from './goodbye.ts'
import {
  isSilentRequest,
  isToolAwaited,
  mayDial,
  NOTICED_MS,
  owe,
  playFiller,
  reach,
  remedyOf,
  settle,
  TOOL_HOLD_MS,
  type Trouble,
  takeBackDial,
  toolBack,
  toolOut,
  turnTakingOf,
} from './owed-turn.ts'
import type { ModelEvent, ModelLoss, ResponseRequest, Usage } from './ports.ts'
import { type CallSettings, type CallState, type Effect, redialAfterMs } from './state.ts'
import {
  clipText,
  cutAt,
  messageOf,
  type TranscriptItem,
  withCallerWords,
  withItem,
  withMessage,
  withoutItem,
} from './transcript.ts'
import {
  answerTools,
  flushWanted,
  meetWish,
  onSpeechStarted,
  onSpeechStopped,
  owedRequest,
  requestResponse,
} from './turn.ts'

/** Our own throttle put a dial off: the provider was not asked. */
const NOT_DIALLED = 'MODEL_SHED'
/** No renewal comes sooner on a provider's word; the next such one waits twice as long, up to RENEWAL_CALM_MS. */
const RENEWAL_MIN_MS = 2_000
/** A link that lives so long was not renewed early. */
const RENEWAL_CALM_MS = 60_000
/** Arguments of a tool that is out; beyond it they are no JSON any more, and the tool is answered with that. */
const ARGUMENTS_MAX_CHARS = 65_536
/** A caller waits for each of them as long as a link may take to be ready. */
const SLOW_LINKS_MAX = 3
const NOT_ACTIVE = 'response_cancel_not_active'
const ALREADY_ACTIVE = 'conversation_already_has_active_response'
/** Cancelled by somebody's wish: the caller's words, or ours. */
const CANCELLED_ON_PURPOSE = new Set(['turn_detected', 'client_cancelled'])
/** How long before the stall bound a link whose response says nothing is asked whether it lives. */
const PROOF_MS = 1_000
/** How long the provider has to answer the caller by itself after a response that it was busy with. */
const NUDGE_MS = 1_000
/** A tool of the provider's own that nobody allows for so long is answered for by the model, in words. */
const APPROVAL_MAX_MS = 30_000
const APPROVAL = 'vp-approval'
const SAY_ALOUD = 'You wrote your answer, and the caller cannot read. Say exactly this aloud now: '
const GO_ON = 'Your speech broke off. Finish what you were saying in one or two short sentences.'

/** What lives in machine.ts and is needed here. */
export type Transitions = {
  goLive(state: CallState, settings: CallSettings, effects: Effect[]): void
  end(state: CallState, settings: CallSettings, effects: Effect[], cause: EndCause): CallState
  interrupt(state: CallState, effects: Effect[]): void
  renewNow(state: CallState, effects: Effect[]): void
}

export function onModelEvent(
  state: CallState,
  event: ModelEvent,
  settings: CallSettings,
  effects: Effect[],
  to: Transitions,
): CallState {
  switch (event.kind) {
    case 'ready':
      onReady(state, event, settings, effects, to)
      return state
    case 'lost':
      return onLost(state, event.loss, settings, effects, to)
    case 'renewal-failed':
      if (state.model.kind === 'ready') state.model = { kind: 'ready', isRenewing: false }
      effects.push({
        kind: 'note',
        level: 'warn',
        message: 'the model link could not be renewed; the old one goes on',
        code: event.loss.code,
      })
      effects.push({ kind: 'set-timer', name: 'renew', ms: Math.min(60_000, settings.renewAfterMs) })
      return state
    case 'speech-started':
      onSpeechStarted(state, settings, effects)
      return state
    case 'speech-stopped':
      onSpeechStopped(state, settings, effects)
      placeCaller(state, event.itemId, settings)
      return state
    case 'configured':
      state.turnTaking = { autoRespond: event.autoRespond, interrupts: event.interrupts }
      return state
    case 'response-started':
      meetWish(state, effects)
      state.response = startedResponse(state, event.responseId)
      // The provider answers by itself what was to be asked for again.
      if (state.isHolding) state.wanted = undefined
      letGoOfRetry(state, effects)
      toolBack(state, APPROVAL)
      if (!isSilent(state.response) && !state.isCallerSpeaking) owe(state, 'model', settings, effects)
      awaitSign(state, settings, effects)
      return state
    case 'response-alive':
      if (state.response.kind === 'active' && !state.response.hasAudio) awaitSign(state, settings, effects)
      else if (state.response.kind === 'active')
        effects.push({ kind: 'set-timer', name: 'model-answer', ms: settings.modelStallMs })
      return state
    case 'link-alive':
      onLinkAlive(state, settings, effects)
      return state
    case 'response-ended':
      return onResponseEnded(state, event, settings, effects, to)
    case 'audio-ended':
      effects.push({ kind: 'complete-item', itemId: event.itemId })
      return state
    case 'request-refused':
      return onRequestRefused(state, event, settings, effects, to)
    case 'response-wanted':
      requestResponse(state, wantedOf(event), settings, effects)
      return state
    case 'interrupt-wanted':
      to.interrupt(state, effects)
      return state
    case 'agent-failed':
      effects.push({ kind: 'note', level: 'warn', message: 'the agent failed', code: 'AGENT_FAILED' })
      return state.model.kind === 'ready' ? state : to.end(state, settings, effects, 'agent-failed')
    case 'item-put': {
      const { id, role, content, after } = event
      const put = messageOf(id, role, content)
      state.transcript = withMessage(state.transcript, put, after, settings.transcriptMaxItems)
      return state
    }
    case 'item-taken':
      state.transcript = withoutItem(state.transcript, event.id)
      return state
    case 'agent-changed':
      state.agentChanges += 1
      return state
    case 'caller-said':
    case 'caller-said-part':
    case 'caller-unclear':
    case 'agent-said':
    case 'tool-called':
    case 'tool-answered':
      return onSaid(state, event, settings, effects)
    default:
      return unreachable(event)
  }
}

function wantedOf(event: ResponseRequest): ResponseRequest {
  const { instructions, extra } = event
  return { ...(instructions === undefined ? {} : { instructions }), ...(extra === undefined ? {} : { extra }) }
}

/** [ME8] When the link is renewed, in ms from now. */
function renewalAfterMs(
  state: CallState,
  { expiresInMs, renewed }: ModelEvent & { kind: 'ready' },
  settings: CallSettings,
): number {
  const ms = Math.min(settings.renewAfterMs, expiresInMs === undefined ? Number.POSITIVE_INFINITY : expiresInMs * 0.92)
  const isEarly = ms < Math.min(RENEWAL_CALM_MS, settings.renewAfterMs)
  state.earlyRenewals = isEarly ? (renewed ? state.earlyRenewals + 1 : state.earlyRenewals) : 0
  const floorMs = isEarly ? Math.min(RENEWAL_CALM_MS, RENEWAL_MIN_MS * 2 ** state.earlyRenewals) : RENEWAL_MIN_MS
  return Math.max(ms, Math.min(floorMs, settings.renewAfterMs))
}

function onReady(
  state: CallState,
  event: ModelEvent & { kind: 'ready' },
  settings: CallSettings,
  effects: Effect[],
  to: Transitions,
): void {
  const wasLost = state.model.kind === 'lost'
  state.slowLinks = 0
  state.model = { kind: 'ready', isRenewing: false }
  // The old link is gone: what it was about to say is owed, and the new one hears for itself.
  if (state.response.kind !== 'idle') {
    state.wanted = state.wanted ?? owedRequest(state)
    state.response = { kind: 'idle' }
    effects.push({ kind: 'clear-timer', name: 'model-answer' })
  } else if (state.owed !== undefined && state.hasGreeted && !isToolAwaited(state)) state.wanted = state.wanted ?? {}
  letGoOfRetry(state, effects)
  state.isCallerSpeaking = false
  effects.push({ kind: 'set-timer', name: 'renew', ms: renewalAfterMs(state, event, settings) })
  if (event.renewed) {
    effects.push({ kind: 'count', what: 'renewal' })
    answerTools(state, settings, effects)
    flushWanted(state, settings, effects)
    return
  }
  if (wasLost) {
    state.modelRedials += 1
    effects.push({ kind: 'note', level: 'info', message: 'the model link is back' })
  }
  if (!state.isLegOpen) return
  to.goLive(state, settings, effects)
  answerTools(state, settings, effects)
}

function onLost(
  state: CallState,
  loss: ModelLoss,
  settings: CallSettings,
  effects: Effect[],
  to: Transitions,
): CallState {
  effects.push({ kind: 'count', what: 'model-error', code: loss.code })
  effects.push({ kind: 'clear-timer', name: 'model-answer' })
  effects.push({ kind: 'clear-timer', name: 'renew' })
  if (loss.fatal) {
    effects.push({ kind: 'note', level: 'warn', message: 'the model refused the session for good', code: loss.code })
    return to.end(state, settings, effects, 'model-refused')
  }
  if (loss.code === NOT_DIALLED) takeBackDial(state)
  const wasReady = state.model.kind === 'ready'
  const attempt = state.model.kind === 'ready' ? 1 : state.model.attempt + 1
  // Whoever was due to speak must be heard after the reconnection.
  const wasOwed =
    state.owed !== undefined ||
    state.response.kind !== 'idle' ||
    state.isCallerSpeaking ||
    loss.code === 'MODEL_STALLED'
  if (wasReady && wasOwed && state.wanted === undefined && state.isLegOpen && !isToolAwaited(state))
    state.wanted = owedRequest(state)
  if (wasReady && state.owed !== undefined) {
    const { remedy, strikes } = remedyOf(state.strikes, { code: loss.code, isLink: true })
    if (remedy.kind === 'give-up') return giveUpTurn(state, settings, effects, to)
    state.strikes = strikes
    reach(state, strikes.rung)
    state.mustMove = state.mustMove || (remedy.kind === 'dial' && remedy.elsewhere)
  }
  if (!wasReady && loss.code === 'MODEL_STALLED') {
    state.slowLinks += 1
    state.mustMove = true
  }
  if (attempt > settings.redialMax || state.slowLinks >= SLOW_LINKS_MAX || !mayDial(state)) {
    effects.push({ kind: 'note', level: 'warn', message: 'the model link could not be made again', code: loss.code })
    return to.end(state, settings, effects, 'model-lost')
  }
  if (wasReady) playFiller(state, effects)
  letGoOfRetry(state, effects)
  redial(state, attempt, loss, effects)
  return state
}

/** Dials again after a while. */
function redial(state: CallState, attempt: number, loss: ModelLoss, effects: Effect[]): void {
  state.response = { kind: 'idle' }
  state.isCallerSpeaking = false
  state.model = state.model.kind === 'dialing' ? { kind: 'dialing', attempt } : { kind: 'lost', attempt }
  effects.push({ kind: 'note', level: 'warn', message: 'the model link was lost; dialling again', code: loss.code })
  effects.push({ kind: 'count', what: 'redial' })
  effects.push({ kind: 'set-timer', name: 'redial', ms: redialAfterMs(attempt, loss) })
}

function letGoOfRetry(state: CallState, effects: Effect[]): void {
  if (!state.isHolding) return
  state.isHolding = false
  effects.push({ kind: 'clear-timer', name: 'turn-retry' })
}

/** [ME3] An answer came to nothing: the next rung is taken (owed-turn.ts). `request`: what is asked for again. */
function answerFailed(
  state: CallState,
  trouble: Trouble,
  request: ResponseRequest,
  settings: CallSettings,
  effects: Effect[],
  to: Transitions,
): CallState {
  const { code } = trouble
  const { remedy, strikes } = remedyOf(state.strikes, trouble)
  effects.push({ kind: 'count', what: 'model-error', code })
  effects.push({ kind: 'note', level: 'warn', message: 'the model failed to respond', code })
  effects.push({ kind: 'clear-timer', name: 'model-answer' })
  if (remedy.kind === 'give-up' || (remedy.kind === 'dial' && !mayDial(state)))
    return giveUpTurn(state, settings, effects, to)
  state.strikes = strikes
  state.wanted = request
  owe(state, 'request', settings, effects)
  reach(state, strikes.rung)
  if (remedy.kind === 'ask') {
    state.isHolding = true
    effects.push({ kind: 'set-timer', name: 'turn-retry', ms: remedy.waitMs })
    if (remedy.waitMs >= NOTICED_MS) playFiller(state, effects)
    return state
  }
  state.mustMove = state.mustMove || remedy.elsewhere
  playFiller(state, effects)
  letGoOfRetry(state, effects)
  effects.push({ kind: 'clear-timer', name: 'renew' })
  redial(state, 1, { code, fatal: false }, effects)
  return state
}

/** Nothing helped: a person, or a sentence. */
export function giveUpTurn(state: CallState, settings: CallSettings, effects: Effect[], to: Transitions): CallState {
  const message = 'the caller is owed an answer that nobody gives; the call is given up'
  effects.push({ kind: 'note', level: 'warn', message, code: 'TURN_UNANSWERED' })
  return to.end(state, settings, effects, 'unanswered')
}

/** The response under way has its stall bound before it anew. A link that is silent is asked before the bound (ME6). */
function awaitSign(state: CallState, settings: CallSettings, effects: Effect[]): void {
  const { owed } = state
  if (owed === undefined || owed.proof === 'given') {
    effects.push({ kind: 'set-timer', name: 'model-answer', ms: settings.modelStallMs })
    return
  }
  if (owed.proof === 'asked') state.owed = { ...owed, proof: 'none' }
  effects.push({ kind: 'set-timer', name: 'model-answer', ms: Math.max(PROOF_MS, settings.modelStallMs - PROOF_MS) })
}

/** The stall bound of the response is near: asks the link (ME6). False when it is to be taken as stalled. */
export function askLink(state: CallState, effects: Effect[]): boolean {
  const { owed, response } = state
  if (owed?.proof !== 'none' || response.kind !== 'active' || state.model.kind !== 'ready') return false
  state.owed = { ...owed, proof: 'asked' }
  effects.push({ kind: 'prove-link' })
  effects.push({ kind: 'set-timer', name: 'model-answer', ms: PROOF_MS })
  return true
}

function onLinkAlive(state: CallState, settings: CallSettings, effects: Effect[]): void {
  if (state.owed?.proof !== 'asked') return
  state.owed = { ...state.owed, proof: 'given' }
  effects.push({ kind: 'set-timer', name: 'model-answer', ms: settings.modelStallMs })
}

function onResponseEnded(
  state: CallState,
  event: ModelEvent & { kind: 'response-ended' },
  settings: CallSettings,
  effects: Effect[],
  to: Transitions,
): CallState {
  const wasOurs =
    state.response.kind === 'active' &&
    (state.response.responseId === event.responseId || state.response.responseId === '')
  if (event.usage !== undefined) state.usage = addUsage(state.usage, event.usage)
  if (event.status === 'cancelled') {
    effects.push({ kind: 'drop-response', responseId: event.responseId })
    goodbyeBroken(state)
  }
  const { response } = state
  const request = wasOurs ? owedRequest(state) : {}
  const isSilentOne = wasOurs && isSilent(response)
  const wasHeard = wasOurs && response.kind === 'active' && response.hasAudio
  if (wasOurs) {
    state.response = { kind: 'idle' }
    effects.push({ kind: 'clear-timer', name: 'model-answer' })
  }
  const isOurDoing = wasOurs && response.kind === 'active' && response.isCancelled === true
  const trouble = isOurDoing ? undefined : troubleOf(event)
  if ((!wasOurs && state.response.kind !== 'idle') || state.model.kind !== 'ready') return state
  answerTools(state, settings, effects)
  if (trouble !== undefined && wasHeard) brokeOff(state, trouble, settings, effects)
  else if (!isSilentOne && !wasHeard && state.owed !== undefined && !state.isCallerSpeaking) {
    const after = withoutSound(state, event, trouble, request, settings, effects, to)
    if (after.phase.kind === 'ended') return after
  } else if (trouble !== undefined) countTrouble(trouble, effects)
  if (state.model.kind !== 'ready') return state
  flushWanted(state, settings, effects)
  if (wasHeard && state.owed !== undefined && state.owed.before === event.responseId) nudge(state, effects)
  to.renewNow(state, effects)
  return state
}

/** [ME9] The response under way is looked at: does it still sound, or is it still heard? */
export function onResponseLooked(
  state: CallState,
  { playoutMs, sounds }: { playoutMs: number; sounds: number },
  settings: CallSettings,
  effects: Effect[],
  to: Transitions,
): void {
  const { response } = state
  if (response.kind !== 'active' || !response.hasAudio) return
  if (playoutMs > 0 || sounds !== response.sounds) {
    state.response = { ...response, sounds }
    effects.push({ kind: 'set-timer', name: 'model-answer', ms: playoutMs + settings.modelStallMs })
    return
  }
  effects.push({ kind: 'cancel-response' })
  effects.push({ kind: 'drop-response', responseId: response.responseId })
  responseOver(state, settings, effects, to)
}

/** [ME9] Nobody says so, but the response under way is over. */
function responseOver(state: CallState, settings: CallSettings, effects: Effect[], to: Transitions): void {
  const message = 'a response has ended and the model has not said so; it is taken for over'
  effects.push({ kind: 'note', level: 'warn', message, code: 'RESPONSE_NEVER_DONE' })
  effects.push({ kind: 'count', what: 'model-error', code: 'response_never_done' })
  effects.push({ kind: 'clear-timer', name: 'model-answer' })
  state.response = { kind: 'idle' }
  answerTools(state, settings, effects)
  flushWanted(state, settings, effects)
  if (state.owed !== undefined && state.response.kind === 'idle') nudge(state, effects)
  to.renewNow(state, effects)
}

/** The caller's words fell into a response that was not cut: if the provider does not answer them soon, it is asked to. */
function nudge(state: CallState, effects: Effect[]): void {
  if (state.response.kind !== 'idle' || state.wanted !== undefined || isToolAwaited(state)) return
  state.wanted = {}
  state.isHolding = true
  effects.push({ kind: 'set-timer', name: 'turn-retry', ms: NUDGE_MS })
}

/** Why a response came to nothing; undefined when nothing is wrong by its own word. */
function troubleOf(event: ModelEvent & { kind: 'response-ended' }): Trouble | undefined {
  const { status, code = 'unknown', limit, retryAfterMs } = event
  if (status === 'completed') return undefined
  if (status === 'cancelled') return CANCELLED_ON_PURPOSE.has(code) ? undefined : { code: 'response_cancelled' }
  return { code, ...(limit === undefined ? {} : { limit }), ...(retryAfterMs === undefined ? {} : { retryAfterMs }) }
}

function countTrouble({ code }: Trouble, effects: Effect[]): void {
  effects.push({ kind: 'count', what: 'model-error', code })
  effects.push({ kind: 'note', level: 'warn', message: 'the model failed to respond', code })
}

/** [ME7] */
function brokeOff(state: CallState, trouble: Trouble, settings: CallSettings, effects: Effect[]): void {
  countTrouble(trouble, effects)
  if (state.hasContinued || state.wanted !== undefined || state.isCallerSpeaking || state.tools.length > 0) return
  state.hasContinued = true
  requestResponse(state, { instructions: GO_ON }, settings, effects)
}

/** The response that has ended was to be the answer, and nothing of it was heard. */
function withoutSound(
  state: CallState,
  event: ModelEvent & { kind: 'response-ended' },
  trouble: Trouble | undefined,
  request: ResponseRequest,
  settings: CallSettings,
  effects: Effect[],
  to: Transitions,
): CallState {
  const { status, text, awaitsApproval, code } = event
  if (trouble !== undefined && status === 'failed')
    return answerFailed(state, trouble, state.wanted ?? request, settings, effects, to)
  // Something else is on its way: a tool, its answer, or a request that waits.
  if (isToolAwaited(state) || state.toolsAnswered || state.wanted !== undefined || state.response.kind !== 'idle')
    return state
  if (trouble !== undefined) return answerFailed(state, trouble, request, settings, effects, to)
  // What the caller's words have cut short; their own answer is still to come.
  if (status === 'cancelled') {
    if (code !== 'turn_detected' || !turnTakingOf(state, settings).autoRespond) settle(state, 'agent-quiet', effects)
    else effects.push({ kind: 'set-timer', name: 'model-answer', ms: settings.modelStallMs })
    return state
  }
  if (text !== undefined) {
    const aloud = { instructions: `${SAY_ALOUD}${text}`, extra: { output_modalities: ['audio'] } }
    return answerFailed(state, { code: 'text_only' }, aloud, settings, effects, to)
  }
  if (state.owed?.isQuiet === true) {
    settle(state, 'agent-quiet', effects)
    return state
  }
  if (awaitsApproval === true) {
    toolOut(state, APPROVAL)
    state.toolsAnswered = true
    effects.push({ kind: 'set-timer', name: 'tool-hold', ms: APPROVAL_MAX_MS })
    return state
  }
  return answerFailed(state, { code: 'empty_response' }, request, settings, effects, to)
}

function onRequestRefused(
  state: CallState,
  { code, requestId }: ModelEvent & { kind: 'request-refused' },
  settings: CallSettings,
  effects: Effect[],
  to: Transitions,
): CallState {
  const { response } = state
  if (code === NOT_ACTIVE) {
    if (response.kind === 'active' && response.isCancelled === true) responseOver(state, settings, effects, to)
    return state
  }
  const asked = response.kind === 'idle' ? undefined : response.asked
  const isOurs = asked !== undefined && asked.requestId === requestId
  if (isOurs && code === ALREADY_ACTIVE && response.kind !== 'idle') {
    // ME2: the other response's own events say, or have said, that it began and when it is over.
    state.wanted = state.wanted ?? asked.request
    const { responseId = '', hasAudio = false } = response.kind === 'active' ? response : {}
    state.response = { kind: 'active', responseId, hasAudio }
    return state
  }
  if (isOurs && response.kind === 'requested') {
    state.response = { kind: 'idle' }
    effects.push({ kind: 'clear-timer', name: 'model-answer' })
    if (state.owed !== undefined && !isSilentRequest(asked.request) && !state.isCallerSpeaking)
      return answerFailed(state, { code }, state.wanted ?? asked.request, settings, effects, to)
    flushWanted(state, settings, effects)
  }
  if (code !== ALREADY_ACTIVE) effects.push({ kind: 'count', what: 'model-error', code })
  return state
}

function isSilent(response: CallState['response']): boolean {
  return response.kind !== 'idle' && response.asked !== undefined && isSilentRequest(response.asked.request)
}

/** A response began: ours, or one that the provider made by itself while ours was on its way (then a refusal follows). */
function startedResponse(state: CallState, responseId: string): CallState['response'] {
  const begun = { kind: 'active' as const, responseId, hasAudio: false }
  return state.response.kind === 'requested' ? { ...begun, asked: state.response.asked } : begun
}

function onSaid(state: CallState, event: ModelEvent, settings: CallSettings, effects: Effect[]): CallState {
  const max = settings.transcriptMaxItems
  if (event.kind === 'caller-said' || event.kind === 'caller-said-part' || event.kind === 'caller-unclear') {
    if (event.kind === 'caller-said') callerWords(state, event.text)
    state.transcript = withCallerWords(state.transcript, event, max)
  } else if (event.kind === 'agent-said') {
    state.transcript = withItem(state.transcript, agentSaid(state, event.itemId, clipText(event.text)), max)
  } else if (event.kind === 'tool-called') {
    const { toolCallId: id, name, itemId, owner } = event
    state.transcript = withItem(
      state.transcript,
      {
        kind: 'tool',
        id,
        name,
        // They are needed whole until the tool has run, perhaps in another pod.
        arguments: event.arguments.slice(0, ARGUMENTS_MAX_CHARS),
        output: undefined,
        ...(itemId === undefined ? {} : { itemId }),
        ...(owner === undefined ? {} : { owner }),
      },
      max,
    )
    effects.push({ kind: 'note', level: 'info', message: 'the agent called a tool' })
    toolOut(state, id)
    if (!state.isCallerSpeaking) owe(state, 'tool', settings, effects)
  } else if (event.kind === 'tool-answered') {
    const { toolCallId: id, name } = event
    const known = state.transcript.items.find((item) => item.kind === 'tool' && item.id === id)
    const before = known?.kind === 'tool' ? known : { kind: 'tool' as const, id, name, arguments: '{}' }
    const item = { ...before, arguments: clipText(before.arguments), output: clipText(event.output) }
    state.transcript = withItem(state.transcript, item, max)
    toolBack(state, event.toolCallId)
    if (event.respond && !state.toolsAnswered) {
      state.toolsAnswered = true
      effects.push({ kind: 'set-timer', name: 'tool-hold', ms: TOOL_HOLD_MS })
    }
    if (!event.respond) toldQuietly(state, effects)
    answerTools(state, settings, effects)
  }
  return state
}

/** A tool has answered and wants no response: the turn is over when nothing else is to come of it. */
function toldQuietly(state: CallState, effects: Effect[]): void {
  if (state.owed === undefined) return
  state.owed = { ...state.owed, isQuiet: true }
  const isLast = state.response.kind === 'idle' && state.tools.length === 0 && state.wanted === undefined
  if (isLast && !state.toolsAnswered) settle(state, 'agent-quiet', effects)
}

/** TR3: the words of a turn come after the agent's deeds that they led to. */
function placeCaller(state: CallState, id: string, settings: CallSettings): void {
  if (id === '' || state.transcript.items.some((item) => item.kind === 'caller' && item.id === id)) return
  state.transcript = withItem(state.transcript, { kind: 'caller', id, text: '' }, settings.transcriptMaxItems)
}

/** What the agent said, as far as it was heard (TR2); what was cut once stays cut. */
function agentSaid(state: CallState, id: string, text: string): TranscriptItem {
  const before = state.transcript.items.find((item) => item.kind === 'agent' && item.id === id)
  if (before?.kind !== 'agent' || !before.cut) return { kind: 'agent', id, text, cut: false }
  const { heardMs = 0, receivedMs } = before
  if (receivedMs === undefined || before.text !== '') return before
  return cutAt({ ...before, text }, heardMs, receivedMs)
}

function addUsage(a: Usage, b: Usage): Usage {
  return {
    inputTokens: a.inputTokens + b.inputTokens,
    outputTokens: a.outputTokens + b.outputTokens,
    inputAudioTokens: a.inputAudioTokens + b.inputAudioTokens,
    outputAudioTokens: a.outputAudioTokens + b.outputAudioTokens,
    cachedTokens: a.cachedTokens + b.cachedTokens,
  }
}
