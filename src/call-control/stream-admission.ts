// The way in for calls that come to this pod: told of them beforehand, and when their stream asks to enter. Rules:
// DO1: a stream enters once for each epoch, and only while no higher epoch acts; it need not have been told of.
// DO2: while the stores are away this pod's own knowledge decides; a stream waits for them ENTER_STORE_MS at most.
// DO3: a call of a lost pod is claimed before it is made here: from then on the lost pod's writes are refused.
// DO4: a call that was prepared for a handover is claimed when its stream opens: until then the other pod acts.
import { callIdOf, ownNumberOf } from '../call/identity.ts'
import type { TransferOutcome } from '../call/state.ts'
import type { LeaseStore } from '../control/ports.ts'
import type { CallRecords, CallRow, Claimed } from '../control/records.ts'
import { askWithin } from '../control/store-answer.ts'
import { messageOf } from '../kit/errors.ts'
import type { CallSid } from '../kit/ids.ts'
import type { StreamEntry } from './call-control.ts'
import type { History } from './history.ts'
import type { Origin } from './origin.ts'
import type { Expected } from './peers.ts'
import type { PodCall, PodWorld } from './pod-call.ts'
import type { Detached } from './pod-call-state.ts'
import type { PodCalls } from './pod-calls.ts'
import { transferIn } from './resume.ts'

/** How long a stream waits for the stores. */
const ENTER_STORE_MS = 1_000
/** How long a prepared call's model may take until the pod that gives it away is told. */
export const PREPARE_MAX_MS = 4_000
const LOOK_MS = 20

type StreamAdmissionParts = {
  pod: string
  calls: PodCalls
  leases: LeaseStore
  records: CallRecords
  tenantOf: (ownNumber: string) => string
  isTaking: () => boolean
  history: History
  world: PodWorld
}

export class StreamAdmission {
  readonly #parts: StreamAdmissionParts

  constructor(parts: StreamAdmissionParts) {
    this.#parts = parts
  }

  /** Another pod tells of a call. For a handover the answer comes when its model hears. */
  async expect(call: Expected): Promise<'ready' | 'refused'> {
    if (!this.#parts.isTaking()) return 'refused'
    try {
      const podCall = await this.prepare(call)
      if (podCall === undefined) return 'refused'
      if (call.how.kind !== 'handover') return 'ready'
      return (await this.#hears(podCall)) ? 'ready' : 'refused'
    } catch (error) {
      this.#parts.world.log.warn({ callSid: call.callSid, reason: messageOf(error) }, 'a call could not be prepared')
      return 'refused'
    }
  }

  /**
   * Makes the call, and claims it if its pod is lost. `broken`: its socket was lost here, and this is its state. Undefined when another epoch
   * acts, or when it is over for its carrier meanwhile.
   */
  prepare(call: Expected, detached?: Detached): Promise<PodCall | undefined> {
    const { calls } = this.#parts
    const { callSid, epoch } = call
    return calls.during(callSid, (pending) => {
      pending.onEnd((end) => {
        if (end.kind === 'over')
          calls.over({ callSid, epoch, cause: end.cause, next: { kind: 'none' }, checkpoint: detached?.checkpoint })
      })
      return this.#prepare(call, detached)
    })
  }

  async #prepare(call: Expected, detached: Detached | undefined): Promise<PodCall | undefined> {
    const { how, ...origin } = call
    const { calls } = this.#parts
    switch (how.kind) {
      case 'new':
        return calls.prepare({ ...origin, resume: undefined })
      case 'handover':
        return calls.prepare({
          ...origin,
          resume: { kind: 'handover', checkpoint: how.checkpoint, intents: how.intents },
        })
      default: {
        const there = calls.get(call.callSid)
        if (there !== undefined && there.epoch >= call.epoch) return there.epoch === call.epoch ? there : undefined
        const claimed = await this.#claim(origin, how.dialed === undefined ? 'failover' : 'handover')
        if (claimed?.kind === 'fenced' || claimed?.kind === 'ended') return undefined
        return calls.prepare(
          resumedOrigin(origin, claimed?.kind === 'claimed' ? claimed.row : undefined, detached, how.dialed),
        )
      }
    }
  }

  /** A stream with a valid token of `epoch` asks to enter; asked before the 101. */
  async enter(callSid: CallSid, epoch: number): Promise<StreamEntry> {
    let podCall: PodCall | undefined
    try {
      podCall = await this.#heldFor(callSid, epoch)
    } catch (error) {
      this.#parts.world.log.error(
        { callSid, code: 'AGENT_FAILED', reason: messageOf(error) },
        'a call could not be made',
      )
    }
    if (podCall === undefined) return { kind: 'refused', reason: 'another epoch acts for the call, or it has ended' }
    if (podCall.isActive) return { kind: 'refused', reason: 'the stream of this epoch has opened before' }
    const entry = await this.#activate(podCall)
    if (entry.kind === 'enter' && !podCall.isOver) this.#parts.calls.activate(podCall)
    return podCall.isOver ? { kind: 'refused', reason: 'the call is over' } : entry
  }

