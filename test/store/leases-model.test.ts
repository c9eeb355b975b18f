// Random commands, step by step on the store in memory and on the real Redis: the same answers, and the same invariants.
import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import fc from 'fast-check'
import type { Redis } from 'ioredis'
import { type Command, commandArbitrary, PRELUDE, runCommand } from './lease-commands.ts'
import { type LeaseWorld, limitsOf, memoryWorlds, openRedisWorlds, podOf, sid } from './lease-worlds.ts'

const RUNS = 60
const GUARANTEE_RUNS = 40
const PINNED_SEED = 20_261_125

type Answer = { kind?: string; epoch?: number } | undefined
type Pair = { model: LeaseWorld; real: LeaseWorld; prefix: string }

/** What stands in Redis, read past the store. */
async function readKeys(control: Redis, prefix: string) {
  const sums = async (hash: string) =>
    (await control.hvals(prefix + hash)).reduce((sum, count) => sum + Number(count), 0)
  const [records, reserved, active, suspect, tenants, pods, pools] = await Promise.all([
    control.hvals(`${prefix}H`),
    control.zcard(`${prefix}R`),
    control.zcard(`${prefix}A`),
    control.zcard(`${prefix}S`),
    sums('T'),
    sums('P'),
    sums('PL'),
  ])
  const unbacked = records.filter((record) => record.split('\x1f')[3] === '1').length
  return { leases: records.length, ends: reserved + active + suspect, tenants, pods, pools, unbacked }
}

async function step(pair: Pair, command: Command, epochs: Map<number, number>): Promise<void> {
  const epochOf = (call: number) => epochs.get(call) ?? 1
  const expected = await runCommand(pair.model, command, epochOf)
  const got = await runCommand(pair.real, command, epochOf)
  assert.deepEqual(got, expected, JSON.stringify(command))
  const answer = got as Answer
  if ('call' in command && answer?.epoch !== undefined) epochs.set(command.call, answer.epoch)
  const [usage, expectedUsage] = await Promise.all([pair.real.store.usage(), pair.model.store.usage()])
  assert.deepEqual(usage, expectedUsage, `usage after ${JSON.stringify(command)}`)
  assert.deepEqual(await pair.real.store.pods(), await pair.model.store.pods())
}

/** [LUP1] Nobody renews any more. */
async function runOut(pair: Pair): Promise<void> {
  for (let elapsedMs = 0; elapsedMs <= 140_000; elapsedMs += 5_000) {
    for (const { jump } of [pair.model, pair.real]) await jump(5_000)
    assert.deepEqual(await pair.real.store.reap(1_000), await pair.model.store.reap(1_000))
  }
}

async function runAll(control: Redis, pair: Pair, commands: readonly Command[]): Promise<void> {
  const epochs = new Map<number, number>()
  let limitMax = 0
  for (const command of [...PRELUDE, ...commands]) {
    await step(pair, command, epochs)
    if (command.do === 'configure') limitMax = Math.max(limitMax, (await pair.real.store.usage()).limit)
    const { leases, ends, tenants, pods, pools, unbacked } = await readKeys(control, pair.prefix)
    assert.deepEqual({ ends, tenants, pods, pools }, { ends: leases, tenants: leases, pods: leases, pools: leases })
    assert.ok(leases <= limitMax + unbacked, `${leases} leases, limit ${limitMax}, ${unbacked} unbacked`)
  }
  assert.deepEqual(await pair.real.store.audit(), { differences: [] })
  await runOut(pair)
  const { inUse, queued } = await pair.real.store.usage()
  assert.deepEqual({ inUse, queued }, { inUse: 0, queued: 0 })
  const left = await control.keys(`${pair.prefix}*`)
  const allowed = ['cfg', 'LT', 'B', 'CE', 'RF']
  assert.deepEqual(
    // What tenants spent today ends by itself.
    left.filter((key) => !allowed.includes(key.slice(pair.prefix.length).replace(/^SP:\d+$/, 'cfg'))),
    [],
    'no key is left over',
  )
}

/** Calls come and go within the limits; no call is above them. */
const comeAndGo = fc.array(
  fc.record({
    call: fc.nat(60),
    tenant: fc.nat(4),
    does: fc.constantFrom('acquire', 'acquire', 'wait', 'activate', 'release', 'leave', 'poll', 'reap', 'pass'),
  }),
  { minLength: 50, maxLength: 250 },
)

const GUARANTEES = [3, 2, 4, 0, 0]

async function comeAndGoIn(
  { store, advance, cell }: LeaseWorld,
  control: Redis,
  steps: readonly { call: number; tenant: number; does: string }[],
): Promise<void> {
  const tenantOf = new Map<number, number>()
  const tenants = GUARANTEES.map((guaranteed, i) => ({ tenant: `t${i}`, guaranteed, burst: 6, weight: 1 + i }))
  await store.configure(limitsOf({ callsMax: 12, tenants, reserve: { inbound: 2, outbound: 2 } }))
  await advance(10_000, 5_000)
  for (const { call, tenant, does } of steps) {
    await store.announce(podOf('pod-1'))
    const callSid = sid(call)
    if (does === 'pass') await advance(3_000, 3_000)
    else if (does === 'reap') await store.reap(100)
    else if (does === 'activate') await store.activate({ callSid, epoch: 1, pod: 'pod-1' })
    else if (does === 'release') await store.release({ callSid, epoch: 1 })
    else if (does === 'leave') await store.leave(callSid)
    else if (does === 'poll') await store.poll(callSid)
    else {
      const own = tenantOf.get(call) ?? tenant
      tenantOf.set(call, own)
      const got = await store.acquire({ callSid, tenant: `t${own}`, class: 'inbound', queue: does === 'wait' })
      if (got.kind === 'granted' || got.kind === 'repeated') continue
      const calls = Number(await control.hget(`voice:{${cell}}:T`, `t${own}`))
      assert.ok(calls >= GUARANTEES[own]!, `t${own} holds ${calls}: ${JSON.stringify(got)}`)
    }
  }
}

suite('random commands', () => {
  let worlds: Awaited<ReturnType<typeof openRedisWorlds>>
  before(async () => {
    worlds = await openRedisWorlds()
  })
  after(() => worlds.close())

  for (const [name, seed] of [
    ['pinned', PINNED_SEED],
    ['new', undefined],
  ] as const)
    test(`[LIMIT-1][LM1][LUP1] the store on Redis answers as the one in memory; no count is wrong, nothing is left over (${name} seed)`, async () => {
      const property = fc.asyncProperty(
        fc.array(commandArbitrary, { minLength: 30, maxLength: 160 }),
        async (commands) => {
          const [model, real] = await Promise.all([memoryWorlds.open(), worlds.open()])
          try {
            await runAll(worlds.control, { model, real, prefix: `voice:{${real.cell}}:` }, commands)
          } finally {
            await Promise.all([model.close(), real.close()])
          }
        },
      )
      await fc.assert(property, { numRuns: RUNS, ...(seed === undefined ? {} : { seed }) })
    })

  test('[WAIT-7][LL2] a tenant below its guarantee is never refused and never waits', async () => {
    const property = fc.asyncProperty(comeAndGo, async (steps) => {
      const world = await worlds.open()
      try {
        await comeAndGoIn(world, worlds.control, steps)
      } finally {
        await world.close()
      }
    })
    await fc.assert(property, { numRuns: GUARANTEE_RUNS })
  })
})
