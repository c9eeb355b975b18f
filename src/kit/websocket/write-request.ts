// What the kernel is asked with to take bytes: Node makes such an object for each write, though it is needed only by a
// write that has to wait. Rules:
// WRQ1: a write that was taken whole leaves its request as it was: the next write uses it again.
// WRQ2: a write that waits keeps its request and its memory until it is over; the next one gets another request.
import { Socket } from 'node:net'

/** The handle below a socket of node:net or node:tls. */
export interface WriteHandle {
  /** 0, or a negative code of libuv. */
  writeBuffer(request: WriteRequest, bytes: Buffer): number
  /** Bytes that the kernel has not taken yet. */
  readonly writeQueueSize: number
}

/** Node's WriteWrap. */
export interface WriteRequest {
  oncomplete?: (status: number) => void
  /** Keeps the memory from being collected. */
  buffer?: Buffer
}

type RequestClass = new () => WriteRequest

const RequestOfNode = classOfRequests()
let idle: WriteRequest | undefined = RequestOfNode && new RequestOfNode()

/** A request of its own for a caller that keeps it; only when `canWriteTo` was true. */
export function makeRequest(): WriteRequest {
  return new (RequestOfNode as RequestClass)()
}

/** True when `handle` is one that `writeTo` can write to. */
export function canWriteTo(handle: object | null): handle is WriteHandle {
  return idle !== undefined && handle !== null && 'writeBuffer' in handle && 'writeQueueSize' in handle
}

/** What became of a write: out, waiting in the handle, or refused. */
type Written = 'out' | 'waits' | 'failed'

/** Hands `bytes` to the kernel; `onFailed` is called when a write that had to wait fails later. */
export function writeTo(handle: WriteHandle, bytes: Buffer, onFailed: () => void): Written {
  const request = idle as WriteRequest
  if (handle.writeBuffer(request, bytes) !== 0) return 'failed'
  if (handle.writeQueueSize === 0) return 'out'
  request.buffer = bytes
  request.oncomplete = (status) => {
    if (status < 0) onFailed()
  }
  idle = makeRequest()
  return 'waits'
}

/** Node gives the class to nobody: it is taken from a write to a handle that is none. */
function classOfRequests(): RequestClass | undefined {
  let found: RequestClass | undefined
  const take = (request: WriteRequest): number => {
    found = request.constructor as RequestClass
    return 0
  }
  const handle = { writeUtf8String: take, readStop: () => 0, close: (done: () => void) => done() }
  const options: object = { handle, readable: false, writable: true }
  const socket = new Socket(options)
  socket.on('error', () => undefined)
  try {
    socket.write('.', 'utf8')
  } catch {
    // Another Node, other insides: RawSocket writes through the stream then.
  }
  socket.destroy()
  return found
}
