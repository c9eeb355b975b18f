// The bytes of one socket, past Node's stream queues: 50 frames a second each way pay for no queue and no allocation. Rules:
// RW1: all sockets read into one buffer (memory.ts); what is read is valid only during the call.
// RW2: a write goes to the kernel at once, unless something waits before it: then it waits behind that, in order.
// RW3: memory of a write belongs to the caller again when `write` says so; otherwise to the socket until it has gone out.
// RW4: a socket whose handle is not at hand reads and writes through its stream.
// RW5: a TLS socket reads into the shared buffer too, and writes as tls-writes.ts says; while its stream still has writes under way,
//      writes go through the stream.
import { Socket } from 'node:net'
import { READ } from './memory.ts'
import { TlsWrites } from './tls-writes.ts'
import { canWriteTo, type WriteHandle, writeTo } from './write-request.ts'

/** Takes `lengthBytes` bytes from the beginning of `buffer`. */
type TakeBytes = (buffer: Buffer, lengthBytes: number) => void

/** How the bytes of a socket go out. */
type Out =
  | { kind: 'plain'; handle: WriteHandle }
  | { kind: 'tls'; handle: WriteHandle; writes: TlsWrites | undefined }
  | { kind: 'stream' }

export class RawSocket {
  /** The socket to listen to and to end; it is not the one that was given when that one was adopted. */
  readonly stream: Socket
  readonly #out: Out

  constructor(socket: Socket, take: TakeBytes) {
    const isTls = 'encrypted' in socket
    const adopted = isTls ? undefined : adopt(socket, take)
    this.stream = adopted ?? socket
    if (adopted === undefined && !(isTls && readShared(socket, take)))
      socket.on('data', (chunk: Buffer) => take(chunk, chunk.length))
    this.#out = outOf(this.stream, adopted !== undefined, isTls)
  }

  /** Bytes that wait in this process to be sent. */
  get bufferedBytes(): number {
    const out = this.#out
    const streamBytes = this.stream.writableLength
    if (this.stream.destroyed || out.kind === 'stream') return streamBytes
    return streamBytes + (out.kind === 'plain' ? out.handle.writeQueueSize : (out.writes?.bufferedBytes ?? 0))
  }

  /** Sends `bytes`. True when they are out: their memory may be used again at once (RW3). */
  write(bytes: Buffer): boolean {
    if (this.stream.destroyed) return true
    const out = this.#out
    if (out.kind === 'stream' || this.stream.writableLength > 0) {
      this.stream.write(bytes)
      return false
    }
    if (out.kind === 'tls') {
      out.writes ??= new TlsWrites(this.stream, out.handle)
      out.writes.write(bytes)
      return true
    }
    const written = writeTo(out.handle, bytes, this.#fail)
    if (written === 'failed') this.#fail()
    return written !== 'waits'
  }

  /** Ends the stream once what was sent is out. */
  end(): void {
    if (this.#out.kind === 'tls' && this.#out.writes !== undefined) this.#out.writes.end()
    else this.stream.end()
  }

  readonly #fail = (): void => {
    this.stream.destroy()
  }
}

function outOf(stream: Socket, isAdopted: boolean, isTls: boolean): Out {
  const handle = handleOf(stream)
  if (!canWriteTo(handle)) return { kind: 'stream' }
  if (isAdopted) return { kind: 'plain', handle }
  const isTlsHandle = isTls && handle.constructor.name === 'TLSWrap'
  return isTlsHandle ? { kind: 'tls', handle, writes: undefined } : { kind: 'stream' }
}

/** Lets the TLS socket read into READ; false when this Node has other insides. Its stream stays: it knows how TLS ends. */
function readShared(socket: Socket, take: TakeBytes): boolean {
  const handle = handleOf(socket) as { useUserBuffer?(buffer: Buffer): void } | null
  const symbols = Object.getOwnPropertySymbols(socket)
  const [buffer, callback] = ['kBuffer', 'kBufferCb'].map((name) => symbols.find((one) => one.description === name))
  if (buffer === undefined || callback === undefined || typeof handle?.useUserBuffer !== 'function') return false
  if (socket.destroyed || socket.connecting || socket.readableLength > 0) return false
  handle.useUserBuffer(READ.bytes)
  Object.assign(socket, {
    [buffer]: READ.bytes,
    [callback]: (lengthBytes: number) => {
      take(READ.bytes, lengthBytes)
      return true
    },
  })
  socket.resume()
  return true
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
