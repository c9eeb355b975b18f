// Twilio's media-stream messages, both ways. Facts: Twilio's page "Media Streams – WebSocket messages".
// Rules:
// MW1: the common `media` and `mark` messages are read as bytes: a payload is never copied and never becomes a string.
//      Whatever does not look exactly like them is read as JSON, with the same result.
// MW2: a message that cannot be read is `unreadable` with a reason; it never throws.
import { type Pattern, past, patternsOf } from '../../kit/pattern.ts'
import { viewOf } from '../../kit/websocket/memory.ts'

/** What Twilio said. `start`/`end` give the payload's base64 text in the buffer it was read from, or in `own`. */
export type MediaMessage =
  | { kind: 'connected' }
  | {
      kind: 'start'
      streamSid: string
      callSid: string
      accountSid: string
      encoding: string
      parameters: Record<string, string>
    }
  | { kind: 'media'; streamSid: string; timestampMs: number; payload: string }
  | { kind: 'dtmf'; streamSid: string; digit: string }
  | { kind: 'mark'; streamSid: string; name: string }
  | { kind: 'stop'; streamSid: string }
  | { kind: 'unknown'; event: string }
  | { kind: 'unreadable'; reason: string }

/** Where the payload of a plain media message lies. */
type MediaRange = { timestampMs: number; payloadStart: number; payloadEnd: number }

const [HEAD, STREAM, MEDIA, TIMESTAMP, PAYLOAD, MARK_HEAD, MARK] = patternsOf(
  '{"event":"media","sequenceNumber":"',
  '","streamSid":"',
  '","media":{"track":"inbound","chunk":"',
  '","timestamp":"',
  '","payload":"',
  '{"event":"mark","sequenceNumber":"',
  '","mark":{"name":"',
)
const QUOTE = 0x22
const BRACES = 0x7d7d
/** `"}}` */
const TAIL_BYTES = 3
const DIGITS_MAX = 15
const BASE64 = /^[+/0-9A-Za-z]*={0,2}$/
const PLAIN_NAME = /^[\w:.-]+$/
const PAD = 0x3d
/** Is a byte of the base64 alphabet, padding apart? Two cache lines of it are ever looked at. */
const IS_BASE64 = new Uint8Array(256)
for (const byte of Buffer.from('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/')) IS_BASE64[byte] = 1

/** One range, reused: valid until the next `readMediaRange`. */
const range: MediaRange = { timestampMs: 0, payloadStart: 0, payloadEnd: 0 }

/** Where the one to DIGITS_MAX digits that begin at `at` end; -1 when there are none or more. */
function pastDigits(view: DataView, at: number, end: number): number {
  if (at < 0) return -1
  let i = at
  while (i < end && isDigit(view.getUint8(i))) i += 1
  return i === at || i - at > DIGITS_MAX ? -1 : i
}

function isDigit(byte: number): boolean {
  return byte >= 0x30 && byte <= 0x39
}

/**
 * Reads the common media message of the stream `streamSid` without parsing; undefined when the message is
 * anything else. The result is one shared object.
 */
export function readMediaRange(buffer: Buffer, start: number, end: number, streamSid: Pattern): MediaRange | undefined {
  const view = viewOf(buffer)
  let at = pastDigits(view, past(view, start, end, HEAD), end)
  at = past(view, past(view, at, end, STREAM), end, streamSid)
  at = pastDigits(view, past(view, at, end, MEDIA), end)
  const timestampStart = past(view, at, end, TIMESTAMP)
  const timestampEnd = pastDigits(view, timestampStart, end)
  const payloadStart = past(view, timestampEnd, end, PAYLOAD)
  const payloadEnd = end - TAIL_BYTES
  if (payloadStart < 0 || payloadEnd < payloadStart || !endsPlainly(view, payloadEnd)) return undefined
  if (!isBase64(view, payloadStart, payloadEnd)) return undefined
  let timestampMs = 0
  for (let i = timestampStart; i < timestampEnd; i += 1) timestampMs = timestampMs * 10 + view.getUint8(i) - 0x30
  range.timestampMs = timestampMs
  range.payloadStart = payloadStart
  range.payloadEnd = payloadEnd
  return range
}

/** The name in a plain mark message of the stream `streamSid`, read without parsing; undefined when the message is anything else. */
export function readMarkName(buffer: Buffer, start: number, end: number, streamSid: Pattern): string | undefined {
  const view = viewOf(buffer)
  const at = pastDigits(view, past(view, start, end, MARK_HEAD), end)
  const nameStart = past(view, past(view, past(view, at, end, STREAM), end, streamSid), end, MARK)
  const nameEnd = end - TAIL_BYTES
  if (nameStart < 0 || nameEnd <= nameStart || !endsPlainly(view, nameEnd)) return undefined
  const name = buffer.toString('latin1', nameStart, nameEnd)
  return PLAIN_NAME.test(name) ? name : undefined
}

