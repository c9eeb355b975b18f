// One WebSocket over one socket, either end. Rules:
// WC1: `onClosed` is called exactly once, whatever ends the socket; `close()` and `destroy()` are idempotent and never throw.
// WC2: a close handshake is bounded by CLOSE_TIMEOUT_MS; then the socket is destroyed.
// WC3: more than `bufferedMaxBytes` waiting to be sent means that the peer does not read: one SOCKET_OVERFLOW, then destroyed.
// WC4: a client masks each frame with fresh random bytes.
// WC5: a frame is built in one shared scratch, which is given up to the socket when the frame could not go out at once.
// WC6: a peer that is kept alive is pinged each interval; one that was silent for a whole interval is dead. The timer ends
//      when the connection is no longer open.
// WC7: what a listener throws while it takes a message costs its own connection and nothing else: it is told (`onFault`), then the connection is destroyed.
import type { Socket } from 'node:net'
import type { Wheel, WheelTimer } from '../wheel.ts'
import { FrameParser, type FrameSink, headBytesFor, OPCODE, writeHead } from './frame.ts'
import { applyMask, frameOf, freshMask, giveUp, viewOf } from './memory.ts'
import { RawSocket } from './raw-socket.ts'

export const CLOSE_TIMEOUT_MS = 2_000

/** Why a connection ended. `code` is the peer's close code, 1006 when there was none. */
export type SocketEnd = {
  code: number
  reason: string
  cause: 'closed' | 'lost' | 'violation' | 'overflow' | 'dead' | 'fault'
}

/** What the owner of a connection implements. Ranges are valid only during the call. */
export interface SocketListener {
  /** Takes a text that it knows to be ASCII (the hot kind of message); true when it did. */
  onAscii?(buffer: Buffer, start: number, end: number): boolean
  onText(buffer: Buffer, start: number, end: number): void
  onBinary(buffer: Buffer, start: number, end: number): void
  /** It threw while it took a message; the connection ends next (WC7). */
  onFault(error: unknown): void
  onClosed(end: SocketEnd): void
}

export class WebSocketConnection implements FrameSink {
  readonly #raw: RawSocket
  readonly #socket: Socket
  readonly #listener: SocketListener
  readonly #masks: boolean
  readonly #bufferedMaxBytes: number
  readonly #parser: FrameParser
  #state: 'open' | 'closing' | 'closed' = 'open'
  #end: SocketEnd = { code: 1006, reason: '', cause: 'lost' }
  #closeTimer: NodeJS.Timeout | undefined
  /** True once bytes of the peer were seen since the last ping. */
  #hasHeard = true
  #keptAlive: { wheel: Wheel; timer: WheelTimer } | undefined

