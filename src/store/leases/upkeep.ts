// What keeps a cell in memory true over time: reaping, the account of its use, the audit. Rules:
// LUP1: a call whose stream never came is dropped when its reservation ends; a held one becomes suspect and is dropped hardMs after
//      its last renewal, never in the same pass.
// LUP2: when more than massTenths of the held leases, and more than massMin, are due in one pass, the pods are not believed to be
//      dead: held leases are not reaped for one ttl. A mass that is due again within hardMs after that is believed.
// LUP3: while the clock is distrusted nothing is reaped. A clock that jumped and a store that took no write for a while look the same: `time-gap`.
// LUP4: an audit counts everything anew from the leases and puts the counts right.
import type { Audited, CellUsage, Reaped } from '../../control/ports.ts'
import { LEASE_BOUNDS } from './bounds.ts'
import type { Cell } from './cell.ts'
import type { Counts, Lease, LeaseState } from './ledger.ts'
import { compare } from './roster.ts'

export class Reaper {
  readonly #cell: Cell
  #massUntilMs = Number.NEGATIVE_INFINITY

  constructor(cell: Cell) {
    this.#cell = cell
  }

  /** One pass over at most `max` leases. */
  reap(max: number): Reaped {
    const cell = this.#cell
    const reaped: Reaped = { noShows: [], suspected: [], dropped: [], guard: 'none' }
    if (cell.isDistrusted) return { ...reaped, guard: 'time-gap' }
    const bound = Math.min(max, LEASE_BOUNDS.reapMax)
    for (const lease of this.#due(['offered', 'reserved']).slice(0, bound)) {
      cell.ledger.drop(lease)
      reaped.noShows.push(lease.callSid)
    }
    if (this.#isMassExpiry()) reaped.guard = 'mass-expiry'
    else this.#reapHeld(reaped, bound - reaped.noShows.length)
    for (const ticket of cell.line.dead(cell.nowMs, bound)) cell.giveUp(ticket)
    cell.roster.forget(cell.view, cell.times.hardMs, bound)
    cell.serveWaiting()
    return reaped
  }

  #reapHeld(reaped: Reaped, max: number): void {
    const { ledger, times } = this.#cell
    const silent = this.#due(['active']).slice(0, max)
    const gone = this.#due(['suspect']).slice(0, max - silent.length)
    for (const lease of silent) {
      lease.state = 'suspect'
      lease.untilMs += times.hardMs - times.ttlMs
      reaped.suspected.push(lease.callSid)
    }
    for (const lease of gone) {
      ledger.drop(lease)
      reaped.dropped.push(lease.callSid)
    }
  }

  /** [LUP2] */
  #isMassExpiry(): boolean {
    const { nowMs, times, ledger } = this.#cell
    if (nowMs < this.#massUntilMs) return true
    if (nowMs < this.#massUntilMs + times.hardMs) return false
    const due = this.#due(['active', 'suspect']).length
    const all = [...ledger.leases.values()].filter(({ state }) => state === 'active' || state === 'suspect').length
    if (due <= LEASE_BOUNDS.massMin || due * 10 <= all * LEASE_BOUNDS.massTenths) return false
    this.#massUntilMs = nowMs + times.ttlMs
    return true
  }

  #due(states: readonly LeaseState[]): Lease[] {
    return [...this.#cell.ledger.leases.values()]
      .filter(({ state, untilMs }) => untilMs <= this.#cell.nowMs && states.includes(state))
      .sort((a, b) => a.untilMs - b.untilMs || compare(a.callSid, b.callSid))
  }
}

/** What is in use now. */
export function usageOf(cell: Cell): CellUsage {
  const { ledger, line } = cell
  const leases = [...ledger.leases.values()]
  const configured = ledger.limits.pools.map(({ pool, callsMax }) => ({
    pool,
    inUse: ledger.callsOf('pools', pool),
    limit: callsMax,
  }))
  const names = new Set(configured.map(({ pool }) => pool))
  const others = [...ledger.counts.pools].filter(([pool]) => !names.has(pool)).sort(([a], [b]) => compare(a, b))
  return {
    inUse: leases.length,
    reserved: leases.filter(({ state }) => state === 'offered' || state === 'reserved').length,
    suspect: leases.filter(({ state }) => state === 'suspect').length,
    limit: ledger.limit,
    queued: line.size,
    refusedLastMinute: cell.refusedLastMinute,
    pools: [...configured, ...others.map(([pool, inUse]) => ({ pool, inUse, limit: 0 }))],
    isRecovering: cell.isRecovering,
  }
}

/** [LUP4] */
export function auditCell(cell: Cell): Audited {
  const { ledger } = cell
  const truth = ledger.recount()
  const differences = (['tenants', 'pods', 'pools'] as const).flatMap((kind) =>
    differencesOf(kind, ledger.counts, truth),
  )
  ledger.counts = truth
  return { differences }
}

function differencesOf(kind: keyof Counts, counted: Counts, truth: Counts): string[] {
  const names = [...new Set([...counted[kind].keys(), ...truth[kind].keys()])].sort(compare)
  return names.flatMap((name) => {
    const [was, is] = [counted[kind].get(name) ?? 0, truth[kind].get(name) ?? 0]
    return was === is ? [] : [`${kind} ${name}: counted ${was}, held ${is}`]
  })
}
