// What follows a call: its items of work, and the store that keeps them. Rules:
// WK1: an item is there once for each call and type, however often and by whomever its making is asked for.
// WK2: an item is held by one worker for its lease, under its version and attempt; who holds an earlier one may neither finish nor
//      fail it.
// WK3: what an item found and that it is done are written in one transaction. The next item of the chain becomes ready in it too.
// WK4: an item that fails waits for its next try, and is dead after ATTEMPTS_MAX; a dead one stays until a person runs it again.
// WK5: an effect outside bears the key `callId:type:keyNumber`, the same in each attempt and rerun unless a person asks for a new one. Where a sink takes no key, the intent is written before it is sent;
//      an intent whose outcome nobody knows makes the item `uncertain`, for a person.
import type { EndCause, EndedBy } from '../call/end-cause.ts'
import type { CallFigures } from '../call/figures.ts'
import type { CallIdentity } from '../call/identity.ts'
import type { CallId, CallSid } from '../kit/ids.ts'

/** In the order of the chain: each waits for the one that AFTER names. */
const WORK_TYPES = ['record', 'analysis', 'crm', 'recording', 'voicemail', 'call-back'] as const
export type WorkType = (typeof WORK_TYPES)[number]

/** `crm` tells what `record` and `analysis` found, also when analysis is dead. A recording comes when the carrier says so. */
export const AFTER: Readonly<Record<WorkType, WorkType | undefined>> = {
  record: undefined,
  analysis: 'record',
  crm: 'analysis',
  recording: undefined,
  voicemail: undefined,
  'call-back': undefined,
}

/** Made for every call that ends; `recording` only when the carrier has one. */
export const MADE_AT_END: readonly WorkType[] = ['record', 'analysis', 'crm']

export const ATTEMPTS_MAX = 12

export type WorkState = 'waiting' | 'ready' | 'running' | 'done' | 'dead' | 'uncertain'

/** An item as its holder sees it. */
export type WorkItem = {
  id: string
  callSid: CallSid
  callId: CallId
  tenant: string
  type: WorkType
  /** From 1 in each version; with it the fence of the holder (WK2). */
  attempt: number
  /** Raised when a person runs it again; a part of the fence. */
  version: number
  /** Raised when a person asks for a new key of its effect (WK5). */
  keyNumber: number
  /** What made it, for a recording: the carrier's identifiers. */
  body: Record<string, unknown>
  createdAtMs: number
}

export type HeldItem = Pick<WorkItem, 'id' | 'callSid' | 'attempt' | 'version'>

/** One line of what was said. */
export type TranscriptLine = { who: 'caller' | 'agent' | 'tool'; text: string }

/** Tokens and what they cost; prices are the operator's. */
export type CallCost = {
  currency: string
  modelAmount: number
  carrierAmount: number
  inputTokens: number
  outputTokens: number
}

/** What the analyser found; the ranges are those of the column's checks. */
export type Analysis = {
  /** `model:<name>` or `rules`: never disguised. */
  analyser: string
  summary: string
  intent: string
  /** −1 to 1 */
  sentiment: number
  /** 0 to 100 */
  leadScore: number
  /** 1 to 5 */
  satisfaction: number
  isEscalated: boolean
  disposition: string
}

/** What an item that is done leaves behind. `skipped`: there was nothing to do, and why. */
export type WorkResult =
  | {
      kind: 'record'
      durationMs: number
      turns: number
      figures: CallFigures
      transcript: readonly TranscriptLine[]
      cost: CallCost | undefined
    }
  | { kind: 'analysis'; analysis: Analysis }
  | { kind: 'delivered'; key: string; status: number }
  /** The person was called back and answered, in the call `callSid`. */
  | { kind: 'called-back'; callSid: CallSid; dials: number }
  | { kind: 'skipped'; reason: string }

/** Why an item is not done. */
export type WorkFailure =
  | { kind: 'retry'; error: string; inMs: number }
  | { kind: 'dead'; error: string }
  | { kind: 'uncertain'; error: string }

