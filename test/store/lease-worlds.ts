// The lease stores under test: each in a time that moves only when told, and empty when it begins.
import { Redis } from 'ioredis'
import type { CellLimits, LeaseStore, LeaseTimes, PodHeartbeat } from '../../src/control/ports.ts'
import { LEASE_TIMES } from '../../src/control/ports.ts'
import type { CallSid } from '../../src/kit/ids.ts'
import { makeMemoryLeases } from '../../src/store/leases/memory.ts'
import { openRedisLeases } from '../../src/store/leases/redis.ts'
import { type RedisServer, startRedis } from '../../tools/servers/redis.ts'

/** A store with its time. `advance` moves in steps that no store takes for a jump of the clock, and does something at each. */
export type LeaseWorld = {
  store: LeaseStore
  cell: string
  /** Moves time by `ms` at once, back too. */
  jump(ms: number): Promise<void>
  /** Moves time by `ms` in steps of `stepMs` (default 1 s), asking for the usage at each. */
  advance(ms: number, stepMs?: number): Promise<void>
  close(): Promise<void>
}
export type WorldMaker = { name: string; open(times?: LeaseTimes): Promise<LeaseWorld>; close(): Promise<void> }

const START_MS = 1_800_000_000_000

export const memoryWorlds: WorldMaker = {
  name: 'memory',
  open: async (times = LEASE_TIMES) => {
    let nowMs = START_MS
    const store = makeMemoryLeases({ times, nowMs: () => nowMs })
    const jump = async (ms: number) => {
      nowMs += ms
    }
    return makeWorld('memory', store, jump, () => store.close())
  },
  close: async () => {},
}

/** Worlds on one real Redis: each is a cell of its own. */
export async function openRedisWorlds(): Promise<WorldMaker & { redis: RedisServer; control: Redis }> {
  const redis = await startRedis()
  const control = new Redis(redis.url, { protocol: 2 })
  control.on('error', () => {}) // some tests kill the server
  let cells = 0
  return {
    name: 'redis',
    redis,
    control,
    open: async (times = LEASE_TIMES) => {
      const cell = `test-${++cells}`
      const store = await openRedisLeases({ url: redis.url, cell, times, timeoutMs: 5_000, hasVirtualTime: true })
      let nowMs = START_MS
      const setTime = async (ms: number) => {
        nowMs += ms
        await control.call('FCALL', 'vp5_test_time', 1, `voice:{${cell}}:cfg`, nowMs)
      }
      await setTime(0)
      return makeWorld(cell, store, setTime, () => store.close())
    },
    close: async () => {
      control.disconnect()
      await redis.stop()
    },
  }
}

function makeWorld(
  cell: string,
  store: LeaseStore,
  jump: (ms: number) => Promise<void>,
  close: () => Promise<void>,
): LeaseWorld {
  const advance = async (ms: number, stepMs = 1_000) => {
    for (let left = ms; left > 0; left -= stepMs) {
      await jump(Math.min(stepMs, left))
      await store.usage()
    }
  }
  return { store, cell, jump, advance, close }
}

export const sid = (name: string | number): CallSid => `CA${name}` as CallSid

export function limitsOf(partial: Partial<CellLimits> & { callsMax?: number } = {}): CellLimits {
  const { callsMax = 10, ...rest } = partial
  return {
    pools: [{ pool: 'main', callsMax, weight: 1, connectsPerSecond: 1_000 }],
    tenants: [],
    otherTenants: { guaranteed: 0, burst: 1_000, weight: 1 },
    reserve: { inbound: 0, outbound: 0 },
    queueMax: 1_000,
    ...rest,
  }
}

export function podOf(pod: string, partial: Partial<PodHeartbeat> = {}): PodHeartbeat {
  return {
    pod,
    incarnation: `${pod}-1`,
    address: `http://${pod}:80`,
    state: 'ready',
    callsMax: 100,
    penalty: 0,
    ...partial,
  }
}
