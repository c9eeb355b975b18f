// What the model's side does to a call. Pure part of the machine. Rules:
// ME1: a response that ends frees the turn; what waited goes out.
// ME2: `conversation_already_has_active_response` is weather: the request waits for that response's end, with all it asked for.
// ME3: a failed response is asked for once more if the provider says that it may pass (rate, server); else the call goes on in silence and is counted.
// ME4: a lost link is dialled again at most `redialMax` times in a row, each later than the last.
// ME5: a link that stalled was due to say something, even if the call cannot know what: the next one is asked for a response.
import { unreachable } from '../kit/errors.ts'
import type { ModelEvent, ModelLoss, ResponseRequest, Usage } from './ports.ts'
import { type CallSettings, type CallState, type Effect, type EndCause, redialAfterMs } from './state.ts'
import { clipText, cutAt, messageOf, type TranscriptItem, withItem, withMessage, withoutItem } from './transcript.ts'
import { flushWanted, onSpeechStarted, onSpeechStopped, owedRequest, requestResponse } from './turn.ts'

const PASSING_FAILURES = new Set(['rate_limit_exceeded', 'server_error', 'internal_error'])
const ALREADY_ACTIVE = 'conversation_already_has_active_response'

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
    case 'response-started':
      state.response = startedResponse(state, event.responseId)
      effects.push({ kind: 'set-timer', name: 'model-answer', ms: settings.modelStallMs })
      return state
    case 'response-ended':
      return onResponseEnded(state, event, settings, effects, to)
    case 'audio-ended':
      effects.push({ kind: 'complete-item', itemId: event.itemId })
      return state
    case 'request-refused':
      return onRequestRefused(state, event.code, event.requestId, effects)
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

function onReady(
  state: CallState,
  event: ModelEvent & { kind: 'ready' },
  settings: CallSettings,
  effects: Effect[],
  to: Transitions,
): void {
  const wasLost = state.model.kind === 'lost'
  state.model = { kind: 'ready', isRenewing: false }
  // The old link is gone: what it was about to say is owed, and the new one hears for itself.
  if (state.response.kind !== 'idle') {
    state.wanted = state.wanted ?? owedRequest(state)
    state.response = { kind: 'idle' }
    effects.push({ kind: 'clear-timer', name: 'model-answer' })
  }
  state.isCallerSpeaking = false
  const renewMs = Math.min(settings.renewAfterMs, event.expiresInMs === undefined ? Infinity : event.expiresInMs * 0.92)
  effects.push({ kind: 'set-timer', name: 'renew', ms: Math.max(1_000, renewMs) })
  if (event.renewed) {
    effects.push({ kind: 'count', what: 'renewal' })
    flushWanted(state, settings, effects)
    return
  }
  if (wasLost) {
    state.modelRedials += 1
    effects.push({ kind: 'note', level: 'info', message: 'the model link is back' })
  }
  if (state.isLegOpen) to.goLive(state, settings, effects)
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
  const attempt = state.model.kind === 'ready' ? 1 : state.model.attempt + 1
  if (attempt > settings.redialMax) {
    effects.push({ kind: 'note', level: 'warn', message: 'the model link could not be made again', code: loss.code })
    return to.end(state, settings, effects, 'model-lost')
  }
  if (state.model.kind === 'ready') {
    // Whoever was due to speak must be heard after the reconnection.
    const wasOwed = state.response.kind !== 'idle' || state.isCallerSpeaking || loss.code === 'MODEL_STALLED'
    if (wasOwed && state.wanted === undefined && state.isLegOpen) state.wanted = owedRequest(state)
    if (state.isLegOpen) effects.push({ kind: 'play-filler' })
  }
  state.response = { kind: 'idle' }
  state.isCallerSpeaking = false
  state.model = state.model.kind === 'dialing' ? { kind: 'dialing', attempt } : { kind: 'lost', attempt }
  effects.push({ kind: 'note', level: 'warn', message: 'the model link was lost; dialling again', code: loss.code })
  effects.push({ kind: 'count', what: 'redial' })
  effects.push({ kind: 'set-timer', name: 'redial', ms: redialAfterMs(attempt, loss) })
  return state
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
  if (event.status === 'cancelled') effects.push({ kind: 'drop-response', responseId: event.responseId })
  const owed = wasOurs ? owedRequest(state) : {}
  if (wasOurs) {
    state.response = { kind: 'idle' }
    effects.push({ kind: 'clear-timer', name: 'model-answer' })
  }
  if (event.status === 'completed') state.failures = 0
  if (event.status === 'failed') {
    effects.push({ kind: 'count', what: 'model-error', code: event.code ?? 'unknown' })
    effects.push({ kind: 'note', level: 'warn', message: 'the model failed to respond', code: event.code ?? 'unknown' })
    state.failures += 1
    const mayPass = event.code !== undefined && PASSING_FAILURES.has(event.code)
    if (mayPass && state.failures === 1) state.wanted = state.wanted ?? owed
  }
  if (!wasOurs && state.response.kind !== 'idle') return state
  flushWanted(state, settings, effects)
  to.renewNow(state, effects)
  return state
}

function onRequestRefused(state: CallState, code: string, requestId: string | undefined, effects: Effect[]): CallState {
  const { response } = state
  if (code !== ALREADY_ACTIVE) effects.push({ kind: 'count', what: 'model-error', code })
  const asked = response.kind === 'idle' ? undefined : response.asked
  if (response.kind === 'idle' || asked === undefined || asked.requestId !== requestId) return state
  if (code === ALREADY_ACTIVE) {
    // ME2: the other response's own events say, or have said, that it began and when it is over.
    state.wanted = state.wanted ?? asked.request
    const { responseId = '', hasAudio = false } = response.kind === 'active' ? response : {}
    state.response = { kind: 'active', responseId, hasAudio }
  } else if (response.kind === 'requested') {
    state.response = { kind: 'idle' }
    effects.push({ kind: 'clear-timer', name: 'model-answer' })
  }
  return state
}

/** A response began: ours, or one that the provider made by itself while ours was on its way (then a refusal follows). */
function startedResponse(state: CallState, responseId: string): CallState['response'] {
  const begun = { kind: 'active' as const, responseId, hasAudio: false }
  return state.response.kind === 'requested' ? { ...begun, asked: state.response.asked } : begun
}

function onSaid(state: CallState, event: ModelEvent, settings: CallSettings, effects: Effect[]): CallState {
  const max = settings.transcriptMaxItems
  if (event.kind === 'caller-said') {
    state.transcript = withItem(state.transcript, { kind: 'caller', id: event.itemId, text: clipText(event.text) }, max)
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
        arguments: clipText(event.arguments),
        output: undefined,
        ...(itemId === undefined ? {} : { itemId }),
        ...(owner === undefined ? {} : { owner }),
      },
      max,
    )
    effects.push({ kind: 'note', level: 'info', message: 'the agent called a tool' })
  } else if (event.kind === 'tool-answered') {
    const { toolCallId: id, name } = event
    const known = state.transcript.items.find((item) => item.kind === 'tool' && item.id === id)
    const before = known?.kind === 'tool' ? known : { kind: 'tool' as const, id, name, arguments: '{}' }
    const item = { ...before, output: clipText(event.output) }
    state.transcript = withItem(state.transcript, item, max)
    if (event.respond) requestResponse(state, {}, settings, effects)
  }
  return state
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
