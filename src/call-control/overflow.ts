// What becomes of a caller whose waiting is over without an agent: a person, a message, a call-back, or the end. Rules:
// OVF1: QUEUE_OVERFLOW decides; left out, it is the human number when there is one, otherwise the end. What cannot be kept is not offered: without a
//      store of the work there is neither message nor call-back, without credentials of the carrier no call-back, and none to whoever is withheld.
// OVF2: a call-back is promised when it is kept. A person has one that is open, a tenant CALL_BACKS_MAX at most; beyond that it is refused in words.
// OVF3: a number is promised a call-back only when the plane may call it.
// OVF5: no caller is told a longer wait than is left until the overflow. What is not offered to a caller is logged with its reason.
// OVF4: a message is kept once, whichever of the carrier's two callbacks comes first. The one that does not name the caller waits
//      NAMED_AWAITED_TRIES for the other, and is kept without a caller then: a message is never lost for want of a name.
import { type CallIdentity, type Direction, farPartyOf, numberOf, ownNumberOf } from '../call/identity.ts'
import { askWithin } from '../control/store-answer.ts'
import { VoiceError } from '../kit/errors.ts'
import type { CallSid } from '../kit/ids.ts'
import type { Log } from '../kit/log.ts'
import type { Wheel } from '../kit/wheel.ts'
import type { CallOffer, Message, Overflow } from './call-control.ts'

const CALL_BACKS_MAX = 1_000
/** How long a caller waits until a call-back is kept. */
const KEEP_MS = 3_000
const NAMED_AWAITED_TRIES = 10
const MINUTE_MS = 60_000

/** A caller who came to no agent, as the store of the work keeps the call. */
type OverflowCaller = CallIdentity & { pack: string; packVersion: string; pod: string }

/** Where messages and call-backs are kept; repeated, nothing changes. */
export interface OverflowStore {
  addVoicemail(caller: OverflowCaller, body: Record<string, unknown>): Promise<{ kind: 'added' | 'exists' }>
  addCallBack(
    caller: OverflowCaller,
    body: Record<string, unknown>,
    max: number,
  ): Promise<{ kind: 'added' | 'exists' | 'full' }>
}

type Obstacle =
  | 'no database keeps it'
  | 'we made the call'
  | 'nobody can call back'
  | 'the number is withheld'
  | 'the plane may not call the number'

/** What is offered to callers who waited too long; undefined: a person when there is one. */
type OverflowKind = Overflow['kind'] | undefined

type OverflowParts = {
  kind: OverflowKind
  language: string
  fallbackNumber: string | undefined
  /** undefined: this pod has no store of the work. */
  store: OverflowStore | undefined
  /** Somebody can make calls: the carrier's credentials and a number to call from are configured. */
  canCall: boolean
  mayCall: (number: string, ownNumber: string) => boolean
  callerOf: (offer: CallOffer) => OverflowCaller
  /** Does something again while the stores are away, within its own bound. Never waits. */
  retry: (what: string, attempt: () => Promise<unknown>) => void
  onKept: (what: 'voicemail' | 'call-back', outcome: string) => void
  wheel: Wheel
  log: Log
}

export class Overflows {
  readonly #parts: OverflowParts

  constructor(parts: OverflowParts) {
    this.#parts = parts
  }

  /** [OVF1] Where this caller goes. */
  of(offer: CallOffer): Overflow {
    const { kind, fallbackNumber: number } = this.#parts
    if (kind === 'hang-up') return { kind }
    if (kind === 'voicemail' || kind === 'call-back') {
      const why = this.#obstacle(kind, offer)
      if (why === undefined) return { kind }
      this.#parts.log.info(
        { callSid: offer.callSid, overflow: kind, why },
        'the overflow was not offered to this caller',
      )
    }
    return number === undefined ? { kind: 'hang-up' } : { kind: 'transfer', number }
  }

  /** [OVF2] */
  async callBackWanted(offer: CallOffer, language: string | undefined): Promise<'taken' | 'refused'> {
    const { store, wheel, log, callerOf, onKept } = this.#parts
    const { callSid } = offer
    if (store === undefined || this.#obstacle('call-back', offer) !== undefined) return 'refused'
    const body = { language: language ?? this.#parts.language }
    const kept = await askWithin(wheel, KEEP_MS, () => store.addCallBack(callerOf(offer), body, CALL_BACKS_MAX))
    const outcome = kept.kind === 'answer' ? kept.value.kind : 'away'
    onKept('call-back', outcome)
    log.info({ callSid, outcome }, 'a caller asks to be called back')
    return outcome === 'added' || outcome === 'exists' ? 'taken' : 'refused'
  }

  /** [OVF4] Never waits. */
  messageLeft(callSid: CallSid, offer: CallOffer | undefined, message: Message): void {
    const { store, callerOf, retry, onKept, log } = this.#parts
    const { language = this.#parts.language, ...recording } = message
    log.info({ callSid, durationMs: recording.durationMs }, 'a caller left a message')
    if (store === undefined) {
      onKept('voicemail', 'no-store')
      return
    }
    let tries = 0
    retry('the message of a caller', async () => {
      tries += 1
      if (offer === undefined && tries <= NAMED_AWAITED_TRIES) throw new VoiceError('CALL_UNKNOWN', { retryable: true })
      const nobody = { callSid, from: '', to: '', direction: 'inbound' as Direction }
      const { kind } = await store.addVoicemail(callerOf(offer ?? nobody), { ...recording, language })
      onKept('voicemail', kind)
    })
  }

  /** [OVF1][OVF3] Why this caller can leave no message, or is called back by nobody; undefined: nothing stands against it. */
  #obstacle(kind: 'voicemail' | 'call-back', offer: CallOffer): Obstacle | undefined {
    const { store, canCall, mayCall } = this.#parts
    if (store === undefined) return 'no database keeps it'
    if (offer.direction === 'outbound') return 'we made the call'
    if (kind === 'voicemail') return undefined
    if (!canCall) return 'nobody can call back'
    const number = numberOf(farPartyOf(offer))
    if (number === undefined) return 'the number is withheld'
    return mayCall(number, ownNumberOf(offer)) ? undefined : 'the plane may not call the number'
  }
}

/**
 * The wait that a caller may be told, ms: in whole minutes, as they are spoken, never more than what is left until they are offered
 * something else. [OVF5]
 */
export function saidWaitMs(etaMs: number, leftMs: number): number {
  return etaMs < MINUTE_MS ? etaMs : Math.min(etaMs, Math.max(0, Math.floor(leftMs / MINUTE_MS)) * MINUTE_MS)
}
