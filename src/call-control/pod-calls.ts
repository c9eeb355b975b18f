// What this pod knows of each call: one entry a call, driven by the pure step of pod-call-state.ts. It makes calls once, keeps their checkpoints
// while they act, and carries out what the step says. Rules:
// CA1: one held call for each Call SID: a higher epoch takes the place of a lower one, which is relinquished; a lower one is not made.
// CA2: a checkpoint is written CHECKPOINT_AFTER_MS after the first change that it holds, of active calls only; media waits for none.
// CA3: a call that was relinquished writes nothing more.
// CA5: the calls of this pod are those that it holds and its pending ones (pending-call.ts): for a drain, for its figures, for an end.
// CA4: an active call is written each SIGN_MS also when nothing changes in it: a call whose row stays unwritten has no pod.
// AW1: what follows is remembered for NEXT_KEPT_MS, for at most NEXT_MAX calls; the oldest leaves first.
// AW2: a repeated question gets the same answer; the end of a transfer is judged by call control (DK13).
// AW4: a call whose stream broke before it began keeps no place meanwhile: it comes back without one.
// AW3: a call whose socket broke is kept for RESUME_AWAITED_MS, for at most DETACHED_MAX calls; then, or beyond it, it has ended.
import { writeCheckpoint } from '../call/checkpoint.ts'
import type { EndCause } from '../call/end-cause.ts'
import type { Next } from '../call/state.ts'
import type { HeldLease } from '../control/ports.ts'
import type { EndRequest } from '../control/records.ts'
import { messageOf, VoiceError } from '../kit/errors.ts'
import type { CallSid } from '../kit/ids.ts'
import type { Wheel, WheelTimer } from '../kit/wheel.ts'
import type { TimelineEntry } from '../ops/watch.ts'
import type { CallOffer, NextStep, StreamGrant } from './call-control.ts'
import type { CallFinalizer } from './call-finalizer.ts'
import type { PlacesOf } from './caller-places.ts'
import type { CarrierEndCause } from './carrier-calls.ts'
import { leaseOf, type Origin } from './origin.ts'
import { OPEN_MAX_MS, PendingCall, type PendingEnd } from './pending-call.ts'
import { makePodCall, type PodCall, type PodCallMakerParts } from './pod-call.ts'
import {
  type AwaitedTransfer,
  type Detached,
  heldIn,
  type PodCallEffect,
  type PodCallEvent,
  type PodCallState,
  step,
} from './pod-call-state.ts'

const CHECKPOINT_AFTER_MS = 200
export const SIGN_MS = 30_000
/** A tool after a handoff waits so long for the checkpoint of it. */
const KEEP_MAX_MS = 1_000
const NEXT_KEPT_MS = 120_000
const NEXT_MAX = 10_000
const RESUME_AWAITED_MS = 30_000
const DETACHED_MAX = 10_000
/** Longer than a transfer may ring. */
const TRANSFER_AWAITED_MS = 60_000
const TRANSFERS_AWAITED_MAX = 10_000
/** A store that is away is asked again, for as long as the transfer is awaited, where the call is. */
const SAVE_RETRY_MS = 1_000
/** Offers of callers who wait, so that their numbers are known when their turn comes. Beyond it the oldest leaves. */
const QUEUED_MAX = 20_000

/** Where checkpoints go; never waits (store/records/checkpoint-writer.ts). */
export interface Checkpoints {
  put(write: { callSid: CallSid; epoch: number; sequence: number; text: string }): void
  /** True when everything put before is durable, false at the bound. */
  flush(callSid: CallSid | undefined, withinMs: number): Promise<boolean>
  remove(callSid: CallSid): void
}

