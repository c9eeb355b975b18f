// after-call (F40, F41, F42, F21): calls end while workers, pods and PostgreSQL die; what follows each call happens once. Rules:
// AL1: callers come at RATE calls a second until all were offered: three of four talk a turn or two, the others hang up within 3 s.
// AL2: the blows are those of blows.ts over the whole run. A worker and a pod die by SIGKILL, PostgreSQL by an immediate shutdown; each is started
//      again after a moment. A blow counts when the process has gone by it. A worker dies when it holds an item, which is waited for,
//      HELD_WAIT_MS at most: a blow at an idle one would show little. Where the chosen one holds none, one that does takes its place.
// AL3: before each blow at a pod GROUP callers more begin to talk, who hang up the moment the pod has died: those who were on it hang up while
//      nobody holds their call. The blow waits for them, GROUP_WAIT_MS at most; without all of them the run breaks.
// AL4: after the last call the run waits DRAIN_MS_MAX at most until nothing is left to do; then the dead letters are run again over the admin
//      API, and waited for. What is there then is judged, drained or not.
// AL5: the receiver takes up to RECEIVER_MS to answer, so that workers die while they deliver. It refuses the delivery of some calls for good
//      (poison, F41) until the dead letters are to be run again.
// AL6: of every second group the carrier says nothing: no status callback comes (F42). Who of it hung up with its dead pod is found by a
//      sweep alone: of the other pods when the lease is gone, or of the workers.
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { startChild } from '../../bench/runner/child.ts'
import type { Member } from '../../tools/fleet/member.ts'
import { type Callers, startCallers } from '../callers.ts'
import { type Ground, layGround } from '../ground.ts'
import type { ChaosCase, ChaosRun, Outcome } from '../run.ts'
import { latenessOf, readEnding } from '../scene.ts'
import { type Blow, planBlows, sharesOf } from './blows.ts'
import { rerunDead } from './dead-letters.ts'
import { judge, type Struck } from './verdict.ts'
import { dumpWork, heldItems, readLeft } from './work-dump.ts'

const CALLS = 3_000
const BLOWS = 30
const RATE = 5
const WORKERS = 3
const CEILING = 240
const HOLD_S = 60
const SCENARIO = 'visit=3,early-hangup=1'
const GROUP = 24
const GROUP_LEAD_MS = 12_000
const GROUP_WAIT_MS = 20_000
const RECEIVER_MS = 3_000
const DROP_PERCENT = 5
const BUSY_PERCENT = 2
const POISON_EVERY_MIN = 5
const POISON_EVERY_MAX = 100
const SECRET = 'chaos-webhook-secret-0123456789'
const HELD_WAIT_MS = 8_000
const HELD_LOOK_MS = 50
const DOWN_MS_MAX = 2_000
/** The sweep finds a call that nobody tells of within five minutes. */
const DRAIN_MS_MAX = 330_000
const DRAIN_LOOK_MS = 1_000
const NOTE_EVERY_MS = 15_000
const ADMIN_TOKEN = 'chaos-admin-token-0123456789'
/** Numbers and transcripts are sealed, as in production. */
const DATA_KEYS = `chaos:${Buffer.alloc(32, 7).toString('base64')}`

/** When the blows begin, how many hang up with a pod, and what the dead held (`id:attempt`). */
/** `struck`: workers that a blow has chosen, until they are back: no other blow takes them. */
type StrikeScene = { startedMs: number; group: number; orphans: Set<string>; struck: Set<Member> }

