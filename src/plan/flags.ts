// The command line of the planner. Rules:
// PLF1: a flag that is unknown, repeated, without a number or outside its bounds is one line that names it and says what it may be;
//       all such lines come together, and nothing is computed.
// PLF2: everything that a figure rests on and that may be different elsewhere is a flag with a unit, a default and bounds. A price has
//       no default.
// PLF3: nothing is read but the arguments: no environment, no file, no network.
import type { ModelAudio } from './wire.ts'

type Amount = { unit: string; min: number; max: number; fallback: number; isWhole?: true; about: string }

/** Amounts; every one but the prices has a default. */
const AMOUNTS = {
  calls: { unit: 'calls', min: 1, max: 1_000_000, fallback: 1_000, isWhole: true, about: 'calls at once at the peak' },
  minutes: { unit: 'minutes', min: 0.1, max: 180, fallback: 3, about: 'mean length of a call' },
  target: { unit: 'calls', min: 1, max: 1_000, fallback: 25, about: 'calls that a pod is meant to hold' },
  ceiling: { unit: 'calls', min: 1, max: 1_000, fallback: 40, about: 'calls that a pod takes at most' },
  headroom: { unit: '%', min: 0, max: 400, fallback: 20, about: 'pods above what the target needs' },
  regions: {
    unit: 'regions',
    min: 1,
    max: 50,
    fallback: 1,
    isWhole: true,
    about: 'regions that share the calls evenly',
  },
  jobs: { unit: 'jobs', min: 0, max: 50, fallback: 3, isWhole: true, about: 'jobs after each call' },
  'job-s': { unit: 's', min: 0.001, max: 600, fallback: 4, about: 'S, mean time of a job' },
  'worker-load': { unit: '%', min: 1, max: 99, fallback: 70, about: 'how busy workers may be' },
  'worker-slots': {
    unit: 'slots',
    min: 1,
    max: 2_000,
    fallback: 128,
    isWhole: true,
    about: 'jobs at once in a worker process',
  },
  'checkpoint-s': { unit: 's', min: 0.2, max: 3_600, fallback: 7, about: 'between two checkpoints of a call' },
  'checkpoint-kb': { unit: 'kB', min: 0.1, max: 10_000, fallback: 4, about: 'size of a checkpoint' },
  'record-kb': {
    unit: 'kB',
    min: 0.1,
    max: 100_000,
    fallback: 12,
    about: 'what the database keeps of a call, indexes too',
  },
  'busy-hours': { unit: 'hours', min: 0.1, max: 24, fallback: 24, about: 'hours a day at the peak' },
  'transaction-ms': { unit: 'ms', min: 0.1, max: 10_000, fallback: 10, about: 'mean time of a transaction' },
  'pod-connections': { unit: 'connections', min: 1, max: 200, fallback: 10, isWhole: true, about: 'DATABASE_POOL_MAX' },
  'lease-bytes': { unit: 'bytes', min: 50, max: 100_000, fallback: 210, about: 'memory of Redis for a lease' },
  'cpu-ms': { unit: 'ms', min: 0.01, max: 1_000, fallback: 1.34, about: 'CPU time of one second of a call' },
  'call-kb': { unit: 'kB', min: 1, max: 100_000, fallback: 70, about: 'memory of a live call in a pod' },
  'metric-s': { unit: 's', min: 0, max: 600, fallback: 15, about: 'until a metric is scraped' },
  'sync-s': { unit: 's', min: 0, max: 600, fallback: 15, about: 'between two looks of the HPA' },
  'start-s': { unit: 's', min: 1, max: 3_600, fallback: 45, about: 'until a new pod is ready; 120 with a new machine' },
  'cell-pods': { unit: 'pods', min: 1, max: 10_000, fallback: 200, isWhole: true, about: 'pods of one cell at most' },
  'caller-share': { unit: '%', min: 0, max: 100, fallback: 40, about: 'of a call in which the caller speaks' },
  'agent-share': { unit: '%', min: 0, max: 100, fallback: 45, about: 'of a call in which the agent speaks' },
  turns: { unit: 'a minute', min: 0.1, max: 60, fallback: 5, about: 'answers of the agent in a minute' },
  'prompt-tokens': { unit: 'tokens', min: 0, max: 100_000, fallback: 1_500, about: 'instructions and tools' },
} as const satisfies Record<string, Amount>

/** Prices, in one currency of the reader's choice. */
const PRICES = {
  'price-audio-in': 'a million tokens of audio that the model hears anew',
  'price-audio-cached': 'a million tokens of audio that it has cached',
  'price-audio-out': 'a million tokens of audio that it speaks',
  'price-text-in': 'a million tokens of text that it reads anew',
  'price-text-cached': 'a million tokens of text that it has cached',
  'price-model-minute': 'a minute of a model session',
  'price-carrier-minute': 'a minute of a call at the carrier, stream included',
} as const

type AmountName = keyof typeof AMOUNTS
export type PriceName = keyof typeof PRICES
export type PlanInput = Record<AmountName, number> & { audio: ModelAudio; prices: Partial<Record<PriceName, number>> }

