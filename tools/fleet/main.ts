// A fleet in one command: `npm run fleet`. Rules:
// FM1: what is missing of Redis, PostgreSQL and HAProxy is installed as root on Debian; otherwise the one command is named.
// FM2: the first Ctrl-C drains and ends everything in order, exit code 0; the second ends it at once.
// FM3: what is on standard output at the end of the start is what a person needs: where things listen, their logs, how to place calls.
import '../node-version.mjs'
import { readdirSync, rmSync } from 'node:fs'
import { join, relative } from 'node:path'
import { Arguments } from '../../sim/command-line.ts'
import { NEEDS } from '../needs.ts'
import { isFree } from '../ports.ts'
import { setUp } from '../setup.ts'
import { ROOT } from '../tree.ts'
import { type Fleet, startFleet } from './fleet.ts'
import { formatFleet } from './table.ts'

const DRAIN_MAX_MS = 600_000
const PODS_MAX = 50
const WORKERS_MAX = 20
const PARTS = ['Redis', 'PostgreSQL', 'HAProxy']
/** Set by the fleet itself, for each pod or for all. */
const OWN = [
  'HOST',
  'PORT',
  'POD_NAME',
  'POD_ADDRESS',
  'REDIS_URL',
  'REDIS_URL_FILE',
  'DATABASE_URL',
  'DATABASE_URL_FILE',
]

export const HELP = `Usage: npm run fleet [-- options]
Starts a whole fleet on this machine: Redis, PostgreSQL, workers, pods, and HAProxy in front of them. Each is a process of
its own on 127.0.0.1.
Without OPENAI_API_KEY (or the AZURE_OPENAI_ variables) the offline model answers.

  --pods N       pods, 1 to ${PODS_MAX}                                          (3)
  --workers N    processes for the work after calls, 0 to ${WORKERS_MAX}           (1)
  --port N       where HAProxy listens: the carrier's way in           (8080)
  --ceiling N    model sessions that all pods may hold together        (100)
  --calls-max N  calls that one pod may hold           (see docs/fleet.md)
  --talk-s N     the offline model ends no call before N seconds     (0)
  --tool-every N the offline model calls a tool or handoff of AGENT_MODULE in every Nth answer; 0 never  (2)
  --restart      start a pod or worker again when it ends
  --logs DIR     where the log of each process goes                    (.data/fleet)
  --help

Other settings are the environment variables of docs/configuration.md, for all pods and workers alike. More in docs/fleet.md.
Ctrl-C drains and ends everything in order; a second one ends it at once.
`

/** What the command line asks for. */
type Asked =
  | {
      kind: 'run'
      pods: number
      workers: number
      port: number
      ceiling: number
      callsMax: number | undefined
      talkS: number
      toolEvery: number
      restart: boolean
      logs: string
    }
  | { kind: 'help' }
  | { kind: 'wrong'; problems: string[] }

const FLAGS = {
  pods: { type: 'string' },
  workers: { type: 'string' },
  port: { type: 'string' },
  ceiling: { type: 'string' },
  'calls-max': { type: 'string' },
  'talk-s': { type: 'string' },
  'tool-every': { type: 'string' },
  restart: { type: 'boolean' },
  logs: { type: 'string' },
} as const

/** Reads the arguments after the program's name; all problems are reported together. */
export function readArguments(args: readonly string[]): Asked {
  const given = new Arguments(args, FLAGS)
  if (given.wantsHelp) return { kind: 'help' }
  const { problems } = given
  const asked = {
    kind: 'run' as const,
    pods: given.whole('pods', 1, PODS_MAX) ?? 3,
    workers: given.whole('workers', 0, WORKERS_MAX) ?? 1,
    port: given.whole('port', 1, 65_535) ?? 8080,
    ceiling: given.whole('ceiling', 1, 1_000_000) ?? 100,
    callsMax: given.whole('calls-max', 1, 100_000),
    talkS: given.whole('talk-s', 0, 86_400) ?? 0,
    toolEvery: given.whole('tool-every', 0, 1_000) ?? 2,
    restart: given.isSet('restart'),
    logs: given.text('logs') ?? join(ROOT, '.data/fleet'),
  }
  return problems.length > 0 ? { kind: 'wrong', problems } : asked
}

