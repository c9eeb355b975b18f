// The callers of a run: `load/main.ts` as a child whose witness logs go to the run's folder. Rules:
// CR1: the generator's own report is read at the end: how late it was stands beside every figure.
// CR2: it is ended with the run: asked to hang up, then stopped by pid.
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Bench } from '../bench/runner/bench.ts'
import type { LoadReport } from '../load/report/report.ts'
import { comesAbout } from '../src/kit/testing/patience.ts'

const HANG_UP_MS_MAX = 40_000

type CallerPlan = {
  url: string
  calls: number
  ratePerSecond: number
  /** How long a call stays unless the run hangs up before. */
  holdS: number
  scenario: string
  seed: number
  /** The number that is called: whose tenant's call it is. */
  number?: string
  /** Whether the carrier says that a call is over (true). */
  isTelling?: boolean
}

/** What the generator says of itself twice a second. */
type CallerTally = {
  live: number
  talking: number
  done: number
  failed: number
  dropped: number
  offered: number
}

export type Callers = {
  pid: number
  tally: () => CallerTally
  /** Waits until so many calls have a media stream, or have failed, or `maxMs` is over; whether all talk. */
  talking: (calls: number, maxMs: number) => Promise<boolean>
  /** Asks all callers to hang up, and does not wait. */
  askHangUp: () => void
  /** Hangs all calls up and waits for the report. */
  hangUp: () => Promise<LoadReport>
  /** Waits for the end of all calls by themselves. */
  report: () => Promise<LoadReport>
}

let started = 0

/** [CR1][CR2] Starts the callers of a run. The report of the model's log is not asked for: the checker reads that log itself. */
export function startCallers(run: Bench, plan: CallerPlan): Callers {
  const jsonFile = join(run.folder, `callers-${++started}.json`)
  const witnessDir = join(run.folder, `callers-${started}`)
  const args = [
    ...['--url', plan.url, '--calls', String(plan.calls), '--ramp', String(plan.ratePerSecond)],
    ...['--hold-s', String(plan.holdS), '--scenario', plan.scenario, '--seed', String(plan.seed)],
    ...['--probe', '--json', jsonFile, '--witness-dir', witnessDir],
    ...(plan.number === undefined ? [] : ['--number', plan.number]),
    ...(plan.isTelling === false ? ['--no-status'] : []),
  ]
  const child = fork(new URL('../load/main.ts', import.meta.url), args, {
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    env: { ...process.env, TWILIO_AUTH_TOKEN: run.authToken },
  })
  child.stderr!.resume()
  const exited = once(child, 'exit')
  run.atEnd(async () => endChild(child, exited))
  let last: CallerTally = { live: 0, talking: 0, done: 0, failed: 0, dropped: 0, offered: 0 }
  child.on('message', (message: { kind: string } & CallerTally) => {
    if (message.kind === 'progress') last = message
  })
  const report = async (): Promise<LoadReport> => {
    await exited
    return JSON.parse(await readFile(jsonFile, 'utf8')) as LoadReport
  }
  const askHangUp = (): void => {
    if (child.connected) child.send({ kind: 'hang-up' })
  }
  return {
    pid: child.pid!,
    tally: () => last,
    talking: (calls, maxMs) => waitTalking(run, calls, maxMs, () => last),
    report,
    askHangUp,
    hangUp: () => {
      askHangUp()
      return report()
    },
  }
}

async function waitTalking(run: Bench, calls: number, maxMs: number, last: () => CallerTally): Promise<boolean> {
  await comesAbout(() => last().talking >= calls, maxMs)
  run.note(`${last().talking} of ${calls} calls talk`)
  return last().talking >= calls
}

async function endChild(child: ChildProcess, exited: Promise<unknown>): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill('SIGTERM')
  const timer = setTimeout(() => child.kill('SIGKILL'), HANG_UP_MS_MAX)
  await exited
  clearTimeout(timer)
}
