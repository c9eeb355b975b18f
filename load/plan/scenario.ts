// What a caller does, by name. Rules:
// SC1: a scenario is only a script for the carrier simulator's caller; all chance comes from the seeded source handed in.
// SC2: a call stays `holdS` seconds from the answer, except where the scenario itself says otherwise.

import type { CallerScript, Step } from '../../sim/twilio/media/script.ts'
import type { SpokenClip } from '../../sim/twilio/wire/clip-frames.ts'
import { pickWeighted, type Random } from './arrivals.ts'

export const SCENARIO_NAMES = [
  'talk',
  'conversation',
  'barge-in',
  'dtmf',
  'early-hangup',
  'silence',
  'long',
  'missing-stop',
  'duplicate-webhook',
  'visit',
  'impatient',
  'slow-reader',
  'mixed',
] as const

export type ScenarioName = (typeof SCENARIO_NAMES)[number]
export type PlainScenarioName = Exclude<ScenarioName, 'mixed'>

/** What `--help` says of each. */
export const SCENARIO_TEXT: Record<ScenarioName, string> = {
  talk: 'listens to the greeting, speaks, waits for the answer, and so on until the hold is over',
  conversation: 'as talk, with three sentences to a turn: the caller speaks about as much as the agent',
  'barge-in': 'as talk, but speaks over every second answer of the agent',
  dtmf: 'as talk, and presses keys in every turn',
  'early-hangup': 'hangs up at a random moment within 3 s, during set-up or greeting',
  silence: 'says nothing at all',
  long: 'as talk with longer thoughts between turns, held five times as long',
  'missing-stop': 'the media socket dies half-way, without a stop message',
  'duplicate-webhook': 'as talk, and the voice webhook of the call is delivered twice at once',
  visit: 'as talk for one or two turns, then hangs up; the hold is how long the caller waits for that',
  impatient: 'hangs up after a random part of the hold, wherever the call is: in a queue, or talking',
  'slow-reader':
    'speaks again and again without waiting; 5 s into the media stream its socket is not read for half a minute',
  mixed:
    'all of these but conversation, visit, impatient and slow-reader: 60 % talk, 15 % barge-in, 5 % each of most others',
}

const MIXTURE: { name: PlainScenarioName; weight: number }[] = [
  { name: 'talk', weight: 60 },
  { name: 'barge-in', weight: 15 },
  { name: 'dtmf', weight: 5 },
  { name: 'early-hangup', weight: 5 },
  { name: 'silence', weight: 5 },
  { name: 'long', weight: 2 },
  { name: 'missing-stop', weight: 4 },
  { name: 'duplicate-webhook', weight: 4 },
]

const EARLY_HANGUP_MS_MAX = 3_000
const GREETING_WAIT_MS = 15_000
const ANSWER_WAIT_MS = 15_000
const AGENT_SPEECH_MS_MAX = 60_000
const UNHEARD_ANSWER_MS = 4_000
const ROUNDS = 8
const LONG_FACTOR = 5
const SENTENCE_PAUSE_MS = 200

/** One call as it is to be placed. */
export type PlannedCall = { number: number; atMs: number; scenario: PlainScenarioName; seed: number }

/** Chooses the scenario of a call; `mixed` becomes one of its parts. */
export function chooseScenario(
  weights: readonly { name: ScenarioName; weight: number }[],
  random: Random,
): PlainScenarioName {
  const name = pickWeighted(weights, random)
  return name === 'mixed' ? pickWeighted(MIXTURE, random) : name
}

/** [SC1][SC2] The script of one call. `clips` must not be empty. `isCallerFirst`: no greeting is waited for. */
export function buildScript(
  scenario: PlainScenarioName,
  clips: readonly SpokenClip[],
  holdS: number,
  random: Random,
  isCallerFirst = false,
): CallerScript {
  const maxMs = holdS * 1_000
  const greeting = (): Step[] => (isCallerFirst ? [] : greetingWithin(maxMs))
  switch (scenario) {
    case 'talk':
    case 'duplicate-webhook':
      return { maxMs, steps: [...greeting(), untilEnd(rounds(clips, random, () => []))] }
    case 'conversation':
      return { maxMs, steps: [...greeting(), untilEnd(rounds(inThrees(clips), random, () => []))] }
    case 'slow-reader':
      return { maxMs, steps: [...greeting(), untilEnd(unheardRounds(clips, random))] }
    case 'barge-in':
      return { maxMs, steps: [...greeting(), untilEnd(bargeInRounds(clips, random))] }
    case 'dtmf':
      return { maxMs, steps: [...greeting(), untilEnd(rounds(clips, random, () => [{ dtmf: digits(random) }]))] }
    case 'early-hangup':
      return {
        maxMs,
        steps: [{ stayMs: Math.round(random() * Math.min(EARLY_HANGUP_MS_MAX, maxMs)) }, { hangUp: true }],
      }
    case 'silence':
      return { maxMs, steps: [{ stayMs: maxMs }] }
    case 'long':
      return { maxMs: maxMs * LONG_FACTOR, steps: [...greeting(), untilEnd(rounds(clips, random, thought))] }
    case 'visit':
      return {
        maxMs,
        steps: [...greeting(), ...rounds(clips, random, () => []).slice(0, visitSteps(random)), { hangUp: true }],
      }
    case 'impatient':
      return { maxMs, steps: [{ stayMs: Math.round(maxMs * random()) }, { hangUp: true }] }
    case 'missing-stop':
      return { maxMs, steps: missingStop(clips, maxMs, random) }
    default:
      return unreachable(scenario)
  }
}

