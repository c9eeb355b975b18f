// What every chaos run has at hand, and what it hands back. Rules:
// RN1: all chance of a run comes from its seed: which pod, when, how long; the same seed gives the same schedule.
// RN2: everything that was started is ended in the reverse order, whatever happened (bench/runner/bench.ts).
// RN3: with `--keep` all logs of the run are copied at its end; a pipe holds nothing to keep and is left out.
import { cp, lstat, mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { Bench, type Check } from '../bench/runner/bench.ts'
import { type Random, seededRandom } from '../load/plan/arrivals.ts'
import type { ChaosOptions } from './arguments.ts'
import { FaultLog } from './witness/fault-log.ts'

export type { Check } from '../bench/runner/bench.ts'
export { atLeast, atMost } from '../bench/runner/bench.ts'

export class ChaosRun extends Bench {
  readonly asked: ChaosOptions
  readonly random: Random
  readonly faults: FaultLog

  constructor(name: string, asked: ChaosOptions, folder: string) {
    super(name, {}, folder)
    this.asked = asked
    this.random = seededRandom(asked.seed)
    this.faults = new FaultLog(join(folder, 'faults.jsonl'))
  }

  static async start(name: string, asked: ChaosOptions): Promise<ChaosRun> {
    const run = new ChaosRun(name, asked, await mkdtemp(join(tmpdir(), `voiceplane-chaos-${name}-`)))
    const { keep } = asked
    // The first of the ends is the last to come: all logs are closed then.
    if (keep !== undefined) run.atEnd(() => keepFolder(run.folder, resolve(keep)))
    return run
  }

  /** A whole number from `min` to `max`, by the seed. */
  between(min: number, max: number): number {
    return min + Math.floor(this.random() * (max - min + 1))
  }

  /** One of `values`, by the seed. */
  pick<T>(values: readonly T[]): T {
    return values[Math.floor(this.random() * values.length)]!
  }
}

/** What a run proves: `pass` is that of all checks. */
export type Outcome = {
  /** How many calls, kills and so on the figures are of. */
  samples: Record<string, unknown>
  figures: Record<string, unknown>
  checks: Check[]
  generator: { p99Ms: number | null; maxMs: number | null; isLate: boolean }
}

export type ChaosCase = {
  /** Numbers of the fault catalogue. */
  faults: string
  text: string
  run: (run: ChaosRun) => Promise<Outcome>
}

/** A check that holds when `value` is exactly `wanted`. */
export function exactly(name: string, value: number, wanted: number): Check {
  return { name, value, limit: `= ${wanted}`, pass: value === wanted }
}

/** Copies the logs of a run. A pipe holds nothing that could be kept, and cannot be copied. */
async function keepFolder(from: string, to: string): Promise<void> {
  const isKept = async (path: string): Promise<boolean> => !(await lstat(path)).isFIFO()
  await cp(from, to, { recursive: true, force: true, filter: isKept })
}
