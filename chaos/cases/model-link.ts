// model-link (F26, F28, F29): the model is lost, falls silent, or its sessions grow old; the call stays in its pod. Rules:
// ML1: F26: all sessions are cut at once. A call goes on when the model heard its caller again (a probe frame on a newer session).
// ML2: F28: every session falls silent for STALL_MS. Dead air runs from the end of a caller's turn, asked in the silence, to the next
//      words of the agent's side: a sound of WORDS_MS_MIN or more, so that the chime of a reconnection is none. A turn that no words
//      follow is counted too: there is to be none. The pods' watchdog is set to MODEL_STALL_MS for it.
// ML3: F29: sessions live CAP_MS at the provider and are renewed before; the hole runs from the old session's end to the first frame that
//      the newer one heard. It is none when the newer one was there first.
// ML4: no stream of a call ends but by its caller.
import { setTimeout as sleep } from 'node:timers/promises'
import { summarise } from '../../load/report/statistics.ts'
import { type Ground, layGround } from '../ground.ts'
import { droppedCalls, type History } from '../history.ts'
import { atLeast, atMost, type ChaosCase, type ChaosRun, exactly, type Outcome } from '../run.ts'
import { commonFigures, type Ending, examine, inWaves, percent, TALK_MS } from '../scene.ts'
import type { CallStory } from '../witness/call-story.ts'
import type { Fault } from '../witness/fault-log.ts'
import type { SessionStory } from '../witness/session-story.ts'

const CALLS_MIN = 300
const CAP_MS = 40_000
const RENEW_MS = 25_000
/** Nothing is done for so long, so that every session grows old. */
const QUIET_MS = 32_000
/** The pods' watchdog for an answer that is due: with its default of 5 s, the new link's first word may come later than the 6 s of F28. */
const MODEL_STALL_MS = 4_000
const STALL_MS = 10_000
const BACK_MS_MAX = 10_000
const LOSSES_PER_WAVE = 3
/** The chime takes 360 ms; the shortest answer of the script more than a second. */
const WORDS_MS_MIN = 600

async function runModelLink(run: ChaosRun): Promise<Outcome> {
  const calls = run.asked.calls ?? 60
  const ground = await layGround(run, {
    pods: run.asked.pods ?? 2,
    // A renewal has the old session and the new one for a moment.
    ceiling: calls * 2,
    env: { MODEL_SESSION_MAX_MS: String(RENEW_MS), MODEL_STALL_MS: String(MODEL_STALL_MS) },
    modelArguments: ['--session-cap-ms', String(CAP_MS)],
  })
  const losses: Fault[] = []
  const stalls: Fault[] = []
  const roundsMax = run.asked.rounds ?? Math.ceil(CALLS_MIN / calls)
  const ending = await inWaves(
    run,
    ground,
    calls,
    () => losses.length >= roundsMax,
    async (callers) => {
      for (let n = 0; n < LOSSES_PER_WAVE && losses.length < roundsMax; n++) {
        losses.push(await loseAll(run, ground, callers.tally().live))
        run.note(`loss ${losses.length} of ${roundsMax}`)
      }
      await sleep(QUIET_MS)
      stalls.push(await stallAll(run, ground))
    },
  )
  return judge(run, calls, losses, stalls, ending)
}

async function loseAll(run: ChaosRun, ground: Ground, live: number): Promise<Fault> {
  await sleep(run.between(0, 2_000))
  const fault = run.faults.note('model', '', 'lost')
  await ground.orderModel({ act: { kind: 'drop' } })
  await ground.sessionsReach(live, BACK_MS_MAX)
  await sleep(TALK_MS)
  return fault
}

async function stallAll(run: ChaosRun, ground: Ground): Promise<Fault> {
  const fault = run.faults.note('model', '', 'silent')
  await ground.orderModel({ act: { kind: 'stall', ms: STALL_MS } })
  await sleep(STALL_MS + TALK_MS)
  return fault
}

