// Status callbacks: what the carrier tells about a call and its streams while the call goes on.
// H1: one call's callbacks leave in order; a failed one is a warning and never stops the call.
// H3: each attempt that came to nothing is in the witness log, with what answered it: who lost a callback can be told from it.
// H2: at most WAITING_MAX wait; beyond it a callback is dropped with a warning.

import type { CallRecord, CallStatus } from '../report.ts'
import type { Rewrites } from './rewrite.ts'
import { type Attempt, sendWebhook } from './webhook.ts'

const WAITING_MAX = 64

export type CallbackTarget = { url: string; method: 'GET' | 'POST' }

export class Callbacks {
  private chain: Promise<void> = Promise.resolve()
  private waiting = 0
  private sequence = 0
  private readonly authToken: string
  private readonly rewrites: Rewrites
  private readonly record: CallRecord
  private readonly mayDial: ((url: string) => boolean) | undefined

  constructor(authToken: string, rewrites: Rewrites, record: CallRecord, mayDial?: (url: string) => boolean) {
    this.mayDial = mayDial
    this.authToken = authToken
    this.rewrites = rewrites
    this.record = record
  }

  /** Queues a call status callback. */
  status(target: CallbackTarget, params: Record<string, string>, status: CallStatus): void {
    const SequenceNumber = String(this.sequence++)
    const Timestamp = new Date().toUTCString()
    const extra = { SequenceNumber, Timestamp, CallbackSource: 'call-progress-events' }
    this.post(target, { ...params, CallStatus: status, ...extra }, `status ${status}`)
  }

  /** Queues any callback with these parameters. */
  post(target: CallbackTarget, params: Record<string, string>, what: string): void {
    if (this.waiting >= WAITING_MAX) {
      this.record.warn(11200, `callback dropped: ${what}`)
      return
    }
    this.waiting++
    this.chain = this.chain.then(async () => {
      const { authToken, rewrites, mayDial } = this
      const onAttempt = ({ attempt, ms, status, contentType, error }: Attempt): void => {
        const isDelivered = status !== undefined && status < 400
        if (!isDelivered) this.record.note('callback-attempt', { what, attempt, ms, status, contentType, error })
      }
      const answer = await sendWebhook({ ...target, params, authToken, rewrites, mayDial, onAttempt })
      this.waiting--
      this.record.note('callback', { what, url: target.url, outcome: answer.kind })
      if (answer.kind === 'failed') this.record.warn(answer.errorCode, `callback ${what}: ${answer.text}`)
    })
  }

  /** Resolves when all queued callbacks have been delivered or have failed. */
  settled(): Promise<void> {
    return this.chain
  }
}
