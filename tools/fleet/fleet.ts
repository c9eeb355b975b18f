// A whole fleet on this machine: Redis, PostgreSQL, the offline model, workers, pods and HAProxy before them. Rules:
// FL1: everything is a process of its own with real sockets on 127.0.0.1; nothing is shared but Redis and PostgreSQL.
// FL2: a start that fails ends what it had started, and says which part failed with the last lines of its log.
// FL3: it ends in order: pods drain while HAProxy still brings the carrier's last questions; then HAProxy, the workers, the model,
//      PostgreSQL, Redis.
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { exitCodeOf, runChild } from '../child.ts'
import { type Launched, launch } from '../launch.ts'
import { pickPort } from '../ports.ts'
import { type Haproxy, startHaproxy } from '../servers/haproxy.ts'
import { type Postgres, startPostgres } from '../servers/postgres.ts'
import { type RedisServer, startRedis } from '../servers/redis.ts'
import { ROOT } from '../tree.ts'
import { CELL, type ModelPlace, namesModel, sharedEnvironment } from './environment.ts'
import type { SourceLimits } from './haproxy-config.ts'
import type { Member } from './member.ts'
import { openNewCell } from './new-cell.ts'
import { startPod, startWorker } from './roles.ts'

const HOST = '127.0.0.1'
const MIGRATE_MAX_MS = 60_000
/** What PostgreSQL keeps besides the pools, and the pool of a pod or worker as it is unless told otherwise. */
const CONNECTIONS_SPARE = 100
const CONNECTIONS_PER_POOL = 12

export type FleetOptions = {
  pods: number
  /** Processes that do the work after calls (0: it waits in PostgreSQL). */
  workers?: number
  /** Model sessions that the whole fleet may hold (100). */
  ceiling?: number
  /** Calls that one pod may hold; unless given, all pods but one can carry the ceiling. */
  callsMax?: number
  /** HAProxy's; a free one unless given. */
  port?: number
  /** What HAProxy allows one address of the outside; no limit unless given: here all callers have one address. */
  perSource?: SourceLimits
  /** Further variables of all pods and workers; they win over the fleet's own, but for the addresses of its parts. */
  env?: Readonly<Record<string, string>>
  /** Variables of one pod or worker that win over the `env` of all, asked when it is started: a way of its own to a part, say. */
  envOf?: (name: string, env: Readonly<Record<string, string>>) => Promise<Readonly<Record<string, string>>>
  /** `sim` starts the simulator, which is the default unless `env` says where the model is. */
  model?: 'sim' | ModelPlace
  /** Further flags of the simulator. */
  modelFlags?: readonly string[]
  /** Where the logs go, and stay; unless given, a temporary folder that `stop` removes. */
  folder?: string
  /** A pod or worker that ends is started again. */
  restart?: boolean
  /** Told what is done and what happens, a line each. */
  say?: (line: string) => void
  /** Gives the start up. */
  signal?: AbortSignal
}

/** A running fleet. */
export type Fleet = {
  /** HAProxy's: where the carrier finds the fleet. */
  readonly baseUrl: string
  readonly pods: readonly Member[]
  readonly workers: readonly Member[]
  readonly redis: RedisServer
  readonly postgres: Postgres
  readonly haproxy: Haproxy
  /** Undefined when the model is not the simulator. */
  readonly model: Model | undefined
  /** What all pods got, with the secrets the fleet made: TWILIO_AUTH_TOKEN signs a caller's requests. */
  readonly env: Readonly<Record<string, string>>
  /** With a log of each process. */
  readonly folder: string
  /** Starts one more pod and lets HAProxy know it. */
  addPod(): Promise<Member>
  /** [FL3] Ends everything; pods may drain for `drainMs` (0). A second call ends the draining. Never rejects. */
  stop(options?: { drainMs?: number }): Promise<void>
}

/** The offline model of a fleet. */
type Model = { program: Launched; url: string; controlUrl: string; witnessFile: string }

type Closing = () => Promise<void>

