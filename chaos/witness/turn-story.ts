// What became of each turn of a caller, by the carrier's log alone. Rules:
// TS1: a turn begins when the caller has spoken. It is answered by the next sound that he hears: the agent, or the plane's own; or by a
//      sentence or a dialled number, which the carrier was told of.
// TS2: dead air runs from the end of the caller's words to that sound. The agent still heard at that moment, for STILL_HEARD_US or more,
//      leaves none.
// TS3: a turn after which the caller hung up, or spoke again, within PATIENCE_US is left out when nothing was heard: nobody can say what
//      would have come.
// TS4: every other turn is unanswered.
import type { CallStory } from './call-story.ts'

const STILL_HEARD_US = 300_000
const PATIENCE_US = 10_000_000
const WORDS_OF_CARRIER = new Set(['Say', 'Dial', 'Play'])

export type TurnStory =
  | { kind: 'answered'; by: 'sound' | 'carrier'; atUs: number; deadAirMs: number }
  | { kind: 'left-out'; atUs: number }
  | { kind: 'unanswered'; atUs: number }

/** The turns of a call, in order. */
export function turnsOf({ pausesUs, turnsUs, streams, verbs, ends }: CallStory): TurnStory[] {
  const heard = streams.flatMap((stream) => stream.heard)
  return pausesUs.map((atUs): TurnStory => {
    const spokeUs = turnsUs.find((other) => other > atUs) ?? Number.POSITIVE_INFINITY
    const sounds = heard
      .filter(({ fromUs, toUs }) => fromUs >= atUs || toUs >= atUs + STILL_HEARD_US)
      .map(({ fromUs }) => Math.max(fromUs, atUs))
    const soundUs = Math.min(Number.POSITIVE_INFINITY, ...sounds)
    const verbUs =
      verbs.find((one) => one.atUs >= atUs && WORDS_OF_CARRIER.has(one.verb))?.atUs ?? Number.POSITIVE_INFINITY
    const firstUs = Math.min(soundUs, verbUs)
    if (firstUs <= spokeUs && firstUs < Number.POSITIVE_INFINITY)
      return {
        kind: 'answered',
        by: soundUs <= verbUs ? 'sound' : 'carrier',
        atUs,
        deadAirMs: (firstUs - atUs) / 1_000,
      }
    const end = ends[0]
    const hungUpUs = end?.cause === 'caller-hung-up' ? end.atUs : Number.POSITIVE_INFINITY
    return Math.min(hungUpUs, spokeUs) - atUs <= PATIENCE_US ? { kind: 'left-out', atUs } : { kind: 'unanswered', atUs }
  })
}
