// Starts the caller processes, gives each its calls, and gathers what they report. Rules:
// CN1: a caller process that dies is an error of the run for each of its calls that had not ended; the others go on.
// CN2: `hangUp()` is asked once; callers that have not finished STOP_MS later are killed, by pid.
import { type ChildProcess, fork } from 'node:child_process'
import { join } from 'node:path'
import { type FromCaller, nowUs, type Tally, type ToCaller } from './messages.ts'
import type { LoadOptions } from './options.ts'
import { arrivalsMs, seededRandom } from './plan/arrivals.ts'
import { chooseScenario, type PlannedCall } from './plan/scenario.ts'
import type { FinishedCall, TimePoint } from './report/figures.ts'

const READY_MS = 60_000
const STOP_MS = 15_000
const START_IN_US = 200_000
const CALLS_PER_PROCESS = 250

/** Sums of all caller processes. */
export type Progress = Tally & { total: number; elapsedS: number }

export type ConductorResult = {
  calls: FinishedCall[]
  errors: string[]
  offered: number
  startUs: number
  timeline: TimePoint[]
  processes: number
  witnessPaths: string[]
}

type Caller = {
  child: ChildProcess
  planned: PlannedCall[]
  tally: Tally
  pending: Set<number>
  state: 'starting' | 'ready' | 'over'
}

const NO_TALLY: Tally = { offered: 0, live: 0, talking: 0, done: 0, failed: 0, dropped: 0, refused: 0, latenessMs: 0 }

/** How many caller processes a run gets: one per CALLS_PER_PROCESS calls, at most one per core, a multiple of the URLs. */
export function countProcesses(options: Pick<LoadOptions, 'processes' | 'calls' | 'urls'>, cores: number): number {
  if (options.processes !== 'auto') return options.processes
  const wanted = Math.min(Math.max(1, Math.ceil(options.calls / CALLS_PER_PROCESS)), Math.max(1, cores))
  return Math.ceil(wanted / options.urls.length) * options.urls.length
}

/** The calls of a run in the order of their arrival; the numbers are `firstNumber` and on. */
export function planCalls(options: LoadOptions, firstNumber: number): PlannedCall[] {
  const random = seededRandom(options.seed)
  const times = arrivalsMs(options.calls, options.ratePerSecond, options.arrivals, random)
  return times.map((atMs, i) => ({
    number: firstNumber + i,
    atMs,
    scenario: chooseScenario(options.scenarios, random),
    seed: Math.floor(random() * 4_294_967_296),
  }))
}

export class Conductor {
  readonly #options: LoadOptions
  readonly #witnessDir: string
  readonly #total: number
  readonly #callers: Caller[] = []
  readonly #calls: FinishedCall[] = []
  readonly #errors: string[] = []
  readonly #timeline: TimePoint[] = []
  readonly #witnessPaths: string[] = []
  #startUs = 0
  #killTimer: NodeJS.Timeout | undefined
  #finish: () => void = () => undefined

  constructor(options: LoadOptions, witnessDir: string) {
    this.#options = options
    this.#witnessDir = witnessDir
    this.#total = options.calls
  }

