// The callers who wait, in memory. Rules:
// LQ1: first come, first served within a tenant; whoever waits is served before a new call of the same tenant.
// LQ2: between tenants self-clocked fair queueing: a tenant, not a ticket, bears a tag; who begins to wait gets V + 1/weight,
//      the smallest tag is served, V becomes that tag, and the tenant's next caller gets V + 1/weight.
// LQ3: a ticket that vanishes costs its tenant nothing: the next of its line stands under the same tag.
// LQ4: tenants below their guarantee come first, then those below their burst; the others are not looked at.
// LQ5: a ticket that was not asked for within its time is dead and is never served; while the clock is distrusted none is dead.
// LQ6: the tags begin anew when nobody waits.
import type { CallClass } from '../../control/ports.ts'
import type { CallSid } from '../../kit/ids.ts'
import { LEASE_BOUNDS } from './bounds.ts'
import { compare } from './roster.ts'

export type Ticket = {
  readonly callSid: CallSid
  readonly tenant: string
  readonly class: CallClass
  readonly sinceMs: number
  untilMs: number
}
/** One tenant's callers in the order of their coming; `tag` is where the first of them stands. */
type Line = { tag: number; callSids: CallSid[] }

export class WaitingLine {
  /** At most queueMax, which the store watches. */
  readonly #tickets = new Map<CallSid, Ticket>()
  readonly #lines = new Map<string, Line>()
  readonly #weightOf: (tenant: string) => number
  #clock = 0
  /** Grants per second, averaged over the time in which somebody waited. */
  #rate: number | undefined
  #rateAtMs = 0

  constructor(weightOf: (tenant: string) => number) {
    this.#weightOf = weightOf
  }

  get size(): number {
    return this.#tickets.size
  }

  /** The rate before anything was measured; later calls change nothing. */
  expect(grantsPerSecond: number): void {
    this.#rate ??= grantsPerSecond
  }

  get(callSid: CallSid): Ticket | undefined {
    return this.#tickets.get(callSid)
  }

  isWaiting(tenant: string): boolean {
    return this.#lines.has(tenant)
  }

  enter(ticket: Ticket): void {
    if (this.size === 0) this.#rateAtMs = ticket.sinceMs
    this.#tickets.set(ticket.callSid, ticket)
    const line = this.#lines.get(ticket.tenant)
    if (line !== undefined) line.callSids.push(ticket.callSid)
    else this.#lines.set(ticket.tenant, { tag: this.#nextTag(ticket.tenant), callSids: [ticket.callSid] })
  }

  /** [LQ3] */
  remove(ticket: Ticket): void {
    this.#tickets.delete(ticket.callSid)
    const line = this.#lines.get(ticket.tenant)!
    line.callSids.splice(line.callSids.indexOf(ticket.callSid), 1)
    if (line.callSids.length === 0) this.#lines.delete(ticket.tenant)
    if (this.size === 0) this.#clock = 0 // [LQ6]
  }

  /** [LQ2] Takes the first of a line, who has got a lease. */
  serve(ticket: Ticket, nowMs: number): void {
    this.#fade(nowMs)
    this.#rate! += 1 / LEASE_BOUNDS.rateSeconds
    const line = this.#lines.get(ticket.tenant)!
    this.#clock = Math.max(this.#clock, line.tag)
    this.remove(ticket)
    if (line.callSids.length > 0) line.tag = this.#nextTag(ticket.tenant)
  }

  /** The first caller of the tenant with the smallest tag among those that `isFit` lets through. */
  first(isFit: (tenant: string) => boolean): Ticket | undefined {
    let best: { tenant: string; tag: number; callSid: CallSid } | undefined
    for (const [tenant, { tag, callSids }] of this.#lines) {
      if (!isFit(tenant)) continue
      if (best === undefined || tag < best.tag || (tag === best.tag && tenant < best.tenant))
        best = { tenant, tag, callSid: callSids[0]! }
    }
    return best === undefined ? undefined : this.#tickets.get(best.callSid)
  }

  /** Tickets whose time ended, oldest end first. */
  dead(nowMs: number, max: number): Ticket[] {
    return [...this.#tickets.values()]
      .filter(({ untilMs }) => untilMs <= nowMs)
      .sort((a, b) => a.untilMs - b.untilMs || compare(a.callSid, b.callSid))
      .slice(0, max)
  }

  /** How many are served before this one if all goes on as it is, and how long that takes. `isFit`: tenants that can be served. */
  outlook(ticket: Ticket, nowMs: number, isFit: (tenant: string) => boolean): { ahead: number; etaMs: number } {
    const own = this.#lines.get(ticket.tenant)!
    const place = own.callSids.indexOf(ticket.callSid)
    const tag = own.tag + place / this.#weightOf(ticket.tenant)
    const before = [...this.#lines]
      .filter(([tenant, line]) => tenant !== ticket.tenant && line.tag <= tag && isFit(tenant))
      .sort(([a, x], [b, y]) => x.tag - y.tag || compare(a, b))
      .slice(0, LEASE_BOUNDS.aheadTenantsMax)
    let ahead = place
    for (const [tenant, line] of before)
      ahead += Math.min(line.callSids.length, Math.floor((tag - line.tag) * this.#weightOf(tenant)) + 1)
    this.#fade(nowMs)
    return { ahead, etaMs: Math.min(LEASE_BOUNDS.etaMaxMs, Math.ceil(((ahead + 1) / this.#rate!) * 1000)) }
  }

  #nextTag(tenant: string): number {
    return this.#clock + 1 / this.#weightOf(tenant)
  }

  /** Whole seconds only, so that every store reckons the same. */
  #fade(nowMs: number): void {
    const seconds = Math.floor((nowMs - this.#rateAtMs) / 1000)
    const { rateSeconds, fadeMax } = LEASE_BOUNDS
    for (let i = 0; i < Math.min(seconds, fadeMax); i++) this.#rate = (this.#rate! * (rateSeconds - 1)) / rateSeconds
    this.#rateAtMs += seconds * 1000
  }
}
