// The client's half of the WebSocket handshake (RFC 6455 §4.1). Rules:
// WD1: a dial ends in exactly one outcome: open, refused (HTTP status and body) or failed; it is bounded by `timeoutMs`.
// WD2: TLS sessions are resumed across dials through one agent per process, with one context.
// WD3: the status of a refusal decides; its body is read for at most REFUSAL_BODY_MAX_MS within the bound of the dial, up to
//      REFUSAL_BODY_MAX_BYTES, and handed on as far as it came.
import { randomBytes } from 'node:crypto'
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { request as httpsRequest, Agent as TlsAgent } from 'node:https'
import type { Socket } from 'node:net'
import { createSecureContext } from 'node:tls'
import { acceptValue } from './accept.ts'

const REFUSAL_BODY_MAX_BYTES = 16_384
const REFUSAL_BODY_MAX_MS = 1_000

/** What became of a dial. */
export type DialOutcome =
  | { kind: 'open'; socket: Socket; head: Buffer }
  | { kind: 'refused'; status: number; body: string; retryAfterMs: number | undefined }
  | { kind: 'failed'; reason: string }

let tlsAgent: TlsAgent | undefined

/** One context for all dials: one of its own would cost each link some 15 kB for as long as it is open (decision 014). */
function agentForTls(): TlsAgent {
  const options = { keepAlive: false, maxCachedSessions: 100 }
  tlsAgent ??= new TlsAgent({ ...options, secureContext: createSecureContext() })
  return tlsAgent
}

/**
 * Opens a WebSocket to `url` (ws: or wss:). Calls `done` exactly once.
 * @returns a function that gives the dial up; `done` is then called with `failed`.
 */
export function dial(
  url: URL,
  options: { headers: Record<string, string>; timeoutMs: number },
  done: (outcome: DialOutcome) => void,
): () => void {
  const key = randomBytes(16).toString('base64')
  const isTls = url.protocol === 'wss:'
  const request = (isTls ? httpsRequest : httpRequest)({
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: url.port || (isTls ? 443 : 80),
    path: url.pathname + url.search,
    ...(isTls ? { agent: agentForTls() } : { agent: false }),
    headers: {
      ...options.headers,
      Connection: 'Upgrade',
      Upgrade: 'websocket',
      'Sec-WebSocket-Version': '13',
      'Sec-WebSocket-Key': key,
    },
  })
  let isDone = false
  const finish = (outcome: DialOutcome): void => {
    if (isDone) return
    isDone = true
    clearTimeout(timer)
    if (outcome.kind !== 'open') request.destroy()
    done(outcome)
  }
  const endsAtMs = performance.now() + options.timeoutMs
  let timer = setTimeout(() => finish({ kind: 'failed', reason: 'timed out' }), options.timeoutMs)
  request.on('error', (error) => finish({ kind: 'failed', reason: error.message }))
  request.on('response', (response) => {
    if (isDone) return
    const refuse = readRefusal(response, finish)
    clearTimeout(timer)
    timer = setTimeout(refuse, Math.min(REFUSAL_BODY_MAX_MS, Math.max(0, endsAtMs - performance.now())))
  })
  request.on('upgrade', (response, socket, head) => {
    if (isDone) socket.destroy()
    else if (response.headers['sec-websocket-accept'] !== acceptValue(key)) {
      socket.destroy()
      finish({ kind: 'failed', reason: 'the accept header does not match' })
    } else finish({ kind: 'open', socket: socket as Socket, head })
  })
  request.end()
  return () => finish({ kind: 'failed', reason: 'given up' })
}

/** Reads the body of a refusal (WD3). Returns what ends the reading: the refusal with what has come. */
function readRefusal(response: IncomingMessage, finish: (outcome: DialOutcome) => void): () => void {
  let body = ''
  response.setEncoding('utf8')
  const retryAfter = Number(response.headers['retry-after'])
  const retryAfterMs = Number.isFinite(retryAfter) && retryAfter > 0 ? retryAfter * 1000 : undefined
  const end = (): void => finish({ kind: 'refused', status: response.statusCode ?? 0, body, retryAfterMs })
  response.on('data', (part: string) => {
    body += part.slice(0, REFUSAL_BODY_MAX_BYTES - body.length)
    if (body.length >= REFUSAL_BODY_MAX_BYTES) end()
  })
  response.on('end', end)
  response.on('error', end)
  return end
}
