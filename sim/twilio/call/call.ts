// One call on the simulated carrier: from the first webhook to the last status callback.
// A1: a call runs one TwiML document at a time; a verb is interrupted only by a hang-up or a redirect from REST.
// A3: a call ends once, and `done` resolves after its callbacks have been sent.

import { EventEmitter } from 'node:events'
import { Callbacks, type CallbackTarget } from '../http/callbacks.ts'
import type { FormParams } from '../http/signature.ts'
import { sendWebhook, type WebhookAnswer } from '../http/webhook.ts'
import { CallerLeg } from '../media/caller-leg.ts'
import type { DropHow } from '../media/script.ts'
import type { Faults, PlaceCallOptions } from '../options.ts'
import { CallRecord, type CallReport, type CallStatus, type EndCause } from '../report.ts'
import { nowMs } from '../wire/clock.ts'
import { runDocuments } from './documents.ts'
import type { Exchange } from './exchange.ts'
import { newSid } from './sid.ts'
import { stopForks } from './stream-verb.ts'

export type TwimlSource =
  | { kind: 'url'; url: string; method: 'GET' | 'POST'; params?: Record<string, string> }
  | { kind: 'text'; xml: string }
type Interruption = { kind: 'hang-up'; cause: EndCause } | { kind: 'redirect'; source: TwimlSource }
/** What follows a document: another one, or the end of the call. */
export type Next = { kind: 'goto'; source: TwimlSource } | { kind: 'end'; cause: EndCause }
export type CallPlan = PlaceCallOptions & {
  direction: 'inbound' | 'outbound-api'
  from: string
  to: string
  number: number
  source: TwimlSource
  fallbackUrl?: string
  statusTarget?: CallbackTarget
  statusEvents: string[]
}

export class Call extends EventEmitter {
  readonly callSid: string = newSid('CA')
  readonly createdAt: Date = new Date()
  readonly record: CallRecord
  readonly leg: CallerLeg
  readonly callbacks: Callbacks
  readonly done: Promise<CallReport>
  readonly faults: Faults
  readonly plan: CallPlan
  readonly exchange: Exchange
  status: CallStatus
  /** The announced URL of the running document; relative URLs are resolved against it. */
  documentUrl: string
  private interruption: Interruption | undefined
  private wake: (() => void) | undefined
  private answeredMs: number | undefined
  private endedMs: number | undefined
  private resolveDone!: (report: CallReport) => void

  constructor(exchange: Exchange, plan: CallPlan) {
    super()
    this.exchange = exchange
    this.plan = plan
    this.status = plan.direction === 'inbound' ? 'ringing' : 'queued'
    this.faults = { ...exchange.options.faults, ...plan.faults }
    this.documentUrl = plan.source.kind === 'url' ? plan.source.url : exchange.options.voiceUrl
    this.record = new CallRecord(this.callSid, plan.number, exchange.witness)
    const { authToken } = exchange.options
    this.callbacks = new Callbacks(
      this.webhookToken(authToken),
      exchange.httpRewrites,
      this.record,
      exchange.options.mayDial,
    )
    const wants = {
      probe: plan.probe === true,
      recording: plan.recordTo !== undefined,
      patience: exchange.options.patience ?? 'own',
    }
    this.leg = new CallerLeg(exchange.wheel, this.record, plan.caller, this.callerActs(), wants)
    this.done = new Promise((resolve) => {
      this.resolveDone = resolve
    })
  }

  /** The caller hangs up. */
  hangUp(): void {
    this.interrupt({ kind: 'hang-up', cause: 'caller-hung-up' })
  }

  /** Breaks into the running verb. The first hang-up wins; a redirect never replaces a hang-up. */
  interrupt(interruption: Interruption): void {
    if (this.interruption?.kind === 'hang-up') return
    this.interruption = interruption
    this.wake?.()
  }

  /** Ends the present wait without interrupting the call. */
  nudge(): void {
    this.wake?.()
  }

  get isOver(): boolean {
    return !['queued', 'ringing', 'in-progress'].includes(this.status)
  }

  get pendingInterruption(): Interruption | undefined {
    return this.interruption
  }

  /** The interruption that broke in, if any; a redirect is thereby used up, a hang-up stays. */
  takeInterruption(): Interruption | undefined {
    const interruption = this.interruption
    if (interruption?.kind === 'redirect') this.interruption = undefined
    return interruption
  }

  /** Milliseconds since the answer; 0 before it. */
  get talkedMs(): number {
    return this.answeredMs === undefined ? 0 : (this.endedMs ?? nowMs()) - this.answeredMs
  }

  /** Waits for the work or for an interruption, whichever comes first. */
  async unlessInterrupted<T>(work: Promise<T>): Promise<T | 'interrupted'> {
    if (this.interruption !== undefined) return 'interrupted'
    const interrupted = new Promise<'interrupted'>((resolve) => {
      this.wake = () => resolve('interrupted')
    })
    const first = await Promise.race([work, interrupted])
    this.wake = undefined
    return this.interruption === undefined ? first : 'interrupted'
  }

