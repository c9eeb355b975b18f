// The command line of the load generator. Rules:
// O1: all problems are reported together, each with its fix; nothing is dialled when there is one.
// O2: only loopback and private addresses are dialled unless `--allow-remote` says otherwise: load is not to hit strangers.
import { parseArgs } from 'node:util'
import type { ArrivalLaw } from './plan/arrivals.ts'
import { SCENARIO_NAMES, SCENARIO_TEXT, type ScenarioName } from './plan/scenario.ts'

export const CALLS_MAX = 20_000
const PROCESSES_MAX = 32

export type WeightedScenario = { name: ScenarioName; weight: number }

/** What a run does. */
export type LoadOptions = {
  urls: string[]
  calls: number
  ratePerSecond: number
  arrivals: ArrivalLaw
  holdS: number
  scenarios: WeightedScenario[]
  processes: 'auto' | number
  seed: number
  jsonFile: string | undefined
  htmlFile: string | undefined
  witnessDir: string | undefined
  modelWitnesses: string[]
  authToken: string
  accountSid: string
  number: string
  isProbing: boolean
}

export type ParsedOptions =
  | { kind: 'run'; options: LoadOptions }
  | { kind: 'help' }
  | { kind: 'wrong'; problems: string[] }

export const HELP = `Usage: npm run load -- [options]
Places Twilio media calls against a base URL and reports what callers would have heard.

  --url URL            base URL of the plane; repeat it to spread calls over pods  (http://127.0.0.1:8080)
  --calls N            calls offered in all, 1 to ${CALLS_MAX}                                      (10)
  --ramp RATE          calls offered per second, as 20 or 20/s; arrivals never wait        (20/s)
  --arrivals LAW       constant | poisson                                                  (constant)
  --hold-s SECONDS     how long each call stays                                            (60)
  --scenario LIST      comma list with optional weights: talk=4,barge-in=1                 (talk)
${SCENARIO_NAMES.map((name) => `                         ${name.padEnd(18)} ${SCENARIO_TEXT[name]}`).join('\n')}
  --processes N        caller processes, or auto                                           (auto)
  --seed N             same seed, same arrivals and scenarios                              (1)
  --json FILE          write the report as JSON
  --html FILE          write the report as one page with plots
  --witness-dir DIR    keep the callers' witness logs here
  --model-witness FILE witness log of the model simulator, for latency and barge-in; may repeat
  --no-probes          send no time-stamped probe frame in place of every 25th frame
  --auth-token TOKEN   signs webhooks and media sockets; or TWILIO_AUTH_TOKEN
  --account-sid SID    AC + 32 hex; or TWILIO_ACCOUNT_SID
  --number E164        the number that is called                                           (+15550100000)
  --allow-remote       dial addresses that are neither loopback nor private
  --help

Ctrl-C hangs all calls up and still prints the report; a second one ends at once.
Exit code: 0 all calls set up and none dropped, 1 otherwise, 2 wrong arguments.
`

const FLAGS = {
  url: { type: 'string', multiple: true },
  calls: { type: 'string' },
  ramp: { type: 'string' },
  arrivals: { type: 'string' },
  'hold-s': { type: 'string' },
  scenario: { type: 'string' },
  processes: { type: 'string' },
  seed: { type: 'string' },
  json: { type: 'string' },
  html: { type: 'string' },
  'witness-dir': { type: 'string' },
  'model-witness': { type: 'string', multiple: true },
  'no-probes': { type: 'boolean' },
  'auth-token': { type: 'string' },
  'account-sid': { type: 'string' },
  number: { type: 'string' },
  'allow-remote': { type: 'boolean' },
  help: { type: 'boolean' },
} as const

