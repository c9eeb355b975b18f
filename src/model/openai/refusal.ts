// What a refusal or an end of the provider's link means: try again, or not. Rules:
// RF1: only what another try cannot mend is fatal: the key, the access, the model's name, the money, our own configuration.
// RF2: unknown codes are not fatal; the number of tries is bounded by the call.
// RF3: status 429, and the codes of quota and rate, say that the limit of this key is reached: another one may have room.
import type { SocketEnd } from '../../kit/websocket/connection.ts'
import type { DialOutcome } from '../../kit/websocket/dial.ts'
import type { LinkLoss } from '../route.ts'
import { record, text } from './wire.ts'

const FATAL_CODES = new Set([
  'invalid_api_key',
  'model_not_found',
  'insufficient_quota',
  'credit_balance_exhausted',
  'billing_hard_limit_reached',
  'access_denied',
  'OpperationNotSupported', // so spelt by Azure for a model that is not a realtime one
  'beta_api_shape_disabled',
])
const LIMIT_CODES = new Set([
  'rate_limit_exceeded',
  'insufficient_quota',
  'credit_balance_exhausted',
  'billing_hard_limit_reached',
])
const FATAL_STATUS = new Set([400, 401, 403, 404])

/** The loss that a failed dial is. */
export function lossOfDial(outcome: DialOutcome & { kind: 'refused' | 'failed' }): LinkLoss {
  if (outcome.kind === 'failed') return { code: 'SOCKET_LOST', fatal: false }
  const code = codeOfBody(outcome.body) ?? `http_${outcome.status}`
  const fatal = FATAL_CODES.has(code) || FATAL_STATUS.has(outcome.status)
  const isLimit = outcome.status === 429 || isLimitCode(code)
  const { retryAfterMs } = outcome
  return { code, fatal, ...(isLimit ? { isLimit } : {}), ...(retryAfterMs === undefined ? {} : { retryAfterMs }) }
}

/** The loss that the end of an open link is. `wasReady`: it had served. */
export function lossOfEnd(end: SocketEnd, wasReady: boolean): LinkLoss {
  const isPolicy = end.code === 1008 || (end.code >= 4000 && end.reason.includes('beta_api_shape_disabled'))
  const code = end.cause === 'closed' ? `close_${end.code}` : `socket_${end.cause}`
  return { code, fatal: isPolicy && !wasReady }
}

/** Does this error event end the session for good? */
export function isFatalCode(code: string): boolean {
  return FATAL_CODES.has(code)
}

/** Does this code say that no further session is let in (RF3)? */
export function isLimitCode(code: string): boolean {
  return LIMIT_CODES.has(code)
}

/** Codes that say only that the other side was faster: no error of anybody. */
export function isWeather(code: string): boolean {
  return code === 'response_cancel_not_active' || code === 'conversation_already_has_active_response'
}

function codeOfBody(body: string): string | undefined {
  try {
    const error = record(record(JSON.parse(body)).error)
    return text(error.code) || text(error.type) || undefined
  } catch {
    return undefined
  }
}
