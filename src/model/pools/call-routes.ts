// The way of one call among the model pools. Rules:
// CR1: a call stays in its pool until two dials in a row have failed there, the pool has refused it for its limit or for good,
//      its breaker is open, or the call asks for another one because the answers here come to nothing; then the next dial goes to
//      another pool that is well and has room, if there is one.
// CR2: of the others those come first that the call has not tried, then the one with the most room for its weight.
// CR3: a call never goes back by itself: a pool that it left is asked again only when its present one fails.
// CR4: a refusal for good ends the call only when no pool is left that has not so refused it.
// CR5: a call that finds no other pool is dialled in its own, breaker or not: a caller waits, and the call bounds its tries.
// CR6: a call that was shed SHEDS_MAX times in a row is dialled at its next try as a resume is, counted and not shed: a call must
//      not be ended by our own throttle alone, without the provider having been asked.
// CR7: another pool is dialled when the call's lease has gone there; it is asked for when the dial or the link is lost, and while
//      no word has come the dial is put off by MOVE_RETRY_MS. Where the store is unsure, the pod's own share decides (MP3); a pool
//      that is full for the store is left out of this dial.
import type { ModelLoss } from '../../call/ports.ts'
import type { MovePool } from '../../control/ports.ts'
import type { Log } from '../../kit/log.ts'
import { type LinkLoss, lossToTell, type Route, type Routes, type Way } from '../route.ts'

const FAILURES_MAX = 2
/** When a dial that was shed is worth another try; spread, so that those shed together do not come back together. */
const SHED_RETRY_MS = 1_000
const SHEDS_MAX = 2
export const MOVE_RETRY_MS = 150

type Word = 'asked' | Awaited<ReturnType<MovePool>>

/** The address of a pool's links, and what is sent with their upgrade. */
export type PoolPlace = { url: URL; headers: Readonly<Record<string, string>> }

/** One link of a pool, from its dial to its end. */
export type PoolLink = PoolPlace & {
  accepted(): void
  /** Says whether a dial failed or a link that served was lost. */
  lost(loss: LinkLoss): 'dial' | 'serving'
  released(): void
}

/** What a call's routes need of the pools. */
export interface LinkSource {
  readonly names: readonly string[]
  /** 0 to 1. */
  random: () => number
  isWell(pool: string): boolean
  /** The pools with room beside `pool`, the best first. */
  others(pool: string): string[]
  /** Begins a link to `pool`, unless the throttle sheds it. `isForeign`: its call was granted another pool. */
  open(pool: string, how: { isResume: boolean; isForeign: boolean }): PoolLink | undefined
}

export class CallRoutes implements Routes {
  readonly #pools: LinkSource
  readonly #log: Log
  readonly #move: MovePool | undefined
  /** What the store says of the call in other pools; what was said is used once. At most one for each pool. */
  readonly #words = new Map<string, Word>()
  readonly #tried = new Set<string>()
  readonly #refused = new Set<string>()
  /** Where its lease is. */
  #home: string
  #at: string
  #failures = 0
  #sheds = 0
  #mustMove = false

  /** `home`: the pool that the call was granted. */
  constructor(pools: LinkSource, home: string, log: Log, move?: MovePool) {
    this.#pools = pools
    this.#home = home
    this.#at = home
    this.#log = log
    this.#move = move
  }

  next({ isResume, elsewhere = false }: { isResume: boolean; elsewhere?: boolean }): Way {
    if (elsewhere) this.#mustMove = true
    const isUnshed = isResume || this.#sheds >= SHEDS_MAX
    for (const pool of this.#candidates()) {
      const word = this.#wordOf(pool)
      if (word === 'asked') return putOff(MOVE_RETRY_MS)
      if (word === 'full') continue
      const link = this.#pools.open(pool, { isResume: isUnshed, isForeign: pool !== this.#home })
      if (link === undefined) continue
      this.#sheds = 0
      if (pool !== this.#at) this.#moveTo(pool)
      this.#tried.add(pool)
      return { kind: 'go', route: this.#routeOf(pool, link) }
    }
    this.#sheds += 1
    const retryAfterMs = Math.round(SHED_RETRY_MS * (0.5 + this.#pools.random()))
    return putOff(retryAfterMs)
  }

  /** CR7. What was said is forgotten. */
  #wordOf(pool: string): Word {
    if (this.#move === undefined || pool === this.#home) return 'moved'
    const word = this.#words.get(pool)
    if (word === undefined) this.#ask(pool, this.#move)
    else if (word !== 'asked') this.#words.delete(pool)
    return word ?? 'asked'
  }

  #ask(pool: string, move: MovePool): void {
    this.#words.set(pool, 'asked')
    void move(pool).then((word) => {
      this.#words.set(pool, word)
      if (word === 'moved') this.#home = pool
    })
  }

  /** CR1, CR2, CR5. */
  #candidates(): string[] {
    const own = this.#refused.has(this.#at) ? [] : [this.#at]
    const others = this.#pools.others(this.#at).filter((pool) => !this.#refused.has(pool))
    const sorted = [
      ...others.filter((pool) => !this.#tried.has(pool)),
      ...others.filter((pool) => this.#tried.has(pool)),
    ]
    const isLeaving = this.#mustMove || this.#failures >= FAILURES_MAX || !this.#pools.isWell(this.#at)
    return isLeaving ? [...sorted, ...own] : [...own, ...sorted]
  }

  #moveTo(pool: string): void {
    this.#log.warn({ pool: this.#at, nextPool: pool }, 'the call is dialled in another model pool')
    this.#at = pool
    this.#failures = 0
    this.#mustMove = false
  }

  #routeOf(pool: string, link: PoolLink): Route {
    const { url, headers } = link
    return {
      url,
      headers,
      accepted: () => {
        link.accepted()
        this.#failures = 0
      },
      lost: (loss) => this.#lost(pool, link, loss),
      released: () => link.released(),
    }
  }

  #lost(pool: string, link: PoolLink, loss: LinkLoss): ModelLoss {
    const wasDial = link.lost(loss) === 'dial'
    if (pool === this.#at) {
      if (wasDial) this.#failures += 1
      if (loss.isLimit === true || loss.fatal) this.#mustMove = true
    }
    if (loss.fatal) this.#refused.add(pool)
    const mayMove = this.#pools.names.some((name) => name !== pool && !this.#refused.has(name))
    const told = lossToTell({ ...loss, fatal: loss.fatal && !mayMove })
    // The refused pool has named the time; another one need not wait for it.
    const [next] = this.#candidates()
    if (next !== pool) delete told.retryAfterMs
    if (next !== undefined && next !== this.#home && this.#move !== undefined && !this.#words.has(next))
      this.#ask(next, this.#move)
    return told
  }
}

function putOff(retryAfterMs: number): Way {
  return { kind: 'shed', loss: { code: 'MODEL_SHED', fatal: false, retryAfterMs } }
}
