// Whose place a call takes. Rules:
// CPL1: a far party has CALLS_PER_CALLER places at once over the fleet, whatever the direction; all who are withheld share a part of the
//      cell's limit, since nobody can tell them apart. One address, or one number in a spelling that identifies nobody (IDN4), has
//      CALLS_PER_CALLER places of that part.
// CPL2: the store is told a keyed digest of the number, never the number.
import { createHmac } from 'node:crypto'
import { type CallEnds, farPartyOf, writtenPartyOf } from '../call/identity.ts'
import type { CallerPlaces } from '../control/ports.ts'

const WITHHELD = 'withheld'
const KEY_CHARACTERS = 22

/** Whose place a call between `ends` takes; undefined: places are not bounded. */
export type PlacesOf = (ends: CallEnds) => CallerPlaces | undefined

/** `perCaller` 0: not bounded. `limit`: calls of the cell at once. */
export function makePlacesOf(parts: {
  secret: string
  perCaller: number
  withheldPercent: number
  limit: number
}): PlacesOf {
  const { secret, perCaller, withheldPercent, limit } = parts
  if (perCaller === 0) return () => undefined
  const withheld = { key: WITHHELD, max: Math.max(1, Math.ceil((limit * withheldPercent) / 100)) }
  const digestOf = (caller: string): string =>
    createHmac('sha256', secret).update(`caller ${caller}`).digest('base64url').slice(0, KEY_CHARACTERS)
  return (ends) => {
    const party = farPartyOf(ends)
    if (party.kind === 'known') return { key: digestOf(party.number), max: perCaller }
    const written = writtenPartyOf(ends)
    if (written === undefined) return withheld
    return { key: `${digestOf(written)} ${WITHHELD}`, max: perCaller, groupMax: withheld.max }
  }
}
