// RFC 6455 frames, as bytes. The two hot legs of a call pass here 50 times a second, so nothing is copied and
// nothing becomes a string on the way. Rules:
// FR1: a whole frame inside one chunk is handed on as a range of that chunk, unmasked in place.
// FR2: a frame or message over `maxPayloadBytes` is a violation (1009) before it is buffered.
// FR3: what the RFC forbids (reserved bits, unknown opcodes, long or fragmented control frames, a mask where none
//     may be, none where one must be, invalid UTF-8, invalid close codes) is a violation, reported once; then nothing more is parsed.
// FR4: a length that a shorter form could carry, or that has its highest bit set, is a violation (1002); a control frame has
//     the shortest form only.
import { isUtf8 } from 'node:buffer'
import { applyMask, viewOf } from './memory.ts'

export const OPCODE = { continuation: 0x0, text: 0x1, binary: 0x2, close: 0x8, ping: 0x9, pong: 0xa } as const

/** Receives what the parser finds. Ranges are valid only during the call. */
export interface FrameSink {
  /** Takes a text that it has itself seen to be ASCII; true when it did, and then `text` is not called. */
  ascii?(buffer: Buffer, start: number, end: number): boolean
  text(buffer: Buffer, start: number, end: number): void
  binary(buffer: Buffer, start: number, end: number): void
  ping(payload: Buffer): void
  pong(): void
  closed(code: number, reason: string): void
  violation(code: number, reason: string): void
}

const CLOSE_CODE_NONE = 1005

/** Is `code` one that may stand in a close frame? (RFC 6455 §7.4, IANA registry) */
function isSendableCloseCode(code: number): boolean {
  return (
    (code >= 1000 && code <= 1014 && code !== 1004 && code !== 1005 && code !== 1006) || (code >= 3000 && code <= 4999)
  )
}

/** Incremental parser of one direction of one socket. */
export class FrameParser {
  readonly #sink: FrameSink
  readonly #maxPayloadBytes: number
  readonly #masked: boolean
  #chunks: Buffer[] = []
  #heldBytes = 0
  #neededBytes = 2
  #message: Buffer[] = []
  #messageBytes = 0
  #messageOpcode: number = OPCODE.continuation
  #dead = false

  /** `masked`: the peer is a client and must mask (RFC 6455 §5.1). */
  constructor(sink: FrameSink, options: { maxPayloadBytes: number; masked: boolean }) {
    this.#sink = sink
    this.#maxPayloadBytes = options.maxPayloadBytes
    this.#masked = options.masked
  }

