// The desk of one pod: who may enter, which Call a stream belongs to, what follows when a stream has ended. Rules:
// DK1: one offer per Call SID; a repeated webhook gets the same answer as long as the call lives.
// DK2: a pod holds at most `callsMax` calls; beyond it, and while draining, a new call is refused, never a live one.
// DK3: what follows a call's end is remembered for NEXT_KEPT_MS, for at most NEXT_MAX calls: /twilio/next asks for it.
// DK4: the model link is dialled in the webhook; if the stream never comes, the call's own timer gives it back.
import { Call } from './call/call.ts'
import type { Leg, LegListener, ModelListener, ModelSession } from './call/ports.ts'
import type { CallSettings, EndCause, Next } from './call/state.ts'
import type { StreamTokens } from './carrier/twilio/token.ts'
import type { Answer, CallDesk, CallOffer, NextStep, Voicemail, WaitStep } from './carrier/twilio/call-desk.ts'
import type { Config } from './config.ts'
import type { Clock } from './kit/clock.ts'
import { messageOf } from './kit/errors.ts'
import { type CallId, type CallSid, newCallId } from './kit/ids.ts'
import type { Log } from './kit/log.ts'
import type { Wheel } from './kit/wheel.ts'
import type { Metrics } from './ops/metrics.ts'
import type { Traces } from './ops/traces.ts'
import type { CallControl, Pack, PackCall } from './packs/pack.ts'
import { type TimelineEntry, Watch } from './watch.ts'

export const NEXT_KEPT_MS = 120_000
export const NEXT_MAX = 10_000
const SORRY = 'We are sorry, the assistant cannot go on with this call. Please call again.'

export type DeskWorld = { clock: Clock; wheel: Wheel; log: Log; metrics: Metrics; traces: Traces }
export type MakeModel = (listener: ModelListener, packCall: PackCall, callLog: Log) => ModelSession
/** Told when a call has ended. */
export type OnCallEnded = (call: Call, cause: EndCause) => void

type Held = { call: Call; answer: Answer & { kind: 'stream' } }

export class Desk implements CallDesk {
  readonly #config: Config
  readonly #pack: Pack
  readonly #makeModel: MakeModel
  readonly #tokens: StreamTokens
  readonly #world: DeskWorld
  readonly #calls = new Map<CallSid, Held>()
  readonly #opening = new Map<CallSid, Promise<Answer>>()
  readonly #next = new Map<CallSid, { next: Next; untilMs: number; isAsked: boolean }>()
  #isDraining = false
  /** Every call was ended: one that is still being opened ends at once. */
  #isOver = false
  #onIdle: (() => void) | undefined
  onCallEnded: OnCallEnded | undefined
  /** Told of the moments of every call that is offered after it was set. */
  onTimeline: ((entry: TimelineEntry) => void) | undefined

  constructor(parts: { config: Config; pack: Pack; makeModel: MakeModel; tokens: StreamTokens; world: DeskWorld }) {
    this.#config = parts.config
    this.#pack = parts.pack
    this.#makeModel = parts.makeModel
    this.#tokens = parts.tokens
    this.#world = parts.world
  }

  get activeCalls(): number {
    return this.#calls.size + this.#opening.size
  }

  get isDraining(): boolean {
    return this.#isDraining
  }

  offer(offer: CallOffer): Answer | Promise<Answer> {
    const held = this.#calls.get(offer.callSid)
    if (held !== undefined) return held.answer
    const opening = this.#opening.get(offer.callSid)
    if (opening !== undefined) return opening
    if (this.#isDraining) return { kind: 'busy', reason: 'draining' }
    if (this.activeCalls >= this.#config.call.callsMax) return { kind: 'busy', reason: 'full' }
    const answer = this.#open(offer).finally(() => {
      this.#opening.delete(offer.callSid)
      this.#checkIdle()
    })
    this.#opening.set(offer.callSid, answer)
    return answer
  }

  next(callSid: CallSid, parameters: Record<string, string>): NextStep {
    // The carrier asks what follows: the stream of this call is over, whatever we believed.
    this.#calls.get(callSid)?.call.carrierEnded()
    const remembered = this.#next.get(callSid)
    if (remembered === undefined) return { kind: 'unknown-call' }
    remembered.isAsked = true
    const { next } = remembered
    if (next.kind === 'none') return { kind: 'hang-up' }
    // A repeated question gets the same answer; only the end of the transfer itself ends it.
    if (next.kind === 'transfer' && parameters.DialCallStatus !== undefined) return { kind: 'hang-up' }
    return next
  }

  ended(callSid: CallSid): void {
    this.#calls.get(callSid)?.call.carrierEnded()
  }

  streamEvent(callSid: CallSid, event: string, error?: string): void {
    if (event === 'stream-error') this.#world.log.warn({ callSid, error }, 'the carrier reported a stream error')
  }

  /** Nobody waits at this desk: a call that is not held has no place. */
  wait(callSid: CallSid): WaitStep | Promise<WaitStep> {
    return this.#calls.get(callSid)?.answer ?? { kind: 'gone' }
  }

  callBackWanted(callSid: CallSid, number: string): void {
    this.#world.log.info({ callSid, 'pii.number': number }, 'a caller wants to be called back')
  }

