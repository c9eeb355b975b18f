// Call control of one pod: it answers what the carrier asks of a call. Rules:
// DK1: one offer per Call SID; a repeated webhook gets the same answer, from any pod: the call's id follows from its Call SID.
// DK2: admission decides who enters and where; while draining a new call is refused, never a live one.
// DK9: what the carrier says of a call's end reaches the call where it is: held here, pending here, without its socket here, or at the pod
//      that its lease names.
// DK3: what follows a call's end is answered by the pod that ended it, and by any other from the records.
// DK4: the model link is dialled in the webhook, here or at the pod that was picked; if the stream never comes, the call's own
//      timer gives it back.
// DK5: a call whose pod or socket was lost goes on when its carrier asks what follows: under the next epoch, at the pod that the
//      store picks; a call that was ending anyway ends.
// DK6: what the carrier says of a call that no pod holds is written down by the pod that is told; it is answered before the stores are asked.
// DK7: what a caller is told when an end is decided here is part of that end's record, and is told again when asked again.
// DK11: a question what follows a stream that still brings its caller's media changes nothing: it is a request that was sent before.
// DK12: a call that has ended is not admitted again: neither one that ended here of late, nor one of which the records say so.
// DK14: the way to another pod is told again only until its stream has opened there: what is asked after that is asked anew.
// DK13: after a transfer that a person answered the call ends; after another one it goes on with its agent (RZ5), and has a place again. The
//       outcome is part of the call's end, whichever pod is asked. It rides in what the carrier asks after the stream into which the call came
//       back, so that it is known when that stream never opened.
// DK8: whose call it is and what it is admitted as follow its direction, on every path: entering, waiting, resuming.
import type { EndCause } from '../call/end-cause.ts'
import { type CallIdentity, callIdOf, farEndOf, ownNumberOf } from '../call/identity.ts'
import type { Leg, LegListener } from '../call/ports.ts'
import type { Next, TransferOutcome } from '../call/state.ts'
import type { Admission, AdmitRequest, Placement } from '../control/admission.ts'
import type { LeaseStore } from '../control/ports.ts'
import type { CallRecords, CallRow, EndRequest, Fenceable } from '../control/records.ts'
import { askWithin } from '../control/store-answer.ts'
import { VoiceError } from '../kit/errors.ts'
import type { CallSid } from '../kit/ids.ts'
import type {
  Answer,
  CallControl,
  CallOffer,
  Message,
  NextQuestion,
  NextStep,
  Recording,
  StreamGrant,
  WaitStep,
} from './call-control.ts'
import type { CallFinalizer } from './call-finalizer.ts'
import type { PlacesOf } from './caller-places.ts'
import type { CarrierEndCause } from './carrier-calls.ts'
import type { Origin } from './origin.ts'
import { type Overflows, saidWaitMs } from './overflow.ts'
import type { Expected, Peers, ToldEnd } from './peers.ts'
import type { PendingCall, PendingEnd } from './pending-call.ts'
import type { PodCall, PodWorld } from './pod-call.ts'
import type { Detached } from './pod-call-state.ts'
import type { PodCalls } from './pod-calls.ts'
import { endOfRow, mayResume, mayReturn, stepOfRow, transferIn } from './resume.ts'
import type { StreamAdmission } from './stream-admission.ts'
import type { StreamGrants } from './stream-grants.ts'

/** How long a webhook waits for the records before it goes on without them. */
export const RECORDS_MS = 400
/** How long is looked, twice, whether a stream goes on: a caller's frame comes each 20 ms. */
const STREAM_LOOK_MS = 200
/** How long another pod may take to say that it prepares. Nobody waits for it. */
const EXPECT_MS = 2_000

/** What a call was lost by. `pod-lost`: also a pod that could not take it back. `not-answered`: its transfer. */
type ResumeCause = 'pod-lost' | 'socket-lost' | 'not-answered'