  /** Parses all whole frames in the first `lengthBytes` bytes of `chunk`; a copy of the rest is held until the next chunk. */
  push(chunk: Buffer, lengthBytes = chunk.length): void {
    if (this.#dead) return
    let buffer = chunk
    let length = lengthBytes
    if (this.#heldBytes > 0) {
      this.#chunks.push(Buffer.from(chunk.subarray(0, lengthBytes)))
      this.#heldBytes += lengthBytes
      if (this.#heldBytes < this.#neededBytes) return
      buffer = Buffer.concat(this.#chunks, this.#heldBytes)
      length = this.#heldBytes
      this.#chunks = []
      this.#heldBytes = 0
    }
    let offset = 0
    while (offset < length && !this.#dead) {
      const next = this.#frame(buffer, offset, length)
      if (next < 0) break
      offset = next
    }
    if (offset < length && !this.#dead) {
      // A copy: the chunk's memory is read into again (RawSocket RW1).
      const rest = Buffer.from(buffer.subarray(offset, length))
      this.#chunks.push(rest)
      this.#heldBytes = rest.length
    }
  }

  /** Parses one frame at `offset`; returns where the next begins, or -1 when more bytes are needed. */
  #frame(buffer: Buffer, offset: number, length: number): number {
    const available = length - offset
    if (available < 2) return this.#need(2)
    const first = buffer[offset]!
    const second = buffer[offset + 1]!
    const opcode = first & 0x0f
    const isMasked = (second & 0x80) !== 0
    if ((first & 0x70) !== 0) return this.#fail(1002, 'reserved bits are set')
    if (isMasked !== this.#masked) return this.#fail(1002, this.#masked ? 'frame is not masked' : 'frame is masked')
    let payloadBytes = second & 0x7f
    let headBytes = 2
    if (opcode >= 0x8 && (payloadBytes > 125 || (first & 0x80) === 0)) {
      return this.#fail(1002, 'control frame is long or fragmented')
    }
    if (payloadBytes === 126) {
      headBytes = 4
      if (available < 4) return this.#need(4)
      payloadBytes = buffer.readUInt16BE(offset + 2)
      if (payloadBytes < 126) return this.#fail(1002, 'length is padded')
    } else if (payloadBytes === 127) {
      headBytes = 10
      if (available < 10) return this.#need(10)
      const highBytes = buffer.readUInt32BE(offset + 2)
      payloadBytes = highBytes * 0x1_0000_0000 + buffer.readUInt32BE(offset + 6)
      if (highBytes > 0x7fff_ffff || payloadBytes < 65_536) return this.#fail(1002, 'length is padded')
    }
    const messageBytes = opcode >= 0x8 ? 0 : this.#messageBytes
    if (payloadBytes + messageBytes > this.#maxPayloadBytes) return this.#fail(1009, 'message is too big')
    if (isMasked) headBytes += 4
    const totalBytes = headBytes + payloadBytes
    if (available < totalBytes) return this.#need(totalBytes)
    const start = offset + headBytes
    const end = start + payloadBytes
    if (isMasked && payloadBytes > 0) {
      applyMask(buffer, start, end, viewOf(buffer).getInt32(start - 4, true))
    }
    if (opcode >= 0x8) this.#control(opcode, buffer, start, end)
    else this.#part(opcode, (first & 0x80) !== 0, buffer, start, end)
    return end
  }

  #need(bytes: number): number {
    this.#neededBytes = bytes
    return -1
  }

  #fail(code: number, reason: string): number {
    this.#dead = true
    this.#chunks = []
    this.#message = []
    this.#sink.violation(code, reason)
    return -1
  }

  #part(opcode: number, fin: boolean, buffer: Buffer, start: number, end: number): void {
    if (opcode === OPCODE.continuation ? this.#messageOpcode === 0 : this.#messageOpcode !== 0) {
      this.#fail(1002, 'fragments are out of order')
    } else if (opcode > OPCODE.binary) {
      this.#fail(1002, 'opcode is unknown')
    } else if (fin && opcode !== OPCODE.continuation) {
      this.#deliver(opcode, buffer, start, end)
    } else {
      if (opcode !== OPCODE.continuation) this.#messageOpcode = opcode
      // An empty fragment adds nothing: endless ones must not pile up.
      if (end > start) this.#message.push(Buffer.from(buffer.subarray(start, end)))
      this.#messageBytes += end - start
      if (!fin) return
      const whole = Buffer.concat(this.#message, this.#messageBytes)
      const kind = this.#messageOpcode
      this.#message = []
      this.#messageBytes = 0
      this.#messageOpcode = 0
      this.#deliver(kind, whole, 0, whole.length)
    }
  }

  #deliver(opcode: number, buffer: Buffer, start: number, end: number): void {
    if (opcode === OPCODE.binary) this.#sink.binary(buffer, start, end)
    else if (this.#sink.ascii?.(buffer, start, end) === true) return
    else if (isUtf8(buffer.subarray(start, end))) this.#sink.text(buffer, start, end)
    else this.#fail(1007, 'text is not UTF-8')
  }

  #control(opcode: number, buffer: Buffer, start: number, end: number): void {
    if (opcode === OPCODE.ping) this.#sink.ping(Buffer.from(buffer.subarray(start, end)))
    else if (opcode === OPCODE.pong) this.#sink.pong()
    else if (opcode !== OPCODE.close) this.#fail(1002, 'opcode is unknown')
    else if (end === start) this.#close(CLOSE_CODE_NONE, '')
    else {
      const code = end - start >= 2 ? buffer.readUInt16BE(start) : 0
      if (!isSendableCloseCode(code)) this.#fail(1002, 'close code is invalid')
      else if (!isUtf8(buffer.subarray(start + 2, end))) this.#fail(1007, 'close reason is not UTF-8')
      else this.#close(code, buffer.toString('utf8', start + 2, end))
    }
  }

  #close(code: number, reason: string): void {
    this.#dead = true
    this.#sink.closed(code, reason)
  }
}

/** Bytes of a frame's head for a payload of `payloadBytes`, with room for the mask when `masked`. */
export function headBytesFor(payloadBytes: number, masked: boolean): number {
  return (payloadBytes < 126 ? 2 : payloadBytes < 65_536 ? 4 : 10) + (masked ? 4 : 0)
}

/** Writes a final frame's head (without the mask bytes) at `offset`; returns where the mask or payload begins. */
export function writeHead(
  buffer: Buffer,
  offset: number,
  opcode: number,
  payloadBytes: number,
  masked: boolean,
): number {
  const maskBit = masked ? 0x80 : 0
  buffer[offset] = 0x80 | opcode
  if (payloadBytes < 126) {
    buffer[offset + 1] = maskBit | payloadBytes
    return offset + 2
  }
  if (payloadBytes < 65_536) {
    buffer[offset + 1] = maskBit | 126
    buffer[offset + 2] = payloadBytes >> 8
    buffer[offset + 3] = payloadBytes & 0xff
    return offset + 4
  }
  buffer[offset + 1] = maskBit | 127
  buffer.writeUInt32BE(Math.floor(payloadBytes / 0x1_0000_0000), offset + 2)
  buffer.writeUInt32BE(payloadBytes >>> 0, offset + 6)
  return offset + 10
}
