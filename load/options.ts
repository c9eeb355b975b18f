// The command line of the load generator. Rules:
// O1: all problems are reported together, each with its fix; nothing is dialled when there is one.
// O2: only loopback and private addresses are dialled unless `--allow-remote` says otherwise, whatever the server's TwiML names:
//     load is not to hit strangers.
import { existsSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { Arguments } from '../sim/command-line.ts'
import type { ArrivalLaw } from './plan/arrivals.ts'
import { SCENARIO_NAMES, SCENARIO_TEXT, type ScenarioName } from './plan/scenario.ts'

const CALLS_MAX = 20_000
const VOICE_PATH = '/twilio/voice'
const STATUS_PATH = '/twilio/status'
const PROCESSES_MAX = 32
/** What the real carrier is estimated to take for each of the two steps that follow a stream's end. */
const AFTER_STREAM_MS = 200

type WeightedScenario = { name: ScenarioName; weight: number }

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
  /** The path, query included, of the webhook that answers a call with TwiML. */
  voicePath: string
  /** Where the carrier tells that a call is over; undefined: nowhere. */
  statusPath: string | undefined
  /** Where media streams are dialled instead of what the TwiML says. */
  mediaUrl: string | undefined
  isProbing: boolean
  /** The agent waits for its caller: no greeting is waited for. */
  isCallerFirst: boolean
  mayBeRemote: boolean
  /** How long the carrier takes from a stream's end to the action request, and to open the next stream, ms. */
  afterStream: { actionMs: number; openMs: number }
}

type ParsedOptions = { kind: 'run'; options: LoadOptions } | { kind: 'help' } | { kind: 'wrong'; problems: string[] }

