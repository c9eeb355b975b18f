// How fast the work after calls drains: a backlog of ended calls, workers, a model that takes a second, a receiver. Rules:
// AC1: figures are the receiver's: a call is finished when it was told of it whole, with record, analysis and signature; from the first
//      request that the model saw to the last call that the receiver was told of, so that ramp and tail count.
// AC2: the ways take turns within each round, on the same server with the same backlog; the median of the rounds counts.
// AC3: how many workers: the slots that the wanted rate needs by Little's law at 70 %, each worker with the plane's own rooms.
// AC4: role all drains a tenth of the backlog from its embedded database, in one process.
// AC5: the poisoned way has the same calls and others between them whose analysis never comes or always fails; only the same calls count.
import { join } from 'node:path'
import { migrate, runMigrations } from '../../src/store/records/migrate.ts'
import { openPglite } from '../../src/store/records/pglite.ts'
import { openPostgres } from '../../src/store/records/postgres.ts'
import type { Sql } from '../../src/store/records/sql.ts'
import { ROOMS } from '../../src/work/worker.ts'
import { findFreePort } from '../../tools/ports.ts'
import { startPgbouncer } from '../../tools/servers/pgbouncer.ts'
import { startPostgres } from '../../tools/servers/postgres.ts'
import { seedEndedCalls } from '../backlog/ended-calls.ts'
import { type Drain, judge, linesOf } from '../backlog/told.ts'
import type { AnswererLine } from '../peers/answerer.ts'
import { atMost, type Bench, type BenchCase, type BenchResult } from '../runner/bench.ts'
import { type Child, startChild } from '../runner/child.ts'
import { medianOf } from '../runner/load.ts'
import { atLeastScaled, besideReference, type MachineSpeed } from '../runner/reference.ts'

const CALLS = 2_000
const ROUNDS = 3
const MODEL_MS = 1_000
/** A thousand calls of three minutes end 5.6 times a second; twenty times that. */
const INFLOW_PER_SECOND = 1_000 / 180
const WANTED_PER_SECOND = 20 * INFLOW_PER_SECOND
/** One process with its database inside it: twice the inflow. */
const EMBEDDED_WANTED_PER_SECOND = 2 * INFLOW_PER_SECOND
const EMBEDDED_SHARE = 0.1
const BUSY_SHARE = 0.7
const WORKERS = Math.ceil((WANTED_PER_SECOND * (MODEL_MS / 1_000)) / BUSY_SHARE / ROOMS.analysis)
/** One poisoned call on that many good ones, of each kind. */
const GOOD_PER_POISON = 50
const POISON_DELAY_MAX = 1.1
const DRAIN_MAX_MS = 120_000
const POLL_MS = 500

type WayName = 'direct' | 'pgbouncer' | 'poisoned' | 'embedded'
/** What stands between the backlog and the receiver in one way. */
type Way = {
  name: WayName
  /** All that are seeded, and those that count. */
  references: string[]
  good: string[]
  seed: (references: readonly string[]) => Promise<void>
  startWorkers: (model: Child, crm: Child) => Promise<Child[]>
  drains: Drain[]
}

export const afterCall: BenchCase = {
  text: `ended calls a second with record, analysis and delivery, at a model of ${MODEL_MS} ms, direct, through pgbouncer, embedded, and beside poison`,
  run: async (bench) => {
    const calls = bench.options.calls ?? CALLS
    const rounds = bench.options.rounds ?? ROUNDS
    const ways = [...(await serverWays(bench, calls)), embeddedWay(bench, Math.ceil(calls * EMBEDDED_SHARE))]
    const { machine } = await besideReference(bench, async () => {
      for (let round = 1; round <= rounds; round++) {
        for (const way of ways) {
          await way.seed(way.references)
          const drain = await drainOf(bench, way)
          way.drains.push(drain)
          bench.note(
            `round ${round} of ${rounds}: ${way.name}: ${drain.perSecond.toFixed(1)} calls/s, half told after ${drain.p50S.toFixed(1)} s`,
          )
        }
      }
    })
    return resultOf(ways, calls, rounds, machine)
  },
}

