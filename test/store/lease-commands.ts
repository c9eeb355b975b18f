// Random commands for a store of leases: few names, so that they meet; epochs mostly right, so that they matter.
import fc from 'fast-check'
import type {
  CallClass,
  CallerPlaces,
  CellLimits,
  HeldLease,
  LeaseStore,
  PodHeartbeat,
  PodState,
} from '../../src/control/ports.ts'
import type { LeaseWorld } from './lease-worlds.ts'
import { limitsOf, podOf, sid } from './lease-worlds.ts'

const POOLS = ['main', 'spare', 'unknown']
/** Limits that a run switches between. */
const LIMITS: readonly CellLimits[] = [
  limitsOf({
    pools: [
      { pool: 'main', callsMax: 6, weight: 2, connectsPerSecond: 50 },
      { pool: 'spare', callsMax: 3, weight: 1, connectsPerSecond: 3 },
    ],
    tenants: [
      { tenant: 't0', guaranteed: 2, burst: 5, weight: 1 },
      { tenant: 't1', guaranteed: 1, burst: 3, weight: 3 },
    ],
    otherTenants: { guaranteed: 0, burst: 4, weight: 0.7 },
    reserve: { inbound: 1, outbound: 3 },
    queueMax: 8,
  }),
  limitsOf({
    pools: [{ pool: 'main', callsMax: 4, weight: 1, connectsPerSecond: 1 }],
    tenants: [{ tenant: 't2', guaranteed: 2, burst: 2, weight: 2 }],
    otherTenants: { guaranteed: 3, burst: 3, weight: 1 },
    queueMax: 5,
  }),
  limitsOf({ pools: [{ pool: 'main', callsMax: 9, weight: 1, connectsPerSecond: 50, ceiling: 5 }] }),
  limitsOf({ pools: [{ pool: 'main', callsMax: 9, weight: 1, connectsPerSecond: 50, ceiling: 7 }] }),
  limitsOf({ callsMax: 14, reserve: { inbound: 0, outbound: 2 } }),
]

export type Command =
  | { do: 'advance' | 'jump'; ms: number }
  | { do: 'configure'; limits: number }
  | { do: 'announce'; pod: number; state: PodState; callsMax: number; newCallsMax: number; penalty: number }
  | { do: 'acquire'; call: number; tenant: number; class: CallClass; queue: boolean; caller: number }
  | { do: 'activate' | 'release'; call: number; off: number; pod: number }
  | { do: 'renew' | 'reassert'; pod: number; calls: { call: number; off: number; tenant: number; pool: number }[] }
  | { do: 'transfer'; call: number; off: number; tenant: number; pool: number; avoid: number; prefer: number }
  | { do: 'movePool'; call: number; off: number; pool: number }
  | { do: 'poll' | 'leave'; call: number }
  | { do: 'reap'; max: number }
  | { do: 'audit' | 'beat' }
  | { do: 'spend'; tenant: number; ms: number; millionths: number }

const call = fc.nat(17)
const tenant = fc.nat(3)
const pod = fc.nat(3)
const pool = fc.nat(3)
const off = fc.constantFrom(0, 0, 0, 0, 0, 1, -1)
const held = fc.record({ call, off, tenant, pool: fc.nat(2) })
const state = fc.constantFrom<PodState>('ready', 'ready', 'ready', 'ready', 'draining', 'cordoned', 'down')
const kind = <T extends string>(name: T) => fc.constant(name)

export const commandArbitrary: fc.Arbitrary<Command> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ do: kind('advance'), ms: fc.integer({ min: 1, max: 5_000 }) }) },
  { weight: 1, arbitrary: fc.record({ do: kind('jump'), ms: fc.constantFrom(-20_000, 9_999, 10_001, 40_000) }) },
  { weight: 1, arbitrary: fc.record({ do: kind('configure'), limits: fc.nat(4) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: kind('announce'),
      pod,
      state,
      callsMax: fc.nat(7),
      newCallsMax: fc.constantFrom(9, 9, 0, 2, 4),
      penalty: fc.constantFrom(0, 0, 1, 2.5),
    }),
  },
  {
    weight: 20,
    arbitrary: fc.record({
      do: kind('acquire'),
      call,
      tenant,
      class: fc.constantFrom<CallClass>('inbound', 'inbound', 'inbound', 'outbound'),
      queue: fc.boolean(),
      caller: fc.nat(5),
    }),
  },
  {
    weight: 12,
    arbitrary: fc.record({ do: fc.constantFrom<'activate' | 'release'>('activate', 'release'), call, off, pod }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constantFrom<'renew' | 'reassert'>('renew', 'renew', 'renew', 'reassert'),
      pod,
      calls: fc.array(held, { maxLength: 8 }),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ do: kind('transfer'), call, off, tenant, pool, avoid: fc.nat(4), prefer: fc.nat(7) }),
  },
  { weight: 6, arbitrary: fc.record({ do: kind('movePool'), call, off, pool: fc.nat(2) }) },
  { weight: 8, arbitrary: fc.record({ do: fc.constantFrom<'poll' | 'leave'>('poll', 'poll', 'poll', 'leave'), call }) },
  { weight: 5, arbitrary: fc.record({ do: kind('reap'), max: fc.constantFrom(0, 1, 3, 100, 5_000) }) },
  { weight: 1, arbitrary: fc.record({ do: kind('audit') }) },
  { weight: 6, arbitrary: fc.record({ do: kind('beat') }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: kind('spend'), tenant, ms: fc.nat(100_000), millionths: fc.nat(9_000_000) }),
  },
)

