// What a call is on this pod: one union, and one pure step from event to state and effects (pod-calls.ts carries the effects out). Rules:
// PCS1: a call is one thing at a time on a pod. What a new phase makes void is void with it: the stream to another pod that was granted before
//       the call came back, a transfer that was awaited, the socket that was lost before.
// PCS2: a higher epoch takes the place of a lower one, which is relinquished; a lower one, or the same once more, changes nothing.
// PCS3: while an epoch is prepared the one before it goes on acting here; it is relinquished when the new one is made, not before.
// PCS4: a call that is being handed over is not taken away by the store's own word of that handover.
// PCS5: who lets a call go to another pod writes nothing; a call whose socket broke has not ended, and keeps its place only if its stream had begun;
//       what was prepared for a handover and never acted leaves no trace; what was prepared otherwise ends only if it came nowhere.
// PCS6: an end that the carrier tells reaches the call in each phase: what acts or waits ends by itself, what is pending is answered at once, what is
//       detached ends here.
import type { EndCause } from '../call/end-cause.ts'
import type { Next } from '../call/state.ts'
import type { EndRequest } from '../control/records.ts'
import type { CallOffer, StreamGrant } from './call-control.ts'
import type { CarrierEndCause } from './carrier-calls.ts'
import type { Origin } from './origin.ts'

/** A call without its socket: all that is needed to go on with it, or to end it. */
export type Detached = { origin: Origin; checkpoint: string; hasPlace: boolean }

/** A call whose transfer has not ended, as far as this pod knows. */
export type AwaitedTransfer = { origin: Origin; to: string; request: EndRequest }

/** What the step needs to know of a call that was made. */
type Made = { readonly epoch: number; readonly origin: Origin }

/** A call that was made here. `hasStream`: its stream has begun. */
export type Held<C extends Made> =
  /** Its stream has not opened here: another pod may still act for it. */
  | { kind: 'prepared'; call: C }
  /** Its lease is this pod's to renew, its records this pod's to write. */
  | { kind: 'active'; call: C; hasStream: boolean }
  /** It is being handed over: the store may already name another epoch. */
  | { kind: 'moving'; call: C; hasStream: boolean }

export type PodCallState<C extends Made> =
  | { kind: 'absent' }
  /** A question about it is being answered: it was offered, is resumed, or is made. */
  | { kind: 'expected' }
  /** It waits in the queue of the cell, as this pod last heard. */
  | { kind: 'queued'; offer: CallOffer; sinceMs: number }
  /** Its agent is being made for `epoch`; `before` acts meanwhile. */
  | { kind: 'preparing'; epoch: number; before: Held<C> | undefined }
  | Held<C>
  | { kind: 'detached'; detached: Detached }
  /**
   * This pod's part, `epoch`, is over; the carrier is told what follows. `epoch` 0: no part of it was here, the carrier has said that it is over.
   * `transfer`: its own end waits for the transfer's.
   */
  | {
      kind: 'following'
      next: Next | StreamGrant
      epoch: number
      isAsked: boolean
      transfer: AwaitedTransfer | undefined
    }

/** How a call that was made here is over for itself. `hasLastWords`: they are still on their way. */
type CallOver = { cause: EndCause; next: Next; request: EndRequest; hasLastWords: boolean }

export type PodCallEvent<C extends Made> =
  /** A question about it begins, or the last one has been answered. */
  | { kind: 'asked' | 'idle' }
  | { kind: 'queued'; offer: CallOffer; sinceMs: number }
  | { kind: 'left-queue' }
  | { kind: 'prepare'; epoch: number }
  | { kind: 'made'; call: C }
  | { kind: 'not-made'; epoch: number }
  | { kind: 'stream-opened' | 'stream-began' | 'moves' | 'stays'; call: C }
  | { kind: 'fenced'; call: C }
  | { kind: 'relinquish'; call: C; cause: EndCause }
  /** The call has ended for itself. `mayAwait`: there is room for one more transfer that is awaited. */
  | { kind: 'call-over'; call: C; over: CallOver; mayAwait: boolean }
  | { kind: 'detach'; detached: Detached }
  | { kind: 'carrier-over'; cause: CarrierEndCause }
  | { kind: 'follow'; next: Next | StreamGrant; epoch: number }
  | { kind: 'told-next' | 'goes-on' | 'taken' | 'expired' }

