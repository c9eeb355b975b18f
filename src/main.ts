// argv → role. What signals do: stopping.ts. The only process.exit.
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { startAll } from './all.ts'
import { type Config, formatProblems, readConfig } from './config.ts'
import { startEdge } from './edge.ts'
import { systemClock } from './kit/clock.ts'
import { messageOf } from './kit/errors.ts'
import { type Log, LogLines, makeLog } from './kit/log.ts'
import { neverWait, openStandardError } from './kit/standard-error.ts'
import { holdAgentFaults } from './packs/agent-faults.ts'
import { makeClinicPack } from './packs/clinic/clinic.ts'
import type { Pack } from './packs/pack.ts'
import { loadUserAgent } from './packs/user-agent.ts'
import { runPlan } from './plan/plan.ts'
import { runUntilStopped } from './stopping.ts'
import { runMigrations } from './store/records/migrate.ts'
import { runReseal } from './store/sealing/reseal.ts'
import { type ServingRole, unusedSettings } from './unused-settings.ts'
import { startWorker } from './worker.ts'

const EXIT_CONFIG = 78 // EX_CONFIG of sysexits.h
/** An argument that is not known. */
const EXIT_USAGE = 2
const ROOT = dirname(dirname(fileURLToPath(import.meta.url)))
const HELP = `Voiceplane answers phone calls with AI agents.

  npm start            role all: everything in one process, with a demonstration call
  npm run edge         role edge: one pod; the model comes from OPENAI_API_KEY or the AZURE_OPENAI_ variables
  npm run worker       role worker: does the work after calls, from the database of DATABASE_URL
  npm run migrate      role migrate: updates the tables of DATABASE_URL to this version, then ends
  npm run reseal       role reseal: encrypts all stored data with the first of DATA_KEYS, then ends
  npm run plan         role plan: says how big a fleet must be; reads no setting, see npm run plan -- --help

Settings are environment variables: docs/configuration.md. An agent of your own: AGENT_MODULE=./my-agent.ts npm start
`

const ROLES = ['all', 'edge', 'worker', 'migrate', 'reseal', 'plan'] as const
type Role = (typeof ROLES)[number]
const isRole = (name: string): name is Role => (ROLES as readonly string[]).includes(name)

const lines = new LogLines(openStandardError(process.stderr))
/** While an agent is loaded `process.exit` is not to be had (packs/agent-import.ts); this one always is. */
const exit = process.exit.bind(process)
const say = (line: string): void => void process.stdout.write(`${line}\n`)

async function main(): Promise<number> {
  const [role = 'all', ...rest] = process.argv.slice(2)
  const asked = role === 'plan' ? [] : [role, ...rest]
  if (asked.some((word) => ['--help', '-h', 'help'].includes(word))) {
    say(HELP)
    return 0
  }
  if (!isRole(role)) {
    process.stderr.write(`There is no role ${JSON.stringify(role)}. Roles: ${ROLES.join(', ')}. See --help.\n`)
    return EXIT_USAGE
  }
  if (role === 'plan') return plan(rest)
  if (rest.length > 0) {
    const [word] = rest
    process.stderr.write(
      `The role ${role} takes no argument ${JSON.stringify(word)}: settings are environment variables. See --help.\n`,
    )
    return EXIT_USAGE
  }
  const reading = readConfig(undefined, role)
  if (reading.kind === 'invalid') {
    process.stderr.write(`${formatProblems(reading.problems)}\n`)
    return EXIT_CONFIG
  }
  switch (role) {
    case 'migrate':
      return migrate(reading.config)
    case 'reseal':
      return resealAll(reading.config)
    case 'worker':
      return work(reading.config)
    default:
      return run(role, reading.config)
  }
}

/** Needs no configuration, so that it can be asked on any machine. */
function plan(args: readonly string[]): number {
  const { kind, text } = runPlan(args)
  if (kind === 'said') process.stdout.write(text)
  else process.stderr.write(text)
  return kind === 'said' ? 0 : EXIT_USAGE
}

async function work(config: Config): Promise<number> {
  const log = makeLog({ ...config.log, destination: lines })
  tellUnused('worker', config, log)
  try {
    return await runUntilStopped(() => startWorker({ config, log, droppedLines: () => lines.dropped }), {
      signals: process,
      log,
    })
  } catch (error) {
    process.stderr.write(`The worker could not start: ${whyNot(error, config)}\n`)
    return EXIT_CONFIG
  }
}

