// The model pools as this pod sees them: where they are, how many links it has there, what they answer. Rules:
// MP1: every dial passes the throttle of its pool and is counted by its outcome; a link counts from its dial to its end.
// MP2: what a pool refuses for its limit lowers its ceiling, for this pod's own placements at once; the store is told at once too, or
//      within NEWS_MS when it is being told already. The refused link itself is not counted as one that the pool bears.
// MP3: a pool's room for calls that were granted another one is this pod's share of what the cell has free there, less those
//      that it has sent there already: the pods do not know of each other's.
// MP4: the store is told of ceilings when they differ from what it was told last, and again each RETELL_MS while one is lowered, here
//      or by what the cell says: the lowest word of all pods stands as long as it is told. News that it did not take are told again.
import { ConnectThrottle } from '../../control/connect-throttle.ts'
import { type Limits, loweredLimits } from '../../control/limits.ts'
import type { CellLimits, CellUsage, LeaseStore, MovePool, PodEntry, PoolLimit } from '../../control/ports.ts'
import { askWithin } from '../../control/store-answer.ts'
import type { Clock } from '../../kit/clock.ts'
import type { Log } from '../../kit/log.ts'
import type { Wheel } from '../../kit/wheel.ts'
import type { Metrics } from '../../ops/metrics.ts'
import type { LinkLoss, Routes } from '../route.ts'
import { Breaker } from './breaker.ts'
import { CallRoutes, type LinkSource, type PoolLink, type PoolPlace } from './call-routes.ts'

export const NEWS_MS = 2_000
const RETELL_MS = 5_000
const TELL_MS = 1_000

/** What became of a dial. `given-up`: its call was over first. */
type ConnectOutcome = 'accepted' | 'limit' | 'refused' | 'failed' | 'shed' | 'given-up'

type Pool = { limit: PoolLimit; place: PoolPlace; breaker: Breaker; links: number; foreign: number }
/** What was last seen of the cell: a FleetView and a LeaseKeeper fit. */
type Seen = { fleet: { readonly usage: CellUsage | undefined }; keeper: { pods(): readonly PodEntry[] } }

type ModelPoolsParts = {
  limits: Limits
  places: ReadonlyMap<string, PoolPlace>
  clock: Clock
  log: Log
  metrics: Metrics
  random?: () => number
}

export class ModelPools implements LinkSource {
  readonly limits: Limits
  readonly random: () => number
  readonly #parts: ModelPoolsParts
  readonly #throttle: ConnectThrottle
  readonly #pools = new Map<string, Pool>()
  #seen: Seen = { fleet: { usage: undefined }, keeper: { pods: () => [] } }
  #told: string | undefined
  #toldAtMs = Number.NEGATIVE_INFINITY
  #tellNow: () => void = () => {}

  constructor(parts: ModelPoolsParts) {
    this.#parts = parts
    this.limits = parts.limits
    this.random = parts.random ?? Math.random
    const { pools } = parts.limits.cell
    this.#throttle = new ConnectThrottle({ clock: parts.clock, random: this.random, pools })
    for (const limit of pools) {
      const place = parts.places.get(limit.pool)!
      this.#pools.set(limit.pool, { limit, place, breaker: new Breaker(), links: 0, foreign: 0 })
    }
  }

