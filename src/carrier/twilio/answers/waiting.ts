// TwiML for callers who wait, and for those whose waiting is over without a stream. Rules:
// WQ1: a caller who waits asks again each WAIT_POLL_MS, speech counted in by estimate; a hold clip keeps its own time.
// WQ2: place and wait are said at the start and when the place changed, not each time.
// WQ3: a Redirect never follows at once: a clip that cannot be fetched does not make the caller ask without a break.
// WQ4: a message is at most VOICEMAIL_MAX_SECONDS long; each overflow ends in Hangup when the caller does nothing.
// WQ5: a call-back goes to the far party's number, on a press of 1. Whoever is withheld is not offered one: a typed number may be anybody's.
import VoiceResponse from 'twilio/lib/twiml/VoiceResponse.js'
import type { FarParty } from '../../../call/identity.ts'
import type { Overflow, Place } from '../../../call-control/call-control.ts'
import { languageOf } from '../../../phrases/language.ts'
import type { VoiceCode } from '../../../phrases/languages.ts'
import { hangUp, speak, transfer } from './twiml.ts'

/** Two and a half of these are the life of a place in the queue. */
export const WAIT_POLL_MS = 9_000
export const VOICEMAIL_MAX_SECONDS = 120
const VOICEMAIL_SILENCE_SECONDS = 5 // silence that ends a message
const CALL_BACK_KEY_SECONDS = 6 // how long the carrier waits for a digit
const CHARACTER_MS = 60
const IDEOGRAPH_MS = 150
const IDEOGRAPH = /[\u3000-\u9fff\uac00-\ud7af]/g

/** Lets the caller wait. `said`: the number of callers ahead that was said last, undefined at the start. */
export function hold(wait: {
  place: Place
  said: number | undefined
  waitUrl: string
  holdAudioUrl: string | undefined
}): string {
  const { place, said, waitUrl, holdAudioUrl } = wait
  const language = languageOf(place.language)
  const response = new VoiceResponse()
  const sentence = said === place.ahead ? '' : placeSentence(place, said === undefined)
  speak(response, sentence, language.say)
  if (holdAudioUrl !== undefined) response.play(holdAudioUrl)
  const silenceMs = holdAudioUrl === undefined ? WAIT_POLL_MS - speechMs(sentence) : 0
  response.pause({ length: Math.max(1, Math.round(silenceMs / 1_000)) })
  response.redirect({ method: 'POST' }, waitUrl)
  return response.toString()
}

/** Where the answers to what overflow asks are sent. */
export type OverflowUrls = {
  /** After a Dial. */
  nextUrl: string
  /** How long it lasts at most. */
  transferMaxMs?: number | undefined
  /** When a message was spoken. */
  voicemailUrl: string
  /** When its recording can be fetched. */
  recordingUrl: string
  /** With the digits for a call-back. */
  callBackUrl: string
}

/** Ends the waiting without a stream; `party` is whom the call is with. */
export function overflow(to: Overflow, tag: string | undefined, party: FarParty, urls: OverflowUrls): string {
  const { say: language, phrases } = languageOf(tag)
  if (to.kind === 'hang-up') return hangUp(phrases.busy, language)
  if (to.kind === 'transfer') {
    return transfer({
      to: to.number,
      nextUrl: urls.nextUrl,
      sentence: phrases.human,
      language,
      maxMs: urls.transferMaxMs,
    })
  }
  if (to.kind === 'voicemail') return voicemail(tag, urls)
  return party.kind === 'known' ? callBack(tag, urls) : hangUp(phrases.busy, language)
}

function voicemail(tag: string | undefined, urls: OverflowUrls): string {
  const { say: language, phrases } = languageOf(tag)
  const response = new VoiceResponse()
  speak(response, phrases.voicemail, language)
  response.record({
    action: urls.voicemailUrl,
    method: 'POST',
    maxLength: VOICEMAIL_MAX_SECONDS,
    timeout: VOICEMAIL_SILENCE_SECONDS,
    finishOnKey: '#',
    playBeep: true,
    recordingStatusCallback: urls.recordingUrl,
    recordingStatusCallbackMethod: 'POST',
    recordingStatusCallbackEvent: ['completed'],
  })
  return ended(response, phrases.busy, language)
}

function callBack(tag: string | undefined, urls: OverflowUrls): string {
  const { say: language, phrases } = languageOf(tag)
  const response = new VoiceResponse()
  const gather = response.gather({
    input: ['dtmf'],
    action: urls.callBackUrl,
    method: 'POST',
    timeout: CALL_BACK_KEY_SECONDS,
    numDigits: 1,
  })
  speak(gather, phrases.callBackHere, language)
  return ended(response, phrases.busy, language)
}

/** Whether the digits ask for a call-back. [WQ5] */
export function wantsCallBack(party: FarParty, digits: string): boolean {
  return party.kind === 'known' && digits === '1'
}

function ended(response: VoiceResponse, sentence: string, language: VoiceCode): string {
  speak(response, sentence, language)
  response.hangup()
  return response.toString()
}

function placeSentence({ ahead, etaMs, language: tag }: Place, isFirst: boolean): string {
  const { phrases, counted } = languageOf(tag)
  const place = ahead <= 0 ? phrases.next : counted(phrases.ahead, ahead)
  const time = etaMs < 60_000 ? phrases.soon : counted(phrases.minutes, etaMs / 60_000)
  return [...(isFirst ? [phrases.hold] : []), place, time].join(' ')
}

function speechMs(sentence: string): number {
  const ideographs = sentence.match(IDEOGRAPH)?.length ?? 0
  return ideographs * IDEOGRAPH_MS + (sentence.length - ideographs) * CHARACTER_MS
}
