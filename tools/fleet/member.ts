// One process of a fleet that may be hurt: a pod or a worker, again and again on one port. Rules:
// FP1: an end that nobody asked for is reported; one that was caused by `kill` is, too, since a fleet is there to be hurt.
// FP2: with `restart` one that ended is started again after RESTART_DELAY_MS, RESTARTS_MAX times a minute at most; then it stays down.
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describeExit, type Exit, type Launched, launch } from '../launch.ts'
import { ROOT } from '../tree.ts'
import type { HaproxyPod } from './haproxy-config.ts'

const RESTART_DELAY_MS = 500
const RESTARTS_MAX = 5
const RESTARTS_WITHIN_MS = 60_000
/** Two signals of one kind at once are one: the second must come after the first was taken. */
const SECOND_SIGNAL_AFTER_MS = 100

export type MemberOptions = {
  role: 'edge' | 'worker'
  /** Flags of Node. */
  flags?: readonly string[]
  place: HaproxyPod
  env: Readonly<Record<string, string>>
  logFile: string
  /** [FP2] */
  restart: boolean
  /** Told what happens to it, one line each. */
  say: (line: string) => void
}

/** A process that was started; it may have ended since. */
export class Member {
  readonly name: string
  readonly host: string
  readonly port: number
  readonly logFile: string
  readonly #options: MemberOptions
  #program: Launched
  readonly #stopping = new AbortController()
  #restartsMs: number[] = []
  #starting: Promise<void> | undefined

  private constructor(options: MemberOptions, program: Launched) {
    this.#options = options
    this.#program = program
    this.name = options.place.name
    this.host = options.place.host
    this.port = options.place.port
    this.logFile = options.logFile
    void this.#watch(program)
  }

  /** Starts it and waits until it is ready. */
  static async start(options: MemberOptions, signal?: AbortSignal): Promise<Member> {
    return new Member(options, await launchMember(options, signal))
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

  /** Sends a signal and does not wait: SIGTERM drains, a second one closes, SIGKILL is a crash, SIGSTOP one that hangs. */
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
    this.#program = await launchMember(this.#options, this.#stopping.signal)
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

function launchMember(
  { role, flags = [], place, env, logFile }: MemberOptions,
  signal?: AbortSignal,
): Promise<Launched> {
  return launch({
    name: place.name,
    command: process.execPath,
    args: [...flags, join(ROOT, 'src/main.ts'), role],
    env,
    logFile,
    isReady: async () => (await fetch(`http://${place.host}:${place.port}/ready`)).ok,
    signal,
  })
}