type PodCallControlParts = {
  pod: string
  packOf: { name: string; version: string }
  calls: PodCalls
  streamAdmission: StreamAdmission
  finalizer: CallFinalizer
  admission: Admission
  leases: LeaseStore
  /** Gives the place of a caller who waits back to the store. Never waits. */
  leaveQueue: (callSid: CallSid) => void
  records: CallRecords
  peers: Peers
  grants: StreamGrants
  /** Whose our own number in a call is. */
  tenantOf: (ownNumber: string) => string
  /** Whether a tenant has spent what it may today: it gets no new calls (SPN2). */
  isOverBudget: (tenant: string) => boolean
  /** Whose place a call takes, and how many there are. */
  placesOf: PlacesOf
  queue: { isOpen: boolean; waitMaxMs: number; language: string }
  overflows: Overflows
  fallbackNumber: string | undefined
  sorry: string
  isDraining: () => boolean
  /** This pod can carry no more, and there is no other that could. */
  isFull: () => boolean
  onResume: (cause: ResumeCause, outcome: 'resumed' | 'refused' | 'too-often') => void
  world: PodWorld
}

/** The identity alone, of whatever holds one. */
function identityIn({ callId, callSid, tenant, from, to, direction }: CallIdentity): CallIdentity {
  return { callId, callSid, tenant, from, to, direction }
}

export class PodCallControl implements CallControl {
  readonly #parts: PodCallControlParts

  constructor(parts: PodCallControlParts) {
    this.#parts = parts
  }

  async offer(offer: CallOffer): Promise<Answer> {
    const { calls } = this.#parts
    const { callSid } = offer
    const podCall = calls.get(callSid)
    if (podCall !== undefined) return this.#parts.grants.to({ ...podCall.origin, pod: this.#parts.pod })
    if (this.#parts.isDraining()) return { kind: 'busy', reason: 'draining' }
    if (this.#parts.isFull()) return { kind: 'busy', reason: 'full' }
    return this.#whilePending<Answer>(
      callSid,
      (pending) => this.#admit(offer, pending),
      (end) => {
        if (end.kind === 'failed') throw end.error
        return end.kind === 'closed' ? { kind: 'busy', reason: 'draining' } : { kind: 'over' }
      },
    )
  }

  async #admit(offer: CallOffer, pending: PendingCall): Promise<Answer> {
    const { admission, queue } = this.#parts
    const { callSid } = offer
    if (await this.#hasEnded(callSid)) return { kind: 'over' }
    const asked = this.#asked(offer)
    if (this.#parts.isOverBudget(asked.tenant)) {
      this.#parts.world.metrics.limits.add('tenant-day-refused')
      return { kind: 'busy', reason: 'full' }
    }
    const admitted = await admission.admit({ ...asked, queue: queue.isOpen })
    if (admitted.kind === 'granted') return this.#place(offer, admitted, pending)
    if (admitted.kind === 'queued') {
      this.#remember(offer, 0)
      // The carrier's end reaches a caller who waits by itself (PCS6); this one came while the place was asked for.
      if (pending.ending !== undefined) this.#parts.leaveQueue(callSid)
      const etaMs = saidWaitMs(admitted.etaMs, queue.waitMaxMs)
      return { kind: 'queued', ahead: admitted.ahead, etaMs, language: queue.language }
    }
    if (admitted.reason === 'caller-full') {
      this.#parts.world.metrics.limits.add('caller-places')
      this.#parts.world.log.warn({ callSid }, 'a caller has all places of one caller')
      return { kind: 'busy', reason: 'caller-full' }
    }
    return { kind: 'busy', reason: admitted.reason === 'store-away' ? 'store-away' : 'full' }
  }

  async wait(callSid: CallSid, asked: CallOffer): Promise<WaitStep> {
    return this.#whilePending<WaitStep>(
      callSid,
      (pending) => this.#poll(callSid, asked, pending),
      ({ kind }) => {
        if (kind === 'over') return { kind: 'gone' }
        if (kind === 'failed') return this.#overflow(asked)
        throw new VoiceError('STORE_UNAVAILABLE', { message: 'this pod takes no call now', retryable: true })
      },
    )
  }

