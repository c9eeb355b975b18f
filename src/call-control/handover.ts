// Giving a live call to another pod, unheard by the caller. Rules:
// HO1: it begins when the model has said all it has to say and nobody else speaks; the other pod prepares meanwhile, with the
//      whole history; the caller still hears this pod.
// HO2: the call is given away when the other pod's model hears, all was played, and nothing has happened since the beginning; if
//      something has, what was prepared is dropped and the next quiet moment is awaited.
// HO3: the slot and the epoch go over before the socket closes; from then on this pod acts no more.
// HO4: an attempt takes HANDOVER_MAX_MS at most; then the call stays, and its pod may try again or let it go.
// HO5: it is given to the ready pod with the least calls + penalty among those with less than newCallsMax calls: the penalty ranks
//      pods and takes no room, as where the store places calls. A pod that drains gives it to a fuller one when there is no other,
//      below resumeMaxOf(callsMax); one that only lags keeps it then.
// HO6: a caller who is thought to speak is waited for at most SPEAKER_WAIT_MS: then the call goes while he does, and the agent speaks
//      first there. A television must not hold a pod.
import { writeCheckpoint } from '../call/checkpoint.ts'
import type { Admission } from '../control/admission.ts'
import { type PodEntry, resumeMaxOf } from '../control/ports.ts'
import type { CallRecords } from '../control/records.ts'
import { askWithin } from '../control/store-answer.ts'
import type { PlacesOf } from './caller-places.ts'
import type { Expected, Peers } from './peers.ts'
import type { PodCall, PodWorld } from './pod-call.ts'
import { RECORDS_MS } from './pod-call-control.ts'
import type { Checkpoints, PodCalls } from './pod-calls.ts'
import { PREPARE_MAX_MS } from './stream-admission.ts'
import type { StreamGrants } from './stream-grants.ts'

const HANDOVER_MAX_MS = 60_000
/** The other pod must prepare within what is left of HANDOVER_MAX_MS. */
export const SPEAKER_WAIT_MS = 20_000
const LOOK_MS = 20
const FLUSH_MS = 500
/** A pod that has not announced itself so long is not asked. */
const POD_AGE_MAX_MS = 12_000

type HandoverParts = {
  pod: string
  calls: PodCalls
  admission: Admission
  peers: Peers
  records: CallRecords
  checkpoints: Checkpoints | undefined
  pods: () => readonly PodEntry[]
  grants: StreamGrants
  placesOf: PlacesOf
  world: PodWorld
}

/** Gives calls of this pod away. */
export class Handover {
  readonly #parts: HandoverParts

  constructor(parts: HandoverParts) {
    this.#parts = parts
  }

  /** Hands `held` over; true when it is no longer this pod's, or has ended. */
  async give(podCall: PodCall, why: 'drain' | 'lag'): Promise<boolean> {
    const { clock } = this.#parts.world
    const fromMs = clock.monotonicMs()
    const untilMs = fromMs + HANDOVER_MAX_MS
    const isGone = () => podCall.isOver || podCall.call.state.phase.kind === 'ended'
    while (clock.monotonicMs() < untilMs) {
      if (isGone()) return true
      const { call } = podCall
      // [HO6]
      const hasWaited = clock.monotonicMs() - fromMs >= SPEAKER_WAIT_MS
      const isSettled = (): boolean => call.isSettled || (hasWaited && call.isSettledButCaller)
      if (podCall.isActive && isSettled()) {
        const outcome = await this.#attempt(podCall, why, untilMs, isSettled)
        if (outcome !== 'disturbed') return outcome === 'given' || isGone()
      }
      await this.#pause()
    }
    return isGone()
  }

  /** `stays`: no pod takes it now. `disturbed`: somebody spoke meanwhile. */
  async #attempt(
    podCall: PodCall,
    why: 'drain' | 'lag',
    untilMs: number,
    isSettled: () => boolean,
  ): Promise<'given' | 'stays' | 'disturbed'> {
    const { pod, pods, peers, world } = this.#parts
    const target = pickTarget(pods(), pod, why)
    if (target === undefined) return 'stays'
    const { call, callSid, epoch } = podCall
    const changes = call.changes
    const isQuiet = () => isSettled() && call.changes === changes
    const answer = await peers.expect(target.address, await this.#expected(podCall), PREPARE_MAX_MS + 1_000)
    if (answer.kind !== 'ready') return 'stays'
    while (isQuiet() && call.remainingMs > 0 && world.clock.monotonicMs() < untilMs) await this.#pause()
    if (isQuiet() && call.remainingMs <= 0) return this.#giveAway(podCall, target.pod)
    void peers.forget(target.address, { callSid, epoch: epoch + 1 })
    return 'disturbed'
  }

  /** All that the other pod needs to go on. */
  async #expected(podCall: PodCall): Promise<Expected> {
    const { records, world } = this.#parts
    const { resume: _comeback, ...origin } = podCall.origin
    const checkpoint = writeCheckpoint(podCall.call.checkpoint)
    const row = await askWithin(world.wheel, RECORDS_MS, () => records.find(podCall.callSid))
    const intents = row.kind === 'answer' ? (row.value?.intents ?? []) : []
    return { ...origin, epoch: podCall.epoch + 1, how: { kind: 'handover', checkpoint, intents } }
  }

  async #giveAway(podCall: PodCall, preferPod: string): Promise<'given' | 'stays'> {
    const { calls, checkpoints, admission, pod, world } = this.#parts
    const { callSid, callId, tenant, pool } = podCall.origin
    const caller = this.#parts.placesOf(podCall.origin)?.key
    calls.writeNow()
    await checkpoints?.flush(callSid, FLUSH_MS)
    calls.moves(podCall, true)
    const resumed = await admission.resume({
      ...{ callSid, fromEpoch: podCall.epoch, tenant, pool, avoidPod: pod, preferPod, caller },
    })
    if (resumed.kind !== 'transferred' || resumed.pod === pod) {
      calls.moves(podCall, false)
      world.metrics.resumed('handover', 'refused')
      return 'stays'
    }
    world.metrics.resumed('handover', 'resumed')
    calls.relinquish(podCall, 'handed-over')
    calls.follow(callSid, this.#parts.grants.to({ callSid, callId, epoch: resumed.epoch, pod: resumed.pod }))
    return 'given'
  }

  #pause(): Promise<void> {
    return this.#parts.world.wheel.pause(LOOK_MS)
  }
}

/** [HO5] The pod that takes a call of `own`; the first among equals. Undefined when none has room. */
export function pickTarget(pods: readonly PodEntry[], own: string, why: 'drain' | 'lag'): PodEntry | undefined {
  const load = ({ calls, penalty }: PodEntry): number => calls + penalty
  const ready = pods.filter((one) => one.pod !== own && one.state === 'ready' && one.ageMs < POD_AGE_MAX_MS)
  const roomy = ready.filter(({ calls, callsMax, newCallsMax = callsMax }) => calls < newCallsMax)
  const fuller = why === 'lag' ? [] : ready.filter(({ calls, callsMax }) => calls < resumeMaxOf(callsMax))
  return (roomy.length > 0 ? roomy : fuller).reduce<PodEntry | undefined>(
    (best, one) => (best === undefined || load(one) < load(best) ? one : best),
    undefined,
  )
}
