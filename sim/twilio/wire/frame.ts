// WebSocket frames of a client (RFC 6455), written and read without a library so that a load test stays cheap.
// F1: every frame we send is masked with one random non-zero key per process. A constant key makes ready-made frames
//     possible; a zero key would spare the server its unmasking and flatter every measurement.
// F2: a frame from the server that is masked, has reserved bits, or breaks the rules for control frames ends the stream.
// F3: a message larger than MESSAGE_BYTES_MAX ends the stream with 1009.

import { randomBytes } from 'node:crypto'

export const TEXT = 1
export const BINARY = 2
export const CLOSE = 8
export const PING = 9
export const PONG = 10
export const MESSAGE_BYTES_MAX = 4 * 1024 * 1024

/** The process's mask; four non-zero bytes. */
export const MASK: Buffer = Buffer.from(randomBytes(4).map((byte) => byte | 1))

/** One whole masked frame with the given opcode. */
export function maskedFrame(opcode: number, payload: Buffer): Buffer {
  const size = payload.length
  const headBytes = size < 126 ? 6 : size < 65536 ? 8 : 14
  const frame = Buffer.allocUnsafe(headBytes + size)
  frame[0] = 0x80 | opcode
  if (size < 126) frame[1] = 0x80 | size
  else if (size < 65536) {
    frame[1] = 0x80 | 126
    frame.writeUInt16BE(size, 2)
  } else {
    frame[1] = 0x80 | 127
    frame.writeBigUInt64BE(BigInt(size), 2)
  }
  MASK.copy(frame, headBytes - 4)
  for (let i = 0; i < size; i++) frame[headBytes + i] = payload[i]! ^ MASK[i & 3]!
  return frame
}

/** A masked close frame; without a code the frame is empty. */
export function closeFrame(code?: number): Buffer {
  if (code === undefined) return maskedFrame(CLOSE, Buffer.alloc(0))
  const payload = Buffer.allocUnsafe(2)
  payload.writeUInt16BE(code)
  return maskedFrame(CLOSE, payload)
}

/** Receives what a FrameReader finds. The buffer is only valid during the call. */
export type FrameSink = {
  onMessage(opcode: number, buffer: Buffer, start: number, end: number): void
  onControl(opcode: number, payload: Buffer): void
  onViolation(closeCode: number, text: string): void
}

type Header = { opcode: number; isFinal: boolean; start: number; size: number }

/** Cuts a server's byte stream into messages. */
export class FrameReader {
  private rest: Buffer | undefined
  private fragments: Buffer[] = []
  private fragmentBytes = 0
  private fragmentOpcode = 0
  private isBroken = false
  private readonly header: Header = { opcode: 0, isFinal: true, start: 0, size: 0 }

  /** Feeds bytes from the socket; calls the sink for each complete message or control frame. */
  push(bytes: Buffer, sink: FrameSink): void {
    if (this.isBroken) return
    const chunk = this.rest === undefined ? bytes : Buffer.concat([this.rest, bytes])
    this.rest = undefined
    let at = 0
    while (at < chunk.length) {
      const problem = this.readHeader(chunk, at)
      if (problem === 'short') break
      if (problem !== undefined) {
        this.fail(sink, problem === 'too big' ? 1009 : 1002, problem)
        return
      }
      const { start, size } = this.header
      if (start + size > chunk.length) break
      at = start + size
      this.take(chunk, start, at, sink)
      if (this.isBroken) return
    }
    if (at < chunk.length) this.rest = at === 0 ? chunk : chunk.subarray(at)
  }

  private fail(sink: FrameSink, closeCode: number, text: string): void {
    this.isBroken = true
    sink.onViolation(closeCode, text)
  }

  private readHeader(chunk: Buffer, at: number): string | undefined {
    if (chunk.length - at < 2) return 'short'
    const first = chunk[at]!
    const second = chunk[at + 1]!
    if ((first & 0x70) !== 0) return 'reserved bits set'
    if ((second & 0x80) !== 0) return 'server frame is masked'
    let size = second & 0x7f
    let start = at + 2
    if (size === 126) {
      if (chunk.length - at < 4) return 'short'
      size = chunk.readUInt16BE(at + 2)
      start = at + 4
    } else if (size === 127) {
      if (chunk.length - at < 10) return 'short'
      size = Number(chunk.readBigUInt64BE(at + 2))
      start = at + 10
    }
    const opcode = first & 0x0f
    const isFinal = (first & 0x80) !== 0
    if (opcode >= CLOSE && (!isFinal || size > 125)) return 'control frame fragmented or too long'
    if (opcode > PONG || (opcode > BINARY && opcode < CLOSE)) return 'unknown opcode'
    if (size + this.fragmentBytes > MESSAGE_BYTES_MAX) return 'too big'
    this.header.opcode = opcode
    this.header.isFinal = isFinal
    this.header.start = start
    this.header.size = size
    return undefined
  }

  private take(chunk: Buffer, start: number, end: number, sink: FrameSink): void {
    const { opcode, isFinal } = this.header
    if (opcode >= CLOSE) {
      sink.onControl(opcode, chunk.subarray(start, end))
      return
    }
    const isOpen = this.fragmentOpcode !== 0
    if (isOpen !== (opcode === 0)) {
      this.fail(sink, 1002, 'continuation out of place')
      return
    }
    if (isFinal && !isOpen) {
      sink.onMessage(opcode, chunk, start, end)
      return
    }
    if (!isOpen) this.fragmentOpcode = opcode
    this.fragments.push(Buffer.from(chunk.subarray(start, end)))
    this.fragmentBytes += end - start
    if (!isFinal) return
    const whole = Buffer.concat(this.fragments)
    const wholeOpcode = this.fragmentOpcode
    this.fragments = []
    this.fragmentBytes = 0
    this.fragmentOpcode = 0
    sink.onMessage(wholeOpcode, whole, 0, whole.length)
  }
}