  /** Runs all calls; `onProgress` is called about twice a second per process. */
  async run(
    processes: number,
    firstNumber: number,
    onProgress: (progress: Progress) => void,
  ): Promise<ConductorResult> {
    const plans: PlannedCall[][] = Array.from({ length: processes }, () => [])
    for (const [i, call] of planCalls(this.#options, firstNumber).entries()) plans[i % processes]!.push(call)
    const over = Promise.withResolvers<void>()
    this.#finish = over.resolve
    try {
      await Promise.all(plans.map((plan, i) => this.#startCaller(i, plan, onProgress)))
    } catch (error) {
      this.kill()
      throw error
    }
    this.#startUs = nowUs() + START_IN_US
    // A hang-up that came while callers were starting was not heard by them: it takes the place of the start.
    const isCalledOff = this.#killTimer !== undefined
    for (const { child } of this.#callers) {
      send(child, isCalledOff ? { kind: 'hang-up' } : { kind: 'go', startUs: this.#startUs })
    }
    if (this.#callers.every((caller) => caller.state === 'over')) over.resolve()
    await over.promise
    clearTimeout(this.#killTimer)
    return {
      calls: this.#calls,
      errors: this.#errors,
      offered: this.progress().offered,
      startUs: this.#startUs,
      timeline: this.#timeline,
      processes,
      witnessPaths: this.#witnessPaths,
    }
  }

  /** [CN2] */
  hangUp(): void {
    if (this.#killTimer !== undefined) return
    for (const { child } of this.#callers) send(child, { kind: 'hang-up' })
    this.#killTimer = setTimeout(() => this.kill(), STOP_MS)
  }

  /** Ends the caller processes at once. */
  kill(): void {
    for (const { child } of this.#callers) if (child.exitCode === null) child.kill('SIGKILL')
  }

  progress(): Progress {
    const sums = { ...NO_TALLY }
    for (const { tally } of this.#callers) {
      sums.offered += tally.offered
      sums.live += tally.live
      sums.talking += tally.talking
      sums.done += tally.done
      sums.failed += tally.failed
      sums.dropped += tally.dropped
      sums.refused += tally.refused
      sums.latenessMs = Math.max(sums.latenessMs, tally.latenessMs)
    }
    const elapsedS = this.#startUs === 0 ? 0 : Math.max(0, (nowUs() - this.#startUs) / 1e6)
    return { ...sums, total: this.#total, elapsedS }
  }

  #startCaller(index: number, planned: PlannedCall[], onProgress: (progress: Progress) => void): Promise<void> {
    const child = fork(new URL('./caller.ts', import.meta.url), { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
    const caller: Caller = {
      child,
      planned,
      tally: NO_TALLY,
      pending: new Set(planned.map((call) => call.number)),
      state: 'starting',
    }
    this.#callers.push(caller)
    const { urls, accountSid, authToken, number, holdS, isProbing, isCallerFirst, afterStream } = this.#options
    const { voicePath, statusPath, mediaUrl, mayBeRemote } = this.#options
    const witnessPath = join(this.#witnessDir, `carrier-${index}.jsonl`)
    this.#witnessPaths.push(witnessPath)
    const ready = Promise.withResolvers<void>()
    const timer = setTimeout(
      () => ready.reject(new Error(`caller process ${index} was not ready in ${READY_MS} ms`)),
      READY_MS,
    )
    child.on('message', (message: FromCaller) => {
      if (message.kind === 'ready') {
        caller.state = 'ready'
        ready.resolve()
      } else this.#take(caller, message, onProgress)
    })
    child.on('exit', (code, signal) => {
      ready.resolve()
      this.#lost(caller, index, signal ?? `code ${code}`)
    })
    const baseUrl = urls[index % urls.length]!
    const setup = {
      process: index,
      baseUrl,
      accountSid,
      authToken,
      number,
      holdS,
      voicePath,
      statusPath,
      mediaUrl,
      mayBeRemote,
      isProbing,
      isCallerFirst,
      afterStream,
      witnessPath,
      calls: planned,
    }
    send(child, { kind: 'set-up', setup })
    return ready.promise.finally(() => clearTimeout(timer))
  }

  #take(
    caller: Caller,
    message: Exclude<FromCaller, { kind: 'ready' }>,
    onProgress: (progress: Progress) => void,
  ): void {
    if (message.kind === 'call') {
      caller.pending.delete(message.call.number)
      this.#calls.push(message.call)
    } else if (message.kind === 'error') this.#errors.push(message.text)
    else if (message.kind === 'tally') {
      caller.tally = message.tally
      const progress = this.progress()
      const { elapsedS: atS, offered, live, failed, dropped, latenessMs } = progress
      if (this.#startUs !== 0) this.#timeline.push({ atS, offered, live, failed, dropped, latenessMs })
      onProgress(progress)
    } else this.#over(caller)
  }

  /** [CN1] */
  #lost(caller: Caller, index: number, how: string): void {
    if (caller.state === 'over') return
    const unfinished = [...caller.pending].length
    this.#errors.push(`caller process ${index} ended (${how}) with ${unfinished} calls not reported`)
    this.#over(caller)
  }

  #over(caller: Caller): void {
    caller.state = 'over'
    if (this.#callers.every((one) => one.state === 'over')) this.#finish()
  }
}

function send(child: ChildProcess, message: ToCaller): void {
  if (child.connected) child.send(message, () => undefined)
}