  async #poll(callSid: CallSid, asked: CallOffer, pending: PendingCall): Promise<WaitStep> {
    const { admission, queue } = this.#parts
    const known = this.#parts.calls.queued(callSid)
    const offer = known?.offer ?? asked
    const waited = await admission.poll(this.#asked(offer))
    switch (waited.kind) {
      case 'granted':
        this.#parts.calls.leaveQueue(callSid)
        if (known !== undefined) this.#parts.world.metrics.queueWaited(this.#nowMs - known.sinceMs)
        return this.#place(offer, waited, pending)
      case 'waiting': {
        const { ahead, waitedMs } = waited
        this.#remember(offer, waitedMs)
        const etaMs = saidWaitMs(waited.etaMs, queue.waitMaxMs - waitedMs)
        if (waitedMs < queue.waitMaxMs) return { kind: 'waiting', ahead, etaMs, language: queue.language }
        this.#leave(callSid)
        return this.#overflow(offer)
      }
      case 'away':
        // Nothing is known of the place: the caller is held and asks again.
        throw new VoiceError('STORE_UNAVAILABLE', { retryable: true })
      default:
        return { kind: 'gone' }
    }
  }

  async next(callSid: CallSid, { transfer, returnedFrom }: NextQuestion): Promise<NextStep> {
    const { calls } = this.#parts
    const podCall = calls.get(callSid)
    if (podCall?.isActive === true) {
      if (await this.#isStreaming(podCall)) {
        this.#parts.world.log.warn({ callSid }, 'asked what follows a stream that goes on')
        return { kind: 'streaming' }
      }
      // The carrier asks what follows: the stream of this call is over, whatever we believed.
      if (podCall.isActive) podCall.call.relinquish('carrier-lost')
    }
    if (transfer !== undefined) return this.#afterTransfer(callSid, transfer.outcome, transfer.isLast)
    const isAskedAgain = calls.isAsked(callSid)
    const known = calls.answer(callSid)
    if (known !== undefined && !(isAskedAgain && (await this.#isVoid(callSid, known)))) return known
    const detached = calls.takeDetached(callSid)
    if (detached !== undefined)
      return mayResume(detached.checkpoint)
        ? this.#goOn(detached.origin, detached)
        : this.#endTooOften(detached.origin, detached.checkpoint, 'socket-lost')
    const found = await askWithin(this.#parts.world.wheel, RECORDS_MS, () => this.#parts.records.find(callSid))
    // The webhook lets the carrier ask again.
    if (found.kind === 'away') throw new VoiceError('STORE_UNAVAILABLE', { retryable: true })
    const row = found.value
    if (row === undefined) return { kind: 'unknown-call' }
    const step = stepOfRow(row)
    switch (step.kind) {
      case 'dialing':
        // A call that has a place is on its way back already.
        return (await this.#leaseEpoch(callSid)) !== undefined
          ? this.#goOn(row, undefined, returnedFrom ?? 'failed')
          : this.#stepOf(step.next)
      case 'answer':
        return this.#stepOf(step.next)
      case 'finish':
        return this.#endWith({ ...row, cause: step.cause, next: step.next, checkpoint: undefined })
      case 'too-often':
        return this.#endTooOften(row, undefined, 'pod-lost')
      default:
        return this.#goOn(row, undefined)
    }
  }

  /** [DK13] `isLast`: nothing is tried any more. */
  async #afterTransfer(callSid: CallSid, outcome: TransferOutcome, isLast: boolean): Promise<NextStep> {
    const { calls, grants, pod, world } = this.#parts
    const podCall = calls.get(callSid)
    // It was asked before, and the call is on its way back.
    if (podCall !== undefined && !podCall.isOver && (await this.#leaseEpoch(callSid)) === podCall.epoch)
      return { ...grants.to({ ...podCall.origin, pod }), returnedFrom: outcome }
    const step = await this.#stepAfterTransfer(callSid, outcome, isLast)
    world.metrics.transfers.add(outcome)
    world.log.info({ callSid, outcome, step: step.kind }, 'a transfer has ended')
    return step
  }

  async #stepAfterTransfer(callSid: CallSid, outcome: TransferOutcome, isLast: boolean): Promise<NextStep> {
    const { calls, finalizer, records, world } = this.#parts
    const detached = calls.takeDetached(callSid)
    const dial = calls.takeTransfer(callSid)
    if (dial !== undefined) {
      const { checkpoint } = dial.request
      if (outcome !== 'answered' && checkpoint !== undefined && mayReturn(checkpoint))
        return this.#return(callSid, dial.origin, { origin: dial.origin, checkpoint, hasPlace: false }, outcome)
      finalizer.endTransfer(dial, outcome)
      return this.#transferOver(outcome, dial.to, isLast)
    }
    if (detached !== undefined) {
      const { origin, checkpoint } = detached
      if (outcome !== 'answered' && mayReturn(checkpoint)) return this.#return(callSid, origin, detached, outcome)
      calls.over({ ...origin, cause: 'transferred', next: { kind: 'none' }, checkpoint })
      return this.#transferOver(outcome, undefined, isLast)
    }
    const known = calls.transferOf(callSid)
    const found = await askWithin(world.wheel, RECORDS_MS, () => records.find(callSid))
    if (found.kind === 'away') {
      if (known !== undefined) return this.#transferOver(outcome, known.to, isLast)
      throw new VoiceError('STORE_UNAVAILABLE', { retryable: true })
    }
    const row = found.value
    if (row === undefined)
      return known === undefined ? { kind: 'unknown-call' } : this.#transferOver(outcome, known.to, isLast)
    if (row.state === 'ended')
      return this.#transferOver(outcome, row.next?.kind === 'transfer' ? row.next.to : undefined, isLast)
    if (outcome !== 'answered' && mayReturn(row.checkpoint)) return this.#return(callSid, row, undefined, outcome)
    const to = transferIn(row.checkpoint)
    const request = { ...row, ...endOfRow(row, 'transferred'), checkpoint: undefined }
    if (to === undefined) finalizer.end(request)
    else finalizer.endTransfer({ to, request: { ...request, checkpoint: row.checkpoint } }, outcome)
    return this.#transferOver(outcome, to, isLast)
  }

  /** [RZ5] The call goes on with its agent. */
  #return(
    callSid: CallSid,
    call: Origin | CallRow,
    detached: Detached | undefined,
    outcome: TransferOutcome,
  ): Promise<NextStep> {
    this.#parts.calls.goesOn(callSid)
    return this.#goOn(call, detached, outcome)
  }

  /** [RZ5] What follows a transfer to `to` without the agent. */
  #transferOver(outcome: TransferOutcome, to: string | undefined, isLast: boolean): NextStep {
    const { fallbackNumber, queue } = this.#parts
    if (outcome === 'answered') return { kind: 'hang-up' }
    if (isLast || fallbackNumber === undefined || fallbackNumber === to)
      return { kind: 'not-reached', language: queue.language }
    return { kind: 'transfer', to: fallbackNumber, isLast: true }
  }

  /** Whether what followed here is over too: the call came back from its transfer, or the stream to another pod was opened. */
  async #isVoid(callSid: CallSid, known: NextStep): Promise<boolean> {
    if (known.kind === 'stream' ? !(await this.#hasOpened(callSid)) : !(await this.#hasReturned(callSid))) return false
    this.#parts.calls.goesOn(callSid)
    return true
  }

  /** [DK14] Whether the stream that was granted has been opened; while the store is away it has not. */
  async #hasOpened(callSid: CallSid): Promise<boolean> {
    const { leases, world } = this.#parts
    const looked = await askWithin(world.wheel, RECORDS_MS, () => leases.look([callSid]))
    return looked.kind === 'answer' && looked.value[0]?.state !== 'awaited'
  }

  /** Whether a call that was transferred from here has come back since, to whatever pod. */
  async #hasReturned(callSid: CallSid): Promise<boolean> {
    const { calls, leases, records, world } = this.#parts
    const transfer = calls.transferOf(callSid)
    if (transfer === undefined) return false
    // Its lease moves first, its row stays when it has ended again.
    const [lease, row] = await Promise.all([
      askWithin(world.wheel, RECORDS_MS, () => leases.look([callSid])),
      askWithin(world.wheel, RECORDS_MS, () => records.find(callSid)),
    ])
    const epochs = [lease.kind === 'answer' ? lease.value[0]?.epoch : 0, row.kind === 'answer' ? row.value?.epoch : 0]
    return epochs.some((epoch) => epoch !== undefined && epoch > transfer.epoch)
  }

  /** The epoch under which the call has a place; undefined: it has none, or nobody says. */
  async #leaseEpoch(callSid: CallSid): Promise<number | undefined> {
    const { leases, world } = this.#parts
    const looked = await askWithin(world.wheel, RECORDS_MS, () => leases.look([callSid]))
    return looked.kind === 'answer' ? looked.value[0]?.epoch : undefined
  }

  /** [DK11] Whether the stream of a call still brings what its caller says. Takes STREAM_LOOK_MS twice: what was on its way when it ended has come by then. */
  async #isStreaming(podCall: PodCall): Promise<boolean> {
    if (!podCall.hasStream) return false
    const { wheel } = this.#parts.world
    await wheel.pause(STREAM_LOOK_MS)
    const heardToMs = podCall.call.heardToMs
    await wheel.pause(STREAM_LOOK_MS)
    return podCall.isActive && podCall.call.heardToMs > heardToMs
  }