export type PodCallEffect<C extends Made> =
  /** The stream has opened, or the call is not this pod's any more: who waits for that goes on. */
  | { kind: 'decide'; call: C }
  /** Stops the call at once: another epoch acts, or none may. */
  | { kind: 'relinquish'; call: C; cause: EndCause }
  /** Its checkpoints are written from now on. */
  | { kind: 'keep'; call: C }
  | { kind: 'tell-call'; call: C }
  | { kind: 'end-pending'; cause: CarrierEndCause }
  | { kind: 'leave-queue' }
  | { kind: 'release'; epoch: number }
  /** Writes the end; `afterLastWords`: of the call, once they have come. */
  | { kind: 'write-end'; request: EndRequest; afterLastWords: C | undefined }
  /** Writes the end unless the stream of its epoch has opened at another pod. */
  | { kind: 'write-end-unless-opened'; request: EndRequest & { cause: EndCause } }
  /** Writes where the call is, and awaits the end of its transfer. */
  | { kind: 'await-transfer'; transfer: AwaitedTransfer; call: C }
  /** Nobody asked for the call again: it is over. */
  | { kind: 'give-up'; detached: Detached }

type Stepped<C extends Made> = { state: PodCallState<C>; effects: PodCallEffect<C>[] }

/** The call that was made here and is not over; in preparation of another epoch, the one before. */
export function heldIn<C extends Made>(state: PodCallState<C>): Held<C> | undefined {
  switch (state.kind) {
    case 'prepared':
    case 'active':
    case 'moving':
      return state
    case 'preparing':
      return state.before
    default:
      return undefined
  }
}

/** The next state, and what is to be done. Pure. An event that means nothing in a phase changes nothing. */
export function step<C extends Made>(state: PodCallState<C>, event: PodCallEvent<C>): Stepped<C> {
  const same = { state, effects: [] }
  switch (event.kind) {
    case 'asked':
      return state.kind === 'absent' ? { state: { kind: 'expected' }, effects: [] } : same
    case 'idle':
      return state.kind === 'expected' ? { state: { kind: 'absent' }, effects: [] } : same
    case 'queued': {
      if (state.kind !== 'absent' && state.kind !== 'expected' && state.kind !== 'queued') return same
      const { offer, sinceMs } = event
      return { state: { kind: 'queued', offer, sinceMs }, effects: [] }
    }
    case 'left-queue':
      return state.kind === 'queued' ? { state: { kind: 'expected' }, effects: [] } : same
    case 'prepare':
      return prepare(state, event.epoch)
    case 'made':
      return made(state, event.call)
    case 'not-made':
      if (state.kind !== 'preparing' || state.epoch !== event.epoch) return same
      return { state: state.before ?? { kind: 'expected' }, effects: [] }
    case 'stream-opened':
    case 'stream-began':
    case 'moves':
    case 'stays':
      return advance(state, event.kind, event.call)
    case 'fenced':
    case 'relinquish':
      return drop(state, event)
    case 'call-over':
      return callOver(state, event)
    case 'detach':
      // Another epoch goes on here.
      if (state.kind === 'preparing' || heldIn(state) !== undefined) return same
      return { state: { kind: 'detached', detached: event.detached }, effects: [] }
    case 'carrier-over':
      return carrierOver(state, event.cause)
    case 'follow':
      return follow(state, event.next, event.epoch)
    default:
      return afterwards(state, event.kind)
  }
}

/** [PCS1][PCS2][PCS3] */
function prepare<C extends Made>(state: PodCallState<C>, epoch: number): Stepped<C> {
  const before = heldIn(state)
  const known = state.kind === 'preparing' ? state.epoch : before?.call.epoch
  if (known !== undefined && known >= epoch) return { state, effects: [] }
  return { state: { kind: 'preparing', epoch, before }, effects: [] }
}

