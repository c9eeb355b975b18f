// Leases, pods and the queue of one cell in this process's memory: for one pod, and the model that the Redis store is held to. Rules:
// LM1: each operation is one synchronous step.
// LM2: a lease goes offered → reserved → active → suspect → gone. Offered and reserved end when no stream comes; active ends when
//      it is not renewed for ttlMs; suspect still counts, until hardMs after the last renewal.
// LM3: an epoch's stream opens once, on any pod; the count goes to that pod.
// LM4: a renewal of an older epoch, or of an epoch that another pod has opened, is fenced; of a higher epoch than the store's, or of
//      one whose stream the store still awaits elsewhere, it is unknown: the holder asserts it, and the higher epoch wins.
// LM5: a transfer goes from the known epoch, or from a higher one, to the one after it; asked again before its stream has come it
//      is the same answer; anything else is fenced.
// LM6: a lease moves to another pool under its own epoch, in one step and only where that pool has room; it spends a connect there.
// LM7: what tenants spend is counted by the store's day (UTC); yesterday's is forgotten.
import {
  type Acquired,
  type AcquireRequest,
  type Activated,
  type Audited,
  type CallClass,
  type CellLimits,
  type CellUsage,
  type HeldLease,
  LEASE_TIMES,
  type LeaseSeen,
  type LeaseStore,
  type LeaseTimes,
  type PodEntry,
  type PodHeartbeat,
  type Polled,
  type PoolMoved,
  type Reaped,
  type Renewed,
  type Spent,
  type Transferred,
} from '../../control/ports.ts'
import type { CallSid } from '../../kit/ids.ts'
import { LEASE_BOUNDS, makeSound } from './bounds.ts'
import { Cell } from './cell.ts'
import type { Lease } from './ledger.ts'
import { auditCell, Reaper, usageOf } from './upkeep.ts'

/** A store of its own for one cell; `nowMs` may run back, time in the store does not (CP3). */
export function makeMemoryLeases(options: { times?: LeaseTimes; nowMs: () => number }): LeaseStore {
  return new MemoryLeases(options.times ?? LEASE_TIMES, options.nowMs)
}

type TransferRequest = Parameters<LeaseStore['transfer']>[0]

const DAY_MS = 86_400_000

class MemoryLeases implements LeaseStore {
  readonly #cell: Cell
  readonly #reaper: Reaper
  /** At most one entry a tenant. */
  #spent: { day: number; of: Map<string, Omit<Spent, 'tenant'>> } | undefined

  constructor(times: LeaseTimes, nowMs: () => number) {
    this.#cell = new Cell(times, nowMs)
    this.#reaper = new Reaper(this.#cell)
  }

  async configure(limits: CellLimits): Promise<void> {
    const cell = this.#begin()
    const sound = makeSound(limits)
    cell.ledger.setLimits({ ...sound, pools: cell.ceilings.apply(sound.pools, cell.nowMs) })
    cell.recoversUntilMs ??= cell.nowMs + cell.times.recoveringMs
    cell.line.expect(cell.ledger.limit / LEASE_BOUNDS.callPriorSeconds)
    cell.serveWaiting()
  }

  async announce(pod: PodHeartbeat): Promise<void> {
    const cell = this.#begin()
    cell.roster.announce(pod, cell.nowMs)
  }

  async pods(): Promise<PodEntry[]> {
    const cell = this.#begin()
    return cell.roster.list(cell.view)
  }

  async acquire(request: AcquireRequest): Promise<Acquired> {
    const cell = this.#begin()
    const known = cell.ledger.leases.get(request.callSid)
    if (known !== undefined) return { kind: 'repeated', ...cell.tell(known) }
    const waiting = this.#touch(request.callSid)
    cell.serveWaiting()
    if (waiting !== undefined) {
      const lease = cell.ledger.leases.get(request.callSid)
      if (lease !== undefined) return { kind: 'granted', ...cell.tell(lease) }
      return { kind: 'queued', ...cell.outlook(waiting) }
    }
    return this.#admit(request)
  }

  async activate(request: { callSid: CallSid; epoch: number; pod: string }): Promise<Activated> {
    const cell = this.#begin()
    const lease = cell.ledger.leases.get(request.callSid)
    if (lease === undefined) return { kind: 'unknown' }
    if (lease.epoch !== request.epoch) return { kind: 'fenced', epoch: lease.epoch }
    if (isOpened(lease)) return { kind: 'used' }
    if (lease.pod !== request.pod) cell.ledger.move(lease, { pod: request.pod })
    this.#hold(lease)
    return { kind: 'activated', ...cell.grantOf(lease) }
  }