async function migrate(config: Config): Promise<number> {
  const { databaseUrl } = config.fleet
  if (databaseUrl === undefined) {
    process.stderr.write('DATABASE_URL is not set: there is no database to bring to this version.\n')
    return EXIT_CONFIG
  }
  try {
    for (const name of await runMigrations(databaseUrl)) say(`applied ${name}`)
    say('The database has this version.')
    return 0
  } catch (error) {
    process.stderr.write(`The database could not be migrated: ${messageOf(error)}\n`)
    return 1
  }
}

/** 1: some data is under a key that is not here, or the database failed. */
async function resealAll(config: Config): Promise<number> {
  const { databaseUrl, sealer } = config.fleet
  if (databaseUrl === undefined || sealer === undefined) {
    const missing = databaseUrl === undefined ? 'DATABASE_URL' : 'DATA_KEYS'
    process.stderr.write(`${missing} is not set: reseal needs the database and its keys, the new one first.\n`)
    return EXIT_CONFIG
  }
  try {
    const { rows, written, moved, unopened } = await runReseal(databaseUrl, sealer, say)
    say(`${rows} rows looked at, ${written} sealed anew, ${moved} changed meanwhile.`)
    if (unopened === 0) return 0
    process.stderr.write(
      `${unopened} rows are under a key that DATA_KEYS does not have: put it back behind the first.\n`,
    )
    return 1
  } catch (error) {
    process.stderr.write(`The data could not be sealed anew: ${messageOf(error)}\n`)
    return 1
  }
}

/** One line for each kind, none when all settings do something. */
function tellUnused(role: ServingRole, config: Config, log: Log): void {
  const { elsewhere, nowhere } = unusedSettings(role, config)
  if (elsewhere.length > 0) log.info({ role, settings: elsewhere }, 'settings are for another role')
  if (nowhere.length > 0) {
    const why = Object.fromEntries(nowhere.map((one) => [one.name, one.why]))
    log.warn({ role, settings: nowhere.map(({ name }) => name), why }, 'settings do nothing here')
  }
  for (const { name, nearest } of config.misspelt)
    log.warn(
      { setting: name, nearest },
      'the environment has a name that is almost a setting: did you mean the nearest?',
    )
}

/** Why a role did not start. */
function whyNot(error: unknown, { ops }: Config): string {
  const { code, port } = error as { code?: unknown; port?: unknown }
  if (code !== 'EADDRINUSE' && code !== 'EACCES') return messageOf(error)
  const variable = ops.listener !== undefined && port === ops.listener.port ? 'OPS_PORT' : 'PORT'
  const why = code === 'EACCES' ? 'may not be opened by this user' : 'is taken by another program'
  return `the port ${port} ${why}: set ${variable} to another one.`
}

async function run(role: 'all' | 'edge', config: Config): Promise<number> {
  const log = makeLog({
    ...config.log,
    destination: lines,
    level: role === 'all' && config.log.level === 'info' ? 'warn' : config.log.level,
  })
  holdAgentFaults(log, (text) => {
    process.stderr.write(`${text}\n`)
    exit(1)
  })
  tellUnused(role, config, log)
  const droppedLines = () => lines.dropped
  const startEverything = async () =>
    startAll({ config, pack: await loadPack(config, log), log, root: ROOT, say, droppedLines })
  const startPod = async () => startEdge({ config, pack: await loadPack(config, log), log, droppedLines })
  try {
    if (config.exitAfterDemo && role === 'all') {
      const all = await startEverything()
      const served = await all.demo
      await all.close()
      return served === false ? 1 : 0
    }
    return await runUntilStopped(role === 'all' ? startEverything : startPod, { signals: process, log })
  } catch (error) {
    process.stderr.write(`Voiceplane could not start: ${whyNot(error, config)}\n`)
    return EXIT_CONFIG
  }
}

async function loadPack(config: Config, log: Log): Promise<Pack> {
  if (config.agentModule !== undefined) {
    const { loadMs, reload } = config.agent
    const canChooseModel = config.model.endpoint.kind !== 'azure'
    const loaded = await loadUserAgent(config.agentModule, { loadMs, reload, canChooseModel, log })
    // The bundler is a child that inherits standard error, which makes it wait again; what an agent prints must not.
    for (const stream of [process.stdout, process.stderr]) neverWait(stream)
    return loaded
  }
  if (config.pack === 'clinic') return makeClinicPack({ clock: systemClock, log })
  throw new Error(`there is no pack ${JSON.stringify(config.pack)}; PACK may be: clinic. Or set AGENT_MODULE.`)
}

const code = await main()
await lines.flush()
exit(code)
