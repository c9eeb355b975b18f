// Leases, pods and the queue of one cell on Redis ≥ 7, for a fleet: each operation is one call of the function library. Rules:
// LE1: library, times and the limits last configured are brought again to each new connection, so that a Redis that lost everything
//      knows them when the first operation comes; without its boot mark it recovers (LC4).
// LE2: all keys are `voice:{cell}:…`: one hash tag, so that one function may touch them all in a cluster.
// LE3: a renewal or an assertion is sent in parts of BATCH_MAX leases, each a step of its own.
// LE4: time is Redis' own; a test may ask for a virtual one, which a store that lives refuses.
import {
  type Acquired,
  type AcquireRequest,
  type Activated,
  type Audited,
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
  type TenantLimit,
  type Transferred,
} from '../../control/ports.ts'
import type { CallSid } from '../../kit/ids.ts'
import { type Log, silentLog } from '../../kit/log.ts'
import { RedisConnection, type Send } from '../redis/connection.ts'
import {
  readAcquired,
  readActivated,
  readPods,
  readPolled,
  readPoolMoved,
  readReaped,
  readSeen,
  readSpent,
  readTransferred,
  readUsage,
} from './answers.ts'
import { makeSound } from './bounds.ts'
import { LIBRARY, readLibrary } from './library.ts'

const BATCH_MAX = 500
const TIMEOUT_MS = 300
/** How long opening waits for a Redis that does not answer; it goes on without it then. */
const OPEN_WAIT_MS = 1_000

type RedisLeasesOptions = {
  url: string
  cell: string
  times?: LeaseTimes
  /** Bound of one command, default 300 ms. */
  timeoutMs?: number
  log?: Log
  /** Tests only: time is what `vp5_test_time` sets. */
  hasVirtualTime?: boolean
}

/** Opens the store; Redis need not be there yet: until it is, each operation rejects with STORE_UNAVAILABLE. */
export async function openRedisLeases(options: RedisLeasesOptions): Promise<LeaseStore> {
  const store = new RedisLeases(options)
  await store.open()
  return store
}

type TransferRequest = Parameters<LeaseStore['transfer']>[0]
type Argument = string | number

class RedisLeases implements LeaseStore {
  readonly #connection: RedisConnection
  readonly #key: string
  readonly #times: LeaseTimes
  readonly #isVirtual: boolean
  /** What was configured last, to be said again to a new connection. */
  #limits: CellLimits | undefined

