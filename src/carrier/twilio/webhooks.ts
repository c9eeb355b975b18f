// Twilio's webhooks: what enters here is verified, read, asked of the desk, and answered as TwiML. Rules:
// WH1: no signature → 403 before the body is read; a wrong one → 403; a body or Call SID that cannot be read → 400 (413 too large).
// WH2: webhooks repeat (Twilio retries): the desk is idempotent by Call SID, and offers of one call at once share one answer.
// WH3: draining → 503 on /twilio/voice with Retry-After, so that Twilio takes its fallback URL; full → a sentence and the
//     end, or FALLBACK_NUMBER when set. A caller who is in hears a sentence, never an HTTP error.
// WH4: a desk that throws or does not answer within DESK_ANSWER_MS → an apology as TwiML and an error in the log.
// WH5: at WEBHOOKS_IN_FLIGHT_MAX requests at once a further one gets 503, and is not read.
// WH6: every answer is text/xml; personal data is logged under `pii.` only.
import formbody from '@fastify/formbody'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { messageOf, unreachable, VoiceError } from '../../kit/errors.ts'
import type { CallSid } from '../../kit/ids.ts'
import type { Log } from '../../kit/log.ts'
import type { CallDesk, StreamGrant } from './call-desk.ts'
import { type FormFields, makeSignatures, type Signatures } from './signature.ts'
import { busyAndHangUp, connectStream, empty, hangUp, sorryAndHangUp, transfer, unfitParameters } from './twiml.ts'

export const WEBHOOKS_IN_FLIGHT_MAX = 500 // of all four paths together (WH5)
export const WEBHOOK_BODY_MAX_BYTES = 65_536
const DESK_ANSWER_MS = 8_000 // Twilio gives up after 15 s with everything included (WH4)
const DRAIN_RETRY_SECONDS = 5
const OVERLOAD_RETRY_SECONDS = 1
const CALL_SID = /^CA[0-9a-f]{32}$/
const CALL_OVER = new Set(['completed', 'busy', 'failed', 'no-answer', 'canceled'])
const DIAL_DONE = new Set(['completed', 'answered'])

export type { Answer, CallDesk, CallOffer, NextStep, StreamGrant, WaitStep } from './call-desk.ts'

/** The part of the configuration that the webhooks read. */
export type WebhookConfig = {
  readonly http: { readonly publicBaseUrl: string }
  readonly twilio: {
    readonly signatureCheck: 'on' | 'off' | 'off-loopback'
    readonly authTokens: readonly string[]
    readonly fallbackNumber: string | undefined
  }
}

/** What the webhooks need. `baseUrl` overrides the configured public base (a port learnt at listen). */
export type WebhookOptions = {
  config: WebhookConfig
  desk: CallDesk
  log: Log
  baseUrl?: () => string
  signatures?: Signatures
  inFlightMax?: number
  deskAnswerMs?: number
}

type Reading =
  | { kind: 'read'; callSid: CallSid; parameters: Record<string, string> }
  | { kind: 'refused'; status: 400 | 403; reason: string }

type Reply = { status: number; twiml: string; retryAfterSeconds?: number }

/** The fastify plugin with POST /twilio/voice, /next, /status and /stream-status. */
export async function twilioWebhooks(app: FastifyInstance, options: WebhookOptions): Promise<void> {
  const webhooks = new Webhooks(options)
  app.removeAllContentTypeParsers()
  await app.register(formbody, { bodyLimit: WEBHOOK_BODY_MAX_BYTES })
  app.addHook('onRequest', async (request, reply) => webhooks.enter(request, reply))
  app.setErrorHandler((error, _request, reply) => webhooks.fail(error, reply))
  const route = (path: string, answer: (callSid: CallSid, parameters: Record<string, string>) => Promise<Reply>) =>
    app.post(path, { bodyLimit: WEBHOOK_BODY_MAX_BYTES }, async (request, reply) =>
      send(reply, await webhooks.answer(request, answer)),
    )
  route('/twilio/voice', (callSid, parameters) => webhooks.voice(callSid, parameters))
  route('/twilio/next', (callSid, parameters) => webhooks.next(callSid, parameters))
  route('/twilio/status', (callSid, parameters) => webhooks.status(callSid, parameters))
  route('/twilio/stream-status', (callSid, parameters) => webhooks.streamStatus(callSid, parameters))
}

class Webhooks {
  readonly #options: WebhookOptions
  readonly #log: Log
  readonly #baseUrl: () => string
  readonly #signatures: Signatures
  readonly #offers = new Map<CallSid, Promise<Reply>>() // bounded by the requests in flight (WH5)
  #inFlight = 0
  #isOverloaded = false

