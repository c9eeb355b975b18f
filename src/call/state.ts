// The state of a call: what a checkpoint holds. Versioned data, no sockets, no timers, no audio.
// Rules:
// ST1: the phase is one union; what belongs to a phase lives in it.
// ST2: everything here can be written as JSON and read back.

import { type AgentState, NEW_AGENT } from './agent-state.ts'
import type { EndCause } from './end-cause.ts'
import type { CutItem } from './playout.ts'
import type { LegEnd, ModelEvent, ModelLoss, ResponseRequest, TurnTaking, Usage } from './ports.ts'
import type { Tariff } from './tariff.ts'
import type { Transcript } from './transcript.ts'

export const STATE_VERSION = 1
/** A call that has gone on so long since its last failover counts its failovers anew. */
export const FAILOVER_CALM_MS = 600_000

/** What happens to the caller when our media stream has ended; the answer of /twilio/next. */
export type Next = { kind: 'hang-up'; sentence?: string } | { kind: 'transfer'; to: string } | { kind: 'none' } // the caller is gone

/** How a transfer ended, by the carrier's word. */
export type TransferOutcome = 'answered' | 'busy' | 'no-answer' | 'failed' | 'canceled'

export type Phase =
  | { kind: 'opening' }
  | { kind: 'live' }
  /** What is being said is heard to its end, then the stream is closed. `isBroken`: the provider broke it off. */
  | { kind: 'closing'; cause: EndCause; next: Next; isBroken?: true }
  | { kind: 'ended'; cause: EndCause; next: Next }

type ModelState =
  | { kind: 'dialing'; attempt: number }
  | { kind: 'ready'; isRenewing: boolean }
  | { kind: 'lost'; attempt: number }

type ResponseState =
  | { kind: 'idle' }
  | { kind: 'requested'; asked: AskedResponse }
  /**
   * `asked`: what was under way to the model when this response began; perhaps it is the answer to it. `isCancelled`: we have asked
   * for its end.
   */
  | {
      kind: 'active'
      responseId: string
      hasAudio: boolean
      asked?: AskedResponse
      isCancelled?: true
      /** Since when it sounds, and how many pieces of sound had come when it was last looked at. */
      soundFromMs?: number
      sounds?: number
    }

/** A request that was sent, kept until its response has begun to sound: it may have to be made again. */
type AskedResponse = { requestId: string; request: ResponseRequest }

/** What made an answer due. */
export type DueCause = 'greeting' | 'caller' | 'digits' | 'tool' | 'request' | 'model'

/** How far the plane has gone to get an answer: asked again, on another link, elsewhere (another pool). */
export type Rung = 0 | 1 | 2 | 3

/** An answer that the caller is owed: from what made it due to its first sound, or to another named outcome. */
type OwedTurn = {
  cause: DueCause
  /** The highest rung of this turn. */
  reached: Rung
  /** The caller has heard our own sound meanwhile. */
  hasFilled: boolean
  /** A tool of this turn asked for no response. */
  isQuiet: boolean
  /** The response that was under way when the turn became due: its sound is no answer to it. */
  before: string | undefined
  /** Whether a link whose response says nothing was asked if it lives, and has answered. */
  proof: 'none' | 'asked' | 'given'
}

/** How a turn that was owed ended. */
export type TurnOutcome =
  | 'answered'
  | 'answered-after-filler'
  | 'answered-after-retry'
  | 'answered-after-redial'
  | 'answered-after-move'
  /** The caller spoke again before an answer came: a new turn is owed when they stop. */
  | 'caller-spoke'
  /** The agent's own code wanted no answer. */
  | 'agent-quiet'
  | 'person'
  | 'sentence'
  | 'call-ended'
  /** Another pod owes it now. */
  | 'moved'

/** Answers that came to nothing, in a row. Only an answer that is heard clears it: no redial, no other response. */
export type Strikes = { rung: Rung; limitWaits: number }

/** A tool that the model called and that has not answered. `holds`: the answers of the others wait for it. */
type ToolOut = { id: string; holds: boolean }

