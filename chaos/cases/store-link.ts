// store-link (F10, F15, F16): the way to Redis is lost, to one pod and then to all, while the pods' wall clocks disagree. Rules:
// SK1: each pod reaches Redis through a relay of its own (tools/servers/relay.ts); nothing else of it is touched.
// SK2: F16: one pod is cut from Redis for CUT_MS. It keeps its calls until it fences itself, not before KEPT_MS_MIN after the cut; all
//      its calls have left it before its slots are granted again (LEASE_TIMES.hardMs), and no call of another pod moves.
// SK3: F10: Redis dies and its replica is promoted DETECT_MS later, where all relays then lead: no call moves, visitors are served again
//      within ADMIT_MS_MAX of the death, and SETTLED_MS after it the slots are those of the live sessions.
// SK4: F15: the wall clocks of two pods are SKEW_MS ahead and behind, which is within what peers bear (SKEW_MAX_MS). That the store's own
//      clock jumps is tested in virtual time (LC1): a run has no hand on the clock of Redis.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { LEASE_TIMES } from '../../src/control/ports.ts'
import { FENCE_AFTER_MS } from '../../src/control/self-fence.ts'
import { type RedisServer, startRedis } from '../../tools/servers/redis.ts'
import { type Relay, startRelay } from '../../tools/servers/relay.ts'
import { startCallers } from '../callers.ts'
import { type Ground, layGround } from '../ground.ts'
import { droppedCalls, type History } from '../history.ts'
import { atLeast, atMost, type ChaosCase, type ChaosRun, exactly, type Outcome } from '../run.ts'
import {
  commonFigures,
  type Ending,
  examine,
  latenessOf,
  percent,
  readEnding,
  startTalking,
  TALK_MS,
} from '../scene.ts'
import { slotsInUse } from '../slots.ts'
import type { CallStory, StreamStory } from '../witness/call-story.ts'
import type { Fault } from '../witness/fault-log.ts'
import { streamAt } from '../witness/gap.ts'

const CUT_MS = 90_000
/** The age counts from the last success, which is a renewal before the cut. */
const KEPT_MS_MIN = FENCE_AFTER_MS - 6_000
const DETECT_MS = 2_000
const ADMIT_MS_MAX = 5_000
const SETTLED_MS = 15_000
const REPLICA_MS_MAX = 10_000
const SKEW_MS = 10_000
const SKEW_SLOP_MS = 100
const VISITS_PER_SECOND = 1
const VISIT_S = 40
const VISIT_ROOM = 40
const SERVED_WITHIN_US = 8_000_000
const VISITOR = '+15550100009'

type Times = {
  cut: Fault
  healed: Fault
  died: Fault
  over: Fault
  slots: number
  sessions: number
  skewSeenMs: number
}

async function runStoreLink(run: ChaosRun): Promise<Outcome> {
  const calls = run.asked.calls ?? 40
  const ceiling = calls + VISIT_ROOM
  const relays = new Map<string, Relay>()
  run.atEnd(async () => void (await Promise.all([...relays.values()].map((relay) => relay.close()))))
  const envOf = async (pod: string, env: Readonly<Record<string, string>>) => {
    const relay = await startRelay(Number(new URL(env.REDIS_URL!).port))
    relays.set(pod, relay)
    return { REDIS_URL: `redis://127.0.0.1:${relay.port}`, ...skewOf(pod) }
  }
  const ground = await layGround(run, { pods: run.asked.pods ?? 3, ceiling, slack: ceiling, envOf })
  const talkers = await startTalking(run, ground, calls)
  const { cut, healed } = await cutOne(run, ground, relays)
  const replica = await startReplica(run, ground)
  const visitors = startCallers(run, {
    url: ground.fleet.baseUrl,
    calls: VISIT_S * VISITS_PER_SECOND,
    ratePerSecond: VISITS_PER_SECOND,
    holdS: VISIT_S,
    scenario: 'visit',
    seed: run.asked.seed + 1,
    number: VISITOR,
  })
  await sleep(TALK_MS)
  const died = await promote(run, ground, relays, replica)
  await sleep(SETTLED_MS - DETECT_MS)
  const [slots, sessions] = await Promise.all([slotsInUse(replica.url), ground.liveSessions()])
  await sleep(TALK_MS)
  const over = run.faults.note('load', '', 'over')
  const reports = [await visitors.hangUp(), await talkers.hangUp()]
  const ending = await readEnding(run, ground, reports.map(latenessOf), { redisUrl: replica.url })
  const skewSeenMs = await readSkew(join(run.folder, 'pod-history.jsonl'))
  return judge(run, ceiling, { cut, healed, died, over, slots, sessions, skewSeenMs }, ending)
}

