// What a pod is made of.

import type { CallShape, MakeModel, PodWorld } from '../call-control/pod-call.ts'
import type { RescueTimes } from '../call-control/rescue/rescuer.ts'
import type { StreamTokens } from '../call-control/stream-token.ts'
import type { Config } from '../config.ts'
import type { ModelPools } from '../model/pools/pools.ts'
import type { LagMeter } from '../ops/lag.ts'
import type { Pack } from '../packs/pack.ts'
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
  world: PodWorld
  /** Where other pods reach this one. */
  address: () => string
  /** What the carrier knows the plane by. */
  baseUrl: () => string
  /** Default: those of the configuration. */
  stores?: Stores | undefined
  rescueTimes?: Partial<RescueTimes> | undefined
  /** In ms; see call control/endings.ts. */
  overLooksMs?: readonly number[] | undefined
}
