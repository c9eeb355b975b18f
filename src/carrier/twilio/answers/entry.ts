// The way in for webhooks: signature, body, bound; and the way out of their answers. Keeps WH1, WH5, WH6 and WH13.
import type { IncomingMessage } from 'node:http'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { messageOf } from '../../../kit/errors.ts'
import type { CallSid } from '../../../kit/ids.ts'
import { type Log, sampled } from '../../../kit/log.ts'
import { type FormFields, hasSignature, type Signatures } from '../signature.ts'
import { uncheckedProblem } from '../unchecked.ts'
import { empty } from './twiml.ts'

const OVERLOAD_RETRY_SECONDS = 1
const FORGED = 'signature forged'
const FORGED_FIX =
  'if the carrier sent it, PUBLIC_BASE_URL is not the address that it calls, or TWILIO_AUTH_TOKEN is another account’s'
const OTHER_ACCOUNT = 'another account'
const OTHER_ACCOUNT_FIX = 'set TWILIO_ACCOUNT_SID to the account, or subaccount, that has the number'
const PATH_LOGGED_MAX = 100
/** [WH12] A SIP address with its parameters has room. */
const ADDRESS_MAX = 256
const ADDRESSES: ReadonlySet<string> = new Set(['From', 'To', 'Caller', 'Called', 'ForwardedFrom'])
const NAME_MAX = 256
const NAMES: ReadonlySet<string> = new Set([
  ...['CallerName', 'Direction', 'StreamError'],
  ...['From', 'To', 'Caller', 'Called'].flatMap((of) => ['City', 'State', 'Zip', 'Country'].map((part) => of + part)),
])
const CALL_SID = /^CA[0-9a-f]{32}$/

/** What is sent to the carrier. */
export type Reply = { status: number; twiml: string; retryAfterSeconds?: number }
/** A verified webhook. `parameters` are its fields, those of the URL's query included. */
export type Webhook = { callSid: CallSid; parameters: Record<string, string> }

type Reading = ({ kind: 'read' } & Webhook) | { kind: 'refused'; status: 400 | 403; reason: string }

/** A document with status 200. */
export const ok = (twiml: string): Reply => ({ status: 200, twiml })

/** Sends a reply as XML. */
export function send(reply: FastifyReply, { status, twiml, retryAfterSeconds }: Reply): FastifyReply {
  if (retryAfterSeconds !== undefined) reply.header('retry-after', String(retryAfterSeconds))
  return reply.code(status).type('text/xml; charset=utf-8').send(twiml)
}

/** What the way in needs. */
type EntryParts = {
  signatures: Signatures
  /** The public address that signatures are checked against. */
  baseUrl: () => string
  isChecked: boolean
  /** The only account whose webhooks are taken; undefined: any with a right signature. */
  accountSid?: string | undefined
  inFlightMax: number
  log: Log
  /** A request has shown a right signature. */
  onAuthenticated?: (request: IncomingMessage) => void
  onRefused?: (reason: string) => void
}

export class Entry {
  readonly #parts: EntryParts
  #inFlight = 0
  #isOverloaded = false

  constructor(parts: EntryParts) {
    this.#parts = { ...parts, log: sampled(parts.log) }
  }

