// What a carrier asks call control, and what it is answered: no carrier's words are here. Rules:
// KD1: every question is idempotent by the carrier's id of the call: a carrier repeats questions, and may ask any pod.
// KD2: a caller who waits keeps the place by asking; a question about a call that waits nowhere is answered `gone`.
import type { CallIdentity } from '../call/identity.ts'
import type { Leg, LegListener } from '../call/ports.ts'
import type { TransferOutcome } from '../call/state.ts'
import type { CallId, CallSid } from '../kit/ids.ts'
import type { CarrierEndCause } from './carrier-calls.ts'

/** A call that asks to enter. `callBack`: we call because it was asked for; the language of that call, a BCP 47 tag. */
export type CallOffer = Pick<CallIdentity, 'callSid' | 'from' | 'to' | 'direction'> & { callBack?: string }

/**
 * What the carrier tells when it asks what follows. `transfer`: one that has just ended; `isLast`: nothing is tried after it.
 * `returnedFrom`: how the transfer ended from which the call came into the stream that is over.
 */
export type NextQuestion = {
  transfer?: { outcome: TransferOutcome; isLast: boolean }
  returnedFrom?: TransferOutcome
}

/**
 * The way into a media stream of pod `pod`; the caller hears `sentence` first when there is one. A `language` beside a
 * sentence is its BCP 47 tag; without one the carrier's own default speaks.
 */
export type StreamGrant = {
  kind: 'stream'
  callId: CallId
  token: string
  pod: string
  sentence?: string
  language?: string
  /** The call comes back from a transfer that ended so; the carrier tells it again when it asks what follows this stream. */
  returnedFrom?: TransferOutcome
}

/** A place in the queue: `ahead` callers are served before, `etaMs` is an estimate, `language` a BCP 47 tag. */
export type Place = { ahead: number; etaMs: number; language: string }

export type Answer =
  | StreamGrant
  | ({ kind: 'queued' } & Place)
  /** `caller-full`: this caller has all the places that one caller gets. */
  | { kind: 'busy'; reason: 'full' | 'draining' | 'store-away' | 'caller-full' }
  /** The call has ended. */
  | { kind: 'over' }

export type NextStep =
  | StreamGrant
  /** Its stream goes on: nothing follows yet. */
  | { kind: 'streaming' }
  | { kind: 'hang-up'; sentence?: string; language?: string }
  /** `isLast`: when nobody answers there either, the caller hears a sentence. */
  | { kind: 'transfer'; to: string; callerId?: string; sentence?: string; language?: string; isLast?: true }
  /** A transfer was not answered, and there is nothing else to try. `language`: a BCP 47 tag. */
  | { kind: 'not-reached'; language: string }
  | { kind: 'unknown-call' }

/** Where a caller goes whose waiting is over without a stream. */
export type Overflow =
  | { kind: 'transfer'; number: string }
  | { kind: 'voicemail' }
  | { kind: 'call-back' }
  | { kind: 'hang-up' }

export type WaitStep =
  | StreamGrant
  | ({ kind: 'waiting' } & Place)
  | { kind: 'overflow'; to: Overflow }
  /** The call has no place in the queue (any more). */
  | { kind: 'gone' }

/** Where the carrier keeps a recording: of a call, or of a message that a caller left instead of talking to us. */
export type Recording = { recordingSid: string; recordingUrl: string; durationMs: number }

/** A message that a caller left. `language` is a BCP 47 tag. */
export type Message = Recording & { language: string | undefined }

/** Whether a stream may enter; `reason` is for the log. */
export type StreamEntry = { kind: 'enter' } | { kind: 'refused'; reason: string }

/** What a carrier asks about the media streams of calls. A stream belongs to one epoch of its call. */
export interface StreamControl {
  /** A stream with a valid token asks to open; it waits at most as long as the stores are given to answer. */
  enter(callSid: CallSid, epoch: number): Promise<StreamEntry>
  /** It was let in here. `picked`: the pod that was to get it. */
  opened(callSid: CallSid, epoch: number, picked: string): void
  /** The stream of `callSid` has begun; undefined when no call awaits it. */
  attach(callSid: CallSid, leg: Leg): LegListener | undefined
  /** It was let in, and its socket has gone before it began. */
  neverStarted(callSid: CallSid, epoch: number): void
}

/** What decides about calls; a carrier only carries its answers. */
export interface CallControl {
  /** A repeated offer gets the same answer. */
  offer(offer: CallOffer): Answer | Promise<Answer>
  /**
   * A caller who was `queued` asks again; `offer` is the call as the carrier tells of it now, since any pod may be asked.
   * While the store is away it throws: then the last place stays said, and the caller asks again a poll later.
   */
  wait(callSid: CallSid, offer: CallOffer): WaitStep | Promise<WaitStep>
  /** What follows a stream or a transfer. */
  next(callSid: CallSid, question: NextQuestion): NextStep | Promise<NextStep>
  /** The carrier says that the call is over. May come twice. `transfer`: how its transfer ended. */
  ended(callSid: CallSid, cause: CarrierEndCause, transfer?: TransferOutcome): void | Promise<void>
  /** The carrier reports that a stream failed, with its own text. */
  streamFailed(callSid: CallSid, error?: string): void
  /** The caller wants to be called back at the number they call from, in `language`. `taken` once it is kept. May come twice. */
  callBackWanted(offer: CallOffer, language: string | undefined): Promise<'taken' | 'refused'>
  /** A recording can be fetched from the carrier. Never waits; may come twice. */
  recorded(callSid: CallSid, recording: Recording): void
  /** A caller left a message. `offer`: the call, when the carrier tells of it. Never waits; comes twice as a rule. */
  messageLeft(callSid: CallSid, offer: CallOffer | undefined, message: Message): void
}
