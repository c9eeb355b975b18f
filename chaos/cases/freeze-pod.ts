// freeze-pod (F04, F05): pods are stopped by SIGSTOP and woken by SIGCONT. Rules:
// FP1: rounds take turns: SHORT_MS, in which nothing may move, then LONG_MS, in which the proxy cuts the pod and its calls go on elsewhere.
// FP2: a woken pod is a zombie: it must notice that others act for its calls (`fenced` in its own history), and nothing that it
//      writes for them may be accepted.
// FP3: a frozen pod's model sessions stay open until it wakes: so many more than the ceiling are allowed, and no more.
import { setTimeout as sleep } from 'node:timers/promises'
import { type Ground, layGround } from '../ground.ts'
import { droppedCalls, gapFigures, type History } from '../history.ts'
import { atLeast, atMost, type ChaosCase, type ChaosRun, exactly, type Outcome } from '../run.ts'
import { commonFigures, type Ending, examine, hitsOfAll, inWaves, percent, TALK_MS } from '../scene.ts'
import type { Fault } from '../witness/fault-log.ts'
import { streamAt } from '../witness/gap.ts'

const SHORT_MS = 2_000
const LONG_MS = 5_000
const ROUNDS_PER_WAVE = 4
const ROUNDS = 12
const CUT_MS_MAX = 3_500
const AFTER_MS = 6_000

type Round = { stop: Fault; ms: number }

async function runFreezePod(run: ChaosRun): Promise<Outcome> {
  const calls = run.asked.calls ?? 60
  const ground = await layGround(run, { pods: run.asked.pods ?? 4, ceiling: calls, slack: calls })
  const rounds: Round[] = []
  const roundsMax = run.asked.rounds ?? ROUNDS
  const isEnough = (): boolean => rounds.length >= roundsMax
  const ending = await inWaves(run, ground, calls, isEnough, async () => {
    for (let n = 0; n < ROUNDS_PER_WAVE && !isEnough(); n++) {
      const round = await freezeRound(run, ground, rounds.length % 2 === 0 ? SHORT_MS : LONG_MS)
      rounds.push(round)
      run.note(`round ${rounds.length}: ${round.stop.pod} stopped for ${round.ms} ms`)
    }
  })
  return judge(run, calls, rounds, ending)
}

async function freezeRound(run: ChaosRun, ground: Ground, ms: number): Promise<Round> {
  await sleep(run.between(0, 1_500))
  const pod = run.pick(ground.fleet.pods)
  const stop = run.faults.note('stop', pod.name, String(ms))
  pod.kill('SIGSTOP')
  await sleep(ms)
  run.faults.note('continue', pod.name)
  pod.kill('SIGCONT')
  await sleep(AFTER_MS + TALK_MS)
  return { stop, ms }
}

function judge(run: ChaosRun, calls: number, rounds: readonly Round[], ending: Ending): Outcome {
  const { history, leaked, generator } = ending
  const long = rounds.filter(({ ms }) => ms === LONG_MS)
  const short = rounds.filter(({ ms }) => ms === SHORT_MS)
  const onFrozen = Math.max(0, ...long.map(({ stop }) => callsOn(history, stop)))
  const findings = examine(run, history, { ceiling: calls, overBound: onFrozen })
  const { hits } = hitsOfAll(
    long.map(({ stop }) => stop),
    history,
  )
  const figures = gapFigures(hits)
  const refused = long.reduce((sum, { stop, ms }) => sum + fencedAfter(history, stop, ms), 0)
  const moved = short.reduce((sum, { stop, ms }) => sum + movedDuring(history, stop.atUs, ms), 0)
  return {
    samples: { calls, shortFreezes: short.length, longFreezes: long.length, callsOnFrozenPods: figures.callsHit },
    figures: {
      ...figures,
      zombieStops: refused,
      movedByShortFreezes: moved,
      ...commonFigures(ending, findings),
    },
    checks: [
      exactly('calls moved by a freeze of 2 s', moved, 0),
      atMost('a frozen pod is cut after', figures.brokenMs.max, CUT_MS_MAX, ' ms'),
      atLeast('calls on frozen pods that are heard again', percent(figures.talkAgain, figures.callsHit), 99, ' %'),
      atLeast('calls that a woken pod gave up', refused, 1),
      exactly('acts of a woken pod that were accepted', history.pods.breaches.length, 0),
      exactly('calls dropped', droppedCalls(history.calls).length, 0),
      exactly('slots leaked after the last call', leaked, 0),
      exactly('breaches of the history', findings.breaches.length, 0),
    ],
    generator,
  }
}

function callsOn(history: History, { atUs, pod }: Fault): number {
  return [...history.calls.values()].filter((story) => streamAt(story, atUs)?.pod === pod).length
}

/** [FP2] */
function fencedAfter(history: History, stop: Fault, ms: number): number {
  const wakeUs = stop.atUs + ms * 1_000
  const untilUs = wakeUs + (AFTER_MS + TALK_MS) * 1_000
  return history.pods.fenced.filter(({ pod, atUs }) => pod === stop.pod && atUs >= wakeUs && atUs < untilUs).length
}

/** Streams that the plane's side ended from the freeze until a while after it. */
function movedDuring(history: History, fromUs: number, ms: number): number {
  const untilUs = fromUs + (ms + AFTER_MS) * 1_000
  const isMoved = (closedUs: number | undefined, by: string | undefined): boolean =>
    by === 'plane' && closedUs !== undefined && closedUs >= fromUs && closedUs < untilUs
  return [...history.calls.values()].flatMap(({ streams }) => streams.filter((one) => isMoved(one.closedUs, one.by)))
    .length
}

export const freezePod: ChaosCase = {
  faults: 'F04 F05',
  text: 'SIGSTOP of pods for 2 s and 5 s: the short one moves nothing, the long one makes a zombie that may not act',
  run: runFreezePod,
}
