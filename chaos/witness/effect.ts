// The effects of tools, as the sink saw them. Rules:
// EF1: an effect is named by its call and the step that the model was led through; each is to happen once, whatever died.
// EF2: a request with a known key is the same effect again (the sink answered as before): a repeat, not a second effect.
// EF3: two keys for one step are two effects: a duplicate. A key for two steps is a lost one.
// EF4: a step that the model asked for is to have its effect, unless the call ended within GRACE_US of the asking, or the session that
//      asked died within HEARD_US before any pod had written the intent down: then nobody heard the asking.
import type { WitnessLine } from '../../load/report/witness.ts'
import type { CallStory } from './call-story.ts'
import type { Breach } from './pod-story.ts'
import type { SessionStory } from './session-story.ts'

const GRACE_US = 20_000_000
const HEARD_US = 2_000_000
/** A pod's line may be stamped after the model has seen the pod's socket close. */
const STAMP_US = 300_000

export type EffectStory = {
  requests: number
  effects: number
  repeats: number
  duplicates: number
  missing: number
  asked: number
  breaches: Breach[]
}

/** [EF1] Judges all effects of a run. `calls` by number; the sink's lines name the Call SID. */
export function readEffects(
  lines: readonly WitnessLine[],
  sessions: Iterable<SessionStory>,
  calls: ReadonlyMap<number, CallStory>,
  podLines: readonly WitnessLine[] = [],
): EffectStory {
  const breaches: Breach[] = []
  const stepOfKey = new Map<string, string>()
  const keysOfStep = new Map<string, Set<string>>()
  let requests = 0
  for (const line of lines) {
    if (line.event !== 'request') continue
    requests++
    const step = `${String(line.callSid)} step ${String(line.step)}`
    const key = String(line.key)
    const before = stepOfKey.get(key)
    if (before !== undefined && before !== step)
      breaches.push({ check: 'effects', text: `key ${key}: ${before}, ${step}` })
    stepOfKey.set(key, before ?? step)
    const keys = keysOfStep.get(step) ?? new Set()
    keysOfStep.set(step, keys.add(key))
  }
  let duplicates = 0
  for (const [step, keys] of keysOfStep) {
    if (keys.size === 1) continue
    duplicates += keys.size - 1
    breaches.push({ check: 'effects', text: `${step} happened ${keys.size} times: ${[...keys].join(', ')}` })
  }
  const asked = askedSteps(sessions, calls, intentsOf(podLines))
  const missing = [...asked].filter((step) => !keysOfStep.has(step))
  for (const step of missing) breaches.push({ check: 'effects', text: `${step} was asked for and never happened` })
  const effects = stepOfKey.size
  return {
    requests,
    effects,
    repeats: requests - effects,
    duplicates,
    missing: missing.length,
    asked: asked.size,
    breaches,
  }
}

/** When the pods wrote down the intents of each call. */
function intentsOf(podLines: readonly WitnessLine[]): Map<string, number[]> {
  const intents = new Map<string, number[]>()
  for (const line of podLines) {
    if (line.event !== 'tool') continue
    const sid = String(line.call)
    const known = intents.get(sid)
    if (known === undefined) intents.set(sid, [line.t])
    else known.push(line.t)
  }
  return intents
}

/** [EF4] */
function askedSteps(
  sessions: Iterable<SessionStory>,
  calls: ReadonlyMap<number, CallStory>,
  intents: ReadonlyMap<string, number[]>,
): Set<string> {
  const steps = new Set<string>()
  for (const { call, asked, closedUs = Number.MAX_SAFE_INTEGER } of sessions) {
    const story = call === undefined ? undefined : calls.get(call)
    if (story === undefined) continue
    const endedUs = story.ends[0]?.atUs ?? Number.POSITIVE_INFINITY
    for (const { atUs, step } of asked) {
      const isIntended = intents.get(story.callSid)?.some((one) => one >= atUs && one <= closedUs + STAMP_US) === true
      if (closedUs - atUs < HEARD_US && !isIntended) continue
      if (step !== undefined && atUs + GRACE_US < endedUs) steps.add(`${story.callSid} step ${step}`)
    }
  }
  return steps
}