  constructor(options: WebhookOptions) {
    const { config } = options
    this.#options = options
    this.#log = options.log
    this.#baseUrl = options.baseUrl ?? (() => config.http.publicBaseUrl)
    const { signatureCheck: check, authTokens } = config.twilio
    this.#signatures = options.signatures ?? makeSignatures({ check, authTokens, baseUrl: this.#baseUrl })
  }

  /** Counts the request in, and refuses it unread when there are too many or when it bears no signature. */
  enter(request: FastifyRequest, reply: FastifyReply): FastifyReply | undefined {
    if (this.#inFlight >= (this.#options.inFlightMax ?? WEBHOOKS_IN_FLIGHT_MAX)) {
      if (!this.#isOverloaded) this.#log.warn({ code: 'WEBHOOK_OVERLOAD' }, 'webhooks refused, too many at once')
      this.#isOverloaded = true // one line for each run of refusals
      return send(reply, { status: 503, twiml: empty(), retryAfterSeconds: OVERLOAD_RETRY_SECONDS })
    }
    this.#isOverloaded = false
    this.#inFlight += 1
    reply.raw.once('close', () => {
      this.#inFlight -= 1
    })
    const isBare = this.#options.config.twilio.signatureCheck === 'on' && !request.headers['x-twilio-signature']
    return isBare ? send(reply, this.#refuse(request, 403, 'signature missing')) : undefined
  }

  /** Turns a failure of reading into its status (400, 413, 415), anything else into an apology (WH4). */
  fail(error: unknown, reply: FastifyReply): FastifyReply {
    const status = (error as { statusCode?: unknown }).statusCode
    if (typeof status === 'number' && status >= 400 && status < 500) {
      this.#log.warn({ status, reason: messageOf(error), code: 'WEBHOOK_REFUSED' }, 'webhook refused')
      return send(reply, { status, twiml: empty() })
    }
    return send(reply, this.#apologise(error, {}))
  }

  async answer(
    request: FastifyRequest,
    answer: (callSid: CallSid, parameters: Record<string, string>) => Promise<Reply>,
  ): Promise<Reply> {
    const reading = this.#read(request)
    if (reading.kind === 'refused') return this.#refuse(request, reading.status, reading.reason)
    try {
      return await answer(reading.callSid, reading.parameters)
    } catch (error) {
      return this.#apologise(error, { callSid: reading.callSid })
    }
  }

  /** A call asks to enter; offers of one call at once share one answer (WH2). */
  voice(callSid: CallSid, parameters: Record<string, string>): Promise<Reply> {
    const earlier = this.#offers.get(callSid)
    if (earlier !== undefined) return earlier
    const reply = this.#offer(callSid, parameters).finally(() => this.#offers.delete(callSid))
    this.#offers.set(callSid, reply)
    return reply
  }

  async #offer(callSid: CallSid, parameters: Record<string, string>): Promise<Reply> {
    const { From: from = '', To: to = '', Direction: direction = 'inbound' } = parameters
    const way = direction.startsWith('outbound') ? 'outbound' : 'inbound'
    const answer = await this.#inTime(this.#options.desk.offer({ callSid, from, to, direction: way, parameters }))
    this.#log.info({ callSid, answer: answer.kind, 'pii.from': from, 'pii.to': to }, 'call offered')
    if (answer.kind === 'stream') return this.#stream(callSid, answer)
    if (answer.kind === 'queued') return ok(busyAndHangUp())
    if (answer.reason !== 'full') {
      return { status: 503, twiml: empty(), retryAfterSeconds: DRAIN_RETRY_SECONDS }
    }
    const fallback = this.#options.config.twilio.fallbackNumber
    return ok(fallback === undefined ? busyAndHangUp() : transfer({ to: fallback, nextUrl: this.#url('next') }))
  }

  /** A stream or a transfer ended: what next? A call that is over for the carrier only needs an empty answer. */
  async next(callSid: CallSid, parameters: Record<string, string>): Promise<Reply> {
    const status = parameters.CallStatus ?? ''
    if (CALL_OVER.has(status)) {
      this.#options.desk.ended(callSid, status)
      return ok(empty())
    }
    const step = await this.#inTime(this.#options.desk.next(callSid, parameters))
    this.#log.info({ callSid, step: step.kind }, 'next step of a call')
    switch (step.kind) {
      case 'stream':
        return this.#stream(callSid, step)
      case 'hang-up':
        return ok(hangUp(step.sentence))
      case 'transfer':
        return ok(transfer({ ...step, nextUrl: this.#url('next') }))
      case 'unknown-call':
        return ok(this.#unknown(parameters.DialCallStatus))
      default:
        return unreachable(step)
    }
  }

  async status(callSid: CallSid, parameters: Record<string, string>): Promise<Reply> {
    const status = parameters.CallStatus ?? ''
    if (CALL_OVER.has(status)) this.#options.desk.ended(callSid, status)
    return ok(empty())
  }

  async streamStatus(callSid: CallSid, parameters: Record<string, string>): Promise<Reply> {
    this.#options.desk.streamEvent(callSid, parameters.StreamEvent ?? '', parameters.StreamError)
    return ok(empty())
  }

  /** A call no desk knows: after a finished transfer it ends, otherwise a human is tried once, otherwise an apology. */
  #unknown(dialStatus: string | undefined): string {
    if (dialStatus !== undefined) return DIAL_DONE.has(dialStatus) ? hangUp() : sorryAndHangUp()
    const fallback = this.#options.config.twilio.fallbackNumber
    return fallback === undefined ? sorryAndHangUp() : transfer({ to: fallback, nextUrl: this.#url('next') })
  }

  #stream(callSid: CallSid, grant: StreamGrant): Reply {
    const parameters = { callId: grant.callId, ...grant.parameters }
    const names = unfitParameters(parameters)
    if (names.length > 0) this.#log.warn({ callSid, names }, 'stream parameters left out, too long')
    const streamBase = this.#baseUrl().replace(/^http/, 'ws')
    const streamUrl = `${streamBase}/media/${grant.pod}/${callSid}/${grant.token}`
    const nextUrl = this.#url('next')
    const streamStatusUrl = this.#url('stream-status')
    return ok(connectStream({ streamUrl, parameters, actionUrl: nextUrl, nextUrl, streamStatusUrl }))
  }

  #url(name: 'next' | 'stream-status'): string {
    return `${this.#baseUrl()}/twilio/${name}`
  }

  #read(request: FastifyRequest): Reading {
    const fields = (request.body ?? {}) as FormFields
    const signature = request.headers['x-twilio-signature']
    const path = request.raw.url ?? ''
    const result = this.#signatures.form({ path, fields, signature })
    if (result.kind !== 'valid') return { kind: 'refused', status: 403, reason: `signature ${result.kind}` }
    const callSid = fields.CallSid
    if (typeof callSid !== 'string' || !CALL_SID.test(callSid)) {
      return { kind: 'refused', status: 400, reason: 'no readable Call SID' }
    }
    const parameters: Record<string, string> = Object.create(null)
    for (const [name, value] of Object.entries({ ...(request.query as FormFields), ...fields })) {
      parameters[name] = typeof value === 'string' ? value : String(value.at(-1) ?? '')
    }
    return { kind: 'read', callSid: callSid as CallSid, parameters }
  }

  /** Waits for the desk, but not longer than WH4 allows. */
  async #inTime<T>(answer: T | Promise<T>): Promise<T> {
    if (!(answer instanceof Promise)) return answer
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_resolve, reject) => {
      const ms = this.#options.deskAnswerMs ?? DESK_ANSWER_MS
      timer = setTimeout(() => reject(new VoiceError('DESK_STALLED', { retryable: true })), ms)
    })
    try {
      return await Promise.race([answer, late])
    } finally {
      clearTimeout(timer)
    }
  }

  #refuse(request: FastifyRequest, status: 400 | 403, reason: string): Reply {
    const path = request.routeOptions.url
    this.#log.warn({ status, reason, path, peer: request.ip, code: 'WEBHOOK_REFUSED' }, 'webhook refused')
    return { status, twiml: empty() }
  }

  #apologise(error: unknown, fields: { callSid?: CallSid }): Reply {
    const code = error instanceof VoiceError ? error.code : 'WEBHOOK_FAILED'
    this.#log.error({ ...fields, code, reason: messageOf(error) }, 'webhook failed, the caller hears an apology')
    return ok(sorryAndHangUp())
  }
}

const ok = (twiml: string): Reply => ({ status: 200, twiml })

function send(reply: FastifyReply, { status, twiml, retryAfterSeconds }: Reply): FastifyReply {
  if (retryAfterSeconds !== undefined) reply.header('retry-after', String(retryAfterSeconds))
  return reply.code(status).type('text/xml; charset=utf-8').send(twiml)
}
