// A call that this pod holds, and how it is made: agent, model session, tools and what a checkpoint needs. Rules:
// HC1: a held call acts while its epoch does: once it was relinquished, or another epoch was seen, none of its tools starts.
// HC2: a call that comes back after a loss is told to the model as such, once; after a handover nothing is said of it.
// HC3: a call whose lease went to another model pool is of that pool from then on: so it is reasserted, handed over and resumed.
// HC6: the first wish of an agent to end or to transfer a call counts; another wish after it is refused in words.
// HC5: an agent whose transfer was not answered gets the call back, and is told how the transfer ended: in each pod that has the call until
//      it has spoken, and not again.
// HC4: an agent transfers a call only where the plane allows it (TRP1 to TRP6); a refusal is told to the agent and counted.

import { NEW_AGENT } from '../call/agent-state.ts'
import { Call } from '../call/call.ts'
import { pendingTools, readCheckpoint, resumeFrom, untoldTransfer } from '../call/checkpoint.ts'
import type { EndCause } from '../call/end-cause.ts'
import { farPartyOf, ownNumberOf, writtenPartyOf } from '../call/identity.ts'
import type { PlayoutSettings } from '../call/playout.ts'
import type { ModelListener, ModelSession, SessionStart, Usage } from '../call/ports.ts'
import type { CallSettings, CallState, Next, TransferOutcome } from '../call/state.ts'
import type { MovePool } from '../control/ports.ts'
import type { CallRecords } from '../control/records.ts'
import type { TransferCall, TransferPolicy } from '../control/transfer-policy.ts'
import type { Clock } from '../kit/clock.ts'
import type { CallSid } from '../kit/ids.ts'
import type { Log } from '../kit/log.ts'
import type { Wheel } from '../kit/wheel.ts'
import type { Metrics } from '../ops/metrics.ts'
import type { Traces } from '../ops/traces.ts'
import { type TimelineEntry, Watch } from '../ops/watch.ts'
import type { CallActions, Pack, PackCall } from '../packs/pack.ts'
import type { History } from './history.ts'
import type { Origin } from './origin.ts'
import type { Held } from './pod-call-state.ts'
import { effectOf } from './tool-effects.ts'
import { type CarriedTools, ToolLedger } from './tool-ledger.ts'

const CUT_NOTE =
  'The telephone line was cut for a moment and is back. Say so in a few words, in the language of this conversation, ' +
  'then go on where you were: repeat your last question, or answer what the caller said last.'

const END_TAKEN = {
  kind: 'refused' as const,
  reason: 'call-is-ending',
  words: 'The transfer was not made: the call is ending already.',
}
const TRANSFER_TAKEN = {
  kind: 'refused' as const,
  reason: 'call-is-transferred',
  words: 'The call does not end: the caller is being transferred already.',
}

const OTHER_TRANSFER_TAKEN = {
  kind: 'refused' as const,
  reason: 'call-is-transferred',
  words: 'This transfer was not made: the caller is being transferred to another number already.',
}

const NOT_REACHED: Readonly<Record<TransferOutcome, string>> = {
  answered: 'the talk with that person is over',
  busy: 'the line of that person was busy',
  'no-answer': 'that person did not answer',
  failed: 'that person could not be reached',
  canceled: 'the transfer was canceled',
}

/** [HC5] What the agent is told of a transfer that was not answered. */
const returnNote = (outcome: TransferOutcome): string =>
  `The transfer did not come about: ${NOT_REACHED[outcome]}. The caller is back on the line with you and has heard nothing of this. ` +
  'Say so in a few words, in the language of this conversation, and offer something else.'

/** What the agent is told of a call that its far party asked for. */
const callBackNote = (language: string): string =>
  `You are calling this person back: they called before, all lines were busy, and they asked for this call (language: ${language}). ` +
  'Say first who is calling and that this is the call-back that they asked for, then help them.'

export type PodWorld = { clock: Clock; wheel: Wheel; log: Log; metrics: Metrics; traces: Traces }
export type MakeModel = (
  listener: ModelListener,
  packCall: PackCall,
  callLog: Log,
  start?: SessionStart,
  pool?: string,
  movePool?: MovePool,
) => ModelSession

/** What of the configuration a call is made with. */
export type CallShape = {
  settingsOf: (packCall: PackCall) => CallSettings
  playout: PlayoutSettings
  mediaWatchdogMs: number
  /** Default: OPEN_MAX_MS. */
  openMaxMs?: number
}

export type PodCallMakerParts = {
  pack: Pack
  makeModel: MakeModel
  shape: CallShape
  /** undefined: this pod keeps no records that outlive it. */
  records: CallRecords | undefined
  history: History
  world: PodWorld
  /** Where agents may transfer to. */
  transfers: TransferPolicy
  /** Asks for a call's place in another pool; left out: nobody is asked. */
  movePool?: (request: { callSid: CallSid; epoch: number; pool: string }) => ReturnType<MovePool>
  onEnded: (podCall: PodCall, cause: EndCause, next: Next) => void
  onChanged: (podCall: PodCall) => void
  /** Writes the call's checkpoint now and waits for it, within a bound. Left out: none is written. */
  keep?: (podCall: PodCall) => Promise<void>
  onFenced: (podCall: PodCall) => void
  /** undefined: it is not this pod's. */
  heldAs: (podCall: PodCall) => Held<PodCall> | undefined
}

