// How hard a model pool may be asked for new sessions, learnt from what it answers. Rules:
// TH1: of the asks of the last WINDOW_MS a share max(0, (asks − K · accepts) / (asks + 1)) is shed here, unsent; shed asks count
//      as asks, so that about K are sent for each that is accepted, and one now and then while nothing is.
// TH2: a resume is counted and never shed; nor is anything while fewer than ASKS_FREE are in the window: they say nothing yet.
// TH3: a refusal for the limit lowers the pool's ceiling at once to CEILING_CUT of what was in use, at most once in CUT_EVERY_MS,
//      never below CEILING_MIN.
// TH4: a lowered ceiling rises by RISE_SHARE of the configured one each RISE_EVERY_MS without such a refusal, to the configured one.
// TH5: a pool that was never configured is throttled too and has no configured ceiling; at most POOLS_MAX pools are known,
//      the oldest of those is forgotten first.
import type { Clock } from '../kit/clock.ts'
import type { PoolLimit } from './ports.ts'

const K = 1.5
export const ASKS_FREE = 10
export const WINDOW_MS = 30_000
export const CEILING_MIN = 1
const CEILING_CUT = 0.9
export const CUT_EVERY_MS = 5_000
export const RISE_EVERY_MS = 10_000
const RISE_SHARE = 0.01
export const POOLS_MAX = 256
const BUCKETS = 10
const BUCKET_MS = WINDOW_MS / BUCKETS

type Bucket = { number: number; asks: number; accepts: number }
type Pool = { buckets: Bucket[]; callsMax: number; ceiling: number; cutAtMs: number; risenAtMs: number }

/** `shed`: do not connect now. `probability`: of being shed, for the metric. */
type Permit = { kind: 'go' | 'shed'; probability: number }

export class ConnectThrottle {
  readonly #clock: Clock
  readonly #random: () => number
  readonly #pools = new Map<string, Pool>()

  constructor(parts: { clock: Clock; random?: () => number; pools?: readonly PoolLimit[] }) {
    this.#clock = parts.clock
    this.#random = parts.random ?? Math.random
    this.configure(parts.pools ?? [])
  }

  /** New configured ceilings; what was learnt stays where it is lower. */
  configure(pools: readonly PoolLimit[]): void {
    for (const { pool: name, callsMax } of pools) {
      const pool = this.#pool(name)
      const wasLowered = pool.ceiling < pool.callsMax
      pool.ceiling = wasLowered ? Math.min(pool.ceiling, callsMax) : callsMax
      pool.callsMax = callsMax
    }
  }

  /** May a session be opened in `pool` now? Each `go` is followed by accepted(), refused() or withdrawn(). */
  ask(pool: string, options: { isResume: boolean }): Permit {
    const found = this.#pool(pool)
    const probability = shedProbability(this.#counts(found))
    this.#bucket(found).asks += 1
    const isShed = !options.isResume && probability > 0 && this.#random() < probability
    return { kind: isShed ? 'shed' : 'go', probability }
  }

  /** The pool opened the session. */
  accepted(pool: string): void {
    this.#bucket(this.#pool(pool)).accepts += 1
  }

  /** The dial was given up before the pool has answered: as if it had not been asked. */
  withdrawn(pool: string): void {
    const bucket = this.#bucket(this.#pool(pool))
    if (bucket.asks > bucket.accepts) bucket.asks -= 1
  }

  /** The pool refused. `limit`: for its limit (429 and its like), with `inUse` sessions of the cell in this pool at that time. */
  refused(pool: string, why: { kind: 'limit'; inUse: number } | { kind: 'other' }): void {
    if (why.kind !== 'limit') return
    const found = this.#pool(pool)
    const nowMs = this.#clock.monotonicMs()
    this.#rise(found, nowMs)
    found.risenAtMs = nowMs
    if (nowMs - found.cutAtMs < CUT_EVERY_MS) return
    found.cutAtMs = nowMs
    found.ceiling = Math.max(CEILING_MIN, Math.floor(CEILING_CUT * Math.min(found.ceiling, why.inUse)))
  }

  /** Sessions that the pool bears by what is known now: the configured ceiling or the learnt lower one. */
  ceilingOf(pool: string): number {
    const found = this.#pools.get(pool)
    if (found === undefined) return Number.POSITIVE_INFINITY
    this.#rise(found, this.#clock.monotonicMs())
    return found.ceiling
  }

  #rise(pool: Pool, nowMs: number): void {
    if (pool.ceiling >= pool.callsMax) return
    const steps = Math.floor((nowMs - pool.risenAtMs) / RISE_EVERY_MS)
    if (steps < 1) return
    pool.risenAtMs += steps * RISE_EVERY_MS
    // Without a configured ceiling there is no share of it: one session a step.
    const step = Number.isFinite(pool.callsMax) ? Math.max(1, Math.floor(RISE_SHARE * pool.callsMax)) : 1
    pool.ceiling = Math.min(pool.callsMax, pool.ceiling + steps * step)
  }

  #pool(name: string): Pool {
    const found = this.#pools.get(name)
    if (found !== undefined) return found
    if (this.#pools.size >= POOLS_MAX) this.#forgetOne()
    const none = Number.POSITIVE_INFINITY
    const made: Pool = { buckets: [], callsMax: none, ceiling: none, cutAtMs: -none, risenAtMs: 0 }
    this.#pools.set(name, made)
    return made
  }

  /** The oldest that was never configured; the oldest of all when there is none. */
  #forgetOne(): void {
    let oldest: string | undefined
    for (const [name, { callsMax }] of this.#pools) {
      oldest ??= name
      if (callsMax !== Number.POSITIVE_INFINITY) continue
      oldest = name
      break
    }
    if (oldest !== undefined) this.#pools.delete(oldest)
  }

  #bucket(pool: Pool): Bucket {
    const number = Math.floor(this.#clock.monotonicMs() / BUCKET_MS)
    const last = pool.buckets.at(-1)
    if (last?.number === number) return last
    const made = { number, asks: 0, accepts: 0 }
    pool.buckets.push(made)
    while (pool.buckets[0]!.number <= number - BUCKETS) pool.buckets.shift()
    return made
  }

  #counts(pool: Pool): { asks: number; accepts: number } {
    this.#bucket(pool)
    let asks = 0
    let accepts = 0
    for (const bucket of pool.buckets) {
      asks += bucket.asks
      accepts += bucket.accepts
    }
    return { asks, accepts }
  }
}

/** The share of asks to shed (TH1). */
export function shedProbability(counts: { asks: number; accepts: number }): number {
  if (counts.asks < ASKS_FREE) return 0
  return Math.max(0, (counts.asks - K * counts.accepts) / (counts.asks + 1))
}
