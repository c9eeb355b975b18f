// What keeping the calls costs the media path: one pod with its stores in memory beside the same pod on Redis and Postgres, which writes
// a checkpoint of each call that changes. Rules:
// CP1: the two take turns with fresh processes, the first of a round is the second of the next; the median of the rounds' ratios counts.
// CP2: set-ups ask the stores by design, and stand outside: CPU is that of a window in which all calls talk.
// CP3: that checkpoints were written is read from Postgres' own count of rows updated in the window, not from the pod.
import type { LoadReport } from '../../load/report/report.ts'
import { defaultLimits } from '../../src/control/limits.ts'
import { SLOW_START_CALLS } from '../../src/control/pod-life.ts'
import { LEASE_TIMES } from '../../src/control/ports.ts'
import { openRedisLeases } from '../../src/store/leases/redis.ts'
import { runMigrations } from '../../src/store/records/migrate.ts'
import { openPostgres } from '../../src/store/records/postgres.ts'
import type { Sql } from '../../src/store/records/sql.ts'
import { startPostgres } from '../../tools/servers/postgres.ts'
import { startRedis } from '../../tools/servers/redis.ts'
import { atLeast, atMost, type Bench, type BenchCase, type BenchResult } from '../runner/bench.ts'
import { startPlane } from '../runner/contenders.ts'
import { medianOf, startLoad, worstLateness } from '../runner/load.ts'
import { startModel } from '../runner/model.ts'
import { sampleWindow } from '../runner/window.ts'

const CALLS = 100
const SECONDS = 15
const ROUNDS = 4
const RAMP_PER_SECOND = 40
const SETTLE_MS = 5_000
/** So high that no set-up waits for the pool's pace of connecting. */
const CEILING_CALLS = 10_000
const CELL = 'bench'
const TOOL_EVERY_MS = 60_000
const WARM_UP_CALLS = 10
/** The lease store counts a fresh pod of a fleet as that much fuller. */
const FRESH_POD_CALLS = SLOW_START_CALLS + 20
/** Five percent: the path is unchanged. */
const RATIO_MAX = 1.05
/** A talking call changes more often than once in ten seconds. */
const WRITES_PER_CALL_SECOND_MIN = 0.1

const NAMES = ['alone', 'fleet'] as const
type Name = (typeof NAMES)[number]
type Stores = { env: Record<string, string>; sql: Sql }
type Measured = {
  cpu: number
  coreShare: number
  machineShare: number
  toModelP50Ms: number
  toModelP99Ms: number
  toCarrierP50Ms: number
  toCarrierP99Ms: number
  writesPerCallSecond: number
  checkpointBytes: number
}
type Round = Record<Name, Measured>

export const checkpoints: BenchCase = {
  text: `what checkpoints cost the media path at ${CALLS} calls: a pod on Redis and Postgres beside the same with stores in memory`,
  run: async (bench) => {
    const stores = await startStores(bench)
    const rounds: Round[] = []
    const reports: LoadReport[] = []
    const total = bench.options.rounds ?? ROUNDS
    for (let round = 1; round <= total; round++) {
      const order = round % 2 === 1 ? NAMES : NAMES.toReversed()
      const measured = new Map<Name, Measured>()
      for (const name of order) measured.set(name, await measure(bench, name, round, stores, reports))
      rounds.push({ alone: measured.get('alone')!, fleet: measured.get('fleet')! })
      const [ratio] = ratiosOf(rounds.slice(-1), (one) => one.cpu)
      bench.note(`round ${round} of ${total}: CPU ratio ${ratio!.toFixed(3)}`)
    }
    return resultOf(rounds, reports, bench.options.calls ?? CALLS)
  },
}

async function startStores(bench: Bench): Promise<Stores> {
  const postgres = await startPostgres()
  bench.atEnd(() => postgres.stop())
  const redis = await startRedis()
  bench.atEnd(() => redis.stop())
  await runMigrations(postgres.url)
  await beginCell(redis.url)
  const sql = openPostgres({ url: postgres.url, poolMax: 1 })
  bench.atEnd(() => sql.close())
  const env = {
    REDIS_URL: redis.url,
    DATABASE_URL: postgres.url,
    CELL,
    CEILING_CALLS: String(CEILING_CALLS),
    STREAM_TOKEN_SECRET: 'bench-stream-token-secret-0123456789',
  }
  return { env, sql }
}

/** An empty cell lets nobody in while it asks who is there: here nobody is. */
async function beginCell(url: string): Promise<void> {
  const leases = await openRedisLeases({ url, cell: CELL, times: { ...LEASE_TIMES, recoveringMs: 0 } })
  await leases.configure(defaultLimits(CEILING_CALLS).cell)
  await leases.close()
}