/** Does `"}}` stand at `at`, where room for it is? */
function endsPlainly(view: DataView, at: number): boolean {
  return view.getUint8(at) === QUOTE && view.getUint16(at + 1) === BRACES
}

/** Whole groups of four of the alphabet, with at most two pads at the end. */
function isBase64(view: DataView, start: number, end: number): boolean {
  if (((end - start) & 3) !== 0) return false
  if (end === start) return true
  const last = end - 4
  for (let i = start; i < last; i += 4) if (!isGroup(view.getInt32(i, true))) return false
  const group = view.getInt32(last, true)
  const fourth = group >>> 24
  if (fourth !== PAD) return isGroup(group)
  const third = (group >>> 16) & 0xff
  return (
    (IS_BASE64[group & 0xff]! & IS_BASE64[(group >>> 8) & 0xff]!) === 1 && (third === PAD || IS_BASE64[third] === 1)
  )
}

function isGroup(group: number): boolean {
  const first = IS_BASE64[group & 0xff]! & IS_BASE64[(group >>> 8) & 0xff]!
  return (first & IS_BASE64[(group >>> 16) & 0xff]! & IS_BASE64[group >>> 24]!) === 1
}

/** Reads any message as JSON (MW2). */
export function readMediaMessage(text: string): MediaMessage {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return { kind: 'unreadable', reason: 'not JSON' }
  }
  const message = record(value)
  const streamSid = string(message.streamSid)
  switch (message.event) {
    case 'connected':
      return { kind: 'connected' }
    case 'start':
      return readStart(record(message.start), streamSid)
    case 'media':
      return readMedia(record(message.media), streamSid)
    case 'dtmf': {
      const digit = string(record(message.dtmf).digit)
      return /^[0-9*#A-D]$/.test(digit)
        ? { kind: 'dtmf', streamSid, digit }
        : { kind: 'unreadable', reason: 'no digit' }
    }
    case 'mark': {
      const name = string(record(message.mark).name)
      return name === '' ? { kind: 'unreadable', reason: 'no mark name' } : { kind: 'mark', streamSid, name }
    }
    case 'stop':
      return { kind: 'stop', streamSid }
    default:
      return typeof message.event === 'string'
        ? { kind: 'unknown', event: message.event.slice(0, 40) }
        : { kind: 'unreadable', reason: 'no event' }
  }
}

function readStart(start: Record<string, unknown>, outerSid: string): MediaMessage {
  const streamSid = string(start.streamSid) || outerSid
  const callSid = string(start.callSid)
  const parameters: Record<string, string> = {}
  for (const [name, value] of Object.entries(record(start.customParameters))) {
    if (typeof value === 'string') parameters[name] = value
  }
  const { accountSid, mediaFormat } = start
  const encoding = string(record(mediaFormat).encoding)
  return { kind: 'start', streamSid, callSid, accountSid: string(accountSid), encoding, parameters }
}

function readMedia(media: Record<string, unknown>, streamSid: string): MediaMessage {
  const payload = string(media.payload)
  const timestampMs = Number(media.timestamp)
  if (media.track !== undefined && media.track !== 'inbound')
    return { kind: 'unreadable', reason: 'not the inbound track' }
  if (!Number.isInteger(timestampMs) || timestampMs < 0) return { kind: 'unreadable', reason: 'no timestamp' }
  if (!BASE64.test(payload) || payload.length % 4 !== 0) return { kind: 'unreadable', reason: 'payload is not base64' }
  return { kind: 'media', streamSid, timestampMs, payload }
}

/** The message that plays µ-law audio is this, the audio in base64, and MEDIA_TAIL. ASCII. */
export function mediaHead(streamSid: string): Buffer {
  return Buffer.from(`{"event":"media","streamSid":"${streamSid}","media":{"payload":"`, 'latin1')
}

export const MEDIA_TAIL = Buffer.from('"}}', 'latin1')

/** The message that asks to be told when all before it was played. ASCII. */
export function markMessage(streamSid: string, name: string): string {
  return `{"event":"mark","streamSid":"${streamSid}","mark":{"name":"${name}"}}`
}

/** The message that drops all audio that was not played. ASCII. */
export function clearMessage(streamSid: string): string {
  return `{"event":"clear","streamSid":"${streamSid}"}`
}

function record(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
}

function string(value: unknown): string {
  return typeof value === 'string' ? value : ''
}