/** Few callers with few places, so that they meet their bound; some are not bounded. */
function callerOf(index: number): CallerPlaces | undefined {
  if (index === 4) return { key: 'c4 c2', max: 2, groupMax: 3 }
  return index > 3 ? undefined : { key: `c${index}`, max: index + 1 }
}

const podName = (index: number): string => `pod-${index}`

/** Lets the recovery of a new store pass, so that most of a run is not spent in it. */
export const PRELUDE: readonly Command[] = [
  { do: 'configure', limits: 0 },
  { do: 'beat' },
  { do: 'acquire', call: 0, tenant: 0, class: 'inbound', queue: true, caller: 5 },
  { do: 'advance', ms: 5_000 },
  { do: 'advance', ms: 5_000 },
]

/** Runs one command; `epochOf` knows the epoch that the call was last granted. Gives back the store's answer. */
export async function runCommand(
  { store, jump }: LeaseWorld,
  command: Command,
  epochOf: (call: number) => number,
): Promise<unknown> {
  switch (command.do) {
    case 'advance':
    case 'jump':
      return jump(command.ms)
    case 'configure':
      return store.configure(LIMITS[command.limits]!)
    case 'announce':
      return store.announce(announcementOf(command))
    case 'beat':
      for (const index of [0, 1, 2]) await store.announce(podOf(podName(index), { callsMax: 5 }))
      return undefined
    case 'acquire':
      return store.acquire({
        ...command,
        callSid: sid(command.call),
        tenant: `t${command.tenant}`,
        caller: callerOf(command.caller),
      })
    case 'activate':
    case 'release':
      return runEpoch(store, command, epochOf(command.call) + command.off)
    case 'renew':
    case 'reassert':
      return store[command.do]({ pod: podName(command.pod), leases: heldOf(command.calls, epochOf) })
    case 'transfer':
      return store.transfer({
        callSid: sid(command.call),
        fromEpoch: Math.max(1, epochOf(command.call) + command.off),
        tenant: `t${command.tenant}`,
        pool: POOLS[command.pool],
        avoidPod: podName(command.avoid),
        preferPod: command.prefer > 4 ? undefined : podName(command.prefer),
        caller: command.tenant > 2 ? undefined : `c${command.tenant}`,
      })
    case 'movePool':
      return store.movePool({
        callSid: sid(command.call),
        epoch: Math.max(1, epochOf(command.call) + command.off),
        pool: POOLS[command.pool]!,
      })
    case 'poll':
    case 'leave':
      return store[command.do](sid(command.call))
    case 'reap':
      return store.reap(command.max)
    case 'spend':
      return store.spend([{ tenant: `t${command.tenant}`, ms: command.ms, millionths: command.millionths }])
    case 'audit':
      return store.audit()
  }
}

function announcementOf({ pod, ...figures }: Command & { do: 'announce' }): PodHeartbeat {
  const { state, callsMax, newCallsMax, penalty } = figures
  return podOf(podName(pod), { state, callsMax, newCallsMax, penalty })
}

function runEpoch(
  store: LeaseStore,
  command: { do: string; call: number; pod: number },
  epoch: number,
): Promise<unknown> {
  const callSid = sid(command.call)
  if (command.do === 'release') return store.release({ callSid, epoch })
  return store.activate({ callSid, epoch, pod: podName(command.pod) })
}

function heldOf(
  calls: readonly { call: number; off: number; tenant: number; pool: number }[],
  epochOf: (call: number) => number,
): HeldLease[] {
  // A pod holds a call once.
  const once = [...new Map(calls.map((one) => [one.call, one])).values()]
  return once.map(({ call, off, tenant, pool }) => ({
    callSid: sid(call),
    tenant: `t${tenant}`,
    epoch: Math.max(1, epochOf(call) + off),
    pool: POOLS[pool]!,
    caller: tenant > 2 ? undefined : `c${tenant}`,
  }))
}