  async renew({ pod, leases }: { pod: string; leases: readonly HeldLease[] }): Promise<Renewed> {
    const cell = this.#begin()
    const renewed: Renewed = { unknown: [], fenced: [] }
    for (const { callSid, epoch } of leases) {
      const lease = cell.ledger.leases.get(callSid)
      if (lease === undefined || lease.epoch < epoch) renewed.unknown.push(callSid)
      else if (lease.epoch > epoch) renewed.fenced.push(callSid)
      else if (lease.pod === pod) this.#hold(lease)
      else renewed[isOpened(lease) ? 'fenced' : 'unknown'].push(callSid)
    }
    return renewed
  }

  async reassert({ pod, leases }: { pod: string; leases: readonly HeldLease[] }): Promise<{ fenced: CallSid[] }> {
    const cell = this.#begin()
    const fenced: CallSid[] = []
    for (const { callSid, epoch, tenant, pool, caller } of leases) {
      const lease = cell.ledger.leases.get(callSid)
      if (lease === undefined) {
        this.#hold(this.#addUnbacked({ callSid, epoch, tenant, pod, pool, caller }))
      } else if (lease.epoch > epoch || (lease.epoch === epoch && lease.pod !== pod && isOpened(lease))) {
        fenced.push(callSid)
      } else {
        cell.ledger.move(lease, { tenant, pod, pool })
        lease.epoch = epoch
        this.#hold(lease)
        cell.ledger.callers.remember(callSid, caller)
      }
    }
    return { fenced }
  }

  async release({ callSid, epoch }: { callSid: CallSid; epoch: number }): ReturnType<LeaseStore['release']> {
    const cell = this.#begin()
    const lease = cell.ledger.leases.get(callSid)
    if (lease === undefined) return { kind: 'unknown' }
    if (lease.epoch !== epoch) return { kind: 'fenced' }
    cell.ledger.drop(lease)
    cell.serveWaiting()
    return { kind: 'released' }
  }

  async transfer(request: TransferRequest): Promise<Transferred> {
    const cell = this.#begin()
    const { callSid, fromEpoch, avoidPod, preferPod } = request
    const known = cell.ledger.leases.get(callSid)
    if (known !== undefined && known.epoch > fromEpoch) {
      const isAwaited = known.epoch === fromEpoch + 1 && known.state === 'reserved'
      return isAwaited ? { kind: 'repeated', ...cell.grantOf(known) } : { kind: 'fenced', epoch: known.epoch }
    }
    const pod = cell.roster.pickResume(cell.view, { avoidPod, preferPod, ownPod: known?.pod })
    if (pod === undefined) return { kind: 'refused', reason: 'no-pod' }
    const lease = known ?? this.#addLost(request, pod)
    if (lease.pod !== pod) cell.ledger.move(lease, { pod })
    lease.epoch = fromEpoch + 1
    lease.state = 'reserved'
    lease.untilMs = cell.nowMs + cell.times.reservedMs
    cell.ledger.spendConnect(lease.pool, cell.nowMs)
    return { kind: 'transferred', unbacked: known === undefined, ...cell.grantOf(lease) }
  }

  async movePool({ callSid, epoch, pool }: { callSid: CallSid; epoch: number; pool: string }): Promise<PoolMoved> {
    const cell = this.#begin()
    const lease = cell.ledger.leases.get(callSid)
    if (lease === undefined) return { kind: 'unknown' }
    if (lease.epoch !== epoch) return { kind: 'fenced', epoch: lease.epoch }
    if (lease.pool === pool) return { kind: 'moved' }
    if (!cell.ledger.hasRoom(pool)) return { kind: 'full' }
    cell.ledger.move(lease, { pool })
    cell.ledger.spendConnect(pool, cell.nowMs)
    cell.serveWaiting()
    return { kind: 'moved' }
  }

  async reap(max: number): Promise<Reaped> {
    this.#begin()
    return this.#reaper.reap(max)
  }

  async poll(callSid: CallSid): Promise<Polled> {
    const cell = this.#begin()
    const waiting = this.#touch(callSid)
    cell.serveWaiting()
    const lease = cell.ledger.leases.get(callSid)
    if (lease !== undefined) return { kind: 'granted', ...cell.tell(lease) }
    if (waiting === undefined) return { kind: 'gone' }
    return { kind: 'waiting', ...cell.outlook(waiting), waitedMs: cell.nowMs - waiting.sinceMs }
  }

  async leave(callSid: CallSid): Promise<void> {
    const cell = this.#begin()
    const ticket = cell.line.get(callSid)
    if (ticket !== undefined) cell.giveUp(ticket)
    const lease = cell.ledger.leases.get(callSid)
    // What was granted to a caller who has gone before any stream was opened serves nobody.
    if (lease !== undefined && lease.epoch === 1 && !isOpened(lease)) {
      cell.ledger.drop(lease)
      cell.serveWaiting()
    }
  }