/** The operator's environment without what the fleet sets itself. */
export function operatorEnvironment(env: Readonly<Record<string, string | undefined>>): Record<string, string> {
  const kept = Object.entries(env).filter(([name, value]) => value !== undefined && !OWN.includes(name))
  return Object.fromEntries(kept) as Record<string, string>
}

const say = (line: string): void => void process.stderr.write(`fleet: ${line}\n`)

async function run(asked: Extract<Asked, { kind: 'run' }>): Promise<number> {
  const ready = await setUp('test', { needs: NEEDS.filter(({ name }) => PARTS.includes(name)) })
  if (ready.kind === 'failed') {
    process.stderr.write(`${ready.message}\n`)
    return ready.exitCode
  }
  if (!(await isFree(asked.port))) {
    say(`port ${asked.port} of 127.0.0.1 is taken: choose another with --port`)
    return 1
  }
  const signals = new StopSignals()
  removeOldLogs(asked.logs)
  const env = operatorEnvironment(process.env)
  let fleet: Fleet
  try {
    const { pods, workers, port, ceiling, callsMax, talkS, toolEvery, restart, logs: folder } = asked
    const modelFlags = ['--talk-s', String(talkS)]
    // The built-in pack's script calls its tools itself.
    if (env.AGENT_MODULE) modelFlags.push('--tool-every-answers', String(toolEvery))
    const { signal } = signals.first
    fleet = await startFleet({ pods, workers, port, ceiling, callsMax, modelFlags, restart, folder, env, say, signal })
  } catch (error) {
    if (signals.first.signal.aborted) return 0
    say(`could not start: ${(error as Error).message}`)
    return 1
  }
  const isOwnToken = !env.TWILIO_AUTH_TOKEN && !env.TWILIO_AUTH_TOKEN_FILE
  process.stdout.write(formatFleet(fleet, { isOwnToken, logs: relative(process.cwd(), fleet.folder) || '.' }))
  await signals.stopped
  say('draining: live calls go on until they end; Ctrl-C again ends them')
  const stopped = fleet.stop({ drainMs: DRAIN_MAX_MS })
  signals.onSecond(() => void fleet.stop())
  await stopped
  say('everything has ended')
  return 0
}

/** The logs of an earlier fleet, by the names that a fleet gives. */
function removeOldLogs(folder: string): void {
  let names: string[] = []
  try {
    names = readdirSync(folder)
  } catch {
    // There is no folder yet.
  }
  for (const name of names)
    if (/^(((pod|worker)-\d+|haproxy|model)\.log|model\.jsonl)$/.test(name)) rmSync(join(folder, name))
}

/** [FM2] Counts Ctrl-C (and SIGTERM), from before the start on. */
class StopSignals {
  readonly first = new AbortController()
  readonly stopped: Promise<void>
  #count = 0
  #second: () => void = () => {}

  constructor() {
    this.stopped = new Promise((resolve) => {
      const count = () => {
        this.#count += 1
        this.first.abort(new Error('interrupted'))
        resolve()
        if (this.#count > 1) this.#second()
      }
      process.on('SIGINT', count)
      process.on('SIGTERM', count)
    })
  }

  /** At once if it has come already. */
  onSecond(act: () => void): void {
    this.#second = act
    if (this.#count > 1) act()
  }
}

if (import.meta.main) {
  const asked = readArguments(process.argv.slice(2))
  if (asked.kind === 'help') process.stdout.write(HELP)
  else if (asked.kind === 'wrong') {
    process.stderr.write(`${asked.problems.map((problem) => `fleet: ${problem}`).join('\n')}\n`)
    process.exitCode = 2
  } else process.exit(await run(asked))
}