/** Starts a fleet; resolves when every pod is ready and HAProxy answers. */
export async function startFleet(options: FleetOptions): Promise<Fleet> {
  const folder = options.folder ?? (await mkdtemp(join(tmpdir(), 'voiceplane-fleet-')))
  await mkdir(folder, { recursive: true })
  const closings: Closing[] = options.folder === undefined ? [() => rm(folder, { recursive: true, force: true })] : []
  try {
    const fleet = new RunningFleet(options, await startParts(options, folder, closings), closings)
    await fleet.startWorkers(options.workers ?? 0)
    await fleet.startPods(options.pods)
    return fleet
  } catch (error) {
    await closeAll(closings)
    throw error
  }
}

/** In reverse, each whatever became of the others. */
async function closeAll(closings: Closing[]): Promise<void> {
  for (const close of closings.splice(0).reverse()) await close().catch(() => {})
}

/** All of a fleet but its pods and workers. */
type Parts = Pick<Fleet, 'redis' | 'postgres' | 'haproxy' | 'model' | 'env' | 'folder'>

class RunningFleet implements Fleet {
  readonly pods: Member[] = []
  readonly workers: Member[] = []
  readonly baseUrl: string
  readonly redis: RedisServer
  readonly postgres: Postgres
  readonly haproxy: Haproxy
  readonly model: Model | undefined
  readonly env: Readonly<Record<string, string>>
  readonly folder: string
  readonly #options: FleetOptions
  readonly #closings: Closing[]
  readonly #hurry = Promise.withResolvers<void>()
  #numbered = 0
  #drainMs = 0
  #stopping: Promise<void> | undefined

