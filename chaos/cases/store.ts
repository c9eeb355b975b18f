// store (F11, F12, F17): Redis is lost to the whole fleet, and comes back empty. Rules:
// ST1: calls talk all the while, and visitors come in steadily; the ceiling leaves them VISIT_ROOM places.
// ST2: F12 and F17: Redis is frozen for FROZEN_MS, longer than a pod alone would wait before it fenced itself: no call may move or
//      end, and new calls are served SERVED_SHARE as often as before.
// ST3: F11: Redis is killed and starts empty: nothing is admitted above the ceiling while it is filled again, admissions are open again
//      within REOPEN_MS_MAX, and all live calls have their slots back.
import { setTimeout as sleep } from 'node:timers/promises'
import { startCallers } from '../callers.ts'
import { layGround } from '../ground.ts'
import { droppedCalls, type History } from '../history.ts'
import { atLeast, atMost, type ChaosCase, type ChaosRun, exactly, type Outcome } from '../run.ts'
import { commonFigures, type Ending, examine, latenessOf, percent, readEnding, startTalking } from '../scene.ts'
import { slotsInUse } from '../slots.ts'
import type { CallStory } from '../witness/call-story.ts'
import type { Fault } from '../witness/fault-log.ts'

const FROZEN_MS = 60_000
const NORMAL_MS = 30_000
const AFTER_MS = 30_000
const REOPEN_MS_MAX = 12_000
const SERVED_SHARE = 80
const VISITS_PER_SECOND = 1
const VISIT_PATIENCE_S = 60
const VISIT_ROOM = 40
/** A visitor counts as served when its stream opened so soon. */
const SERVED_WITHIN_US = 8_000_000
const VISITOR = '+15550100009'

type Times = {
  startUs: number
  frozen: Fault
  woken: Fault
  emptied: Fault
  endUs: number
  slotsBack: number
  talking: number
}

async function runStore(run: ChaosRun): Promise<Outcome> {
  const calls = run.asked.calls ?? 40
  const ceiling = calls + VISIT_ROOM
  const ground = await layGround(run, { pods: run.asked.pods ?? 3, ceiling, slack: ceiling })
  const { redis } = ground.fleet
  const talkers = await startTalking(run, ground, calls)
  const seconds = (NORMAL_MS + FROZEN_MS + AFTER_MS * 2) / 1_000
  const visitors = startCallers(run, {
    url: ground.fleet.baseUrl,
    calls: Math.round(seconds * VISITS_PER_SECOND),
    ratePerSecond: VISITS_PER_SECOND,
    holdS: VISIT_PATIENCE_S,
    scenario: 'visit',
    seed: run.asked.seed + 1,
    number: VISITOR,
  })
  const { atUs: startUs } = run.faults.note('load', '', 'visitors come')
  await sleep(NORMAL_MS)
  const frozen = run.faults.note('store', '', 'frozen')
  redis.kill('SIGSTOP')
  run.note(`Redis is frozen for ${FROZEN_MS} ms`)
  await sleep(FROZEN_MS)
  const woken = run.faults.note('store', '', 'woken')
  redis.kill('SIGCONT')
  await sleep(AFTER_MS)
  const emptied = run.faults.note('store', '', 'emptied')
  await redis.restartEmpty()
  run.note('Redis is back, and empty')
  await sleep(REOPEN_MS_MAX)
  const slotsBack = await slotsInUse(redis.url)
  const talking = await ground.liveSessions()
  await sleep(AFTER_MS - REOPEN_MS_MAX)
  const { atUs: endUs } = run.faults.note('load', '', 'over')
  const reports = [await visitors.hangUp(), await talkers.hangUp()]
  const times = { startUs, frozen, woken, emptied, endUs, slotsBack, talking }
  return judge(run, ceiling, times, await readEnding(run, ground, reports.map(latenessOf)))
}

function judge(run: ChaosRun, ceiling: number, times: Times, ending: Ending): Outcome {
  const { history, leaked, generator } = ending
  const findings = examine(run, history, { ceiling, overBound: 0 })
  const { startUs, frozen, woken, emptied, endUs } = times
  const normal = servedShare(history, startUs, frozen.atUs)
  const without = servedShare(history, frozen.atUs, woken.atUs - SERVED_WITHIN_US)
  const moved = [...history.calls.values()].filter(({ streams }) => streams.some(({ by }) => by === 'plane')).length
  const reopenedMs = reopenMs(history, emptied)
  const unserved = visitorsOf(history, emptied.atUs, endUs - SERVED_WITHIN_US).filter(
    ({ streams }) => streams.length === 0,
  )
  return {
    samples: { calls: history.calls.size, visitorsWhileFrozen: visitorsOf(history, frozen.atUs, woken.atUs).length },
    figures: {
      servedPercent: { normal, whileFrozen: without },
      reopenedMs,
      unservedAfterEmpty: unserved.length,
      movedCalls: moved,
      slotsBack: times.slotsBack,
      sessionsThen: times.talking,
      ...commonFigures(ending, findings),
    },
    checks: [
      exactly('calls dropped', droppedCalls(history.calls).filter(({ to }) => to !== VISITOR).length, 0),
      exactly('calls that left their pod', moved, 0),
      atLeast('visitors served without Redis, of those served with it', percent(without, normal), SERVED_SHARE, ' %'),
      atMost('admissions are open again after an empty restart', reopenedMs, REOPEN_MS_MAX, ' ms'),
      atLeast('slots known again after that time', times.slotsBack, times.talking * 0.9),
      atMost('sessions at once, seen by the model', findings.sessionsMax, ceiling),
      exactly('slots leaked after the last call', leaked, 0),
      exactly('breaches of the history', findings.breaches.length, 0),
    ],
    generator,
  }
}

function visitorsOf(history: History, fromUs: number, toUs: number): CallStory[] {
  return [...history.calls.values()].filter(
    ({ to, placedUs }) => to === VISITOR && placedUs >= fromUs && placedUs < toUs,
  )
}

/** Visitors placed in a stretch whose stream opened soon, in per cent. */
function servedShare(history: History, fromUs: number, toUs: number): number {
  const visitors = visitorsOf(history, fromUs, toUs)
  const served = visitors.filter(
    ({ streams, placedUs }) => (streams[0]?.openedUs ?? Number.MAX_SAFE_INTEGER) - placedUs < SERVED_WITHIN_US,
  )
  return percent(served.length, visitors.length)
}

/** From the empty start to the first stream of a visitor who was placed after it. */
function reopenMs(history: History, emptied: Fault): number | undefined {
  const opened = visitorsOf(history, emptied.atUs, Number.MAX_SAFE_INTEGER).flatMap(
    ({ streams }) => streams[0]?.openedUs ?? [],
  )
  return opened.length === 0 ? undefined : (Math.min(...opened) - emptied.atUs) / 1_000
}

export const store: ChaosCase = {
  faults: 'F11 F12 F17',
  text: 'Redis frozen for a minute, then killed and started empty, under calls that talk and visitors that come',
  run: runStore,
}
