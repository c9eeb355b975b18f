// A desk for journeys of the webhooks: it answers what it is told and keeps what it is asked.
import type { Answer, CallDesk, NextStep, StreamGrant, WaitStep } from '../src/carrier/twilio/call-desk.ts'
import type { CallId, CallSid } from '../src/kit/ids.ts'

const queued: Answer = { kind: 'queued', ahead: 2, etaMs: 90_000, language: 'de' }
export const waiting = (ahead: number): WaitStep => ({ kind: 'waiting', ahead, etaMs: 30_000, language: 'de' })
export const grant = (pod: string): StreamGrant => ({
  kind: 'stream',
  callId: 'call_1' as CallId,
  token: 'a-token-of-the-test',
  pod,
  parameters: {},
})

export class Desk implements CallDesk {
  answer: Answer = queued
  /** Answers to a waiting caller, one after the other; the last one stays. */
  places: (WaitStep | Error)[] = [waiting(2)]
  steps: NextStep[] = [{ kind: 'hang-up' }]
  readonly asked: string[] = []
  offer() {
    this.asked.push('offer')
    return this.answer
  }
  async wait() {
    this.asked.push('wait')
    const place = this.places.length > 1 ? this.places.shift()! : this.places[0]!
    if (place instanceof Error) throw place
    return place
  }
  next(_callSid: CallSid, { pod, DialCallStatus }: Record<string, string>) {
    this.asked.push(`next ${pod ?? DialCallStatus}`)
    return this.steps.length > 1 ? this.steps.shift()! : this.steps[0]!
  }
  ended(_callSid: CallSid, cause: string) {
    this.asked.push(`ended ${cause}`)
  }
  streamEvent() {}
  async callBackWanted() {
    return 'taken' as const
  }
  messageLeft() {}
  recorded() {}
}