export type CallState = {
  version: typeof STATE_VERSION
  phase: Phase
  isLegOpen: boolean
  model: ModelState
  response: ResponseState
  /** A response that waits until the active one is over (one at a time). */
  wanted: ResponseRequest | undefined
  /** Since when `wanted` waits, in the call's own time. */
  wantedFromMs: number | undefined
  /** The provider's next answer of its own meets it (TU7). */
  isWishMet: boolean
  isCallerSpeaking: boolean
  /** Since when he does, in the call's own time. */
  spokeFromMs: number | undefined
  /** Turns of the caller in a row that the plane had to end (caller-turn.ts). */
  longTurns: number
  /** When the agent was cut of late, in the call's own time, and whether an echo was told (echo.ts). */
  cutsAtMs: number[]
  isEchoTold: boolean
  /** A closing was taken back (goodbye.ts). */
  hasTakenBack: boolean
  /** Links in a row that opened, or did not, and said nothing until their bound. */
  slowLinks: number
  hasGreeted: boolean
  renewalDue: boolean
  /** Renewals in a row that a provider's early expiry asked for. */
  earlyRenewals: number
  owed: OwedTurn | undefined
  strikes: Strikes
  /** The request in `wanted` waits for its time (timer turn-retry). */
  isHolding: boolean
  tools: ToolOut[]
  /** A tool has answered and wants a response, which waits for other tools or for the response that called it. */
  toolsAnswered: boolean
  /** The next dial is to go to another pool, if there is one. */
  mustMove: boolean
  /** Dials of the last DIAL_BUCKETS stretches of DIAL_BUCKET_MS, the present one first. */
  dials: number[]
  /** The agent was asked to go on after its speech broke off, and has not been heard to the end since. */
  hasContinued: boolean
  /** Who ends turns, by the configuration that was sent; undefined before the first one was. */
  turnTaking: TurnTaking | undefined
  requests: number
  bargeIns: number
  /** Links to the model that were made again after a loss. */
  modelRedials: number
  /** Times its pod or its socket was lost, with less than FAILOVER_CALM_MS between them. */
  failovers: number
  /** Planned moves to another pod. */
  handovers: number
  /** Transfers of this call that have ended, the last one last. */
  transfers: TransferOutcome[]
  /** The last one was not answered, and the agent has the call back; `afterItem`: the last item before. */
  returned: { outcome: TransferOutcome; afterItem: string } | undefined
  /** The call comes from another pod and the caller has not been heard since: after a loss he has heard silence. */
  resume: 'failover' | 'handover' | undefined
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
  /** How long the call has lasted, as of the last step; `atWallMs`: the wall clock when its checkpoint was written. */
  lastedMs: number
  atWallMs: number
  /** Since when nobody has spoken or is due to, in the call's own time. */
  quietFromMs: number | undefined
  /** A caller who is silent was asked whether they are there. */
  isQuietAsked: boolean
  /** It was told that the call is near the bound of its time, of its money. */
  isTimeNear: boolean
  isMoneyNear: boolean
}

/** What the step of a call counts (effect `count`); ops/metrics.ts says what each is on the page. */
export type CallCount = 'barge-in' | 'model-error' | 'redial' | 'renewal' | 'turn' | 'turn-outcome' | 'limit'

/** What a call may cost. */
type CallBudget = { amount: number; prices: Tariff }

/** Settings of one call that the machine needs; constant for its life. */
export type CallSettings = {
  greeting: { kind: 'agent'; instructions?: string } | { kind: 'caller-first' }
  /** The provider starts a response by itself when the caller has spoken. */
  autoRespond: boolean
  bargeIn: boolean
  /** A key that is pressed silences the agent, as speech does. */
  keysInterrupt: boolean
  transcriptMaxItems: number
  streamAwaitedMs: number
  /** Of its whole life, wherever it is. */
  callMaxMs: number
  /** After how much silence a caller is asked whether they are there, and after how much more the call ends; 0 ms: never. */
  silenceAskMs: number
  silenceEndMs: number
  /** undefined: no bound on what it costs. */
  budget: CallBudget | undefined
  modelStallMs: number
  /** From what makes an answer due to its first sound, at most. */
  turnMaxMs: number
  /** How long the caller waits in silence before our own sound says that the line lives. */
  fillerAfterMs: number
  renewAfterMs: number
  redialMax: number
  digitsPauseMs: number
  closingMaxMs: number
  fallbackNumber: string | undefined
  sorrySentence: string
}

