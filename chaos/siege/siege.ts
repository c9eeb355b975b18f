// siege (S2 S3 S4 S5 S6 S10): strangers without a secret, while callers talk. Rules:
// SI1: on one pod by itself, on one pod behind a plain reverse proxy, and on a fleet: `calls` callers talk, and each attack goes on for
//      `seconds`, one after the other. Visitors come and go beside them.
// SI2: no call is hurt: none is dropped, no stream is ended by the plane, every set-up succeeds, nobody is left without the agent.
// SI3: signed webhooks are all answered with 200, 99 in a hundred of them within SIGNED_P99_MS_MAX.
// SI4: the pods' event loops are late by LAG_P99_MS_MAX at most, but for the time that the machine gave them no core.
// SI5: BACK_MS after the last attack the pods hold no more descriptors and memory than before, but for what is said here.
// SI6: no stranger is answered with 2xx or 101, and none lives longer than its bound.
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { startCallers } from '../callers.ts'
import { atLeast, atMost, type ChaosCase, type ChaosRun, type Check, exactly, type Outcome } from '../run.ts'
import { latenessOf, TALK_MS } from '../scene.ts'
import { ATTACKS, type Attack, type Seen, type Target } from './attacks.ts'
import { type Ground, OPERATOR, PLACES, type Place, startGround } from './grounds.ts'
import { type Holding, holdingOf, type Lateness, noLateness, p99, watchLateness } from './pod-watch.ts'
import { type Signed, sendSigned } from './signed.ts'

const CALLS = 100
const SECONDS = 60
const SIGNED_P99_MS_MAX = 1_000
const LAG_P99_MS_MAX = 50
const BACK_MS = 30_000
const BACK_POLL_MS = 500
/** Keep-alive connections of the probes and of the proxy. */
const DESCRIPTORS_MORE_MAX = 20
/** What the collector has not given back yet. */
const RSS_MORE_MB_MAX = 40
/** 5 s and half a second of the pod, as much of a proxy before it, and what a busy machine adds. */
const LIVED_MS_MAX = 20_000
const STRANGER_MS_MAX = 60_000
const CALLS_PER_SECOND = 10
const VISITORS_PER_SECOND = 1
const TALKING_MS_MAX = 90_000
const HOLD_S = 3_600
const STRANGERS = '127.0.0.66'
const STRANGER = new URL('./stranger.ts', import.meta.url)

type Besieged = {
  place: Place
  attacks: Partial<Record<Attack, Seen>>
  signed: Signed
  lateness: Partial<Record<Attack, Lateness>>
  before: readonly Holding[]
  after: readonly Holding[]
  backMs: number | undefined
  calls: { talked: number; dropped: number; failed: number; timeouts: number; errors: number; endedByPlane: number }
  generator: Outcome['generator']
}

async function runSiege(run: ChaosRun): Promise<Outcome> {
  const besieged: Besieged[] = []
  for (const place of PLACES) besieged.push(await besiege(run, place))
  return judge(run, besieged)
}

/** [SI1] */
async function besiege(run: ChaosRun, place: Place): Promise<Besieged> {
  const calls = run.asked.calls ?? CALLS
  const seconds = run.asked.seconds ?? SECONDS
  const ground = await startGround(run, place, calls * 2)
  const { url } = ground
  const plan = { url, holdS: HOLD_S, seed: run.asked.seed }
  const callers = startCallers(run, { ...plan, calls, ratePerSecond: CALLS_PER_SECOND, scenario: 'talk' })
  await callers.talking(calls, TALKING_MS_MAX)
  await sleep(TALK_MS)
  const before = ground.pods.map(holdingOf)
  let isOver = false
  const visitors = startCallers(run, {
    ...{ ...plan, seed: run.asked.seed + 1, holdS: seconds },
    ...{
      calls: Math.ceil(seconds * ATTACKS.length * VISITORS_PER_SECOND * 0.8),
      ratePerSecond: VISITORS_PER_SECOND,
      scenario: 'visit',
    },
  })
  const signing = sendSigned(url, run.authToken, () => isOver)
  const lateness: Besieged['lateness'] = {}
  let now = noLateness()
  const watching = watchLateness(
    ground.pods,
    OPERATOR,
    () => now,
    () => isOver,
  )
  const attacks: Besieged['attacks'] = {}
  for (const kind of ATTACKS) {
    now = lateness[kind] = noLateness()
    attacks[kind] = await oneAttack(run, ground, kind, seconds)
  }
  isOver = true
  const [signed] = await Promise.all([signing, watching])
  const visited = await visitors.report()
  const { backMs, after } = await waitBack(ground, before)
  await sleep(TALK_MS)
  const talked = await callers.hangUp()
  const both = [talked, visited]
  const sum = (of: (one: (typeof both)[number]['figures']) => number) =>
    both.reduce((all, one) => all + of(one.figures), 0)
  const generators = both.map(latenessOf)
  await ground.stop()
  return {
    ...{ place, attacks, signed, lateness, before, after, backMs },
    calls: {
      talked: talked.figures.calls.finished,
      dropped: sum(({ calls: { dropped } }) => dropped),
      failed: sum(({ setUp }) => setUp.failed),
      timeouts: sum(({ scriptTimeouts }) => Object.values(scriptTimeouts).reduce((all, one) => all + one, 0)),
      errors: sum((one) => one.calls.errors),
      endedByPlane: talked.figures.calls.finished - (talked.figures.calls.ends['caller-hung-up'] ?? 0),
    },
    generator: {
      p99Ms: Math.max(...generators.map(({ p99Ms }) => p99Ms ?? 0)),
      maxMs: Math.max(...generators.map(({ maxMs }) => maxMs ?? 0)),
      isLate: generators.some(({ isLate }) => isLate),
    },
  }
}