type PlanFlags =
  | { kind: 'plan'; input: PlanInput; isJson: boolean }
  | { kind: 'help' }
  | { kind: 'wrong'; problems: readonly string[] }

const PRICE_MAX = 1_000_000
const NUMBER = /^(?:\d+(?:\.\d+)?|\.\d+)$/
const BARE: readonly string[] = ['json', 'help']

const isAmount = (name: string): name is AmountName => Object.hasOwn(AMOUNTS, name)
const isPrice = (name: string): name is PriceName => Object.hasOwn(PRICES, name)

/** The input that no flag has changed. */
export function defaultInput(): PlanInput {
  const amounts = Object.fromEntries(Object.entries(AMOUNTS).map(([name, { fallback }]) => [name, fallback]))
  return { ...(amounts as Record<AmountName, number>), audio: 'pcmu', prices: {} }
}

/** Reads the arguments after `plan`; never throws. */
export function readFlags(args: readonly string[]): PlanFlags {
  if (args.includes('--help') || args.includes('-h')) return { kind: 'help' }
  const { found, problems } = split(args)
  const input = defaultInput()
  for (const [name, text] of found) {
    const problem = take(input, name, text)
    if (problem !== undefined) problems.push(problem)
  }
  if (problems.length === 0 && input.target > input.ceiling)
    problems.push(
      `--target ${input.target} is above --ceiling ${input.ceiling}: a pod cannot be meant to hold more than it takes`,
    )
  if (problems.length === 0 && input['caller-share'] + input['agent-share'] > 100)
    problems.push('--caller-share and --agent-share are more than 100 % together: lower one of them')
  if (problems.length > 0) return { kind: 'wrong', problems }
  return { kind: 'plan', input, isJson: found.has('json') }
}

/** Flag → text; both `--calls 5` and `--calls=5`. */
function split(args: readonly string[]): { found: Map<string, string | undefined>; problems: string[] } {
  const found = new Map<string, string | undefined>()
  const problems: string[] = []
  for (let i = 0; i < args.length; i += 1) {
    const [, name, glued] = /^--([a-z-]+)(?:=(.*))?$/s.exec(args[i]!) ?? []
    if (name === undefined) {
      problems.push(`${JSON.stringify(args[i])} is no flag; flags look like --calls 1000, see --help`)
      continue
    }
    if (found.has(name)) problems.push(`--${name} is given twice; give it once`)
    const next = args[i + 1]
    const takesNext = glued === undefined && !BARE.includes(name) && next !== undefined && !next.startsWith('--')
    found.set(name, takesNext ? next : glued)
    if (takesNext) i += 1
  }
  return { found, problems }
}

/** Puts one flag into the input; the problem with it, if there is one. */
function take(input: PlanInput, name: string, text: string | undefined): string | undefined {
  if (BARE.includes(name)) return text === undefined ? undefined : `--${name} takes no value`
  if (name === 'audio') {
    if (text !== 'pcmu' && text !== 'pcm16') return `--audio ${told(text)}: must be pcmu or pcm16`
    input.audio = text
    return undefined
  }
  if (isAmount(name)) {
    const { min, max, unit, isWhole }: Amount = AMOUNTS[name]
    const amount = numberOf(text)
    if (amount === undefined || amount < min || amount > max || (isWhole && !Number.isInteger(amount)))
      return `--${name} ${told(text)}: must be a ${isWhole ? 'whole ' : ''}number from ${min} to ${max} (${unit})`
    input[name] = amount
    return undefined
  }
  if (!isPrice(name)) return `--${name.slice(0, 60)} is unknown; see --help`
  const price = numberOf(text)
  if (price === undefined || price > PRICE_MAX)
    return `--${name} ${told(text)}: must be a number from 0 to ${PRICE_MAX}`
  input.prices[name] = price
  return undefined
}

const told = (text: string | undefined): string =>
  text === undefined ? 'has no value' : JSON.stringify(text.slice(0, 60))
const numberOf = (text: string | undefined): number | undefined =>
  text !== undefined && text.length <= 30 && NUMBER.test(text) ? Number(text) : undefined

/** What `--help` prints. */
export function helpText(): string {
  const lines = Object.entries(AMOUNTS).map(
    ([name, { about, fallback, unit }]) => `  ${`--${name} N`.padEnd(26)} ${about}, ${unit} (${fallback})`,
  )
  const prices = Object.entries(PRICES).map(([name, about]) => `  ${`--${name} N`.padEnd(26)} price of ${about}`)
  return [
    'How big a fleet must be: npm run plan -- --calls 1000 --minutes 3',
    '',
    ...lines,
    `  ${'--audio pcmu|pcm16'.padEnd(26)} what the model's leg carries (pcmu)`,
    '',
    'Prices, all in one currency; what has no price is left out of the cost, and that is said:',
    ...prices,
    '',
    `  ${'--json'.padEnd(26)} one JSON object in place of the table`,
    `  ${'--help'.padEnd(26)} this text`,
    '',
  ].join('\n')
}
