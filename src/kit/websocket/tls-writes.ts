// The writes of one TLS socket, past its stream: Node's TLS handle has encrypted or copied what it was given when it returns, so
// nothing needs to be kept for it. Rules:
// TLW1: memory of a write belongs to the caller again at once, however long the bytes wait.
// TLW2: the handle has one write at a time (a second one would abort the process): what is sent meanwhile is copied into pooled
//      blocks, in order, and leaves together when the write is over, up to WRITE_MAX_BYTES at a time.
// TLW3: an end waits for all that was sent before it.
import type { Socket } from 'node:net'
import { ByteQueue } from '../byte-queue.ts'
import { makeRequest, type WriteHandle, type WriteRequest } from './write-request.ts'

/** The longest plaintext of one TLS record. */
const WRITE_MAX_BYTES = 16_384

export class TlsWrites {
  readonly #stream: Socket
  readonly #handle: WriteHandle
  readonly #waiting = new ByteQueue()
  /** They take turns: a request may be used again only once the write after it is over. */
  #request: WriteRequest
  #nextRequest: WriteRequest
  /** Bytes that the handle has and whose end it has not told; 0 when it is free. */
  #writingBytes = 0
  #ends = false

  /** `handle` is the TLS handle of `stream`; nothing else writes to `stream` from now on. */
  constructor(stream: Socket, handle: WriteHandle) {
    this.#stream = stream
    this.#handle = handle
    this.#request = this.#newRequest()
    this.#nextRequest = this.#newRequest()
    stream.once('close', () => this.#waiting.clear())
  }

  /** Bytes that wait in this process to be sent. */
  get bufferedBytes(): number {
    return this.#writingBytes + this.#waiting.length
  }

  /** Sends `bytes`, at least one; the memory is the caller's again on return (TLW1). */
  write(bytes: Buffer): void {
    if (this.#writingBytes > 0) this.#waiting.push(bytes)
    else this.#start(bytes)
  }

  /** Ends the stream once all has been written (TLW3). */
  end(): void {
    if (this.#writingBytes > 0) this.#ends = true
    else this.#stream.end()
  }

  #start(bytes: Buffer): void {
    const request = this.#request
    this.#request = this.#nextRequest
    this.#nextRequest = request
    this.#writingBytes = bytes.length
    if (this.#handle.writeBuffer(request, bytes) !== 0) this.#stream.destroy()
  }

  #newRequest(): WriteRequest {
    const request = makeRequest()
    request.oncomplete = this.#over
    return request
  }

  readonly #over = (status: number): void => {
    this.#writingBytes = 0
    if (this.#stream.destroyed) return
    if (status < 0) this.#stream.destroy()
    else if (this.#waiting.length > 0) this.#start(this.#waiting.shift(WRITE_MAX_BYTES))
    else if (this.#ends) this.#stream.end()
  }
}