async function runAfterCall(run: ChaosRun): Promise<Outcome> {
  const plan = planRun(run)
  const receiver = await startReceiver(run, plan.poisonEvery)
  const ground = await layGround(run, {
    pods: run.asked.pods ?? 4,
    workers: WORKERS,
    ceiling: CEILING,
    slack: CEILING,
    env: {
      CRM_WEBHOOK_URL: `${receiver}/calls`,
      CRM_WEBHOOK_SECRET: SECRET,
      CRM_ALLOW_PRIVATE: 'on',
      ANALYSIS_URL: `${receiver}/v1`,
      ADMIN_TOKEN,
      DATA_KEYS,
    },
  })
  const steady = startCallers(run, {
    url: ground.fleet.baseUrl,
    calls: plan.steady,
    ratePerSecond: (plan.steady / plan.lengthMs) * 1_000,
    holdS: HOLD_S,
    scenario: SCENARIO,
    seed: run.asked.seed,
  })
  const report = steady.report()
  await steady.talking(1, HOLD_S * 1_000)
  const scene = {
    startedMs: performance.now() + plan.firstMs,
    group: plan.group,
    orphans: new Set<string>(),
    struck: new Set<Member>(),
  }
  const silent = everySecond(plan.blows.filter(({ victim }) => victim === 'pod'))
  const struck = await Promise.all(
    plan.blows.map((blow) => strike(run, ground, { ...blow, isSilent: silent.has(blow) }, scene)),
  )
  const reports = [await report, ...(await Promise.all(struck.flatMap((one) => one.group?.hangUp() ?? [])))]
  run.note('the last call is over')
  const drainedMs = await drained(run, ground, plan.calls)
  await fetch(`${receiver}/heal`, { method: 'POST' })
  const rerun = await rerunDead(ground.fleet.workers[0]!.url, ADMIN_TOKEN)
  run.note(`${rerun} dead letters were run again`)
  await drained(run, ground, plan.calls)
  const settled = drainedMs === undefined ? {} : { settleMs: 0 }
  const ending = await readEnding(run, ground, reports.map(latenessOf), settled)
  await dumpWork(ground.fleet.postgres.url, join(run.folder, 'work.jsonl'))
  return judge(run, { calls: plan.calls, ceiling: CEILING, blows: plan.blows.length, struck, drainedMs, rerun }, ending)
}

/** [AL1][AL3] How many calls come by themselves and how many with the pods' deaths, and when what dies. */
function planRun(run: ChaosRun) {
  const calls = run.asked.calls ?? CALLS
  const count = run.asked.rounds ?? BLOWS
  const pods = sharesOf(count).pod
  const lengthMs = (calls / RATE) * 1_000
  // The first group needs its time before the first blow.
  const firstMs = pods > 0 ? GROUP_LEAD_MS : 0
  const blows = planBlows(count, Math.max(lengthMs, firstMs * 2) - firstMs, run.random)
  // Two of three calls at least come by themselves.
  const group = pods === 0 ? 0 : Math.min(GROUP, Math.floor(calls / (3 * pods)))
  const poisonEvery = Math.max(POISON_EVERY_MIN, Math.min(POISON_EVERY_MAX, Math.floor(calls / 20)))
  return { calls, blows, group, steady: calls - group * pods, lengthMs, firstMs, poisonEvery }
}

/** The base URL of the receiver. */
async function startReceiver(run: ChaosRun, poisonEvery: number): Promise<string> {
  const child = await startChild(
    {
      name: 'receiver',
      file: process.execPath,
      args: [
        fileURLToPath(new URL('./receiver.ts', import.meta.url)),
        ...['--log', join(run.folder, 'receiver.jsonl'), '--secret', SECRET, '--seed', String(run.asked.seed)],
        ...['--delay-ms', String(RECEIVER_MS), '--drop-percent', String(DROP_PERCENT)],
        ...['--busy-percent', String(BUSY_PERCENT), '--poison-every', String(poisonEvery)],
      ],
    },
    run,
  )
  return `http://127.0.0.1:${child.port}`
}

