// slow-reader (F45): a carrier that does not read what the plane sends, for half a minute of half of all calls. Rules:
// SR1: the callers of the scenario `slow-reader` (load/) stop to read their media sockets and go on sending; the others talk beside them.
// SR2: that it was so is seen at the carrier: no byte read while it lasted, and a backlog after it.
// SR3: a pod's memory grows by at most RSS_MB_MAX, from when all calls talk to the end of the stop; it goes on reading (the carrier
//      never warns with 31930); a slow call is heard again on its stream or was ended by the plane (WC3); no other call is touched.
// SR4: the kernel's buffers of two hops take megabytes, which is minutes of speech: the bound of WC3 itself is not reached here.
import { setTimeout as sleep } from 'node:timers/promises'
import { readUsage } from '../../bench/runner/procfs.ts'
import { startCallers } from '../callers.ts'
import { type Ground, layGround } from '../ground.ts'
import { droppedCalls } from '../history.ts'
import { atLeast, atMost, type ChaosCase, type ChaosRun, exactly, type Outcome } from '../run.ts'
import { commonFigures, type Ending, examine, latenessOf, readEnding, startTalking, TALK_MS } from '../scene.ts'
import type { CallStory } from '../witness/call-story.ts'

const RSS_MB_MAX = 20
/** Two answers or more of the five or so that the plane has given meanwhile. */
const BACKLOG_BYTES_MIN = 60_000
/** The code of a plane that does not read. */
const NOT_READ = 31_930
/** The scenario's: 5 s into the stream, for 30 s. */
const STOP_OVER_MS = 36_000
const SAMPLE_MS = 1_000
const RATE_PER_SECOND = 20
const HOLD_S = 3_600
const TALKING_MS_MAX = 60_000
const SLOW = '+15550100009'

/** Resident memory of each pod when all calls talked, and the most it was until the stop was over, MB. */
type Memory = { pod: string; beforeMb: number; maxMb: number }

async function runSlowReader(run: ChaosRun): Promise<Outcome> {
  const calls = run.asked.calls ?? 40
  const slow = Math.ceil(calls / 2)
  const ground = await layGround(run, { pods: run.asked.pods ?? 2, ceiling: calls, slack: calls })
  const talkers = await startTalking(run, ground, calls - slow)
  const plan = { calls: slow, ratePerSecond: RATE_PER_SECOND, holdS: HOLD_S, number: SLOW, seed: run.asked.seed + 1 }
  const readers = startCallers(run, { url: ground.fleet.baseUrl, scenario: 'slow-reader', ...plan })
  await readers.talking(slow, TALKING_MS_MAX)
  const memory = await watchMemory(ground, STOP_OVER_MS)
  run.note('the carrier reads again')
  await sleep(TALK_MS * 2)
  const reports = [await readers.hangUp(), await talkers.hangUp()]
  return judge(run, { ceiling: calls, slow }, memory, await readEnding(run, ground, reports.map(latenessOf)))
}

/** [SR3] */
async function watchMemory(ground: Ground, forMs: number): Promise<Memory[]> {
  const memory = ground.fleet.pods.map((pod) => {
    const beforeMb = residentMb(pod.pid)
    return { pod: pod.name, pid: pod.pid, beforeMb, maxMb: beforeMb }
  })
  for (const endMs = performance.now() + forMs; performance.now() < endMs; await sleep(SAMPLE_MS)) {
    for (const one of memory) one.maxMb = Math.max(one.maxMb, residentMb(one.pid))
  }
  return memory.map(({ pod, beforeMb, maxMb }) => ({ pod, beforeMb, maxMb }))
}

/** Of a process that is gone: not a number, which no check holds for. */
function residentMb(pid: number): number {
  return Math.round((readUsage(pid)?.rssKb ?? Number.NaN) / 102.4) / 10
}

function judge(
  run: ChaosRun,
  { ceiling, slow }: { ceiling: number; slow: number },
  memory: readonly Memory[],
  ending: Ending,
): Outcome {
  const { history, leaked, generator } = ending
  const findings = examine(run, history, { ceiling, overBound: 0 })
  const all = [...history.calls.values()]
  const others = all.filter(({ to }) => to !== SLOW)
  const stops = all.filter(({ to }) => to === SLOW).flatMap((call) => stopOf(call) ?? [])
  const caughtUp = stops.flatMap(({ backlogBytes }) => backlogBytes ?? [])
  const cut = stops.filter(({ outcome }) => outcome === 'cut').length
  const grownMb = Math.max(...memory.map(({ beforeMb, maxMb }) => Math.round((maxMb - beforeMb) * 10) / 10))
  return {
    samples: { calls: all.length, slow: stops.length, caughtUp: caughtUp.length },
    figures: { memory, backlogBytes: range(caughtUp), cutByPlane: cut, ...commonFigures(ending, findings) },
    checks: [
      atLeast('calls whose carrier stopped to read', stops.length, slow),
      exactly('bytes read in a stop', Math.max(0, ...stops.map(({ readBytes }) => readBytes ?? 0)), 0),
      atLeast('calls cut, or with a backlog after the stop', cut + caughtUp.filter(isBacklog).length, slow),
      atMost('memory that a pod grew by', grownMb, RSS_MB_MAX, ' MB'),
      exactly('calls of which the plane did not read', all.filter((one) => one.warnings.includes(NOT_READ)).length, 0),
      exactly('slow calls neither heard again nor cut', stops.filter(({ outcome }) => outcome === 'mute').length, 0),
      exactly('streams of other calls that the plane ended', others.filter(isMoved).length, 0),
      exactly('other calls dropped', droppedCalls(history.calls).filter(({ to }) => to !== SLOW).length, 0),
      exactly('slots leaked after the last call', leaked, 0),
      exactly('breaches of the history', findings.breaches.length, 0),
    ],
    generator,
  }
}

type Stop = { readBytes?: number; backlogBytes?: number; outcome: 'heard' | 'cut' | 'mute' }

/** [SR2] The first stop of a call, from its stream's own log; undefined when it has none. */
function stopOf({ reading, streams }: CallStory): Stop | undefined {
  const [stopped, again, caughtUp] = reading
  if (stopped?.what !== 'stopped') return undefined
  const stream = streams[0]
  const wasCut = stream?.by === 'plane'
  if (again?.what !== 'again') return { outcome: wasCut ? 'cut' : 'mute' }
  const isHeard = stream?.heard.some(({ fromUs }) => fromUs > again.atUs) === true
  return {
    readBytes: again.bytes - stopped.bytes,
    backlogBytes: caughtUp?.what === 'caught-up' ? caughtUp.bytes - again.bytes : undefined,
    outcome: isHeard ? 'heard' : wasCut ? 'cut' : 'mute',
  }
}

function isBacklog(bytes: number): boolean {
  return bytes >= BACKLOG_BYTES_MIN
}

function isMoved({ streams }: CallStory): boolean {
  return streams.some(({ by }) => by === 'plane')
}

function range(values: readonly number[]): { min: number; max: number } | undefined {
  return values.length === 0 ? undefined : { min: Math.min(...values), max: Math.max(...values) }
}

export const slowReader: ChaosCase = {
  faults: 'F45',
  text: 'half of all calls on a carrier that does not read for half a minute and goes on sending',
  run: runSlowReader,
}
