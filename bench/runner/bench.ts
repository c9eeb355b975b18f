// What every bench has at hand: its options, notes on standard error, a folder, and an orderly end. Rules:
// B1: standard output carries nothing but the one JSON line that main.ts prints last.
// B2: what was started is ended in the reverse order, whatever happened.
// B3: a bench that is over starts nothing more: its case may still run when it was interrupted, and what it starts then is ended at once.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/** Options from the command line; undefined means the bench's own default. */
export type BenchOptions = {
  calls?: number
  seconds?: number
  rounds?: number
  pods?: number
  only?: string[]
  isBounds?: boolean
}

/** One requirement with what was measured. */
export type Check = { name: string; value: number | null; limit: string; pass: boolean }

/** What a bench hands back; `pass` is that of all checks. */
export type BenchResult = {
  figures: Record<string, unknown>
  samples: Record<string, unknown>
  generator: unknown
  checks: Check[]
}

export type BenchCase = { text: string; run: (bench: Bench) => Promise<BenchResult> }

export class Bench {
  readonly name: string
  readonly options: BenchOptions
  readonly folder: string
  /** Signs the carrier's webhooks; the plane is given the same. */
  readonly authToken = 'bench-auth-token-0123456789'
  readonly #ends: (() => Promise<void>)[] = []
  readonly #startedAt = performance.now()
  #isOver = false

  constructor(name: string, options: BenchOptions, folder: string) {
    this.name = name
    this.options = options
    this.folder = folder
  }

  static async open(name: string, options: BenchOptions): Promise<Bench> {
    return new Bench(name, options, await mkdtemp(join(tmpdir(), `voiceplane-bench-${name}-`)))
  }

  /** Says on standard error what goes on. */
  note(text: string): void {
    const seconds = ((performance.now() - this.#startedAt) / 1_000).toFixed(0).padStart(4)
    process.stderr.write(`${seconds} s  ${this.name}: ${text}\n`)
  }

  pause(ms: number): Promise<void> {
    return sleep(ms)
  }

  /** Nothing may be started any more. */
  get isOver(): boolean {
    return this.#isOver
  }

  /** [B3] */
  atEnd(end: () => Promise<void>): void {
    if (this.#isOver) void this.#end(end)
    else this.#ends.push(end)
  }

  /** [B2] */
  async close(): Promise<void> {
    this.#isOver = true
    for (let end = this.#ends.pop(); end !== undefined; end = this.#ends.pop()) await this.#end(end)
    await rm(this.folder, { recursive: true, force: true })
  }

  async #end(end: () => Promise<void>): Promise<void> {
    await end().catch((error: Error) => this.note(error.message))
  }
}

/** A check that holds when `value` is at most `max`; a figure that is missing fails it. */
export function atMost(name: string, value: number | null | undefined, max: number, unit = ''): Check {
  const isKnown = typeof value === 'number' && Number.isFinite(value)
  return { name, value: isKnown ? value : null, limit: `≤ ${max}${unit}`, pass: isKnown && value <= max }
}

/** A check that holds when `value` is at least `min`; a figure that is missing fails it. */
export function atLeast(name: string, value: number | null | undefined, min: number, unit = ''): Check {
  const isKnown = typeof value === 'number' && Number.isFinite(value)
  return { name, value: isKnown ? value : null, limit: `≥ ${min}${unit}`, pass: isKnown && value >= min }
}
