// What the fleet keeps of each call: its row, its checkpoint, the intents of its tools, how it ended. Rules:
// RR1: every write bears the epoch of its writer and happens only where no higher epoch has claimed or written; otherwise it is
//      `fenced` and changes nothing, and the writer stops to act for the call. A writer above the row's epoch raises it: its claim
//      could not be written when it took the call.
// RR2: a claim raises the epoch, never lowers it.
// RR3: a tool's intent is durable before the tool runs; its key is `callId:turn:ordinal`, never the model's tool call id.
// RR4: a call ends once: the first end stands.
// RR6: a claim counts as a failover unless it is a handover's. Failovers with less than FAILOVER_CALM_MS between them count together, by
//      the store's clock.
// RR5: a store that cannot be reached rejects with STORE_UNAVAILABLE within its own bound.
import type { EndCause } from '../call/end-cause.ts'
import type { CallIdentity } from '../call/identity.ts'
import type { CallSid } from '../kit/ids.ts'

/** What the carrier is to do when a stream has ended; as the call's own `Next`, and how a transfer ended where that is known. */
export type RecordedNext =
  | { kind: 'hang-up'; sentence?: string }
  | { kind: 'transfer'; to: string; outcome?: string }
  | { kind: 'none' }

export type ToolIntent = {
  key: string
  toolCallId: string
  name: string
  argumentsText: string
  /** undefined: the tool has not answered, or its answer was lost. */
  output: string | undefined
}

export type CallRow = CallIdentity & {
  pack: string
  packVersion: string
  state: 'live' | 'ended'
  epoch: number
  pod: string
  pool: string
  /** The call's state as text (call/checkpoint.ts); undefined before the first. */
  checkpoint: string | undefined
  /** Number of the checkpoint: a lower one never replaces a higher one of the same epoch. */
  sequence: number
  /** Claims after the first. */
  resumes: number
  /** Claims after its pod or socket was lost, with less than FAILOVER_CALM_MS between them; 0 when the last was longer ago. */
  failovers: number
  /** Wall-clock ms since 1970, the store's clock. */
  startedAtMs: number
  endedAtMs: number | undefined
  /** undefined: it lives, or its cause is one of another version. */
  cause: EndCause | undefined
  next: RecordedNext | undefined
  intents: ToolIntent[]
  /** Some of it is sealed and did not open: it reads as unknown, or as not there. */
  isSealed?: true
}

export type OpenRequest = Pick<
  CallRow,
  'callId' | 'callSid' | 'tenant' | 'from' | 'to' | 'direction' | 'pack' | 'packVersion' | 'epoch' | 'pod' | 'pool'
>
export type Fenceable = { callSid: CallSid; epoch: number }
/** `how`: left out, the call's pod or socket was lost. */
export type ClaimRequest = Fenceable & { pod: string; pool: string; how?: 'failover' | 'handover' }
export type CheckpointWrite = Fenceable & { sequence: number; text: string }
export type Claimed =
  | { kind: 'claimed'; row: CallRow }
  | { kind: 'ended'; row: CallRow }
  | { kind: 'fenced'; epoch: number }
  | { kind: 'unknown' }
export type Intended =
  | { kind: 'intended' }
  /** The same key was intended before: the tool may have run. `output` when it answered. */
  | { kind: 'known'; output: string | undefined }
  | { kind: 'fenced' }
export type EndRequest = Fenceable & { cause: EndCause; next: RecordedNext; checkpoint: string | undefined }

/** A live call, as far as a sweep needs it. */
export type LiveCall = Pick<CallRow, 'callSid' | 'epoch' | 'pod'>

export interface CallRecords {
  /** Writes the row of a new call; a repeated one changes nothing. */
  open(request: OpenRequest): Promise<{ kind: 'opened' | 'exists' }>
  /** Takes the call over under `epoch` if it is higher than the row's and the call is live; repeated by the same pod it is the same answer. */
  claim(request: ClaimRequest): Promise<Claimed>
  /** Writes many checkpoints in one statement, each a sign of life also when it is not newer; gives back the calls that are fenced (a higher epoch, or ended); those without a row are left out. */
  save(writes: readonly CheckpointWrite[]): Promise<CallSid[]>
  /** Rejects with CALL_UNKNOWN when the call has no row. */
  intend(request: Fenceable & Omit<ToolIntent, 'output'>): Promise<Intended>
  /** The first answer stands; it may come after the end. `fenced` also when nothing was intended under the key. */
  settle(request: Fenceable & { key: string; output: string }): Promise<{ kind: 'settled' | 'fenced' }>
  /** In one transaction: the final state, and (later) the jobs that follow. */
  end(request: EndRequest): Promise<{ kind: 'ended' | 'repeated' | 'fenced' | 'unknown' }>
  find(callSid: CallSid): Promise<CallRow | undefined>
  /** Live calls in the order of their Call SIDs, those after `after`; at most `max`. */
  live(page: { after: CallSid | undefined; max: number }): Promise<LiveCall[]>
  /** Live calls that no pod has saved for `forMs`, or never and that began `unsignedForMs` ago; in the order of their Call SIDs. */
  silent(page: { after: CallSid | undefined; max: number; forMs: number; unsignedForMs: number }): Promise<LiveCall[]>
  /** Whoever takes a live call is the only one to rescue it for `forMs`; only under the row's own epoch. */
  take(request: Fenceable & { forMs: number }): Promise<{ kind: 'taken' | 'busy' }>
  close(): Promise<void>
}