function judge(
  run: ChaosRun,
  calls: number,
  losses: readonly Fault[],
  stalls: readonly Fault[],
  ending: Ending,
): Outcome {
  const { history, leaked, generator } = ending
  const findings = examine(run, history, { ceiling: calls * 2, overBound: 0 })
  const comebacks = losses.flatMap((fault) => comebacksOf(history, fault))
  const within3s = comebacks.filter((ms) => ms !== undefined && ms <= 3_000).length
  const holes = renewalHoles(history, losses)
  const silences = stalls.flatMap((fault) => deadAirOf(history, fault))
  const deadAir = summarise(silences.flatMap((ms) => ms ?? []))
  const unanswered = silences.filter((ms) => ms === undefined).length
  const moved = [...history.calls.values()].filter(({ streams }) => streams.some(({ by }) => by === 'plane')).length
  return {
    samples: {
      calls: history.calls.size,
      losses: losses.length,
      sessionsLost: comebacks.length,
      renewals: holes.length,
      stalls: stalls.length,
      turnsInSilence: silences.length,
    },
    figures: {
      comebackMs: summarise(comebacks.flatMap((ms) => ms ?? [])),
      renewalHoleMs: summarise(holes),
      deadAirMs: deadAir,
      movedCalls: moved,
      ...commonFigures(ending, findings),
    },
    checks: [
      atLeast('sessions lost', comebacks.length, run.asked.rounds === undefined ? CALLS_MIN : 1),
      atLeast('calls that go on within 3 s', percent(within3s, comebacks.length), 99, ' %'),
      exactly('calls that left their pod', moved, 0),
      exactly('calls dropped', droppedCalls(history.calls).length, 0),
      atLeast('renewals', holes.length, 1),
      atMost('hole of a renewal', Math.max(0, ...holes), 1_500, ' ms'),
      atLeast('turns asked while the model was silent', silences.length, 1),
      exactly('such turns that no words followed', unanswered, 0),
      atMost('dead air p95 while the model is silent', deadAir.p95, 6_000, ' ms'),
      exactly('slots leaked after the last call', leaked, 0),
      exactly('breaches of the history', findings.breaches.length, 0),
    ],
    generator,
  }
}

function sessionsOf(history: History): Map<number, SessionStory[]> {
  const byCall = new Map<number, SessionStory[]>()
  for (const session of history.model.sessions.values()) {
    if (session.call === undefined) continue
    const known = byCall.get(session.call)
    if (known === undefined) byCall.set(session.call, [session])
    else known.push(session)
  }
  for (const sessions of byCall.values()) sessions.sort((a, b) => a.openedUs - b.openedUs)
  return byCall
}

const isLive = (story: CallStory | undefined, atUs: number): boolean =>
  story !== undefined && story.placedUs < atUs && (story.ends[0]?.atUs ?? Number.MAX_SAFE_INTEGER) > atUs

/** [ML1] From the loss until the call is heard on a newer session, ms; undefined: never. */
function comebacksOf(history: History, fault: Fault): (number | undefined)[] {
  const comebacks: (number | undefined)[] = []
  for (const [call, sessions] of sessionsOf(history)) {
    const wasLost = sessions.some(({ openedUs, closedUs }) => openedUs < fault.atUs && (closedUs ?? 0) >= fault.atUs)
    if (!wasLost || !isLive(history.calls.get(call), fault.atUs + TALK_MS * 1_000)) continue
    const newer = sessions.find(({ openedUs }) => openedUs > fault.atUs)
    comebacks.push(newer?.heardUs === undefined ? undefined : (newer.heardUs - fault.atUs) / 1_000)
  }
  return comebacks
}

/** [ML3] */
function renewalHoles(history: History, losses: readonly Fault[]): number[] {
  const holes: number[] = []
  for (const [call, sessions] of sessionsOf(history)) {
    for (const [i, session] of sessions.entries()) {
      const next = sessions[i + 1]
      const { closedUs } = session
      if (next?.heardUs === undefined || closedUs === undefined || !isLive(history.calls.get(call), closedUs)) continue
      const isLoss = losses.some(({ atUs }) => closedUs >= atUs && closedUs - atUs < 1_000_000)
      if (!isLoss) holes.push(Math.max(0, (next.heardUs - closedUs) / 1_000))
    }
  }
  return holes
}

/** [ML2] From the end of each turn until words are heard, ms; undefined: none were. */
function deadAirOf(history: History, fault: Fault): (number | undefined)[] {
  const untilUs = fault.atUs + STALL_MS * 1_000
  return [...history.calls.values()].flatMap(({ pausesUs, streams }) => {
    const words = streams
      .flatMap((stream) => stream.heard)
      .filter(({ fromUs, toUs }) => toUs - fromUs >= WORDS_MS_MIN * 1_000)
    return pausesUs
      .filter((atUs) => atUs > fault.atUs && atUs < untilUs)
      .map((atUs) => {
        const heard = words.find(({ fromUs }) => fromUs > atUs)
        return heard === undefined ? undefined : (heard.fromUs - atUs) / 1_000
      })
  })
}

export const modelLink: ChaosCase = {
  faults: 'F26 F28 F29',
  text: 'all model sessions cut, all silent for 10 s, and sessions that grow old: calls go on in their pod',
  run: runModelLink,
}