/** The one record of a call, as far as it is there yet. */
export type CallRecord = {
  callSid: CallSid
  callId: CallId
  tenant: string
  from: string
  to: string
  direction: 'inbound' | 'outbound'
  pack: string
  startedAtMs: number
  endedAtMs: number | undefined
  cause: EndCause | undefined
  endedBy: EndedBy | undefined
  durationMs: number | undefined
  turns: number | undefined
  figures: CallFigures | undefined
  transcript: readonly TranscriptLine[] | undefined
  cost: CallCost | undefined
  analysis: Analysis | undefined
}

/** An item as an operator sees it. */
export type WorkEntry = Omit<WorkItem, 'body'> & { state: WorkState; error: string | undefined; runAtMs: number }

/** A caller who never came to an agent: the call has no row of its own yet. */
export type Waiter = CallIdentity & { pack: string; packVersion: string; pod: string }

/** A message of a caller, as an operator sees it in a list: without numbers. */
export type VoicemailEntry = Omit<WorkEntry, 'attempt' | 'version' | 'keyNumber' | 'runAtMs'> & {
  body: Record<string, unknown>
}

/** How much of a type is in a state, and how long the oldest has been due. */
export type WorkDepth = { type: WorkType; state: WorkState; count: number; oldestMs: number }

/** Rejects with STORE_UNAVAILABLE when the database does not answer within its own bound. */
export interface WorkStore {
  /** At most `max` due items of `types`, oldest first, held for `leaseMs`; items whose holder let its lease pass are due again. */
  claim(request: { worker: string; types: readonly WorkType[]; max: number; leaseMs: number }): Promise<WorkItem[]>
  /** Prolongs; gives back the ids of those that are no longer held. */
  renew(held: readonly HeldItem[], leaseMs: number): Promise<string[]>
  /** [WK3] `lost`: another holds it, nothing was written. */
  finish(held: HeldItem, result: WorkResult): Promise<{ kind: 'done' | 'lost' }>
  /** [WK4] */
  fail(held: HeldItem, failure: WorkFailure): Promise<{ kind: 'kept' | 'lost' }>
  /** [WK5] Before an effect at a sink without keys. `known`: it was intended by an earlier attempt. */
  intend(held: HeldItem, key: string): Promise<{ kind: 'intended' | 'known' | 'lost' }>
  /** Makes what is missing for ended calls, at most for `max` of them; gives back for how many it did. */
  derive(max: number): Promise<number>
  /** Adds the item of a recording; repeated it changes nothing. `unknown`: there is no such call. */
  addRecording(callSid: CallSid, body: Record<string, unknown>): Promise<{ kind: 'added' | 'exists' | 'unknown' }>
  /** Keeps the call of a waiter, ended, with its message; repeated it changes nothing. */
  addVoicemail(waiter: Waiter, body: Record<string, unknown>): Promise<{ kind: 'added' | 'exists' }>
  /** Keeps a call-back, one for each far party and tenant; `full`: `max` of the tenant wait already. */
  addCallBack(
    waiter: Waiter,
    body: Record<string, unknown>,
    max: number,
  ): Promise<{ kind: 'added' | 'exists' | 'full' }>
  /** Puts the members of `body` into the item's, while it is held. */
  keep(held: HeldItem, body: Record<string, unknown>): Promise<{ kind: 'kept' | 'lost' }>
  /** Messages, newest first; `before`: the id after which the last page ended. */
  voicemails(page: { before: string | undefined; max: number }): Promise<VoicemailEntry[]>
  record(callSid: CallSid): Promise<CallRecord | undefined>
  /** Newest first; `before`: the id after which the last page ended. */
  list(page: { state: WorkState; before: string | undefined; max: number }): Promise<WorkEntry[]>
  /** A dead or uncertain item is due again, under its next version. `newKey`: its effects get a key that no receiver knows. */
  rerun(id: string, how?: { newKey?: boolean }): Promise<{ kind: 'ready' | 'unknown' }>
  depth(): Promise<WorkDepth[]>
  close(): Promise<void>
}
