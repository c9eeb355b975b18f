// How late the event loop is. Rules:
// LA1: lag is the p99 of the last whole window, without the sampling period itself; before the first window it is unknown.
// LA2: two histograms run half a window apart, because a reset loses the delay that spans it: the other one has it.
// LA3: the meter never keeps the process alive, and close() is idempotent.
import { monitorEventLoopDelay } from 'node:perf_hooks'

const WINDOW_MS = 1_000
const SAMPLE_EVERY_MS = 20 // at rest the two histograms wake the loop 100 times a second
const WINDOWS_KEPT = 20 // ten seconds; what liveness looks at

type DelayHistogram = ReturnType<typeof monitorEventLoopDelay>

/** Lag of one window, milliseconds. */
export type LagReading = { p99Ms: number; maxMs: number }

/** Measures the event loop's lag until it is closed. */
export class LagMeter {
  readonly #histograms: [DelayHistogram, DelayHistogram]
  readonly #timer: NodeJS.Timeout
  readonly #readings: LagReading[] = []
  #turn = 0

  constructor() {
    this.#histograms = [startHistogram(), startHistogram()]
    this.#timer = setInterval(() => this.#closeWindow(), WINDOW_MS / 2)
    this.#timer.unref()
  }

  /** The last whole window, or undefined before there is one. */
  get last(): LagReading | undefined {
    return this.#readings.at(-1)
  }

  /** True when every one of the last `windows` half-second readings (20 at most) reached `thresholdMs`. */
  isStuck(options: { thresholdMs: number; windows: number }): boolean {
    const recent = this.#readings.slice(-options.windows)
    return recent.length >= options.windows && recent.every(({ maxMs }) => maxMs >= options.thresholdMs)
  }

  close(): void {
    clearInterval(this.#timer)
    for (const histogram of this.#histograms) histogram.disable()
  }

  #closeWindow(): void {
    const histogram = this.#histograms[this.#turn % 2]!
    this.#turn += 1
    if (this.#turn > 1 && histogram.count > 0) {
      this.#readings.push({ p99Ms: lagMs(histogram.percentile(99)), maxMs: lagMs(histogram.max) })
      if (this.#readings.length > WINDOWS_KEPT) this.#readings.shift()
    }
    histogram.reset()
  }
}

function startHistogram(): DelayHistogram {
  const histogram = monitorEventLoopDelay({ resolution: SAMPLE_EVERY_MS })
  histogram.enable()
  return histogram
}

function lagMs(sampleNs: number): number {
  return Math.max(0, sampleNs / 1e6 - SAMPLE_EVERY_MS)
}
