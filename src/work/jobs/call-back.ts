// The job `call-back`: a person who asked for it is called, once. Rules:
// CBK1: what is about to be dialled is written first, with its time; the call that came of it is written next. An attempt that finds a dial
//      without a call asks the carrier for calls to this person since then, SETTLE_MS after the dial at the earliest, and takes what it finds:
//      nobody is dialled twice for one dial, whenever a worker dies.
// CBK2: a dial that rings is watched to its outcome. Answered: done. Busy, no answer or failed: dialled again after againMs, DIALS_MAX
//      times in all; then the item is dead, and its error names the last outcome.
// CBK3: a call-back that is older than expiresMs is not dialled any more: the item is dead. One that a person runs again does not expire.
// CBK4: nobody is dialled while callers wait, or while outbound calls have no place; that is no dial and waits ROOM_MS.
// CBK5: a number is dialled only when the plane allows it; a refusal of the carrier that names a reason is final.
import type { CallSid } from '../../kit/ids.ts'
import type { Job } from '../job.ts'
import type { HeldItem, WorkFailure, WorkItem, WorkResult, WorkStore } from '../ports.ts'

export const DIALS_MAX = 3
/** How long a request to the carrier that got no answer may still become a call. */
const SETTLE_MS = 30_000
/** How much the clocks of the carrier and of the worker may differ. */
const SKEW_MS = 60_000
const AGAIN_MS = 300_000
const ROOM_MS = 15_000
const LOOK_MS = 2_000
/** An attempt waits for a place and watches the ringing for so long in all: less than a job may take. */
const RUN_MAX_MS = 100_000
/** A dial that could not leave for so long after it was written is not made: another worker may be looking it up. */
const LATE_MS = 5_000

/** A call as the carrier tells of it. `status` is its own word. */
export type CarrierCall = { callSid: CallSid; status: string; createdAtMs: number }

/** How a call-back is dialled. Nothing rejects. */
export interface CallBackLine {
  /** `unknown`: it may have been made. */
  dial(request: { to: string; from: string; language: string }): Promise<
    | { kind: 'made'; callSid: CallSid }
    /** `isForGood`: asked again, the carrier would say the same. */
    | { kind: 'refused'; reason: string; isForGood: boolean }
    | { kind: 'unknown'; reason: string }
  >
  status(callSid: CallSid): Promise<{ kind: 'known'; status: string } | { kind: 'gone' } | { kind: 'away' }>
  /** Calls that we made to `to`, newest first. */
  find(request: {
    to: string
    from: string
  }): Promise<{ kind: 'found'; calls: readonly CarrierCall[] } | { kind: 'away' }>
  /** Whether an outbound call may enter now, and nobody waits for its place. */
  hasRoom(): Promise<boolean>
  mayCall(number: string, ownNumber: string): boolean
}

/** Who is called, and with which of our numbers they talked. */
export type CallBackParty = { number: string; ownNumber: string }

/** One dial of an item, as it is kept in its body. */
type Dial = { version: number; atMs: number; callSid?: CallSid; outcome?: string }
type State = { language: string; dials: Dial[] }

export type CallBackTimes = { settleMs: number; againMs: number; lookMs: number; roomMs: number; expiresMs: number }

export type CallBackParts = {
  store: Pick<WorkStore, 'keep'>
  line: CallBackLine
  /** undefined: the call is gone, or its far party is not known. */
  party: (callSid: CallSid) => Promise<CallBackParty | undefined>
  /** Our number that calls; undefined: the one that was called. */
  from: string
  nowMs: () => number
  pause: (ms: number) => Promise<void>
  times: Partial<CallBackTimes> & Pick<CallBackTimes, 'expiresMs'>
}

const retry = (error: string, inMs: number): WorkFailure => ({ kind: 'retry', error, inMs })
const dead = (error: string): WorkFailure => ({ kind: 'dead', error: `the call-back: ${error}` })

/** Makes the job `call-back`. */
export function makeCallBackJob(parts: CallBackParts): Job {
  const times: CallBackTimes = {
    ...{ settleMs: SETTLE_MS, againMs: AGAIN_MS, lookMs: LOOK_MS, roomMs: ROOM_MS },
    ...parts.times,
  }
  return { type: 'call-back', run: (item, { signal }) => new Attempt(parts, times, item, signal).run() }
}

class Attempt {
  readonly #parts: CallBackParts
  readonly #times: CallBackTimes
  readonly #item: WorkItem
  readonly #signal: AbortSignal
  readonly #state: State
  readonly #untilMs: number

  constructor(parts: CallBackParts, times: CallBackTimes, item: WorkItem, signal: AbortSignal) {
    this.#parts = parts
    this.#times = times
    this.#item = item
    this.#signal = signal
    this.#state = stateOf(item.body)
    this.#untilMs = parts.nowMs() + RUN_MAX_MS
  }