/** [SK4] */
function skewOf(pod: string): Record<string, string> {
  const skewMs = { 'pod-1': SKEW_MS, 'pod-2': -SKEW_MS }[pod] ?? 0
  const module = new URL('../agents/clock-skew.ts', import.meta.url).href
  return { NODE_OPTIONS: `--import=${module}`, CLOCK_SKEW_MS: String(skewMs) }
}

/** [SK4] How far the pods' wall clocks were apart, by what they wrote beside the machine's monotonic clock, ms. */
async function readSkew(historyFile: string): Promise<number> {
  const lines = (await readFile(historyFile, 'utf8')).split('\n').filter((line) => line !== '')
  const aheadMs = lines.map((line) => {
    const { wall, t } = JSON.parse(line) as { wall: number; t: number }
    return wall - t / 1_000
  })
  // Not by spread: a long run has more lines than a call may have arguments.
  const min = aheadMs.reduce((least, one) => Math.min(least, one), Number.POSITIVE_INFINITY)
  const max = aheadMs.reduce((most, one) => Math.max(most, one), Number.NEGATIVE_INFINITY)
  return Math.round(max - min)
}

/** [SK2] */
async function cutOne(run: ChaosRun, ground: Ground, relays: Map<string, Relay>) {
  const pod = run.pick(ground.fleet.pods)
  const cut = run.faults.note('store', pod.name, 'cut')
  relays.get(pod.name)!.set('cut')
  run.note(`${pod.name} is cut from Redis for ${CUT_MS} ms`)
  await sleep(CUT_MS)
  const healed = run.faults.note('store', pod.name, 'healed')
  relays.get(pod.name)!.set('open')
  run.note(pod.exit === undefined ? `${pod.name} still runs; it is started again` : `${pod.name} has ended by itself`)
  await pod.restart()
  return { cut, healed }
}

/** Starts a replica of the fleet's Redis and waits until it has all. Throws when it does not within REPLICA_MS_MAX. */
async function startReplica(run: ChaosRun, ground: Ground): Promise<RedisServer> {
  const replica = await startRedis({ args: ['--replicaof', '127.0.0.1', String(ground.fleet.redis.port)] })
  run.atEnd(() => replica.stop())
  const redis = new Redis(replica.url)
  try {
    for (const endMs = performance.now() + REPLICA_MS_MAX; ; await sleep(50)) {
      if ((await redis.info('replication')).includes('master_link_status:up')) return replica
      if (performance.now() > endMs) throw new Error('the replica did not come to its primary')
    }
  } finally {
    redis.disconnect()
  }
}

/** [SK3] */
async function promote(run: ChaosRun, ground: Ground, relays: Map<string, Relay>, replica: RedisServer) {
  const died = run.faults.note('store', '', 'killed')
  await ground.fleet.redis.crash()
  await sleep(DETECT_MS)
  const redis = new Redis(replica.url)
  await redis.replicaof('NO', 'ONE')
  redis.disconnect()
  run.faults.note('store', '', 'promoted')
  for (const relay of relays.values()) relay.retarget(replica.port)
  run.note('Redis is dead, its replica promoted')
  return died
}