  get names(): string[] {
    return [...this.#pools.keys()]
  }

  /** The limits of the cell with the ceilings as they are known now. */
  get cell(): CellLimits {
    return loweredLimits(this.limits.cell, (pool) => this.ceilingOf(pool))
  }

  ceilingOf(pool: string): number {
    return this.#throttle.ceilingOf(pool)
  }

  /** The ceiling of each pool, for the metric. */
  ceilings(): Record<string, number> {
    return Object.fromEntries(this.names.map((pool) => [pool, this.ceilingOf(pool)]))
  }

  /** The ways of a call that was granted `pool`; one that is not known is as the first. `move`: asks for its place in another. */
  routesOf(pool: string | undefined, log: Log, move?: MovePool): Routes {
    const home = pool !== undefined && this.#pools.has(pool) ? pool : this.names[0]!
    return new CallRoutes(this, home, log, move)
  }

  isWell(pool: string): boolean {
    return this.#pools.get(pool)!.breaker.isWell(this.#nowMs())
  }

  /** The pools besides `pool` that are well and have room, the one with the most room for its weight first. */
  others(pool: string): string[] {
    const found = this.names
      .filter((name) => name !== pool && this.isWell(name))
      .map((name) => ({ name, room: this.#roomOf(name), weight: this.#pools.get(name)!.limit.weight }))
      .filter(({ room }) => room > 0)
    return found.sort((one, other) => other.room * other.weight - one.room * one.weight).map(({ name }) => name)
  }

  /** Begins a link to `pool`, unless the throttle sheds it. `isForeign`: its call was granted another pool. */
  open(name: string, { isResume, isForeign }: { isResume: boolean; isForeign: boolean }): PoolLink | undefined {
    const pool = this.#pools.get(name)!
    if (this.#throttle.ask(name, { isResume }).kind === 'shed') {
      this.#count(name, 'shed')
      return undefined
    }
    pool.breaker.dialled(this.#nowMs())
    pool.links += 1
    if (isForeign) pool.foreign += 1
    let state: 'dialling' | 'decided' | 'released' = 'dialling'
    return {
      ...pool.place,
      accepted: () => {
        if (state !== 'dialling') return
        state = 'decided'
        this.#throttle.accepted(name)
        pool.breaker.succeeded()
        this.#count(name, 'accepted')
      },
      lost: (loss) => {
        const wasDial = state === 'dialling'
        if (wasDial) state = 'decided'
        this.#lost(name, pool, loss, wasDial)
        return wasDial ? 'dial' : 'serving'
      },
      released: () => {
        if (state === 'released') return
        if (state === 'dialling') {
          this.#throttle.withdrawn(name)
          this.#count(name, 'given-up')
        }
        state = 'released'
        pool.links -= 1
        if (isForeign) pool.foreign -= 1
      },
    }
  }

  /** Tells the store of learnt ceilings from now on (MP4). Ends with the wheel. */
  watch(parts: Seen & { leases: LeaseStore; wheel: Wheel }): void {
    this.#seen = parts
    const { leases, wheel } = parts
    let isTelling = false
    const tell = async (): Promise<void> => {
      if (isTelling) return
      isTelling = true
      const { cell } = this
      const news = newsOf(cell)
      const isDue = this.#nowMs() - this.#toldAtMs >= RETELL_MS && this.#isLowered(cell)
      if (news !== this.#told || isDue) {
        const toldAtMs = this.#nowMs()
        const answer = await askWithin(wheel, TELL_MS, () => leases.configure(cell))
        if (answer.kind === 'answer') {
          this.#told = news
          this.#toldAtMs = toldAtMs
        }
      }
      isTelling = false
    }
    const round = (): void => {
      void tell()
      wheel.after(NEWS_MS, round)
    }
    this.#tellNow = () => void tell()
    // The pod itself has told the configured ones when it started.
    this.#told = newsOf(this.limits.cell)
    wheel.after(NEWS_MS, round)
  }

  /** Here, or by another pod's word. */
  #isLowered({ pools }: CellLimits): boolean {
    const seen = new Map(this.#seen.fleet.usage?.pools.map(({ pool, limit }) => [pool, limit]))
    return pools.some(({ pool, callsMax, ceiling }) => (ceiling ?? seen.get(pool) ?? callsMax) < callsMax)
  }

  #lost(name: string, pool: Pool, loss: LinkLoss, wasDial: boolean): void {
    if (loss.isLimit === true) {
      const before = this.ceilingOf(name)
      this.#throttle.refused(name, { kind: 'limit', inUse: this.#inUse(name, pool) })
      const ceiling = this.ceilingOf(name)
      if (ceiling < before) {
        // Until the store knows, it grants the places there that the refused calls leave.
        this.#tellNow()
        this.#parts.log.warn(
          { pool: name, before, ceiling, code: loss.code },
          'a model pool is full: its ceiling falls',
        )
      }
    } else if (wasDial) this.#throttle.refused(name, { kind: 'other' })
    const how = loss.fatal ? 'final' : loss.code === 'MODEL_STALLED' ? 'hung' : 'other'
    if (loss.fatal || (wasDial && loss.isLimit !== true)) pool.breaker.failed(this.#nowMs(), how)
    if (wasDial) this.#count(name, loss.isLimit === true ? 'limit' : loss.fatal ? 'refused' : 'failed')
  }

  /** Sessions of the cell in the pool besides the one that was refused, by what is known: the store's word is a moment old, so the own links stand for the other pods'. */
  #inUse(name: string, pool: Pool): number {
    return Math.max(this.#usedBy(name), pool.links * this.#readyPods()) - 1
  }

  #usedBy(name: string): number {
    return this.#seen.fleet.usage?.pools.find(({ pool }) => pool === name)?.inUse ?? 0
  }

  /** MP3. */
  #roomOf(name: string): number {
    const pool = this.#pools.get(name)!
    const used = Math.max(this.#usedBy(name), pool.links - pool.foreign)
    return Math.floor((this.ceilingOf(name) - used) / this.#readyPods()) - pool.foreign
  }

  #readyPods(): number {
    return Math.max(1, this.#seen.keeper.pods().filter(({ state }) => state === 'ready').length)
  }

  #count(pool: string, outcome: ConnectOutcome): void {
    this.#parts.metrics.modelConnected(pool, outcome)
  }

  #nowMs(): number {
    return this.#parts.clock.monotonicMs()
  }
}

function newsOf({ pools }: CellLimits): string {
  return pools.map(({ pool, callsMax, ceiling }) => `${pool}=${ceiling ?? callsMax}`).join(' ')
}
