// How many calls one process may admit and keep alive through the store of leases, on a real Redis on the same machine.
import type { CellLimits, HeldLease, LeaseStore } from '../../src/control/ports.ts'
import { LEASE_TIMES } from '../../src/control/ports.ts'
import type { CallSid } from '../../src/kit/ids.ts'
import { openRedisLeases } from '../../src/store/leases/redis.ts'
import { startRedis } from '../../tools/servers/redis.ts'
import { atMost, type Bench, type BenchCase, type BenchResult } from '../runner/bench.ts'
import { atLeastScaled, besideReference, type MachineSpeed } from '../runner/reference.ts'

const CALLS = 30_000
const LEASES = 100_000
const PODS = 500
const TENANTS = 100
/** Calls whose webhooks are being answered at once. */
const IN_FLIGHT = 64
const BATCH = 500
/** Renewals in flight: two pods at once. */
const BATCHES_IN_FLIGHT = 2
/** A webhook has 300 ms for the store; here the Redis is pressed to its limit. */
const TIMEOUT_MS = 5_000

const LIMITS: CellLimits = {
  pools: [
    { pool: 'main', callsMax: 80_000, weight: 2, connectsPerSecond: 1_000_000 },
    { pool: 'second', callsMax: 60_000, weight: 1, connectsPerSecond: 1_000_000 },
  ],
  tenants: Array.from({ length: TENANTS }, (_, i) => ({
    tenant: `tenant-${i}`,
    guaranteed: 500,
    burst: 50_000,
    weight: 1 + (i % 3),
  })),
  otherTenants: { guaranteed: 0, burst: 1_000, weight: 1 },
  reserve: { inbound: 1_000, outbound: 5_000 },
  queueMax: 10_000,
}

const callOf = (i: number): CallSid => `CA${i.toString(16).padStart(32, '0')}` as CallSid
const podOf = (i: number): string => `pod-${i % PODS}`

type Rate = { perSecond: number; p50Ms: number; p99Ms: number; count: number }

/** Does `one` for 0 … count − 1, `inFlight` at a time. */
async function measure(count: number, inFlight: number, one: (i: number) => Promise<void>): Promise<Rate> {
  const tookMs: number[] = []
  let next = 0
  const startMs = performance.now()
  const lane = async () => {
    for (let i = next++; i < count; i = next++) {
      const beganMs = performance.now()
      await one(i)
      tookMs.push(performance.now() - beganMs)
    }
  }
  await Promise.all(Array.from({ length: inFlight }, lane))
  const seconds = (performance.now() - startMs) / 1_000
  tookMs.sort((a, b) => a - b)
  const at = (share: number) => round(tookMs[Math.floor((count - 1) * share)] ?? Number.NaN)
  return { perSecond: Math.round(count / seconds), p50Ms: at(0.5), p99Ms: at(0.99), count }
}

const round = (ms: number): number => Math.round(ms * 100) / 100

async function admit(store: LeaseStore, i: number): Promise<void> {
  const callSid = callOf(i)
  const got = await store.acquire({ callSid, tenant: `tenant-${i % TENANTS}`, class: 'inbound', queue: true })
  if (got.kind !== 'granted') throw new Error(`call ${i} was ${got.kind}`)
  const opened = await store.activate({ callSid, epoch: got.epoch, pod: got.pod })
  if (opened.kind !== 'activated') throw new Error(`call ${i} was ${opened.kind}`)
}

/** What each pod holds of the leases from `from` to `to`, in parts of BATCH. */
function batches(from: number, to: number): { pod: string; leases: HeldLease[] }[] {
  const parts = []
  for (let start = from; start < to; start += BATCH) {
    const leases = Array.from({ length: Math.min(BATCH, to - start) }, (_, k) => {
      const i = start + k
      return { callSid: callOf(i), tenant: `tenant-${i % TENANTS}`, epoch: 1, pool: 'main' }
    })
    parts.push({ pod: podOf(start / BATCH), leases })
  }
  return parts
}

export const admission: BenchCase = {
  text: `calls admitted and placed per second, and ${LEASES} leases renewed, on a Redis beside one process`,
  run: async (bench) => {
    const { value, machine } = await besideReference(bench, () => carry(bench))
    return resultOf(value, machine)
  },
}

type Carried = Awaited<ReturnType<typeof carry>>

async function carry(bench: Bench) {
  const redis = await startRedis()
  bench.atEnd(() => redis.stop())
  const times = { ...LEASE_TIMES, ttlMs: 120_000, hardMs: 240_000, reservedMs: 60_000, recoveringMs: 0 }
  const store = await openRedisLeases({ url: redis.url, cell: 'bench', times, timeoutMs: TIMEOUT_MS })
  bench.atEnd(() => store.close())
  await store.configure(LIMITS)
  for (let i = 0; i < PODS; i++) {
    const address = `http://10.0.0.${i}:8080`
    await store.announce({ pod: podOf(i), incarnation: '1', address, state: 'ready', callsMax: 400, penalty: 0 })
  }
  const calls = bench.options.calls ?? CALLS
  const admitted = await measure(calls, IN_FLIGHT, (i) => admit(store, i))
  const loads = (await store.pods()).map((pod) => pod.calls)
  bench.note(`${admitted.perSecond} calls/s admitted`)
  const asserted = batches(calls, calls + LEASES)
  const reasserted = await measure(asserted.length, BATCHES_IN_FLIGHT, async (i) => {
    await store.reassert(asserted[i]!)
  })
  bench.note(`${reasserted.perSecond * BATCH} leases/s asserted anew`)
  let lost = 0
  const renewed = await measure(asserted.length * 3, BATCHES_IN_FLIGHT, async (i) => {
    const { unknown, fenced } = await store.renew(asserted[i % asserted.length]!)
    lost += unknown.length + fenced.length
  })
  const released = await measure(calls, IN_FLIGHT, async (i) => {
    const { kind } = await store.release({ callSid: callOf(i), epoch: 1 })
    if (kind !== 'released') lost += 1
  })
  const beforeAuditMs = performance.now()
  const { differences } = await store.audit()
  const auditMs = round(performance.now() - beforeAuditMs)
  return { calls, admitted, loads, reasserted, renewed, released, auditMs, lost: lost + differences.length }
}

function resultOf(carried: Carried, machine: MachineSpeed): BenchResult {
  const { calls, admitted, loads, reasserted, renewed, released, auditMs, lost } = carried
  const renewalsPerSecond = renewed.perSecond * BATCH
  return {
    figures: {
      admitted,
      spread: { callsMin: Math.min(...loads), callsMax: Math.max(...loads) },
      reassertedPerSecond: reasserted.perSecond * BATCH,
      renewalsPerSecond,
      renewalBatch: renewed,
      released,
      auditMs,
      machine,
    },
    samples: { calls, leases: LEASES, renewals: renewed.count * BATCH, pods: PODS, tenants: TENANTS },
    generator: { inFlight: IN_FLIGHT, batchesInFlight: BATCHES_IN_FLIGHT },
    checks: [
      atLeastScaled('calls acquired, placed and activated per second', admitted.perSecond, 5_000, machine),
      atLeastScaled('leases renewed per second', renewalsPerSecond, 50_000, machine),
      atMost('difference between the fullest and the emptiest pod', Math.max(...loads) - Math.min(...loads), 1),
      atMost('leases lost, fenced or wrongly counted', lost, 0),
    ],
  }
}
