// Twilio's words for how calls and transfers end, in the words of call control. Rules:
// STW1: a call that is completed or canceled was ended by its caller; busy, failed and no-answer say that the carrier lost it.
// STW2: a transfer was answered when Twilio says completed or answered; a word that nobody knows says that it failed.
// STW3: what our own address carries of a transfer is not trusted: an illegible word says only that it failed.

import type { TransferOutcome } from '../../call/state.ts'
import type { CarrierCallState, CarrierEndCause } from '../../call-control/carrier-calls.ts'

const OVER: ReadonlySet<string> = new Set(['completed', 'busy', 'failed', 'no-answer', 'canceled'])

/** Whether `CallStatus` says that the call is over. */
export const isOverStatus = (status: string): boolean => OVER.has(status)

/** [STW1] `status`: Twilio's last word of a call. */
export function causeOfStatus(status: string): CarrierEndCause {
  return status === 'completed' || status === 'canceled' ? 'caller-hung-up' : 'carrier-lost'
}

/** The state of a call by `status`, one of Twilio's eight words. */
export function stateOfStatus(status: string): CarrierCallState {
  if (status === 'queued' || status === 'ringing') return { kind: 'ringing' }
  return status === 'in-progress' ? { kind: status } : { kind: 'over', cause: causeOfStatus(status) }
}

/** [STW2] How a transfer ended, by `DialCallStatus`; undefined: it does not tell of one. */
export function outcomeOfDial(status: string | undefined): TransferOutcome | undefined {
  switch (status) {
    case undefined:
      return undefined
    case 'completed':
    case 'answered':
      return 'answered'
    case 'busy':
    case 'no-answer':
    case 'canceled':
      return status
    default:
      return 'failed'
  }
}

/** [STW3] How the transfer ended from which a call was on its way back, by what our own address carried; undefined: it carried nothing. */
export function outcomeCarried(carried: string | undefined): TransferOutcome | undefined {
  if (carried === undefined) return undefined
  return carried === 'busy' || carried === 'no-answer' || carried === 'canceled' ? carried : 'failed'
}
