// What all calls of one simulated carrier share.

import type { Rewrites } from '../http/rewrite.ts'
import type { Wheel } from '../media/wheel.ts'
import type { TwilioSimOptions } from '../options.ts'
import type { Witness } from '../witness.ts'
import type { Call } from './call.ts'
import type { WaitingRoom } from './queue.ts'

export type Exchange = {
  readonly options: TwilioSimOptions
  readonly wheel: Wheel
  readonly witness: Witness
  readonly httpRewrites: Rewrites
  readonly wsRewrites: Rewrites
  readonly waitingRoom: WaitingRoom
  /** A call has ended: it is no longer live for REST. */
  callOver(call: Call): void
}