function unreachable(scenario: never): never {
  throw new Error(`no such scenario: ${String(scenario)}`)
}

/** Long enough that a slow agent is not spoken over, short enough that each caller comes to speak. */
function greetingWithin(holdMs: number): Step[] {
  const silentMs = Math.min(GREETING_WAIT_MS, Math.round(holdMs / 2))
  return [{ waitForAgent: 'finished', timeoutMs: GREETING_WAIT_MS, silentMs }]
}

function untilEnd(steps: Step[]): Step {
  return { repeat: 'until end', steps }
}

function pick(clips: readonly SpokenClip[], random: Random): SpokenClip {
  return clips[Math.floor(random() * clips.length)]!
}

function answered(): Step[] {
  return [
    { waitForAgent: 'speaking', timeoutMs: ANSWER_WAIT_MS },
    { waitForAgent: 'finished', timeoutMs: AGENT_SPEECH_MS_MAX },
  ]
}

const THREES = new WeakMap<readonly SpokenClip[], SpokenClip[]>()

/** As many clips, each of three in a row; made once for a list. */
function inThrees(clips: readonly SpokenClip[]): SpokenClip[] {
  const known = THREES.get(clips)
  if (known !== undefined) return known
  const threes = clips.map((first, i): SpokenClip => {
    const parts = [first, clips[(i + 1) % clips.length]!, clips[(i + 2) % clips.length]!]
    // The last one ends as it is; the pauses before it are short of the silence that ends a turn.
    const ulaw = Buffer.concat(parts.map((part, at) => (at === 2 ? part.ulaw : upToPause(part))))
    const speechEndMs = ulaw.length / 8 - (parts[2]!.ms - parts[2]!.speechEndMs)
    return { name: parts.map(({ name }) => name).join(' '), ulaw, ms: ulaw.length / 8, speechEndMs }
  })
  THREES.set(clips, threes)
  return threes
}

function upToPause({ ulaw, speechEndMs }: SpokenClip): Buffer {
  return ulaw.subarray(0, Math.min(ulaw.length, Math.round(speechEndMs + SENTENCE_PAUSE_MS) * 8))
}

function rounds(clips: readonly SpokenClip[], random: Random, extra: (random: Random) => Step[]): Step[] {
  return Array.from({ length: ROUNDS }, () => [
    { say: pick(clips, random) },
    ...answered(),
    ...extra(random),
    { pauseMs: Math.round(1_000 + random() * 2_000) },
  ]).flat()
}

/** Turns of a caller who cannot hear when the agent has answered, with time for an answer after each. */
function unheardRounds(clips: readonly SpokenClip[], random: Random): Step[] {
  return Array.from({ length: ROUNDS }, () => [{ say: pick(clips, random) }, { pauseMs: UNHEARD_ANSWER_MS }]).flat()
}

function bargeInRounds(clips: readonly SpokenClip[], random: Random): Step[] {
  return Array.from({ length: ROUNDS }, () => [
    { say: pick(clips, random) },
    { bargeIn: pick(clips, random), afterAgentMs: Math.round(500 + random() * 1_000) },
    ...answered(),
    { pauseMs: Math.round(1_000 + random() * 2_000) },
  ]).flat()
}

/** One turn or two, of say, two waits and a pause each. */
function visitSteps(random: Random): number {
  return random() < 0.5 ? 4 : 8
}

function thought(random: Random): Step[] {
  return [{ pauseMs: Math.round(4_000 + random() * 8_000) }]
}

function digits(random: Random): string {
  return Array.from({ length: 4 }, () => '0123456789*#'[Math.floor(random() * 12)]!).join('')
}

function missingStop(clips: readonly SpokenClip[], maxMs: number, random: Random): Step[] {
  const how = random() < 0.5 ? 'reset' : 'close-without-stop'
  return [
    { pauseMs: Math.round(maxMs * 0.25) },
    { say: pick(clips, random) },
    { dropSocket: how },
    { stayMs: Math.round(maxMs * 0.25) },
    { hangUp: true },
  ]
}