/** [O1] Reads the arguments (without the program) and the environment's Twilio credentials. */
export function parseOptions(args: readonly string[], environment: Record<string, string | undefined>): ParsedOptions {
  const problems: string[] = []
  const { values, positionals, tokens } = parseArgs({
    args: [...args],
    options: FLAGS,
    strict: false,
    allowPositionals: true,
    tokens: true,
  })
  if (values.help === true) return { kind: 'help' }
  for (const token of tokens) {
    if (token.kind === 'option' && !(token.name in FLAGS)) problems.push(`--${token.name} is unknown: see --help`)
  }
  for (const word of positionals) problems.push(`"${word}" is not an option: see --help`)
  const text = (name: keyof typeof FLAGS): string | undefined => {
    const value = (values as Record<string, unknown>)[name]
    if (value === true) problems.push(`--${name} needs a value`)
    return typeof value === 'string' && value !== '' ? value : undefined
  }
  const whole = (name: keyof typeof FLAGS, fallback: number, min: number, max: number): number => {
    const value = text(name)
    if (value === undefined) return fallback
    const number = Number(value)
    if (Number.isInteger(number) && number >= min && number <= max) return number
    problems.push(`--${name} "${value}" must be a whole number from ${min} to ${max}`)
    return fallback
  }
  const list = (name: keyof typeof FLAGS): string[] =>
    ((values as Record<string, unknown>)[name] as unknown[] | undefined)?.filter((v) => typeof v === 'string') ?? []

  const options: LoadOptions = {
    urls: readUrls(list('url'), values['allow-remote'] === true, problems),
    calls: whole('calls', 10, 1, CALLS_MAX),
    ratePerSecond: readRate(text('ramp'), problems),
    arrivals: readArrivals(text('arrivals'), problems),
    holdS: whole('hold-s', 60, 1, 86_400),
    scenarios: readScenarios(text('scenario'), problems),
    processes:
      text('processes') === undefined || text('processes') === 'auto'
        ? 'auto'
        : whole('processes', 1, 1, PROCESSES_MAX),
    seed: whole('seed', 1, 0, 4_294_967_295),
    jsonFile: text('json'),
    htmlFile: text('html'),
    witnessDir: text('witness-dir'),
    modelWitnesses: list('model-witness'),
    authToken: text('auth-token') ?? environment.TWILIO_AUTH_TOKEN ?? 'load-generator-token',
    accountSid: readAccountSid(text('account-sid') ?? environment.TWILIO_ACCOUNT_SID, problems),
    number: text('number') ?? '+15550100000',
    isProbing: values['no-probes'] !== true,
  }
  if (options.processes !== 'auto' && options.processes < options.urls.length) {
    problems.push(
      `--processes ${options.processes} is fewer than the ${options.urls.length} --url: use at least one each`,
    )
  }
  return problems.length > 0 ? { kind: 'wrong', problems } : { kind: 'run', options }
}

function isNear(host: string): boolean {
  return (
    host === 'localhost' ||
    host === '[::1]' ||
    (/^\d+\.\d+\.\d+\.\d+$/.test(host) && /^(127|10|192\.168|172\.(1[6-9]|2\d|3[01]))\./.test(host))
  )
}

/** [O2] */
function readUrls(values: string[], mayBeRemote: boolean, problems: string[]): string[] {
  if (values.length === 0) return ['http://127.0.0.1:8080']
  return values.map((value) => {
    const url = URL.parse(value)
    if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
      problems.push(`--url "${value}" must be an http:// or https:// address`)
    } else if (!mayBeRemote && !isNear(url.hostname)) {
      problems.push(`--url "${value}" is not on this machine or network: add --allow-remote if it is yours to load`)
    }
    return value.replace(/\/+$/, '')
  })
}

function readRate(value: string | undefined, problems: string[]): number {
  if (value === undefined) return 20
  const rate = Number(value.replace(/\/s$/, ''))
  if (rate > 0 && rate <= 1_000) return rate
  problems.push(`--ramp "${value}" must be calls per second, above 0 and up to 1000, as 20/s`)
  return 20
}

function readArrivals(value: string | undefined, problems: string[]): ArrivalLaw {
  if (value === undefined || value === 'constant') return 'constant'
  if (value === 'poisson') return 'poisson'
  problems.push(`--arrivals "${value}" must be constant or poisson`)
  return 'constant'
}

function readScenarios(value: string | undefined, problems: string[]): WeightedScenario[] {
  if (value === undefined) return [{ name: 'talk', weight: 1 }]
  return value.split(',').flatMap((part) => {
    const [name = '', weightText = '1'] = part.trim().split('=')
    const weight = Number(weightText)
    if (!(SCENARIO_NAMES as readonly string[]).includes(name)) {
      problems.push(`--scenario "${name}" is unknown: use ${SCENARIO_NAMES.join(', ')}`)
      return []
    }
    if (!(weight > 0)) {
      problems.push(`--scenario "${part}" needs a weight above 0`)
      return []
    }
    return [{ name: name as ScenarioName, weight }]
  })
}

function readAccountSid(value: string | undefined, problems: string[]): string {
  if (value === undefined) return `AC${'0'.repeat(32)}`
  if (/^AC[0-9a-f]{32}$/i.test(value)) return value
  problems.push(`--account-sid "${value}" must be AC and 32 hexadecimal digits`)
  return value
}
