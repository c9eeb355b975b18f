// What stands behind the pods: workers, Redis, PostgreSQL, network. Rules:
// PLS1: worker slots c = ceil(λ · S ÷ load), λ being the jobs a second: with less than that a backlog never ends.
// PLS2: Redis is asked by calls (acquire, activate, release) and by each pod's rounds (announce and renew each 5 s, reap
//       each second, list each 2 s).
// PLS3: PostgreSQL's server connections follow from transactions a second and their time; its client connections from the pools.
import type { PlanInput } from './flags.ts'
import { arrivalsPerSecond, regionPods } from './pods.ts'
import { counted, plain, type Row, roundUp, row, type Section } from './row.ts'
import { bitsPerSecond, directionsOf, FRAMES_PER_SECOND } from './wire.ts'

const LEASE_QUESTIONS = 3
const ROUND_S = 5
const ROUND_QUESTIONS = 2
const EACH_SECOND_QUESTIONS = 1.5
const OUTAGE_MINUTES = 30
const CHUNK = 1_000_000
const DAY_S = 86_400
/** Writes of a call besides checkpoints: its row, its end with the items of work. And of each job: claimed, done. */
const CALL_WRITES = 2
const JOB_WRITES = 2

/** [PLS1] */
export function workerSlots(jobsPerSecond: number, jobS: number, loadPercent: number): number {
  return roundUp((100 * jobsPerSecond * jobS) / loadPercent)
}

export function storeSections(input: PlanInput): Section[] {
  const pods = regionPods(input).all
  const slots = workerSlots(arrivalsPerSecond(input) * input.jobs, input['job-s'], input['worker-load'])
  const workers = Math.ceil(slots / input['worker-slots'])
  return [
    { title: 'Workers', rows: workerRows(input, slots, workers) },
    { title: 'Redis', rows: redisRows(input, pods) },
    { title: 'PostgreSQL', rows: postgresRows(input, pods, workers) },
    { title: 'Network', rows: networkRows(input, pods) },
  ]
}

function workerRows(input: PlanInput, slots: number, workers: number): Row[] {
  const perSecond = arrivalsPerSecond(input) * input.jobs
  const load = slots === 0 ? 0 : (perSecond * input['job-s']) / slots
  return [
    row('jobs', perSecond, 'jobs/s', `${plain(arrivalsPerSecond(input))} calls/s · ${input.jobs} jobs a call`),
    row('slots', slots, 'slots', `c = ceil(λ · S ÷ ${plain(input['worker-load'] / 100)}), S = ${input['job-s']} s`),
    row('processes', workers, 'processes', `${input['worker-slots']} slots each; run one more than needed, at least 2`),
    row(
      'backlog of half an hour gone after',
      load === 0 ? 0 : (OUTAGE_MINUTES * load) / (1 - load),
      'min',
      `workers away ${OUTAGE_MINUTES} min, then ${plain(100 * load)} % busy with what comes in`,
    ),
  ]
}

/** [PLS2] */
function redisRows(input: PlanInput, pods: number): Row[] {
  const ofCalls = arrivalsPerSecond(input) * LEASE_QUESTIONS
  const ofPods = pods * (ROUND_QUESTIONS / ROUND_S + EACH_SECOND_QUESTIONS)
  return [
    row(
      'questions',
      ofCalls + ofPods,
      'operations/s',
      `${LEASE_QUESTIONS} a call (${plain(ofCalls)}/s), and ${plain(ofPods / pods)} a second for each of ${counted(pods, 'pod')}`,
    ),
    row(
      'leases renewed',
      input.calls / ROUND_S,
      'leases/s',
      `all each ${ROUND_S} s, in batches; 260 000/s were measured on one machine`,
    ),
    row(
      'memory of leases',
      (input.calls * input['lease-bytes']) / CHUNK,
      'MB',
      `${input['lease-bytes']} bytes a lease, measured in a prototype with 100 000; beside what Redis needs to begin`,
    ),
  ]
}

/** [PLS3] */
function postgresRows(input: PlanInput, pods: number, workers: number): Row[] {
  const arrivals = arrivalsPerSecond(input)
  const checkpoints = input.calls / input['checkpoint-s']
  const others = arrivals * (CALL_WRITES + JOB_WRITES * input.jobs)
  const clients = (pods + workers) * input['pod-connections']
  const callsADay = arrivals * input['busy-hours'] * 3_600
  const walBytes = (checkpoints * input['checkpoint-kb'] + arrivals * input['record-kb']) * 1_000
  return [
    row(
      'checkpoint writes',
      checkpoints,
      'rows/s',
      `one a call each ${input['checkpoint-s']} s; 2 200/s and more were measured through pgbouncer`,
    ),
    row('other writes', others, 'transactions/s', `${CALL_WRITES} a call and ${JOB_WRITES} a job; tools come on top`),
    row(
      'clients at pgbouncer',
      clients,
      'connections',
      `at most ${input['pod-connections']} for each of ${counted(pods, 'pod')} and ${counted(workers, 'worker')}; none is opened for a call`,
    ),
    row(
      'behind pgbouncer',
      Math.max(4, roundUp(((checkpoints + others) * input['transaction-ms']) / 1_000 / 0.7)),
      'connections',
      `writes · ${input['transaction-ms']} ms, 70 % busy, at least 4; checkpoints go in batches, so it is an upper bound`,
    ),
    row('calls kept', callsADay, 'calls/day', `${input['busy-hours']} h a day at the peak`),
    row(
      'storage',
      (callsADay * input['record-kb']) / CHUNK,
      'GB/day',
      `${input['record-kb']} kB a call, an assumption; no audio is kept`,
    ),
    row(
      'write-ahead log',
      (walBytes * DAY_S * input['busy-hours']) / 24 / 1e9,
      'GB/day',
      `checkpoints of ${input['checkpoint-kb']} kB and records, before full-page images`,
    ),
  ]
}

function networkRows(input: PlanInput, pods: number): Row[] {
  const directions = directionsOf(input.audio)
  const each = directions.map(({ name, messageBytes, wireBytes }) =>
    row(
      name,
      (wireBytes * FRAMES_PER_SECOND * 8) / 1_000,
      'kbit/s a call',
      `${FRAMES_PER_SECOND}/s · ${wireBytes} bytes (${messageBytes} of JSON with base64, ${wireBytes - messageBytes} of heads)`,
    ),
  )
  const call = bitsPerSecond(directions)
  return [
    ...each,
    row(
      'a call',
      call / 1_000,
      'kbit/s',
      'four directions; nobody ever silent, 20 ms in each message, so an upper bound',
    ),
    row('a pod at the target', (call * input.target) / 1e6, 'Mbit/s', counted(input.target, 'call')),
    row('a pod at the ceiling', (call * input.ceiling) / 1e6, 'Mbit/s', counted(input.ceiling, 'call')),
    row(
      'in all',
      (call * input.calls) / 1e6,
      'Mbit/s',
      `${counted(input.calls, 'call')} on ${counted(pods, 'pod')}; HAProxy passes the carrier's half a second time`,
    ),
  ]
}