function judge(run: ChaosRun, ceiling: number, times: Times, ending: Ending): Outcome {
  const { history, leaked, generator } = ending
  const { cut, healed, died, over } = times
  const findings = examine(run, history, { ceiling, overBound: 0 })
  const onCut = openAt(history, cut).filter(({ stream }) => stream.pod === cut.pod)
  const others = openAt(history, cut).filter(({ stream }) => stream.pod !== cut.pod)
  const leftMs = onCut.map(({ stream }) => ((stream.closedUs ?? over.atUs) - cut.atUs) / 1_000)
  const again = onCut.filter(({ call }) => call.streams.some((s) => s.openedUs > cut.atUs && s.heardUs !== undefined))
  const atDeath = openAt(history, died).filter(({ call }) => call.to !== VISITOR)
  const visitors = [...history.calls.values()].filter(
    ({ to, placedUs }) => to === VISITOR && placedUs >= died.atUs && placedUs < over.atUs - SERVED_WITHIN_US,
  )
  const late = visitors.filter(({ placedUs }) => placedUs >= died.atUs + ADMIT_MS_MAX * 1_000)
  const served = late.filter(
    ({ streams, placedUs }) => (streams[0]?.openedUs ?? Infinity) - placedUs < SERVED_WITHIN_US,
  )
  const admittedUs = visitors.flatMap(({ streams }) => streams[0]?.openedUs ?? [])
  const admittedMs = admittedUs.length === 0 ? undefined : (Math.min(...admittedUs) - died.atUs) / 1_000
  return {
    samples: { calls: history.calls.size, callsOnCutPod: onCut.length, visitorsAfterDeath: visitors.length },
    figures: {
      leftCutPodMs: leftMs.length === 0 ? undefined : { min: Math.min(...leftMs), max: Math.max(...leftMs) },
      firstAdmittedMs: admittedMs,
      slots: times.slots,
      sessions: times.sessions,
      ...commonFigures(ending, findings),
    },
    checks: [
      atLeast('wall clocks of pods were apart', times.skewSeenMs, SKEW_MS * 2 - SKEW_SLOP_MS, ' ms'),
      atLeast('calls on the pod that was cut', onCut.length, 1),
      atLeast('they stay until it fences itself', Math.min(...leftMs), KEPT_MS_MIN, ' ms'),
      atMost('they have left before their slots are granted again', Math.max(...leftMs), LEASE_TIMES.hardMs, ' ms'),
      atLeast('of them heard again', percent(again.length, onCut.length), 99, ' %'),
      exactly('calls of other pods that moved', others.filter((one) => movedBy(one.stream, healed.atUs)).length, 0),
      exactly('calls moved by the promotion', atDeath.filter((one) => movedBy(one.stream, over.atUs)).length, 0),
      atMost('the first visitor is served after the death', admittedMs, ADMIT_MS_MAX, ' ms'),
      atLeast('visitors placed later who are served', percent(served.length, late.length), 99, ' %'),
      atLeast('slots known to the promoted, of the live sessions', percent(times.slots, times.sessions), 90, ' %'),
      exactly('calls dropped', droppedCalls(history.calls).length, 0),
      atMost('sessions at once, seen by the model', findings.sessionsMax, ceiling),
      exactly('slots leaked after the last call', leaked, 0),
      exactly('breaches of the history', findings.breaches.length, 0),
    ],
    generator,
  }
}

/** The calls whose stream was open at a fault. */
function openAt(history: History, { atUs }: Fault): { call: CallStory; stream: StreamStory }[] {
  return [...history.calls.values()].flatMap((call) => {
    const stream = streamAt(call, atUs)
    return stream === undefined ? [] : [{ call, stream }]
  })
}

/** Whether the plane ended a stream before `untilUs`. */
function movedBy({ by, closedUs }: StreamStory, untilUs: number): boolean {
  return by === 'plane' && closedUs !== undefined && closedUs < untilUs
}

export const storeLink: ChaosCase = {
  faults: 'F10 F15 F16',
  text: 'one pod cut from Redis for 90 s; then Redis dead and its replica promoted; pods whose wall clocks disagree',
  run: runStoreLink,
}