  async #activate(podCall: PodCall): Promise<StreamEntry> {
    const { leases, pod, world, calls } = this.#parts
    const { callSid, epoch } = podCall
    const answer = await askWithin(world.wheel, ENTER_STORE_MS, () => leases.activate({ callSid, epoch, pod }))
    const activated = answer.kind === 'answer' ? answer.value.kind : 'away'
    if (activated === 'used') return { kind: 'refused', reason: 'the stream of this epoch has opened before' }
    if (activated === 'fenced') {
      calls.relinquish(podCall, 'moved')
      return { kind: 'refused', reason: 'another epoch acts for the call' }
    }
    if (podCall.needsClaim) {
      const claimed = await this.#claim(podCall.origin, 'handover')
      if (claimed?.kind === 'fenced' || claimed?.kind === 'ended') {
        calls.relinquish(podCall, 'moved')
        return { kind: 'refused', reason: 'another epoch acts for the call' }
      }
    }
    return { kind: 'enter' }
  }

  async #heldFor(callSid: CallSid, epoch: number): Promise<PodCall | undefined> {
    const { calls, records, world, tenantOf } = this.#parts
    const podCall = calls.get(callSid)
    if (podCall !== undefined && podCall.epoch >= epoch) return podCall.epoch === epoch ? podCall : undefined
    const answer = await askWithin(world.wheel, ENTER_STORE_MS, () => records.find(callSid))
    const row = answer.kind === 'answer' ? answer.value : undefined
    if (row !== undefined && (row.state === 'ended' || row.epoch > epoch)) return undefined
    const { from = '', to = '', direction = 'inbound', pool = 'default' } = row ?? {}
    const tenant = row?.tenant ?? tenantOf(ownNumberOf({ from, to, direction }))
    const call = { callId: row?.callId ?? callIdOf(callSid), callSid, tenant, from, to, direction, pool, epoch }
    return this.prepare({ ...call, how: epoch === 1 ? { kind: 'new' } : { kind: 'failover' } })
  }

  async #claim(origin: Omit<Origin, 'resume'>, how: 'failover' | 'handover'): Promise<Claimed | undefined> {
    const { records, world, pod, history } = this.#parts
    const { callSid, epoch, pool } = origin
    const answer = await askWithin(world.wheel, ENTER_STORE_MS, () => records.claim({ callSid, epoch, pod, pool, how }))
    if (answer.kind === 'answer') {
      if (answer.value.kind === 'claimed') history('claimed', callSid, epoch)
      return answer.value
    }
    world.log.warn({ callSid, code: 'STORE_UNAVAILABLE' }, 'a call goes on here without a claim')
    return undefined
  }

  /** Waits until the model of a prepared call hears. */
  async #hears(podCall: PodCall): Promise<boolean> {
    const { clock, wheel } = this.#parts.world
    const untilMs = clock.monotonicMs() + PREPARE_MAX_MS
    while (clock.monotonicMs() < untilMs) {
      const { phase, model } = podCall.call.state
      if (phase.kind === 'ended') return false
      if (model.kind === 'ready') return true
      await wheel.pause(LOOK_MS)
    }
    return false
  }
}

function resumedOrigin(
  origin: Omit<Origin, 'resume'>,
  row: CallRow | undefined,
  detached: Detached | undefined,
  told: TransferOutcome | undefined,
): Origin {
  const checkpoint = detached?.checkpoint ?? row?.checkpoint
  // A pod that was not told how the transfer ended knows from the checkpoint that there was one.
  const dialed = told ?? (transferIn(checkpoint) === undefined ? undefined : 'failed')
  const { from, to, direction, tenant } = row ?? origin
  return {
    ...origin,
    from,
    to,
    direction,
    tenant,
    resume: { kind: 'failover', checkpoint, intents: row?.intents, dialed },
  }
}