/** [PCS2] What nobody prepares any more is relinquished as soon as it is made. */
function made<C extends Made>(state: PodCallState<C>, call: C): Stepped<C> {
  if (state.kind !== 'preparing' || state.epoch !== call.epoch)
    return {
      state,
      effects: [
        { kind: 'decide', call },
        { kind: 'relinquish', call, cause: 'moved' },
      ],
    }
  const { before } = state
  return { state: { kind: 'prepared', call }, effects: before === undefined ? [] : released(before.call, 'moved') }
}

function released<C extends Made>(call: C, cause: EndCause): PodCallEffect<C>[] {
  return [
    { kind: 'decide', call },
    { kind: 'relinquish', call, cause },
  ]
}

/** Moves a made call from phase to phase. */
function advance<C extends Made>(
  state: PodCallState<C>,
  event: 'stream-opened' | 'stream-began' | 'moves' | 'stays',
  call: C,
): Stepped<C> {
  const held = heldIn(state)
  if (held?.call !== call) return { state, effects: [] }
  switch (event) {
    case 'stream-opened':
      if (held.kind !== 'prepared') return { state, effects: [] }
      return {
        state: withHeld(state, { kind: 'active', call, hasStream: false }),
        effects: [
          { kind: 'decide', call },
          { kind: 'keep', call },
        ],
      }
    case 'stream-began':
      if (held.kind === 'prepared') return { state, effects: [] }
      return { state: withHeld(state, { ...held, hasStream: true }), effects: [] }
    case 'moves':
      if (held.kind !== 'active') return { state, effects: [] }
      return { state: withHeld(state, { ...held, kind: 'moving' }), effects: [] }
    default:
      if (held.kind !== 'moving') return { state, effects: [] }
      return { state: withHeld(state, { ...held, kind: 'active' }), effects: [] }
  }
}

/** `state` with another phase of the call that it holds; undefined: it holds none any more. */
function withHeld<C extends Made>(state: PodCallState<C>, held: Held<C> | undefined): PodCallState<C> {
  if (state.kind === 'preparing') return { ...state, before: held }
  return held ?? { kind: 'expected' }
}

/** [PCS4] The call is not this pod's any more. */
function drop<C extends Made>(
  state: PodCallState<C>,
  event: { kind: 'fenced'; call: C } | { kind: 'relinquish'; call: C; cause: EndCause },
): Stepped<C> {
  const held = heldIn(state)
  if (held?.call !== event.call) return { state, effects: [] }
  if (event.kind === 'fenced' && held.kind === 'moving') return { state, effects: [] }
  const cause = event.kind === 'fenced' ? 'moved' : event.cause
  return { state: withHeld(state, undefined), effects: released(event.call, cause) }
}

/** [PCS5] */
function callOver<C extends Made>(
  state: PodCallState<C>,
  { call, over, mayAwait }: { call: C; over: CallOver; mayAwait: boolean },
): Stepped<C> {
  const held = heldIn(state)
  if (held?.call !== call) return { state, effects: [] }
  const { cause, next, request, hasLastWords } = over
  const { origin, epoch } = call
  const decide = { kind: 'decide' as const, call }
  const gone = withHeld(state, undefined)
  if (cause === 'moved' || cause === 'handed-over') return { state: gone, effects: [decide] }
  if (held.kind === 'prepared') {
    if (origin.resume?.kind === 'handover') return { state: gone, effects: [decide] }
    return { state: gone, effects: [decide, { kind: 'write-end-unless-opened', request: { ...request, cause } }] }
  }
  if (cause === 'carrier-lost') {
    const detached = { origin, checkpoint: request.checkpoint ?? '', hasPlace: held.hasStream }
    const effects: PodCallEffect<C>[] = held.hasStream ? [decide] : [decide, { kind: 'release', epoch }]
    // Another epoch is prepared here already: the call goes on there.
    return { state: state.kind === 'preparing' ? gone : { kind: 'detached', detached }, effects }
  }
  const following = (transfer: AwaitedTransfer | undefined): PodCallState<C> =>
    state.kind === 'preparing' ? gone : { kind: 'following', next, epoch, isAsked: next.kind === 'none', transfer }
  if (hasLastWords)
    return {
      state: following(undefined),
      effects: [decide, { kind: 'release', epoch }, { kind: 'write-end', request, afterLastWords: call }],
    }
  if (next.kind === 'transfer' && mayAwait && state.kind !== 'preparing') {
    const transfer = { origin, to: next.to, request }
    return {
      state: following(transfer),
      effects: [decide, { kind: 'release', epoch }, { kind: 'await-transfer', transfer, call }],
    }
  }
  return { state: following(undefined), effects: [decide, { kind: 'write-end', request, afterLastWords: undefined }] }
}

