// One cell in memory: its time, its leases, pods and waiting callers, and the steps that the operations share. Rules:
// LC1: time never runs back; when it jumps by more than ⅔ ttlMs between two operations it is distrusted for one ttl: nothing expires.
// LC2: whoever waits is served before a new call is judged, and whenever a slot may have come free, within the bounds of LB1.
// LC3: a caller who is granted a place while waiting has half a ticket's time, at least reservedMs, to ask and hear of it; from
//      then on reservedMs for the stream.
// LC4: a store that was empty when it was configured recovers for recoveringMs; without limits it recovers too. Nothing new enters
//      meanwhile: once the limits are known, whoever may wait is queued within queueMax and served afterwards; others are refused.
import type { CallClass, Grant, LeaseSeen, LeaseTimes } from '../../control/ports.ts'
import type { CallSid } from '../../kit/ids.ts'
import { LEASE_BOUNDS } from './bounds.ts'
import { Ceilings } from './ceilings.ts'
import { type Lease, Ledger } from './ledger.ts'
import { type Ticket, WaitingLine } from './line.ts'
import { Roster, type RosterView } from './roster.ts'

/** Whether a new call may enter now, and where. */
type Room = { kind: 'room'; pod: string; pool: string } | { kind: 'full' | 'tenant-full' | 'no-pod' }

export class Cell {
  readonly ledger = new Ledger()
  readonly roster = new Roster()
  readonly ceilings = new Ceilings()
  readonly line = new WaitingLine((tenant) => this.ledger.tenantLimit(tenant).weight)
  readonly times: LeaseTimes
  readonly #clockMs: () => number
  nowMs = Number.NEGATIVE_INFINITY
  distrustedUntilMs = Number.NEGATIVE_INFINITY
  /** undefined: never configured. */
  recoversUntilMs: number | undefined
  /** At most one entry a slice of the last minute. */
  readonly #refusals = new Map<number, number>()

  constructor(times: LeaseTimes, clockMs: () => number) {
    this.times = times
    this.#clockMs = clockMs
  }

