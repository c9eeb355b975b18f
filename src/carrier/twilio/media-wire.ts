// Twilio's media-stream messages, both ways. Facts: Twilio's page "Media Streams – WebSocket messages".
// Rules:
// MW1: the common `media` message is read as bytes: its payload is never copied and never becomes a string. Whatever
//      does not look exactly like it is read as JSON, with the same result.
// MW2: a message that cannot be read is `unreadable` with a reason; it never throws.
import { viewOf } from '../../kit/websocket/memory.ts'

/** What Twilio said. `start`/`end` give the payload's base64 text in the buffer it was read from, or in `own`. */
export type MediaMessage =
  | { kind: 'connected' }
  | { kind: 'start'; streamSid: string; callSid: string; encoding: string; parameters: Record<string, string> }
  | { kind: 'media'; streamSid: string; timestampMs: number; payload: string }
  | { kind: 'dtmf'; streamSid: string; digit: string }
  | { kind: 'mark'; streamSid: string; name: string }
  | { kind: 'stop'; streamSid: string }
  | { kind: 'unknown'; event: string }
  | { kind: 'unreadable'; reason: string }

/** Where the payload of a plain media message lies. */
export type MediaRange = { timestampMs: number; payloadStart: number; payloadEnd: number }

/** Bytes to compare with, four at a time. */
export type Pattern = { length: number; words: Int32Array; tail: Uint8Array }

/** The pattern of an ASCII text. */
export function patternOf(text: string): Pattern {
  const bytes = Buffer.from(text, 'latin1')
  const words = new Int32Array(bytes.length >> 2)
  for (let i = 0; i < words.length; i += 1) words[i] = bytes.readInt32LE(i * 4)
  return { length: bytes.length, words, tail: Uint8Array.from(bytes.subarray(words.length * 4)) }
}

const HEAD = patternOf('{"event":"media","sequenceNumber":"')
const STREAM = patternOf('","streamSid":"')
const MEDIA = patternOf('","media":{"track":"inbound","chunk":"')
const TIMESTAMP = patternOf('","timestamp":"')
const PAYLOAD = patternOf('","payload":"')
const TAIL = patternOf('"}}')
const DIGITS_MAX = 15
const BASE64 = /^[+/0-9A-Za-z]*={0,2}$/
const PAD = 0x3d
/** Are these two bytes (one little-endian number) of the base64 alphabet, padding apart? */
const IS_BASE64_PAIR = new Uint8Array(65_536)
const ALPHABET = Buffer.from('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/')
for (const high of ALPHABET) for (const low of ALPHABET) IS_BASE64_PAIR[high * 256 + low] = 1

/** One range, reused: valid until the next `readMediaRange`. */
const range: MediaRange = { timestampMs: 0, payloadStart: 0, payloadEnd: 0 }

/** Where `what` ends when it stands at `at` and ends not after `end`; -1 otherwise. */
function past(view: DataView, at: number, end: number, what: Pattern): number {
  if (at < 0 || at + what.length > end) return -1
  const { words, tail } = what
  let i = at
  for (let word = 0; word < words.length; word += 1, i += 4) if (view.getInt32(i, true) !== words[word]) return -1
  for (let byte = 0; byte < tail.length; byte += 1, i += 1) if (view.getUint8(i) !== tail[byte]) return -1
  return i
}

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
  const payloadEnd = end - TAIL.length
  if (payloadStart < 0 || payloadEnd < payloadStart || past(view, payloadEnd, end, TAIL) < 0) return undefined
  if (!isBase64(view, payloadStart, payloadEnd)) return undefined
  let timestampMs = 0
  for (let i = timestampStart; i < timestampEnd; i += 1) timestampMs = timestampMs * 10 + view.getUint8(i) - 0x30
  range.timestampMs = timestampMs
  range.payloadStart = payloadStart
  range.payloadEnd = payloadEnd
  return range
}

/** Whole groups of four of the alphabet, with at most two pads at the end. */
function isBase64(view: DataView, start: number, end: number): boolean {
  if (((end - start) & 3) !== 0) return false
  if (end === start) return true
  const last = end - 2
  for (let i = start; i < last; i += 2) if (IS_BASE64_PAIR[view.getUint16(i, true)] === 0) return false
  const first = view.getUint8(last)
  const second = view.getUint8(last + 1)
  if (first === PAD) return second === PAD
  return IS_BASE64_PAIR[first * 256 + (second === PAD ? first : second)] === 1
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
  if (streamSid === '' || callSid === '') return { kind: 'unreadable', reason: 'start without its SIDs' }
  const parameters: Record<string, string> = {}
  for (const [name, value] of Object.entries(record(start.customParameters))) {
    if (typeof value === 'string') parameters[name] = value
  }
  return { kind: 'start', streamSid, callSid, encoding: string(record(start.mediaFormat).encoding), parameters }
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

/** The message that plays µ-law audio. ASCII. */
export function mediaMessage(streamSid: string, ulaw: Uint8Array): string {
  const payload = Buffer.from(ulaw.buffer, ulaw.byteOffset, ulaw.length).toString('base64')
  return `{"event":"media","streamSid":"${streamSid}","media":{"payload":"${payload}"}}`
}

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