  constructor(options: FleetOptions, parts: Parts, closings: Closing[]) {
    this.#options = options
    this.#closings = closings
    this.baseUrl = parts.haproxy.url
    this.redis = parts.redis
    this.postgres = parts.postgres
    this.haproxy = parts.haproxy
    this.model = parts.model
    this.env = parts.env
    this.folder = parts.folder
    void parts.haproxy.exited.then(() => this.#sayLost('HAProxy'))
    void parts.model?.program.exited.then(() => this.#sayLost('the offline model'))
    closings.push(() => this.#stopAll(this.workers))
    closings.push(() => parts.haproxy.stop()) // right after the pods, when all is well [FL3]
    closings.push(() => this.#stopAll(this.pods))
  }

  /** Starts so many at once; rejects with the first that fails, when none is on its way any more. */
  async startWorkers(count: number): Promise<void> {
    if (count === 0) return
    this.#options.say?.(`starting ${count} ${count === 1 ? 'worker' : 'workers'}`)
    await allStarted(count, (number) => this.#startOne(`worker-${number}`, startWorker, this.workers))
    sortByName(this.workers)
  }

  /** Starts so many at once; rejects with the first that fails, when none is on its way any more. */
  async startPods(count: number): Promise<void> {
    this.#options.say?.(`starting ${count} ${count === 1 ? 'pod' : 'pods'}`)
    await allStarted(count, () => this.#startPod())
    sortByName(this.pods)
    await this.haproxy.reload(this.pods)
  }

  async addPod(): Promise<Member> {
    const pod = await this.#startPod()
    await this.haproxy.reload(this.pods)
    return pod
  }

  stop(options: { drainMs?: number } = {}): Promise<void> {
    if (this.#stopping !== undefined) this.#hurry.resolve()
    else this.#drainMs = options.drainMs ?? 0
    this.#stopping ??= closeAll(this.#closings)
    return this.#stopping
  }

  #sayLost(part: string): void {
    if (this.#stopping === undefined) this.#options.say?.(`${part} ended; its log is in ${this.folder}`)
  }

  #startPod(): Promise<Member> {
    return this.#startOne(`pod-${++this.#numbered}`, startPod, this.pods)
  }

  async #startOne(name: string, start: typeof startPod, others: Member[]): Promise<Member> {
    const { restart = false, say = () => {}, signal } = this.#options
    const place = { name, host: HOST, port: await pickPort() }
    const logFile = join(this.folder, `${name}.log`)
    const own = await this.#options.envOf?.(name, this.env)
    const member = await start({ place, env: { ...this.env, ...own }, logFile, restart, say }, signal)
    others.push(member)
    say(`${name} is ready on port ${member.port}`)
    return member
  }

  async #stopAll(members: readonly Member[]): Promise<void> {
    await Promise.all(members.map((member) => member.stop(this.#drainMs, this.#hurry.promise)))
  }
}

/** Starts numbers 1 to `count` at once; rejects with the first that fails, when none is on its way any more. */
async function allStarted(count: number, start: (number: number) => Promise<unknown>): Promise<void> {
  const outcomes = await Promise.allSettled(Array.from({ length: count }, (_, index) => start(index + 1)))
  const failed = outcomes.find((outcome) => outcome.status === 'rejected')
  if (failed !== undefined) throw failed.reason
}

function sortByName(members: Member[]): void {
  members.sort((a, b) => a.name.localeCompare(b.name, 'en', { numeric: true }))
}

async function startParts(options: FleetOptions, folder: string, closings: Closing[]): Promise<Parts> {
  const { env = {}, signal, pods, ceiling = 100, callsMax } = options
  // First of all, since its port is the one that may be taken.
  const haproxy = await startHaproxy({
    pods: [],
    port: options.port,
    perSource: options.perSource,
    logFile: join(folder, 'haproxy.log'),
  })
  closings.push(() => haproxy.stop())
  const [redis, postgres] = await startStores(options, closings)
  signal?.throwIfAborted()
  await migrate(postgres.url)
  const model = wantsSimulator(options, env) ? await startModel(options, folder, closings) : undefined
  // Just before the pods: a store that hears nothing for ten seconds distrusts its clock, and nothing expires for a while.
  await openNewCell(redis.url, env.CELL ?? CELL, ceiling)
  const places = {
    baseUrl: haproxy.url,
    redisUrl: redis.url,
    databaseUrl: postgres.url,
    model: model ?? (typeof options.model === 'object' ? options.model : undefined),
  }
  return { haproxy, redis, postgres, model, folder, env: sharedEnvironment(env, { pods, ceiling, callsMax }, places) }
}

async function startStores(
  { pods, workers = 0, say = () => {} }: FleetOptions,
  closings: Closing[],
): Promise<[RedisServer, Postgres]> {
  say('starting Redis and PostgreSQL')
  const redis = await startRedis()
  closings.push(() => redis.stop())
  const postgres = await startPostgres({ connectionsMax: CONNECTIONS_SPARE + CONNECTIONS_PER_POOL * (pods + workers) })
  closings.push(() => postgres.stop())
  return [redis, postgres]
}

/** Brings the tables, by the plane's own role. */
async function migrate(databaseUrl: string): Promise<void> {
  const { end, lines } = await runChild(process.execPath, [join(ROOT, 'src/main.ts'), 'migrate'], {
    env: { PATH: process.env.PATH, DATABASE_URL: databaseUrl },
    maxMs: MIGRATE_MAX_MS,
    output: 'keep',
  })
  if (exitCodeOf(end) !== 0) throw new Error(`the migration failed:\n${lines.join('\n')}`)
}

const wantsSimulator = ({ model }: FleetOptions, env: Readonly<Record<string, string>>): boolean =>
  model === 'sim' || (model === undefined && !namesModel(env))

async function startModel(options: FleetOptions, folder: string, closings: Closing[]): Promise<Model> {
  options.say?.('starting the offline model (it speaks once it has made its voice: seconds the first time)')
  const port = await pickPort()
  const controlUrl = `http://${HOST}:${port}/sim`
  const witnessFile = join(folder, 'model.jsonl')
  const program = await launch({
    name: 'offline model',
    command: process.execPath,
    args: [
      join(ROOT, 'sim/openai/main.ts'),
      ...['--port', String(port), '--witness', witnessFile, '--probes', '--speech-dir', join(ROOT, '.data/speech')],
      ...(options.modelFlags ?? []),
    ],
    logFile: join(folder, 'model.log'),
    isReady: async () => (await fetch(`${controlUrl}/sessions`)).ok,
    signal: options.signal,
  })
  closings.push(async () => void (await program.stop()))
  return { program, url: `ws://${HOST}:${port}/v1/realtime`, controlUrl, witnessFile }
}
