// What the witnesses of after-call say of a run, as figures and checks. Rules:
// VD1: how long a call that nobody told of waited for its end is from the carrier's word that the caller was gone to the time in its row,
//      which the dump gives on the clock of the witnesses.
import { join } from 'node:path'
import { readWitness, type WitnessLine } from '../../load/report/witness.ts'
import type { Callers } from '../callers.ts'
import { droppedCalls, type History } from '../history.ts'
import { atLeast, atMost, type ChaosRun, exactly, type Outcome } from '../run.ts'
import { commonFigures, type Ending, examine } from '../scene.ts'
import type { CallStory } from '../witness/call-story.ts'
import type { Fault } from '../witness/fault-log.ts'
import type { Blow } from './blows.ts'
import { describeWork, readWork, type WorkStory } from './work-story.ts'

/** A caller who hung up so soon after his pod's death did so while nobody held his call. */
const WITH_KILL_US = 2_000_000
/** F42 of the fault catalogue. */
const UNTOLD_S_MAX = 300

export type Struck = {
  fault: Fault
  blow: Blow & { isSilent: boolean }
  hasDied: boolean
  inFlight: number | undefined
  group: Callers | undefined
}

/** What the run did: how many calls and blows it meant, what was struck, and how many dead letters were run again. */
type Done = {
  calls: number
  ceiling: number
  blows: number
  struck: readonly Struck[]
  drainedMs: number | undefined
  rerun: number
}

export async function judge(run: ChaosRun, done: Done, ending: Ending): Promise<Outcome> {
  const { history, leaked, generator } = ending
  const { calls, blows, struck, drainedMs, rerun } = done
  const findings = examine(run, history, { ceiling: done.ceiling, overBound: 0 })
  const sids = [...history.calls.values()].map(({ callSid }) => callSid)
  const lines = async (name: string): Promise<WitnessLine[]> => {
    const read: WitnessLine[] = []
    await readWitness(join(run.folder, name), (line) => read.push(line))
    return read
  }
  const dump = await lines('work.jsonl')
  const work = readWork(sids, await lines('receiver.jsonl'), dump)
  for (const text of describeWork(work)) run.note(`breach: ${text}`)
  const { breaches, ...figures } = work
  const died = struck.filter(({ hasDied }) => hasDied)
  const inFlight = struck.reduce((sum, one) => sum + (one.inFlight ?? 0), 0)
  const podKills = struck.filter(({ blow }) => blow.victim === 'pod')
  const lateS = podKills.flatMap((one) =>
    one.blow.isSilent
      ? secondsToEnd(
          hungUpWith(history, one.fault).filter(({ isTold }) => !isTold),
          dump,
        )
      : [],
  )
  return {
    samples: {
      calls: sids.length,
      kills: died.length,
      workerKills: died.filter(({ blow }) => blow.victim === 'worker').length,
      podKills: died.filter(({ blow }) => blow.victim === 'pod').length,
      postgresKills: died.filter(({ blow }) => blow.victim === 'postgres').length,
      itemsInFlightAtWorkerKills: inFlight,
      callsHungUpWithTheirPod: podKills.reduce((sum, { fault }) => sum + hungUpWith(history, fault).length, 0),
      ofThemUntoldByTheCarrier: lateS.length,
      deadLettersRunAgain: rerun,
    },
    figures: {
      work: figures,
      drainedMs,
      untoldEndedWithinS: lateS.length === 0 ? null : Math.max(...lateS),
      workBreaches: describeWork(work),
      ...commonFigures(ending, findings),
    },
    checks: [
      exactly('kills', died.length, blows),
      exactly('calls ended, by the carrier', endedCalls(history), calls),
      exactly('calls dropped', droppedCalls(history.calls).length, 0),
      exactly('jobs lost', work.jobsLost, 0),
      exactly('effects at the receiver, one key each', work.effects, calls),
      ...zeroChecks(work),
      atLeast('dead letters that were run again', rerun, 1),
      exactly('deliveries refused for good and not run again', Math.max(0, work.poisoned - rerun), 0),
      ...(podKills.some(({ blow }) => blow.isSilent)
        ? [
            atLeast('calls that nobody told of', lateS.length, 1),
            atMost('the last of them ended after', Math.max(0, ...lateS), UNTOLD_S_MAX, ' s'),
          ]
        : []),
      atLeast('items in flight when their worker died', inFlight, 1),
      atLeast('deliveries that came again', work.repeats, 1),
      exactly('slots leaked after the last call', leaked, 0),
      exactly('breaches of the history', findings.breaches.length, 0),
    ],
    generator,
  }
}

function zeroChecks(work: WorkStory): Outcome['checks'] {
  return [
    exactly('duplicate effects', work.duplicateEffects, 0),
    exactly('calls without an effect', work.lostEffects, 0),
    exactly('effects of no call', work.effectsOfNoCall, 0),
    exactly('deliveries under a wrong key', work.wrongDeliveries, 0),
    exactly('deliveries refused for their signature or form', work.refused, 0),
    exactly('calls without a record', work.recordsMissing, 0),
    exactly('records of no call', work.recordsOfNoCall, 0),
    exactly('records that are half', work.recordsHalf, 0),
    exactly('dead items', work.dead, 0),
    exactly('uncertain items', work.uncertain, 0),
  ]
}

function endedCalls(history: History): number {
  return [...history.calls.values()].filter(({ ends }) => ends.length === 1).length
}

/** Calls that were on the pod and were hung up by their caller right after its death. */
function hungUpWith(history: History, { atUs, pod }: Fault): CallStory[] {
  return [...history.calls.values()].filter(({ streams, ends }) => {
    const isOnIt = streams.some(
      (stream) => stream.pod === pod && stream.openedUs <= atUs && (stream.closedUs ?? atUs) >= atUs,
    )
    const [end] = ends
    return isOnIt && end?.cause === 'caller-hung-up' && end.atUs >= atUs && end.atUs - atUs < WITH_KILL_US
  })
}

/** [VD1] From each call's hang-up to its end in the records, in seconds; infinite when there is none. */
function secondsToEnd(calls: readonly CallStory[], dump: readonly WitnessLine[]): number[] {
  const overUs = new Map(dump.filter(({ event }) => event === 'over').map((line) => [String(line.call_sid), line.t]))
  return calls.map(({ callSid, ends }) => {
    const atUs = overUs.get(callSid)
    return atUs === undefined ? Number.POSITIVE_INFINITY : Math.round((atUs - ends[0]!.atUs) / 10_000) / 100
  })
}
