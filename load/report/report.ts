// The report of a run as one value: what --json writes and what the page and the table are made from.
import { type Failure, failuresOf } from './failures.ts'
import type { Figures, RunRecord, TimePoint } from './figures.ts'
import { figuresOf, isClean } from './figures.ts'
import { distribution, histogram, summarise } from './statistics.ts'

/** How the run was asked for. */
type RunDescription = {
  urls: string[]
  calls: number
  ratePerSecond: number
  arrivals: string
  holdS: number
  scenarios: string
  seed: number
}

type MachineDescription = { cpu: string; cores: number; node: string }

export type LoadReport = {
  startedAt: string
  run: RunDescription
  machine: MachineDescription
  isClean: boolean
  wasInterrupted: boolean
  figures: Figures
  /** What went wrong, each with its cause and its fix. */
  failures: Failure[]
  plots: {
    voiceToVoice: { x: number[]; share: number[] }
    timeline: TimePoint[]
    added: { edges: number[]; modelToCarrier: number[]; carrierToModel: number[] }
  }
  errors: string[]
}

const ERRORS_MAX = 20
const TIMELINE_POINTS_MAX = 1_000

/** Puts the report of a finished run together. */
export function makeReport(
  run: RunDescription,
  machine: MachineDescription,
  startedAt: string,
  record: RunRecord,
): LoadReport {
  const figures = figuresOf(record)
  const reports = record.calls.map((call) => call.report)
  const toCarrier = reports.flatMap((report) => report.probeLatenciesUs.map((us) => us / 1_000))
  const toModel = record.model?.latenciesMs ?? []
  const end = Math.max(2, (summarise([...toCarrier, ...toModel]).p99 ?? 0) * 1.25)
  const carrier = histogram(toCarrier, end)
  const every = Math.ceil(record.timeline.length / TIMELINE_POINTS_MAX)
  return {
    startedAt,
    run,
    machine,
    isClean: isClean(figures),
    wasInterrupted: record.wasInterrupted,
    figures,
    failures: failuresOf(record.calls, record.errors),
    plots: {
      voiceToVoice: distribution(reports.flatMap((report) => report.voiceToVoiceMs)),
      timeline: record.timeline.filter((_, i) => i % every === 0),
      added: { edges: carrier.edges, modelToCarrier: carrier.counts, carrierToModel: histogram(toModel, end).counts },
    },
    errors: record.errors.slice(0, ERRORS_MAX),
  }
}