async function measure(
  bench: Bench,
  name: Name,
  round: number,
  stores: Stores,
  reports: LoadReport[],
): Promise<Measured> {
  const calls = bench.options.calls ?? CALLS
  const seconds = bench.options.seconds ?? SECONDS
  const model = await startModel(bench, { witness: true, toolEveryMs: TOOL_EVERY_MS })
  const env = name === 'fleet' ? stores.env : {}
  const podName = `${name}-${round}`
  const plane = await startPlane(bench, model.url, {
    callsMax: calls * 2 + FRESH_POD_CALLS,
    coalesce: 'off',
    podName,
    env,
  })
  try {
    await warmUp(bench, plane.url)
    const load = startLoad(bench, {
      urls: [plane.url],
      calls,
      ratePerSecond: RAMP_PER_SECOND,
      holdS: Math.ceil(calls / RAMP_PER_SECOND + SETTLE_MS / 1_000 + seconds + 60),
      scenario: 'talk',
      seed: round,
      isProbing: true,
      modelWitnesses: [model.witnessFile!],
    })
    await load.allTalking()
    await bench.pause(SETTLE_MS)
    const before = await writesOf(stores.sql)
    const window = await sampleWindow(plane.pid, seconds, load.talking)
    const writes = (await writesOf(stores.sql)) - before
    const checkpointBytes = name === 'fleet' ? await sizeOf(stores.sql) : 0
    load.hangUp()
    const report = await load.report()
    reports.push(report)
    const { addedLatencyMs, calls: ended, setUp } = report.figures
    if (ended.dropped + setUp.failed + setUp.refused > 0)
      throw new Error(`${name}: ${ended.dropped} dropped, ${setUp.failed + setUp.refused} not set up`)
    const known = (value: number | null | undefined): number => value ?? Number.NaN
    const measured: Measured = {
      cpu: window.cpuMsPerCallSecond,
      coreShare: window.coreShare,
      machineShare: window.machineShare,
      toModelP50Ms: known(addedLatencyMs.carrierToModel?.p50),
      toModelP99Ms: known(addedLatencyMs.carrierToModel?.p99),
      toCarrierP50Ms: known(addedLatencyMs.modelToCarrier.p50),
      toCarrierP99Ms: known(addedLatencyMs.modelToCarrier.p99),
      writesPerCallSecond: writes / (calls * seconds),
      checkpointBytes,
    }
    bench.note(
      `${name}: ${measured.cpu.toFixed(3)} CPU-ms per call-second, p50 ${measured.toModelP50Ms.toFixed(3)} and ${measured.toCarrierP50Ms.toFixed(3)} ms, ${measured.writesPerCallSecond.toFixed(2)} writes per call-second`,
    )
    return measured
  } finally {
    await plane.stop()
    await model.stop()
  }
}

/** Rows of `call` that Postgres has updated so far: checkpoints, and next to nothing else while calls only talk. [CP3] */
async function writesOf(sql: Sql): Promise<number> {
  // Each backend reports its counts a second later at the latest.
  await new Promise((resolve) => setTimeout(resolve, 1_100))
  const [row] = await sql.query("select n_tup_upd::float8 as count from pg_stat_user_tables where relname = 'call'", [])
  return Number(row?.count ?? 0)
}

async function sizeOf(sql: Sql): Promise<number> {
  const [row] = await sql.query("select avg(length(checkpoint))::float8 as bytes from call where state = 'live'", [])
  return Math.round(Number(row?.bytes ?? 0))
}

/** A few calls first, so that code, pools and connections are there in both alike. */
async function warmUp(bench: Bench, url: string): Promise<void> {
  const plan = { calls: WARM_UP_CALLS, ratePerSecond: 20, holdS: 3, scenario: 'talk', seed: 99 }
  await startLoad(bench, { urls: [url], ...plan }).report()
  await bench.pause(500)
}

function ratiosOf(rounds: readonly Round[], pick: (one: Measured) => number): number[] {
  return rounds.map(({ alone, fleet }) => pick(fleet) / pick(alone))
}

function spreadOf(ratios: readonly number[]) {
  const rounded = ratios.map((ratio) => Math.round(ratio * 1_000) / 1_000)
  return { median: medianOf(ratios), min: Math.min(...rounded), max: Math.max(...rounded), ofEachRound: rounded }
}

function resultOf(rounds: Round[], reports: LoadReport[], calls: number): BenchResult {
  const cpu = spreadOf(ratiosOf(rounds, (one) => one.cpu))
  const toModel = spreadOf(ratiosOf(rounds, (one) => one.toModelP50Ms))
  const toCarrier = spreadOf(ratiosOf(rounds, (one) => one.toCarrierP50Ms))
  const of = (name: Name) => {
    const median = (pick: (one: Measured) => number) => medianOf(rounds.map((round) => pick(round[name])))
    return {
      cpuMsPerCallSecond: median((one) => one.cpu),
      ofEachRound: rounds.map((round) => Math.round(round[name].cpu * 1_000) / 1_000),
      coreShare: median((one) => one.coreShare),
      machineShare: median((one) => one.machineShare),
      carrierToModelMs: { p50: median((one) => one.toModelP50Ms), p99: median((one) => one.toModelP99Ms) },
      modelToCarrierMs: { p50: median((one) => one.toCarrierP50Ms), p99: median((one) => one.toCarrierP99Ms) },
      rowsWrittenPerCallSecond: median((one) => one.writesPerCallSecond),
      checkpointBytes: median((one) => one.checkpointBytes),
    }
  }
  const fleet = of('fleet')
  return {
    figures: { alone: of('alone'), fleet, ratio: { cpu, carrierToModelP50: toModel, modelToCarrierP50: toCarrier } },
    samples: { calls, rounds: rounds.length, reportsOfLoad: reports.length },
    generator: worstLateness(reports),
    checks: [
      atMost('CPU with checkpoints, times without', cpu.median, RATIO_MAX),
      atMost('carrier → model p50 with checkpoints, times without', toModel.median, RATIO_MAX),
      atMost('model → carrier p50 with checkpoints, times without', toCarrier.median, RATIO_MAX),
      atLeast('rows written per call-second', fleet.rowsWrittenPerCallSecond, WRITES_PER_CALL_SECOND_MIN),
    ],
  }
}