type PodCallsParts = Omit<PodCallMakerParts, 'onEnded' | 'onChanged' | 'onFenced' | 'keep' | 'heldAs'> & {
  checkpoints: Checkpoints | undefined
  placesOf: PlacesOf
  finalizer: CallFinalizer
  /** For what outlives the calls: the wheel of the pod, not that of its calls. */
  timers: Wheel
  /** A caller who waited is gone: the store may give the place away. */
  leaveQueue: (callSid: CallSid) => void
  /** A call that was made here has ended for itself, or was relinquished. `hasActed`: its stream had opened here, and no other epoch acted. */
  onEnded: (podCall: PodCall, cause: EndCause, hasActed: boolean) => void
}

type State = PodCallState<PodCall>
type Kind = State['kind']
type Entry = {
  state: State
  /** Of the phase. */
  timer: WheelTimer | undefined
  /** Until when what follows is remembered. */
  untilMs: number
  /** While a question about the call is being answered. */
  pending: { call: PendingCall; holders: number } | undefined
  made: { epoch: number; call: Promise<PodCall | undefined> } | undefined
}

export class PodCalls {
  readonly #parts: PodCallsParts
  readonly #entries = new Map<CallSid, Entry>()
  /** The calls in each phase, those that have been in it longest first. */
  readonly #in: { readonly [K in Kind]?: Set<CallSid> } = {
    queued: new Set(),
    preparing: new Set(),
    prepared: new Set(),
    active: new Set(),
    moving: new Set(),
    detached: new Set(),
    following: new Set(),
  }
  /** Calls about which a question is being answered. */
  readonly #asked = new Set<CallSid>()
  #heldCount = 0
  #transfersAwaited = 0
  readonly #dirty = new Set<PodCall>()
  #isWriting = false
  #signs: WheelTimer | undefined
  /** Every call was ended: none is made any more. */
  #isOver = false
  /** Told of the moments of every call that is made after it was set. */
  onTimeline: ((entry: TimelineEntry) => void) | undefined

  constructor(parts: PodCallsParts) {
    this.#parts = parts
  }

  get size(): number {
    let unmade = 0
    for (const callSid of this.#asked) if (this.#isPending(callSid) && this.get(callSid) === undefined) unmade += 1
    return this.#heldCount + unmade
  }

  /** Calls that have been made: a field to read, cheap enough to be asked at each frame. */
  get madeCount(): number {
    return this.#heldCount
  }

  /** [CA5] */
  callSids(): CallSid[] {
    const pending = [...this.#asked].filter((callSid) => this.#isPending(callSid))
    return [...new Set([...this.all().map(({ callSid }) => callSid), ...pending])]
  }

  get(callSid: CallSid): PodCall | undefined {
    return heldIn(this.#stateOf(callSid))?.call
  }

  /** The call when it has been made; undefined when it is not being made, or comes to nothing. Never rejects. */
  async made(callSid: CallSid): Promise<PodCall | undefined> {
    return this.get(callSid) ?? this.#entries.get(callSid)?.made?.call.catch(() => undefined)
  }

  all(): PodCall[] {
    const kinds = ['preparing', 'prepared', 'active', 'moving'] as const
    return kinds.flatMap((kind) =>
      [...(this.#in[kind] ?? [])].flatMap((callSid) => heldIn(this.#stateOf(callSid))?.call ?? []),
    )
  }

  /** The leases that this pod keeps alive: of calls that act, and of those without a socket that keep their place. */
  leases(): HeldLease[] {
    const { placesOf } = this.#parts
    const acting = this.all().filter(({ standing }) => standing === 'active')
    const detached = [...(this.#in.detached ?? [])].flatMap((callSid) => {
      const state = this.#stateOf(callSid)
      return state.kind === 'detached' && state.detached.hasPlace ? [state.detached.origin] : []
    })
    return [...acting.map(({ origin }) => origin), ...detached].map((origin) => leaseOf(origin, placesOf))
  }

  /** Runs `work` with the pending call, which is there as long as it runs. */
  async during<T>(callSid: CallSid, work: (pending: PendingCall) => Promise<T>): Promise<T> {
    const entry = this.#entryOf(callSid)
    entry.pending ??= { call: new PendingCall(), holders: 0 }
    const { pending } = entry
    pending.holders += 1
    this.#asked.add(callSid)
    this.#dispatch(callSid, { kind: 'asked' })
    try {
      return await work(pending.call)
    } finally {
      pending.holders -= 1
      if (pending.holders === 0) {
        entry.pending = undefined
        this.#asked.delete(callSid)
        this.#dispatch(callSid, { kind: 'idle' })
      }
    }
  }

  /**
   * The call of `origin`, made if need be; undefined when a higher epoch is held, or when it has ended before it was made. Rejects when the
   * pack does, or is overdue.
   */
  prepare(origin: Origin): Promise<PodCall | undefined> {
    const { callSid, epoch } = origin
    const held = this.get(callSid)
    if (held !== undefined && held.epoch >= epoch) return Promise.resolve(held.epoch === epoch ? held : undefined)
    const making = this.#entries.get(callSid)?.made
    if (making !== undefined && making.epoch >= epoch) return making.call
    if (this.#isOver) return Promise.resolve(undefined)
    return this.during(callSid, (pending) => {
      this.#dispatch(callSid, { kind: 'prepare', epoch })
      const call = this.#make(origin, pending).finally(() => {
        const entry = this.#entries.get(callSid)
        if (entry?.made?.call === call) entry.made = undefined
        this.#dispatch(callSid, { kind: 'not-made', epoch })
      })
      this.#entries.get(callSid)!.made = { epoch, call }
      return call
    })
  }

  /** The stream of the call is here: from now on it acts. */
  activate(podCall: PodCall): void {
    this.#dispatch(podCall.callSid, { kind: 'stream-opened', call: podCall })
  }

  /** The stream of the call has begun. */
  streamBegan(podCall: PodCall): void {
    this.#dispatch(podCall.callSid, { kind: 'stream-began', call: podCall })
  }

  /** [PCS4] The store may name another epoch from now on; `false`: it stays. */
  moves(podCall: PodCall, moves: boolean): void {
    this.#dispatch(podCall.callSid, { kind: moves ? 'moves' : 'stays', call: podCall })
  }

  /** What is made or was made for `epoch` is not needed: its stream is elsewhere, or the call is over. */
  forget(callSid: CallSid, epoch: number): void {
    const entry = this.#entries.get(callSid)
    const held = this.get(callSid)
    if (held?.epoch === epoch && !held.isActive) this.relinquish(held, 'handed-over')
    if (entry?.made?.epoch === epoch) entry.pending?.call.end({ kind: 'elsewhere' })
  }

  /** Another pod acts for the call, or none may: this pod stops at once and writes nothing. */
  relinquish(podCall: PodCall, cause: EndCause): void {
    this.#dispatch(podCall.callSid, { kind: 'relinquish', call: podCall, cause })
  }

  /** The store says that another epoch acts. */
  fenced(callSid: CallSid): void {
    const held = this.get(callSid)
    if (held === undefined) this.takeDetached(callSid)
    else this.#dispatch(callSid, { kind: 'fenced', call: held })
  }

  /** [PCS6] The carrier says that the call is over. `unknown`: it is none of this pod's, and nothing was done. */
  carrierOver(callSid: CallSid, cause: CarrierEndCause): 'held' | 'detached' | 'unknown' {
    const state = this.#stateOf(callSid)
    const held = heldIn(state)
    const isPending = this.#entries.get(callSid)?.pending !== undefined
    const isHeld = held !== undefined || isPending
    if (!isHeld && state.kind !== 'detached') return 'unknown'
    this.#dispatch(callSid, { kind: 'carrier-over', cause })
    const { kind } = this.#stateOf(callSid)
    if (kind === 'absent' || kind === 'expected')
      this.#dispatch(callSid, { kind: 'follow', next: { kind: 'none' }, epoch: held?.call.epoch ?? 0 })
    return isHeld ? 'held' : 'detached'
  }

  /** Hands what changed to the checkpoints now. */
  writeNow(): void {
    const { checkpoints } = this.#parts
    for (const podCall of this.#dirty) {
      const { callSid, epoch, call } = podCall
      checkpoints?.put({ callSid, epoch, sequence: call.changes, text: writeCheckpoint(call.checkpoint) })
    }
    this.#dirty.clear()
  }

  /** No call is made any more; those that come are relinquished. */
  noMore(): void {
    this.#isOver = true
    for (const callSid of [...this.#asked]) this.#entries.get(callSid)?.pending?.call.end({ kind: 'closed' })
  }

  /** Calls that may come back to this pod: their socket broke, or their transfer rings. */
  comingBack(): CallSid[] {
    const transferred = [...(this.#in.following ?? [])].filter(
      (callSid) => this.#followingOf(callSid)?.transfer !== undefined,
    )
    return [...(this.#in.detached ?? []), ...transferred]
  }

  // Callers who wait.

  /** The offer of a caller who waits, as this pod last heard of it. */
  queued(callSid: CallSid): { offer: CallOffer; sinceMs: number } | undefined {
    const state = this.#stateOf(callSid)
    return state.kind === 'queued' ? state : undefined
  }

  queue(offer: CallOffer, sinceMs: number): void {
    this.#dispatch(offer.callSid, { kind: 'queued', offer, sinceMs })
    this.#bound('queued', QUEUED_MAX)
  }

  /** The caller waits no more; true when they did. */
  leaveQueue(callSid: CallSid): boolean {
    const isQueued = this.#stateOf(callSid).kind === 'queued'
    this.#dispatch(callSid, { kind: 'left-queue' })
    return isQueued
  }

  // What follows calls that are over for this pod.

  /** Callers who still have to be told what follows (their stream was ended by us). */
  get unasked(): number {
    return [...(this.#in.following ?? [])].filter((callSid) => this.#followingOf(callSid)?.isAsked === false).length
  }

  /** `epoch`: of the pod's part that is over; 0: the carrier's word alone. */
  follow(callSid: CallSid, next: Next | StreamGrant, epoch = 0): void {
    this.#dispatch(callSid, { kind: 'follow', next, epoch })
  }

  /** A call is over: what follows is remembered here and its end is written. Never waits. */
  over(request: EndRequest): void {
    this.follow(request.callSid, request.next, request.epoch)
    this.#parts.finalizer.end(request)
  }

  /** Whether it was told before what follows the call. */
  isAsked(callSid: CallSid): boolean {
    return this.#followingOf(callSid)?.isAsked === true
  }

  /** The part of a call that ended here with a transfer. */
  transferOf(callSid: CallSid): { to: string; epoch: number } | undefined {
    const following = this.#followingOf(callSid)
    return following?.next.kind === 'transfer' ? { to: following.next.to, epoch: following.epoch } : undefined
  }

  /** The call goes on: what followed is void. */
  goesOn(callSid: CallSid): void {
    this.#dispatch(callSid, { kind: 'goes-on' })
  }

  /** What follows the call; undefined when nothing is known of it here. */
  answer(callSid: CallSid): NextStep | undefined {
    const following = this.#followingOf(callSid)
    if (following === undefined) return undefined
    this.#dispatch(callSid, { kind: 'told-next' })
    return following.next.kind === 'none' ? { kind: 'hang-up' } : following.next
  }

  /** Whether all that is known is the carrier's word that the call is over: no part of it ended here. */
  isOnlyTold(callSid: CallSid): boolean {
    const following = this.#followingOf(callSid)
    return following?.next.kind === 'none' && following.epoch === 0
  }

  /** Whether the call has ended here of late; one that another pod goes on with has not. */
  hasEnded(callSid: CallSid): boolean {
    const following = this.#followingOf(callSid)
    return following !== undefined && following.next.kind !== 'stream'
  }

  /** The transfer of the call has ended: who takes it says what follows. */
  takeTransfer(callSid: CallSid): AwaitedTransfer | undefined {
    const transfer = this.#followingOf(callSid)?.transfer
    if (transfer !== undefined) this.#dispatch(callSid, { kind: 'taken' })
    return transfer
  }

  /** The pod closes and has no other: no transfer is awaited any more. */
  endTransfers(): void {
    for (const callSid of [...(this.#in.following ?? [])])
      if (this.#followingOf(callSid)?.transfer !== undefined) this.#dispatch(callSid, { kind: 'expired' })
  }

  /** The call could not go on: its carrier may ask for it again. */
  detach(detached: Detached): void {
    this.#dispatch(detached.origin.callSid, { kind: 'detach', detached })
  }

  /** The call without its socket: who takes it goes on with it, or ends it. */
  takeDetached(callSid: CallSid): Detached | undefined {
    const state = this.#stateOf(callSid)
    if (state.kind !== 'detached') return undefined
    this.#dispatch(callSid, { kind: 'taken' })
    return state.detached
  }

  // The step, and what it asks for.

  #stateOf(callSid: CallSid): State {
    return this.#entries.get(callSid)?.state ?? { kind: 'absent' }
  }

  #entryOf(callSid: CallSid): Entry {
    const known = this.#entries.get(callSid)
    if (known !== undefined) return known
    const entry: Entry = {
      state: { kind: 'absent' },
      timer: undefined,
      untilMs: 0,
      pending: undefined,
      made: undefined,
    }
    this.#entries.set(callSid, entry)
    return entry
  }

  #followingOf(callSid: CallSid): (State & { kind: 'following' }) | undefined {
    const state = this.#stateOf(callSid)
    return state.kind === 'following' ? state : undefined
  }

  #isPending(callSid: CallSid): boolean {
    const pending = this.#entries.get(callSid)?.pending
    return pending !== undefined && pending.call.ending === undefined
  }

  #dispatch(callSid: CallSid, event: PodCallEvent<PodCall>): void {
    const entry = this.#entryOf(callSid)
    const { state, effects } = step(entry.state, event)
    if (state !== entry.state) this.#enter(callSid, entry, state)
    for (const effect of effects) this.#do(callSid, effect)
    // Nothing is asked about it any more, and nothing is known of it.
    if (entry.pending === undefined && (entry.state.kind === 'expected' || entry.state.kind === 'absent')) {
      entry.state = { kind: 'absent' }
      this.#entries.delete(callSid)
    }
  }

  #enter(callSid: CallSid, entry: Entry, state: State): void {
    const { timers, world } = this.#parts
    const last = entry.state
    entry.state = state
    const [was, is] = [heldIn(last), heldIn(state)]
    this.#heldCount += (is === undefined ? 0 : 1) - (was === undefined ? 0 : 1)
    this.#transfersAwaited += (awaitedIn(state) === undefined ? 0 : 1) - (awaitedIn(last) === undefined ? 0 : 1)
    if (last.kind !== state.kind) {
      this.#in[last.kind]?.delete(callSid)
      this.#in[state.kind]?.add(callSid)
    } else if (state.kind === 'queued' || (state.kind === 'following' && !isSameFollowing(last, state))) {
      this.#in[state.kind]?.delete(callSid)
      this.#in[state.kind]?.add(callSid)
    }
    const timed = timedIn(state)
    if (timed !== timedIn(last)) {
      timers.cancel(entry.timer)
      const afterMs = state.kind === 'detached' ? RESUME_AWAITED_MS : TRANSFER_AWAITED_MS
      entry.timer =
        timed === undefined ? undefined : timers.after(afterMs, () => this.#dispatch(callSid, { kind: 'expired' }))
    }
    if (state.kind === 'following' && !isSameFollowing(last, state)) {
      entry.untilMs = world.clock.monotonicMs() + NEXT_KEPT_MS
      this.#forgetOld()
    }
    if (state.kind === 'detached' && (this.#in.detached?.size ?? 0) > DETACHED_MAX)
      this.#dispatch(callSid, { kind: 'expired' })
    if (this.#heldCount === 0) this.#noSigns()
  }

  /** [AW1] */
  #forgetOld(): void {
    const nowMs = this.#parts.world.clock.monotonicMs()
    const following = this.#in.following!
    for (const callSid of following) {
      const entry = this.#entries.get(callSid)
      if (entry !== undefined && entry.untilMs > nowMs && following.size <= NEXT_MAX) break
      while (this.#stateOf(callSid).kind === 'following') this.#dispatch(callSid, { kind: 'expired' })
    }
  }

  #bound(kind: 'queued', max: number): void {
    const all = this.#in[kind]!
    if (all.size > max) this.#dispatch(all.values().next().value!, { kind: 'expired' })
  }

  #do(callSid: CallSid, effect: PodCallEffect<PodCall>): void {
    const { finalizer, checkpoints, history } = this.#parts
    switch (effect.kind) {
      case 'decide':
        effect.call.decide()
        this.#dirty.delete(effect.call)
        break
      case 'relinquish': {
        const { call, cause } = effect
        checkpoints?.remove(callSid)
        history(cause === 'moved' ? 'fenced' : 'released', callSid, call.epoch)
        call.call.relinquish(cause)
        break
      }
      case 'keep':
        if (checkpoints !== undefined && this.#signs === undefined) this.#signLater()
        effect.call.acts()
        history('acts', callSid, effect.call.epoch)
        this.#changed(effect.call)
        break
      case 'tell-call':
        effect.call.call.carrierEnded()
        break
      case 'end-pending':
        this.#endPending(callSid, { kind: 'over', cause: effect.cause })
        break
      case 'leave-queue':
        this.#parts.leaveQueue(callSid)
        break
      case 'release':
        finalizer.release({ callSid, epoch: effect.epoch })
        break
      case 'write-end':
        if (effect.afterLastWords === undefined) finalizer.end(effect.request)
        else void this.#endAfterLastWords(effect.afterLastWords, effect.request)
        break
      case 'write-end-unless-opened':
        finalizer.endUnlessOpened(effect.request, () => this.over(effect.request))
        break
      case 'await-transfer':
        void this.#awaitTransfer(effect.transfer, effect.call)
        break
      default:
        this.over({
          ...effect.detached.origin,
          ...{ cause: 'carrier-lost', next: { kind: 'none' }, checkpoint: effect.detached.checkpoint },
        })
    }
  }

  #endPending(callSid: CallSid, end: PendingEnd): void {
    this.#entries.get(callSid)?.pending?.call.end(end)
  }

  /** [EG10] */
  async #endAfterLastWords({ call }: PodCall, request: EndRequest): Promise<void> {
    await this.#parts.finalizer.during(call.lastWords ?? Promise.resolve())
    this.#parts.finalizer.end({ ...request, checkpoint: writeCheckpoint(call.checkpoint) })
  }

  /** [EG9] */
  async #awaitTransfer(transfer: AwaitedTransfer, { call }: PodCall): Promise<void> {
    const { callSid, epoch, checkpoint } = transfer.request
    const write = { callSid, epoch, sequence: call.changes, text: checkpoint ?? '' }
    const isAwaited = () => this.#followingOf(callSid)?.transfer === transfer
    let saved = await this.#parts.finalizer.save(write)
    while (saved === 'away' && isAwaited()) {
      await this.#parts.timers.pause(SAVE_RETRY_MS)
      if (isAwaited()) saved = await this.#parts.finalizer.save(write)
    }
    if (saved === 'fenced' && isAwaited()) this.#dispatch(callSid, { kind: 'taken' })
  }

  async #make(origin: Origin, pending: PendingCall): Promise<PodCall | undefined> {
    const { wheel } = this.#parts.world
    const { openMaxMs = OPEN_MAX_MS } = this.#parts.shape
    if (pending.ending !== undefined) return undefined
    const timer = wheel.after(openMaxMs, () => {
      pending.end({
        kind: 'failed',
        error: new VoiceError('AGENT_FAILED', { message: `no agent after ${openMaxMs} ms` }),
      })
    })
    try {
      const made = this.#open(origin, () => pending.ending === undefined)
      const podCall = await pending.race(made, (end) => {
        if (end.kind === 'failed') throw end.error
        return undefined
      })
      return podCall === undefined ? undefined : this.#hold(podCall)
    } finally {
      wheel.cancel(timer)
    }
  }

  #open(origin: Origin, isWanted: () => boolean): Promise<PodCall | undefined> {
    const {
      checkpoints: _checkpoints,
      placesOf: _placesOf,
      finalizer: _finalizer,
      timers: _timers,
      leaveQueue: _leaveQueue,
      ...parts
    } = this.#parts
    return makePodCall(
      {
        ...parts,
        heldAs: (one) => {
          const held = heldIn(this.#stateOf(one.callSid))
          return held?.call === one ? held : undefined
        },
        onChanged: (changed) => this.#changed(changed),
        keep: (one) => this.#keep(one),
        onFenced: (fenced) => this.relinquish(fenced, 'moved'),
        onEnded: (ended, cause, next) => this.#ended(ended, cause, next),
      },
      origin,
      isWanted,
      this.onTimeline,
    )
  }

  #ended(podCall: PodCall, cause: EndCause, next: Next): void {
    const { log } = this.#parts.world
    const { call, callSid, epoch, isActive } = podCall
    const { turns, bargeIns } = call.state
    if (isActive && cause !== 'carrier-lost') this.#parts.history('ended', callSid, epoch)
    log.info({ callSid, cause, turns, bargeIns }, 'call ended')
    this.#parts.onEnded(podCall, cause, podCall.hasActed)
    const isMoved = cause === 'moved' || cause === 'handed-over'
    const checkpoint = isMoved ? undefined : writeCheckpoint(call.checkpoint)
    const request = { callSid, epoch, cause, next, checkpoint }
    const over = { cause, next, request, hasLastWords: call.lastWords !== undefined }
    const mayAwait = this.#transfersAwaited < TRANSFERS_AWAITED_MAX
    this.#dispatch(callSid, { kind: 'call-over', call: podCall, over, mayAwait })
  }

  #hold(podCall: PodCall): PodCall | undefined {
    const { callSid } = podCall
    this.#dispatch(callSid, { kind: 'made', call: podCall })
    const held = this.get(callSid)
    if (held !== podCall) return held?.epoch === podCall.epoch ? held : undefined
    podCall.call.start()
    return podCall
  }

  /** The call as it is now, in a checkpoint, or KEEP_MAX_MS later. */
  async #keep(podCall: PodCall): Promise<void> {
    const { checkpoints } = this.#parts
    if (checkpoints === undefined || !podCall.isActive) return
    this.writeNow()
    await checkpoints.flush(podCall.callSid, KEEP_MAX_MS)
  }

  /** [CA4] While calls are held. */
  #signLater(): void {
    this.#signs = this.#parts.world.wheel.after(SIGN_MS, () => {
      for (const podCall of this.all()) this.#changed(podCall)
      this.#signLater()
    })
  }

  #noSigns(): void {
    this.#parts.world.wheel.cancel(this.#signs)
    this.#signs = undefined
  }

  #changed(podCall: PodCall): void {
    if (this.#parts.checkpoints === undefined || !podCall.isActive) return
    this.#dirty.add(podCall)
    if (this.#isWriting) return
    this.#isWriting = true
    this.#parts.world.wheel.after(CHECKPOINT_AFTER_MS, () => {
      this.#isWriting = false
      try {
        this.writeNow()
      } catch (error) {
        this.#parts.world.log.error({ reason: messageOf(error) }, 'checkpoints could not be written')
      }
    })
  }
}

const awaitedIn = (state: State): AwaitedTransfer | undefined =>
  state.kind === 'following' ? state.transfer : undefined

/** What of a phase has a time. */
const timedIn = (state: State): object | undefined => (state.kind === 'detached' ? state.detached : awaitedIn(state))

const isSameFollowing = (last: State, state: State & { kind: 'following' }): boolean =>
  last.kind === 'following' && last.next === state.next