  /** Waits; false when interrupted. */
  async sleep(ms: number): Promise<boolean> {
    let timer: NodeJS.Timeout | undefined
    const slept = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, ms)
    })
    const outcome = await this.unlessInterrupted(slept)
    clearTimeout(timer)
    return outcome !== 'interrupted'
  }

  /** The parameters of every webhook of this call. */
  standardParams(): Record<string, string> {
    const { plan } = this
    return {
      AccountSid: this.exchange.options.accountSid,
      ApiVersion: '2010-04-01',
      CallSid: this.callSid,
      CallStatus: this.status,
      Direction: plan.direction,
      From: plan.from,
      Caller: plan.from,
      FromCity: '',
      FromState: '',
      FromZip: '',
      FromCountry: 'US',
      To: plan.to,
      Called: plan.to,
      ToCity: 'SPRINGFIELD',
      ToState: '',
      ToZip: '',
      ToCountry: 'US',
    }
  }

  /** Runs the call to its end; `done` has the report. `ring` answers whether the called party picks up (outbound). */
  async run(ring: () => Promise<'answered' | 'busy' | 'no-answer'>): Promise<void> {
    this.tellStatus('initiated')
    this.tellStatus('ringing')
    this.record.webhookSentMs = nowMs()
    const rung = await ring()
    const cause = rung === 'answered' ? await runDocuments(this) : 'not-answered'
    this.leg.stop()
    stopForks(this)
    this.endedMs = nowMs()
    if (this.status === 'in-progress' || this.status === 'ringing' || this.status === 'queued') {
      this.status = finalStatus(rung, cause, this.answeredMs !== undefined)
    }
    this.record.note('call-ended', { status: this.status, cause })
    this.exchange.callOver(this)
    this.tellStatus('completed')
    await this.saveRecording()
    await this.callbacks.settled()
    const report = this.record.report(this.status, cause, this.talkedMs, this.exchange.wheel.lateness.summary())
    this.emit('ended', report)
    this.resolveDone(report)
  }

  private async saveRecording(): Promise<void> {
    const path = this.plan.recordTo
    if (path === undefined) return
    try {
      await this.leg.save(path)
      this.record.recording = path
    } catch (error) {
      this.record.warn(0, `recording not written: ${(error as Error).message}`)
    }
  }

  /** The call is answered: the caller's script begins. */
  answer(): void {
    if (this.answeredMs !== undefined) return
    this.answeredMs = nowMs()
    this.status = 'in-progress'
    this.tellStatus('answered')
    this.leg.start()
  }

  /** Queues a status callback when the event was asked for. */
  tellStatus(event: 'initiated' | 'ringing' | 'answered' | 'completed'): void {
    const { statusTarget, statusEvents } = this.plan
    if (statusTarget === undefined || !statusEvents.includes(event)) return
    const isEnd = event === 'completed'
    const seconds = Math.ceil(this.talkedMs / 1000)
    const params = {
      ...this.standardParams(),
      ...(isEnd && { CallDuration: String(seconds), Duration: String(Math.ceil(seconds / 60)) }),
    }
    const isBefore = event === 'initiated' || event === 'ringing'
    this.callbacks.status(statusTarget, params, isBefore ? event : this.status)
  }

  /** One webhook that answers with TwiML. */
  fetchTwiml(url: string, method: 'GET' | 'POST', extra: FormParams = {}): Promise<WebhookAnswer> {
    const { options, httpRewrites } = this.exchange
    return sendWebhook({
      url,
      method,
      params: { ...this.standardParams(), ...extra },
      authToken: this.webhookToken(options.authToken),
      rewrites: httpRewrites,
      mayDial: options.mayDial,
      onAttempt: (attempt) => this.record.note('webhook-attempt', attempt),
    })
  }

  private webhookToken(authToken: string): string {
    const wrong = this.faults.wrongSignature
    return wrong === 'webhooks' || wrong === 'both' ? `not-${authToken}` : authToken
  }

  private callerActs() {
    return {
      pressDigit: (digit: string): void => this.leg.stream?.pressDigit(digit),
      hangUp: (): void => this.hangUp(),
      dropSocket: (how: DropHow): void => this.leg.stream?.end(how, 'script'),
      timedOut: (step: string): void => {
        this.record.scriptTimeouts.push(step)
        this.record.note('script-timeout', { step })
      },
    }
  }
}

function finalStatus(rung: 'answered' | 'busy' | 'no-answer', cause: EndCause, wasAnswered: boolean): CallStatus {
  if (rung !== 'answered') return rung
  if (wasAnswered) return 'completed'
  return cause === 'webhook-failed' ? 'failed' : cause === 'rest-completed' ? 'canceled' : 'no-answer'
}
