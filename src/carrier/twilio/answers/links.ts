// The addresses that our TwiML names. Rules:
// LN1: what follows a stream names the pod that serves it (`?pod=`), so that a proxy can ask the pod that knows.
// LN2: an address that a caller in a call depends on carries the carrier's own retries (CALL_OVERRIDES) in its fragment,
//      which is neither sent nor signed: a dead pod costs one connect time, not the call.
// LN3: what a later question must know rides in the query, which the signature covers; it is read back bounded.

import type { StreamGrant } from '../../../call-control/call-control.ts'
import type { CallSid } from '../../../kit/ids.ts'
import type { OverflowUrls } from './waiting.ts'

/** Connect 1.5 s, first byte 4 s, 14 s in all, three more tries whatever went wrong. */
export const CALL_OVERRIDES = '#ct=1500&rt=4000&tt=14000&rc=3&rp=all'
const POD = /^[a-z0-9-]{1,63}$/
const COUNT_MAX = 100_000

/** What our own links carry from one question to the next. */
export type Carried = {
  pod?: string | undefined
  /** Times that call control failed to answer this question. */
  tries?: number
  /** Callers ahead, as said last. */
  said?: number | undefined
  language?: string | undefined
  /** Times that the call lost its place in the queue and asked to enter anew. */
  anew?: number
  /** The language of a call-back. */
  callBack?: string | undefined
  /** 1: nothing is tried when this transfer is not answered. */
  last?: number | undefined
  /** How the transfer ended from which the call came into this stream. */
  dialed?: string | undefined
  /** How a transfer ended, when that has to be asked again. */
  DialCallStatus?: string | undefined
}

/** Reads what the links of this call carry; what does not look like ours is left out. */
export function carriedIn(parameters: Record<string, string>): Carried & { tries: number; anew: number } {
  const { pod, said, language } = parameters
  const last = countIn(parameters.last)
  return {
    pod: pod !== undefined && POD.test(pod) ? pod : undefined,
    tries: countIn(parameters.tries) ?? 0,
    said: countIn(said),
    language: language === undefined || language === '' ? undefined : language,
    anew: countIn(parameters.anew) ?? 0,
    ...(last === undefined ? {} : { last }),
  }
}

function countIn(text: string | undefined): number | undefined {
  if (text === undefined || !/^\d{1,6}$/.test(text)) return undefined
  return Math.min(COUNT_MAX, Number(text))
}

/** Addresses under one public base; the base is asked each time. */
export class Links {
  readonly #baseUrl: () => string

  constructor(baseUrl: () => string) {
    this.#baseUrl = baseUrl
  }

  next(carried: Carried = {}): string {
    return this.#to('next', carried) + CALL_OVERRIDES
  }

  wait(callSid: CallSid, carried: Carried): string {
    return this.#to(`wait/${callSid}`, carried) + CALL_OVERRIDES
  }

  voice(carried: Carried): string {
    return this.#to('voice', carried)
  }

  /** A call that we make asks it when it is answered; it is a call-back in `callBack`, a language. */
  callBack(callBack: string): string {
    return this.#to('voice', { callBack })
  }

  status(): string {
    return this.#to('status', {})
  }

  streamStatus(): string {
    return this.#to('stream-status', {})
  }

  overflow(carried: Carried): OverflowUrls {
    const { language, tries } = carried
    return {
      nextUrl: this.next({}),
      voicemailUrl: this.#to('voicemail', { language }),
      recordingUrl: this.#to('message', { language }),
      callBackUrl: this.#to('call-back', { language, tries }),
    }
  }

  stream(callSid: CallSid, { pod, token }: StreamGrant): string {
    return `${this.#baseUrl().replace(/^http/, 'ws')}/media/${pod}/${callSid}/${token}`
  }

  #to(path: string, carried: Carried): string {
    const query = new URLSearchParams()
    for (const [name, value] of Object.entries(carried)) {
      const isLeftOut = value === undefined || value === '' || (value === 0 && name !== 'said')
      if (!isLeftOut) query.set(name, String(value))
    }
    return `${this.#baseUrl()}/twilio/${path}${query.size === 0 ? '' : `?${query}`}`
  }
}
