// The state of a call: what a checkpoint holds. Versioned data, no sockets, no timers, no audio.
// Rules:
// ST1: the phase is one union; what belongs to a phase lives in it.
// ST2: everything here can be written as JSON and read back.

import { type AgentState, NEW_AGENT } from './agent-state.ts'
import type { CutItem } from './playout.ts'
import type { LegEnd, ModelEvent, ModelLoss, ResponseRequest, Usage } from './ports.ts'
import type { Transcript } from './transcript.ts'

export const STATE_VERSION = 1
/** A call that has gone on so long since its last failover counts its failovers anew. */
export const FAILOVER_CALM_MS = 600_000

/** What happens to the caller when our media stream has ended; the answer of /twilio/next. */
export type Next = { kind: 'hang-up'; sentence?: string } | { kind: 'transfer'; to: string } | { kind: 'none' } // the caller is gone

/** Why a call ended. */
export type EndCause =
  | 'caller-hung-up'
  | 'carrier-lost'
  | 'agent-ended'
  | 'transferred'
  | 'stream-never-came'
  | 'media-silent'
  | 'too-long'
  | 'model-refused'
  | 'model-lost'
  | 'agent-failed'
  | 'drained'
  /** Another pod acts for the call: this one's part is over, the call is not. */
  | 'moved'
  | 'handed-over'

export type Phase =
  | { kind: 'opening' }
  | { kind: 'live' }
  /** What is being said is heard to its end, then the stream is closed. */
  | { kind: 'closing'; cause: EndCause; next: Next }
  | { kind: 'ended'; cause: EndCause; next: Next }

export type ModelState =
  | { kind: 'dialing'; attempt: number }
  | { kind: 'ready'; isRenewing: boolean }
  | { kind: 'lost'; attempt: number }

export type ResponseState =
  | { kind: 'idle' }
  | { kind: 'requested'; asked: AskedResponse }
  /** `asked`: what was under way to the model when this response began; perhaps it is the answer to it. */
  | { kind: 'active'; responseId: string; hasAudio: boolean; asked?: AskedResponse }

/** A request that was sent, kept until its response has begun to sound: it may have to be made again. */
export type AskedResponse = { requestId: string; request: ResponseRequest }

export type CallState = {
  version: typeof STATE_VERSION
  phase: Phase
  isLegOpen: boolean
  model: ModelState
  response: ResponseState
  /** A response that waits until the active one is over (one at a time). */
  wanted: ResponseRequest | undefined
  isCallerSpeaking: boolean
  hasGreeted: boolean
  renewalDue: boolean
  /** Responses in a row that failed. */
  failures: number
  requests: number
  bargeIns: number
  /** Links to the model that were made again after a loss. */
  modelRedials: number
  /** Times its pod or its socket was lost, with less than FAILOVER_CALM_MS between them. */
  failovers: number
  /** Planned moves to another pod. */
  handovers: number
  /** The call comes from another pod and the caller has not been heard since: after a loss he has heard silence. */
  comeback: 'failover' | 'handover' | undefined
  turns: number
  usage: Usage
  digits: string
  /** How often pressed keys were told to the model. */
  keyMessages: number
  /** What lives in the agent's own objects, as a checkpoint found it; while the call is here they are asked (call.ts). */
  agent: AgentState
  /** How often the agent's part changed. */
  agentChanges: number
  transcript: Transcript
}

/** Settings of one call that the machine needs; constant for its life. */
export type CallSettings = {
  greeting: { kind: 'agent'; instructions?: string } | { kind: 'caller-first' }
  /** The provider starts a response by itself when the caller has spoken. */
  autoRespond: boolean
  bargeIn: boolean
  transcriptMaxItems: number
  streamAwaitedMs: number
  callMaxMs: number
  modelStallMs: number
  renewAfterMs: number
  redialMax: number
  digitsPauseMs: number
  closingMaxMs: number
  fallbackNumber: string | undefined
  sorrySentence: string
}

export type TimerName =
  | 'stream-awaited'
  | 'call-max'
  | 'model-answer'
  | 'renew'
  | 'redial'
  | 'digits'
  | 'closing'
  | 'calm'

/** Everything that can happen to a call. */
export type CallEvent =
  | { kind: 'opened' }
  | { kind: 'leg-opened' }
  | { kind: 'leg-ended'; end: LegEnd }
  | { kind: 'carrier-ended' }
  | { kind: 'media-silent' }
  | { kind: 'digit'; digit: string }
  | { kind: 'timer'; name: TimerName }
  | { kind: 'audio-begun'; responseId: string }
  | { kind: 'playout-idle' }
  | { kind: 'end-wanted' }
  | { kind: 'transfer-wanted'; to: string }
  | { kind: 'drain-over' }
  /** This pod's part is over; what follows for the caller is somebody else's to say. */
  | { kind: 'let-go'; cause: EndCause }
  | { kind: 'cut'; items: CutItem[] }
  | { kind: 'model'; event: ModelEvent }

/** Everything a call can do; the driver does it. */
export type Effect =
  | { kind: 'dial'; renewal: boolean }
  | ({ kind: 'respond'; requestId: string } & ResponseRequest)
  | { kind: 'cancel-response' }
  | { kind: 'drop-response'; responseId: string }
  /** Clear the carrier and the playout; the driver answers with a `cut` event. */
  | { kind: 'clear-playout' }
  | { kind: 'truncate'; itemId: string; audioEndMs: number; heardText: string }
  | { kind: 'complete-item'; itemId: string }
  | { kind: 'play-filler' }
  | { kind: 'send-digits'; itemId: string; digits: string }
  | { kind: 'set-timer'; name: TimerName; ms: number }
  | { kind: 'clear-timer'; name: TimerName }
  | { kind: 'close-leg'; reason: string }
  | { kind: 'close-model' }
  | { kind: 'note'; level: 'info' | 'warn'; message: string; code?: string }
  | { kind: 'count'; what: 'barge-in' | 'model-error' | 'redial' | 'renewal' | 'turn'; code?: string }
  | { kind: 'ended'; cause: EndCause; next: Next }

export type Step = { state: CallState; effects: Effect[] }

export const NO_USAGE: Usage = {
  inputTokens: 0,
  outputTokens: 0,
  inputAudioTokens: 0,
  outputAudioTokens: 0,
  cachedTokens: 0,
}

/** A call before anything has happened to it. */
export function initialState(): CallState {
  return {
    version: STATE_VERSION,
    phase: { kind: 'opening' },
    isLegOpen: false,
    model: { kind: 'dialing', attempt: 0 },
    response: { kind: 'idle' },
    wanted: undefined,
    isCallerSpeaking: false,
    hasGreeted: false,
    renewalDue: false,
    failures: 0,
    requests: 0,
    bargeIns: 0,
    modelRedials: 0,
    failovers: 0,
    handovers: 0,
    comeback: undefined,
    turns: 0,
    usage: NO_USAGE,
    digits: '',
    keyMessages: 0,
    agent: NEW_AGENT,
    agentChanges: 0,
    transcript: { items: [], dropped: 0 },
  }
}

/** A caller waits: a provider that asks for more patience than this is asked again all the same. */
const RETRY_AFTER_MAX_MS = 10_000

/** How long to wait before dial number `attempt` (1 is the first repeat): 100 ms, doubling, at most 2 s; longer if the provider asks. */
export function redialAfterMs(attempt: number, loss: ModelLoss): number {
  return Math.max(Math.min(RETRY_AFTER_MAX_MS, loss.retryAfterMs ?? 0), Math.min(2_000, 100 * 2 ** (attempt - 1)))
}
