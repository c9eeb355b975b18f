// What the webhooks ask of whoever decides about calls. Rules:
// KD1: every question is idempotent by Call SID: webhooks repeat, and any pod may be asked.
// KD2: a caller who waits keeps the place by asking; a question about a call that waits nowhere is answered `gone`.
// KD3: `pod` in the parameters of next names the pod that served the stream; it is a hint, and never needed to answer.
import type { CallIdentity } from '../../call/identity.ts'
import type { TransferOutcome } from '../../call/state.ts'
import type { CallId, CallSid } from '../../kit/ids.ts'

/** A call that asks to enter. `parameters` are the webhook's fields, those of the URL's query included. */
export type CallOffer = Pick<CallIdentity, 'callSid' | 'from' | 'to' | 'direction'> & {
  parameters: Record<string, string>
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
  parameters: Record<string, string>
  sentence?: string
  language?: string
  /** The call comes back from a transfer that ended so; the carrier says it again when it asks what follows this stream. */
  dialed?: TransferOutcome
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

/** What decides about calls; the webhooks only carry its answers. */
export interface CallDesk {
  /** A repeated webhook gets the same answer. */
  offer(offer: CallOffer): Answer | Promise<Answer>
  /**
   * A caller who was `queued` asks again; `offer` is the call as the carrier tells of it now, since any pod may be asked.
   * While the store is away it throws: then the last place stays said, and the caller asks again a poll later.
   */
  wait(callSid: CallSid, offer: CallOffer): WaitStep | Promise<WaitStep>
  /** What follows a stream or a transfer (`parameters.DialCallStatus` tells how the transfer ended, `parameters.last` that it was the last). */
  next(callSid: CallSid, parameters: Record<string, string>): NextStep | Promise<NextStep>
  /** The carrier says the call is over: completed, busy, failed, no-answer or canceled. May come twice. `dialStatus`: how its transfer ended. */
  ended(callSid: CallSid, cause: string, dialStatus?: string): void | Promise<void>
  /** stream-started, stream-stopped or stream-error, with the carrier's text. */
  streamEvent(callSid: CallSid, event: string, error?: string): void
  /** The caller wants to be called back at the number they call from, in `language`. `taken` once it is kept. May come twice. */
  callBackWanted(offer: CallOffer, language: string | undefined): Promise<'taken' | 'refused'>
  /** A recording can be fetched from the carrier. Never waits; may come twice. */
  recorded(callSid: CallSid, recording: Recording): void
  /** A caller left a message. `offer`: the call, when the carrier tells of it. Never waits; comes twice as a rule. */
  messageLeft(callSid: CallSid, offer: CallOffer | undefined, message: Message): void
}
