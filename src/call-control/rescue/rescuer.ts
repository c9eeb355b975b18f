// Calls whose pod is gone while their carrier believes in it, or has hung up unheard: found by their leases. Rules:
// RU1: a call is watched from when its lease is reaped; a sweep of all live calls, about one for the fleet each SWEEP_MS, finds
//      those that nobody saw reaped.
// RU2: it is lost when its lease has been silent for LOST_MS and its pod does not answer, or for FENCED_MS whatever that pod
//      says, or when it has had no lease for ABSENT_MS (ENDED_MS without the carrier's REST, where a silent lease is awaited).
//      Nothing is judged by a store that is away or recovers.
// RU3: a rescue that came to nothing is tried again, each time twice as late, TAKE_MS · 2^DOUBLINGS_MAX at most.
// RU4: at most WATCHED_MAX calls are watched and RESCUES_MAX rescued at once; what is beyond is found by a later sweep.
import type { CellUsage, LeaseSeen, PodEntry, Reaped } from '../../control/ports.ts'
import { askWithin } from '../../control/store-answer.ts'
import { messageOf } from '../../kit/errors.ts'
import type { CallSid } from '../../kit/ids.ts'
import type { WheelTimer } from '../../kit/wheel.ts'
import type { Peers } from '../peers.ts'
import { Rescue, type RescueOutcome, type RescueParts, STORE_MS } from './rescue.ts'

export const RESCUES_MAX = 50
const WATCHED_MAX = 10_000
const LOOK_BATCH = 1_000
const SWEEP_PAGE = 500
const SWEEP_PAGES_MAX = 200
const ASK_POD_MS = 1_000
const DOUBLINGS_MAX = 5
const JITTER = 0.3

/** In ms. A pod without the store fences itself after 45 s (control/self-fence.ts): by FENCED_MS it acts no more. */
export const RESCUE_TIMES = {
  lookMs: 2_000,
  sweepMs: 30_000,
  lostMs: 20_000,
  fencedMs: 50_000,
  absentMs: 30_000,
  endedMs: 60_000,
  takeMs: 30_000,
}
export type RescueTimes = typeof RESCUE_TIMES

type RescuerParts = RescueParts & {
  pod: string
  peers: Pick<Peers, 'storeWord'>
  pods: () => readonly PodEntry[]
  usage: () => CellUsage | undefined
  onRescue: (outcome: RescueOutcome) => void
  times?: Partial<RescueTimes> | undefined
}

type Watched = { absentSinceMs: number | undefined; notBeforeMs: number; tries: number; isAtWork: boolean }

export class Rescuer {
  readonly #parts: RescuerParts
  readonly #times: RescueTimes
  readonly #rescue: Rescue
  readonly #watched = new Map<CallSid, Watched>()
  /** Those of the watched that are lost and wait for their rescue. */
  readonly #lost: CallSid[] = []
  readonly #timers = new Map<'look' | 'sweep', WheelTimer>()
  #atWork = 0
  #isClosed = false

  constructor(parts: RescuerParts) {
    this.#parts = parts
    this.#times = { ...RESCUE_TIMES, ...parts.times }
    this.#rescue = new Rescue(parts, this.#times.takeMs)
  }

  /** Calls that are watched now. */
  get watchedCount(): number {
    return this.#watched.size
  }

  start(): void {
    this.#later('look', this.#times.lookMs, () => this.#look())
    this.#later('sweep', this.#times.sweepMs, () => this.#sweep())
  }

  close(): void {
    this.#isClosed = true
    for (const timer of this.#timers.values()) this.#parts.wheel.cancel(timer)
    this.#watched.clear()
    this.#lost.length = 0
    this.#rescue.close()
  }

  /** What this pod reaped: no other pod hears of it. */
  reaped({ noShows, suspected, dropped }: Reaped): void {
    for (const callSid of [...noShows, ...suspected, ...dropped]) this.#watch(callSid)
  }

  #watch(callSid: CallSid): void {
    if (this.#isClosed || this.#watched.has(callSid) || this.#watched.size >= WATCHED_MAX) return
    this.#watched.set(callSid, { absentSinceMs: undefined, notBeforeMs: 0, tries: 0, isAtWork: false })
  }

  /** One look at the leases of those who are watched. */
  async #look(): Promise<void> {
    if (!this.#isSure()) {
      for (const watched of this.#watched.values()) watched.absentSinceMs = undefined
      return
    }
    const due = this.#due()
    if (due.length === 0) return
    const answer = await this.#ask(() => this.#parts.leases.look(due))
    if (answer === undefined) return
    const seen = new Map(answer.value.map((lease) => [lease.callSid, lease]))
    const living = await this.#livingPods(answer.value)
    for (const callSid of due) {
      const watched = this.#watched.get(callSid)
      if (watched === undefined || this.#isClosed) continue
      this.#watched.delete(callSid) // to the end of the line, or out of it
      const lease = seen.get(callSid)
      const verdict = this.#judge(watched, lease, living)
      if (verdict === 'kept') continue
      this.#watched.set(callSid, watched)
      if (verdict !== 'lost') continue
      watched.isAtWork = true
      this.#lost.push(callSid)
    }
    this.#pump()
  }

  #pump(): void {
    while (this.#atWork < RESCUES_MAX && this.#lost.length > 0) {
      const callSid = this.#lost.shift()!
      const watched = this.#watched.get(callSid)
      if (watched !== undefined) void this.#work(callSid, watched)
    }
  }

  #due(): CallSid[] {
    const nowMs = this.#parts.clock.monotonicMs()
    const due: CallSid[] = []
    for (const [callSid, { isAtWork, notBeforeMs }] of this.#watched) {
      if (due.length >= LOOK_BATCH) break
      if (!isAtWork && notBeforeMs <= nowMs) due.push(callSid)
    }
    return due
  }

