// The least of RFC 6455 that a bridge can live with: the least that a message costs on Node. Rules:
// P1: a whole frame in one chunk is read where it lies and unmasked in place; nothing becomes a string.
// P2: what a bench's own simulators never send (fragments, binary) ends the socket instead of being handled.
import { randomFillSync } from 'node:crypto'
import type { Socket } from 'node:net'

const FRAME_MAX_BYTES = 1_048_576
const MASK_POOL_BYTES = 16_384
const maskPool = Buffer.allocUnsafe(MASK_POOL_BYTES)
let maskAt = MASK_POOL_BYTES

/** Called with the range of one text message; the range is valid only during the call. */
type OnText = (buffer: Buffer, start: number, end: number) => void

function unmask(buffer: Buffer, start: number, end: number): void {
  const m0 = buffer[start - 4]!
  const m1 = buffer[start - 3]!
  const m2 = buffer[start - 2]!
  const m3 = buffer[start - 1]!
  let i = start
  for (; i + 3 < end; i += 4) {
    buffer[i]! ^= m0
    buffer[i + 1]! ^= m1
    buffer[i + 2]! ^= m2
    buffer[i + 3]! ^= m3
  }
  if (i < end) buffer[i++]! ^= m0
  if (i < end) buffer[i++]! ^= m1
  if (i < end) buffer[i]! ^= m2
}

/** Joins reading and writing of text messages to one socket. */
export class RawSocket {
  readonly #socket: Socket
  readonly #isClient: boolean
  readonly #onText: OnText
  #rest: Buffer | undefined

  constructor(socket: Socket, isClient: boolean, onText: OnText) {
    this.#socket = socket
    this.#isClient = isClient
    this.#onText = onText
    socket.setNoDelay(true)
    socket.on('data', (chunk: Buffer) => this.push(chunk))
    socket.on('error', () => socket.destroy())
  }

  /** Bytes from the socket, or the ones that came with the upgrade. */
  push(chunk: Buffer): void {
    const buffer = this.#rest === undefined ? chunk : Buffer.concat([this.#rest, chunk])
    this.#rest = undefined
    let offset = 0
    while (offset < buffer.length) {
      const next = this.#frame(buffer, offset)
      if (next < 0) break
      offset = next
    }
    if (offset >= buffer.length) return
    if (buffer.length - offset > FRAME_MAX_BYTES) this.#socket.destroy()
    else this.#rest = Buffer.from(buffer.subarray(offset))
  }

  /** Sends the parts as one text message. */
  send(...parts: (Buffer | string)[]): void {
    let bytes = 0
    for (const part of parts) bytes += part.length
    const head = (bytes < 126 ? 2 : bytes < 65_536 ? 4 : 10) + (this.#isClient ? 4 : 0)
    const frame = Buffer.allocUnsafe(head + bytes)
    frame[0] = 0x81
    const maskBit = this.#isClient ? 0x80 : 0
    if (bytes < 126) frame[1] = maskBit | bytes
    else if (bytes < 65_536) {
      frame[1] = maskBit | 126
      frame.writeUInt16BE(bytes, 2)
    } else {
      frame[1] = maskBit | 127
      frame.writeUInt32BE(0, 2)
      frame.writeUInt32BE(bytes, 6)
    }
    let at = head
    for (const part of parts) at += typeof part === 'string' ? frame.write(part, at, 'latin1') : part.copy(frame, at)
    if (this.#isClient) this.#mask(frame, head)
    this.#socket.write(frame)
  }

  /** Says goodbye (1000) and ends the socket. */
  close(): void {
    if (this.#socket.destroyed) return
    this.#socket.end(this.#isClient ? Buffer.from('88820000000003e8', 'hex') : Buffer.from('880203e8', 'hex'))
  }

  #mask(frame: Buffer, head: number): void {
    if (maskAt >= MASK_POOL_BYTES) {
      randomFillSync(maskPool)
      maskAt = 0
    }
    maskPool.copy(frame, head - 4, maskAt, maskAt + 4)
    maskAt += 4
    unmask(frame, head, frame.length)
  }

  #frame(buffer: Buffer, offset: number): number {
    if (buffer.length - offset < 2) return -1
    const opcode = buffer[offset]! & 0x0f
    const second = buffer[offset + 1]!
    let bytes = second & 0x7f
    let start = offset + 2
    if (bytes === 126) {
      if (buffer.length - offset < 4) return -1
      bytes = buffer.readUInt16BE(offset + 2)
      start = offset + 4
    } else if (bytes === 127) {
      if (buffer.length - offset < 10) return -1
      bytes = buffer.readUInt32BE(offset + 6)
      start = offset + 10
    }
    if ((second & 0x80) !== 0) start += 4
    const end = start + bytes
    if (end > buffer.length) return -1
    if ((second & 0x80) !== 0) unmask(buffer, start, end)
    if (opcode === 0x1) this.#onText(buffer, start, end)
    else if (opcode === 0x9) this.#pong(buffer.subarray(start, end))
    else if (opcode !== 0xa) this.#socket.end()
    return end
  }

  #pong(payload: Buffer): void {
    const head = this.#isClient ? 6 : 2
    const frame = Buffer.alloc(head + payload.length)
    frame[0] = 0x8a
    frame[1] = (this.#isClient ? 0x80 : 0) | payload.length
    payload.copy(frame, head)
    if (this.#isClient) this.#mask(frame, head)
    this.#socket.write(frame)
  }
}
