// Twilio's webhooks: what enters here is verified, read, asked of call control, and answered as TwiML. Rules:
// WH1: no signature → 403 before the body is read; a wrong one → 403; a body or Call SID that cannot be read, or a path that
//     names another call → 400 (413 too large). A form has at most FORM_FIELDS_MAX fields; with more it is not parsed.
// WH2: webhooks repeat (Twilio retries): call control is idempotent by Call SID, and offers of one call at once share one answer.
// WH3: draining → 503 on /twilio/voice with Retry-After, so that Twilio takes its fallback URL; full → a sentence and the
//     end, or FALLBACK_NUMBER when set. A caller who is in hears a sentence, never an HTTP error.
// WH4: a call control that throws or does not answer within CONTROL_ANSWER_MS → an apology as TwiML and an error in the log.
// WH5: at WEBHOOKS_IN_FLIGHT_MAX requests at once a further one gets 503; only a request whose signature is right takes a place.
// WH10: a webhook that is sent with GET → 405, and a line in the log that says how to set it.
// WH6: every answer is text/xml; personal data is logged under `pii.` only.
// WH7: a call control that cannot say what follows for a caller who is in (next, wait) is asked again, on any pod, ASK_TRIES_MAX times
//     in all, by one who waits a poll apart; then the human when there is one, else an apology. A store that is away when a
//     call enters is waited for so too. A store that did not answer in time is a warning in the log, anything else an error.
// WH8: a caller whose place in the queue is not known any more asks to enter anew, at most ANEW_MAX times.
// WH12: an address (From, To, Caller, Called, ForwardedFrom) of more than 256 characters → 400; a longer name (CallerName, a city) is cut.
// WH13: with TWILIO_ACCOUNT_SID a webhook that names another account → 403, as the stream of its call would be refused.
// WH11: a call that is over for the carrier does not enter: its offer is told to call control as an end, and answered with nothing.
// WH9: a recording is told by its SID, an http(s) URL and seconds; what is not of that form → 400. It is never fetched.
import type { IncomingMessage } from 'node:http'
import { parse } from 'node:querystring'
import type { FastifyInstance } from 'fastify'
import { type CallEnds, directionOf, farPartyOf } from '../../call/identity.ts'
import type { CallControl, CallOffer } from '../../call-control/call-control.ts'
import { messageOf, unreachable, VoiceError } from '../../kit/errors.ts'
import type { CallSid } from '../../kit/ids.ts'
import type { Log } from '../../kit/log.ts'
import { languageOf } from '../../phrases/language.ts'
import { Entry, ok, type Reply, send, type Webhook } from './answers/entry.ts'
import { carriedIn, Links } from './answers/links.ts'
import { ASK_TRIES_MAX, inTime, Replies } from './answers/replies.ts'
import { askAgain, empty, hangUp, transfer } from './answers/twiml.ts'
import { overflow, WAIT_POLL_MS, wantsCallBack } from './answers/waiting.ts'
import { type FormFields, makeSignatures, type Signatures } from './signature.ts'
import { causeOfStatus, isOverStatus, outcomeCarried, outcomeOfDial } from './status-words.ts'

const WEBHOOKS_IN_FLIGHT_MAX = 500 // of all paths together (WH5)
/** The carrier's forms are below 4 kB; the proxies of the fleet keep a whole one (docs/fleet.md). */
const WEBHOOK_BODY_MAX_BYTES = 16_384
export const FORM_FIELDS_MAX = 200
const CONTROL_ANSWER_MS = 8_000 // Twilio gives up after 15 s with everything included (WH4)
const IN_CALL_ANSWER_MS = 3_500 // for a caller who is in: shorter than the first-byte time of CALL_OVERRIDES (WH7)
const ANEW_MAX = 3
const CALL_BACK_ASKED_MAX = 2
const DRAIN_RETRY_SECONDS = 5
const LANGUAGE = /^[A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8})?$/
const RECORDING_SID = /^RE[0-9a-f]{32}$/
const RECORDING_URL_MAX = 2_000

