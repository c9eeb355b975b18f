// The OpenAI Realtime wire (GA names), both ways. Facts: protocols of the provider's package `openai`, realtime.d.ts.
// Rules:
// OW1: audio deltas are read as bytes; only their short head becomes text. Everything else is parsed as JSON.
// OW2: the older (beta) event names that Azure and clones still send are read as their GA names.
// OW3: an event that cannot be parsed, or has no type, is `undefined`: counted by the caller, never fatal.

/** A server event that is not audio. */
export type ServerEvent = { type: string } & Record<string, unknown>

/** An audio delta: base64 text in `buffer[audioStart..audioEnd)`. */
export type AudioDelta = { responseId: string; itemId: string; audioStart: number; audioEnd: number }

const DELTA_KEY = Buffer.from('"delta":"')
const QUOTE = 0x22
const TYPE_WINDOW_BYTES = 96
const AUDIO_DELTA = /"type":\s?"response\.(?:output_)?audio\.delta"/
const RESPONSE_ID = /"response_id":\s?"([^"\\]+)"/
const ITEM_ID = /"item_id":\s?"([^"\\]+)"/

const GA_NAMES = new Map([
  ['response.audio.delta', 'response.output_audio.delta'],
  ['response.audio.done', 'response.output_audio.done'],
  ['response.audio_transcript.delta', 'response.output_audio_transcript.delta'],
  ['response.audio_transcript.done', 'response.output_audio_transcript.done'],
  ['response.text.delta', 'response.output_text.delta'],
  ['response.text.done', 'response.output_text.done'],
  ['conversation.item.created', 'conversation.item.done'],
])

/** Reads an audio delta without parsing its audio; undefined when the message is something else or unusual (OW1). */
export function readAudioDelta(buffer: Buffer, start: number, end: number): AudioDelta | undefined {
  const window = buffer.toString('latin1', start, Math.min(end, start + TYPE_WINDOW_BYTES))
  if (!AUDIO_DELTA.test(window)) return undefined
  const at = buffer.indexOf(DELTA_KEY, start)
  if (at < 0 || at >= end) return undefined
  const audioStart = at + DELTA_KEY.length
  const audioEnd = buffer.indexOf(QUOTE, audioStart)
  if (audioEnd < 0 || audioEnd >= end) return undefined
  const head = buffer.toString('latin1', start, at) + buffer.toString('latin1', audioEnd + 1, end)
  const responseId = RESPONSE_ID.exec(head)?.[1]
  const itemId = ITEM_ID.exec(head)?.[1]
  if (responseId === undefined || itemId === undefined) return undefined
  return { responseId, itemId, audioStart, audioEnd }
}

const TYPE = /"type":\s?"([^"\\]+)"/

/** Events that mean nothing to a call nor to its agent: most of what a response sends beside its audio. */
const IDLE_TYPES = new Set([
  'rate_limits.updated',
  'response.output_item.added',
  'response.content_part.added',
  'response.content_part.done',
  'response.function_call_arguments.delta',
  'input_audio_buffer.committed',
  'conversation.item.input_audio_transcription.delta',
])
const TRANSCRIPT_DELTA = 'response.output_audio_transcript.delta'

/**
 * Can the message be left unread, by the type in its first bytes? Real messages have the type first; one that has it
 * elsewhere is read. `wantsTranscriptDeltas`: somebody looks at the agent's words as they come.
 */
export function isIdle(buffer: Buffer, start: number, end: number, wantsTranscriptDeltas: boolean): boolean {
  const type = TYPE.exec(buffer.toString('latin1', start, Math.min(end, start + TYPE_WINDOW_BYTES)))?.[1]
  if (type === undefined || buffer[start + 2] !== 0x74) return false // `{"t…`: the type stands first
  return IDLE_TYPES.has(type) || (type === TRANSCRIPT_DELTA && !wantsTranscriptDeltas)
}

/** Parses any server event; undefined when it is none (OW3). */
export function readServerEvent(text: string): ServerEvent | undefined {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return undefined
  }
  if (typeof value !== 'object' || value === null) return undefined
  const event = value as ServerEvent
  if (typeof event.type !== 'string') return undefined
  const name = GA_NAMES.get(event.type)
  if (name !== undefined) event.type = name
  return event
}

/** A field that should be a string; '' when it is not. */
export function text(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

/** A field that should be an object; an empty one when it is not. */
export function record(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
}

/** A field that should be a finite number; 0 when it is not. */
export function count(value: unknown): number {
  return typeof value === 'number' && Number.isFinite(value) ? value : 0
}

export const APPEND_HEAD = Buffer.from('{"type":"input_audio_buffer.append","audio":"')
export const APPEND_TAIL = Buffer.from('"}')