async function oneAttack(run: ChaosRun, ground: Ground, kind: Attack, seconds: number): Promise<Seen> {
  if (kind === 'S6') ground.stopReadingLog?.()
  const target: Target = { url: ground.url, podUrl: ground.pods[0]!.url, from: STRANGERS, seconds }
  run.faults.note('attack', ground.place, kind)
  const child = fork(STRANGER, [kind, JSON.stringify(target)], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
  run.atEnd(async () => void child.kill('SIGKILL'))
  const late = AbortSignal.timeout(seconds * 1_000 + STRANGER_MS_MAX)
  const [seen] = (await once(child, 'message', { signal: late })) as [Seen]
  run.note(
    `${ground.place}: ${kind}: ${seen.begun} requests: ${JSON.stringify(seen.statuses)}, at most ${seen.livedMsMax} ms`,
  )
  return seen
}

/** [SI5] */
async function waitBack(
  ground: Ground,
  before: readonly Holding[],
): Promise<{ backMs: number | undefined; after: Holding[] }> {
  const beganMs = performance.now()
  const isBack = (after: readonly Holding[]): boolean =>
    after.every(
      ({ descriptors, rssMb }, i) =>
        descriptors <= before[i]!.descriptors + DESCRIPTORS_MORE_MAX && rssMb <= before[i]!.rssMb + RSS_MORE_MB_MAX,
    )
  for (;;) {
    const after = ground.pods.map(holdingOf)
    const tookMs = Math.round(performance.now() - beganMs)
    if (isBack(after)) return { backMs: tookMs, after }
    if (tookMs > BACK_MS) return { backMs: undefined, after }
    await sleep(BACK_POLL_MS)
  }
}

function judge(run: ChaosRun, besieged: readonly Besieged[]): Outcome {
  const calls = run.asked.calls ?? CALLS
  const figures = Object.fromEntries(
    besieged.map(({ place, signed: { tookMs, ...signed }, lateness, ...rest }) => [
      place,
      {
        ...rest,
        signed: { ...signed, p99Ms: rounded(p99(tookMs)) },
        lagMs: lagFigures(lateness),
      },
    ]),
  )
  return {
    samples: {
      calls: besieged.map((one) => one.calls.talked),
      strangers: besieged.map(({ attacks }) => Object.values(attacks).reduce((all, { begun }) => all + begun, 0)),
      signed: besieged.map(({ signed }) => signed.sent),
    },
    figures,
    checks: besieged.flatMap((one) => checksOf(one, calls)),
    generator: {
      p99Ms: Math.max(...besieged.map(({ generator }) => generator.p99Ms ?? 0)),
      maxMs: Math.max(...besieged.map(({ generator }) => generator.maxMs ?? 0)),
      isLate: besieged.some(({ generator }) => generator.isLate),
    },
  }
}

function checksOf({ place, attacks, signed, lateness, backMs, calls: seen }: Besieged, calls: number): Check[] {
  const strangers = Object.values(attacks)
  const letIn = strangers.reduce((all, { statuses }) => all + countOf(statuses, /^(2|101)/), 0)
  return [
    atLeast(`${place}: calls that talked`, seen.talked, calls),
    exactly(`${place}: calls hurt`, seen.dropped + seen.failed + seen.timeouts + seen.endedByPlane + seen.errors, 0),
    atLeast(`${place}: signed webhooks`, signed.sent, 1),
    exactly(`${place}: signed webhooks not answered 200`, signed.sent - signed.answered, 0),
    atMost(`${place}: signed webhooks, p99`, rounded(p99(signed.tookMs)), SIGNED_P99_MS_MAX, ' ms'),
    atMost(
      `${place}: lateness of the event loops by themselves, p99`,
      rounded(p99(allOf(lateness, 'own'))),
      LAG_P99_MS_MAX,
      ' ms',
    ),
    atMost(`${place}: descriptors and memory back after`, backMs, BACK_MS, ' ms'),
    ...strangers.map(({ begun }, i) => atLeast(`${place}: requests of ${Object.keys(attacks)[i]}`, begun, 1)),
    exactly(`${place}: strangers let in`, letIn, 0),
    atMost(
      `${place}: the longest that a stranger was borne`,
      Math.max(...strangers.map(({ livedMsMax }) => livedMsMax)),
      LIVED_MS_MAX,
      ' ms',
    ),
  ]
}

function allOf(lateness: Besieged['lateness'], what: 'seen' | 'own' | 'machine'): number[] {
  return Object.values(lateness).flatMap((one) => one[what])
}

/** p99 of all, and of each attack; `machine`: for how long of a second the main thread was given no core. */
function lagFigures(lateness: Besieged['lateness']): Record<string, unknown> {
  const figuresOf = (seen: number[], own: number[], machine: number[]) => ({
    ...{ samples: seen.length, p99: rounded(p99(seen)), own: rounded(p99(own)), machine: rounded(p99(machine)) },
  })
  const each = Object.entries(lateness).map(([kind, { seen, own, machine }]) => [kind, figuresOf(seen, own, machine)])
  const all = figuresOf(allOf(lateness, 'seen'), allOf(lateness, 'own'), allOf(lateness, 'machine'))
  return { ...all, attacks: Object.fromEntries(each) }
}

function countOf(statuses: Record<string, number>, which: RegExp): number {
  return Object.entries(statuses).reduce((all, [status, count]) => all + (which.test(status) ? count : 0), 0)
}

const rounded = (ms: number | undefined): number | undefined =>
  ms === undefined ? undefined : Math.round(ms * 10) / 10

export const siege: ChaosCase = {
  faults: 'S2 S3 S4 S5 S6 S10',
  text: 'strangers with slow, long, many-fielded, refused and unread requests while a hundred callers talk',
  run: runSiege,
}
