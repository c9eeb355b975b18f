// The report of a run, from the callers' reports and the witness logs. Rules:
// F1: every figure stands with its sample size; what was not measured is null, not zero.
// F2: a call that its own script ends before the stream was open is neither a success nor a failure of set-up.
// F4: a call counts once: one that was never set up is a failed set-up and not dropped; an agent's hang-up is neither.
// F5: a caller who was connected for MUTE_MS or more and heard nothing until the end of the call has a broken call, however short the run.
// F6: frames lost are known by probes alone: without them they are null.
// F3: a generator that was late does not hide it: it names the figures that are not to be trusted.
import type { CallReport } from '../../sim/twilio/report.ts'
import type { PlainScenarioName } from '../plan/scenario.ts'
import { round, type Summary, summarise } from './statistics.ts'
import type { ModelSight } from './witness.ts'

/** p99 of frame lateness above which the generator counts as late. */
const LATE_P99_MS = 10
/** Lateness of a single call's pacing above which the generator counts as late. */
const LATE_CALL_MS = 100
/** A caller who was connected for so long and heard nothing until the end has a broken call. */
const MUTE_MS = 3_000
const FRAME_MS = 20

/** One finished call with what it was meant to do. */
export type FinishedCall = {
  number: number
  scenario: PlainScenarioName
  process: number
  report: CallReport
  /** The agent waits for its caller. */
  isCallerFirst?: boolean
}

/** State of the run at one moment. */
export type TimePoint = {
  atS: number
  offered: number
  live: number
  failed: number
  dropped: number
  latenessMs: number
}

/** Everything the figures are made of. */
export type RunRecord = {
  offered: number
  placed: number
  calls: FinishedCall[]
  /** Calls that the generator itself could not run: a text each. */
  errors: string[]
  reactionsMs: number[] | undefined
  model: ModelSight | undefined
  timeline: TimePoint[]
  processes: number
  wasInterrupted: boolean
}

export type Figures = {
  setUp: {
    offered: number
    placed: number
    succeeded: number
    failed: number
    /** Calls that were answered with a sentence instead of an agent. */
    refused: number
    /** Calls that ended in a message to be left, or in the offer to be called back. */
    messages: number
    callBacks: number
    leftEarly: number
    ms: Summary
    firstAudioMs: Summary
  }
  addedLatencyMs: { carrierToModel: Summary | null; modelToCarrier: Summary }
  voiceToVoiceMs: Summary
  turns: { asked: number; answered: number; overlapped: number; unanswered: number }
  bargeIn: { made: number; cleared: number; speechStartedToClearMs: Summary | null; callerSpeechToClearMs: Summary }
  frames: { sent: number; lost: number | null; extra: number | null; agentMessages: number }
  /** Share of the frames that callers sent between the first and the last sound of what they said. */
  callerAudio: { spokenShare: number | null }
  agentAudio: { playedShare: number | null; gapsMs: Summary; gapsPerMinute: number | null }
  calls: {
    finished: number
    dropped: number
    /** Calls with a media stream of MUTE_MS or more whose caller heard nothing until the end. */
    mute: number
    errors: number
    scenarios: Record<string, number>
    ends: Record<string, number>
  }
  warnings: Record<string, number>
  scriptTimeouts: Record<string, number>
  generator: GeneratorFigures
}

type GeneratorFigures = {
  processes: number
  latenessMs: { n: number; p50: number | null; p99: number | null; max: number | null }
  lateCalls: number
  isLate: boolean
  distrust: string[]
}

/** Makes the figures of a run. */
export function figuresOf(run: RunRecord): Figures {
  const reports = run.calls.map((call) => call.report)
  const model = run.model
  const hasProbes = reports.some((report) => report.probesSent > 0)
  return {
    setUp: setUpFigures(run),
    addedLatencyMs: {
      carrierToModel: model === undefined ? null : summarise(model.latenciesMs),
      modelToCarrier: summarise(reports.flatMap((report) => report.probeLatenciesUs.map((us) => us / 1_000))),
    },
    voiceToVoiceMs: summarise(reports.flatMap((report) => report.voiceToVoiceMs)),
    turns: turnFigures(reports),
    bargeIn: bargeInFigures(run, reports),
    frames: {
      sent: sum(reports, (report) => report.framesSent),
      lost: hasProbes ? (model?.framesLost ?? null) : null,
      extra: hasProbes ? (model?.framesExtra ?? null) : null,
      agentMessages: sum(reports, (report) => report.mediaReceived),
    },
    callerAudio: { spokenShare: spokenShare(reports) },
    agentAudio: agentAudioFigures(reports),
    calls: {
      finished: reports.length,
      dropped: run.calls.filter(isDropped).length,
      mute: run.calls.filter(isMute).length,
      errors: run.errors.length,
      scenarios: count(run.calls, (call) => call.scenario),
      ends: count(reports, endOf),
    },
    warnings: count(
      reports.flatMap((report) => report.warnings),
      (warning) => `${warning.code} ${warning.text}`,
    ),
    scriptTimeouts: count(
      reports.flatMap((report) => report.scriptTimeouts),
      (text) => text,
    ),
    generator: generatorFigures(run),
  }
}

/** Whether the run is a success: every call set up, none dropped or mute, no error of the generator. */
export function isClean(figures: Figures): boolean {
  const { setUp, calls } = figures
  const { failed, refused, messages, callBacks } = setUp
  return failed + refused + messages + callBacks + calls.dropped + calls.mute + calls.errors === 0
}

/** [F4] Whether a call that had its media stream was cut off. */
export function isDropped({ report }: FinishedCall): boolean {
  return report.wasDropped && report.setUpMs !== undefined
}

