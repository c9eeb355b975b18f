// What the plane counts, under the names of docs/configuration and the dashboards. Rules:
// MX1: hot counts are plain fields, read when scraped; counting never waits and never throws.
// MX2: a gauge that could not be read is absent from the page, never zero.
// MX3: names begin with voice_ and never change their meaning; labels are bounded (tally.ts TY2).
// MX4: nothing is global: the registry is handed in, so that two planes in one process do not mix.
import { Counter, Gauge, type Registry } from 'prom-client'
import type { CallCount } from '../call/state.ts'
import { registerProcess } from './process.ts'
import { Durations, registerDurations, Tally, wholeCell } from './tally.ts'

const TURN_BOUNDS_MS = [100, 200, 300, 400, 500, 600, 800, 1_000, 1_250, 1_500, 2_000, 3_000, 5_000, 10_000]
const ADDED_BOUNDS_MS = [0.1, 0.25, 0.5, 1, 2, 3, 5, 10, 20, 50, 100, 250, 1_000]
const TOOL_BOUNDS_MS = [5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000]
const WAIT_BOUNDS_MS = [500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 120_000, 300_000, 600_000]
const TOOLS_MAX = 100 // tools with a histogram of their own; the rest share `other`

/** Which way audio goes: from the caller, or to the caller. */
type Direction = 'inbound' | 'outbound'

/** What gauges read at the scrape; undefined, or a throw, leaves the sample out (MX2). */
export interface MetricSources {
  activeCalls(): number | undefined
  eventLoopLagMs(): number | undefined
  callCostCores?(): number | undefined
  capacityCalls?(): number | undefined
  demandCalls?(): number | undefined
  quotaUsed?(): number | undefined
  quotaLimit?(): number | undefined
  queueDepth?(): number | undefined
  leases?(): Record<string, number> | undefined
  poolCeilings?(): Record<string, number> | undefined
}

/** What the step of a call counts → the figure here; some are only in traces. */
const FIGURE_OF: Readonly<Record<CallCount, (metrics: Metrics, code: string) => void>> = {
  'barge-in': (metrics) => (metrics.bargeIns += 1),
  'model-error': (metrics, code) => metrics.modelErrors.add(code),
  redial: (metrics) => (metrics.modelRedials += 1),
  'turn-outcome': (metrics, code) => metrics.turnOutcomes.add(code),
  limit: (metrics, code) => metrics.limits.add(code),
  renewal: () => {},
  turn: () => {},
}

/** The plane's counts. The fields may be raised directly on the frame path. */
export class Metrics {
  readonly frames: Record<Direction, number> = { inbound: 0, outbound: 0 }
  bargeIns = 0
  readonly calls = new Tally() // by outcome
  readonly framesDropped = new Tally() // by reason
  readonly modelErrors = new Tally() // by code
  readonly turnOutcomes = new Tally() // of turns that were owed, by outcome
  readonly rescues = new Tally() // by outcome
  readonly carrierEnds = new Tally() // by outcome
  readonly recordings = new Tally() // by outcome
  readonly overflows = new Tally() // messages and call-backs that were to be kept, by outcome
  readonly transfers = new Tally() // wished for by agents, by outcome
  readonly refusals = new Tally() // by reason
  readonly limits = new Tally() // bounds that were met or neared, by name
  readonly turnLatency = new Durations(TURN_BOUNDS_MS)
  readonly addedLatency: Record<Direction, Durations> = {
    inbound: new Durations(ADDED_BOUNDS_MS),
    outbound: new Durations(ADDED_BOUNDS_MS),
  }
  readonly #queueWait = new Durations(WAIT_BOUNDS_MS)
  readonly #tools = new Map<string, Durations>()
  modelRedials = 0
  readonly #resumes = new Map<string, Tally>() // by cause: pod-lost, socket-lost, handover
  readonly #connects = new Map<string, Tally>() // by pool; the limits file bounds them

  /** Counts what the step of a call says. */
  count(what: CallCount, code: string): void {
    FIGURE_OF[what](this, code)
  }

