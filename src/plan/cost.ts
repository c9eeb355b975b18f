// Model minutes, tokens and what they cost. Rules:
// PLC1: a caller's speech is 10 tokens a second, the agent's 20; silence is not billed. Every answer is billed the whole conversation again
//       as input: what is new since the last answer at the full price, the rest as cached.
// PLC2: a cost is said only for what has a price; what has none is named, never counted as zero. A model is billed by tokens or by
//       minutes: the one that has no price at all is not missed when the other has one.
import type { PlanInput, PriceName } from './flags.ts'
import { arrivalsPerSecond } from './pods.ts'
import { counted, plain, type Row, row, type Section } from './row.ts'

const CALLER_TOKENS_PER_SECOND = 10
const AGENT_TOKENS_PER_SECOND = 20
const MILLION = 1_000_000
const TOKEN_PRICES: readonly PriceName[] = [
  'price-audio-in',
  'price-audio-cached',
  'price-audio-out',
  'price-text-in',
  'price-text-cached',
]

/** Tokens of one call of mean length. */
type CallTokens = {
  turns: number
  audioIn: number
  audioCached: number
  audioOut: number
  textIn: number
  textCached: number
}

/** [PLC1] The k-th answer hears k turns of the caller and k − 1 of the agent; the newest of each are not cached yet. */
export function tokensOfCall(input: PlanInput): CallTokens {
  const seconds = input.minutes * 60
  const n = Math.max(1, Math.round(input.minutes * input.turns))
  const heard = (seconds * input['caller-share'] * CALLER_TOKENS_PER_SECOND) / 100 / n
  const said = (seconds * input['agent-share'] * AGENT_TOKENS_PER_SECOND) / 100 / n
  const all = (heard * n * (n + 1)) / 2 + (said * n * (n - 1)) / 2
  const audioIn = n * heard + (n - 1) * said
  return {
    turns: n,
    audioIn,
    audioCached: Math.max(0, all - audioIn),
    audioOut: n * said,
    textIn: input['prompt-tokens'],
    textCached: (n - 1) * input['prompt-tokens'],
  }
}

/** `perCall` undefined: nothing has a price. `unpriced`: what would cost something and has none. */
type CallCost = { perCall: number | undefined; unpriced: readonly PriceName[] }

/** [PLC2] */
export function costOfCall(input: PlanInput): CallCost {
  const tokens = tokensOfCall(input)
  const amounts: Readonly<Record<PriceName, number>> = {
    'price-audio-in': tokens.audioIn / MILLION,
    'price-audio-cached': tokens.audioCached / MILLION,
    'price-audio-out': tokens.audioOut / MILLION,
    'price-text-in': tokens.textIn / MILLION,
    'price-text-cached': tokens.textCached / MILLION,
    'price-model-minute': input.minutes,
    'price-carrier-minute': input.minutes,
  }
  const isByMinute = input.prices['price-model-minute'] !== undefined
  const isByToken = TOKEN_PRICES.some((name) => input.prices[name] !== undefined)
  let perCall: number | undefined
  const unpriced: PriceName[] = []
  const isOther = (name: PriceName): boolean =>
    TOKEN_PRICES.includes(name) ? isByMinute && !isByToken : name === 'price-model-minute' && isByToken
  for (const [name, amount] of Object.entries(amounts) as [PriceName, number][]) {
    const price = input.prices[name]
    if (price !== undefined) perCall = (perCall ?? 0) + price * amount
    else if (amount > 0 && !isOther(name)) unpriced.push(name)
  }
  return { perCall, unpriced }
}

export function costSection(input: PlanInput): Section {
  const tokens = tokensOfCall(input)
  const { perCall, unpriced } = costOfCall(input)
  const perHour = arrivalsPerSecond(input) * 3_600
  const missing =
    unpriced.length === 0
      ? 'everything has a price'
      : `not in it, for want of a price: ${unpriced.map((name) => `--${name}`).join(' ')}`
  const basis = perCall === undefined ? 'no price was given, so no cost is said; see --price-… in --help' : missing
  const cost = (name: string, times: number): Row =>
    row(
      name,
      perCall === undefined ? undefined : perCall * times,
      'of your currency',
      name === 'cost a call' || perCall === undefined
        ? basis
        : `${counted(times, 'call')}; the jobs' text model is not counted`,
    )
  return {
    title: 'Model',
    rows: [
      row('sessions at once', input.calls, 'sessions', 'one a call; renewals and handovers need some more for seconds'),
      row('minutes', input.calls * 60, 'minutes/hour', `${counted(input.calls, 'session')} all the hour`),
      row(
        'audio heard anew',
        tokens.audioIn,
        'tokens a call',
        `${counted(tokens.turns, 'turn')}; caller 10 tokens/s for ${input['caller-share']} % of the call, and the agent's own words read back`,
      ),
      row(
        'audio cached',
        tokens.audioCached,
        'tokens a call',
        'the conversation so far, billed again at each answer; interrupted answers are not counted',
      ),
      row('audio spoken', tokens.audioOut, 'tokens a call', `20 tokens/s for ${input['agent-share']} % of the call`),
      row('text', tokens.textIn, 'tokens a call', `instructions and tools, and ${plain(tokens.textCached)} cached`),
      cost('cost a call', 1),
      cost('cost an hour', perHour),
      cost('cost a day', perHour * input['busy-hours']),
    ],
  }
}
