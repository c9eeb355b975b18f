// Server events → what they mean to a call. Pure. Rules:
// TL1: an event that means nothing to a call gives undefined; an unknown one is normal.
// TL2: a function call is seen three times on the wire; `response.output_item.done` is the one that counts.
// TL3: what a response was without sound (written, awaiting an approval or a tool that the provider runs) is read from its last
//      event; so is the time to wait that a limit names.
import type { ModelEvent, Usage } from '../../call/ports.ts'
import { TEXT_MAX_CHARS } from '../../call/transcript.ts'
import { isLimitCode } from './refusal.ts'
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
    case 'conversation.item.input_audio_transcription.delta':
      return { kind: 'caller-said-part', itemId: text(event.item_id), text: text(event.delta) }
    case 'conversation.item.input_audio_transcription.failed':
      return { kind: 'caller-unclear', itemId: text(event.item_id) }
    case 'response.output_audio_transcript.done':
      return { kind: 'agent-said', itemId: text(event.item_id), text: text(event.transcript).trim() }
    case 'response.output_text.done':
      return { kind: 'agent-said', itemId: text(event.item_id), text: text(event.text).trim() }
    case 'response.output_item.done':
      return toolCalled(record(event.item))
    default:
      return undefined
  }
}

function responseEnded(response: Record<string, unknown>): ModelEvent {
  const status = text(response.status)
  const details = record(response.status_details)
  const error = record(details.error)
  const code = text(error.code) || text(error.type) || text(details.reason)
  const retryAfterMs = waitOf(text(error.message))
  const written = writtenIn(response.output)
  return {
    kind: 'response-ended',
    responseId: text(response.id),
    status: status === 'cancelled' || status === 'incomplete' || status === 'failed' ? status : 'completed',
    ...(code === '' ? {} : { code }),
    ...(isLimitCode(code) ? { limit: code === 'rate_limit_exceeded' ? 'rate' : 'quota' } : {}),
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    ...(written === '' ? {} : { text: written }),
    ...(['mcp_approval_request', 'mcp_call'].some((type) => hasItem(response.output, type))
      ? { awaitsApproval: true }
      : {}),
    ...(response.usage === undefined || response.usage === null ? {} : { usage: usageOf(record(response.usage)) }),
  }
}

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000 }

/** The wait that a message names ("Please try again in 1.5s"), ms; undefined when it names none. */
function waitOf(message: string): number | undefined {
  const found = /\btry again in (\d{1,9}(?:\.\d{1,9})?)\s?(ms|s|m)/i.exec(message)
  return found === null ? undefined : Math.ceil(Number(found[1]) * UNIT_MS[found[2]!.toLowerCase()]!)
}

function hasItem(output: unknown, type: string): boolean {
  return Array.isArray(output) && output.some((item) => record(item).type === type)
}

/** What the messages of a response hold in writing; '' when they hold sound, or nothing. */
function writtenIn(output: unknown): string {
  if (!Array.isArray(output)) return ''
  const parts = output
    .filter((item) => record(item).type === 'message')
    .flatMap((item) => {
      const { content } = record(item)
      return Array.isArray(content) ? content.map(record) : []
    })
  if (parts.some(({ type }) => type === 'output_audio' || type === 'audio')) return ''
  const isWritten = (type: unknown): boolean => type === 'output_text' || type === 'text'
  return parts
    .flatMap((part) => (isWritten(part.type) ? [text(part.text)] : []))
    .join(' ')
    .trim()
    .slice(0, TEXT_MAX_CHARS)
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
