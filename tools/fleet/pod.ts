// One pod of a fleet: `node <flags of npm run edge> src/main.ts edge`, again and again on one port. Rules:
// FP1: an end that nobody asked for is reported; one that was caused by `kill` is, too, since a fleet is there to be hurt.
// FP2: with `restart` a pod that ended is started again after RESTART_DELAY_MS, RESTARTS_MAX times a minute at most; then it stays down.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { ROOT } from '../tree.ts'
import { podEnvironment } from './environment.ts'
import type { HaproxyPod } from './haproxy-config.ts'
import { describeExit, type Exit, type Launched, launch } from './launch.ts'

const RESTART_DELAY_MS = 500
const RESTARTS_MAX = 5
const RESTARTS_WITHIN_MS = 60_000
/** Two signals of one kind at once are one: the second must come after the first was taken. */
const SECOND_SIGNAL_AFTER_MS = 100

export type PodOptions = {
  place: HaproxyPod
  /** Of all pods. */
  env: Readonly<Record<string, string>>
  logFile: string
  /** [FP2] */
  restart: boolean
  /** Told what happens to the pod, one line each. */
  say: (line: string) => void
}

/** A pod that was started; it may have ended since. */
export class Pod {
  readonly name: string
  readonly host: string
  readonly port: number
  readonly logFile: string
  readonly #options: PodOptions
  #program: Launched
  readonly #stopping = new AbortController()
  #restartsMs: number[] = []
  #starting: Promise<void> | undefined

  private constructor(options: PodOptions, program: Launched) {
    this.#options = options
    this.#program = program
    this.name = options.place.name
    this.host = options.place.host
    this.port = options.place.port
    this.logFile = options.logFile
    void this.#watch(program)
  }

  /** Starts a pod and waits until it is ready for calls. */
  static async start(options: PodOptions, signal?: AbortSignal): Promise<Pod> {
    return new Pod(options, await launchPod(options, signal))
  }

  /** Of the process of now. */
  get pid(): number {
    return this.#program.pid
  }

  /** `http://host:port`, past HAProxy. */
  get url(): string {
    return `http://${this.host}:${this.port}`
  }

  /** How the process of now has ended; undefined while it runs. */
  get exit(): Exit | undefined {
    return this.#program.exit
  }

  /** Resolves when the process of now has gone. */
  get exited(): Promise<Exit> {
    return this.#program.exited
  }

  /** Sends a signal and does not wait: SIGTERM drains, a second one closes, SIGKILL is a crash, SIGSTOP a pod that hangs. */
  kill(signal: NodeJS.Signals): void {
    this.#program.kill(signal)
  }

  /** Ends the process if it still runs (SIGKILL) and starts another on the same port; resolves when it is ready. */
  restart(): Promise<void> {
    this.#starting ??= this.#startAgain().finally(() => {
      this.#starting = undefined
    })
    return this.#starting
  }

  /** Ends it for good: SIGTERM, after `drainMs` or when `hurry` resolves a second one, later SIGKILL. Never rejects. */
  async stop(drainMs: number, hurry: Promise<unknown>): Promise<void> {
    this.#stopping.abort()
    await this.#starting?.catch(() => {})
    const bound = new AbortController()
    this.kill('SIGTERM')
    this.kill('SIGCONT')
    await Promise.race([
      this.exited,
      hurry,
      sleep(Math.max(drainMs, SECOND_SIGNAL_AFTER_MS), undefined, { signal: bound.signal }).catch(() => {}),
    ])
    bound.abort()
    await this.#program.stop()
  }

  async #startAgain(): Promise<void> {
    await this.#program.stop({ signal: 'SIGKILL' })
    this.#program = await launchPod(this.#options, this.#stopping.signal)
    void this.#watch(this.#program)
  }

  /** [FP1][FP2] */
  async #watch(program: Launched): Promise<void> {
    const { say, restart } = this.#options
    const how = await program.exited
    if (this.#stopping.signal.aborted) return
    say(`${this.name} (pid ${program.pid}) ended: ${describeExit(how)}; its log: ${this.logFile}`)
    if (!restart || this.#starting !== undefined) return
    const sinceMs = performance.now() - RESTARTS_WITHIN_MS
    this.#restartsMs = this.#restartsMs.filter((atMs) => atMs > sinceMs)
    if (this.#restartsMs.push(performance.now()) > RESTARTS_MAX) {
      say(`${this.name} ended ${RESTARTS_MAX + 1} times in a minute and stays down`)
      return
    }
    await sleep(RESTART_DELAY_MS)
    if (this.#stopping.signal.aborted || this.exit === undefined) return
    await this.restart().then(
      () => say(`${this.name} is up again (pid ${this.pid})`),
      (error: Error) => say(`${this.name} could not be started again: ${error.message}`),
    )
  }
}

function launchPod({ place, env, logFile }: PodOptions, signal?: AbortSignal): Promise<Launched> {
  return launch({
    name: place.name,
    command: process.execPath,
    args: [...edgeFlags(), join(ROOT, 'src/main.ts'), 'edge'],
    env: { ...env, ...podEnvironment(place) },
    logFile,
    isReady: async () => (await fetch(`http://${place.host}:${place.port}/ready`)).ok,
    signal,
  })
}

/** The flags of Node that `npm run edge` gives. */
function edgeFlags(): string[] {
  const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { scripts: { edge: string } }
  return manifest.scripts.edge.split(' ').filter((word) => word.startsWith('--'))
}
