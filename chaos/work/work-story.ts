// The judge of the work after calls: what carrier, receiver and database say, against each other. Rules:
// WY1: the carrier's list says which calls there were; a call that the database has and the carrier has not is one too many.
// WY2: every call has its three items, each done: one that is missing or in another state is a lost job.
// WY3: an effect is a key at the receiver. Every call has exactly one: a second key is a duplicate, none is a lost effect, and one key for two
//      calls is a lost one as well as a wrong one. A repeat of a key is no effect.
// WY4: every call has exactly one record, with its transcript part and its analysis; the table holds one row for a call by its key, so that what can
//      be seen is a record that is missing, half, or of no call.
import type { WitnessLine } from '../../load/report/witness.ts'

export const TYPES = ['record', 'analysis', 'crm'] as const
const SHOWN = 10

export type WorkStory = {
  calls: number
  items: number
  /** Attempts beyond the first of each item: what was done again after a crash or a refusal. */
  attemptsAgain: number
  jobsLost: number
  dead: number
  uncertain: number
  requests: number
  /** Requests with a key that was known. */
  repeats: number
  /** Repeats of a key whose last request had been answered well: the worker died, or its word was not written. */
  repeatsAfterAnswer: number
  refused: number
  /** Calls whose delivery was refused for good at least once. */
  poisoned: number
  effects: number
  duplicateEffects: number
  lostEffects: number
  effectsOfNoCall: number
  /** Deliveries whose header and body name different keys, or whose key was another call's. */
  wrongDeliveries: number
  recordsMissing: number
  recordsHalf: number
  recordsOfNoCall: number
  analysers: Record<string, number>
  breaches: string[]
}

/** Judges a run: `calls` the carrier's Call SIDs, `receiver` its log in the order of time, `work` the dump. */
export function readWork(
  calls: readonly string[],
  receiver: readonly WitnessLine[],
  work: readonly WitnessLine[],
): WorkStory {
  const known = new Set(calls)
  const breaches: string[] = []
  const items = judgeItems(known, work, breaches)
  const deliveries = judgeDeliveries(known, receiver, breaches)
  const records = judgeRecords(known, work, breaches)
  return { calls: known.size, ...items, ...deliveries, ...records, breaches }
}

/** The first breaches, and how many there are in all. */
export function describeWork({ breaches }: WorkStory): string[] {
  const shown = breaches.slice(0, SHOWN)
  return breaches.length > SHOWN ? [...shown, `and ${breaches.length - SHOWN} more`] : shown
}

/** [WY2] */
function judgeItems(known: ReadonlySet<string>, work: readonly WitnessLine[], breaches: string[]) {
  const states = new Map<string, string>()
  const found = { items: 0, attemptsAgain: 0, jobsLost: 0, dead: 0, uncertain: 0 }
  for (const line of work) {
    if (line.event !== 'item') continue
    const state = String(line.state)
    found.items++
    found.attemptsAgain += Math.max(0, Number(line.attempt) - 1)
    if (state === 'dead') found.dead++
    if (state === 'uncertain') found.uncertain++
    states.set(`${String(line.call_sid)} ${String(line.type)}`, state)
  }
  for (const sid of known) {
    for (const type of TYPES) {
      const state = states.get(`${sid} ${type}`)
      if (state === 'done') continue
      found.jobsLost++
      breaches.push(`${sid}: ${type} is ${state ?? 'not there'}`)
    }
  }
  return found
}

/** [WY3] */
function judgeDeliveries(known: ReadonlySet<string>, receiver: readonly WitnessLine[], breaches: string[]) {
  const callOfKey = new Map<string, string>()
  const keysOfCall = new Map<string, Set<string>>()
  const lastOutcome = new Map<string, string>()
  const poisoned = new Set<string>()
  const found = { requests: 0, repeats: 0, repeatsAfterAnswer: 0, refused: 0, wrongDeliveries: 0 }
  for (const line of receiver) {
    if (line.event === 'refused') found.refused++
    if (line.event !== 'delivery') continue
    found.requests++
    const key = String(line.key)
    const sid = String(line.callSid)
    if (line.bodyKey !== key || (callOfKey.get(key) ?? sid) !== sid) {
      found.wrongDeliveries++
      breaches.push(
        `${sid}: delivered under key ${key}, body key ${String(line.bodyKey)}, first of ${callOfKey.get(key) ?? sid}`,
      )
    }
    if (line.isRepeat === true) {
      found.repeats++
      if (lastOutcome.get(key) === 'answered') found.repeatsAfterAnswer++
    }
    lastOutcome.set(key, String(line.outcome))
    if (line.outcome === 'poison') poisoned.add(sid)
    if (line.outcome !== 'answered' && line.outcome !== 'dropped') continue
    if (!callOfKey.has(key)) callOfKey.set(key, sid)
    keysOfCall.set(sid, (keysOfCall.get(sid) ?? new Set()).add(key))
  }
  let duplicateEffects = 0
  let effectsOfNoCall = 0
  for (const [sid, keys] of keysOfCall) {
    duplicateEffects += keys.size - 1
    if (keys.size > 1) breaches.push(`${sid}: ${keys.size} effects, ${[...keys].join(' ')}`)
    if (known.has(sid)) continue
    effectsOfNoCall++
    breaches.push(`${sid}: an effect of a call that the carrier does not know`)
  }
  const lost = [...known].filter((sid) => !keysOfCall.has(sid))
  for (const sid of lost) breaches.push(`${sid}: no effect`)
  return {
    ...found,
    poisoned: poisoned.size,
    effects: callOfKey.size,
    duplicateEffects,
    lostEffects: lost.length,
    effectsOfNoCall,
  }
}

/** [WY4] */
function judgeRecords(known: ReadonlySet<string>, work: readonly WitnessLine[], breaches: string[]) {
  const kept = new Map<string, WitnessLine>()
  const analysers: Record<string, number> = {}
  for (const line of work) {
    if (line.event !== 'kept') continue
    kept.set(String(line.call_sid), line)
    const analyser = String(line.analyser)
    analysers[analyser] = (analysers[analyser] ?? 0) + 1
  }
  const missing = [...known].filter((sid) => !kept.has(sid))
  const half = [...kept].filter(([, line]) => line.has_record !== true || line.analyser === null)
  const strange = [...kept.keys()].filter((sid) => !known.has(sid))
  for (const sid of missing) breaches.push(`${sid}: no record`)
  for (const [sid] of half) breaches.push(`${sid}: half a record`)
  for (const sid of strange) breaches.push(`${sid}: a record of a call that the carrier does not know`)
  return { recordsMissing: missing.length, recordsHalf: half.length, recordsOfNoCall: strange.length, analysers }
}
