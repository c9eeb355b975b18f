// The server's half of the WebSocket handshake (RFC 6455 §4.2). Rules:
// WA1: nothing but a correct upgrade request gets a 101; everything else gets a status and a closed socket.
// WA2: a refused socket is destroyed when its peer has closed, and REFUSED_LINGER_MS after the refusal at the latest.
import { createHash } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
/** Time for the refusal to reach the peer: a socket that is destroyed with bytes unread resets the connection. */
const REFUSED_LINGER_MS = 1_000
const KEY = /^[+/0-9A-Za-z]{22}==$/

/** The `Sec-WebSocket-Accept` value for a client's key. */
export function acceptValue(key: string): string {
  return createHash('sha1')
    .update(key + GUID)
    .digest('base64')
}

/** Checks an upgrade request; the text says what is wrong with it, undefined when nothing is. */
export function upgradeProblem(request: IncomingMessage): string | undefined {
  if (request.method !== 'GET') return 'method is not GET'
  if (request.httpVersion !== '1.1') return 'version of HTTP is not 1.1'
  if (request.headers.upgrade?.toLowerCase() !== 'websocket') return 'upgrade is not websocket'
  if (request.headers['sec-websocket-version'] !== '13') return 'version is not 13'
  const key = request.headers['sec-websocket-key']
  if (typeof key !== 'string' || !KEY.test(key)) return 'key is missing or malformed'
  return undefined
}

/** Answers 101. The request must have passed `upgradeProblem`. */
export function sendUpgrade(request: IncomingMessage, socket: Socket): void {
  const accept = acceptValue(request.headers['sec-websocket-key'] as string)
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
  )
}

/** Refuses an upgrade with an HTTP status and closes the socket; `body` says more than the status. Idempotent, never throws. */
export function refuseUpgrade(socket: Socket, status: number, reason: string, text = reason): void {
  const body = `${text}\n`
  socket.on('error', () => socket.destroy())
  socket.end(
    `HTTP/1.1 ${status} ${reason}\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  )
  destroyAfterLinger(socket)
}

/** [WA2] Ends a socket that has got its last answer. What its peer still sends is thrown away. */
function destroyAfterLinger(socket: Socket): void {
  if (socket.destroyed) return
  const timer = setTimeout(() => socket.destroy(), REFUSED_LINGER_MS)
  timer.unref()
  socket.once('close', () => clearTimeout(timer))
  // Unread bytes would hide the peer's end.
  socket.once('end', () => socket.destroy())
  socket.resume()
}