/** The part of the configuration that the webhooks read. */
type WebhookConfig = {
  readonly http: { readonly publicBaseUrl: string }
  readonly twilio: {
    readonly signatureCheck: 'on' | 'off' | 'off-loopback'
    readonly authTokens: readonly string[]
    readonly accountSid?: string | undefined
    readonly fallbackNumber: string | undefined
    /** The longest transfer. */
    readonly transferMaxMs?: number
  }
  /** The clip that callers hear while they wait: 8 to 10 s long. */
  readonly fleet?: {
    readonly holdAudioUrl: string | undefined
    /** A BCP 47 tag; default English. */
    readonly callerLanguage?: string
  }
}

/** What the webhooks need. `baseUrl` overrides the configured public base (a port learnt at listen). */
type WebhookOptions = {
  config: WebhookConfig
  callControl: CallControl
  log: Log
  baseUrl?: () => string
  signatures?: Signatures
  inFlightMax?: number
  /** Bounds call control's answers, for callers who are in and for those who are not. */
  answerMs?: number
  /** A request has shown a right signature. */
  onAuthenticated?: (request: IncomingMessage) => void
  onRefused?: (reason: string) => void
}

/** The fastify plugin with the POST paths below /twilio/. */
export async function twilioWebhooks(app: FastifyInstance, options: WebhookOptions): Promise<void> {
  const { config, log } = options
  const baseUrl = options.baseUrl ?? (() => config.http.publicBaseUrl)
  const { signatureCheck: check, authTokens, accountSid } = config.twilio
  const signatures = options.signatures ?? makeSignatures({ check, authTokens, baseUrl })
  const inFlightMax = options.inFlightMax ?? WEBHOOKS_IN_FLIGHT_MAX
  const entry = new Entry({
    signatures,
    baseUrl,
    isChecked: check === 'on',
    accountSid,
    inFlightMax,
    log,
    onAuthenticated: options.onAuthenticated,
    onRefused: options.onRefused,
  })
  const links = new Links(baseUrl)
  const { fallbackNumber, transferMaxMs } = config.twilio
  const { holdAudioUrl, callerLanguage } = config.fleet ?? {}
  const replies = new Replies({ log, links, fallbackNumber, transferMaxMs, holdAudioUrl, callerLanguage })
  const webhooks = new Webhooks(options, links, replies)
  app.removeAllContentTypeParsers()
  app.addContentTypeParser(
    'application/x-www-form-urlencoded',
    { parseAs: 'string', bodyLimit: WEBHOOK_BODY_MAX_BYTES },
    (_request, body, done) => {
      const fields = readForm(body as string)
      if (fields === undefined) done(Object.assign(new Error('too many fields'), { statusCode: 400 }))
      else done(null, fields)
    },
  )
  app.addHook('onRequest', async (request, reply) => entry.enter(request, reply))
  // HEAD is refused with it.
  app.get('/twilio/*', async (request, reply) => entry.wrongMethod(request, reply))
  app.setErrorHandler((error, _request, reply) => {
    const refusal = entry.misread(error)
    return refusal === undefined ? send(reply, replies.apology(error, {})) : entry.refuse(reply, refusal)
  })
  const route = (path: string, answer: (webhook: Webhook) => Promise<Reply>) =>
    app.post(`/twilio/${path}`, { bodyLimit: WEBHOOK_BODY_MAX_BYTES }, async (request, reply) => {
      const guarded = (webhook: Webhook) => answer(webhook).catch((error: unknown) => replies.apology(error, webhook))
      return send(reply, await entry.answer(request, guarded))
    })
  route('voice', (webhook) => webhooks.voice(webhook))
  route('wait/:callSid', (webhook) => webhooks.wait(webhook))
  route('next', (webhook) => webhooks.next(webhook))
  route('status', (webhook) => webhooks.status(webhook))
  route('stream-status', (webhook) => webhooks.streamStatus(webhook))
  route('call-back', (webhook) => webhooks.callBack(webhook))
  route('voicemail', (webhook) => webhooks.voicemail(webhook))
  route('recording', (webhook) => webhooks.recording(webhook))
  route('message', (webhook) => webhooks.message(webhook))
}

