// Server events → what they mean to a call. Pure. Rules:
// TL1: an event that means nothing to a call gives undefined; an unknown one is normal.
// TL2: a function call is seen three times on the wire; `response.output_item.done` is the one that counts.
import type { ModelEvent, Usage } from '../../call/ports.ts'
import { count, record, type ServerEvent, text } from './wire.ts'

/** The call's view of `event`. Errors are not here: session.ts decides what they mean. */
export function translate(event: ServerEvent): ModelEvent | undefined {
  switch (event.type) {
    case 'input_audio_buffer.speech_started':
      return { kind: 'speech-started', itemId: text(event.item_id) }
    case 'input_audio_buffer.speech_stopped':
      return { kind: 'speech-stopped', itemId: text(event.item_id) }
    case 'response.created':
      return { kind: 'response-started', responseId: text(record(event.response).id) }
    case 'response.done':
      return responseEnded(record(event.response))
    case 'response.output_audio.done':
      return { kind: 'audio-ended', itemId: text(event.item_id) }
    case 'conversation.item.input_audio_transcription.completed':
      return { kind: 'caller-said', itemId: text(event.item_id), text: text(event.transcript).trim() }
    case 'response.output_audio_transcript.done':
      return { kind: 'agent-said', itemId: text(event.item_id), text: text(event.transcript).trim() }
    case 'response.output_item.done':
      return toolCalled(record(event.item))
    default:
      return undefined
  }
}

function responseEnded(response: Record<string, unknown>): ModelEvent {
  const status = text(response.status)
  const details = record(response.status_details)
  const code = text(record(details.error).code) || text(details.reason)
  return {
    kind: 'response-ended',
    responseId: text(response.id),
    status: status === 'cancelled' || status === 'incomplete' || status === 'failed' ? status : 'completed',
    ...(code === '' ? {} : { code }),
    ...(response.usage === undefined || response.usage === null ? {} : { usage: usageOf(record(response.usage)) }),
  }
}

function usageOf(usage: Record<string, unknown>): Usage {
  const input = record(usage.input_token_details)
  const output = record(usage.output_token_details)
  return {
    inputTokens: count(usage.input_tokens),
    outputTokens: count(usage.output_tokens),
    inputAudioTokens: count(input.audio_tokens),
    outputAudioTokens: count(output.audio_tokens),
    cachedTokens: count(input.cached_tokens),
  }
}

function toolCalled(item: Record<string, unknown>): ModelEvent | undefined {
  if (item.type !== 'function_call' || item.status === 'incomplete') return undefined
  return {
    kind: 'tool-called',
    toolCallId: text(item.call_id),
    name: text(item.name),
    arguments: text(item.arguments),
    ...(typeof item.id === 'string' ? { itemId: item.id } : {}),
  }
}
