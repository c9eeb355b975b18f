// What call control asks of a carrier about calls that the carrier has live. Rules:
// CCL1: nothing rejects and every question ends within a bound of the carrier's own room: an answer that did not come is `failed`.
import type { CallSid } from '../kit/ids.ts'

/** How a call is over for its carrier. */
export type CarrierEndCause = 'caller-hung-up' | 'carrier-lost'

/** `ringing`: nobody has answered it yet. `unknown`: the carrier has no such call. */
export type CarrierCallState =
  | { kind: 'ringing' | 'in-progress' | 'unknown' | 'failed' }
  | { kind: 'over'; cause: CarrierEndCause }

export interface CarrierCalls {
  /** Makes the carrier ask what follows the live call; whatever it plays or streams ends. */
  askNext(callSid: CallSid): Promise<{ kind: 'redirected' | 'over' | 'failed' }>
  stateOf(callSid: CallSid): Promise<CarrierCallState>
  /** Questions at work and waiting now. */
  readonly load: { active: number; waiting: number }
  /** Asks nothing more. Idempotent. */
  close(): void
}
