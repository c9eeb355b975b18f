// The way in for webhooks: bound, signature, body; and the way out of their answers. Keeps WH1, WH5 and WH6.
import type { FastifyReply, FastifyRequest } from 'fastify'
import { messageOf } from '../../../kit/errors.ts'
import type { CallSid } from '../../../kit/ids.ts'
import { type Log, sampled } from '../../../kit/log.ts'
import type { FormFields, Signatures } from '../signature.ts'
import { empty } from './twiml.ts'

const OVERLOAD_RETRY_SECONDS = 1
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

export class Entry {
  readonly #parts: { signatures: Signatures; isChecked: boolean; inFlightMax: number; log: Log }
  #inFlight = 0
  #isOverloaded = false

  constructor(parts: { signatures: Signatures; isChecked: boolean; inFlightMax: number; log: Log }) {
    this.#parts = { ...parts, log: sampled(parts.log) }
  }

  /** Counts the request in, and refuses it unread when there are too many or when it bears no signature. */
  enter(request: FastifyRequest, reply: FastifyReply): FastifyReply | undefined {
    const { inFlightMax, isChecked, log } = this.#parts
    if (this.#inFlight >= inFlightMax) {
      if (!this.#isOverloaded) log.warn({ code: 'WEBHOOK_OVERLOAD' }, 'webhooks refused, too many at once')
      this.#isOverloaded = true // one line for each run of refusals
      return send(reply, { status: 503, twiml: empty(), retryAfterSeconds: OVERLOAD_RETRY_SECONDS })
    }
    this.#isOverloaded = false
    this.#inFlight += 1
    reply.raw.once('close', () => {
      this.#inFlight -= 1
    })
    const isBare = isChecked && !request.headers['x-twilio-signature']
    return isBare ? send(reply, this.#refuse(request, 403, 'signature missing')) : undefined
  }

  /** A failure of reading as its status (400, 413, 415); undefined for anything else. */
  misread(error: unknown): Reply | undefined {
    const status = (error as { statusCode?: unknown }).statusCode
    if (typeof status !== 'number' || status < 400 || status >= 500) return undefined
    this.#parts.log.warn({ status, reason: messageOf(error), code: 'WEBHOOK_REFUSED' }, 'webhook refused')
    return { status, twiml: empty() }
  }

  /** Verifies and reads a webhook, then answers it with `answer`. */
  async answer(request: FastifyRequest, answer: (webhook: Webhook) => Promise<Reply>): Promise<Reply> {
    const reading = this.#read(request)
    if (reading.kind === 'refused') return this.#refuse(request, reading.status, reading.reason)
    return answer(reading)
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
      parameters[name] = typeof value === 'string' ? value : String(value.at(-1) ?? '')
    }
    return { kind: 'read', callSid: callSid as CallSid, parameters }
  }

  #refuse(request: FastifyRequest, status: 400 | 403, reason: string): Reply {
    const path = request.routeOptions.url
    this.#parts.log.warn({ status, reason, path, peer: request.ip, code: 'WEBHOOK_REFUSED' }, 'webhook refused')
    return { status, twiml: empty() }
  }
}