export const HELP = `Usage: npm run load -- [options]
Places calls with Twilio media streams against any server that answers them, and reports what callers would have heard.
docs/load.md says how to point it at a server, and what each figure and each failure means.

  --url URL            base URL of your server; repeat it to spread calls           (http://127.0.0.1:8080)
  --voice-path PATH    its voice webhook, which answers TwiML: as /incoming-call    (${VOICE_PATH})
  --status-path PATH   its status callback, or none      (${STATUS_PATH} with the default voice path, else none)
  --media-url URL      dial media streams here instead of where the TwiML says: a ws:// or wss:// address; without
                       a path it keeps the TwiML's path
  --calls N            calls offered in all, 1 to ${CALLS_MAX}                                      (10)
  --ramp RATE          calls offered per second, as 20 or 20/s; arrivals never wait        (20/s)
  --arrivals LAW       constant | poisson                                                  (constant)
  --hold-s SECONDS     how long each call stays                                            (60)
  --scenario LIST      comma list with optional weights: talk=4,barge-in=1                 (talk)
${SCENARIO_NAMES.map((name) => `                         ${name.padEnd(18)} ${SCENARIO_TEXT[name]}`).join('\n')}
  --caller-first       the agent does not greet: callers speak as soon as the stream is open
  --processes N        caller processes, or auto                                           (auto)
  --seed N             same seed, same arrivals and scenarios                              (1)
  --json FILE          write the report as JSON
  --html FILE          write the report as one page with plots
  --witness-dir DIR    keep the callers' witness logs here
  --model-witness FILE witness log of the offline model, for latency and barge-in; may repeat
  --probe              send a time-stamped probe frame in place of every 25th frame of every second 100,
                       to measure added latency
                       (what hears it must know probes: the offline model does)
  --no-status          the same as --status-path none
  --action-delay-ms N  from the end of a media stream to the action request            (200)
  --open-delay-ms N    before each later media stream of a call is opened              (200)
  --auth-token TOKEN   signs webhooks and media sockets; or TWILIO_AUTH_TOKEN
  --account-sid SID    AC + 32 hex; or TWILIO_ACCOUNT_SID
  --number E164        the number that is called                                           (+15550100000)
  --allow-remote       dial addresses that are neither loopback nor private
  --help

Ctrl-C hangs all calls up and still prints the report; a second one ends at once.
Exit code: 0 all calls set up, none dropped and all callers heard something; 1 otherwise; 2 wrong arguments.
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
  'voice-path': { type: 'string' },
  'status-path': { type: 'string' },
  'media-url': { type: 'string' },
  probe: { type: 'boolean' },
  'caller-first': { type: 'boolean' },
  'no-status': { type: 'boolean' },
  'action-delay-ms': { type: 'string' },
  'open-delay-ms': { type: 'string' },
  'auth-token': { type: 'string' },
  'account-sid': { type: 'string' },
  number: { type: 'string' },
  'allow-remote': { type: 'boolean' },
} as const

/** Each reading adds its problem, and the run is refused when there is any. */
class LoadArguments extends Arguments<typeof FLAGS> {
  /** A file that will be written at the end of the run: better to know now that it cannot. */
  writable(name: keyof typeof FLAGS): string | undefined {
    const path = this.text(name)
    if (path !== undefined && !existsSync(dirname(resolve(path)))) {
      this.problems.push(`--${name} "${path}" is in a folder that does not exist: make it first`)
    }
    return path
  }

  readable(name: keyof typeof FLAGS): string[] {
    for (const path of this.list(name)) {
      if (!existsSync(path))
        this.problems.push(`--${name} "${path}" does not exist: start the simulator with --witness first`)
    }
    return this.list(name)
  }
}

/** [O1] Reads the arguments (without the program) and the environment's Twilio credentials. */
export function parseOptions(args: readonly string[], environment: Record<string, string | undefined>): ParsedOptions {
  const given = new LoadArguments(args, FLAGS)
  if (given.wantsHelp) return { kind: 'help' }
  const { problems } = given
  const voicePath = readPath('voice-path', given.text('voice-path'), problems) ?? VOICE_PATH
  const isAuto = (given.text('processes') ?? 'auto') === 'auto'
  const options: LoadOptions = {
    urls: readUrls(given.list('url'), given.isSet('allow-remote'), problems),
    calls: given.whole('calls', 1, CALLS_MAX) ?? 10,
    ratePerSecond: readRate(given.text('ramp'), problems),
    arrivals: readArrivals(given.text('arrivals'), problems),
    holdS: given.whole('hold-s', 1, 86_400) ?? 60,
    scenarios: readScenarios(given.text('scenario'), problems),
    processes: isAuto ? 'auto' : (given.whole('processes', 1, PROCESSES_MAX) ?? 1),
    seed: given.whole('seed', 0, 4_294_967_295) ?? 1,
    jsonFile: given.writable('json'),
    htmlFile: given.writable('html'),
    witnessDir: given.text('witness-dir'),
    modelWitnesses: given.readable('model-witness'),
    authToken: given.text('auth-token') ?? environment.TWILIO_AUTH_TOKEN ?? 'load-generator-token',
    accountSid: readAccountSid(given.text('account-sid') ?? environment.TWILIO_ACCOUNT_SID, problems),
    number: given.text('number') ?? '+15550100000',
    voicePath,
    statusPath: given.isSet('no-status') ? undefined : readStatusPath(given.text('status-path'), voicePath, problems),
    mediaUrl: readMediaUrl(given.text('media-url'), given.isSet('allow-remote'), problems),
    isProbing: given.isSet('probe'),
    isCallerFirst: given.isSet('caller-first'),
    mayBeRemote: given.isSet('allow-remote'),
    afterStream: {
      actionMs: given.whole('action-delay-ms', 0, 60_000) ?? AFTER_STREAM_MS,
      openMs: given.whole('open-delay-ms', 0, 60_000) ?? AFTER_STREAM_MS,
    },
  }
  if (options.processes !== 'auto' && options.processes < options.urls.length) {
    const { processes, urls } = options
    problems.push(`--processes ${processes} is fewer than the ${urls.length} --url: use at least one each`)
  }
  return problems.length > 0 ? { kind: 'wrong', problems } : { kind: 'run', options }
}

function readPath(name: string, value: string | undefined, problems: string[]): string | undefined {
  if (value !== undefined && !/^\/[^\s#]*$/.test(value))
    problems.push(`--${name} "${value}" must be a path that begins with /, as /incoming-call`)
  return value
}

/** A server with a voice path of its own has most often no status callback. */
function readStatusPath(value: string | undefined, voicePath: string, problems: string[]): string | undefined {
  if (value === undefined) return voicePath === VOICE_PATH ? STATUS_PATH : undefined
  return value === 'none' ? undefined : readPath('status-path', value, problems)
}

/** [O2] */
function readMediaUrl(value: string | undefined, mayBeRemote: boolean, problems: string[]): string | undefined {
  if (value === undefined) return undefined
  const url = URL.parse(value)
  if (url === null || (url.protocol !== 'ws:' && url.protocol !== 'wss:'))
    problems.push(`--media-url "${value}" must be a ws:// or wss:// address, as ws://127.0.0.1:5050/media-stream`)
  else if (!mayBeRemote && !isNear(url.hostname))
    problems.push(`--media-url "${value}" is not on this machine or network: add --allow-remote if it is yours to load`)
  return value
}

/** [O2] Whether a host is this machine or of a private network. */
export function isNear(host: string): boolean {
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
