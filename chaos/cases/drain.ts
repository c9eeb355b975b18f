// drain (F06, F07, F08): the whole fleet is restarted by SIGTERM, pod after pod, over and over while calls come and go. Rules:
// DR1: a pod that was told to end hands its calls over at turn boundaries and exits by itself within GRACE_MS.
// DR2: in every KILL_EVERY-th drain the pod is killed in the middle: what it still held goes on as after any crash.
// DR3: no call may end but by its caller, of CALLS_MIN calls; a call is judged from its first webhook to its last callback.
// DR4: the silence of a planned move runs from the end of the old stream to the opening of the new one, and on to the agent's first
//      word when it owed an answer.
// DR5: a move was prepared when the model session that goes on was open before the old stream ended.
import { setTimeout as sleep } from 'node:timers/promises'
import { summarise } from '../../load/report/statistics.ts'
import { startCallers } from '../callers.ts'
import { type Ground, layGround } from '../ground.ts'
import { droppedCalls, gapFigures, type History } from '../history.ts'
import { atLeast, atMost, type ChaosCase, type ChaosRun, exactly, type Outcome } from '../run.ts'
import { commonFigures, type Ending, examine, hitsOfAll, latenessOf, percent, readEnding } from '../scene.ts'
import type { CallStory } from '../witness/call-story.ts'
import type { Fault } from '../witness/fault-log.ts'
import { moveSilenceMs } from '../witness/gap.ts'

const CALLS_MIN = 1_000
const HOLD_S = 75
const LIVE = 120
const GRACE_MS = 120_000
const KILL_EVERY = 5
const BETWEEN_MS = 2_000
const TALKING_MS = 60_000
/** No further drain begins once this share of the calls was placed: the last ones end by themselves. */
const LAST_DRAIN_SHARE = 0.9

type Drain = { fault: Fault; kill: Fault | undefined; exitMs: number; code: number | null; untilUs: number }

async function runDrain(run: ChaosRun): Promise<Outcome> {
  const calls = run.asked.calls ?? CALLS_MIN
  const live = Math.min(LIVE, Math.ceil(calls / 2))
  const ground = await layGround(run, { pods: run.asked.pods ?? 4, ceiling: live * 2, slack: live })
  const callers = startCallers(run, {
    url: ground.fleet.baseUrl,
    calls,
    ratePerSecond: live / HOLD_S,
    holdS: HOLD_S,
    scenario: 'talk',
    seed: run.asked.seed,
  })
  const report = callers.report()
  await callers.talking(Math.ceil(live / 2), TALKING_MS)
  const drains: Drain[] = []
  while (callers.tally().offered < calls * LAST_DRAIN_SHARE) {
    const pod = ground.fleet.pods[drains.length % ground.fleet.pods.length]!
    const drain = await drainPod(run, pod, drains.length % KILL_EVERY === KILL_EVERY - 1)
    drains.push(drain)
    const how = drain.kill === undefined ? `ended with code ${drain.code}` : 'was killed in its drain'
    run.note(`${pod.name} ${how} after ${Math.round(drain.exitMs)} ms; ${callers.tally().done} calls done`)
    await sleep(BETWEEN_MS)
  }
  return judge(run, calls, drains, await readEnding(run, ground, [latenessOf(await report)]))
}

async function drainPod(run: ChaosRun, pod: Ground['fleet']['pods'][number], isKilled: boolean): Promise<Drain> {
  const startedMs = performance.now()
  const fault = run.faults.note('term', pod.name)
  pod.kill('SIGTERM')
  let kill: Fault | undefined
  if (isKilled) {
    await sleep(run.between(1_000, 8_000))
    if (pod.exit === undefined) {
      kill = run.faults.note('kill', pod.name, 'in its drain')
      pod.kill('SIGKILL')
    }
  }
  const bound = new AbortController()
  const exit = await Promise.race([
    pod.exited,
    sleep(GRACE_MS, undefined, { signal: bound.signal }).catch(() => undefined),
  ])
  bound.abort()
  const exitMs = performance.now() - startedMs
  const { atUs: untilUs } = run.faults.note('restart', pod.name)
  await pod.restart()
  return { fault, kill, exitMs, code: exit?.code ?? null, untilUs }
}

function judge(run: ChaosRun, calls: number, drains: readonly Drain[], ending: Ending): Outcome {
  const { history, leaked, generator } = ending
  const findings = examine(run, history, { ceiling: Math.min(LIVE, Math.ceil(calls / 2)) * 2, overBound: 0 })
  const planned = drains.filter(({ kill }) => kill === undefined)
  const kills = drains.flatMap(({ kill }) => kill ?? [])
  const moves = planned.flatMap((drain) => movesOf(history, drain))
  const silences = summarise(moves.flatMap((ms) => ms ?? []))
  const crashed = gapFigures(hitsOfAll(kills, history).hits)
  const dropped = droppedCalls(history.calls).length
  return {
    samples: { calls: history.calls.size, drains: drains.length, killedInDrain: kills.length, moves: moves.length },
    figures: {
      silenceMs: silences,
      movesPrepared: planned.reduce((sum, drain) => sum + preparedOf(history, drain), 0),
      movesWithoutSequel: moves.filter((ms) => ms === undefined).length,
      exitMs: summarise(planned.map(({ exitMs }) => exitMs)),
      exitCodes: planned.map(({ code }) => code),
      killedInDrain: crashed,
      ...commonFigures(ending, findings),
    },
    checks: [
      atLeast('calls', history.calls.size, calls),
      exactly('calls dropped', dropped, 0),
      atLeast('planned moves', moves.length, 1),
      atMost('silence of a planned move p95', silences.p95, 1_500, ' ms'),
      atMost('a drain takes at most', Math.max(0, ...planned.map(({ exitMs }) => exitMs)), GRACE_MS, ' ms'),
      exactly('drains that ended with another code than 0', planned.filter(({ code }) => code !== 0).length, 0),
      atLeast(
        'calls killed in a drain that are heard again',
        crashed.callsHit === 0 ? 100 : percent(crashed.talkAgain, crashed.callsHit),
        99,
        ' %',
      ),
      exactly('slots leaked after the last call', leaked, 0),
      exactly('breaches of the history', findings.breaches.length, 0),
    ],
    generator,
  }
}

/** [DR5] */
function preparedOf(history: History, drain: Drain): number {
  const sessions = [...history.model.sessions.values()]
  return movedStreams(history, drain).filter(({ story, closedUs }) => {
    const own = sessions.filter(({ call, openedUs }) => call === story.call && openedUs < closedUs)
    return own.some((session) => session.closedUs === undefined || session.closedUs > closedUs + 1_000_000)
  }).length
}

/** [DR4] Silences of the streams that a drain moved; undefined for one with no stream after it. */
function movesOf(history: History, drain: Drain): (number | undefined)[] {
  return movedStreams(history, drain).map(({ story, number }) => moveSilenceMs(story, number))
}

function movedStreams(
  history: History,
  { fault, untilUs }: Drain,
): { story: CallStory; number: number; closedUs: number }[] {
  return [...history.calls.values()].flatMap((story) =>
    story.streams.flatMap(({ number, pod, by, closedUs }) => {
      const isMoved = by === 'plane' && closedUs !== undefined && closedUs >= fault.atUs && closedUs < untilUs
      return isMoved && pod === fault.pod ? [{ story, number, closedUs }] : []
    }),
  )
}

export const drain: ChaosCase = {
  faults: 'F06 F07 F08',
  text: 'the whole fleet restarted pod after pod by SIGTERM under load, some pods killed in their drain: no call is dropped',
  run: runDrain,
}
