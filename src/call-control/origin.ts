// What is known of a call when it comes to this pod.
import type { TransferOutcome } from '../call/state.ts'
import type { HeldLease } from '../control/ports.ts'
import type { ToolIntent } from '../control/records.ts'
import type { PlacesOf } from './caller-places.ts'
import type { Expected } from './peers.ts'

/** What is known of a call when it is made here. */
export type Origin = Omit<Expected, 'how'> & {
  resume:
    | {
        kind: 'failover' | 'handover'
        checkpoint: string | undefined
        /** undefined: the records could not be read. */
        intents: readonly ToolIntent[] | undefined
        /** It comes back from a transfer, which ended so. */
        dialed?: TransferOutcome | undefined
      }
    | undefined
}

/** The lease of a call, as the store is told of it. */
export function leaseOf(origin: Origin, placesOf: PlacesOf): HeldLease {
  const { callSid, tenant, epoch, pool } = origin
  return { callSid, tenant, epoch, pool, caller: placesOf(origin)?.key }
}
