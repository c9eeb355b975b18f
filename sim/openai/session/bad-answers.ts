// What a response may do instead of answering: kinds, their check, and which one comes next. Rules:
// BA1: `badAnswers` are taken in order, one for each response of a conversation, in whatever session it is made.
// BA2: with none of these left, `randomAnswers` makes a share of all responses bad, by its seed: the same seed, the same row of kinds.
// BA3: a bad answer of tools calls the session's own first tools, with the smallest arguments that their schemas allow.
import { minimalArguments } from '../dialogue/minimal-arguments.ts'
import { anything, type Check, integerIn, invalidType, isObject, numberIn, oneOf, shape, text } from '../kit/checks.ts'

export type BadAnswer =
  /** Calls a tool that the session does not have. */
  | { kind: 'unknown-tool' }
  /** Calls a tool with half of an object; `name` says which (the first). */
  | { kind: 'broken-arguments'; name?: string }
  /** The arguments of a call come over `ms`. */
  | { kind: 'slow-arguments'; ms: number }
  | { kind: 'two-tools' }
  | { kind: 'failed'; code: string; message?: string }
  /** `afterAudioMs`: breaks off after so much sound; left out: without any. */
  | { kind: 'incomplete'; reason: 'max_output_tokens' | 'content_filter'; afterAudioMs?: number }
  | { kind: 'text-only' }
  | { kind: 'empty' }
  /** Ends as cancelled, with nobody's reason. */
  | { kind: 'cancelled' }
  /** Created, and then nothing. */
  | { kind: 'silence' }
  /** Not even created. */
  | { kind: 'never-created' }
  /** The first sound comes so much later. */
  | { kind: 'slow-audio'; ms: number }
  /** The socket is cut before the response is created. */
  | { kind: 'lost' }

export type RandomAnswers = {
  /** 0 to 1. */
  share: number
  seed: number
  /** How many were drawn. */
  drawn?: number
}

const MS: Check = numberIn(0, 600_000)
const KINDS: Record<BadAnswer['kind'], Check> = {
  'unknown-tool': shape({ kind: anything }),
  'broken-arguments': shape({ kind: anything, name: text }),
  'slow-arguments': shape({ kind: anything, ms: MS }, ['ms']),
  'two-tools': shape({ kind: anything }),
  failed: shape({ kind: anything, code: text, message: text }, ['code']),
  incomplete: shape({ kind: anything, reason: oneOf('max_output_tokens', 'content_filter'), afterAudioMs: MS }, [
    'reason',
  ]),
  'text-only': shape({ kind: anything }),
  empty: shape({ kind: anything }),
  cancelled: shape({ kind: anything }),
  silence: shape({ kind: anything }),
  'never-created': shape({ kind: anything }),
  'slow-audio': shape({ kind: anything, ms: MS }, ['ms']),
  lost: shape({ kind: anything }),
}

export const BAD_ANSWER: Check = (value, path) => {
  if (!isObject(value)) return invalidType(path, 'an object', value)
  return oneOf(...Object.keys(KINDS))(value.kind, `${path}.kind`) ?? KINDS[value.kind as BadAnswer['kind']](value, path)
}

export const RANDOM_ANSWERS: Check = shape(
  { share: numberIn(0, 1), seed: integerIn(0, 0xffffffff), drawn: integerIn(0, 1e9) },
  ['share', 'seed'],
)

/** What `randomAnswers` chooses from: every kind, each as bad as it may be seen. */
const ALL: readonly BadAnswer[] = [
  { kind: 'unknown-tool' },
  { kind: 'broken-arguments' },
  { kind: 'slow-arguments', ms: 6_500 },
  { kind: 'two-tools' },
  {
    kind: 'failed',
    code: 'rate_limit_exceeded',
    message: 'Rate limit reached for tokens per minute. Please try again in 1.5s.',
  },
  { kind: 'failed', code: 'server_error' },
  { kind: 'incomplete', reason: 'max_output_tokens', afterAudioMs: 600 },
  { kind: 'incomplete', reason: 'content_filter', afterAudioMs: 600 },
  { kind: 'incomplete', reason: 'content_filter' },
  { kind: 'text-only' },
  { kind: 'empty' },
  { kind: 'cancelled' },
  { kind: 'silence' },
  { kind: 'never-created' },
  { kind: 'slow-audio', ms: 6_000 },
  { kind: 'lost' },
]

