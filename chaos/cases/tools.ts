// tools (F23, F24, F25): pods die while tools are between their intent, their sending and their result. Rules:
// TO1: the sink takes up to SINK_MS_MAX to answer and the callers keep the model asking, so that a kill at a random moment often finds
//      a tool in flight; how often is told.
// TO2: in each wave's last round the callers hang up at the same moment as their pod dies: no resume, one end.
// TO3: rounds go on until CALLS_HIT_MIN calls were on pods that died.
import { setTimeout as sleep } from 'node:timers/promises'
import { type Ground, layGround } from '../ground.ts'
import { gapFigures, type History } from '../history.ts'
import { atLeast, type ChaosCase, type ChaosRun, exactly, type Outcome } from '../run.ts'
import { commonFigures, type Ending, examine, hitsOfAll, inWaves } from '../scene.ts'
import type { Fault } from '../witness/fault-log.ts'
import { streamAt } from '../witness/gap.ts'

const CALLS_HIT_MIN = 200
const SINK_MS_MAX = 3_000
const ROUNDS_PER_WAVE = 4
const ROUNDS_MAX = 60
const BACK_MS_MAX = 15_000
const BETWEEN_MS = 9_000

async function runTools(run: ChaosRun): Promise<Outcome> {
  const calls = run.asked.calls ?? 60
  const sinkDelayMs = (): number => Math.floor(run.random() * SINK_MS_MAX)
  const ground = await layGround(run, { pods: run.asked.pods ?? 4, ceiling: calls, slack: calls, sinkDelayMs })
  const kills: { fault: Fault; calls: number }[] = []
  const roundsMax = run.asked.rounds ?? ROUNDS_MAX
  const hit = (): number => kills.reduce((sum, one) => sum + one.calls, 0)
  const isEnough = (): boolean =>
    kills.length >= roundsMax || (run.asked.rounds === undefined && hit() >= CALLS_HIT_MIN)
  const ending = await inWaves(run, ground, calls, isEnough, async (callers) => {
    for (let n = 0; n < ROUNDS_PER_WAVE && !isEnough(); n++) {
      const isLast = n === ROUNDS_PER_WAVE - 1
      kills.push(await killRound(run, ground, callers.tally().live, isLast ? () => callers.askHangUp() : undefined))
      run.note(`round ${kills.length}: ${kills.at(-1)?.fault.pod} killed; ${hit()} calls so far`)
    }
  })
  return judge(run, calls, kills, ending)
}

async function killRound(
  run: ChaosRun,
  ground: Ground,
  live: number,
  hangUp: (() => void) | undefined,
): Promise<{ fault: Fault; calls: number }> {
  await sleep(run.between(0, 4_000))
  const pod = run.pick(ground.fleet.pods)
  const before = await ground.liveSessions()
  const fault = run.faults.note('kill', pod.name, hangUp === undefined ? '' : 'with hang-up')
  pod.kill('SIGKILL')
  hangUp?.()
  await sleep(100)
  const calls = hangUp === undefined ? before - (await ground.liveSessions()) : 0
  if (hangUp === undefined) await ground.sessionsReach(live, BACK_MS_MAX)
  run.faults.note('restart', pod.name)
  await pod.restart()
  if (hangUp === undefined) await sleep(BETWEEN_MS)
  return { fault, calls }
}

function judge(run: ChaosRun, calls: number, kills: { fault: Fault }[], ending: Ending): Outcome {
  const { history, leaked, generator } = ending
  const findings = examine(run, history, { ceiling: calls, overBound: 0 })
  const faults = kills.map(({ fault }) => fault)
  const withHangUp = faults.filter(({ detail }) => detail !== '')
  const { hits } = hitsOfAll(
    faults.filter(({ detail }) => detail === ''),
    history,
  )
  const figures = gapFigures(hits)
  const inFlight = faults.reduce((sum, fault) => sum + toolsInFlight(history, fault), 0)
  const { effects, records } = history
  return {
    samples: {
      calls,
      podKills: faults.length,
      callsOnKilledPods: figures.callsHit,
      toolsInFlightAtKill: inFlight,
      callsHungUpWithKill: withHangUp.reduce((sum, fault) => sum + callsOn(history, fault), 0),
      effects: effects.effects,
    },
    figures: { ...figures, ...commonFigures(ending, findings) },
    checks: [
      atLeast('calls on killed pods', figures.callsHit, run.asked.rounds === undefined ? CALLS_HIT_MIN : 1),
      atLeast('tools in flight when their pod died', inFlight, 1),
      atLeast('effects', effects.effects, 1),
      exactly('effects that happened twice', effects.duplicates, 0),
      exactly('effects that were asked for and never happened', effects.missing, 0),
      exactly('calls without exactly one end in the records', history.calls.size - records.ended, 0),
      exactly('slots leaked after the last call', leaked, 0),
      exactly('breaches of the history', findings.breaches.length, 0),
    ],
    generator,
  }
}

/** Calls on the pod whose step was asked for within SINK_MS_MAX before the kill. */
function toolsInFlight(history: History, { atUs, pod }: Fault): number {
  let found = 0
  for (const { call, asked } of history.model.sessions.values()) {
    const story = call === undefined ? undefined : history.calls.get(call)
    if (story === undefined || streamAt(story, atUs)?.pod !== pod) continue
    if (asked.some((one) => one.atUs < atUs && atUs - one.atUs < SINK_MS_MAX * 1_000)) found++
  }
  return found
}

function callsOn(history: History, { atUs, pod }: Fault): number {
  return [...history.calls.values()].filter((story) => streamAt(story, atUs)?.pod === pod).length
}

export const tools: ChaosCase = {
  faults: 'F23 F24 F25',
  text: 'SIGKILL of pods at random moments of slow tools, and at the moment of the hang-up: each effect once, each call ended once',
  run: runTools,
}
