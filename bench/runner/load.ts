// Drives `load/main.ts` as a child of a bench: waits until all calls talk, hangs up when the measurement is over, reads the report.
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { LoadReport } from '../../load/report/report.ts'
import { median } from '../../load/report/statistics.ts'
import type { Bench } from './bench.ts'
import { stopChild } from './child.ts'

const TALKING_SLACK_MS = 30_000
const POLL_MS = 100
const NOTED_EVERY_MS = 5_000

type LoadPlan = {
  urls: string[]
  calls: number
  ratePerSecond: number
  holdS: number
  scenario: string
  seed: number
  isProbing?: boolean
  modelWitnesses?: string[]
  processes?: number
  /** A call may hear the busy answer instead of talking; otherwise that breaks the run. */
  mayBeRefused?: boolean
}

type ProgressMessage = {
  kind: 'progress'
  talking: number
  live: number
  done: number
  failed: number
  dropped: number
  refused: number
  offered: number
}

/** A running load generator. */
export type RunningLoad = {
  pid: number
  talking: () => number
  /** Resolves when all calls have their media stream or, where that may be, were refused; rejects when that does not come about. */
  allTalking: () => Promise<void>
  hangUp: () => void
  /** Resolves when the generator has ended by itself. */
  report: () => Promise<LoadReport>
}

let runs = 0

/** Starts the generator; it is ended with the bench, and ends by itself when its channel closes. */
export function startLoad(bench: Bench, plan: LoadPlan): RunningLoad {
  if (bench.isOver) throw new Error('the load generator: not started, the bench is over')
  const jsonFile = join(bench.folder, `load-${++runs}.json`)
  const child = fork(new URL('../../load/main.ts', import.meta.url), argumentsOf(plan, jsonFile), {
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    env: { ...process.env, TWILIO_AUTH_TOKEN: bench.authToken },
  })
  child.stderr!.resume()
  bench.atEnd(() => stopChild(child))
  let last: ProgressMessage = {
    kind: 'progress',
    talking: 0,
    live: 0,
    done: 0,
    failed: 0,
    dropped: 0,
    refused: 0,
    offered: 0,
  }
  child.on('message', (message: ProgressMessage) => {
    if (message.kind === 'progress') last = message
  })
  const exited = once(child, 'exit')
  return {
    pid: child.pid!,
    talking: () => last.talking,
    allTalking: () => waitTalking(bench, plan, child, () => last),
    hangUp: () => {
      if (child.connected) child.send({ kind: 'hang-up' })
    },
    report: async () => {
      await exited
      return JSON.parse(await readFile(jsonFile, 'utf8')) as LoadReport
    },
  }
}

function argumentsOf(plan: LoadPlan, jsonFile: string): string[] {
  return [
    ...plan.urls.flatMap((url) => ['--url', url]),
    ...['--calls', String(plan.calls), '--ramp', String(plan.ratePerSecond), '--hold-s', String(plan.holdS)],
    ...['--scenario', plan.scenario, '--seed', String(plan.seed), '--json', jsonFile],
    ...(plan.isProbing === true ? ['--probe'] : []),
    ...(plan.modelWitnesses ?? []).flatMap((path) => ['--model-witness', path]),
    ...(plan.processes === undefined ? [] : ['--processes', String(plan.processes)]),
  ]
}

async function waitTalking(
  bench: Bench,
  plan: LoadPlan,
  child: ChildProcess,
  last: () => ProgressMessage,
): Promise<void> {
  const deadline = performance.now() + (plan.calls / plan.ratePerSecond) * 1_000 + TALKING_SLACK_MS
  let noteAt = performance.now() + NOTED_EVERY_MS
  while (last().talking + last().refused < plan.calls) {
    const { talking, failed, dropped, refused } = last()
    if (failed + dropped > 0)
      throw new Error(`${failed} set-ups failed and ${dropped} calls were dropped while the load came up`)
    if (refused > 0 && plan.mayBeRefused !== true) throw new Error(`${refused} calls were refused`)
    if (child.exitCode !== null) throw new Error(`the load generator ended with code ${child.exitCode}`)
    if (performance.now() > deadline) throw new Error(`only ${talking} of ${plan.calls} calls talk`)
    if (performance.now() > noteAt) {
      noteAt += NOTED_EVERY_MS
      bench.note(`${talking} of ${plan.calls} calls talk`)
    }
    await bench.pause(POLL_MS)
  }
}

/** Lateness of the generator over several reports, the worst of each kind. */
export function worstLateness(reports: readonly LoadReport[]): {
  p99Ms: number | null
  maxMs: number | null
  isLate: boolean
} {
  const p99 = reports.flatMap((report) => report.figures.generator.latenessMs.p99 ?? [])
  const max = reports.flatMap((report) => report.figures.generator.latenessMs.max ?? [])
  return {
    p99Ms: p99.length === 0 ? null : Math.max(...p99),
    maxMs: max.length === 0 ? null : Math.max(...max),
    isLate: reports.some((report) => report.figures.generator.isLate),
  }
}

/** Median over rounds, rounded to three decimals; null when no round gave a figure. */
export function medianOf(values: readonly number[]): number | null {
  return values.length === 0 ? null : Math.round(median(values) * 1_000) / 1_000
}