/** [PCS6] */
function carrierOver<C extends Made>(state: PodCallState<C>, cause: CarrierEndCause): Stepped<C> {
  const told: PodCallState<C> = {
    kind: 'following',
    next: { kind: 'none' },
    epoch: 0,
    isAsked: true,
    transfer: undefined,
  }
  const endPending = { kind: 'end-pending' as const, cause }
  switch (state.kind) {
    case 'expected':
      return { state: told, effects: [endPending] }
    case 'preparing': {
      const { before } = state
      return before === undefined
        ? { state: told, effects: [endPending] }
        : { state: before, effects: [endPending, { kind: 'tell-call', call: before.call }] }
    }
    case 'prepared':
    case 'active':
    case 'moving':
      return { state, effects: [endPending, { kind: 'tell-call', call: state.call }] }
    case 'queued':
      return { state: told, effects: [endPending, { kind: 'leave-queue' }] }
    case 'detached': {
      const { origin, checkpoint } = state.detached
      const { callSid, epoch } = origin
      const request = { callSid, epoch, cause, next: { kind: 'none' as const }, checkpoint }
      return {
        state: { ...told, epoch },
        effects: [endPending, { kind: 'write-end', request, afterLastWords: undefined }],
      }
    }
    case 'following':
      // What another pod was to go on with is over too.
      return { state: state.next.kind === 'stream' ? told : state, effects: [endPending] }
    default:
      return { state: told, effects: [endPending] }
  }
}

/** What follows is known, by this pod's own decision or by another's word. A call that is held says it itself. */
function follow<C extends Made>(state: PodCallState<C>, next: Next | StreamGrant, epoch: number): Stepped<C> {
  if (heldIn(state) !== undefined) return { state, effects: [] }
  const isAsked = next.kind === 'none'
  // A transfer goes on ringing whatever else is said of the call: its end is still to be written.
  const transfer = state.kind === 'following' ? state.transfer : undefined
  return { state: { kind: 'following', next, epoch, isAsked, transfer }, effects: [] }
}

function afterwards<C extends Made>(
  state: PodCallState<C>,
  event: 'told-next' | 'goes-on' | 'taken' | 'expired',
): Stepped<C> {
  switch (event) {
    case 'told-next':
      return state.kind === 'following' ? { state: { ...state, isAsked: true }, effects: [] } : { state, effects: [] }
    case 'goes-on':
      return state.kind === 'following' ? { state: { kind: 'expected' }, effects: [] } : { state, effects: [] }
    case 'taken':
      if (state.kind === 'detached') return { state: { kind: 'expected' }, effects: [] }
      return state.kind === 'following'
        ? { state: { ...state, transfer: undefined }, effects: [] }
        : { state, effects: [] }
    default:
      return expire(state)
  }
}

/** The time of a phase is over. */
function expire<C extends Made>(state: PodCallState<C>): Stepped<C> {
  if (state.kind === 'queued') return { state: { kind: 'expected' }, effects: [] }
  if (state.kind === 'detached') {
    const { detached } = state
    return { state: { kind: 'expected' }, effects: [{ kind: 'give-up', detached }] }
  }
  if (state.kind !== 'following') return { state, effects: [] }
  const { transfer } = state
  if (transfer === undefined) return { state: { kind: 'expected' }, effects: [] }
  return {
    state: { ...state, transfer: undefined },
    effects: [{ kind: 'write-end', request: transfer.request, afterLastWords: undefined }],
  }
}