function transferCallOf(origin: Origin): TransferCall {
  const { tenant } = origin
  return { tenant, farParty: farPartyOf(origin), writtenParty: writtenPartyOf(origin), ownNumber: ownNumberOf(origin) }
}

/** One call that was made on this pod, for one epoch. */
export class PodCall {
  /** Its pool may change (HC3). */
  origin: Origin
  readonly call: Call
  readonly ledger: ToolLedger
  readonly #heldAs: (call: PodCall) => Held<PodCall> | undefined
  #hasActed = false
  readonly #decided = Promise.withResolvers<void>()

  /** What the call had lasted and used when it came here. */
  readonly before: { lastedMs: number; usage: Usage }

  constructor(origin: Origin, call: Call, ledger: ToolLedger, heldAs: (call: PodCall) => Held<PodCall> | undefined) {
    this.before = { lastedMs: call.lastedMs, usage: call.state.usage }
    this.origin = origin
    this.call = call
    this.ledger = ledger
    this.#heldAs = heldAs
  }

  /** What it is to its pod; `released`: another pod acts for it, or it has ended. */
  get standing(): Held<PodCall>['kind'] | 'released' {
    return this.#heldAs(this)?.kind ?? 'released'
  }

  /** Its stream has begun here. */
  get hasStream(): boolean {
    const held = this.#heldAs(this)
    return held !== undefined && held.kind !== 'prepared' && held.hasStream
  }

  /** It was prepared for a handover, and until its stream opens its row names the other pod. */
  get needsClaim(): boolean {
    return this.origin.resume?.kind === 'handover'
  }

  /** Its stream has opened here: its lease is this pod's to renew, its records this pod's to write. */
  get isActive(): boolean {
    const { standing } = this
    return standing === 'active' || standing === 'moving'
  }

  /** Another pod acts for it, or it has ended. */
  get isOver(): boolean {
    return this.standing === 'released'
  }

  /** Its stream has opened here once. */
  get hasActed(): boolean {
    return this.#hasActed
  }

  acts(): void {
    this.#hasActed = true
  }

  /** Resolves once its stream has opened here, or it is over. */
  get decided(): Promise<void> {
    return this.#decided.promise
  }

  decide(): void {
    this.#decided.resolve()
  }

  /** HC1. */
  get isActing(): boolean {
    return this.isActive && this.call.state.phase.kind !== 'ended'
  }

  /** [HC3] */
  servedBy(pool: string): void {
    this.origin = { ...this.origin, pool }
  }

  get callSid(): Origin['callSid'] {
    return this.origin.callSid
  }

  get epoch(): number {
    return this.origin.epoch
  }
}

/** Makes a call from what is known of it; undefined when nobody wants it any more (CO2). Rejects when the pack does. */
export async function makePodCall(
  parts: PodCallMakerParts,
  origin: Origin,
  isWanted: () => boolean,
  onEntry: ((entry: TimelineEntry) => void) | undefined,
): Promise<PodCall | undefined> {
  const { callId, callSid, epoch } = origin
  const { pack, world } = parts
  const log = world.log.child({ callId, callSid })
  let podCall: PodCall | undefined
  let call: Call | undefined
  let packCall: PackCall | undefined
  const initial = initialOf(origin, log, world.clock.wallMs())
  /** The agent in charge that the last checkpoint knows for certain. */
  let kept = ''
  const { records, history } = parts
  const ledger = new ToolLedger(
    {
      records,
      callId,
      callSid,
      epoch,
      turn: () => call?.state.turns ?? 0,
      decided: () => podCall?.decided ?? Promise.resolve(),
      isActing: () => podCall?.isActing === true,
      onFenced: () => podCall !== undefined && parts.onFenced(podCall),
      onTool: (key) => history('tool', callSid, epoch, { key }),
      effectOf: (name) => (packCall === undefined ? 'once' : effectOf(packCall, name)),
      agentKept: async () => {
        if (podCall === undefined || parts.keep === undefined) return
        const inCharge = podCall.call.checkpoint.agent.inCharge.join('/')
        if (inCharge === kept) return
        await parts.keep(podCall)
        kept = inCharge
      },
      clock: world.clock,
      wheel: world.wheel,
      log,
    },
    carriedTools(origin, initial),
  )
  const control: CallActions = {
    callId,
    callSid,
    from: origin.from,
    to: origin.to,
    direction: origin.direction,
    farParty: farPartyOf(origin),
    effectKey: (details) => ledger.keyOfDetails(details),
    endCall: () => {
      const taken = wishTaken(call?.state)
      if (taken !== undefined && taken !== 'end') return TRANSFER_TAKEN
      call?.endCall()
      return { kind: 'accepted' }
    },
    transferCall: (to) => {
      if (wishTaken(call?.state) === 'end') return END_TAKEN
      const phase = call?.state.phase
      if (phase?.kind === 'closing' && phase.next.kind === 'transfer')
        return phase.next.to === to ? { kind: 'accepted' } : OTHER_TRANSFER_TAKEN
      const verdict = parts.transfers.judge(transferCallOf(origin), to)
      world.metrics.transfers.add(verdict.kind === 'allowed' ? 'allowed' : verdict.reason)
      if (verdict.kind === 'refused') {
        log.warn({ reason: verdict.reason, 'pii.to': to }, 'a transfer was refused')
        return verdict
      }
      call?.transferCall(verdict.to)
      return { kind: 'accepted' }
    },
  }
  packCall = spokenFirst(await pack.openCall(control), origin)
  if (!isWanted()) {
    packCall.close?.()
    return undefined
  }
  try {
    call = makeCall(parts, { origin, initial, packCall, ledger, log, onEntry }, () => podCall)
  } catch (error) {
    packCall.close?.()
    throw error
  }
  podCall = new PodCall(origin, call, ledger, parts.heldAs)
  return podCall
}