  /** [DK12] Whether a call that is offered has ended already: here, or by the records. While they are away it has not. */
  async #hasEnded(callSid: CallSid): Promise<boolean> {
    if (this.#parts.calls.hasEnded(callSid)) return true
    const row = await this.#ask('whether a call has ended', (records) => records.find(callSid))
    return row?.state === 'ended'
  }

  /** Resolves when the end is known to whoever may be asked next, KNOWN_MS later at the latest (EG11); here it is known at once. */
  ended(callSid: CallSid, cause: CarrierEndCause, transfer?: TransferOutcome): Promise<void> {
    this.#end(callSid, cause, transfer)
    return this.#parts.finalizer.known(callSid)
  }

  #end(callSid: CallSid, cause: CarrierEndCause, outcome?: TransferOutcome): void {
    const { calls, finalizer, world } = this.#parts
    if (this.endedHere({ callSid, cause })) return
    const dial = outcome === undefined ? undefined : calls.takeTransfer(callSid)
    if (dial !== undefined && outcome !== undefined) {
      finalizer.endTransfer(dial, outcome)
      world.metrics.transfers.add(outcome)
    }
    const known = calls.answer(callSid)
    // One that was given to another pod may have ended before its stream came there.
    if (known !== undefined && known.kind !== 'stream' && !calls.isOnlyTold(callSid)) return
    this.#leave(callSid)
    // Whoever asks here what follows hears that nothing does, whatever the records say meanwhile.
    calls.follow(callSid, { kind: 'none' })
    finalizer.overAtCarrier(callSid, cause)
  }

  /** [DK9] A call of this pod is over for its carrier; false when it is none of this pod's. */
  endedHere({ callSid, cause }: ToldEnd): boolean {
    const { calls, world } = this.#parts
    const known = calls.carrierOver(callSid, cause)
    if (known === 'held') world.metrics.carrierEnds.add('held')
    return known !== 'unknown'
  }

  streamFailed(callSid: CallSid, error?: string): void {
    this.#parts.world.log.warn({ callSid, error }, 'the carrier reported a stream error')
  }

  callBackWanted(offer: CallOffer, language: string | undefined): Promise<'taken' | 'refused'> {
    return this.#parts.overflows.callBackWanted(offer, language)
  }

  messageLeft(callSid: CallSid, offer: CallOffer | undefined, message: Message): void {
    this.#parts.overflows.messageLeft(callSid, offer, message)
  }

  recorded(callSid: CallSid, recording: Recording): void {
    const { durationMs } = recording
    this.#parts.world.log.info({ callSid, durationMs }, 'the carrier keeps a recording')
    this.#parts.finalizer.recorded(callSid, recording)
  }

  /** The stream of `callSid` has begun; undefined when no call awaits it. */
  attach(callSid: CallSid, leg: Leg): LegListener | undefined {
    const podCall = this.#parts.calls.get(callSid)
    if (podCall?.isActive !== true || !podCall.call.attach(leg)) return undefined
    this.#parts.calls.streamBegan(podCall)
    return podCall.call
  }

  /** A call that was admitted goes to its pod, which begins to prepare. */
  async #place(offer: CallOffer, placement: Placement, pending: PendingCall): Promise<StreamGrant> {
    const { callSid } = offer
    const { pool, epoch, pod } = placement
    const origin = { ...this.#identityOf(offer), pool, epoch }
    const { packOf, world } = this.#parts
    const { name: pack, version: packVersion } = packOf
    const open = (records: CallRecords) => records.open({ ...origin, pack, packVersion, pod })
    const opened = this.#ask('the row of a call', open).then((answer) => {
      if (answer === undefined) this.#parts.finalizer.open(() => open(this.#parts.records))
    })
    world.log.info({ callSid, pod, 'pii.far': farEndOf(offer) }, 'call admitted')
    pending.onEnd((end) => this.#giveBack(origin, placement, end))
    const { callBack } = offer
    const expected = { ...origin, ...(callBack === undefined ? {} : { callBack }), how: { kind: 'new' as const } }
    const told = this.#tell(expected, placement, pending)
    told.catch((error: unknown) => pending.end({ kind: 'failed', error }))
    await Promise.all([opened, told])
    return this.#parts.grants.to({ ...origin, pod })
  }

  /** [CO2] Gives back the place of a call that ended before its offer was answered. A call that is over while it is made here is ended by stream admission. */
  #giveBack(origin: Fenceable, { pod, address }: Placement, end: PendingEnd): void {
    const { calls, finalizer, peers, sorry, pod: own } = this.#parts
    const { callSid, epoch } = origin
    if (end.kind === 'closed' && pod === own) finalizer.release(origin)
    else if (end.kind === 'failed') {
      const next = { kind: 'hang-up' as const, sentence: sorry }
      calls.over({ callSid, epoch, cause: 'agent-failed', next, checkpoint: undefined })
    } else if (end.kind === 'over' && pod !== own) {
      void peers.forget(address, { callSid, epoch })
      this.#over(origin, end.cause)
    }
  }

  #over({ callSid, epoch }: Fenceable, cause: EndCause, checkpoint?: string): void {
    this.#parts.calls.over({ callSid, epoch, cause, next: { kind: 'none' }, checkpoint })
  }

  #overflow(offer: CallOffer): WaitStep {
    return { kind: 'overflow', to: this.#parts.overflows.of(offer) }
  }

  /** [CO1] The answer of `work`, or `ended` of the call's end when it ends meanwhile. */
  #whilePending<T>(
    callSid: CallSid,
    work: (pending: PendingCall) => Promise<T>,
    ended: (end: PendingEnd) => T,
  ): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#parts.calls
        .during(callSid, (pending) => {
          const worked = work(pending)
          pending.race(worked, ended).then(resolve, reject)
          return worked
        })
        .catch(() => undefined)
    })
  }

  #goOn(call: Origin | CallRow, detached: Detached | undefined, returnedFrom?: TransferOutcome): Promise<NextStep> {
    return this.#whilePending<NextStep>(
      call.callSid,
      (pending) => this.#resume(call, detached, pending, returnedFrom),
      ({ kind }) => {
        if (kind === 'over') return { kind: 'hang-up' }
        throw new VoiceError('STORE_UNAVAILABLE', { message: 'this pod takes no call now', retryable: true })
      },
    )
  }

  /** Lets the pod of `placement` prepare: this one at once, another one by a message that is not waited for. */
  async #tell(call: Expected, placement: Placement, pending: PendingCall, checkpoint?: Detached): Promise<void> {
    const { pod, streamAdmission, peers, world } = this.#parts
    if (placement.pod === pod) {
      await streamAdmission.prepare(call, checkpoint)
      return
    }
    if (pending.ending !== undefined) return
    void peers.expect(placement.address, call, EXPECT_MS).then((answer) => {
      if (answer.kind !== 'ready') world.log.debug({ pod: placement.pod, answer: answer.kind }, 'a pod did not prepare')
    })
  }

  /** The call goes on at another pod, or here, under the next epoch (DK5). */
  async #resume(
    call: Origin | CallRow,
    detached: Detached | undefined,
    pending: PendingCall,
    returnedFrom: TransferOutcome | undefined,
  ): Promise<NextStep> {
    const { callSid, epoch, tenant, pool } = call
    const caller = this.#parts.placesOf(call)?.key
    const { admission, calls, world, pod: own, onResume } = this.#parts
    const lost = detached === undefined ? 'pod-lost' : 'socket-lost'
    const why: ResumeCause = returnedFrom === undefined ? lost : 'not-answered'
    const avoidPod = why === 'pod-lost' && 'pod' in call && call.pod !== own ? call.pod : undefined
    const ask = (fromEpoch: number) => admission.resume({ callSid, fromEpoch, tenant, pool, avoidPod, caller })
    let resumed = await ask(epoch)
    // Somebody moved it on and its stream has ended since: the carrier asks again.
    if (resumed.kind === 'fenced') resumed = await ask(resumed.epoch)
    if (resumed.kind !== 'transferred') {
      world.log.warn({ callSid, why: resumed.kind === 'refused' ? resumed.reason : 'fenced' }, 'a call could not go on')
      onResume(why, 'refused')
      if (pending.ending?.kind === 'over') this.#over(call, pending.ending.cause, detached?.checkpoint)
      else if (detached !== undefined) calls.detach(detached)
      throw new VoiceError('STORE_UNAVAILABLE', { message: 'no pod can take the call now', retryable: true })
    }
    onResume(why, 'resumed')
    world.log.info({ callSid, pod: resumed.pod, epoch: resumed.epoch }, 'a call goes on')
    const origin = { ...identityIn(call), pool: resumed.pool, epoch: resumed.epoch }
    if (resumed.pod !== own) pending.onEnd((end) => end.kind === 'over' && this.#giveBack(origin, resumed, end))
    await this.#tell(
      { ...origin, how: { kind: 'failover', ...(returnedFrom === undefined ? {} : { dialed: returnedFrom }) } },
      resumed,
      pending,
      detached,
    )
    const grant = this.#parts.grants.to({ ...origin, pod: resumed.pod })
    return returnedFrom === undefined ? grant : { ...grant, returnedFrom }
  }

  /** DK8. */
  #identityOf({ callSid, from, to, direction }: CallOffer): CallIdentity {
    const ends = { from, to, direction }
    return { callId: callIdOf(callSid), callSid, tenant: this.#parts.tenantOf(ownNumberOf(ends)), ...ends }
  }

  /** As admission is asked, whether the call enters or waits. */
  #asked(offer: CallOffer): Omit<AdmitRequest, 'queue'> {
    const { callSid, tenant, direction } = this.#identityOf(offer)
    return { callSid, tenant, class: direction, caller: this.#parts.placesOf(offer) }
  }

  /** What breaks again and again is for a person, or an apology. */
  #endTooOften(call: Fenceable, checkpoint: string | undefined, why: ResumeCause): NextStep {
    const { onResume, fallbackNumber, sorry } = this.#parts
    onResume(why, 'too-often')
    const next: Next =
      fallbackNumber === undefined ? { kind: 'hang-up', sentence: sorry } : { kind: 'transfer', to: fallbackNumber }
    return this.#endWith({ ...call, cause: 'carrier-lost', next, checkpoint })
  }

  /** [DK7] */
  #endWith(request: EndRequest): NextStep {
    const { calls } = this.#parts
    calls.over(request)
    return calls.answer(request.callSid) ?? this.#stepOf(request.next)
  }

  #stepOf(next: Next): NextStep {
    return next.kind === 'none' ? { kind: 'hang-up' } : next
  }

  get #nowMs(): number {
    return this.#parts.world.clock.monotonicMs()
  }

  #remember(offer: CallOffer, waitedMs: number): void {
    this.#parts.calls.queue(offer, this.#nowMs - waitedMs)
  }

  #leave(callSid: CallSid): void {
    if (this.#parts.calls.leaveQueue(callSid)) this.#parts.leaveQueue(callSid)
  }

  async #ask<T>(what: string, question: (records: CallRecords) => Promise<T>): Promise<T | undefined> {
    const { records, world } = this.#parts
    const answer = await askWithin(world.wheel, RECORDS_MS, () => question(records))
    if (answer.kind === 'answer') return answer.value
    world.log.warn({ code: 'STORE_UNAVAILABLE', reason: answer.reason, what }, 'the records did not answer in time')
    return undefined
  }
}