  async run(): Promise<WorkResult | WorkFailure> {
    const party = await this.#parts.party(this.#item.callSid)
    if (party === undefined) return { kind: 'skipped', reason: 'the call is gone, or nobody is known by its number' }
    const last = this.#state.dials.at(-1)
    if (last !== undefined && last.outcome === undefined) {
      const over = await this.#follow(last, party)
      if (over !== undefined) return over
    }
    return (await this.#refusal(party)) ?? this.#dial(party)
  }

  /** A dial whose outcome is not known: an outcome for the item, or undefined when it may be dialled. */
  async #follow(dial: Dial, party: CallBackParty): Promise<WorkResult | WorkFailure | undefined> {
    if (dial.callSid !== undefined) return this.#watch(dial, dial.callSid)
    const { settleMs } = this.#times
    const waitMs = dial.atMs + settleMs - this.#parts.nowMs()
    if (waitMs > 0) return retry('a dial got no answer from the carrier, it is looked up', waitMs)
    const found = await this.#parts.line.find({ to: party.number, from: this.#parts.from })
    if (found.kind === 'away') return retry('the carrier does not say whether it was dialled', 0)
    const known = new Set(this.#state.dials.map(({ callSid }) => callSid))
    const call = found.calls.find(
      ({ callSid, createdAtMs }) => !known.has(callSid) && createdAtMs >= dial.atMs - SKEW_MS,
    )
    if (call === undefined) return (await this.#close(dial, 'not-made')) ? undefined : LOST
    dial.callSid = call.callSid
    if (!(await this.#keep())) return LOST
    return this.#watch(dial, call.callSid)
  }

  /** [CBK2] */
  async #watch(dial: Dial, callSid: CallSid): Promise<WorkResult | WorkFailure> {
    const { line, nowMs, pause } = this.#parts
    while (nowMs() < this.#untilMs) {
      if (this.#signal.aborted) return LOST
      const told = await line.status(callSid)
      const status = told.kind === 'known' ? told.status : told.kind
      if (status === 'in-progress' || status === 'completed')
        return { kind: 'called-back', callSid, dials: this.#dials.length }
      const isOpen = status === 'queued' || status === 'initiated' || status === 'ringing' || status === 'away'
      if (!isOpen) return (await this.#close(dial, status)) ? this.#again(status) : LOST
      await pause(this.#times.lookMs)
    }
    return retry('a dial has no outcome yet', 0)
  }

  #again(outcome: string): WorkFailure {
    if (this.#dials.length >= DIALS_MAX) return dead(`${outcome}, ${DIALS_MAX} times`)
    return retry(`the call-back: ${outcome}`, this.#times.againMs)
  }

  /** [CBK3][CBK4][CBK5] Why the person is not dialled now; undefined: there is no reason. */
  async #refusal({ number, ownNumber }: CallBackParty): Promise<WorkFailure | undefined> {
    const { line, nowMs, pause } = this.#parts
    const { version, createdAtMs } = this.#item
    const { expiresMs, roomMs } = this.#times
    if (this.#dials.length >= DIALS_MAX) return this.#again(this.#dials.at(-1)?.outcome ?? 'no outcome')
    if (!line.mayCall(number, ownNumber)) return dead('the number is not allowed')
    for (;;) {
      if (version === 1 && nowMs() - createdAtMs > expiresMs) return dead('expired')
      if (this.#signal.aborted) return LOST
      if (await line.hasRoom()) return undefined
      if (nowMs() + roomMs > this.#untilMs) return retry('no place for an outbound call', roomMs)
      await pause(roomMs)
    }
  }

  /** [CBK1] */
  async #dial({ number }: CallBackParty): Promise<WorkResult | WorkFailure> {
    const { line, nowMs, from } = this.#parts
    const dial: Dial = { version: this.#item.version, atMs: nowMs() }
    this.#state.dials.push(dial)
    if (!(await this.#keep()) || this.#signal.aborted || nowMs() - dial.atMs > LATE_MS) return LOST
    const made = await line.dial({ to: number, from, language: this.#state.language })
    switch (made.kind) {
      case 'refused': {
        const error = `the carrier refuses it, ${made.reason}`
        if (!(await this.#close(dial, made.isForGood ? 'refused' : 'not-made'))) return LOST
        return made.isForGood ? dead(error) : retry(`the call-back: ${error}`, this.#times.roomMs)
      }
      case 'unknown':
        return retry(`the carrier gave no answer to a dial: ${made.reason}`, this.#times.settleMs)
      default:
        dial.callSid = made.callSid
        if (!(await this.#keep())) return LOST
        return this.#watch(dial, made.callSid)
    }
  }

  get #dials(): Dial[] {
    return this.#state.dials.filter(({ version, outcome }) => version === this.#item.version && outcome !== 'not-made')
  }

  /** False: the item is no longer held. */
  #close(dial: Dial, outcome: string): Promise<boolean> {
    dial.outcome = outcome
    return this.#keep()
  }

  async #keep(): Promise<boolean> {
    const { id, callSid, attempt, version } = this.#item
    const held: HeldItem = { id, callSid, attempt, version }
    return (await this.#parts.store.keep(held, { dials: this.#state.dials })).kind === 'kept'
  }
}

/** Another worker has the item: nothing of this one is written. */
const LOST: WorkFailure = { kind: 'retry', error: 'the item is no longer held', inMs: 0 }

function stateOf(body: Record<string, unknown>): State {
  const dials = Array.isArray(body.dials) ? (body.dials as Dial[]) : []
  return {
    language: typeof body.language === 'string' ? body.language : 'en',
    dials: dials.map((dial) => ({ ...dial })),
  }
}
