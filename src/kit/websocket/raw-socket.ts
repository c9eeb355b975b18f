// The bytes of one socket, past Node's stream queues: 50 frames a second each way pay for no queue and no allocation. Rules:
// RW1: all sockets read into one buffer (memory.ts); what is read is valid only during the call.
// RW2: a write goes to the kernel at once, unless something waits before it: then it waits in the stream's queue, in order.
// RW3: memory of a write belongs to the caller again when `write` says so; otherwise to the socket until it has gone out.
// RW4: a TLS socket, or one whose handle is not at hand, reads through its stream; a TLS socket also writes through it.
import { Socket } from 'node:net'
import { READ } from './memory.ts'

/** What a Writable implements (`_write` of node:stream), called without the queue in front of it. */
interface DirectStream {
  _write(chunk: Buffer, encoding: string, callback: (error?: Error | null) => void): void
}

/** Takes `lengthBytes` bytes from the beginning of `buffer`. */
export type TakeBytes = (buffer: Buffer, lengthBytes: number) => void

export class RawSocket {
  /** The socket to listen to and to end; it is not the one that was given when that one was adopted. */
  readonly stream: Socket
  readonly #isTls: boolean
  /** Lengths of direct writes that the kernel has not taken yet, in order. */
  readonly #pending: number[] = []
  #pendingBytes = 0
  #isInCall = false
  #isWritten = false

  constructor(socket: Socket, take: TakeBytes) {
    this.#isTls = 'encrypted' in socket
    const adopted = this.#isTls ? undefined : adopt(socket, take)
    this.stream = adopted ?? socket
    if (adopted === undefined) socket.on('data', (chunk: Buffer) => take(chunk, chunk.length))
  }

  /** Bytes that wait in this process to be sent. */
  get bufferedBytes(): number {
    return this.stream.writableLength + this.#pendingBytes
  }

  /** Sends `bytes`. True when they are out: their memory may be used again at once (RW3). */
  write(bytes: Buffer): boolean {
    // A TLS socket takes one write at a time (a second one ends the process): its stream's queue is needed.
    if (this.#isTls || this.stream.writableLength > 0) {
      this.stream.write(bytes)
      return false
    }
    this.#isInCall = true
    this.#isWritten = false
    ;(this.stream as unknown as DirectStream)._write(bytes, 'buffer', this.#onWritten)
    this.#isInCall = false
    if (this.#isWritten) return true
    this.#pending.push(bytes.length)
    this.#pendingBytes += bytes.length
    return false
  }

  readonly #onWritten = (error?: Error | null): void => {
    if (this.#isInCall) this.#isWritten = true
    else this.#pendingBytes -= this.#pending.shift() ?? 0
    if (error) this.stream.destroy()
  }
}

/** Takes the handle out of `socket` into one that reads into READ; undefined when it has none. */
function adopt(socket: Socket, take: TakeBytes): Socket | undefined {
  const holder = socket as unknown as { _handle: object | null }
  const handle = holder._handle
  if (
    handle === null ||
    typeof handle !== 'object' ||
    socket.destroyed ||
    socket.connecting ||
    socket.readableLength > 0
  )
    return undefined
  holder._handle = null
  const adopted = new Socket({
    handle,
    readable: true,
    writable: true,
    onread: {
      buffer: READ.bytes,
      callback: (lengthBytes: number) => {
        take(READ.bytes, lengthBytes)
        return true
      },
    },
  } as ConstructorParameters<typeof Socket>[0])
  socket.destroy()
  return adopted
}
