// What most runs share: calls that talk on a fleet, and what the witnesses say of them at the end. Rules:
// SN1: callers stay until the run hangs them up, so that a call that is gone before was ended by the plane.
// SN2: slots are counted in the store itself: what is there SLOTS_FREE_MS_MAX after the last hang-up has leaked. How long the last one took
//      is a figure.
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { LoadReport } from '../load/report/report.ts'
import { type Callers, startCallers } from './callers.ts'
import { type Ground, MODEL_CONNECT_MS } from './ground.ts'
import {
  checkHistory,
  describeBreaches,
  droppedCalls,
  type Findings,
  type History,
  type HistoryLimits,
  readHistory,
} from './history.ts'
import type { ChaosRun, Outcome } from './run.ts'
import { slotsInUse } from './slots.ts'
import type { Fault } from './witness/fault-log.ts'
import { type Hit, type Hits, hitsOf } from './witness/gap.ts'
import { dumpRecords } from './witness/record-dump.ts'

/** Long enough that a caller's next turn is answered. */
export const TALK_MS = 7_000
const TALKING_MS_MAX = 90_000
/** Status callbacks, last writes, dropped models. */
const SETTLE_MS = 8_000
/** A slot whose release was lost is gone after the hard bound of its lease, 60 s, and a reaping. */
const SLOTS_FREE_MS_MAX = 75_000
const SLOTS_POLL_MS = 500
const HOLD_S = 3_600
const FREE_MS_MAX = 20_000
/** Faults closer together than this are one blow to a call. */
const ONE_BLOW_US = 1_000_000

/** [SN1] Places calls and waits until they talk. */
export async function startTalking(
  run: ChaosRun,
  ground: Ground,
  calls: number,
  options: { ratePerSecond?: number; scenario?: string } = {},
): Promise<Callers> {
  const callers = startCallers(run, {
    url: ground.fleet.baseUrl,
    calls,
    ratePerSecond: options.ratePerSecond ?? 10,
    holdS: HOLD_S,
    scenario: options.scenario ?? 'talk',
    seed: run.asked.seed,
  })
  await callers.talking(calls, TALKING_MS_MAX)
  await sleep(TALK_MS)
  return callers
}

export type Ending = {
  history: History
  leaked: number
  slotsFreeMs: number | undefined
  generator: Outcome['generator']
}

/**
 * [SN2] Waves of callers until `isEnough`: each talks, `during` does what it does, and all hang up. Then the fleet settles and all
 * logs are read.
 */
export async function inWaves(
  run: ChaosRun,
  ground: Ground,
  calls: number,
  isEnough: () => boolean,
  during: (callers: Callers) => Promise<void>,
): Promise<Ending> {
  const generators: Outcome['generator'][] = []
  do {
    const callers = await startTalking(run, ground, calls)
    await during(callers)
    generators.push(latenessOf(await callers.hangUp()))
    const freeMs = await ground.sessionsReach(0, FREE_MS_MAX)
    run.note(freeMs === undefined ? 'sessions are still open after the wave' : 'all calls of the wave are over')
  } while (!isEnough())
  return readEnding(run, ground, generators)
}

/**
 * [SN2] Lets the fleet settle and reads what is left of it, and all logs. `redisUrl`: the store of the end, when it is another one;
 * `settleMs`: 0 when it is known that nothing is left to be written.
 */
export async function readEnding(
  run: ChaosRun,
  ground: Ground,
  generators: readonly Outcome['generator'][],
  { redisUrl = ground.fleet.redis.url, settleMs = SETTLE_MS } = {},
): Promise<Ending> {
  await sleep(settleMs)
  const startedMs = performance.now()
  let leaked = await slotsInUse(redisUrl)
  while (leaked > 0 && performance.now() - startedMs < SLOTS_FREE_MS_MAX) {
    await sleep(SLOTS_POLL_MS)
    leaked = await slotsInUse(redisUrl)
  }
  const slotsFreeMs = leaked > 0 ? undefined : Math.round(performance.now() - startedMs + settleMs)
  await dumpRecords(ground.fleet.postgres.url, join(run.folder, 'records.jsonl'))
  const worst = (of: (one: Outcome['generator']) => number | null): number | null => {
    const known = generators.flatMap((one) => of(one) ?? [])
    return known.length === 0 ? null : Math.max(...known)
  }
  const generator = {
    p99Ms: worst(({ p99Ms }) => p99Ms),
    maxMs: worst(({ maxMs }) => maxMs),
    isLate: generators.some(({ isLate }) => isLate),
  }
  return { history: await readHistory(run.folder), leaked, slotsFreeMs, generator }
}

/** How late the callers of one report were. */
export function latenessOf({ figures: { generator } }: LoadReport): Outcome['generator'] {
  return { p99Ms: generator.latenessMs.p99, maxMs: generator.latenessMs.max, isLate: generator.isLate }
}

/** The calls that the faults hit, each once for each blow. `faults` ascending in time. */
export function hitsOfAll(faults: readonly Fault[], history: History): Hits {
  const all: Hits = { hits: [], leftOut: 0 }
  for (const [i, fault] of faults.entries()) {
    const next = faults.find((other, at) => at > i && other.atUs - fault.atUs > ONE_BLOW_US)
    const { hits, leftOut } = hitsOf(fault, history.calls.values(), next?.atUs ?? Number.MAX_SAFE_INTEGER)
    all.hits.push(...hits.filter((hit) => !all.hits.some((known) => isSameBlow(known, hit))))
    all.leftOut += leftOut
  }
  return all
}

function isSameBlow(one: Hit, other: Hit): boolean {
  return one.call === other.call && Math.abs(one.faultUs - other.faultUs) <= ONE_BLOW_US
}

/** Checks the history and says on standard error what breaks it. */
export function examine(run: ChaosRun, history: History, limits: HistoryLimits): Findings {
  const findings = checkHistory(history, limits)
  for (const text of describeBreaches(findings.breaches)) run.note(`breach: ${text}`)
  for (const text of findings.unseen) run.note(`unseen: ${text}`)
  return findings
}

/** Figures that every run gives. */
export function commonFigures({ history, leaked, slotsFreeMs }: Ending, findings: Findings): Record<string, unknown> {
  const { breaches: effectBreaches, ...effects } = history.effects
  const { breaches: recordBreaches, ...records } = history.records
  const { breaches: podBreaches, fenced, ...podHistory } = history.pods
  return {
    sessionsMax: findings.sessionsMax,
    sessionsRefused: history.model.refused.length,
    outcomes: findings.outcomes,
    dropped: droppedCalls(history.calls).length,
    effects: { ...effects, breaches: effectBreaches.length },
    records: { ...records, breaches: recordBreaches.length },
    leaked,
    slotsFreeMs,
    podHistory: { ...podHistory, fenced: fenced.length, breaches: podBreaches.length },
    unseen: findings.unseen,
    breaches: describeBreaches(findings.breaches),
    simulatedDelaysMs: { action: 200, openStream: 200, modelConnect: MODEL_CONNECT_MS },
  }
}

/** `part` of `whole` in per cent; 0 of nothing. */
export function percent(part: number, whole: number): number {
  return whole === 0 ? 0 : Math.round((part / whole) * 100_000) / 1_000
}