  constructor(options: RedisLeasesOptions) {
    this.#key = `voice:{${options.cell}}:cfg`
    this.#times = options.times ?? LEASE_TIMES
    this.#isVirtual = options.hasVirtualTime ?? false
    this.#connection = new RedisConnection({
      url: options.url,
      timeoutMs: options.timeoutMs ?? TIMEOUT_MS,
      log: options.log ?? silentLog,
      prepare: (send) => this.#prepare(send),
    })
  }

  open(): Promise<void> {
    return this.#connection.open(OPEN_WAIT_MS)
  }

  async configure(limits: CellLimits): Promise<void> {
    this.#limits = makeSound(limits)
    await this.#call('configure', ...limitArguments(this.#limits))
  }

  async announce(heartbeat: PodHeartbeat): Promise<void> {
    const { pod, state, callsMax, penalty, incarnation, address, newCallsMax = callsMax } = heartbeat
    await this.#call('announce', pod, state, callsMax, penalty, incarnation, address, newCallsMax)
  }

  async pods(): Promise<PodEntry[]> {
    return readPods(await this.#call('pods'))
  }

  async acquire(request: AcquireRequest): Promise<Acquired> {
    const { callSid, tenant, class: callClass, queue, caller = { key: '', max: 0, groupMax: 0 } } = request
    const asked = [callSid, tenant, callClass, queue ? '1' : '0', caller.key, caller.max, caller.groupMax ?? caller.max]
    return readAcquired(await this.#call('acquire', ...asked))
  }

  async activate({ callSid, epoch, pod }: { callSid: CallSid; epoch: number; pod: string }): Promise<Activated> {
    return readActivated(await this.#call('activate', callSid, epoch, pod))
  }

  async renew({ pod, leases }: { pod: string; leases: readonly HeldLease[] }): Promise<Renewed> {
    const answers = await this.#inParts('renew', pod, leases, ({ callSid, epoch }) => [callSid, epoch])
    const lists = answers as [CallSid[], CallSid[]][]
    return { unknown: lists.flatMap(([unknown]) => unknown), fenced: lists.flatMap(([, fenced]) => fenced) }
  }

  async reassert({ pod, leases }: { pod: string; leases: readonly HeldLease[] }): Promise<{ fenced: CallSid[] }> {
    const fields = ({ callSid, epoch, tenant, pool, caller = '' }: HeldLease) => [callSid, epoch, tenant, pool, caller]
    const answers = await this.#inParts('reassert', pod, leases, fields)
    return { fenced: (answers as CallSid[][]).flat() }
  }

  async release({ callSid, epoch }: { callSid: CallSid; epoch: number }): ReturnType<LeaseStore['release']> {
    return { kind: (await this.#call('release', callSid, epoch)) as 'released' | 'unknown' | 'fenced' }
  }

  async transfer(request: TransferRequest): Promise<Transferred> {
    const { callSid, fromEpoch, tenant, pool = '', avoidPod = '', preferPod = '', caller = '' } = request
    const asked = [callSid, fromEpoch, tenant, pool, avoidPod, preferPod, caller]
    return readTransferred(await this.#call('transfer', ...asked))
  }

  async movePool({ callSid, epoch, pool }: { callSid: CallSid; epoch: number; pool: string }): Promise<PoolMoved> {
    return readPoolMoved(await this.#call('move_pool', callSid, epoch, pool))
  }

  async reap(max: number): Promise<Reaped> {
    return readReaped(await this.#call('reap', max))
  }

  async poll(callSid: CallSid): Promise<Polled> {
    return readPolled(await this.#call('poll', callSid))
  }

  async leave(callSid: CallSid): Promise<void> {
    await this.#call('leave', callSid)
  }

  async look(callSids: readonly CallSid[]): Promise<LeaseSeen[]> {
    const parts: Promise<unknown>[] = []
    for (let from = 0; from < callSids.length; from += BATCH_MAX)
      parts.push(this.#call('look', ...callSids.slice(from, from + BATCH_MAX)))
    return (await Promise.all(parts)).flatMap(readSeen)
  }

  async spend(spent: readonly Spent[]): Promise<{ day: number; spent: Spent[] }> {
    const parts: Promise<unknown>[] = []
    for (let from = 0; from < Math.max(1, spent.length); from += BATCH_MAX) {
      const part = spent.slice(from, from + BATCH_MAX)
      parts.push(this.#call('spend', ...part.flatMap(({ tenant, ms, millionths }) => [tenant, ms, millionths])))
    }
    return readSpent(await Promise.all(parts), spent)
  }

  async usage(): Promise<CellUsage> {
    return readUsage(await this.#call('usage'))
  }

  async audit(): Promise<Audited> {
    return { differences: (await this.#call('audit')) as string[] }
  }

  close(): Promise<void> {
    return this.#connection.close()
  }

  /** [LE1] */
  async #prepare(send: Send): Promise<void> {
    await loadLibrary(send)
    const { ttlMs, hardMs, reservedMs, recoveringMs, ticketMs } = this.#times
    const times = [ttlMs, hardMs, reservedMs, recoveringMs, ticketMs]
    await send('FCALL', [`${LIBRARY}_init`, 1, this.#key, ...times, this.#isVirtual ? '1' : '0'])
    if (this.#limits === undefined) return
    await send('FCALL', [`${LIBRARY}_configure`, 1, this.#key, ...limitArguments(this.#limits)])
  }

  #call(name: string, ...args: Argument[]): Promise<unknown> {
    return this.#connection.send('FCALL', [`${LIBRARY}_${name}`, 1, this.#key, ...args])
  }

  /** [LE3] */
  #inParts(
    name: string,
    pod: string,
    leases: readonly HeldLease[],
    fields: (lease: HeldLease) => Argument[],
  ): Promise<unknown[]> {
    const parts: Promise<unknown>[] = []
    for (let from = 0; from < leases.length; from += BATCH_MAX)
      parts.push(this.#call(name, pod, ...leases.slice(from, from + BATCH_MAX).flatMap(fields)))
    return Promise.all(parts)
  }
}

/** A fleet that comes back at once would make Redis read the same text again and again. */
async function loadLibrary(send: Send): Promise<void> {
  const text = readLibrary()
  const known = (await send('FUNCTION', ['LIST', 'LIBRARYNAME', LIBRARY, 'WITHCODE'])) as unknown[][]
  if (known.some((library) => library.includes(text))) return
  await send('FUNCTION', ['LOAD', 'REPLACE', text])
}

function limitArguments({ pools, tenants, otherTenants, reserve, queueMax }: CellLimits): Argument[] {
  const limit = pools.reduce((sum, { callsMax }) => sum + callsMax, 0)
  const text = ({ guaranteed, burst, weight }: Omit<TenantLimit, 'tenant'>) => `${guaranteed} ${burst} ${weight}`
  return [
    JSON.stringify(pools),
    limit,
    reserve.inbound,
    reserve.outbound,
    queueMax,
    text(otherTenants),
    ...tenants.flatMap((one) => [one.tenant, text(one)]),
  ]
}