  voicemailLeft(callSid: CallSid, { from, recordingSid, durationMs }: Voicemail): void {
    this.#world.log.info({ callSid, recordingSid, durationMs, 'pii.from': from }, 'a caller left a message')
  }

  /** The calls that live now. */
  calls(): Call[] {
    return [...this.#calls.values()].map(({ call }) => call)
  }

  /** The stream of `callSid` has begun; undefined when no call awaits it. */
  attach(callSid: CallSid, leg: Leg): LegListener | undefined {
    const held = this.#calls.get(callSid)
    return held?.call.attach(leg) ? held.call : undefined
  }

  /** Refuses new calls, waits for the live ones until `deadlineMs` from now, then ends what remains. */
  drain(deadlineMs: number): Promise<void> {
    this.#isDraining = true
    return new Promise((resolve) => {
      const timer = this.#world.wheel.after(deadlineMs, () => this.endAll())
      this.#onIdle = () => {
        this.#world.wheel.cancel(timer)
        resolve()
      }
      this.#checkIdle()
    })
  }

  /** Callers who still have to be told what follows (their stream was ended by us). */
  get unasked(): number {
    let count = 0
    for (const { isAsked } of this.#next.values()) if (!isAsked) count += 1
    return count
  }

  /** Ends every call now; each caller hears what /twilio/next says. */
  endAll(): void {
    this.#isDraining = true
    this.#isOver = true
    for (const { call } of [...this.#calls.values()]) call.drainOver()
  }

  async #open(offer: CallOffer): Promise<Answer> {
    const { callSid } = offer
    const callId = newCallId()
    const log = this.#world.log.child({ callId, callSid })
    let call: Call | undefined
    const control: CallControl = {
      callId,
      callSid,
      from: offer.from,
      to: offer.to,
      endCall: () => call?.endCall(),
      transferCall: (to) => call?.transferCall(to),
    }
    const packCall = await this.#pack.openCall(control)
    call = this.#makeCall(callId, callSid, packCall, log)
    const token = this.#tokens.mint({ callSid, pod: this.#config.podName, epoch: 1, nowMs: this.#world.clock.wallMs() })
    const answer = { kind: 'stream' as const, callId, token, pod: this.#config.podName, parameters: {} }
    this.#calls.set(callSid, { call, answer })
    log.info({ 'pii.from': offer.from }, 'call admitted')
    call.start()
    if (this.#isOver) call.drainOver()
    return answer
  }

  #makeCall(callId: CallId, callSid: CallSid, packCall: PackCall, log: Log): Call {
    const { metrics, traces, clock, wheel } = this.#world
    const meter = new Watch({ metrics, traces, clock, callId, onEntry: this.onTimeline })
    const settings = callSettings(this.#config, packCall)
    const { playoutLeadMs: leadMs, playoutChunkMs: chunkMs, markEveryMs, mediaWatchdogMs } = this.#config.call
    const call: Call = new Call(
      {
        callId,
        callSid,
        settings,
        playout: { leadMs, chunkMs, markEveryMs },
        mediaWatchdogMs,
        onEnded: (cause, next) => this.#ended(call, cause, next, log),
      },
      (listener) => this.#makeModel(listener, packCall, log),
      { clock, wheel, log, meter },
    )
    return call
  }

  #ended(call: Call, cause: EndCause, next: Next, log: Log): void {
    this.#calls.delete(call.callSid)
    this.#remember(call.callSid, next)
    log.info({ cause, turns: call.state.turns, bargeIns: call.state.bargeIns }, 'call ended')
    try {
      this.onCallEnded?.(call, cause)
    } catch (error) {
      log.error({ reason: messageOf(error) }, 'a listener of ended calls failed')
    }
    this.#checkIdle()
  }

  #remember(callSid: CallSid, next: Next): void {
    const nowMs = this.#world.clock.monotonicMs()
    for (const [sid, { untilMs }] of this.#next) {
      if (untilMs > nowMs && this.#next.size < NEXT_MAX) break
      this.#next.delete(sid)
    }
    this.#next.set(callSid, { next, untilMs: nowMs + NEXT_KEPT_MS, isAsked: next.kind === 'none' })
  }

  #checkIdle(): void {
    if (this.#isDraining && this.activeCalls === 0) this.#onIdle?.()
  }
}

/** What the machine needs to know of the configuration and the agent. */
export function callSettings(config: Config, packCall: PackCall): CallSettings {
  const turnDetection = (
    packCall.config as { audio?: { input?: { turnDetection?: Record<string, unknown> | null } } } | undefined
  )?.audio?.input?.turnDetection
  return {
    greeting: packCall.greeting ?? { kind: 'agent' },
    autoRespond: turnDetection !== null && turnDetection?.createResponse !== false,
    bargeIn: turnDetection !== null && turnDetection?.interruptResponse !== false,
    transcriptMaxItems: config.call.transcriptMaxItems,
    streamAwaitedMs: Math.min(30_000, config.streamToken.ttlMs),
    callMaxMs: config.call.callMaxMs,
    modelStallMs: config.model.stallMs,
    renewAfterMs: config.model.sessionMaxMs,
    redialMax: 5,
    digitsPauseMs: 1_500,
    closingMaxMs: 15_000,
    fallbackNumber: config.twilio.fallbackNumber,
    sorrySentence: SORRY,
  }
}
