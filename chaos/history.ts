// The offline checker: reads what the witnesses of a run wrote and proves or refuses what must hold whatever was done. Rules:
// HC1: it believes the carrier, the model simulator and the sink; the pods' own lines are judged against them and each other.
// HC2: one acting epoch for each call at a time (witness/pod-story.ts), and none but a rising one in the records, which end once
//      (witness/record-story.ts).
// HC3: one effect for each step of each call (witness/effect.ts).
// HC4: at no instant were more model sessions open than the ceiling and the stated bound.
// HC5: every call that was placed has one outcome, and its last status callback was delivered once, or never where the carrier does not tell.
// HC6: a rule whose witness is missing is named as `unseen`, not as kept.
import { type Summary, summarise } from '../load/report/statistics.ts'
import { type CallStory, readCalls } from './witness/call-story.ts'
import { type EffectStory, readEffects } from './witness/effect.ts'
import { type Fault, readFaults } from './witness/fault-log.ts'
import type { Hit } from './witness/gap.ts'
import { type LogLines, readLogs } from './witness/log-lines.ts'
import { type Breach, type PodStory, readPods } from './witness/pod-story.ts'
import { type RecordStory, readRecords } from './witness/record-story.ts'
import { liveSpans, type ModelStory, readSessions } from './witness/session-story.ts'

export type History = {
  calls: Map<number, CallStory>
  model: ModelStory
  pods: PodStory
  records: RecordStory
  effects: EffectStory
  faults: Fault[]
  brokenLines: number
}

/** `overBound`: sessions above the ceiling that the case computed as possible, such as those of frozen pods. */
export type HistoryLimits = { ceiling: number; overBound: number }

export type Findings = {
  breaches: Breach[]
  unseen: string[]
  sessionsMax: number
  outcomes: Record<string, number>
}

const BREACHES_SHOWN = 10

/** Reads the logs of a run's folder. */
export async function readHistory(folder: string): Promise<History> {
  return historyOf(await readLogs(folder))
}

/** The history in lines that were read already. */
export function historyOf(logs: LogLines): History {
  const calls = readCalls(logs.carrier)
  const model = readSessions(logs.model)
  const faults = readFaults(logs.faults)
  return {
    calls,
    model,
    faults,
    pods: readPods(logs.pods, faults),
    records: readRecords(logs.records),
    effects: readEffects(logs.sink, model.sessions.values(), calls, logs.pods),
    brokenLines: logs.brokenLines,
  }
}

/** [HC2]–[HC6] What of the rules does not hold. */
export function checkHistory(history: History, limits: HistoryLimits): Findings {
  const unseen: string[] = []
  if (history.pods.lines === 0) unseen.push('one acting epoch: no pod wrote its history')
  if (history.records.calls === 0) unseen.push('one end: the records were not read')
  if (history.effects.asked === 0) unseen.push('effects: the model asked for none')
  const sessions = ceilingBreaches(history.model, limits)
  return {
    breaches: [
      ...history.pods.breaches,
      ...history.records.breaches,
      ...history.effects.breaches,
      ...sessions.breaches,
      ...outcomeBreaches(history.calls),
    ],
    unseen,
    sessionsMax: sessions.max,
    outcomes: outcomesOf(history.calls),
  }
}

/** [HC4] */
function ceilingBreaches(model: ModelStory, limits: HistoryLimits): { breaches: Breach[]; max: number } {
  const spans = liveSpans(model.sessions.values())
  const max = spans.reduce((most, { live }) => Math.max(most, live), 0)
  const allowed = limits.ceiling + limits.overBound
  const over = spans.filter(({ live }) => live > allowed).length
  if (over === 0) return { breaches: [], max }
  const text = `${max} sessions at once, ${limits.ceiling} + ${limits.overBound} allowed; above it ${over} times`
  return { breaches: [{ check: 'ceiling', text }], max }
}

/** [HC5] */
function outcomeBreaches(calls: ReadonlyMap<number, CallStory>): Breach[] {
  const breaches: Breach[] = []
  for (const { callSid, ends, isTold, finalCallbacks, finalLosses } of calls.values()) {
    if (ends.length !== 1) breaches.push({ check: 'one outcome', text: `${callSid} has ${ends.length} ends` })
    const delivered = finalCallbacks.filter((outcome) => outcome === 'answered').length
    if (ends.length === 1 && delivered !== (isTold ? 1 : 0)) {
      const losses = finalLosses.length === 0 ? 'no attempt is known' : finalLosses.join('; ')
      const why = delivered === 0 ? `: ${losses}` : ''
      breaches.push({ check: 'one outcome', text: `${callSid}: last callback delivered ${delivered} times${why}` })
    }
  }
  return breaches
}

function outcomesOf(calls: ReadonlyMap<number, CallStory>): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const { ends } of calls.values()) {
    const cause = ends[0]?.cause ?? 'none'
    counts[cause] = (counts[cause] ?? 0) + 1
  }
  return counts
}

/** Calls that ended otherwise than by their caller. */
export function droppedCalls(calls: ReadonlyMap<number, CallStory>): CallStory[] {
  return [...calls.values()].filter(({ ends }) => ends[0]?.cause !== 'caller-hung-up')
}

/** The first breaches as text, and how many there are in all. */
export function describeBreaches(breaches: readonly Breach[]): string[] {
  const shown = breaches.slice(0, BREACHES_SHOWN).map(({ check, text }) => `${check}: ${text}`)
  return breaches.length > BREACHES_SHOWN ? [...shown, `and ${breaches.length - BREACHES_SHOWN} more`] : shown
}

export type GapFigures = {
  callsHit: number
  talkAgain: number
  answered: number
  unanswered: number
  gapMs: Summary
  brokenMs: Summary
  actionMs: Summary
  openedMs: Summary
}

/** The distribution of what callers heard of faults. */
export function gapFigures(hits: readonly Hit[]): GapFigures {
  return {
    callsHit: hits.length,
    talkAgain: hits.filter(({ gapMs }) => gapMs !== undefined).length,
    answered: hits.filter(({ isAnswered }) => isAnswered === true).length,
    unanswered: hits.filter(({ isAnswered }) => isAnswered === false).length,
    gapMs: summarise(hits.flatMap(({ gapMs }) => gapMs ?? [])),
    brokenMs: summarise(hits.flatMap(({ steps }) => steps.brokenMs ?? [])),
    actionMs: summarise(hits.flatMap(({ steps }) => steps.actionMs ?? [])),
    openedMs: summarise(hits.flatMap(({ steps }) => steps.openedMs ?? [])),
  }
}
