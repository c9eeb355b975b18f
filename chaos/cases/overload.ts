// overload (F43, F44, F52): forged requests, a pod whose event loop stalls, and many calls that come back at once. Rules:
// OV1: F43: FORGERIES requests that are not the carrier's, among live calls: none is accepted, no call is hurt.
// OV2: F44: one pod is stopped for STALL_MS in each second: from SEEN_MS after the beginning no new call names it.
// OV3: F52: all pods but one die at once. The carrier gets no 5xx for a webhook, and opens of model sessions stay within the pool's budget.
// OV4: F52 is scaled to the machine: the catalogue's 5 000 calls need more than two cores.
import { setTimeout as sleep } from 'node:timers/promises'
import { startCallers } from '../callers.ts'
import { type Forgeries, sendForgeries } from '../forgery.ts'
import { type Ground, layGround } from '../ground.ts'
import { gapFigures, type History, readHistory } from '../history.ts'
import { atLeast, atMost, type ChaosCase, type ChaosRun, exactly, type Outcome } from '../run.ts'
import {
  commonFigures,
  type Ending,
  examine,
  hitsOfAll,
  latenessOf,
  percent,
  readEnding,
  startTalking,
  TALK_MS,
} from '../scene.ts'
import type { Fault } from '../witness/fault-log.ts'
import { opensMaxWithin } from '../witness/session-story.ts'

const FORGERIES = 10_000
const STALL_MS = 300
const STALLS = 15
const SEEN_MS = 3_000
const BACK_MS_MAX = 30_000
const CONNECTS_PER_SECOND = 40

type Seen = { forged: Forgeries; stalled: { from: Fault; to: Fault }; kills: Fault[] }

async function runOverload(run: ChaosRun): Promise<Outcome> {
  const calls = run.asked.calls ?? 60
  const ceiling = calls + STALLS * 4
  const connectsPerSecond = CONNECTS_PER_SECOND
  const ground = await layGround(run, { pods: run.asked.pods ?? 4, ceiling, slack: ceiling, connectsPerSecond })
  const callers = await startTalking(run, ground, calls)
  const forged = await forge(run, ground)
  const stalled = await stall(run, ground)
  const kills = await killAllButOne(run, ground)
  const reports = [await callers.hangUp(), await stalled.report]
  return judge(run, ceiling, { forged, stalled, kills }, await readEnding(run, ground, reports.map(latenessOf)))
}

async function forge(run: ChaosRun, ground: Ground): Promise<Forgeries> {
  const { calls } = await readHistory(run.folder)
  const usedStreams = [...calls.values()].flatMap(({ verbs }) =>
    verbs.filter(({ verb }) => verb === 'Connect').map(({ detail }) => detail.replace(/^wss:/, 'ws:')),
  )
  const { baseUrl } = ground.fleet
  const forged = await sendForgeries({
    baseUrl,
    authToken: run.authToken,
    count: FORGERIES,
    random: run.random,
    usedStreams,
  })
  run.note(`${forged.sent} forged requests sent, ${forged.accepted} accepted`)
  return forged
}

/** [OV2] */
async function stall(run: ChaosRun, ground: Ground) {
  const pod = run.pick(ground.fleet.pods)
  const visitors = startCallers(run, {
    url: ground.fleet.baseUrl,
    calls: STALLS * 3,
    ratePerSecond: 3,
    holdS: 60,
    scenario: 'visit',
    seed: run.asked.seed + 1,
  })
  const from = run.faults.note('stop', pod.name, 'stalls')
  for (let n = 0; n < STALLS; n++) {
    pod.kill('SIGSTOP')
    await sleep(STALL_MS)
    pod.kill('SIGCONT')
    await sleep(1_000 - STALL_MS)
  }
  const to = run.faults.note('continue', pod.name)
  const report = visitors.report()
  await report
  return { from, to, report }
}

/** [OV3] */
async function killAllButOne(run: ChaosRun, ground: Ground): Promise<Fault[]> {
  const live = await ground.liveSessions()
  const kills = ground.fleet.pods.slice(1).map((pod) => {
    const fault = run.faults.note('kill', pod.name)
    pod.kill('SIGKILL')
    return fault
  })
  const backMs = await ground.sessionsReach(live, BACK_MS_MAX)
  run.note(backMs === undefined ? 'not all calls came back' : `all calls came back in ${Math.round(backMs)} ms`)
  await sleep(TALK_MS)
  return kills
}

function judge(run: ChaosRun, ceiling: number, seen: Seen, ending: Ending): Outcome {
  const { history, leaked, generator } = ending
  const { forged, stalled, kills } = seen
  const findings = examine(run, history, { ceiling, overBound: 0 })
  const placed = placements(history, stalled.from.atUs + SEEN_MS * 1_000, stalled.to.atUs)
  const onStalled = placed.filter((pod) => pod === stalled.from.pod).length
  const figures = gapFigures(hitsOfAll(kills, history).hits)
  const opens = opensMaxWithin(
    [...history.model.sessions.values()].filter(({ openedUs }) => openedUs >= kills[0]!.atUs),
    1_000,
  )
  const fivehundreds = [...history.calls.values()].reduce(
    (sum, { webhook5xx }) => sum + webhook5xx.filter((atUs) => atUs >= kills[0]!.atUs).length,
    0,
  )
  return {
    samples: { forgeries: forged.sent, callsPlacedInStalls: placed.length, callsBackAtOnce: figures.callsHit },
    figures: {
      forged,
      onStalledPod: onStalled,
      thundering: figures,
      opensPerSecondMax: opens,
      webhook5xx: fivehundreds,
      ...commonFigures(ending, findings),
    },
    checks: [
      atLeast('forged requests', forged.sent, FORGERIES),
      exactly('forged requests accepted', forged.accepted, 0),
      atLeast('calls placed while a pod stalled', placed.length, 1),
      exactly('of them on the stalled pod', onStalled, 0),
      atLeast('calls that came back at once', figures.callsHit, 1),
      atLeast('of them heard again', percent(figures.talkAgain, figures.callsHit), 99, ' %'),
      exactly('webhooks answered 5xx to the end', fivehundreds, 0),
      atMost('model sessions opened within a second', opens, CONNECTS_PER_SECOND * 1.5),
      exactly('slots leaked after the last call', leaked, 0),
      exactly('breaches of the history', findings.breaches.length, 0),
    ],
    generator,
  }
}

/** Pods named for calls that were placed in a stretch. */
function placements(history: History, fromUs: number, toUs: number): string[] {
  return [...history.calls.values()].flatMap(({ placedUs, streams }) =>
    placedUs >= fromUs && placedUs < toUs && streams[0] !== undefined ? [streams[0].pod] : [],
  )
}

export const overload: ChaosCase = {
  faults: 'F43 F44 F52',
  text: 'ten thousand forged requests, a pod that stalls a third of the time, and all pods but one dead at once',
  run: runOverload,
}