  constructor(
    socket: Socket,
    listener: SocketListener,
    options: { role: 'client' | 'server'; maxPayloadBytes: number; bufferedMaxBytes: number },
  ) {
    this.#listener = listener
    this.#masks = options.role === 'client'
    this.#bufferedMaxBytes = options.bufferedMaxBytes
    this.#parser = new FrameParser(this, {
      maxPayloadBytes: options.maxPayloadBytes,
      masked: options.role === 'server',
    })
    socket.setNoDelay(true)
    socket.setTimeout(0)
    this.#raw = new RawSocket(socket, (buffer, lengthBytes) => {
      this.#hasHeard = true
      this.#parser.push(buffer, lengthBytes)
    })
    const stream = this.#raw.stream
    this.#socket = stream
    stream.on('end', () => stream.destroy())
    stream.on('error', () => stream.destroy())
    stream.on('close', () => this.#closed())
  }

  /** Bytes that wait in this process to be sent. */
  get bufferedBytes(): number {
    return this.#raw.bufferedBytes
  }

  get isOpen(): boolean {
    return this.#state === 'open'
  }

  /** Bytes that arrived with the upgrade request or answer (`head`); call once, after construction. */
  feed(head: Buffer): void {
    if (head.length > 0) this.#parser.push(head, head.length)
  }

  /** Sends one text message. */
  sendText(text: string): void {
    const payloadBytes = Buffer.byteLength(text)
    const frame = this.#begin(payloadBytes)
    frame.write(text, frame.length - payloadBytes, 'utf8')
    this.#finish(frame, payloadBytes)
  }

  /** Sends `prefix + source[start..end) + suffix` as one text message without making a string of it. */
  sendSpliced(prefix: Buffer, source: Buffer, start: number, end: number, suffix: Buffer): void {
    const payloadBytes = prefix.length + (end - start) + suffix.length
    const frame = this.#begin(payloadBytes)
    let offset = frame.length - payloadBytes
    frame.set(prefix, offset)
    offset += prefix.length
    source.copy(frame, offset, start, end)
    frame.set(suffix, offset + end - start)
    this.#finish(frame, payloadBytes)
  }

  /** Sends `prefix + base64 of bytes + suffix` as one text message and `next`, unless it is empty, as a second one: one write, all ASCII. */
  sendBase64(prefix: Buffer, bytes: Buffer, suffix: Buffer, next: string): void {
    const base64 = bytes.toString('base64')
    const payloadBytes = prefix.length + base64.length + suffix.length
    if (this.#masks) {
      const frame = this.#begin(payloadBytes)
      const at = frame.length - payloadBytes
      frame.set(prefix, at)
      frame.write(base64, at + prefix.length, 'latin1')
      frame.set(suffix, frame.length - suffix.length)
      this.#finish(frame, payloadBytes)
      if (next !== '') this.sendText(next)
      return
    }
    const nextBytes = next === '' ? 0 : headBytesFor(next.length, false) + next.length
    const frame = frameOf(headBytesFor(payloadBytes, false) + payloadBytes + nextBytes)
    let offset = writeHead(frame, 0, OPCODE.text, payloadBytes, false)
    frame.set(prefix, offset)
    offset += prefix.length
    offset += frame.write(base64, offset, 'latin1')
    frame.set(suffix, offset)
    if (nextBytes > 0) {
      offset = writeHead(frame, offset + suffix.length, OPCODE.text, next.length, false)
      frame.write(next, offset, 'latin1')
    }
    this.#write(frame)
  }

  /** Pings the peer each `everyMs` from now on, and destroys the connection when it is dead (WC6). */
  keepAlive(wheel: Wheel, everyMs: number): void {
    this.#stopKeepAlive()
    if (this.#state !== 'open') return
    const check = () => {
      if (!this.#hasHeard) {
        this.destroy('dead')
        return
      }
      this.#hasHeard = false
      this.#keptAlive = { wheel, timer: wheel.after(everyMs, check) }
      this.#control(OPCODE.ping, Buffer.alloc(0))
    }
    this.#hasHeard = true
    this.#keptAlive = { wheel, timer: wheel.after(everyMs, check) }
  }

  /** Starts the close handshake (code 1000 to 4999, reason ≤ 123 bytes); bounded by CLOSE_TIMEOUT_MS. */
  close(code = 1000, reason = ''): void {
    if (this.#state !== 'open') return
    this.#end = { code, reason, cause: 'closed' }
    this.#sendClose(code, reason)
  }

  /** Ends the socket now. */
  destroy(cause: SocketEnd['cause'] = 'lost'): void {
    if (this.#state === 'closed') return
    if (this.#state === 'open') this.#end = { code: 1006, reason: '', cause }
    this.#state = 'closing'
    this.#stopKeepAlive()
    this.#socket.destroy()
  }

  ascii(buffer: Buffer, start: number, end: number): boolean {
    if (this.#state !== 'open') return false
    try {
      return this.#listener.onAscii?.(buffer, start, end) === true
    } catch (error) {
      this.#fault(error)
      return true
    }
  }

  text(buffer: Buffer, start: number, end: number): void {
    if (this.#state !== 'open') return
    try {
      this.#listener.onText(buffer, start, end)
    } catch (error) {
      this.#fault(error)
    }
  }

  binary(buffer: Buffer, start: number, end: number): void {
    if (this.#state !== 'open') return
    try {
      this.#listener.onBinary(buffer, start, end)
    } catch (error) {
      this.#fault(error)
    }
  }

  ping(payload: Buffer): void {
    if (this.#state === 'open') this.#control(OPCODE.pong, payload)
  }

  pong(): void {
    this.#hasHeard = true
  }

  closed(code: number, reason: string): void {
    if (this.#state === 'open') {
      this.#end = { code, reason, cause: 'closed' }
      this.#sendClose(code === 1005 ? 1000 : code, '')
    }
    this.#raw.end()
  }

  violation(code: number, reason: string): void {
    if (this.#state === 'open') this.#end = { code: 1006, reason, cause: 'violation' }
    this.#sendClose(code, reason)
    this.#raw.end()
  }

  /** [WC7] */
  #fault(error: unknown): void {
    this.#listener.onFault(error)
    this.destroy('fault')
  }

  #begin(payloadBytes: number): Buffer {
    const frame = frameOf(headBytesFor(payloadBytes, this.#masks) + payloadBytes)
    writeHead(frame, 0, OPCODE.text, payloadBytes, this.#masks)
    return frame
  }

  #finish(frame: Buffer, payloadBytes: number): void {
    if (this.#masks) this.#mask(frame, payloadBytes)
    this.#write(frame)
  }

  #mask(frame: Buffer, payloadBytes: number): void {
    const start = frame.length - payloadBytes
    const mask = freshMask()
    viewOf(frame).setInt32(start - 4, mask, true)
    applyMask(frame, start, frame.length, mask)
  }

  #write(frame: Buffer): void {
    if (this.#state !== 'open') return
    if (!this.#raw.write(frame)) giveUp(frame)
    if (this.bufferedBytes > this.#bufferedMaxBytes) this.destroy('overflow')
  }

  #control(opcode: number, payload: Buffer): void {
    const frame = frameOf(headBytesFor(payload.length, this.#masks) + payload.length)
    writeHead(frame, 0, opcode, payload.length, this.#masks)
    payload.copy(frame, frame.length - payload.length)
    this.#finish(frame, payload.length)
  }

  #sendClose(code: number, reason: string): void {
    if (this.#state !== 'open') return
    const text = Buffer.from(reason, 'utf8').subarray(0, 123)
    const payload = Buffer.allocUnsafe(2 + text.length)
    payload.writeUInt16BE(code, 0)
    text.copy(payload, 2)
    this.#control(OPCODE.close, payload)
    if (this.#state !== 'open') return
    this.#state = 'closing'
    this.#stopKeepAlive()
    this.#closeTimer = setTimeout(() => this.#socket.destroy(), CLOSE_TIMEOUT_MS)
    this.#closeTimer.unref()
  }

  #closed(): void {
    if (this.#state === 'closed') return
    this.#state = 'closed'
    this.#stopKeepAlive()
    clearTimeout(this.#closeTimer)
    this.#listener.onClosed(this.#end)
  }

  #stopKeepAlive(): void {
    this.#keptAlive?.wheel.cancel(this.#keptAlive.timer)
    this.#keptAlive = undefined
  }
}
