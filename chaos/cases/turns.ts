// turns: the model does something else than answer in a third of its responses, every kind of it. Rules:
// CT1: each turn of a caller ends in sound or in a sentence or a person that the carrier was told of, judged by the carrier's log.
// CT2: dead air, from the end of the caller's words to the first sound of agent or plane, has a p95 and a bound.
// CT3: a call dials at most DIALS_MAX times within a minute, counted by the model simulator's log of opened sessions.
// CT4: the bad answers of the simulator are drawn by the run's seed; how many of each kind were given is a figure, and none may be 0.
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { summarise } from '../../load/report/statistics.ts'
import { type Ground, layGround } from '../ground.ts'
import { atLeast, atMost, type ChaosCase, type ChaosRun, exactly, type Outcome } from '../run.ts'
import { commonFigures, type Ending, examine, inWaves } from '../scene.ts'
import { opensMaxWithin, type SessionStory } from '../witness/session-story.ts'
import { type TurnStory, turnsOf } from '../witness/turn-story.ts'

const AGENT_MODULE = fileURLToPath(new URL('../agents/turns.ts', import.meta.url))
const TURNS_PER_ROUND = 100
const ROUNDS = 20
const SHARE = 0.35
const WAVE_MS = 60_000
const LOOK_MS = 2_000
const DIALS_MAX = 6
const MINUTE_MS = 60_000
const KINDS = 13
const DEAD_AIR_P95_MS = 4_000
const DEAD_AIR_MAX_MS = 10_000

async function runTurns(run: ChaosRun): Promise<Outcome> {
  const calls = run.asked.calls ?? 30
  const wanted = (run.asked.rounds ?? ROUNDS) * TURNS_PER_ROUND
  const ground = await layGround(run, {
    pods: run.asked.pods ?? 2,
    // A call that is dialled again may have its old session and its new one for a moment.
    ceiling: calls * 2,
    env: { AGENT_MODULE },
  })
  let turns = 0
  let waves = 0
  const ending = await inWaves(
    run,
    ground,
    calls,
    () => turns >= wanted,
    async () => {
      waves += 1
      turns = await spoil(run, ground, run.asked.seed + waves, wanted)
    },
  )
  return judge(run, calls, wanted, ending, await kindsGiven(run))
}

/** Bad answers until the wave is over or there are turns enough; how many turns there are. */
async function spoil(run: ChaosRun, ground: Ground, seed: number, wanted: number): Promise<number> {
  await ground.orderModel({ set: { randomAnswers: { share: SHARE, seed } } })
  const untilMs = performance.now() + WAVE_MS
  let turns = 0
  while (performance.now() < untilMs && turns < wanted) {
    await sleep(LOOK_MS)
    turns = await countTurns(run.folder)
  }
  run.note(`${turns} of ${wanted} turns`)
  await ground.orderModel({ set: { randomAnswers: null } })
  return turns
}

async function countTurns(folder: string): Promise<number> {
  const texts = await Promise.all((await logsOf(folder)).map((file) => readFile(file, 'utf8')))
  return texts.reduce((sum, text) => sum + text.split('"event":"caller-silent"').length - 1, 0)
}

async function logsOf(folder: string): Promise<string[]> {
  const names = await readdir(folder, { recursive: true })
  return names.filter((name) => /carrier-[^/]*\.jsonl$/.test(name)).map((name) => join(folder, name))
}

/** [CT4] */
async function kindsGiven(run: ChaosRun): Promise<Record<string, number>> {
  const text = await readFile(join(run.folder, 'model.jsonl'), 'utf8')
  const kinds: Record<string, number> = {}
  for (const line of text.split('\n')) {
    const kind = line.includes('"bad_answer"') ? /"kind":"([\w-]+)"/.exec(line)?.[1] : undefined
    if (kind !== undefined) kinds[kind] = (kinds[kind] ?? 0) + 1
  }
  return kinds
}

function judge(run: ChaosRun, calls: number, wanted: number, ending: Ending, kinds: Record<string, number>): Outcome {
  const { history, leaked, generator } = ending
  const findings = examine(run, history, { ceiling: calls * 2, overBound: 0 })
  const turns = [...history.calls.values()].flatMap((story) =>
    turnsOf(story).map((turn) => ({ ...turn, callSid: story.callSid })),
  )
  const answered = turns.flatMap((turn) => (turn.kind === 'answered' ? [turn] : []))
  const unanswered = turns.filter(({ kind }) => kind === 'unanswered')
  for (const { callSid, atUs } of unanswered.slice(0, 10)) run.note(`unanswered: ${callSid} at ${atUs}`)
  const deadAir = summarise(answered.map(({ deadAirMs }) => deadAirMs))
  const maxMs = Math.max(0, ...answered.map(({ deadAirMs }) => deadAirMs))
  for (const { callSid, atUs, deadAirMs } of answered)
    if (deadAirMs > DEAD_AIR_MAX_MS) run.note(`${Math.round(deadAirMs)} ms of dead air: ${callSid} at ${atUs}`)
  const byKind = (kind: TurnStory['kind']): number => turns.filter((turn) => turn.kind === kind).length
  return {
    samples: {
      calls: history.calls.size,
      turns: turns.length,
      leftOut: byKind('left-out'),
      answeredByCarrier: answered.filter(({ by }) => by === 'carrier').length,
      badAnswers: kinds,
    },
    figures: {
      deadAirMs: { ...deadAir, max: maxMs },
      sessions: history.model.sessions.size,
      ...commonFigures(ending, findings),
    },
    checks: [
      atLeast('turns', turns.length, wanted),
      atLeast('kinds of bad answers given', Object.keys(kinds).length, wanted >= ROUNDS * TURNS_PER_ROUND ? KINDS : 1),
      exactly('turns without sound or named outcome', unanswered.length, 0),
      atMost('dead air p95', deadAir.p95, DEAD_AIR_P95_MS, ' ms'),
      atMost('dead air at most', maxMs, DEAD_AIR_MAX_MS, ' ms'),
      atMost('dials of a call within a minute', dialsMax(history.model.sessions.values()), DIALS_MAX),
      exactly('slots leaked after the last call', leaked, 0),
      exactly('breaches of the history', findings.breaches.length, 0),
    ],
    generator,
  }
}

/** [CT3] A session that heard no caller is of no known call and left out: it served nobody. */
function dialsMax(sessions: Iterable<SessionStory>): number {
  const byCall = new Map<number, SessionStory[]>()
  for (const session of sessions) {
    if (session.call !== undefined) byCall.set(session.call, [...(byCall.get(session.call) ?? []), session])
  }
  return Math.max(0, ...[...byCall.values()].map((of) => opensMaxWithin(of, MINUTE_MS)))
}

export const turns: ChaosCase = {
  faults: 'P2-P9 P22',
  text: 'a third of all responses are bad, of every kind: each turn of a caller ends in sound or in a named outcome',
  run: runTurns,
}
