// How fast the work after calls drains: a backlog of ended calls, workers, a model that takes a second, a receiver. Rules:
// AC1: figures are the receiver's: a call is finished when it was told of it whole, with record, analysis and signature; from the first
//      request that the model saw to the last call that the receiver was told of, so that ramp and tail count.
// AC2: the ways take turns within each round, on the same server with the same backlog; the median of the rounds counts.
// AC3: how many workers: the slots that the wanted rate needs by Little's law at 70 %, each worker with the plane's own rooms.
// AC4: the poisoned way has the same calls and others between them whose analysis never comes or always fails; only the same calls count.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { runMigrations } from '../../src/store/records/migrate.ts'
import { openPostgres } from '../../src/store/records/postgres.ts'
import type { Sql } from '../../src/store/records/sql.ts'
import { ROOMS } from '../../src/work/worker.ts'
import { startPgbouncer } from '../../tools/servers/pgbouncer.ts'
import { startPostgres } from '../../tools/servers/postgres.ts'
import type { AnswererLine } from '../peers/answerer.ts'
import { atLeast, atMost, type Bench, type BenchCase, type BenchResult } from '../runner/bench.ts'
import { type Child, startChild } from '../runner/child.ts'
import { freePort } from '../runner/contenders.ts'
import { seedEndedCalls } from '../runner/ended-calls.ts'
import { medianOf } from '../runner/load.ts'

const CALLS = 2_000
const ROUNDS = 3
const MODEL_MS = 1_000
/** A thousand calls of three minutes end 5.6 times a second; twenty times that. */
const INFLOW_PER_SECOND = 1_000 / 180
const WANTED_PER_SECOND = 20 * INFLOW_PER_SECOND
const BUSY_SHARE = 0.7
const WORKERS = Math.ceil((WANTED_PER_SECOND * (MODEL_MS / 1_000)) / BUSY_SHARE / ROOMS.analysis)
/** One poisoned call on that many good ones, of each kind. */
const GOOD_PER_POISON = 50
const POISON_DELAY_MAX = 1.1
const DRAIN_MAX_MS = 120_000
const POLL_MS = 500

type WayName = 'direct' | 'pgbouncer' | 'poisoned'
type Drain = {
  perSecond: number
  tookS: number
  /** Until half of the calls, and 95 of 100, were told. */
  p50S: number
  p95S: number
  missing: number
  twice: number
  unwhole: number
  modelRequests: number
}
type Way = { name: WayName; url: string; references: string[]; drains: Drain[] }

export const afterCall: BenchCase = {
  text: `ended calls a second with record, analysis and delivery, at a model of ${MODEL_MS} ms, direct and through pgbouncer, poison too`,
  run: async (bench) => {
    const calls = bench.options.calls ?? CALLS
    const rounds = bench.options.rounds ?? ROUNDS
    const { sql, urls } = await startServers(bench)
    const good = Array.from({ length: calls }, (_, i) => `GOOD${i}`)
    const ways: Way[] = [
      { name: 'direct', url: urls.direct, references: good, drains: [] },
      { name: 'pgbouncer', url: urls.pgbouncer, references: good, drains: [] },
      { name: 'poisoned', url: urls.direct, references: poisoned(good), drains: [] },
    ]
    for (let round = 1; round <= rounds; round++) {
      for (const way of ways) {
        await seedEndedCalls(sql, way.references)
        const drain = await drainOf(bench, way, good)
        way.drains.push(drain)
        bench.note(
          `round ${round} of ${rounds}: ${way.name}: ${drain.perSecond.toFixed(1)} calls/s, half told after ${drain.p50S.toFixed(1)} s`,
        )
      }
    }
    return resultOf(ways, calls, rounds)
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

/** [AC4] */
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

async function startWorker(bench: Bench, databaseUrl: string, model: Child, crm: Child): Promise<Child> {
  const port = await freePort()
  return startChild(
    {
      name: 'worker',
      file: process.execPath,
      args: [new URL('../../src/main.ts', import.meta.url).pathname, 'worker'],
      readyUrl: `http://127.0.0.1:${port}/ready`,
      env: {
        PORT: String(port),
        DATABASE_URL: databaseUrl,
        ANALYSIS_URL: `http://127.0.0.1:${model.port}/v1`,
        CRM_WEBHOOK_URL: `http://127.0.0.1:${crm.port}/hook`,
        CRM_WEBHOOK_SECRET: 'bench-crm-secret-0123456789',
        CRM_ALLOW_PRIVATE: 'on',
        TWILIO_AUTH_TOKEN: bench.authToken,
        WORK_DRAIN_MS: '0',
        LOG_LEVEL: 'warn',
      },
    },
    bench,
  )
}

/** Workers, model and receiver are fresh for each drain. */
async function drainOf(bench: Bench, way: Way, good: readonly string[]): Promise<Drain> {
  const [model, crm] = await Promise.all([startAnswerer(bench, 'model'), startAnswerer(bench, 'crm')])
  const workers = await Promise.all(Array.from({ length: WORKERS }, () => startWorker(bench, way.url, model, crm)))
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

async function linesOf(file: string): Promise<AnswererLine[]> {
  const text = await readFile(file, 'utf8').catch(() => '')
  // The last line may be half there.
  return text
    .slice(0, text.lastIndexOf('\n') + 1)
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as AnswererLine)
}

/** [AC1] */
function judge(good: readonly string[], asked: readonly AnswererLine[], told: readonly AnswererLine[]): Drain {
  const wanted = new Set(good)
  const first = new Map<string, number>()
  let twice = 0
  let unwhole = 0
  for (const { reference, atMs, isWhole } of told) {
    if (!wanted.has(reference)) continue
    if (!isWhole) unwhole += 1
    if (first.has(reference)) twice += 1
    else first.set(reference, atMs)
  }
  const beganMs = Math.min(...asked.map(({ atMs }) => atMs))
  const times = [...first.values()].map((atMs) => (atMs - beganMs) / 1_000).sort((a, b) => a - b)
  const at = (share: number) => times[Math.min(times.length - 1, Math.floor(times.length * share))] ?? Number.NaN
  const tookS = times.at(-1) ?? Number.NaN
  return {
    perSecond: times.length / tookS,
    tookS,
    p50S: at(0.5),
    p95S: at(0.95),
    missing: good.length - first.size,
    twice,
    unwhole: unwhole + asked.filter(({ isWhole }) => !isWhole).length,
    modelRequests: asked.length,
  }
}

function resultOf(ways: Way[], calls: number, rounds: number): BenchResult {
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
      atLeast(
        'calls a second, direct',
        of('direct', (one) => one.perSecond),
        WANTED_PER_SECOND,
      ),
      atLeast(
        'calls a second, pgbouncer',
        of('pgbouncer', (one) => one.perSecond),
        WANTED_PER_SECOND,
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
