// What this pod sees of the others: what the cell uses, and how the store does for them. Rules:
// FV1: the usage is read each USAGE_MS and is undefined while the store is away: what could not be read is not zero.
// FV2: at most ASK_PEERS_MAX pods are asked about the store, those heard of last, all at once, ASK_PEERS_MS at most.
// FV3: pods that lag leave placement, but a KEPT_SHARE of them stays when no other is ready: a slow hour must not close the house.

import type { Peers, StoreWord } from '../call-control/peers.ts'
import type { CellUsage, LeaseStore, PodEntry } from '../control/ports.ts'
import { askWithin } from '../control/store-answer.ts'
import type { Wheel, WheelTimer } from '../kit/wheel.ts'

const USAGE_MS = 2_000
const ASK_PEERS_MS = 1_000
const ASK_PEERS_MAX = 5
const LIVE_MS = 15_000
const KEPT_SHARE = 0.3

export class FleetView {
  readonly #parts: {
    pod: string
    leases: LeaseStore
    peers: Peers
    pods: () => readonly PodEntry[]
    wheel: Wheel
  }
  #usage: CellUsage | undefined
  #timer: WheelTimer | undefined
  #isClosed = false

  constructor(parts: {
    pod: string
    leases: LeaseStore
    peers: Peers
    pods: () => readonly PodEntry[]
    wheel: Wheel
  }) {
    this.#parts = parts
  }

  /** What the cell was last seen to use. */
  get usage(): CellUsage | undefined {
    return this.#usage
  }

  /** The leases of the cell by their state. */
  get leases(): Record<string, number> | undefined {
    if (this.#usage === undefined) return undefined
    const { inUse, reserved, suspect } = this.#usage
    return { awaited: reserved, active: inUse - reserved - suspect, suspect }
  }

  /** This pod's `ownCalls`, and its share of those that wait or were refused of late: what the fleet is scaled on. */
  demand(ownCalls: number): number | undefined {
    const usage = this.#usage
    if (usage === undefined) return undefined
    const ready = Math.max(1, this.#parts.pods().filter(({ state }) => state === 'ready').length)
    return ownCalls + (usage.queued + usage.refusedLastMinute) / ready
  }

  /** Reads the usage, now and from now on. */
  start(): void {
    const { leases, wheel } = this.#parts
    void askWithin(wheel, ASK_PEERS_MS, () => leases.usage()).then((answer) => {
      this.#usage = answer.kind === 'answer' ? answer.value : undefined
      if (!this.#isClosed) this.#timer = wheel.after(USAGE_MS, () => this.start())
    })
  }

  /**
   * Whether this pod must take calls although it lags (FV3): it is one of the KEPT_SHARE that stay, by their names, and no pod
   * beyond those is ready.
   */
  isNeeded(): boolean {
    const { pod: own, pods } = this.#parts
    const live = pods().filter(({ state, ageMs }) => (state === 'ready' || state === 'cordoned') && ageMs < LIVE_MS)
    const names = live.map(({ pod }) => pod).sort()
    const kept = new Set(names.slice(0, Math.max(1, Math.ceil(KEPT_SHARE * names.length))))
    return (kept.has(own) || names.length === 0) && !live.some(({ pod, state }) => state === 'ready' && !kept.has(pod))
  }

  /** How the store does for the others. */
  async askPeers(): Promise<StoreWord> {
    const { pod: own, pods, peers } = this.#parts
    const others = pods()
      .filter(({ pod, state }) => pod !== own && state !== 'down')
      .sort((one, other) => one.ageMs - other.ageMs)
    const words = await Promise.all(
      others.slice(0, ASK_PEERS_MAX).map(({ address }) => peers.storeWord(address, ASK_PEERS_MS)),
    )
    if (words.includes('well')) return 'well'
    return words.includes('away') ? 'away' : 'unknown'
  }

  close(): void {
    this.#isClosed = true
    this.#parts.wheel.cancel(this.#timer)
  }
}