  async look(callSids: readonly CallSid[]): Promise<LeaseSeen[]> {
    const cell = this.#begin()
    const seen: LeaseSeen[] = []
    for (const callSid of callSids) {
      const lease = cell.ledger.leases.get(callSid)
      if (lease !== undefined) seen.push(cell.seen(lease))
    }
    return seen
  }

  /** [LM7] */
  async spend(spent: readonly Spent[]): Promise<{ day: number; spent: Spent[] }> {
    const cell = this.#begin()
    const day = Math.floor(cell.nowMs / DAY_MS)
    if (this.#spent?.day !== day) this.#spent = { day, of: new Map() }
    const { of } = this.#spent
    const totals = spent.map(({ tenant, ms, millionths }) => {
      const before = of.get(tenant) ?? { ms: 0, millionths: 0 }
      const total = { tenant, ms: before.ms + ms, millionths: before.millionths + millionths }
      of.set(tenant, total)
      return total
    })
    return { day, spent: totals }
  }

  async usage(): Promise<CellUsage> {
    return usageOf(this.#begin())
  }

  async audit(): Promise<Audited> {
    return auditCell(this.#begin())
  }

  /** Nothing is held: what is asked later is answered still. */
  async close(): Promise<void> {}

  #begin(): Cell {
    this.#cell.begin()
    return this.#cell
  }

  #admit(request: AcquireRequest): Acquired {
    const { callSid, caller } = request
    const { callers } = this.#cell.ledger
    if (caller !== undefined && callers.isFull(caller)) return this.#refuse('caller-full') // [LCA2]
    const acquired = this.#place(request)
    if (acquired.kind !== 'refused') callers.remember(callSid, caller?.key)
    return acquired
  }

  #place({ callSid, tenant, class: callClass, queue: mayWait }: AcquireRequest): Acquired {
    const cell = this.#cell
    if (cell.isRecovering) {
      const isPrepared = cell.recoversUntilMs !== undefined
      return mayWait && isPrepared ? this.#enterLine(callSid, tenant, callClass) : this.#refuse('recovering')
    }
    const isBehind = cell.line.isWaiting(tenant)
    const room = isBehind ? ({ kind: 'full' } as const) : cell.findRoom(tenant, callClass)
    if (room.kind === 'room')
      return { kind: 'granted', ...cell.grantOf(cell.reserve(callSid, tenant, room, 'reserved')) }
    if (!mayWait || room.kind === 'no-pod') return this.#refuse(room.kind)
    return this.#enterLine(callSid, tenant, callClass)
  }

  #enterLine(callSid: CallSid, tenant: string, callClass: CallClass): Acquired {
    const cell = this.#cell
    if (cell.line.size >= cell.ledger.limits.queueMax) return this.#refuse('queue-full')
    const untilMs = cell.nowMs + cell.times.ticketMs
    const ticket = { callSid, tenant, class: callClass, sinceMs: cell.nowMs, untilMs }
    cell.line.enter(ticket)
    return { kind: 'queued', ...cell.outlook(ticket) }
  }

  #refuse(reason: (Acquired & { kind: 'refused' })['reason']): Acquired {
    this.#cell.countRefusal()
    return { kind: 'refused', reason }
  }

  /** The ticket of a caller who asks, if it lives. */
  #touch(callSid: CallSid) {
    const cell = this.#cell
    const ticket = cell.line.get(callSid)
    if (ticket === undefined) return undefined
    if (cell.isDead(ticket)) {
      cell.giveUp(ticket)
      return undefined
    }
    ticket.untilMs = cell.nowMs + cell.times.ticketMs
    return ticket
  }

  #hold(lease: Lease): void {
    lease.state = 'active'
    lease.untilMs = this.#cell.nowMs + this.#cell.times.ttlMs
  }

  #addLost({ callSid, fromEpoch, tenant, pool, caller }: TransferRequest, pod: string): Lease {
    const epoch = fromEpoch + 1
    return this.#addUnbacked({ callSid, epoch, tenant, pod, caller, pool: this.#cell.ledger.poolOfResume(pool) })
  }

  /** A call that is live needs no slot; it cannot wait at the same time. */
  #addUnbacked(held: HeldLease & { pod: string }): Lease {
    const cell = this.#cell
    const ticket = cell.line.get(held.callSid)
    if (ticket !== undefined) cell.line.remove(ticket)
    const { callSid, epoch, tenant, pod, pool } = held
    const lease: Lease = { callSid, state: 'active', epoch, tenant, pod, pool, isUnbacked: true, untilMs: 0 }
    cell.ledger.add(lease)
    cell.ledger.callers.remember(callSid, held.caller)
    return lease
  }
}

/** The stream of its epoch has been opened. */
function isOpened({ state }: Lease): boolean {
  return state === 'active' || state === 'suspect'
}
