// The replies that more than one webhook gives. Keeps WH4 and WH7.

import type { Place, StreamGrant } from '../../../call-control/call-control.ts'
import { messageOf, VoiceError } from '../../../kit/errors.ts'
import type { CallSid } from '../../../kit/ids.ts'
import type { Log } from '../../../kit/log.ts'
import { type Language, languageOf } from '../../../phrases/language.ts'
import { ok, type Reply, type Webhook } from './entry.ts'
import { type Carried, carriedIn, type Links } from './links.ts'
import * as twiml from './twiml.ts'
import { hold } from './waiting.ts'

/** Times that a call control which does not answer is asked, in all. */
export const ASK_TRIES_MAX = 6
const ASK_PAUSE_MS = 3_000
const DIAL_DONE = new Set(['completed', 'answered'])

export class Replies {
  readonly #log: Log
  readonly #links: Links
  readonly #fallbackNumber: string | undefined
  readonly #holdAudioUrl: string | undefined
  readonly #transferMaxMs: number | undefined
  readonly #callerLanguage: string | undefined

  constructor(parts: {
    log: Log
    links: Links
    fallbackNumber: string | undefined
    holdAudioUrl: string | undefined
    transferMaxMs?: number | undefined
    callerLanguage?: string | undefined
  }) {
    this.#callerLanguage = parts.callerLanguage
    this.#transferMaxMs = parts.transferMaxMs
    this.#log = parts.log
    this.#links = parts.links
    this.#fallbackNumber = parts.fallbackNumber
    this.#holdAudioUrl = parts.holdAudioUrl
  }

  /** Into the media stream. */
  stream(callSid: CallSid, grant: StreamGrant): Reply {
    const nextUrl = this.#links.next({ pod: grant.pod, dialed: grant.returnedFrom })
    return ok(
      twiml.connectStream({
        streamUrl: this.#links.stream(callSid, grant),
        parameters: { callId: grant.callId },
        actionUrl: nextUrl,
        nextUrl,
        streamStatusUrl: this.#links.streamStatus(),
        sentence: grant.sentence,
        language: grant.language === undefined ? undefined : languageOf(grant.language).say,
      }),
    )
  }

  /** Into the queue, or on in it. */
  hold(callSid: CallSid, place: Place, carried: Pick<Carried, 'said' | 'anew'>): Reply {
    const { ahead, language } = place
    const waitUrl = this.#links.wait(callSid, { said: ahead, language, anew: carried.anew })
    return ok(hold({ place, said: carried.said, waitUrl, holdAudioUrl: this.#holdAudioUrl }))
  }

  /** The same question again at `url`, whose `tries` counts it; at the bound the caller is handed on. */
  askAgain(
    url: string,
    { tries, language }: { tries: number; language?: string | undefined },
    pauseMs = ASK_PAUSE_MS,
  ): Reply {
    if (tries > ASK_TRIES_MAX - 1) return this.human() ?? this.sorry(language)
    const { say, phrases } = this.languageOf(language)
    const sentence = tries === 1 ? { sentence: phrases.moment, language: say } : {}
    return ok(twiml.askAgain({ url, pauseSeconds: Math.round(pauseMs / 1_000), ...sentence }))
  }

  /** To the human number, when there is one. */
  human(): Reply | undefined {
    const to = this.#fallbackNumber
    const maxMs = this.#transferMaxMs
    return to === undefined ? undefined : ok(twiml.transfer({ to, nextUrl: this.#links.next({ last: 1 }), maxMs }))
  }

  /** [PH4] What is said to a caller in `tag`; undefined: nothing is known of the caller. */
  languageOf(tag: string | undefined): Language {
    return languageOf(tag ?? this.#callerLanguage)
  }

  /** No free slot: a human when there is one, else the sentence. */
  busy(language?: string): Reply {
    return this.human() ?? this.full(language)
  }

  /** No free slot, and no human either. */
  full(language?: string): Reply {
    const { say, phrases } = this.languageOf(language)
    return ok(twiml.hangUp(phrases.full, say))
  }

  /** The call cannot go on. */
  sorry(language?: string): Reply {
    const { say, phrases } = this.languageOf(language)
    return ok(twiml.hangUp(phrases.sorry, say))
  }

  /** The sentence with which call control ends a call; one without a language of its own is in CALLER_LANGUAGE. */
  hangUp({ sentence, language }: { sentence?: string; language?: string }): Reply {
    return ok(twiml.hangUp(sentence, this.languageOf(language).say))
  }

  /** A call no call control knows: after a finished transfer it ends, otherwise a human is tried once, otherwise there is a sentence. */
  unknown(dialStatus: string | undefined, { last, language }: Pick<Carried, 'last' | 'language'>): Reply {
    if (dialStatus !== undefined && DIAL_DONE.has(dialStatus)) return ok(twiml.hangUp())
    const human = last === undefined ? this.human() : undefined
    if (human !== undefined) return human
    return dialStatus === undefined ? this.sorry(language) : this.notReached(language)
  }

  /** Nobody answered a transfer, and there is nothing else to try. */
  notReached(language: string | undefined): Reply {
    const { say, phrases } = this.languageOf(language)
    return ok(twiml.hangUp(phrases.notReached, say))
  }

  apology(
    error: unknown,
    { callSid, parameters = {} }: { callSid?: CallSid; parameters?: Webhook['parameters'] },
  ): Reply {
    const code = error instanceof VoiceError ? error.code : 'WEBHOOK_FAILED'
    this.#log.error({ callSid, code, reason: messageOf(error) }, 'webhook failed, the caller hears an apology')
    return this.sorry(carriedIn(parameters).language)
  }
}

/** Waits for call control, at most `maxMs`; then it rejects with CALL_CONTROL_STALLED. */
export async function inTime<T>(answer: T | Promise<T>, maxMs: number): Promise<T> {
  if (!(answer instanceof Promise)) return answer
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new VoiceError('CALL_CONTROL_STALLED', { retryable: true })), maxMs)
  })
  try {
    return await Promise.race([answer, late])
  } finally {
    clearTimeout(timer)
  }
}
