// Twilio's media-stream messages, both ways. Facts: Twilio's page "Media Streams – WebSocket messages".
// Rules:
// MW1: the common `media` message is read as bytes: its payload is never copied and never becomes a string. Whatever
//      does not look exactly like it is read as JSON, with the same result.
// MW2: a message that cannot be read is `unreadable` with a reason; it never throws.

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

const HEAD = Buffer.from('{"event":"media","sequenceNumber":"')
const STREAM = Buffer.from('","streamSid":"')
const MEDIA = Buffer.from('","media":{"track":"inbound","chunk":"')
const TIMESTAMP = Buffer.from('","timestamp":"')
const PAYLOAD = Buffer.from('","payload":"')
const TAIL = Buffer.from('"}}')
const DIGITS_MAX = 15
const BASE64 = /^[+/0-9A-Za-z]*={0,2}$/
const PAD = 0x3d
/** Is this byte one of the base64 alphabet (padding apart)? */
const IS_BASE64 = new Uint8Array(256)
for (const char of 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/') IS_BASE64[char.charCodeAt(0)] = 1

/** One range, reused: valid until the next `readMediaRange`. */
const range: MediaRange = { timestampMs: 0, payloadStart: 0, payloadEnd: 0 }

function startsAt(buffer: Buffer, at: number, what: Buffer): boolean {
  for (let i = 0; i < what.length; i += 1) if (buffer[at + i] !== what[i]) return false
  return true
}

/** Where the digits that begin at `at` end; `at` itself when there is none or too many. */
function digitsEnd(buffer: Buffer, at: number): number {
  let i = at
  while (buffer[i]! >= 0x30 && buffer[i]! <= 0x39) i += 1
  return i - at > DIGITS_MAX ? at : i
}

/**
 * Reads the common media message of the stream `streamSid` (as bytes) without parsing; undefined when the message is
 * anything else. The result is one shared object.
 */
export function readMediaRange(buffer: Buffer, start: number, end: number, streamSid: Buffer): MediaRange | undefined {
  if (!startsAt(buffer, start, HEAD)) return undefined
  let at = start + HEAD.length
  let next = digitsEnd(buffer, at)
  if (next === at || !startsAt(buffer, next, STREAM)) return undefined
  at = next + STREAM.length
  if (!startsAt(buffer, at, streamSid)) return undefined
  at += streamSid.length
  if (!startsAt(buffer, at, MEDIA)) return undefined
  at += MEDIA.length
  next = digitsEnd(buffer, at)
  if (next === at || !startsAt(buffer, next, TIMESTAMP)) return undefined
  at = next + TIMESTAMP.length
  next = digitsEnd(buffer, at)
  if (next === at || !startsAt(buffer, next, PAYLOAD)) return undefined
  let timestampMs = 0
  for (let i = at; i < next; i += 1) timestampMs = timestampMs * 10 + buffer[i]! - 0x30
  const payloadStart = next + PAYLOAD.length
  const payloadEnd = end - TAIL.length
  if (payloadEnd < payloadStart || !startsAt(buffer, payloadEnd, TAIL)) return undefined
  if (((payloadEnd - payloadStart) & 3) !== 0) return undefined
  let bareEnd = payloadEnd
  if (buffer[bareEnd - 1] === PAD) bareEnd -= 1
  if (buffer[bareEnd - 1] === PAD) bareEnd -= 1
  for (let i = payloadStart; i < bareEnd; i += 1) if (IS_BASE64[buffer[i]!] === 0) return undefined
  range.timestampMs = timestampMs
  range.payloadStart = payloadStart
  range.payloadEnd = payloadEnd
  return range
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
