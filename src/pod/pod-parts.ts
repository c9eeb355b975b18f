// What a pod is made of.
import type { StreamTokens } from '../carrier/twilio/token.ts'
import type { Config } from '../config.ts'
import type { CallShape, DeskWorld, MakeModel } from '../desk/held.ts'
import type { LagMeter } from '../ops/lag.ts'
import type { Pack } from '../packs/pack.ts'
import type { ModelPools } from './pools/pools.ts'
import type { RescueTimes } from './rescue/rescuer.ts'
import type { Stores } from './stores.ts'

export type PodParts = {
  config: Config
  pack: Pack
  makeModel: MakeModel
  /** Where `makeModel` dials, with what was learnt of them; undefined: it learns nothing. */
  pools?: ModelPools | undefined
  shape: CallShape
  tokens: StreamTokens
  sorry: string
  lag: LagMeter
  world: DeskWorld
  /** Where other pods reach this one. */
  address: () => string
  /** What the carrier knows the plane by. */
  baseUrl: () => string
  /** Default: those of the configuration. */
  stores?: Stores | undefined
  rescueTimes?: Partial<RescueTimes> | undefined
  /** In ms; see desk/endings.ts. */
  overLooksMs?: readonly number[] | undefined
}
