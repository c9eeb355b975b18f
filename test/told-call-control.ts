// A call control for journeys of the webhooks: it answers what it is told and keeps what it is asked.
import type {
  Answer,
  CallControl,
  NextQuestion,
  NextStep,
  StreamGrant,
  WaitStep,
} from '../src/call-control/call-control.ts'
import type { CarrierEndCause } from '../src/call-control/carrier-calls.ts'
import type { CallId, CallSid } from '../src/kit/ids.ts'

const queued: Answer = { kind: 'queued', ahead: 2, etaMs: 90_000, language: 'de' }
export const waiting = (ahead: number): WaitStep => ({ kind: 'waiting', ahead, etaMs: 30_000, language: 'de' })
export const grant = (pod: string): StreamGrant => ({
  kind: 'stream',
  callId: 'call_1' as CallId,
  token: 'a-token-of-the-test',
  pod,
})

export class ToldCallControl implements CallControl {
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
  next(_callSid: CallSid, { transfer }: NextQuestion) {
    this.asked.push(transfer === undefined ? 'next' : `next ${transfer.outcome}`)
    return this.steps.length > 1 ? this.steps.shift()! : this.steps[0]!
  }
  ended(_callSid: CallSid, cause: CarrierEndCause) {
    this.asked.push(`ended ${cause}`)
  }
  streamFailed() {}
  async callBackWanted() {
    return 'taken' as const
  }
  messageLeft() {}
  recorded() {}
}
