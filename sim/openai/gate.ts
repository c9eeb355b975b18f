// The decision at the upgrade: who may open a session. Rules:
// U1: path, model, key, refusals and ceiling are judged before the 101; a refusal is an HTTP status with the API's JSON body.
// U2: the beta header is let in, told off by an error event, and closed with 4000, as observed of the real service.
// U3: `ceilingMode` 'after-upgrade' lets the session in and refuses it by an error event, as the real service also does.
import type { IncomingMessage } from 'node:http'
import type { Faults, OpenAiSimOptions } from './options.ts'

const PATHS = new Set(['/v1/realtime', '/openai/v1/realtime'])

/** Refused after the 101: an error event with `code`, then a close. */
export type Farewell = { type: string; code: string; message: string; closeCode: number; closeReason: string }

type Verdict =
  | { kind: 'open'; model: string }
  | { kind: 'refused'; status: number; type: string; code: string; message: string }
  | { kind: 'farewell'; farewell: Farewell }

/** Judges an upgrade request; counts down `faults.refuse`. */
export function judge(request: IncomingMessage, options: OpenAiSimOptions, faults: Faults, live: number): Verdict {
  const url = new URL(request.url ?? '/', 'http://sim')
  if (!PATHS.has(url.pathname)) return refused(404, 'not_found', `Invalid URL (GET ${url.pathname})`)
  const fault = takeRefusal(faults)
  if (fault !== undefined) return fault
  const key = keyOf(request)
  if (key === undefined) return refused(401, 'missing_api_key', 'Missing bearer authentication in header')
  if (options.badKeys.includes(key)) return refused(401, 'invalid_api_key', 'Incorrect API key provided.')
  if (/realtime=v1/.test(String(request.headers['openai-beta'] ?? ''))) return { kind: 'farewell', farewell: BETA }
  const model = url.searchParams.get('model')
  if (model === null || model === '') return refused(400, 'missing_model', 'You must provide a model parameter.')
  if (live < options.ceiling) return { kind: 'open', model }
  return options.ceilingMode === 'upgrade'
    ? refused(429, 'rate_limit_exceeded', CEILING.message)
    : { kind: 'farewell', farewell: CEILING }
}

const BETA: Farewell = {
  type: 'invalid_request_error',
  code: 'beta_api_shape_disabled',
  message: 'The Realtime beta API is no longer supported. Please use the GA API.',
  closeCode: 4000,
  closeReason: 'invalid_request_error.beta_api_shape_disabled',
}

const CEILING: Farewell = {
  type: 'rate_limit_error',
  code: 'rate_limit_exceeded',
  message: 'You have too many concurrent sessions. Close one and try again.',
  closeCode: 4429,
  closeReason: 'rate_limit_error.rate_limit_exceeded',
}

/** The HTTP answer of a refusal, whole. */
export function refusalBytes(verdict: Extract<Verdict, { kind: 'refused' }>, statusText: string): string {
  const { status, type, code, message } = verdict
  const body = JSON.stringify({ error: { message, type, param: null, code } })
  const head = [
    `HTTP/1.1 ${status} ${statusText}`,
    'content-type: application/json',
    `content-length: ${Buffer.byteLength(body)}`,
    ...(status === 429 ? ['retry-after: 1'] : []),
    'connection: close',
  ]
  return `${head.join('\r\n')}\r\n\r\n${body}`
}

function keyOf(request: IncomingMessage): string | undefined {
  const bearer = /^Bearer (\S+)$/.exec(request.headers.authorization ?? '')?.[1]
  const azure = request.headers['api-key']
  const protocols = (request.headers['sec-websocket-protocol'] ?? '').split(',').map((name) => name.trim())
  const browser = protocols.find((name) => name.startsWith('openai-insecure-api-key.'))?.slice(24)
  return bearer ?? (typeof azure === 'string' ? azure : undefined) ?? browser
}

function takeRefusal(faults: Faults): Verdict | undefined {
  const fault = faults.refuse
  if (fault === null || fault.count === 0) return undefined
  if (fault.count > 0) fault.count -= 1
  return refused(fault.status, fault.code, `The simulator was told to refuse with ${fault.status}.`)
}

function refused(status: number, code: string, message: string): Verdict {
  const type = status >= 500 ? 'server_error' : status === 429 ? 'rate_limit_error' : 'invalid_request_error'
  return { kind: 'refused', status, type, code, message }
}
