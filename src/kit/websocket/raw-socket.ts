// The bytes of one socket, past Node's stream queues: 50 frames a second each way pay for no queue and no allocation. Rules:
// RW1: all sockets read into one buffer (memory.ts); what is read is valid only during the call.
// RW2: a write goes to the kernel at once, unless something waits before it: then it waits behind that, in order.
// RW3: memory of a write belongs to the caller again when `write` says so; otherwise to the socket until it has gone out.
// RW4: a TLS socket, or one whose handle is not at hand, reads and writes through its stream.
import { Socket } from 'node:net'
import { READ } from './memory.ts'
import { canWriteTo, type WriteHandle, writeTo } from './write-request.ts'

/** Takes `lengthBytes` bytes from the beginning of `buffer`. */
export type TakeBytes = (buffer: Buffer, lengthBytes: number) => void

export class RawSocket {
  /** The socket to listen to and to end; it is not the one that was given when that one was adopted. */
  readonly stream: Socket
  readonly #handle: WriteHandle | undefined

  constructor(socket: Socket, take: TakeBytes) {
    const adopted = 'encrypted' in socket ? undefined : adopt(socket, take)
    this.stream = adopted ?? socket
    if (adopted === undefined) socket.on('data', (chunk: Buffer) => take(chunk, chunk.length))
    const handle = adopted === undefined ? null : handleOf(adopted)
    this.#handle = canWriteTo(handle) ? handle : undefined
  }

  /** Bytes that wait in this process to be sent. */
  get bufferedBytes(): number {
    return (
      this.stream.writableLength +
      (this.#handle === undefined || this.stream.destroyed ? 0 : this.#handle.writeQueueSize)
    )
  }

  /** Sends `bytes`. True when they are out: their memory may be used again at once (RW3). */
  write(bytes: Buffer): boolean {
    if (this.stream.destroyed) return true
    if (this.#handle === undefined || this.stream.writableLength > 0) {
      this.stream.write(bytes)
      return false
    }
    const written = writeTo(this.#handle, bytes, this.#fail)
    if (written === 'failed') this.#fail()
    return written !== 'waits'
  }

  readonly #fail = (): void => {
    this.stream.destroy()
  }
}

function handleOf(socket: Socket): object | null {
  return (socket as unknown as { _handle: object | null })._handle
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