/** [F5] */
export function isMute(call: FinishedCall): boolean {
  const { setUpMs, framesSent, mediaReceived } = call.report
  if (call.isCallerFirst === true && call.report.turns.length === 0) return false
  return setUpMs !== undefined && !isDropped(call) && mediaReceived === 0 && framesSent * FRAME_MS >= MUTE_MS
}

/** How a call ended, in the report's words. */
function endOf({ agentEnd, endCause }: CallReport): string {
  return agentEnd === undefined ? endCause : `agent-${agentEnd}`
}

/** [F2] A set-up failed when the caller was still there and no stream opened, unless he was told so: a sentence, then the end. */
export function setUpOutcome(
  call: FinishedCall,
): 'succeeded' | 'failed' | 'refused' | 'message' | 'call-back' | 'left-early' {
  const { setUpMs, endCause, verbs } = call.report
  if (setUpMs !== undefined) return 'succeeded'
  const told = (verb: string): boolean => verbs.some((one) => one.verb === verb)
  if (endCause === 'twiml-hangup' && told('Record')) return 'message'
  if (endCause === 'twiml-hangup' && told('Gather')) return 'call-back'
  if (endCause === 'twiml-hangup' && verbs[0]?.verb === 'Say') return 'refused'
  return call.scenario === 'early-hangup' && call.report.endCause === 'caller-hung-up' ? 'left-early' : 'failed'
}

function setUpFigures(run: RunRecord): Figures['setUp'] {
  const outcomes = count(run.calls, setUpOutcome)
  const reports = run.calls.map((call) => call.report)
  return {
    offered: run.offered,
    placed: run.placed,
    succeeded: outcomes.succeeded ?? 0,
    failed: (outcomes.failed ?? 0) + run.errors.length,
    refused: outcomes.refused ?? 0,
    messages: outcomes.message ?? 0,
    callBacks: outcomes['call-back'] ?? 0,
    leftEarly: outcomes['left-early'] ?? 0,
    ms: summarise(reports.flatMap((report) => report.setUpMs ?? [])),
    firstAudioMs: summarise(reports.flatMap((report) => report.firstAudioMs ?? [])),
  }
}

function turnFigures(reports: CallReport[]): Figures['turns'] {
  const turns = reports.flatMap((report) => report.turns)
  const answered = turns.filter((turn) => turn.voiceToVoiceMs !== undefined).length
  const overlapped = turns.filter((turn) => turn.isOverlapped).length
  return { asked: turns.length, answered, overlapped, unanswered: turns.length - answered - overlapped }
}

function bargeInFigures(run: RunRecord, reports: CallReport[]): Figures['bargeIn'] {
  const bargeIns = reports.flatMap((report) => report.bargeIns)
  const reactions = bargeIns.flatMap((bargeIn) => bargeIn.reactionMs ?? [])
  return {
    made: bargeIns.length,
    cleared: reactions.length,
    speechStartedToClearMs: run.reactionsMs === undefined ? null : summarise(run.reactionsMs),
    callerSpeechToClearMs: summarise(reactions),
  }
}

function spokenShare(reports: CallReport[]): number | null {
  const sent = sum(reports, (report) => report.framesSent)
  return sent === 0 ? null : round(sum(reports, (report) => report.framesSpoken) / sent)
}

function agentAudioFigures(reports: CallReport[]): Figures['agentAudio'] {
  const playedMs = sum(reports, (report) => report.agentPlayedMs)
  const callMs = sum(reports, (report) => report.framesSent * 20)
  const gaps = reports.flatMap((report) => report.gapsMs)
  return {
    playedShare: callMs === 0 ? null : round(playedMs / callMs),
    gapsMs: summarise(gaps),
    gapsPerMinute: playedMs === 0 ? null : round(gaps.length / (playedMs / 60_000)),
  }
}

/** [F3] The generator's own lateness, and what it spoils. Of several processes the worst one counts. */
function generatorFigures(run: RunRecord): GeneratorFigures {
  const ofProcess = new Map<number, CallReport['processLateness']>()
  for (const { process, report } of run.calls) {
    const seen = ofProcess.get(process)
    if (seen === undefined || seen.count < report.processLateness.count) ofProcess.set(process, report.processLateness)
  }
  const lateness = [...ofProcess.values()].filter((one) => one.count > 0)
  const p99 = largest(lateness.map((one) => one.p99Ms))
  const lateCalls = run.calls.filter((call) => call.report.lateness.maxMs > LATE_CALL_MS).length
  const isP99Late = p99 !== null && p99 > LATE_P99_MS
  const distrust: string[] = []
  if (isP99Late) distrust.push('added latency', 'voice-to-voice', 'barge-in reaction', 'agent audio gaps')
  else if (lateCalls > 0) distrust.push('p99 and maximum of latencies', 'agent audio gaps')
  return {
    processes: run.processes,
    latenessMs: {
      n: sum(lateness, (one) => one.count),
      p50: largest(lateness.map((one) => one.p50Ms)),
      p99,
      max: largest(lateness.map((one) => one.maxMs)),
    },
    lateCalls,
    isLate: isP99Late || lateCalls > 0,
    distrust,
  }
}

function largest(values: number[]): number | null {
  return values.length === 0 ? null : round(values.reduce((a, b) => Math.max(a, b)))
}

function sum<T>(items: readonly T[], of: (item: T) => number): number {
  return items.reduce((total, item) => total + of(item), 0)
}

function count<T, Key extends string>(items: readonly T[], of: (item: T) => Key): Record<Key, number> {
  const counts = {} as Record<Key, number>
  for (const item of items) counts[of(item)] = (counts[of(item)] ?? 0) + 1
  return counts
}
