// What can be asked of the simulated carrier and of one call on it.

import type { Rewrites } from './http/rewrite.ts'
import type { ReadingStop } from './media/reading-stop.ts'
import type { CallerScript } from './media/script.ts'

export type BadFrame = 'binary' | 'non-json' | 'oversized' | 'unknown-event' | 'wrong-stream-sid' | 'bad-base64'

/** Misbehaviour on demand; everything is off by default. */
export type Faults = {
  /** `start` comes this long after `connected`. */
  startDelayMs?: number
  /** `start` never comes; media does. */
  omitStart?: boolean
  /** `start` comes without these. */
  startLacks?: readonly ('streamSid' | 'callSid' | 'accountSid')[]
  /** The stream is dialled here, whatever the TwiML says: a client with a fixed address. Scheme, host and path. */
  fixedStreamUrl?: string
  /** Media is sent before `connected` and `start`. */
  mediaFirst?: boolean
  /** Every nth media frame is lost on the way: its chunk and timestamp are skipped. */
  loseEvery?: number
  /** Every nth media message is sent twice. */
  duplicateEvery?: number
  /** Every nth media message changes places with the one after it. */
  swapEvery?: number
  duplicateDtmf?: boolean
  /** What arrives after a pause is played this much later (the line's own delay). */
  playLateMs?: number
  /** Marks are echoed this long after they have been played. */
  markDelayMs?: number
  neverEchoMarks?: boolean
  /** A clear releases no marks. */
  clearWithoutMarks?: boolean
  /** How the stream ends when the caller hangs up. */
  endOfStream?: 'reset' | 'stop-without-close' | 'close-without-stop'
  /** Two voice webhooks for one Call SID at once. */
  duplicateWebhook?: boolean
  wrongSignature?: 'webhooks' | 'upgrade' | 'both'
  /** The upgrade is signed over the https:// form of its URL. */
  httpsSignedUpgrade?: boolean
  /** A second upgrade with the same URL while the first stream is open. */
  reuseStreamUrl?: boolean
  /** Sent one after the other, 200 ms apart, beginning one second into the stream. */
  badFrames?: BadFrame[]
  /** The plane's socket is not read for a while, on each stream of the call. */
  stopReading?: ReadingStop
}

/** Between the end of a stream and the action request; and before each later stream of the same call is opened. */
export type AfterStreamDelays = { actionMs: number; openMs: number }

export type DialAnswer = { status: 'completed' | 'busy' | 'no-answer' | 'failed' | 'canceled'; ms: number }
/** How the called party of a call created by REST behaves. */
export type OutboundAnswer =
  | { kind: 'answers'; ringMs: number; caller: CallerScript }
  | { kind: 'busy' | 'no-answer'; ringMs: number }

/** What a caller does when a Gather asks. Undefined fields: nothing. */
type GatherAnswer = { digits?: string; speech?: string }

export type TwilioSimOptions = {
  accountSid: string
  authToken: string
  /** Another token that REST accepts; webhooks are signed with the first. */
  secondaryToken?: string
  /** The called number. */
  number: string
  /** The plane's POST /twilio/voice as announced, with overrides in its fragment if wanted. */
  voiceUrl: string
  fallbackUrl?: string
  statusCallback?: string
  /** Default: completed only. */
  statusCallbackEvents?: string[]
  /** Port of the REST server on 127.0.0.1; 0 takes a free one. */
  restPort?: number
  witnessPath?: string
  faults?: Faults
  /** Announced wss origin → origin to dial. */
  wsUrlRewrite?: Rewrites
  /** Announced https origin → origin to dial. */
  httpUrlRewrite?: Rewrites
  /** Whether this URL may be dialled; what may not is an error of the call. Default: all. */
  mayDial?: (url: string) => boolean
  /** What callers answer to Gather, each kind where it is asked for. Default: nothing. */
  gather?: GatherAnswer
  /** The part of a Stream URL that is dialled instead, whatever the TwiML says: an address without a path keeps the path. */
  streamUrl?: string
  /** What a dialled number does. Default: answers and talks for one second. */
  dial?: (number: string) => DialAnswer
  /** Who takes calls created by REST. Default: answers after 200 ms and stays silent for a minute. */
  outbound?: (to: string) => OutboundAnswer
  /** How long the carrier takes to go on after a media stream has ended. Default: no time. */
  afterStream?: AfterStreamDelays
  /**
   * By which clock callers pause, stay and wait. `own`, the default: by the time that this process had, so that a machine that is busy with
   * other things costs a caller no patience. `wall`: by the clock on the wall, as load is made.
   */
  patience?: 'own' | 'wall'
  /** Factor on the time that Say, Play and Pause take. Default 1. */
  verbTimeScale?: number
  /** Answers of REST that refuse, used up one by one. */
  restRefusals?: { status: number; code: number }[]
  /** What becomes of creates, one by one: the call is made and its answer lost, or the request is lost before it is made. */
  createFaults?: ('answer-lost' | 'request-lost' | 'none')[]
}

export type PlaceCallOptions = {
  from?: string
  caller: CallerScript
  /** The call number that probes and the witness carry; counted up when absent. */
  number?: number
  /** Send a probe frame every 500 ms. */
  probe?: boolean
  /** Write a stereo WAV: left as the caller sent it, right as it was played to the caller. */
  recordTo?: string
  /** On top of the simulator's own faults. */
  faults?: Faults
  /** Another webhook than the simulator's own. */
  voiceUrl?: string
  /** Keys for each Gather, in place of the simulator's own. */
  presses?: string
  /** What is left at a Record, in place of a few seconds. `vanish`: hung up, and the action request is lost on its way. */
  message?: { seconds: number; end: 'key' | 'hang-up' | 'vanish' }
}