  /** [LC1] Each operation begins with it. */
  begin(): void {
    const before = this.nowMs
    this.nowMs = Math.max(before, Math.floor(this.#clockMs()))
    const hasJumped = before > Number.NEGATIVE_INFINITY && (this.nowMs - before) * 3 > this.times.ttlMs * 2
    if (hasJumped) this.distrustedUntilMs = this.nowMs + this.times.ttlMs
  }

  get isDistrusted(): boolean {
    return this.nowMs < this.distrustedUntilMs
  }

  get isRecovering(): boolean {
    return this.recoversUntilMs === undefined || this.nowMs < this.recoversUntilMs
  }

  get view(): RosterView {
    return {
      nowMs: this.nowMs,
      ttlMs: this.times.ttlMs,
      callsOf: (pod) => this.ledger.callsOf('pods', pod),
    }
  }

  grantOf({ pod, pool, epoch }: Lease): Grant {
    return { pod, address: this.roster.addressOf(pod), pool, epoch }
  }

  /** [LC3] Its caller hears of it now. */
  tell(lease: Lease): Grant {
    if (lease.state === 'offered') {
      lease.state = 'reserved'
      lease.untilMs = this.nowMs + this.times.reservedMs
    }
    return this.grantOf(lease)
  }

  /** As `look` tells of it. */
  seen({ callSid, epoch, pod, state, untilMs }: Lease): LeaseSeen {
    if (state !== 'active' && state !== 'suspect') return { callSid, epoch, pod, state: 'awaited', silentMs: 0 }
    const renewedMs = untilMs - (state === 'active' ? this.times.ttlMs : this.times.hardMs)
    return { callSid, epoch, pod, state, silentMs: Math.max(0, this.nowMs - renewedMs) }
  }

  findRoom(tenant: string, callClass: CallClass): Room {
    const verdict = this.ledger.judge(tenant, callClass)
    if (verdict !== 'ok') return { kind: verdict }
    const pool = this.ledger.pickPool(this.nowMs)
    if (pool === undefined) return { kind: 'full' }
    const pod = this.roster.pick(this.view)
    if (pod === undefined) return { kind: this.roster.hasReady(this.view) ? 'full' : 'no-pod' }
    return { kind: 'room', pod, pool }
  }

  reserve(callSid: CallSid, tenant: string, room: { pod: string; pool: string }, state: 'offered' | 'reserved'): Lease {
    const { reservedMs, ticketMs } = this.times
    const heldMs = state === 'reserved' ? reservedMs : Math.max(reservedMs, Math.floor(ticketMs / 2))
    const { pod, pool } = room
    const untilMs = this.nowMs + heldMs
    const lease: Lease = { callSid, state, epoch: 1, tenant, pod, pool, isUnbacked: false, untilMs }
    this.ledger.add(lease)
    this.ledger.spendConnect(pool, this.nowMs)
    return lease
  }

  /** A caller who waited is gone, without a place. */
  giveUp(ticket: Ticket): void {
    this.line.remove(ticket)
    this.ledger.callers.forget(ticket.callSid)
  }

  isDead(ticket: Ticket): boolean {
    return ticket.untilMs <= this.nowMs && !this.isDistrusted
  }

  /** [LC2] */
  serveWaiting(): void {
    if (this.isRecovering || this.line.size === 0) return
    const skipped = new Set<string>()
    let granted = 0
    for (let step = 0; step < LEASE_BOUNDS.stepsMax && granted < LEASE_BOUNDS.grantsMax; step++) {
      const ticket = this.#nextToServe(skipped)
      if (ticket === undefined) return
      if (this.isDead(ticket)) this.giveUp(ticket)
      else if (this.ledger.judge(ticket.tenant, ticket.class) !== 'ok') skipped.add(ticket.tenant)
      else {
        const room = this.findRoom(ticket.tenant, ticket.class)
        if (room.kind !== 'room') return
        this.reserve(ticket.callSid, ticket.tenant, room, 'offered')
        this.line.serve(ticket, this.nowMs)
        granted += 1
      }
    }
  }

  /** Whether calls of a tenant could be served if there were room. */
  readonly isServable = (tenant: string): boolean =>
    this.ledger.callsOf('tenants', tenant) < this.ledger.tenantLimit(tenant).burst

  outlook(ticket: Ticket): { ahead: number; etaMs: number } {
    return this.line.outlook(ticket, this.nowMs, this.isServable)
  }

  countRefusal(): void {
    const slice = Math.floor(this.nowMs / LEASE_BOUNDS.refusalSliceMs)
    this.#refusals.set(slice, (this.#refusals.get(slice) ?? 0) + 1)
    for (const one of this.#refusals.keys()) if (one <= slice - LEASE_BOUNDS.refusalSlices) this.#refusals.delete(one)
  }

  get refusedLastMinute(): number {
    const slice = Math.floor(this.nowMs / LEASE_BOUNDS.refusalSliceMs)
    let sum = 0
    for (const [one, count] of this.#refusals) if (one > slice - LEASE_BOUNDS.refusalSlices) sum += count
    return sum
  }

  /** [LQ4] */
  #nextToServe(skipped: ReadonlySet<string>): Ticket | undefined {
    const { leases, limit, limits } = this.ledger
    const { inbound, outbound } = limits.reserve
    const isBelow = (tenant: string) =>
      this.ledger.callsOf('tenants', tenant) < this.ledger.tenantLimit(tenant).guaranteed
    if (leases.size < limit - inbound) {
      const ticket = this.line.first((tenant) => !skipped.has(tenant) && isBelow(tenant))
      if (ticket !== undefined) return ticket
    }
    // What nobody could get is not looked for.
    if (leases.size + this.ledger.unusedGuarantees() >= limit - Math.min(inbound, outbound)) return undefined
    return this.line.first((tenant) => !skipped.has(tenant) && !isBelow(tenant) && this.isServable(tenant))
  }
}
