// What the plane adds: carrier → model, model → carrier, and speech_started → clear, from the logs of both ends. Rules:
// LY1: contenders take turns in each round with fresh processes; medians of the rounds count.
// LY2: pass and fail are ratios to bare sockets of Node in the same run (plain or with TLS): the machine's own delay is in both.
import type { LoadReport } from '../../load/report/report.ts'
import { atMost, type Bench, type BenchCase, type Check } from '../runner/bench.ts'
import { type ContenderName, contenderText, startContender } from '../runner/contenders.ts'
import { medianOf, startLoad, worstLateness } from '../runner/load.ts'
import { type Model, startModel } from '../runner/model.ts'

const CALLS = 200
const SECONDS = 20
const ROUNDS = 3
const RAMP_PER_SECOND = 20
const NAMES: readonly ContenderName[] = [
  'bare',
  'voiceplane',
  'ws',
  'sdk',
  'bare-tls',
  'voiceplane-tls',
  'ws-tls',
  'sdk-tls',
]
/** Times the delay of bare sockets, in the median and in the tail. */
const OVER_BARE_MAX = 2

const KINDS = [
  'carrierToModelP50',
  'carrierToModelP99',
  'modelToCarrierP50',
  'modelToCarrierP99',
  'speechToClearP99',
] as const
type Kind = (typeof KINDS)[number]
type Measured = Record<Kind, number | null> & { missed: number }
type Rounds = Map<ContenderName, Measured[]>

export const latency: BenchCase = {
  text: `latency added by one bridge process at ${CALLS} calls in both directions and at a barge-in, beside bare sockets`,
  run: async (bench) => {
    const calls = bench.options.calls ?? CALLS
    const rounds = bench.options.rounds ?? ROUNDS
    const names = NAMES.filter((name) => bench.options.only?.includes(name) ?? true)
    const measured: Rounds = new Map(names.map((name) => [name, []]))
    const reports: LoadReport[] = []
    for (let round = 1; round <= rounds; round++) {
      for (const [name, of] of measured) {
        bench.note(`round ${round} of ${rounds}: ${name}, ${calls} calls`)
        const report = await carry(bench, name, calls)
        reports.push(report)
        of.push(measuredOf(report))
      }
    }
    const figures = Object.fromEntries(names.map((name) => [name, figuresOf(name, measured)]))
    return {
      figures,
      samples: { calls, rounds, reportsOfLoad: reports.length },
      generator: worstLateness(reports),
      checks: checksOf(measured),
    }
  },
}

/** One contender with a model of its own, so that the witness's log is of its calls alone. */
async function carry(bench: Bench, name: ContenderName, calls: number): Promise<LoadReport> {
  const model: Model = await startModel(bench, { witness: true, toolEveryMs: 60_000, tls: name.endsWith('-tls') })
  const bridge = await startContender(bench, name, model, calls)
  try {
    const load = startLoad(bench, {
      urls: [bridge.url],
      calls,
      ratePerSecond: RAMP_PER_SECOND,
      holdS: (bench.options.seconds ?? SECONDS) + Math.ceil(calls / RAMP_PER_SECOND),
      scenario: 'talk=3,barge-in=1',
      seed: 3,
      isProbing: true,
      modelWitnesses: [model.witnessFile!],
    })
    await load.allTalking()
    return await load.report()
  } finally {
    await bridge.stop()
    await model.stop()
  }
}

function measuredOf({ figures: { addedLatencyMs, bargeIn, calls, setUp } }: LoadReport): Measured {
  const toModel = addedLatencyMs.carrierToModel
  return {
    carrierToModelP50: toModel?.p50 ?? null,
    carrierToModelP99: toModel?.p99 ?? null,
    modelToCarrierP50: addedLatencyMs.modelToCarrier.p50,
    modelToCarrierP99: addedLatencyMs.modelToCarrier.p99,
    speechToClearP99: bargeIn.speechStartedToClearMs?.p99 ?? null,
    missed: calls.dropped + setUp.failed + setUp.refused,
  }
}

/** Median over the rounds, ms; null when a round has no figure. */
function medianIn(measured: Rounds, name: ContenderName, kind: Kind): number | null {
  const values = (measured.get(name) ?? []).map((one) => one[kind])
  return values.includes(null) ? null : medianOf(values as number[])
}

function figuresOf(name: ContenderName, measured: Rounds): Record<string, unknown> {
  const medians = KINDS.map((kind) => [`${kind}Ms`, medianIn(measured, name, kind)])
  return { what: contenderText(name), ...Object.fromEntries(medians), rounds: measured.get(name) }
}

function checksOf(measured: Rounds): Check[] {
  const over = (name: ContenderName, bare: ContenderName, kind: Kind): number | null => {
    const [top, bottom] = [medianIn(measured, name, kind), medianIn(measured, bare, kind)]
    return top === null || bottom === null ? null : Math.round((top / bottom) * 1_000) / 1_000
  }
  const missed = (measured.get('voiceplane') ?? []).concat(measured.get('voiceplane-tls') ?? [])
  return [
    ...KINDS.map((kind) => atMost(`${kind}, times bare sockets`, over('voiceplane', 'bare', kind), OVER_BARE_MAX)),
    ...KINDS.map((kind) =>
      atMost(`${kind} over TLS, times bare sockets`, over('voiceplane-tls', 'bare-tls', kind), OVER_BARE_MAX),
    ),
    atMost(
      'calls dropped or not set up by the plane',
      missed.length === 0 ? null : missed.reduce((sum, one) => sum + one.missed, 0),
      0,
    ),
  ]
}
