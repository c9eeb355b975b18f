// The OpenAI Realtime wire (GA names), both ways. Facts: protocols of the provider's package `openai`, realtime.d.ts.
// Rules:
// OW1: audio deltas are read as bytes; only their short head becomes text. Everything else is parsed as JSON.
// OW2: the older (beta) event names that Azure and clones still send are read as their GA names.
// OW3: an event that cannot be parsed, or has no type, is `undefined`: counted by the caller, never fatal.
// OW4: a delta that differs from the last one only in its event id and its audio is known by its bytes alone; whatever is
//      otherwise, in the least, is read in full.
import { type Pattern, past, patternsOf } from '../../kit/pattern.ts'
import { viewOf } from '../../kit/websocket/memory.ts'

/** A server event that is not audio. */
export type ServerEvent = { type: string } & Record<string, unknown>

/** An audio delta: base64 text in `buffer[audioStart..audioEnd)`. */
type AudioDelta = { responseId: string; itemId: string; audioStart: number; audioEnd: number }

const DELTA_KEY = Buffer.from('"delta":"')
const QUOTE = 0x22
const PAD = 0x3d
const TYPE_WINDOW_BYTES = 96
const [LEAD, SPACED_LEAD] = patternsOf('{"type":"', '{"type": "')
const AUDIO_DELTAS = new Set(['response.output_audio.delta', 'response.audio.delta'])
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
  const type = leadingType(buffer, start, end)
  if (type !== undefined) {
    if (!AUDIO_DELTAS.has(type)) return undefined
  } else if (!AUDIO_DELTA.test(buffer.toString('latin1', start, Math.min(end, start + TYPE_WINDOW_BYTES))))
    return undefined
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

/** The type, when it stands first as all real messages have it; undefined when it does not, or is no plain text. */
function leadingType(buffer: Buffer, start: number, end: number): string | undefined {
  const view = viewOf(buffer)
  let from = past(view, start, end, LEAD)
  if (from < 0) from = past(view, start, end, SPACED_LEAD)
  if (from < 0) return undefined
  const to = buffer.indexOf(QUOTE, from)
  if (to < 0 || to >= end || to > start + TYPE_WINDOW_BYTES) return undefined
  const type = buffer.toString('latin1', from, to)
  return type.includes('\\') ? undefined : type
}

const EVENT_ID = /"event_id":\s?"([\w-]{4,100})"/
const REMEMBERED_MAX_BYTES = 1_024
const CLOSING = 0x227d // `"}`
const isIdByte = (byte: number): boolean =>
  (byte >= 0x30 && byte <= 0x39) || (byte >= 0x41 && byte <= 0x5a) || (byte >= 0x61 && byte <= 0x7a) || byte === 0x5f

/** What the last delta of an item looked like, to know the next one by its bytes (OW4). */
export class DeltaMemory {
  #before: Pattern | undefined
  #after: Pattern | undefined
  #eventIdBytes = 0
  readonly #delta: AudioDelta = { responseId: '', itemId: '', audioStart: 0, audioEnd: 0 }

  /** Keeps the shape of `delta`, which was read from a message that begins at `start` and ends at `end`. */
  keep(buffer: Buffer, start: number, end: number, delta: AudioDelta): void {
    this.#before = undefined
    const { audioStart, audioEnd, responseId, itemId } = delta
    if (audioStart - start > REMEMBERED_MAX_BYTES || end - audioEnd !== 2) return
    const head = buffer.toString('latin1', start, audioStart)
    const found = EVENT_ID.exec(head)
    if (found === null) return
    const eventId = found[1]!
    const idEnd = found.index + found[0].length - 1
    const [before, after] = patternsOf(head.slice(0, idEnd - eventId.length), head.slice(idEnd))
    this.#before = before
    this.#after = after
    this.#eventIdBytes = eventId.length
    this.#delta.responseId = responseId
    this.#delta.itemId = itemId
  }

  /** The delta in `buffer[start..end)` when it has the kept shape; one object, valid until the next. Its audio is unchecked. */
  read(buffer: Buffer, start: number, end: number): AudioDelta | undefined {
    if (this.#before === undefined || this.#after === undefined) return undefined
    const view = viewOf(buffer)
    const idStart = past(view, start, end, this.#before)
    if (idStart < 0) return undefined
    const audioStart = past(view, idStart + this.#eventIdBytes, end, this.#after)
    if (audioStart < 0 || end - audioStart < 2 || view.getUint16(end - 2) !== CLOSING) return undefined
    for (let i = 0; i < this.#eventIdBytes; i += 1) if (!isIdByte(view.getUint8(idStart + i))) return undefined
    this.#delta.audioStart = audioStart
    this.#delta.audioEnd = end - 2
    return this.#delta
  }
}

/** How many bytes so much base64 text stands for; undefined when it is not whole groups of four. */
export function exactBytes(buffer: Buffer, start: number, end: number): number | undefined {
  if (((end - start) & 3) !== 0) return undefined
  if (start === end) return 0
  const pads = buffer[end - 1] !== PAD ? 0 : buffer[end - 2] === PAD ? 2 : 1
  return ((end - start) >> 2) * 3 - pads
}

/** Events that mean nothing to a call nor to its agent: most of what a response sends beside its audio. */
const IDLE_TYPES = new Set([
  'rate_limits.updated',
  'response.output_item.added',
  'response.content_part.added',
  'response.content_part.done',
  'response.function_call_arguments.delta',
  'input_audio_buffer.committed',
])
const TRANSCRIPT_DELTA = 'response.output_audio_transcript.delta'

/**
 * Can the message be left unread, by the type in its first bytes? Real messages have the type first; one that has it
 * elsewhere is read. `wantsTranscriptDeltas`: somebody looks at the agent's words as they come.
 */
export function isIdle(buffer: Buffer, start: number, end: number, wantsTranscriptDeltas: boolean): boolean {
  const type = leadingType(buffer, start, end)
  if (type === undefined) return false
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