  /** Refuses a request before its body when it bears nothing that can be a signature, or is a page's while none is needed. */
  enter(request: FastifyRequest, reply: FastifyReply): FastifyReply | undefined {
    if (!this.#parts.isChecked) {
      const problem = uncheckedProblem(request.headers)
      return problem === undefined ? undefined : this.refuse(reply, this.#refuse(request, 403, problem))
    }
    const { 'x-twilio-signature': header } = request.headers
    if (hasSignature(header)) return undefined
    const reason = header === undefined || header.length === 0 ? 'signature missing' : FORGED
    return this.refuse(reply, this.#refuse(request, 403, reason))
  }

  /** Sends a refusal; a body that is not there yet is not waited for. */
  refuse(reply: FastifyReply, refusal: Reply): FastifyReply {
    if (!reply.request.raw.complete) reply.header('connection', 'close')
    return send(reply, refusal)
  }

  /** [WH10] */
  wrongMethod(request: FastifyRequest, reply: FastifyReply): FastifyReply {
    this.#parts.onRefused?.('method')
    const [path] = request.url.slice(0, PATH_LOGGED_MAX).split('?')
    const { method } = request
    this.#parts.log.warn(
      { status: 405, method, path, code: 'WEBHOOK_REFUSED' },
      'webhook refused: set the webhook of the number to HTTP POST at the carrier',
    )
    return send(reply.header('allow', 'POST'), { status: 405, twiml: empty() })
  }

  /** A failure of reading as its status (400, 413, 415); undefined for anything else. */
  misread(error: unknown): Reply | undefined {
    const status = (error as { statusCode?: unknown }).statusCode
    if (typeof status !== 'number' || status < 400 || status >= 500) return undefined
    this.#parts.onRefused?.('unreadable')
    this.#parts.log.warn({ status, reason: messageOf(error), code: 'WEBHOOK_REFUSED' }, 'webhook refused')
    return { status, twiml: empty() }
  }

  /** Verifies and reads a webhook, then answers it with `answer`; only then it takes a place (WH5). */
  async answer(request: FastifyRequest, answer: (webhook: Webhook) => Promise<Reply>): Promise<Reply> {
    const { inFlightMax, log, onAuthenticated } = this.#parts
    const reading = this.#read(request)
    if (reading.kind === 'refused') return this.#refuse(request, reading.status, reading.reason)
    onAuthenticated?.(request.raw)
    if (this.#inFlight >= inFlightMax) {
      if (!this.#isOverloaded) log.warn({ code: 'WEBHOOK_OVERLOAD' }, 'webhooks refused, too many at once')
      this.#isOverloaded = true // one line for each run of refusals
      return { status: 503, twiml: empty(), retryAfterSeconds: OVERLOAD_RETRY_SECONDS }
    }
    this.#isOverloaded = false
    this.#inFlight += 1
    try {
      return await answer(reading)
    } finally {
      this.#inFlight -= 1
    }
  }

  #read(request: FastifyRequest): Reading {
    const fields = (request.body ?? {}) as FormFields
    const signature = request.headers['x-twilio-signature']
    const path = request.raw.url ?? ''
    const result = this.#parts.signatures.form({ path, fields, signature })
    if (result.kind !== 'valid') return { kind: 'refused', status: 403, reason: `signature ${result.kind}` }
    const callSid = fields.CallSid
    if (typeof callSid !== 'string' || !CALL_SID.test(callSid)) {
      return { kind: 'refused', status: 400, reason: 'no readable Call SID' }
    }
    const { callSid: named } = request.params as { callSid?: string }
    if (named !== undefined && named !== callSid)
      return { kind: 'refused', status: 400, reason: 'path of another call' }
    const parameters: Record<string, string> = Object.create(null)
    for (const [name, value] of Object.entries({ ...(request.query as FormFields), ...fields })) {
      const text = typeof value === 'string' ? value : String(value.at(-1) ?? '')
      if (ADDRESSES.has(name) && text.length > ADDRESS_MAX) {
        return { kind: 'refused', status: 400, reason: `${name} is too long` }
      }
      parameters[name] = NAMES.has(name) ? text.slice(0, NAME_MAX) : text
    }
    const { accountSid } = this.#parts
    const { AccountSid: told = accountSid } = parameters
    if (accountSid !== undefined && told !== accountSid) return { kind: 'refused', status: 403, reason: OTHER_ACCOUNT }
    return { kind: 'read', callSid: callSid as CallSid, parameters }
  }

  #refuse(request: FastifyRequest, status: 400 | 403, reason: string): Reply {
    const path = request.routeOptions.url
    this.#parts.onRefused?.(reason)
    // What was checked, without the query and what strangers write: a wrong PUBLIC_BASE_URL looks like a forgery.
    const checked = reason === FORGED ? { checkedUrl: `${this.#parts.baseUrl()}${path}`, fix: FORGED_FIX } : {}
    const account = reason === OTHER_ACCOUNT ? { fix: OTHER_ACCOUNT_FIX } : {}
    const fields = { status, reason, path, peer: request.ip, code: 'WEBHOOK_REFUSED', ...checked, ...account }
    this.#parts.log.warn(fields, 'webhook refused')
    return { status, twiml: empty() }
  }
}