/** [AL2] Waits for the time of a blow and does it. */
async function strike(
  run: ChaosRun,
  ground: Ground,
  blow: Blow & { isSilent: boolean },
  scene: StrikeScene,
): Promise<Struck> {
  const { startedMs, group } = scene
  const until = (atMs: number): Promise<void> => sleep(Math.max(0, startedMs + atMs - performance.now()))
  const { fleet } = ground
  const downMs = blow.random * DOWN_MS_MAX
  if (blow.victim === 'postgres') {
    await until(blow.atMs)
    const { pid } = fleet.postgres
    const fault = run.faults.note('store', '', 'postgres crashes')
    await fleet.postgres.crash()
    await sleep(downMs)
    await fleet.postgres.start()
    run.note('PostgreSQL was killed and is back')
    return { fault, blow, hasDied: fleet.postgres.pid !== pid, inFlight: undefined, group: undefined }
  }
  const isPod = blow.victim === 'pod'
  await until(isPod ? blow.atMs - GROUP_LEAD_MS : blow.atMs)
  const callers = isPod && group > 0 ? startGroup(run, ground, group, blow) : undefined
  await until(blow.atMs)
  if (callers !== undefined && !(await callers.talking(group, GROUP_WAIT_MS))) {
    throw new Error('not all callers of a group talk before the blow at their pod')
  }
  const first = chosen(isPod ? fleet.pods : fleet.workers, blow.random)
  const holding = isPod ? undefined : await untilOneHolds(fleet.postgres.url, first, fleet.workers, scene)
  const member = holding?.worker ?? first
  const inFlight = holding?.items
  const wasUp = member.exit === undefined
  const fault = run.faults.note('kill', member.name, isPod ? 'with hang-up' : '')
  member.kill('SIGKILL')
  callers?.askHangUp()
  const hasDied = wasUp && (await member.exited).signal === 'SIGKILL'
  await sleep(downMs)
  run.faults.note('restart', member.name)
  await member.restart()
  scene.struck.delete(member)
  run.note(`${member.name} was killed and is back`)
  return { fault, blow, hasDied, inFlight, group: callers }
}

/**
 * The worker that holds items, `first` before the others, as soon as one does that no other blow has chosen; at the bound one that runs,
 * with none. With few calls most moments find nothing in hand. Its items are among the orphans then, those whose holder dies.
 */
async function untilOneHolds(
  url: string,
  first: Member,
  workers: readonly Member[],
  { orphans, struck }: StrikeScene,
): Promise<{ worker: Member; items: number }> {
  const untilMs = performance.now() + HELD_WAIT_MS
  const isFree = (worker: Member): boolean => worker.exit === undefined && !struck.has(worker)
  const inTurn = [first, ...workers.filter((other) => other !== first)]
  for (;;) {
    const items = await heldItems(url)
    for (const worker of inTurn.filter(isFree)) {
      const held = (items.get(worker.name) ?? []).filter((one) => !orphans.has(one))
      if (held.length === 0) continue
      for (const one of held) orphans.add(one)
      struck.add(worker)
      return { worker, items: held.length }
    }
    if (performance.now() > untilMs) {
      const worker = inTurn.find(isFree) ?? first
      struck.add(worker)
      return { worker, items: 0 }
    }
    await sleep(HELD_LOOK_MS)
  }
}

/** [AL6] */
function everySecond<T>(values: readonly T[]): ReadonlySet<T> {
  return new Set(values.filter((_, i) => i % 2 === 1))
}

/** [AL3][AL6] */
function startGroup(run: ChaosRun, ground: Ground, calls: number, blow: Blow & { isSilent: boolean }): Callers {
  return startCallers(run, {
    url: ground.fleet.baseUrl,
    calls,
    ratePerSecond: RATE,
    holdS: HOLD_S,
    scenario: 'talk',
    isTelling: !blow.isSilent,
    seed: Math.floor(blow.random * 4_294_967_295),
  })
}

/** One that runs, as long as any does. */
function chosen(members: readonly Member[], random: number): Member {
  const up = members.filter(({ exit }) => exit === undefined)
  const from = up.length === 0 ? members : up
  return from[Math.floor(random * from.length)]!
}

/** [AL4] How long it took until nothing was left to do; undefined at the bound. */
async function drained(run: ChaosRun, ground: Ground, calls: number): Promise<number | undefined> {
  const startedMs = performance.now()
  let notedMs = Number.NEGATIVE_INFINITY
  while (performance.now() - startedMs < DRAIN_MS_MAX) {
    const left = await readLeft(ground.fleet.postgres.url)
    const tookMs = performance.now() - startedMs
    const isDone = left !== undefined && left.calls >= calls && left.live + left.unmade + left.items === 0
    if (isDone || tookMs - notedMs > NOTE_EVERY_MS) {
      notedMs = tookMs
      run.note(left === undefined ? 'the database does not answer' : `left to do: ${JSON.stringify(left)}`)
    }
    if (isDone) return Math.round(tookMs)
    await sleep(DRAIN_LOOK_MS)
  }
  return undefined
}

export const afterCall: ChaosCase = {
  faults: 'F40 F41 F42 F21',
  text: '3 000 calls end while workers, pods and PostgreSQL are killed 30 times: every job done, every effect once, one record each',
  run: runAfterCall,
}
