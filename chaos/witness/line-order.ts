// In what order callers who waited were served, as the carrier saw it. Rules:
// LO1: a caller is served when the first stream opens. Being served is learnt at a poll of the waiting document, so that two callers
//      may be served in the wrong order by one poll period; a greater inversion is barging in.
// LO2: order is judged within a tenant; a caller who hung up is no longer overtaken.
// LO4: a caller came later when his call was placed after the other's first webhook was answered: webhooks that overlap have no order.
// LO3: the share of tenants is that of the streams opened while callers of all of them waited.
import type { CallStory } from './call-story.ts'

/** A poll each 9 s, the speech in it by estimate, and the time to come in. */
const POLL_US = 12_000_000

type Inversion = { overtaken: string; by: string; us: number }

/** When the first stream of a call opened. */
export function servedUs(story: CallStory): number | undefined {
  return story.streams[0]?.openedUs
}

/** [LO1][LO2][LO4] Callers who were overtaken by one who came later, by more than a poll; `calls` of one tenant. */
export function inversionsOf(calls: readonly CallStory[]): Inversion[] {
  const inversions: Inversion[] = []
  for (const story of calls) {
    const atUs = servedUs(story) ?? story.ends[0]?.atUs ?? Number.MAX_SAFE_INTEGER
    const by = calls.find((other) => {
      const otherUs = servedUs(other)
      const isLater = story.answeredUs !== undefined && other.placedUs > story.answeredUs
      return isLater && otherUs !== undefined && otherUs + POLL_US < atUs
    })
    if (by !== undefined) inversions.push({ overtaken: story.callSid, by: by.callSid, us: atUs - servedUs(by)! })
  }
  return inversions
}

/** [LO3] Of the streams opened from `fromUs` to `toUs`, how many are of each group. */
export function servedBetween(groups: readonly (readonly CallStory[])[], fromUs: number, toUs: number): number[] {
  return groups.map(
    (calls) => calls.filter((story) => (servedUs(story) ?? 0) >= fromUs && (servedUs(story) ?? 0) < toUs).length,
  )
}

/** When the last of these calls that had to wait (`patienceUs` or longer) was served: until then somebody waited. */
export function lastWaitUs(calls: readonly CallStory[], patienceUs: number): number {
  const waited = calls.flatMap((story) => {
    const atUs = servedUs(story)
    return atUs !== undefined && atUs - story.placedUs >= patienceUs ? [atUs] : []
  })
  return Math.max(0, ...waited)
}
