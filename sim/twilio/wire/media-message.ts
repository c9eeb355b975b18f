// The media message of the carrier, written as a ready masked frame, and the quick reading of the server's media.
// M1: sequenceNumber, chunk and timestamp are strings; chunk begins at "1", timestamp at "0" and counts 20 ms a chunk.
// M2: one template per stream: only the digits and the payload change; it is rebuilt when a number gains a digit.
// M3: 216 characters = 160 bytes; 160 mod 3 = 1, so each payload ends in "==".

import { type ClipFrames, FRAME_BASE64_CHARS } from './clip-frames.ts'
import { MASK } from './frame.ts'

/** Header of a masked frame of 126–65535 bytes. Divisible by four, so position and mask phase agree. */
const HEAD_BYTES = 8

function digitsOf(value: number): number {
  let digits = 1
  let rest = value
  while (rest >= 10) {
    rest = Math.floor(rest / 10)
    digits++
  }
  return digits
}

function putNumber(frame: Buffer, at: number, digits: number, value: number): void {
  let rest = value
  for (let p = at + digits - 1; p >= at; p--) {
    const next = Math.floor(rest / 10)
    frame[p] = (48 + rest - next * 10) ^ MASK[p & 3]!
    rest = next
  }
}

/** Writes the media messages of one stream. */
export class MediaTemplate {
  private frame: Buffer = Buffer.alloc(0)
  private sequenceDigits = 0
  private chunkDigits = 0
  private timestampDigits = 0
  private sequenceAt = 0
  private chunkAt = 0
  private timestampAt = 0
  private payloadAt = 0
  private readonly streamSid: string

  constructor(streamSid: string) {
    this.streamSid = streamSid
  }

  /**
   * The whole frame for one media message. The buffer is used again by the next call: when the socket did not take it at
   * once, say so with `letGo`.
   */
  fill(sequence: number, chunk: number, timestampMs: number, frames: ClipFrames, index: number): Buffer {
    const sequenceDigits = digitsOf(sequence)
    const chunkDigits = digitsOf(chunk)
    const timestampDigits = digitsOf(timestampMs)
    if (
      sequenceDigits !== this.sequenceDigits ||
      chunkDigits !== this.chunkDigits ||
      timestampDigits !== this.timestampDigits
    ) {
      this.build(sequenceDigits, chunkDigits, timestampDigits)
    }
    const frame = this.frame
    putNumber(frame, this.sequenceAt, sequenceDigits, sequence)
    putNumber(frame, this.chunkAt, chunkDigits, chunk)
    putNumber(frame, this.timestampAt, timestampDigits, timestampMs)
    const from = index * FRAME_BASE64_CHARS
    frames.maskedFor(this.payloadAt & 3).copy(frame, this.payloadAt, from, from + FRAME_BASE64_CHARS)
    return frame
  }

  /** The last frame is still in use by the socket: take a new buffer next time. */
  letGo(): void {
    this.frame = Buffer.from(this.frame)
  }

  private build(sequenceDigits: number, chunkDigits: number, timestampDigits: number): void {
    const parts = [
      '{"event":"media","sequenceNumber":"',
      '0'.repeat(sequenceDigits),
      `","streamSid":"${this.streamSid}","media":{"track":"inbound","chunk":"`,
      '0'.repeat(chunkDigits),
      '","timestamp":"',
      '0'.repeat(timestampDigits),
      '","payload":"',
      '0'.repeat(FRAME_BASE64_CHARS),
      '"}}',
    ]
    const at: number[] = []
    let size = 0
    for (const part of parts) {
      at.push(HEAD_BYTES + size)
      size += part.length
    }
    const frame = Buffer.allocUnsafe(HEAD_BYTES + size)
    frame[0] = 0x81
    frame[1] = 0x80 | 126
    frame.writeUInt16BE(size, 2)
    MASK.copy(frame, 4)
    frame.write(parts.join(''), HEAD_BYTES, 'latin1')
    for (let p = HEAD_BYTES; p < frame.length; p++) frame[p]! ^= MASK[p & 3]!
    this.frame = frame
    this.sequenceDigits = sequenceDigits
    this.chunkDigits = chunkDigits
    this.timestampDigits = timestampDigits
    this.sequenceAt = at[1]!
    this.chunkAt = at[3]!
    this.timestampAt = at[5]!
    this.payloadAt = at[7]!
  }
}

const QUOTE = 0x22
const MEDIA_TAIL = Buffer.from('"}}')

/** The audio of a server's media message in its usual form, or undefined: then the message must be parsed as JSON. */
export function quickMedia(prefix: Buffer, message: Buffer, start: number, end: number): Buffer | undefined {
  const from = start + prefix.length
  const to = end - MEDIA_TAIL.length
  if (to < from || message.compare(prefix, 0, prefix.length, start, from) !== 0) return undefined
  if (message.compare(MEDIA_TAIL, 0, MEDIA_TAIL.length, to, end) !== 0) return undefined
  if (message.indexOf(QUOTE, from) !== to) return undefined
  return Buffer.from(message.toString('latin1', from, to), 'base64')
}

/** What a server's media message for this stream usually begins with. */
export function mediaPrefix(streamSid: string): Buffer {
  return Buffer.from(`{"event":"media","streamSid":"${streamSid}","media":{"payload":"`)
}
