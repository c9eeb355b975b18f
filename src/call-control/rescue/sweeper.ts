// Live calls that no pod looks after, whatever became of their pods: a worker ends them, so that what follows them is done. Rules:
// SWP1: a call is looked at when no pod has saved it for silentMs, each sweepMs; at most SWEEP_MAX of them in one sweep, the next one goes on
//      behind them. A call that was never saved is judged by its age, which is callMaxMs where nobody else can be asked.
// SWP2: a lease that is renewed, or was of late, keeps its call; leases that do not answer, or recover, keep all.
// SWP3: the carrier decides where it can be asked: what goes on there, or is not answered, is left alone; it is for pods to send on.
// SWP4: where neither can be asked the silence decides; a database that was away is trusted only when it has answered for settleMs, so that
//      pods have written again.
// SWP5: one at a time asks about a call, and an end bears the epoch of the row that was looked at: who claims it meanwhile is not overtaken.
import type { LeaseSeen, LeaseStore } from '../../control/ports.ts'
import type { CallRecords, LiveCall } from '../../control/records.ts'
import type { Clock } from '../../kit/clock.ts'
import { messageOf } from '../../kit/errors.ts'
import type { CallSid } from '../../kit/ids.ts'
import type { Log } from '../../kit/log.ts'
import { Rounds } from '../../kit/rounds.ts'
import type { Wheel } from '../../kit/wheel.ts'
import type { CarrierCalls, CarrierEndCause } from '../carrier-calls.ts'
import { endOfRow } from '../resume.ts'
import { RESCUE_TIMES } from './rescuer.ts'

export const SWEEP_MAX = 1_000
const SWEEP_PAGE = 200
/** Calls of which the carrier is asked at once. */
const AT_ONCE = 10

/** In ms. */
export type SweeperTimes = { sweepMs: number; silentMs: number; callMaxMs: number; settleMs: number }

/** How often, and how long the database has answered before a sweep judges. */
export const SWEEP_TIMES = { sweepMs: 30_000, settleMs: 60_000 }

/** `ended`: its end was written. `kept`: its lease, or the carrier, knows it live. `later`: another is at it. `failed`: no word of the carrier. `moot`: somebody was first. */
export type SweepOutcome = 'ended' | 'kept' | 'later' | 'failed' | 'moot'

type SweeperParts = {
  records: Pick<CallRecords, 'silent' | 'take' | 'find' | 'end'>
  /** undefined: the worker knows no leases. */
  leases: Pick<LeaseStore, 'look' | 'usage' | 'release'> | undefined
  /** undefined: no credentials are configured. */
  carrier: Pick<CarrierCalls, 'stateOf'> | undefined
  clock: Clock
  wheel: Wheel
  log: Log
  times: SweeperTimes
  onSwept: (outcome: SweepOutcome) => void
}

export class Sweeper {
  readonly #parts: SweeperParts
  #after: CallSid | undefined
  #answeredSinceMs: number | undefined
  readonly #rounds: Rounds

  constructor(parts: SweeperParts) {
    this.#parts = parts
    this.#rounds = new Rounds(parts.wheel, {
      everyMs: parts.times.sweepMs,
      work: () => this.sweep(),
      onFailed: (error) => {
        this.#answeredSinceMs = undefined
        parts.log.debug({ reason: messageOf(error) }, 'a sweep broke off')
      },
    })
  }

  /** Begins to sweep. Once. */
  start(): void {
    this.#rounds.start()
  }

  /** Idempotent; what is under way writes nothing more. */
  close(): void {
    this.#rounds.close()
  }

  /** One sweep; rejects when a store does not answer. */
  async sweep(): Promise<void> {
    const { records, leases, carrier, clock, log, times } = this.#parts
    const { silentMs: forMs, callMaxMs } = times
    const unsignedForMs = leases === undefined && carrier === undefined ? Math.max(forMs, callMaxMs) : forMs
    let ended = 0
    for (let seen = 0; seen < SWEEP_MAX && !this.#rounds.isClosed; seen += SWEEP_PAGE) {
      const page = await records.silent({ after: this.#after, max: SWEEP_PAGE, forMs, unsignedForMs })
      this.#answeredSinceMs ??= clock.monotonicMs()
      // Behind the last one it begins anew, with the next sweep.
      this.#after = page.length < SWEEP_PAGE ? undefined : page.at(-1)!.callSid
      if (page.length > 0 && this.#isSettled()) ended += await this.#judge(page)
      if (this.#after === undefined) break
    }
    if (ended > 0) log.info({ calls: ended }, 'calls that no pod looked after were ended')
  }

  /** [SWP4] */
  #isSettled(): boolean {
    const { clock, times } = this.#parts
    return this.#answeredSinceMs !== undefined && clock.monotonicMs() - this.#answeredSinceMs >= times.settleMs
  }

  /** How many of the page were ended. */
  async #judge(page: readonly LiveCall[]): Promise<number> {
    const leases = await this.#leasesOf(page)
    if (leases === undefined) return 0
    const waiting = [...page]
    let ended = 0
    const take = async (): Promise<void> => {
      for (let call = waiting.shift(); call !== undefined && !this.#rounds.isClosed; call = waiting.shift()) {
        const outcome = await this.#of(call, leases.get(call.callSid))
        if (outcome === 'ended') ended += 1
        this.#parts.onSwept(outcome)
      }
    }
    await Promise.all(Array.from({ length: AT_ONCE }, take))
    return ended
  }

  /** [SWP2] undefined: nothing can be judged now. */
  async #leasesOf(page: readonly LiveCall[]): Promise<Map<CallSid, LeaseSeen> | undefined> {
    const { leases } = this.#parts
    if (leases === undefined) return new Map()
    if ((await leases.usage()).isRecovering) return undefined
    const seen = await leases.look(page.map(({ callSid }) => callSid))
    return new Map(seen.map((lease) => [lease.callSid, lease]))
  }

  async #of(call: LiveCall, lease: LeaseSeen | undefined): Promise<SweepOutcome> {
    const { records, carrier, leases } = this.#parts
    const { callSid, epoch } = call
    if (lease !== undefined && (lease.state !== 'suspect' || lease.silentMs < RESCUE_TIMES.fencedMs)) return 'kept'
    if ((await records.take({ callSid, epoch, forMs: RESCUE_TIMES.takeMs })).kind === 'busy') return 'later'
    const cause = carrier === undefined ? 'carrier-lost' : await causeAt(carrier, callSid)
    if (cause === 'kept' || cause === 'failed') return cause
    const row = await records.find(callSid)
    if (row === undefined || row.state !== 'live' || row.epoch !== epoch || this.#rounds.isClosed) return 'moot'
    const end = await records.end({ callSid, epoch, ...endOfRow(row, cause), checkpoint: undefined })
    // It expires by itself; this makes room sooner.
    if (lease !== undefined) await leases?.release({ callSid, epoch: lease.epoch })
    return end.kind === 'ended' ? 'ended' : 'moot'
  }
}

/** [SWP3] */
async function causeAt(
  carrier: Pick<CarrierCalls, 'stateOf'>,
  callSid: CallSid,
): Promise<'kept' | 'failed' | CarrierEndCause> {
  const there = await carrier.stateOf(callSid)
  if (there.kind === 'failed') return 'failed'
  if (there.kind === 'unknown') return 'carrier-lost'
  return there.kind === 'over' ? there.cause : 'kept'
}