class Webhooks {
  readonly #callControl: CallControl
  readonly #log: Log
  readonly #links: Links
  readonly #replies: Replies
  readonly #answerMs: number
  readonly #transferMaxMs: number | undefined
  readonly #inCallAnswerMs: number
  readonly #offers = new Map<CallSid, Promise<Reply>>() // bounded by the requests in flight (WH5)

  constructor(options: WebhookOptions, links: Links, replies: Replies) {
    this.#callControl = options.callControl
    this.#log = options.log
    this.#links = links
    this.#transferMaxMs = options.config.twilio.transferMaxMs
    this.#replies = replies
    this.#answerMs = options.answerMs ?? CONTROL_ANSWER_MS
    this.#inCallAnswerMs = options.answerMs ?? IN_CALL_ANSWER_MS
  }

  /** A call asks to enter; offers of one call at once share one answer (WH2). */
  voice(webhook: Webhook): Promise<Reply> {
    const { callSid, parameters } = webhook
    if (this.#isOver(callSid, parameters)) return Promise.resolve(ok(empty()))
    const earlier = this.#offers.get(callSid)
    if (earlier !== undefined) return earlier
    const reply = this.#offer(webhook).finally(() => this.#offers.delete(callSid))
    this.#offers.set(callSid, reply)
    return reply
  }

  async #offer({ callSid, parameters }: Webhook): Promise<Reply> {
    const offer = offerOf(callSid, parameters)
    const answer = await inTime(this.#callControl.offer(offer), this.#answerMs)
    const { from, to } = offer
    this.#log.info({ callSid, answer: answer.kind, 'pii.from': from, 'pii.to': to }, 'call offered')
    if (answer.kind === 'stream') return this.#replies.stream(callSid, answer)
    if (answer.kind === 'over') return ok(empty())
    const { anew, tries, language } = carriedIn(parameters)
    if (answer.kind === 'queued') return this.#replies.hold(callSid, answer, { anew })
    if (answer.reason === 'full') return this.#replies.busy(language)
    // No human for who takes all lines: that would move the flood, not end it.
    if (answer.reason === 'caller-full') return this.#replies.full(language)
    const isIn = anew > 0 || tries > 0
    if (answer.reason === 'draining' && !isIn) {
      return { status: 503, twiml: empty(), retryAfterSeconds: DRAIN_RETRY_SECONDS }
    }
    if (tries + 1 >= ASK_TRIES_MAX) return this.#replies.busy(language)
    const again = { language, anew, tries: tries + 1 }
    return this.#replies.askAgain(this.#links.voice(again), again)
  }

  /** A caller who waits asks again. */
  async wait({ callSid, parameters }: Webhook): Promise<Reply> {
    if (this.#isOver(callSid, parameters)) return ok(empty())
    const { said, language, anew, tries } = carriedIn(parameters)
    const step = await this.#ask(callSid, () => this.#callControl.wait(callSid, offerOf(callSid, parameters)))
    if (step === undefined) {
      const again = { said, language, anew, tries: tries + 1 }
      return this.#replies.askAgain(this.#links.wait(callSid, again), again, WAIT_POLL_MS)
    }
    this.#log.info({ callSid, step: step.kind }, 'next step of a caller who waits')
    switch (step.kind) {
      case 'stream':
        return this.#replies.stream(callSid, step)
      case 'waiting':
        return this.#replies.hold(callSid, step, { said, anew })
      case 'overflow':
        return ok(overflow(step.to, language, farPartyOf(endsOf(parameters)), this.#overflowUrls({ language })))
      case 'gone':
        if (anew >= ANEW_MAX) return this.#replies.busy(language)
        return ok(askAgain({ url: this.#links.voice({ language, anew: anew + 1 }), pauseSeconds: 1 }))
      default:
        return unreachable(step)
    }
  }

  /** A stream or a transfer ended: what next? A call that is over for the carrier only needs an empty answer. */
  async next({ callSid, parameters }: Webhook): Promise<Reply> {
    if (this.#isOver(callSid, parameters)) return ok(empty())
    const { pod, tries, language, last } = carriedIn(parameters)
    const { DialCallStatus, dialed } = parameters
    const outcome = outcomeOfDial(DialCallStatus)
    const returnedFrom = outcomeCarried(dialed)
    const question = {
      ...(outcome === undefined ? {} : { transfer: { outcome, isLast: last !== undefined } }),
      ...(returnedFrom === undefined ? {} : { returnedFrom }),
    }
    const step = await this.#ask(callSid, () => this.#callControl.next(callSid, question))
    if (step === undefined) {
      // Without the pod's name: one that is cut off from its store, or fenced, would be asked until the call is lost.
      const again = { language, dialed, DialCallStatus, last, tries: tries + 1 }
      return this.#replies.askAgain(this.#links.next(again), again)
    }
    this.#log.info({ callSid, step: step.kind }, 'next step of a call')
    switch (step.kind) {
      case 'stream':
        return this.#replies.stream(callSid, step)
      case 'hang-up':
        return this.#replies.hangUp(step)
      case 'transfer':
        return ok(
          transfer({
            ...step,
            language: sayOf(step.language),
            nextUrl: this.#links.next({ pod, language, ...(step.isLast === true ? { last: 1 } : {}) }),
            maxMs: this.#transferMaxMs,
          }),
        )
      case 'not-reached':
        return this.#replies.notReached(language ?? step.language)
      case 'streaming':
        return this.#replies.askAgain(this.#links.next({ pod, language, dialed, tries: tries + 1 }), {
          language,
          tries: tries + 1,
        })
      case 'unknown-call':
        return this.#replies.unknown(DialCallStatus, { last, language })
      default:
        return unreachable(step)
    }
  }

  async status({ callSid, parameters }: Webhook): Promise<Reply> {
    if (isOver(parameters)) await this.#tellOver(callSid, parameters)
    return ok(empty())
  }

  async streamStatus({ callSid, parameters }: Webhook): Promise<Reply> {
    if (parameters.StreamEvent === 'stream-error') this.#callControl.streamFailed(callSid, parameters.StreamError)
    return ok(empty())
  }

  /** The digits with which a caller wants to be called back; others are asked for once more. */
  async callBack({ callSid, parameters }: Webhook): Promise<Reply> {
    const { Digits: digits = '' } = parameters
    const party = farPartyOf(endsOf(parameters))
    const { language, tries } = carriedIn(parameters)
    const { say, phrases } = this.#replies.languageOf(language)
    if (!wantsCallBack(party, digits)) {
      if (party.kind === 'withheld' || tries + 1 >= CALL_BACK_ASKED_MAX) return ok(hangUp(phrases.busy, say))
      const urls = this.#overflowUrls({ language, tries: tries + 1 })
      return ok(overflow({ kind: 'call-back' }, language, party, urls))
    }
    // What is promised is kept first.
    const offer = offerOf(callSid, parameters)
    const kept = await inTime(this.#callControl.callBackWanted(offer, language), this.#answerMs).catch(() => 'refused')
    return ok(hangUp(kept === 'taken' ? phrases.callBackTaken : phrases.busy, say))
  }

  /** A message was spoken, or its caller hung up over it. `message` tells of its recording too. */
  async voicemail({ callSid, parameters }: Webhook): Promise<Reply> {
    const { language } = carriedIn(parameters)
    const { say, phrases } = this.#replies.languageOf(language)
    const recording = recordingOf(parameters)
    if (recording !== undefined)
      this.#callControl.messageLeft(callSid, offerOf(callSid, parameters), { ...recording, language })
    if (this.#isOver(callSid, parameters)) return ok(empty())
    return ok(hangUp(phrases.voicemailTaken, say))
  }

  /** A recording can be fetched (WH9). */
  async recording({ callSid, parameters }: Webhook): Promise<Reply> {
    if (parameters.RecordingStatus !== 'completed') return ok(empty())
    const recording = recordingOf(parameters)
    if (recording === undefined) return this.#unreadable(callSid)
    this.#callControl.recorded(callSid, recording)
    return ok(empty())
  }

  #overflowUrls(carried: { language: string | undefined; tries?: number }) {
    return { ...this.#links.overflow(carried), transferMaxMs: this.#transferMaxMs }
  }

  /** The recording of a message can be fetched (WH9). */
  async message({ callSid, parameters }: Webhook): Promise<Reply> {
    if (parameters.RecordingStatus !== 'completed') return ok(empty())
    const recording = recordingOf(parameters)
    if (recording === undefined) return this.#unreadable(callSid)
    this.#callControl.messageLeft(callSid, undefined, { ...recording, language: carriedIn(parameters).language })
    return ok(empty())
  }

  /** [WH9] */
  #unreadable(callSid: CallSid): Reply {
    this.#log.warn({ callSid, code: 'WEBHOOK_REFUSED' }, 'a recording could not be read')
    return { status: 400, twiml: empty() }
  }

  /** Whether the carrier says that the call is over; then call control has been told. */
  #isOver(callSid: CallSid, parameters: Record<string, string>): boolean {
    if (!isOver(parameters)) return false
    void this.#tellOver(callSid, parameters)
    return true
  }

  async #tellOver(callSid: CallSid, { CallStatus = '', DialCallStatus }: Record<string, string>): Promise<void> {
    const [cause, transfer] = [causeOfStatus(CallStatus), outcomeOfDial(DialCallStatus)]
    if (transfer === undefined) await this.#callControl.ended(callSid, cause)
    else await this.#callControl.ended(callSid, cause, transfer)
  }

  /** What call control says about a caller who is in; undefined when it cannot (WH7). */
  async #ask<T>(callSid: CallSid, question: () => T | Promise<T>): Promise<T | undefined> {
    try {
      return await inTime(question(), this.#inCallAnswerMs)
    } catch (error) {
      const code = error instanceof VoiceError ? error.code : 'WEBHOOK_FAILED'
      const level = code === 'STORE_UNAVAILABLE' ? 'warn' : 'error'
      this.#log[level]({ callSid, code, reason: messageOf(error) }, 'call control did not answer, it is asked again')
      return undefined
    }
  }
}

/** [WH1] undefined: more fields than are read. */
function readForm(text: string): FormFields | undefined {
  let fields = 1
  for (let at = text.indexOf('&'); at >= 0; at = text.indexOf('&', at + 1)) fields += 1
  return fields > FORM_FIELDS_MAX ? undefined : (parse(text, '&', '=', { maxKeys: 0 }) as FormFields)
}

/** [WH9] undefined: not to be read. */
function recordingOf({ RecordingSid = '', RecordingUrl: url = '', RecordingDuration = '0' }: Record<string, string>) {
  if (!RECORDING_SID.test(RecordingSid) || url.length > RECORDING_URL_MAX || !/^https?:\/\//.test(url)) return undefined
  if (!URL.canParse(url) || !/^\d{1,6}$/.test(RecordingDuration)) return undefined
  return { recordingSid: RecordingSid, recordingUrl: url, durationMs: Number(RecordingDuration) * 1_000 }
}

const isOver = ({ CallStatus = '' }: Record<string, string>): boolean => isOverStatus(CallStatus)

function offerOf(callSid: CallSid, parameters: Record<string, string>): CallOffer {
  const { callBack } = parameters
  const ends = endsOf(parameters)
  // Only a call that we make can be one that was asked for, and only a tag is a language.
  const isCallBack = ends.direction === 'outbound' && callBack !== undefined && LANGUAGE.test(callBack)
  return { callSid, ...ends, ...(isCallBack ? { callBack } : {}) }
}

function endsOf({ From: from = '', To: to = '', Direction: direction = '' }: Record<string, string>): CallEnds {
  return { from, to, direction: directionOf(direction) }
}

const sayOf = (tag: string | undefined) => (tag === undefined ? undefined : languageOf(tag).say)