/** [BA1][BA2] The next bad answer; undefined: this one is to be good. */
export function nextBadAnswer(faults: {
  badAnswers: BadAnswer[]
  randomAnswers: RandomAnswers | null
}): BadAnswer | undefined {
  const scripted = faults.badAnswers.shift()
  if (scripted !== undefined || faults.randomAnswers === null) return scripted
  const { randomAnswers } = faults
  const drawn = (randomAnswers.drawn ?? 0) + 1
  randomAnswers.drawn = drawn
  if (chance(randomAnswers.seed, drawn, 1) >= randomAnswers.share) return undefined
  return ALL[Math.floor(chance(randomAnswers.seed, drawn, 2) * ALL.length)]
}

/** A number in [0, 1) that follows from its arguments (a mix of 32 bits, as in mulberry32). */
function chance(seed: number, drawn: number, salt: number): number {
  let mixed = (seed + Math.imul(drawn, 0x6d2b79f5) + Math.imul(salt, 0x9e3779b9)) >>> 0
  mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1)
  mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
  return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
}

type CallOutput = { kind: 'call'; name: string; argumentsJson: string }

/** [BA3] The calls that a bad answer puts out; none when it calls no tool, or the session has none to call. */
export function callsOf(bad: BadAnswer, tools: readonly { name: string; parameters?: unknown }[]): CallOutput[] {
  const good = tools.flatMap(({ name, parameters }) => {
    const made = minimalArguments(parameters)
    return made.kind === 'made' ? [{ name, json: JSON.stringify(made.arguments) }] : []
  })
  const [first, second = first] = good
  const call = (name: string, argumentsJson: string): CallOutput => ({ kind: 'call', name, argumentsJson })
  if (bad.kind === 'unknown-tool') return [call('a_tool_that_nobody_has', '{}')]
  if (first === undefined || second === undefined) return []
  if (bad.kind === 'broken-arguments') return [call(bad.name ?? first.name, '{"town":"Ber')]
  if (bad.kind === 'slow-arguments') return [call(first.name, first.json)]
  return bad.kind === 'two-tools' ? [call(first.name, first.json), call(second.name, second.json)] : []
}

/** Does the response say what the script says, be it late, in writing, or not to its end? */
export function isSpoken(bad: BadAnswer): boolean {
  return bad.kind === 'text-only' || bad.kind === 'slow-audio' || breaksOffMs(bad) !== undefined
}

/** After how much sound the response breaks off; undefined: it does not, or has no sound. */
export function breaksOffMs(bad: BadAnswer | undefined): number | undefined {
  return bad?.kind === 'incomplete' ? bad.afterAudioMs : undefined
}

/** How the response ends instead of being answered; undefined: as any other. */
export function badEndOf(bad: BadAnswer | undefined): BadEnd | undefined {
  if (bad?.kind === 'failed') {
    const { code, message = 'The server had an error while processing your request.' } = bad
    const type = code === 'rate_limit_exceeded' ? 'tokens' : 'server_error'
    return { status: 'failed', details: { type: 'failed', error: { type, code, message } } }
  }
  if (bad?.kind === 'incomplete') return { status: 'incomplete', details: { type: 'incomplete', reason: bad.reason } }
  return bad?.kind === 'cancelled' ? { status: 'cancelled', details: null } : undefined
}

type BadEnd = { status: 'failed' | 'incomplete' | 'cancelled'; details: Record<string, unknown> | null }
