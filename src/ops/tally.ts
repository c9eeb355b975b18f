// Cheap counts that the frame path may touch: plain numbers, turned into Prometheus samples only when scraped. Rules:
// TY1: counting allocates nothing once a label is known.
// TY2: labels are bounded: beyond LABELS_MAX a new one is counted as `other`, so that foreign text cannot grow memory.
// TY3: a histogram's buckets are fixed at its making; the sum and the count are exact.
import type { Gauge, MetricValueWithName, Registry } from 'prom-client'

const LABELS_MAX = 100
const LABEL_CHARACTERS_MAX = 120
const OTHER = 'other'
const WHOLE_CELL = ' (whole cell: never the sum over pods)'

/** The help of a figure that every pod of a cell reports for the whole cell. */
export function wholeCell(help: string): string {
  return help + WHOLE_CELL
}

/** Whether a help was made by `wholeCell`. */
export function isWholeCell(help: string): boolean {
  return help.endsWith(WHOLE_CELL)
}

/** A count per label. */
export class Tally {
  readonly #counts = new Map<string, number>()

  add(label: string, count = 1): void {
    const known = this.#counts.get(label)
    if (known !== undefined) this.#counts.set(label, known + count)
    else this.#addNew(label, count)
  }

  /** Labels with their counts. */
  entries(): Iterable<[string, number]> {
    return this.#counts.entries()
  }

  #addNew(label: string, count: number): void {
    const isFit = this.#counts.size < LABELS_MAX && label.length <= LABEL_CHARACTERS_MAX
    const name = isFit ? label : OTHER
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + count)
  }
}

/** A distribution of durations over fixed buckets; observing costs a few comparisons. */
export class Durations {
  readonly #boundsMs: readonly number[]
  readonly #counts: Float64Array
  #count = 0
  #sumMs = 0

  /** `boundsMs` rise; a value above the last one counts only in +Inf. */
  constructor(boundsMs: readonly number[]) {
    this.#boundsMs = boundsMs
    this.#counts = new Float64Array(boundsMs.length + 1)
  }

  /** Counts one duration in milliseconds; what is no number or below zero counts as nothing. */
  observeMs(ms: number): void {
    if (!(ms >= 0)) return
    let at = 0
    while (at < this.#boundsMs.length && ms > this.#boundsMs[at]!) at += 1
    this.#counts[at]! += 1
    this.#count += 1
    this.#sumMs += ms
  }

  get count(): number {
    return this.#count
  }

  /** The Prometheus samples under `name`, in seconds. */
  samples(name: string, labels: Record<string, string>): MetricValueWithName<string>[] {
    let below = 0
    const buckets = [...this.#boundsMs, Number.POSITIVE_INFINITY].map((boundMs, at) => {
      below += this.#counts[at]!
      const le = boundMs === Number.POSITIVE_INFINITY ? '+Inf' : String(boundMs / 1000)
      return { metricName: `${name}_bucket`, labels: { ...labels, le }, value: below }
    })
    return [
      ...buckets,
      { metricName: `${name}_sum`, labels, value: this.#sumMs / 1000 },
      { metricName: `${name}_count`, labels, value: this.#count },
    ]
  }
}

/** Registers a histogram whose samples are read at the scrape; prom-client's own is too dear for the frame path. */
export function registerDurations(
  registry: Registry,
  of: {
    name: string
    help: string
    /** Names of the labels that `read` gives. */
    labels: readonly string[]
    read: () => Iterable<[labels: Record<string, string>, durations: Durations]>
  },
): void {
  const metric = {
    name: of.name,
    help: of.help,
    type: 'histogram',
    labelNames: of.labels,
    async get() {
      const values = [...of.read()].flatMap(([labels, durations]) => durations.samples(of.name, labels))
      return { name: of.name, help: of.help, type: 'histogram', aggregator: 'sum', values }
    },
    reset() {},
  }
  registry.registerMetric(metric as unknown as Gauge)
}