  /** [RU2] */
  #judge(watched: Watched, lease: LeaseSeen | undefined, living: ReadonlySet<string>): 'kept' | 'later' | 'lost' {
    const { lostMs, fencedMs, absentMs, endedMs } = this.#times
    const hasRest = this.#parts.carrier !== undefined
    if (lease === undefined) {
      const nowMs = this.#parts.clock.monotonicMs()
      watched.absentSinceMs ??= nowMs
      return nowMs - watched.absentSinceMs >= (hasRest ? absentMs : endedMs) ? 'lost' : 'later'
    }
    watched.absentSinceMs = undefined
    if (lease.state !== 'suspect') return 'kept'
    if (!hasRest || lease.silentMs < lostMs) return 'later'
    return lease.silentMs < fencedMs && living.has(lease.pod) ? 'later' : 'lost'
  }

  /** Of the pods whose leases are silent, those that answer. */
  async #livingPods(leases: readonly LeaseSeen[]): Promise<Set<string>> {
    const { pods, peers, pod: own } = this.#parts
    const silent = leases.filter(({ state, silentMs }) => state === 'suspect' && silentMs >= this.#times.lostMs)
    const names = new Set(silent.map(({ pod }) => pod))
    const living = new Set<string>()
    const ask = async ({ pod, address }: PodEntry): Promise<void> => {
      if (pod === own || (await peers.storeWord(address, ASK_POD_MS)) !== 'unknown') living.add(pod)
    }
    await Promise.all(
      pods()
        .filter(({ pod, state }) => names.has(pod) && state !== 'down')
        .map(ask),
    )
    return living
  }

  async #work(callSid: CallSid, watched: Watched): Promise<void> {
    const { onRescue, log, clock } = this.#parts
    this.#atWork += 1
    let outcome: RescueOutcome = 'failed'
    try {
      outcome = await this.#rescue.of(callSid)
    } catch (error) {
      log.error({ callSid, reason: messageOf(error) }, 'a rescue broke off')
    }
    this.#atWork -= 1
    watched.isAtWork = false
    if (outcome !== 'none' && outcome !== 'later') log.info({ callSid, outcome }, 'a lost call was looked after')
    onRescue(outcome)
    if (outcome === 'ended' || outcome === 'none') this.#watched.delete(callSid)
    else {
      // Also one that was sent on: when it has arrived, its lease says so and the watch is over.
      watched.notBeforeMs = clock.monotonicMs() + this.#times.takeMs * 2 ** Math.min(DOUBLINGS_MAX, watched.tries)
      watched.tries += 1
    }
    this.#pump()
  }

  /** [RU1] */
  async #sweep(): Promise<void> {
    const { records, leases } = this.#parts
    let after: CallSid | undefined
    for (let page = 0; page < SWEEP_PAGES_MAX && this.#isSure() && !this.#isClosed; page += 1) {
      const live = await this.#ask(() => records.live({ after, max: SWEEP_PAGE }))
      if (live === undefined || live.value.length === 0) return
      const callSids = live.value.map(({ callSid }) => callSid)
      const answer = await this.#ask(() => leases.look(callSids))
      if (answer === undefined) return
      const kept = new Set(answer.value.filter(({ state }) => state !== 'suspect').map(({ callSid }) => callSid))
      for (const callSid of callSids) if (!kept.has(callSid)) this.#watch(callSid)
      after = callSids.at(-1)
      if (callSids.length < SWEEP_PAGE) return
    }
  }

  #isSure(): boolean {
    return this.#parts.usage()?.isRecovering === false
  }

  async #ask<T>(question: () => Promise<T>): Promise<{ value: T } | undefined> {
    const answer = await askWithin(this.#parts.wheel, STORE_MS, question)
    return answer.kind === 'answer' ? answer : undefined
  }

  #later(loop: 'look' | 'sweep', ms: number, run: () => Promise<void>): void {
    if (this.#isClosed) return
    const ready = Math.max(1, this.#parts.pods().filter(({ state }) => state === 'ready').length)
    const share = loop === 'sweep' ? ready : 1 // each pod sweeps the more seldom the more there are
    const delayMs = ms * share * (1 - JITTER + 2 * JITTER * Math.random())
    const timer = this.#parts.wheel.after(delayMs, () => {
      void run()
        .catch((error: unknown) => this.#parts.log.error({ reason: messageOf(error) }, 'looking after calls failed'))
        .finally(() => this.#later(loop, ms, run))
    })
    this.#timers.set(loop, timer)
  }
}