export const TIMER_NAMES = [
  'stream-awaited',
  'call-max',
  'call-near',
  'budget',
  'quiet',
  'model-answer',
  'renew',
  'redial',
  'digits',
  'closing',
  'caller-turn',
  'calm',
  'turn-bound',
  'turn-filler',
  'turn-retry',
  'tool-hold',
  'dial-window',
] as const
export type TimerName = (typeof TIMER_NAMES)[number]

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
  /** The answer to `look-playout`: what the caller has still to hear. */
  | { kind: 'playout-looked'; playoutMs: number }
  /** The answer to `look-response`: what the caller has still to hear, and how many pieces of sound have come from the model. */
  | { kind: 'response-looked'; playoutMs: number; sounds: number }
  /** The answer to `look-caller`: for how long the plane's own ear has heard nothing of this turn. */
  | { kind: 'caller-looked'; quietMs: number }
  | { kind: 'end-wanted' }
  | { kind: 'transfer-wanted'; to: string }
  | { kind: 'drain-over' }
  /** This pod's part is over; what follows for the caller is somebody else's to say. */
  | { kind: 'let-go'; cause: EndCause }
  | { kind: 'cut'; items: CutItem[] }
  | { kind: 'model'; event: ModelEvent }

/** Everything a call can do; the driver does it. */
export type Effect =
  /** `elsewhere`: to another pool, if there is one. */
  | { kind: 'dial'; renewal: boolean; elsewhere?: true }
  | ({ kind: 'respond'; requestId: string } & ResponseRequest)
  | { kind: 'cancel-response' }
  | { kind: 'drop-response'; responseId: string }
  /** Clear the carrier and the playout; the driver answers with a `cut` event. */
  | { kind: 'clear-playout' }
  | { kind: 'truncate'; itemId: string; audioEndMs: number; heardText: string }
  | { kind: 'complete-item'; itemId: string }
  | { kind: 'play-filler' }
  /** Asks how much the caller has still to hear; the driver answers with `playout-looked`. */
  | { kind: 'look-playout' }
  /** Asks if the response still sounds; the driver answers with `response-looked`. */
  | { kind: 'look-response' }
  /** Asks if the caller is heard; the driver answers with `caller-looked`. */
  | { kind: 'look-caller' }
  /** The plane ends the caller's turn. */
  | { kind: 'commit-turn' }
  /** Tells the model what nobody said. */
  | { kind: 'send-note'; itemId: string; text: string }
  /** Asks the link for a sign of life; the answer is the event `link-alive`. */
  | { kind: 'prove-link' }
  | { kind: 'send-digits'; itemId: string; digits: string }
  | { kind: 'set-timer'; name: TimerName; ms: number }
  | { kind: 'clear-timer'; name: TimerName }
  | { kind: 'close-leg'; reason: string }
  | { kind: 'close-model' }
  | { kind: 'note'; level: 'info' | 'warn'; message: string; code?: string }
  | { kind: 'count'; what: CallCount; code?: string }
  | { kind: 'ended'; cause: EndCause; next: Next }

export type Step = { state: CallState; effects: Effect[] }

const NO_USAGE: Usage = {
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
    wantedFromMs: undefined,
    isWishMet: false,
    isCallerSpeaking: false,
    spokeFromMs: undefined,
    longTurns: 0,
    cutsAtMs: [],
    isEchoTold: false,
    hasTakenBack: false,
    slowLinks: 0,
    hasGreeted: false,
    renewalDue: false,
    earlyRenewals: 0,
    owed: undefined,
    strikes: { rung: 0, limitWaits: 0 },
    isHolding: false,
    tools: [],
    toolsAnswered: false,
    mustMove: false,
    dials: [0],
    hasContinued: false,
    turnTaking: undefined,
    requests: 0,
    bargeIns: 0,
    modelRedials: 0,
    failovers: 0,
    handovers: 0,
    transfers: [],
    returned: undefined,
    resume: undefined,
    turns: 0,
    usage: NO_USAGE,
    digits: '',
    keyMessages: 0,
    agent: NEW_AGENT,
    agentChanges: 0,
    transcript: { items: [], dropped: 0 },
    lastedMs: 0,
    atWallMs: 0,
    quietFromMs: undefined,
    isQuietAsked: false,
    isTimeNear: false,
    isMoneyNear: false,
  }
}

/** A caller waits: a provider that asks for more patience than this is asked again all the same. */
const RETRY_AFTER_MAX_MS = 10_000

/** How long to wait before dial number `attempt` (1 is the first repeat): 100 ms, doubling, at most 2 s; longer if the provider asks. */
export function redialAfterMs(attempt: number, loss: ModelLoss): number {
  return Math.max(Math.min(RETRY_AFTER_MAX_MS, loss.retryAfterMs ?? 0), Math.min(2_000, 100 * 2 ** (attempt - 1)))
}