async function startServers(bench: Bench): Promise<{ sql: Sql; urls: { direct: string; pgbouncer: string } }> {
  const postgres = await startPostgres()
  bench.atEnd(() => postgres.stop())
  const pgbouncer = await startPgbouncer({ postgresPort: postgres.port })
  bench.atEnd(() => pgbouncer.stop())
  await runMigrations(postgres.url)
  const sql = openPostgres({ url: postgres.url, poolMax: 1, timeoutMs: 60_000 })
  bench.atEnd(() => sql.close())
  return { sql, urls: { direct: postgres.url, pgbouncer: pgbouncer.url } }
}

async function serverWays(bench: Bench, calls: number): Promise<Way[]> {
  const { sql, urls } = await startServers(bench)
  const seed = (references: readonly string[]) => seedEndedCalls(sql, references)
  const good = referencesOf(calls)
  const wayOf = (name: WayName, url: string, references = good): Way => ({
    ...{ name, references, good, seed, drains: [] },
    startWorkers: (model, crm) =>
      Promise.all(Array.from({ length: WORKERS }, () => startRole(bench, 'worker', { DATABASE_URL: url }, model, crm))),
  })
  return [
    wayOf('direct', urls.direct),
    wayOf('pgbouncer', urls.pgbouncer),
    wayOf('poisoned', urls.direct, poisoned(good)),
  ]
}

/** Role all on a database of its own: a fresh folder for each drain, filled before the process starts. */
function embeddedWay(bench: Bench, calls: number): Way {
  const good = referencesOf(calls)
  let dataDir = ''
  let seeded = 0
  return {
    name: 'embedded',
    references: good,
    good,
    drains: [],
    seed: async (references) => {
      dataDir = join(bench.folder, `embedded-${++seeded}`)
      const sql = await openPglite(join(dataDir, 'database'))
      await migrate(sql)
      await seedEndedCalls(sql, references)
      await sql.close()
    },
    startWorkers: async (model, crm) => {
      // Nobody calls: the address of the voice model is never dialled.
      const env = { DATA_DIR: dataDir, DEMO_CALL: 'off', OPENAI_REALTIME_URL: 'ws://127.0.0.1:9/v1/realtime' }
      return [await startRole(bench, 'all', env, model, crm)]
    },
  }
}

const referencesOf = (calls: number): string[] => Array.from({ length: calls }, (_, i) => `GOOD${i}`)

/** [AC5] */
function poisoned(good: readonly string[]): string[] {
  return good.flatMap((reference, i) => {
    if (i % GOOD_PER_POISON !== 0) return [reference]
    return [`HANG${i}`, `FAIL${i}`, reference]
  })
}

let answerers = 0

async function startAnswerer(bench: Bench, kind: 'model' | 'crm'): Promise<Child & { logFile: string }> {
  const logFile = join(bench.folder, `${kind}-${++answerers}.jsonl`)
  const child = await startChild(
    {
      name: kind,
      file: process.execPath,
      args: [new URL('../peers/answerer.ts', import.meta.url).pathname, kind],
      env: { PORT: '0', LOG_FILE: logFile, DELAY_MS: kind === 'model' ? String(MODEL_MS) : '0' },
    },
    bench,
  )
  return { ...child, logFile }
}

async function startRole(
  bench: Bench,
  role: 'worker' | 'all',
  place: Record<string, string>,
  model: Child,
  crm: Child,
): Promise<Child> {
  const port = await findFreePort()
  return startChild(
    {
      name: role,
      file: process.execPath,
      args: [new URL('../../src/main.ts', import.meta.url).pathname, role],
      readyUrl: `http://127.0.0.1:${port}/ready`,
      env: {
        PORT: String(port),
        ANALYSIS_URL: `http://127.0.0.1:${model.port}/v1`,
        CRM_WEBHOOK_URL: `http://127.0.0.1:${crm.port}/hook`,
        CRM_WEBHOOK_SECRET: 'bench-crm-secret-0123456789',
        CRM_ALLOW_PRIVATE: 'on',
        TWILIO_AUTH_TOKEN: bench.authToken,
        WORK_DRAIN_MS: '0',
        LOG_LEVEL: 'warn',
        ...place,
      },
    },
    bench,
  )
}

