// What tenants may spend in a day, over the fleet. Rules:
// SPN1: a pod tells the store each TELL_MS what its calls have lasted and cost since it last told, and hears what each tenant has spent today
//      over the fleet. No call waits for it, and no frame.
// SPN2: a tenant at its bound gets no new calls; those that are live go on. It may overspend by what is live and by what TELL_MS holds.
// SPN3: at NEAR_SHARE of a bound, and at it, each pod says so once a day: a line in the log and a count.
// SPN4: while the store is away a pod adds its own to what it last heard, and tells all of it later.
// SPN5: a day is the store's own, in UTC. At most TENANTS_MAX tenants are watched.
import type { CallSid } from '../kit/ids.ts'
import type { Log } from '../kit/log.ts'
import type { Wheel, WheelTimer } from '../kit/wheel.ts'
import type { LeaseStore, Spent } from './ports.ts'
import { askWithin } from './store-answer.ts'

export const TELL_MS = 10_000
const NEAR_SHARE = 0.8
const TELL_ANSWER_MS = 1_000
const TENANTS_MAX = 10_000
/** The store counts money in whole millionths. */
const MILLION = 1_000_000

/** What a tenant may spend in a day; undefined: not bounded. `money` in the currency of the prices. */
export type TenantBudget = { minutes: number | undefined; money: number | undefined }
/** What a call of this pod has lasted and cost here so far. */
export type CallSpending = { callSid: CallSid; tenant: string; ms: number; money: number }

type SpendingParts = {
  store: Pick<LeaseStore, 'spend'>
  budgetOf: (tenant: string) => TenantBudget
  /** The calls that act here. */
  live: () => readonly CallSpending[]
  wheel: Wheel
  log: Log
  /** Told of a bound that is near or reached, by its name. */
  onLimit: (limit: string) => void
}

type Known = { ms: number; money: number; isNear: boolean; isOver: boolean }

export class Spending {
  readonly #parts: SpendingParts
  /** What was told of each live call. */
  readonly #told = new Map<CallSid, { ms: number; money: number }>()
  /** What is still to be told, by tenant. */
  #owed = new Map<string, { ms: number; money: number }>()
  readonly #known = new Map<string, Known>()
  #day: number | undefined
  #timer: WheelTimer | undefined
  #isTelling = false

  constructor(parts: SpendingParts) {
    this.#parts = parts
  }

  start(): void {
    this.#timer = this.#parts.wheel.after(TELL_MS, () => {
      void this.tell().finally(() => this.start())
    })
  }

  /** Tells what is left, `TELL_ANSWER_MS` at most. */
  async close(): Promise<void> {
    this.#parts.wheel.cancel(this.#timer)
    await this.tell()
  }

  /** Whether the tenant has spent what it may today, as far as this pod knows. [SPN2] */
  isOver(tenant: string): boolean {
    const { minutes, money } = this.#parts.budgetOf(tenant)
    if (minutes === undefined && money === undefined) return false
    if (!this.#known.has(tenant) && this.#known.size < TENANTS_MAX) {
      this.#known.set(tenant, { ms: 0, money: 0, isNear: false, isOver: false })
      void this.tell()
    }
    return this.#known.get(tenant)?.isOver === true
  }

  /** A call of this pod is over for it. */
  ended(call: CallSpending): void {
    this.#owe(call)
    this.#told.delete(call.callSid)
  }

  /** [SPN1] One round; one at a time. */
  async tell(): Promise<void> {
    if (this.#isTelling) return
    this.#isTelling = true
    try {
      for (const call of this.#parts.live()) this.#owe(call)
      await this.#exchange()
    } finally {
      this.#isTelling = false
    }
  }

  async #exchange(): Promise<void> {
    const { store, wheel, log } = this.#parts
    const owed = this.#owed
    const tenants = new Set([...owed.keys(), ...this.#known.keys()])
    if (tenants.size === 0) return
    const spent: Spent[] = [...tenants].map((tenant) => {
      const { ms = 0, money = 0 } = owed.get(tenant) ?? {}
      return { tenant, ms: Math.round(ms), millionths: Math.round(money * MILLION) }
    })
    this.#owed = new Map()
    const answer = await askWithin(wheel, TELL_ANSWER_MS, () => store.spend(spent))
    if (answer.kind === 'away') {
      log.debug({ reason: answer.reason }, 'what was spent is told later')
      // [SPN4] Its outcome is not known: what may have been added is added once more rather than lost.
      for (const [tenant, { ms, money }] of owed) {
        this.#add(this.#owed, tenant, ms, money)
        this.#judge(tenant, (this.#known.get(tenant)?.ms ?? 0) + ms, (this.#known.get(tenant)?.money ?? 0) + money)
      }
      return
    }
    if (this.#day !== answer.value.day) for (const known of this.#known.values()) Object.assign(known, FRESH)
    this.#day = answer.value.day
    for (const { tenant, ms, millionths } of answer.value.spent) this.#judge(tenant, ms, millionths / MILLION)
  }

  #owe({ callSid, tenant, ms, money }: CallSpending): void {
    const { minutes, money: bound } = this.#parts.budgetOf(tenant)
    if (minutes === undefined && bound === undefined) return
    const told = this.#told.get(callSid) ?? { ms: 0, money: 0 }
    this.#told.set(callSid, { ms, money })
    this.#add(this.#owed, tenant, Math.max(0, ms - told.ms), Math.max(0, money - told.money))
  }

  #add(to: Map<string, { ms: number; money: number }>, tenant: string, ms: number, money: number): void {
    const before = to.get(tenant) ?? { ms: 0, money: 0 }
    if (to.size < TENANTS_MAX || to.has(tenant)) to.set(tenant, { ms: before.ms + ms, money: before.money + money })
  }

  /** [SPN3] */
  #judge(tenant: string, ms: number, money: number): void {
    const known = this.#known.get(tenant) ?? { ...FRESH, ms: 0, money: 0 }
    if (!this.#known.has(tenant) && this.#known.size >= TENANTS_MAX) return
    this.#known.set(tenant, known)
    const budget = this.#parts.budgetOf(tenant)
    Object.assign(known, { ms, money })
    const share = Math.max(shareOf(ms / 60_000, budget.minutes), shareOf(money, budget.money))
    const { log, onLimit } = this.#parts
    if (share >= 1 && !known.isOver) {
      log.warn({ tenant }, 'a tenant has spent what it may today')
      onLimit('tenant-day-reached')
    } else if (share >= NEAR_SHARE && share < 1 && !known.isNear) {
      log.warn({ tenant }, 'a tenant has nearly spent what it may today')
      onLimit('tenant-day-near')
    }
    known.isNear = known.isNear || share >= NEAR_SHARE
    known.isOver = share >= 1
  }
}

const FRESH = { isNear: false, isOver: false }

const shareOf = (spent: number, bound: number | undefined): number => (bound === undefined ? 0 : spent / bound)
