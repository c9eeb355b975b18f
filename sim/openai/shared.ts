// What all sessions of one simulator share.
import type { Catalogue } from './dialogue/catalogue.ts'
import type { Check } from './kit/checks.ts'
import type { Wheel } from './kit/wheel.ts'
import type { Witness } from './kit/witness.ts'
import type { Faults, OpenAiSimOptions } from './options.ts'
import type { VoiceBank } from './voice/fragments.ts'

export type Shared = {
  readonly options: OpenAiSimOptions
  readonly wheel: Wheel
  readonly witness: Witness
  readonly voices: VoiceBank
  readonly catalogue: Catalogue
  readonly faults: Faults
  /** The shape of session.update. */
  readonly sessionUpdate: Check
  /** Live sessions and the ceiling, for the witness log. */
  load(): { live: number; ceiling: number }
}