/** Workers, model and receiver are fresh for each drain. */
async function drainOf(bench: Bench, { good, startWorkers }: Way): Promise<Drain> {
  const [model, crm] = await Promise.all([startAnswerer(bench, 'model'), startAnswerer(bench, 'crm')])
  const workers = await startWorkers(model, crm)
  const untilMs = performance.now() + DRAIN_MAX_MS
  let told: AnswererLine[] = []
  do {
    await bench.pause(POLL_MS)
    told = await linesOf(crm.logFile)
  } while (told.length < good.length && performance.now() < untilMs && !workers.some((one) => one.hasExited()))
  // What comes twice comes soon after.
  await bench.pause(POLL_MS)
  told = await linesOf(crm.logFile)
  const asked = await linesOf(model.logFile)
  await Promise.all([...workers, model, crm].map((child) => child.stop()))
  return judge(good, asked, told)
}

function resultOf(ways: Way[], calls: number, rounds: number, machine: MachineSpeed): BenchResult {
  const of = (name: WayName, pick: (one: Drain) => number) =>
    medianOf(ways.find((way) => way.name === name)!.drains.map(pick))
  const sum = (pick: (one: Drain) => number) =>
    ways.flatMap((way) => way.drains).reduce((total, one) => total + pick(one), 0)
  const [clean, poison] = [ways[0]!.drains, ways[2]!.drains]
  const ratioOf = (pick: (one: Drain) => number) => medianOf(clean.map((one, i) => pick(poison[i]!) / pick(one)))
  const delay = { whole: ratioOf((one) => one.tookS), half: ratioOf((one) => one.p50S) }
  return {
    figures: {
      workers: WORKERS,
      slotsForAnalysis: WORKERS * ROOMS.analysis,
      inflowPerSecond: INFLOW_PER_SECOND,
      machine,
      ways: ways.map(({ name, drains }) => ({
        way: name,
        callsPerSecond: of(name, (one) => one.perSecond),
        ofEachRound: drains.map((one) => Math.round(one.perSecond * 10) / 10),
        timesInflow: (of(name, (one) => one.perSecond) ?? Number.NaN) / INFLOW_PER_SECOND,
        halfToldAfterS: of(name, (one) => one.p50S),
        most95ToldAfterS: of(name, (one) => one.p95S),
        modelRequests: of(name, (one) => one.modelRequests),
      })),
      poison: { hangsOnGood: 1 / GOOD_PER_POISON, failsOnGood: 1 / GOOD_PER_POISON, delayOfOthers: delay },
    },
    samples: { calls, rounds, modelMs: MODEL_MS },
    generator: null,
    checks: [
      atLeastScaled(
        'calls a second, direct',
        of('direct', (one) => one.perSecond),
        WANTED_PER_SECOND,
        machine,
      ),
      atLeastScaled(
        'calls a second, pgbouncer',
        of('pgbouncer', (one) => one.perSecond),
        WANTED_PER_SECOND,
        machine,
      ),
      atLeastScaled(
        'calls a second, embedded',
        of('embedded', (one) => one.perSecond),
        EMBEDDED_WANTED_PER_SECOND,
        machine,
      ),
      atMost('others beside poison, times without: all told', delay.whole, POISON_DELAY_MAX),
      atMost('others beside poison, times without: half told', delay.half, POISON_DELAY_MAX),
      atMost(
        'calls never told',
        sum((one) => one.missing),
        0,
      ),
      atMost(
        'calls told twice',
        sum((one) => one.twice),
        0,
      ),
      atMost(
        'requests that were not whole',
        sum((one) => one.unwhole),
        0,
      ),
    ],
  }
}