  /** Counts a tool call that took `ms`. */
  toolTook(tool: string, ms: number): void {
    const name = this.#tools.has(tool) || this.#tools.size < TOOLS_MAX ? tool : 'other'
    const durations = this.#tools.get(name) ?? new Durations(TOOL_BOUNDS_MS)
    this.#tools.set(name, durations)
    durations.observeMs(ms)
  }

  /** Counts a resume. */
  resumed(cause: string, outcome: string): void {
    const outcomes = this.#resumes.get(cause) ?? new Tally()
    this.#resumes.set(cause, outcomes)
    outcomes.add(outcome)
  }

  /** Counts a dial of a model pool by what became of it. */
  modelConnected(pool: string, outcome: string): void {
    const outcomes = this.#connects.get(pool) ?? new Tally()
    this.#connects.set(pool, outcomes)
    outcomes.add(outcome)
  }

  /** Counts how long a caller stood in the queue. */
  queueWaited(ms: number): void {
    this.#queueWait.observeMs(ms)
  }

  /** Puts everything on the registry's page, the process's own figures included. */
  register(registry: Registry, sources: MetricSources): void {
    registerProcess(registry)
    this.#registerCounts(registry)
    this.#registerDistributions(registry)
    registerGauges(registry, sources)
  }

  #registerCounts(registry: Registry): void {
    const count = (name: string, help: string, label: string, read: () => Iterable<[string, number]>) =>
      new Counter({
        name,
        help,
        labelNames: [label],
        registers: [registry],
        collect() {
          this.reset()
          for (const [value, total] of read()) this.inc({ [label]: value }, total)
        },
      })
    count('voice_calls_total', 'Calls that ended', 'outcome', () => this.calls.entries())
    count('voice_frames_total', 'Frames of 20 ms carried', 'direction', () => Object.entries(this.frames))
    count('voice_frames_dropped_total', 'Frames not carried', 'reason', () => this.framesDropped.entries())
    count('voice_rescues_total', 'Calls of lost pods looked after', 'outcome', () => this.rescues.entries())
    count('voice_carrier_ends_total', 'Ends of calls told by the carrier', 'outcome', () => this.carrierEnds.entries())
    count('voice_recordings_total', 'Recordings told by the carrier', 'outcome', () => this.recordings.entries())
    count('voice_overflows_total', 'Messages and call-backs of callers who waited', 'outcome', () =>
      this.overflows.entries(),
    )
    count('voice_refused_requests_total', 'Requests refused unread or unanswered', 'reason', () =>
      this.refusals.entries(),
    )
    count('voice_model_errors_total', 'Errors of the model', 'code', () => this.modelErrors.entries())
    count('voice_turn_outcomes_total', 'Turns owed to callers', 'outcome', () => this.turnOutcomes.entries())
    count('voice_transfers_total', 'Transfers that agents wished for, and how they ended', 'outcome', () =>
      this.transfers.entries(),
    )
    count('voice_limits_total', 'Bounds of calls, callers and tenants neared or reached', 'limit', () =>
      this.limits.entries(),
    )
    const countOne = (name: string, help: string, read: () => number) =>
      new Counter({
        name,
        help,
        registers: [registry],
        collect() {
          this.reset()
          this.inc(read())
        },
      })
    countOne('voice_barge_ins_total', 'Times a caller spoke over playout', () => this.bargeIns)
    countOne('voice_model_redials_total', 'Dials of a model whose link was lost', () => this.modelRedials)
    const countBoth = (name: string, help: string, label: string, read: () => Iterable<[string, Tally]>) =>
      new Counter({
        name,
        help,
        labelNames: [label, 'outcome'],
        registers: [registry],
        collect() {
          this.reset()
          for (const [value, outcomes] of read()) {
            for (const [outcome, total] of outcomes.entries()) this.inc({ [label]: value, outcome }, total)
          }
        },
      })
    countBoth('voice_resumes_total', 'Calls continued from their checkpoint', 'cause', () => this.#resumes)
    countBoth('voice_model_connects_total', 'Dials of model pools', 'pool', () => this.#connects)
  }

  #registerDistributions(registry: Registry): void {
    registerDurations(registry, {
      name: 'voice_turn_latency_seconds',
      help: 'From the end of the caller’s speech to the first audio of the answer',
      labels: [],
      read: () => [[{}, this.turnLatency]],
    })
    registerDurations(registry, {
      name: 'voice_added_latency_seconds',
      help: 'Time audio spends inside the plane',
      labels: ['direction'],
      read: () => Object.entries(this.addedLatency).map(([direction, durations]) => [{ direction }, durations]),
    })
    registerDurations(registry, {
      name: 'voice_tool_seconds',
      help: 'Duration of tool calls',
      labels: ['tool'],
      read: () => [...this.#tools].map(([tool, durations]) => [{ tool }, durations]),
    })
    registerDurations(registry, {
      name: 'voice_queue_wait_seconds',
      help: 'Time callers stood in the queue',
      labels: [],
      read: () => (this.#queueWait.count === 0 ? [] : [[{}, this.#queueWait]]),
    })
  }
}

/** Counts the connections that have shown neither signature nor token. */
export function registerUnauthenticated(
  registry: Registry,
  strangers: { readonly size: number; readonly ended: number } = { size: 0, ended: 0 },
): void {
  new Gauge({
    name: 'voice_unauthenticated_connections',
    help: 'Connections without a signature or a token',
    registers: [registry],
    collect() {
      this.set(strangers.size)
    },
  })
  new Counter({
    name: 'voice_unauthenticated_ended_total',
    help: 'Connections without a signature or a token ended to make room or for a further request',
    registers: [registry],
    collect() {
      this.reset()
      this.inc(strangers.ended)
    },
  })
}

/** Counts the log lines that nobody read in time; `dropped` is asked at the scrape. */
export function registerDroppedLines(registry: Registry, dropped: () => number = () => 0): void {
  new Counter({
    name: 'voice_log_lines_dropped_total',
    help: 'Log lines dropped because nobody read the log in time',
    registers: [registry],
    collect() {
      this.reset()
      this.inc(dropped())
    },
  })
}

function registerGauges(registry: Registry, sources: MetricSources): void {
  const gauge = (name: string, help: string, read: (() => number | undefined) | undefined, scale = 1) =>
    new Gauge({
      name,
      help,
      registers: [registry],
      collect() {
        const value = readSafely(read)
        if (value === undefined || !Number.isFinite(value)) this.remove()
        else this.set(value * scale)
      },
    })
  gauge('voice_active_calls', 'Calls live in this pod', () => sources.activeCalls())
  gauge('voice_demand_calls', 'Calls live in this pod, and its share of those queued or refused of late', () =>
    sources.demandCalls?.(),
  )
  gauge(
    'voice_event_loop_lag_seconds',
    'How late the event loop was, p99 of the last second',
    () => sources.eventLoopLagMs(),
    1e-3,
  )
  gauge(
    'voice_call_cost_cores',
    'Share of its core that one call takes, as this pod has learnt; absent: not known',
    () => sources.callCostCores?.(),
  )
  gauge(
    'voice_capacity_calls',
    'Calls from which on this pod takes no new ones: CALLS_MAX, or what it has learnt',
    () => sources.capacityCalls?.(),
  )
  gauge('voice_quota_used', wholeCell('Calls counted against the quota'), () => sources.quotaUsed?.())
  gauge('voice_quota_limit', wholeCell('Calls the quota allows'), () => sources.quotaLimit?.())
  gauge('voice_queue_depth', wholeCell('Callers in the queue'), () => sources.queueDepth?.())
  const gauges = (name: string, help: string, label: string, read: () => Record<string, number> | undefined) =>
    new Gauge({
      name,
      help,
      labelNames: [label],
      registers: [registry],
      collect() {
        this.reset()
        for (const [value, count] of Object.entries(readSafely(read) ?? {})) this.set({ [label]: value }, count)
      },
    })
  gauges('voice_leases', wholeCell('Leases of calls'), 'state', () => sources.leases?.())
  // Each pod learns it for itself, and all speak of the same pool.
  const ceiling = wholeCell('Sessions that a model pool bears, as this pod has learnt')
  gauges('voice_model_pool_ceiling', ceiling, 'pool', () => sources.poolCeilings?.())
}

function readSafely<T>(read: (() => T | undefined) | undefined): T | undefined {
  try {
    return read?.()
  } catch {
    return undefined // MX2: the sample is absent, the page still comes
  }
}
