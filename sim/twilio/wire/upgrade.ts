// The carrier's WebSocket handshake.
// U1: no Origin, no subprotocol, no extension; `x-twilio-signature` in lower case over the announced URL.
// U2: the Host header is the announced one, as a proxy in front of the plane would pass it on.
// U3: an answer other than 101, a refused connection or HANDSHAKE_MS_MAX without an answer is an outcome with its code.

import { createHash, randomBytes } from 'node:crypto'
import { request as httpRequest } from 'node:http'
import { request as httpsRequest } from 'node:https'
import type { Socket } from 'node:net'

const HANDSHAKE_MS_MAX = 10_000
/** Characters of a refusal's body that are kept. */
const BODY_CHARS_MAX = 300
const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'

type Upgrade =
  | { kind: 'open'; socket: Socket; head: Buffer }
  | { kind: 'refused'; status?: number; errorCode: number; text: string }

function errorCodeOf(error: NodeJS.ErrnoException): number {
  if (error.code === 'ECONNREFUSED') return 31902
  if (error.code === 'EHOSTUNREACH' || error.code === 'ENOTFOUND') return 31904
  if (error.code === 'EPIPE' || error.code === 'ECONNRESET') return 31903
  if (error.code !== undefined && /^ERR_(TLS|SSL)|^EPROTO$|CERT|LEAF_SIGNATURE/.test(error.code)) return 31910
  return 31900
}

/** An error of the network as text; Node leaves the message empty when several addresses failed. */
export function describeError(error: NodeJS.ErrnoException): string {
  const { code, message } = error
  if (message === '') return code ?? 'unknown error'
  return code === undefined || message.includes(code) ? message : `${code}: ${message}`
}

/** Opens a WebSocket to `dialUrl` in the name of `announcedUrl`. Never rejects. */
export function openWebSocket(announcedUrl: string, dialUrl: string, signature: string): Promise<Upgrade> {
  const target = new URL(dialUrl)
  const isSecure = target.protocol === 'wss:'
  const key = randomBytes(16).toString('base64')
  const accept = createHash('sha1')
    .update(key + GUID)
    .digest('base64')
  return new Promise((resolve) => {
    const request = (isSecure ? httpsRequest : httpRequest)({
      host: target.hostname,
      port: target.port === '' ? (isSecure ? 443 : 80) : Number(target.port),
      path: target.pathname + target.search,
      agent: false,
      headers: {
        Host: new URL(announcedUrl).host,
        Connection: 'Upgrade',
        Upgrade: 'websocket',
        'User-Agent': 'TwilioMediaGateway-simulated',
        'Sec-WebSocket-Version': '13',
        'Sec-WebSocket-Key': key,
        'x-twilio-signature': signature,
      },
    })
    const limit = setTimeout(() => {
      resolve({ kind: 'refused', errorCode: 31901, text: 'no answer to the handshake' })
      request.destroy()
    }, HANDSHAKE_MS_MAX)
    request.once('upgrade', (response, socket, head) => {
      clearTimeout(limit)
      if (response.headers['sec-websocket-accept'] !== accept) {
        socket.destroy()
        resolve({ kind: 'refused', status: 101, errorCode: 31920, text: 'wrong Sec-WebSocket-Accept' })
      } else resolve({ kind: 'open', socket: socket as Socket, head })
    })
    request.once('response', (response) => {
      const status = response.statusCode ?? 0
      let body = ''
      const refused = (): void => {
        clearTimeout(limit)
        const said = body.replace(/\s+/g, ' ').trim().slice(0, BODY_CHARS_MAX)
        const text = `handshake answered ${status}${said === '' ? '' : `: ${said}`}`
        resolve({ kind: 'refused', status, errorCode: 31920, text })
        request.destroy()
      }
      response.setEncoding('utf8').on('data', (text: string) => {
        body += text
        if (body.length >= BODY_CHARS_MAX) refused()
      })
      response.once('end', refused)
      response.once('error', refused)
    })
    request.on('error', (error: NodeJS.ErrnoException) => {
      clearTimeout(limit)
      resolve({ kind: 'refused', errorCode: errorCodeOf(error), text: describeError(error) })
    })
    request.end()
  })
}