function makeCall(
  parts: PodCallMakerParts,
  made: {
    origin: Origin
    initial: CallState | undefined
    packCall: PackCall
    ledger: ToolLedger
    log: Log
    onEntry: ((entry: TimelineEntry) => void) | undefined
  },
  heldOf: () => PodCall | undefined,
): Call {
  const { origin, initial, packCall, ledger, log, onEntry } = made
  const { callId, callSid } = origin
  const { metrics, traces, clock, wheel } = parts.world
  const meter = new Watch({ metrics, traces, clock, callId, onEntry })
  const start: SessionStart = {
    gate: ledger,
    pendingTools: initial === undefined ? [] : pendingTools(initial),
    agent: initial?.agent ?? NEW_AGENT,
    note: noteOf(origin, initial),
  }
  const { shape, movePool } = parts
  const move: MovePool = async (pool) => {
    const word = movePool === undefined ? 'unsure' : await movePool({ callSid, epoch: origin.epoch, pool })
    if (word === 'moved') heldOf()?.servedBy(pool)
    return word
  }
  return new Call(
    {
      callId,
      callSid,
      settings: shape.settingsOf(packCall),
      playout: shape.playout,
      mediaWatchdogMs: shape.mediaWatchdogMs,
      ...(initial === undefined ? {} : { initial }),
      onChanged: () => {
        const podCall = heldOf()
        if (podCall !== undefined) parts.onChanged(podCall)
      },
      onEnded: (cause, next) => {
        const podCall = heldOf()
        if (podCall !== undefined) parts.onEnded(podCall, cause, next)
      },
    },
    (listener) => parts.makeModel(listener, packCall, log, start, origin.pool, move),
    { clock, wheel, log, meter },
  )
}

/** [HC6] What a call that ends was asked for first; undefined: it does not end. */
function wishTaken(state: CallState | undefined): 'end' | 'transfer' | undefined {
  const phase = state?.phase
  if (phase?.kind !== 'closing' && phase?.kind !== 'ended') return undefined
  return phase.next.kind === 'transfer' ? 'transfer' : 'end'
}

/** Whoever is called back hears the agent first. */
function spokenFirst(packCall: PackCall, { callBack }: Origin): PackCall {
  const isSilent = packCall.greeting?.kind === 'caller-first'
  return callBack !== undefined && isSilent ? { ...packCall, greeting: { kind: 'agent' } } : packCall
}

/** What the model is told once before it speaks. */
function noteOf({ resume, callBack }: Origin, initial: CallState | undefined): string | undefined {
  const untold = initial === undefined ? resume?.dialed : untoldTransfer(initial)
  if (untold !== undefined) return returnNote(untold)
  if (initial?.hasGreeted === true) return resume?.kind === 'failover' ? CUT_NOTE : undefined
  return callBack === undefined ? undefined : callBackNote(callBack)
}

/** undefined: the call begins here. */
function carriedTools({ resume }: Origin, initial: CallState | undefined): CarriedTools | undefined {
  if (resume === undefined || initial === undefined) return undefined
  return { intents: resume.intents, pending: pendingTools(initial).map(({ toolCallId }) => toolCallId) }
}

/** The state to go on with; an unreadable checkpoint is as none, and said. */
function initialOf(origin: Origin, log: Log, wallMs: number): CallState | undefined {
  const { resume } = origin
  if (resume === undefined) return undefined
  let before: CallState | undefined
  if (resume.checkpoint !== undefined) {
    const reading = readCheckpoint(resume.checkpoint)
    if (reading.kind === 'read') before = reading.state
    else log.warn({ reason: reading.reason }, 'the checkpoint of a call cannot be read; it begins anew')
  }
  return resumeFrom(before, resume.kind, resume.intents ?? [], wallMs, resume.dialed)
}
