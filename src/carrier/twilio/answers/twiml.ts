// The answers to Twilio, as TwiML. Rules:
// TX1: each answer says what follows it: Connect and Dial name /twilio/next, the rest end in Hangup or in a Redirect.
// TX2: a Stream URL has no query (Twilio strips it); what the stream must know rides in the path and in Parameters.
// TX3: name and value of a Parameter together stay under 500 characters; a longer one is left out and named.
// TX4: characters that XML cannot hold are taken out of every text.
import VoiceResponse from 'twilio/lib/twiml/VoiceResponse.js'
import { clip } from '../../../kit/text.ts'
import type { VoiceCode } from '../../../phrases/languages.ts'

const PARAMETER_CHARACTERS_MAX = 499 // name and value together (Twilio's rule)
const SENTENCE_CHARACTERS_MAX = 3_000 // Twilio speaks 4 096 at most; a longer sentence is cut
const DIAL_TIMEOUT_SECONDS = 30 // how long a transfer may ring

/** What the answer to a call that enters needs. */
export type StreamAnswer = {
  /** wss://base/media/<pod>/<callSid>/<token> */
  streamUrl: string
  parameters: Record<string, string>
  /** Where Twilio asks when the stream ended. */
  actionUrl: string
  /** Where Twilio goes when the Connect had no action request. */
  nextUrl: string
  streamStatusUrl: string
  /** Heard before the stream opens. */
  sentence?: string | undefined
  language?: VoiceCode | undefined
}

/** Joins the call to a media stream; afterwards Twilio asks what next. */
export function connectStream(answer: StreamAnswer): string {
  const response = new VoiceResponse()
  speak(response, answer.sentence, answer.language)
  const stream = response.connect({ action: answer.actionUrl, method: 'POST' }).stream({
    url: answer.streamUrl,
    statusCallback: answer.streamStatusUrl,
    statusCallbackMethod: 'POST',
  })
  for (const [name, value] of Object.entries(answer.parameters)) {
    if (fits(name, value)) stream.parameter({ name: printable(name), value: printable(value) })
  }
  response.redirect({ method: 'POST' }, answer.nextUrl)
  return response.toString()
}

/** The names of the parameters that rule TX3 leaves out. */
export function unfitParameters(parameters: Record<string, string>): string[] {
  return Object.keys(parameters).filter((name) => !fits(name, parameters[name]!))
}

/** Ends the call, after a last sentence when there is one. */
export function hangUp(sentence?: string, language?: VoiceCode): string {
  const response = new VoiceResponse()
  speak(response, sentence, language)
  response.hangup()
  return response.toString()
}

/** Asks again at `url` after `pauseSeconds`; the caller hears a sentence first when there is one. */
export function askAgain(ask: { url: string; pauseSeconds: number; sentence?: string; language?: VoiceCode }): string {
  const response = new VoiceResponse()
  speak(response, ask.sentence, ask.language)
  if (ask.pauseSeconds > 0) response.pause({ length: ask.pauseSeconds })
  response.redirect({ method: 'POST' }, ask.url)
  return response.toString()
}

/** How long a transfer lasts at most where nothing else is said. */
export const TRANSFER_MAX_MS = 3_600_000

/** Moves the caller to `to` (E.164, sip: or client:), after a sentence if given; afterwards Twilio asks `nextUrl`. */
export function transfer(answer: {
  to: string
  nextUrl: string
  callerId?: string
  sentence?: string
  language?: VoiceCode | undefined
  /** The longest that it lasts. */
  maxMs?: number | undefined
}): string {
  const { to, nextUrl, callerId, sentence, language, maxMs = TRANSFER_MAX_MS } = answer
  const response = new VoiceResponse()
  speak(response, sentence, language)
  const dial = response.dial({
    action: nextUrl,
    method: 'POST',
    timeout: DIAL_TIMEOUT_SECONDS,
    answerOnBridge: true,
    timeLimit: Math.ceil(maxMs / 1_000),
    ...(callerId === undefined ? {} : { callerId: printable(callerId) }),
  })
  if (to.startsWith('sip:') || to.startsWith('sips:')) dial.sip(printable(to))
  else if (to.startsWith('client:')) dial.client(printable(to.slice('client:'.length)))
  else dial.number(printable(to))
  return response.toString()
}

/** Says nothing: the answer to callbacks, and to a call that is over. */
export function empty(): string {
  return new VoiceResponse().toString()
}

type Speaks = { say(attributes: { language?: VoiceCode }, text: string): unknown }

/** Says a sentence within a document or a Gather; nothing when there is none. */
export function speak(response: Speaks, sentence: string | undefined, language?: VoiceCode): void {
  const text = clip(printable(sentence ?? ''), SENTENCE_CHARACTERS_MAX)
  if (text.trim() !== '') response.say(language === undefined ? {} : { language }, text)
}

function fits(name: string, value: string): boolean {
  return name.length + value.length <= PARAMETER_CHARACTERS_MAX
}

/** Leaves out what XML 1.0 cannot hold: control characters, lone surrogates, non-characters (TX4). */
function printable(text: string): string {
  return text.toWellFormed().replace(/[^\t\n\r\u{20}-\u{d7ff}\u{e000}-\u{fffd}\u{10000}-\u{10ffff}]/gu, '')
}
