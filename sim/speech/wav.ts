// RIFF/WAVE files, mono. Rules:
// W1: reads 16-bit PCM and µ-law; anything else is refused by name.
// W2: a declared size is never trusted: chunks are clamped to the bytes there are (flite writes sloppy headers).
import { ULAW_TO_LINEAR } from './g711.ts'

const TAG_PCM = 1
const TAG_ULAW = 7

/** Sound as linear samples at `rateHz`. */
type Sound = { samples: Int16Array; rateHz: number }

type Format = { tag: number; channels: number; rateHz: number; bits: number }

/** Reads a mono WAV file; throws an Error that says what was wrong with it. */
export function readWav(file: Buffer): Sound {
  const { format, body } = readChunks(file)
  if (format.channels !== 1) throw new Error(`WAV has ${format.channels} channels; only mono is read`)
  if (format.tag === TAG_PCM && format.bits === 16) {
    const samples = new Int16Array(body.length >> 1)
    for (let i = 0; i < samples.length; i++) samples[i] = body.readInt16LE(i * 2)
    return { samples, rateHz: format.rateHz }
  }
  if (format.tag === TAG_ULAW) {
    const samples = Int16Array.from(body, (code) => ULAW_TO_LINEAR[code]!)
    return { samples, rateHz: format.rateHz }
  }
  throw new Error(`WAV format tag ${format.tag} with ${format.bits} bits is not read`)
}

/** The µ-law bytes of an 8 kHz µ-law WAV file, or undefined when the file is something else. */
export function readUlawWav(file: Buffer): Buffer | undefined {
  const { format, body } = readChunks(file)
  return format.tag === TAG_ULAW && format.rateHz === 8000 && format.channels === 1 ? body : undefined
}

/** An 8 kHz mono µ-law WAV file of these codes. */
export function writeUlawWav(codes: Buffer): Buffer {
  return wrap(codes, { tag: TAG_ULAW, channels: 1, rateHz: 8000, bits: 8 })
}

/** A mono 16-bit PCM WAV file. */
export function writePcmWav(sound: Sound): Buffer {
  const body = Buffer.allocUnsafe(sound.samples.length * 2)
  for (let i = 0; i < sound.samples.length; i++) body.writeInt16LE(sound.samples[i]!, i * 2)
  return wrap(body, { tag: TAG_PCM, channels: 1, rateHz: sound.rateHz, bits: 16 })
}

function readChunks(file: Buffer): { format: Format; body: Buffer } {
  if (file.length < 12 || file.toString('latin1', 0, 4) !== 'RIFF' || file.toString('latin1', 8, 12) !== 'WAVE') {
    throw new Error('not a RIFF/WAVE file')
  }
  let format: Format | undefined
  for (let at = 12; at + 8 <= file.length; ) {
    const name = file.toString('latin1', at, at + 4)
    const start = at + 8
    const end = Math.min(start + file.readUInt32LE(at + 4), file.length)
    if (name === 'fmt ' && end - start >= 16) format = readFormat(file, start)
    if (name === 'data') {
      if (format === undefined) throw new Error('WAV data comes before its format')
      return { format, body: file.subarray(start, end) }
    }
    at = end + (end & 1)
  }
  throw new Error('WAV has no data chunk')
}

function readFormat(file: Buffer, start: number): Format {
  return {
    tag: file.readUInt16LE(start),
    channels: file.readUInt16LE(start + 2),
    rateHz: file.readUInt32LE(start + 4),
    bits: file.readUInt16LE(start + 14),
  }
}

function wrap(body: Buffer, format: Format): Buffer {
  const blockBytes = (format.channels * format.bits) / 8
  const head = Buffer.alloc(44)
  head.write('RIFF', 0, 'latin1')
  head.writeUInt32LE(36 + body.length, 4)
  head.write('WAVEfmt ', 8, 'latin1')
  head.writeUInt32LE(16, 16)
  head.writeUInt16LE(format.tag, 20)
  head.writeUInt16LE(format.channels, 22)
  head.writeUInt32LE(format.rateHz, 24)
  head.writeUInt32LE(format.rateHz * blockBytes, 28)
  head.writeUInt16LE(blockBytes, 32)
  head.writeUInt16LE(format.bits, 34)
  head.write('data', 36, 'latin1')
  head.writeUInt32LE(body.length, 40)
  return Buffer.concat([head, body])
}
