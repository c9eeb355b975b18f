// Reading input_audio_buffer.append without parsing the whole message. Rules:
// A1: the usual spelling is recognised by its first bytes, and only the base64 between the quotes is looked at.
// A2: any other spelling is parsed as JSON with the audio cut out; what cannot be cut goes the slow way.
// A3: base64 that does not decode to the length it promises is invalid.

const HEAD = '{"type":"input_audio_buffer.append","audio":"'
const HEAD_BYTES = Buffer.from(HEAD)
const KEY = Buffer.from('"audio":"')
const QUOTE = 0x22
const SCRATCH_BYTES = 65_536

const scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES)

/** `audio` of 'append' is valid only until the next call when it is small; copy it to keep it. */
type Incoming =
  | { kind: 'append'; audio: Buffer; eventId: string | undefined }
  | { kind: 'append-invalid'; eventId: string | undefined }
  | { kind: 'event'; event: unknown }
  | { kind: 'not-json' }

/** Reads one client message. */
export function readIncoming(message: Buffer): Incoming {
  if (startsWithHead(message)) {
    const end = message.length - 2
    if (message[end] === QUOTE && message[end + 1] === 0x7d && message.indexOf(QUOTE, HEAD.length) === end) {
      return decode(message.toString('latin1', HEAD.length, end), undefined)
    }
  }
  return readOther(message)
}

function startsWithHead(message: Buffer): boolean {
  // The byte after {"type":"input_audio_buffer. settles most other events before the comparison.
  return (
    message.length > HEAD.length + 1 &&
    message[28] === 0x61 &&
    message.compare(HEAD_BYTES, 0, HEAD.length, 0, HEAD.length) === 0
  )
}

function readOther(message: Buffer): Incoming {
  const at = message.indexOf(KEY)
  const from = at + KEY.length
  const to = at < 0 ? -1 : message.indexOf(QUOTE, from)
  if (to < 0) return readWhole(message)
  const envelope = parse(`${message.toString('utf8', 0, from)}${message.toString('utf8', to)}`)
  if (!isAppend(envelope)) return readWhole(message)
  return decode(message.toString('latin1', from, to), envelope.event_id)
}

function readWhole(message: Buffer): Incoming {
  const event = parse(message.toString('utf8'))
  if (event === undefined) return { kind: 'not-json' }
  return isAppend(event) ? decode(event.audio, event.event_id) : { kind: 'event', event }
}

function decode(base64: string, eventId: string | undefined): Incoming {
  const promised = promisedBytes(base64)
  if (promised === undefined) return { kind: 'append-invalid', eventId }
  if (promised > SCRATCH_BYTES) {
    const audio = Buffer.from(base64, 'base64')
    return audio.length === promised ? { kind: 'append', audio, eventId } : { kind: 'append-invalid', eventId }
  }
  const written = scratch.write(base64, 0, 'base64')
  if (written !== promised) return { kind: 'append-invalid', eventId }
  return { kind: 'append', audio: scratch.subarray(0, written), eventId }
}

function promisedBytes(base64: string): number | undefined {
  const { length } = base64
  if (length % 4 !== 0) return undefined
  if (length === 0) return 0
  const padding = base64.charCodeAt(length - 1) !== 0x3d ? 0 : base64.charCodeAt(length - 2) !== 0x3d ? 1 : 2
  return (length / 4) * 3 - padding
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function isAppend(event: unknown): event is { audio: string; event_id?: string } {
  if (typeof event !== 'object' || event === null) return false
  const { type, audio } = event as { type?: unknown; audio?: unknown }
  return type === 'input_audio_buffer.append' && typeof audio === 'string'
}
