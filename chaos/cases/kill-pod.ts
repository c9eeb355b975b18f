// kill-pod (F01, F02, F03): pods die by SIGKILL under live calls, one after the other, and every second round two at once.
// KP1: the fleet is at 100 % of its ceiling all the time: as many calls as sessions are allowed. A resume that waited for a free slot
//      would wait for ever.
// KP2: a round kills, waits until the model has all its sessions again, lets the callers talk, and starts the pods anew.
// KP3: calls come in waves of ROUNDS_PER_WAVE rounds, since a call that breaks more than five times is given to a person.
// KP5: in `kill-full` every pod also holds as many calls as its own CALLS_MAX allows, and one pod dies at a time: the others must take
//      more than CALLS_MAX.
// KP4: rounds go on until CALLS_HIT_MIN calls were on pods that died.
import { setTimeout as sleep } from 'node:timers/promises'
import { type Ground, layGround } from '../ground.ts'
import { type GapFigures, gapFigures } from '../history.ts'
import { atLeast, atMost, type ChaosCase, type ChaosRun, type Check, exactly, type Outcome } from '../run.ts'
import { commonFigures, type Ending, examine, hitsOfAll, inWaves, percent, TALK_MS } from '../scene.ts'
import type { Fault } from '../witness/fault-log.ts'
import type { Hits } from '../witness/gap.ts'
import { opensMaxWithin } from '../witness/session-story.ts'

const CALLS_HIT_MIN = 300
const ROUNDS_MAX = 60
const ROUNDS_PER_WAVE = 4
const BACK_MS_MAX = 15_000

type Round = { faults: Fault[]; backMs: number | undefined; calls: number }

const runKillPod = (run: ChaosRun): Promise<Outcome> => killPods(run, false)

/** [KP5] */
const runKillFull = (run: ChaosRun): Promise<Outcome> => killPods(run, true)

async function killPods(run: ChaosRun, isFull: boolean): Promise<Outcome> {
  const pods = run.asked.pods ?? 4
  const perPod = Math.ceil((run.asked.calls ?? 80) / pods)
  const calls = isFull ? perPod * pods : (run.asked.calls ?? 80)
  const full = isFull ? { callsMax: perPod } : {}
  const ground = await layGround(run, { pods, ceiling: calls, slack: calls, ...full })
  const rounds: Round[] = []
  const roundsMax = run.asked.rounds ?? ROUNDS_MAX
  const isEnough = (): boolean =>
    rounds.length >= roundsMax || (run.asked.rounds === undefined && sumCalls(rounds) >= CALLS_HIT_MIN)
  const ending = await inWaves(run, ground, calls, isEnough, async (callers) => {
    for (let n = 0; n < ROUNDS_PER_WAVE && !isEnough(); n++) {
      const round = await killRound(run, ground, callers.tally().live, n % 2 === 1 && !isFull ? 2 : 1)
      rounds.push(round)
      const names = round.faults.map(({ pod }) => pod).join(' and ')
      const back = round.backMs === undefined ? 'not all back' : `all back in ${Math.round(round.backMs)} ms`
      run.note(`round ${rounds.length}: ${names} killed with ${round.calls} calls, ${back}; ${sumCalls(rounds)} so far`)
    }
  })
  return judge(run, { calls, isFull }, rounds, ending)
}

function sumCalls(rounds: readonly Round[]): number {
  return rounds.reduce((sum, { calls }) => sum + calls, 0)
}

/** [KP2] */
async function killRound(run: ChaosRun, ground: Ground, live: number, howMany: number): Promise<Round> {
  await sleep(run.between(0, 2_000))
  const { pods } = ground.fleet
  const first = run.between(0, pods.length - 1)
  const doomed = Array.from({ length: Math.min(howMany, pods.length - 1) }, (_, i) => pods[(first + i) % pods.length]!)
  const before = await ground.liveSessions()
  const faults = doomed.map((pod) => {
    const fault = run.faults.note('kill', pod.name)
    pod.kill('SIGKILL')
    return fault
  })
  await sleep(100)
  const calls = before - (await ground.liveSessions())
  const backMs = await ground.sessionsReach(live, BACK_MS_MAX)
  await sleep(TALK_MS)
  for (const pod of doomed) {
    run.faults.note('restart', pod.name)
    await pod.restart()
  }
  return { faults, backMs, calls }
}

function judge(
  run: ChaosRun,
  { calls, isFull }: { calls: number; isFull: boolean },
  rounds: readonly Round[],
  ending: Ending,
): Outcome {
  const { history, leaked, generator } = ending
  const findings = examine(run, history, { ceiling: calls, overBound: 0 })
  const all = hitsOfAll(
    rounds.flatMap(({ faults }) => faults),
    history,
  )
  const figures = gapFigures(all.hits)
  const pairs = new Set(rounds.flatMap(({ faults }) => (faults.length > 1 ? faults.map(({ atUs }) => atUs) : [])))
  const ofPairs = all.hits.filter(({ faultUs }) => pairs.has(faultUs))
  return {
    samples: { calls, kills: rounds.flatMap(({ faults }) => faults).length, callsOnKilledPods: figures.callsHit },
    figures: {
      ...figures,
      ...sharesOf(all, figures),
      twoAtOnce: gapFigures(ofPairs),
      backMs: rounds.map(({ backMs }) => (backMs === undefined ? null : Math.round(backMs))),
      connectsPerSecondMax: opensMaxWithin(history.model.sessions.values(), 1_000),
      ...commonFigures(ending, findings),
    },
    checks: [
      atLeast('calls on killed pods', figures.callsHit, run.asked.rounds === undefined ? CALLS_HIT_MIN : 1),
      ...gapChecks(figures),
      ...(isFull ? [] : [atLeast('of two pods at once, heard again within 10 s', within10s(ofPairs), 95, ' %')]),
      exactly('slots leaked after the last call', leaked, 0),
      atMost('sessions at once, seen by the model', findings.sessionsMax, calls),
      exactly('breaches of the history', findings.breaches.length, 0),
    ],
    generator,
  }
}

/** What must hold of calls whose pod died. */
function gapChecks(figures: GapFigures): Check[] {
  return [
    atLeast('calls on killed pods that are heard again', percent(figures.talkAgain, figures.callsHit), 99, ' %'),
    atMost('callers that spoke on and got no answer', figures.unanswered, Math.floor(figures.callsHit / 100)),
    atMost('silence gap p50', figures.gapMs.p50, 2_000, ' ms'),
    atMost('silence gap p95', figures.gapMs.p95, 4_000, ' ms'),
  ]
}

function within10s(hits: Hits['hits']): number {
  if (hits.length === 0) return 100
  return percent(hits.filter(({ gapMs }) => gapMs !== undefined && gapMs <= 10_000).length, hits.length)
}

function sharesOf({ hits, leftOut }: Hits, figures: GapFigures): Record<string, number> {
  const { talkAgain, callsHit } = figures
  return { talkAgainPercent: percent(talkAgain, callsHit), within10sPercent: within10s(hits), leftOut }
}

export const killPod: ChaosCase = {
  faults: 'F01 F02 F03',
  text: 'SIGKILL of pods at 100 % of the ceiling until 300 calls were on a pod that died',
  run: runKillPod,
}

export const killFull: ChaosCase = {
  faults: 'F01 F02 F03',
  text: 'SIGKILL of one pod after the other while every pod holds as many calls as it may, until 300 calls were on a pod that died',
  run: runKillFull,
}
