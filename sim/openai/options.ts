// What a simulator can be told at its start, with its defaults, and the faults that can be switched at run time.
import type { Script } from './dialogue/script.ts'
import type { BadAnswer, RandomAnswers } from './session/bad-answers.ts'
import { type KnownNames, OPENAI_NAMES } from './session/config-shape.ts'
import type { ChunkLaw } from './voice/fragments.ts'

/** Standing faults. All are off by default. */
export type Faults = {
  /** Refuse the next `count` upgrades (or all, when -1) with this HTTP status and error code. */
  refuse: { status: number; code: string; count: number } | null
  /** Hold every upgrade this long before answering, ms. */
  connectDelayMs: number
  /** Send every event this much later, ms. */
  slowMs: number
  /** Send session.updated this much later, ms. */
  updatedDelayMs: number
  /** Audio deltas still sent after a response was cancelled. */
  lateDeltas: number
  /** Send events of unknown types between the others. */
  unknownEvents: boolean
  /** Send the *.done events of an item in another order. */
  reorderDones: boolean
  /** Surface each function call twice in output_item.done. */
  duplicateCalls: boolean
  /** Fail the next so many responses with rate_limit_exceeded. */
  rateLimitedResponses: number
  /** In the next `count` responses, after this much audio: cut TCP, or close with a code, or stay silent. */
  midResponse: { afterAudioMs: number; act: Act; count: number } | null
  /** What the next responses do instead of answering, in order. */
  badAnswers: BadAnswer[]
  /** A share of all responses does something bad. */
  randomAnswers: RandomAnswers | null
}

/** What can be done to a live session. */
export type Act =
  | { kind: 'drop' }
  | { kind: 'close'; code: number; reason?: string }
  | { kind: 'stall'; ms: number }
  | { kind: 'expire' }
  | { kind: 'error'; code: string; message?: string; type?: string }

export type OpenAiSimOptions = {
  /** TCP port of 127.0.0.1; 0 takes a free one. */
  port: number
  /** File of the witness log; none when undefined. */
  witnessFile?: string
  /** Folder of the speech cache. */
  speechDir?: string
  /** Live sessions allowed; beyond it see `ceilingMode`. */
  ceiling: number
  /** Refuse above the ceiling by HTTP 429, or by an error event after the upgrade. */
  ceilingMode: 'upgrade' | 'after-upgrade'
  /** Keys that are refused with 401. */
  badKeys: string[]
  /** Age at which a session expires, ms. */
  sessionCapMs: number
  /** What a session says of its end in `expires_at`, seconds since 1970; undefined: the truth. */
  expiresAt?: number
  /** From the commit of the caller's turn to the first delta, ms. */
  thinkMs: number
  /** Generation speed, times real time. */
  speed: number
  chunkLaw: ChunkLaw
  /** Put a probe frame before each response's audio (µ-law only). */
  probes: boolean
  /** Milliseconds of a caller's turn kept for conversation.item.retrieve; 0 keeps none. */
  keepAudioMs: number
  /** About how often the script without tools of its own calls one, ms; 0 never. */
  toolEveryMs: number
  /** Each so many answers of such a script, beginning with the first, call a tool or a handoff of the session; 0 none. */
  toolEveryAnswers: number
  /** No script ends a call before its session is so old, ms; 0: as soon as the script says. */
  talkMs: number
  /** Scripts beside those that come with the simulator; they come first. */
  scripts: Script[]
  /** The voices and transcription models that it knows; a session that names another one is refused. */
  known: KnownNames
  faults: Faults
}

export const NO_FAULTS: Faults = {
  refuse: null,
  connectDelayMs: 0,
  slowMs: 0,
  updatedDelayMs: 0,
  lateDeltas: 0,
  unknownEvents: false,
  reorderDones: false,
  duplicateCalls: false,
  rateLimitedResponses: 0,
  midResponse: null,
  badAnswers: [],
  randomAnswers: null,
}

export const DEFAULTS: OpenAiSimOptions = {
  port: 0,
  ceiling: 100_000,
  ceilingMode: 'upgrade',
  badKeys: [],
  sessionCapMs: 3_600_000,
  thinkMs: 300,
  speed: 3,
  chunkLaw: { firstMs: 100, minMs: 200, maxMs: 400, alignBytes: 1 },
  probes: false,
  keepAudioMs: 10_000,
  toolEveryMs: 0,
  toolEveryAnswers: 0,
  talkMs: 0,
  scripts: [],
  known: OPENAI_NAMES,
  faults: NO_FAULTS,
}
