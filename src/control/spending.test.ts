// What tenants spend, told by two pods to one store in memory; time is told.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FakeClock } from '../kit/clock.ts'
import { VoiceError } from '../kit/errors.ts'
import type { CallSid } from '../kit/ids.ts'
import type { Log } from '../kit/log.ts'
import { Wheel } from '../kit/wheel.ts'
import { makeMemoryLeases } from '../store/leases/memory.ts'
import type { LeaseStore } from './ports.ts'
import { type CallSpending, Spending, TELL_MS, type TenantBudget } from './spending.ts'

const DAY_MS = 86_400_000
const turn = () => new Promise((resolve) => setImmediate(resolve))

class World {
  readonly clock = new FakeClock(1_000)
  readonly wheel = new Wheel({ clock: this.clock, manual: true, onError: (error) => assert.fail(String(error)) })
  readonly leases: LeaseStore = makeMemoryLeases({ nowMs: () => this.clock.monotonicMs() })
  isAway = false
  readonly warned: string[] = []
  budget: TenantBudget = { minutes: 10, money: undefined }

  pod() {
    const calls: CallSpending[] = []
    const limits: string[] = []
    const log: Log = { debug() {}, info() {}, warn: (_f, m) => this.warned.push(m), error() {}, child: () => log }
    const spending = new Spending({
      store: {
        spend: async (spent) => {
          if (this.isAway) throw new VoiceError('STORE_UNAVAILABLE')
          return this.leases.spend(spent)
        },
      },
      budgetOf: (tenant) => (tenant === 'free' ? { minutes: undefined, money: undefined } : this.budget),
      live: () => calls,
      wheel: this.wheel,
      log,
      onLimit: (limit) => limits.push(limit),
    })
    spending.start()
    return { spending, calls, limits }
  }

  async pass(ms: number, calls: readonly CallSpending[][] = []): Promise<void> {
    for (let left = ms; left > 0; left -= 1_000) {
      const step = Math.min(1_000, left)
      this.clock.advance(step)
      for (const call of calls.flat()) call.ms += step
      this.wheel.advance()
      await turn()
    }
  }
}

const callOf = (n: number, tenant = 'acme'): CallSpending => ({ callSid: `CA${n}` as CallSid, tenant, ms: 0, money: 0 })

test('[MONEY-3][S8][SPN1][SPN2][SPN3] two pods spend one budget; near it and at it each says so once, and new calls are refused', async () => {
  const world = new World()
  const [one, two] = [world.pod(), world.pod()]
  one.calls.push(callOf(1), callOf(2))
  two.calls.push(callOf(3), callOf(4))
  const all = [one.calls, two.calls]
  await world.pass(100_000, all)
  assert.deepEqual([one.limits, two.limits, one.spending.isOver('acme')], [[], [], false])
  await world.pass(40_000, all)
  assert.deepEqual([one.limits, two.limits], [['tenant-day-near'], ['tenant-day-near']])
  await world.pass(40_000, all)
  for (const { limits, spending } of [one, two]) {
    assert.deepEqual(limits, ['tenant-day-near', 'tenant-day-reached'])
    assert.equal(spending.isOver('acme'), true)
    assert.equal(spending.isOver('other'), false)
  }
  assert.equal(world.warned.length, 4)
})

test('[S8][SPN1] a call counts once, to its end; a pod that comes later learns what was spent', async () => {
  const world = new World()
  const one = world.pod()
  const call = callOf(1)
  one.calls.push(call)
  await world.pass(595_000, [one.calls])
  one.calls.pop()
  one.spending.ended({ ...call, ms: 600_000 })
  await world.pass(TELL_MS + 1_000)
  assert.equal(one.spending.isOver('acme'), true)
  const [spent] = (await world.leases.spend([{ tenant: 'acme', ms: 0, millionths: 0 }])).spent
  assert.equal(spent?.ms, 600_000)
  const late = world.pod()
  assert.equal(late.spending.isOver('acme'), false, 'it is asked about for the first time')
  await turn()
  assert.equal(late.spending.isOver('acme'), true)
})

test('[S8][SPN5] the next day begins anew', async () => {
  const world = new World()
  const one = world.pod()
  one.spending.ended({ ...callOf(1), ms: 700_000 })
  await world.pass(TELL_MS + 1_000)
  assert.equal(one.spending.isOver('acme'), true)
  world.clock.advance(DAY_MS)
  await world.pass(TELL_MS + 1_000)
  assert.equal(one.spending.isOver('acme'), false)
  one.spending.ended({ ...callOf(2), ms: 700_000 })
  await world.pass(TELL_MS + 1_000)
  assert.equal(one.limits.filter((limit) => limit === 'tenant-day-reached').length, 2, 'once a day')
})

test('[S8][SPN4] while the store is away a pod goes by its own count, and tells all of it later', async () => {
  const world = new World()
  const one = world.pod()
  one.calls.push(callOf(1))
  world.isAway = true
  await world.pass(620_000, [one.calls])
  assert.equal(one.spending.isOver('acme'), true)
  world.isAway = false
  await world.pass(TELL_MS + 1_000, [one.calls])
  const [spent] = (await world.leases.spend([{ tenant: 'acme', ms: 0, millionths: 0 }])).spent
  assert.ok(Math.abs(spent!.ms - 630_000) <= TELL_MS, `${spent!.ms}`)
})

test('[S8][SPN2] money is a bound too; who has no bound is not watched', async () => {
  const world = new World()
  world.budget = { minutes: undefined, money: 5 }
  const one = world.pod()
  one.calls.push({ ...callOf(1), money: 5.5 }, { ...callOf(2, 'free'), money: 1_000 })
  await world.pass(TELL_MS + 1_000)
  assert.equal(one.spending.isOver('acme'), true)
  assert.equal(one.spending.isOver('free'), false)
  assert.deepEqual((await world.leases.spend([{ tenant: 'free', ms: 0, millionths: 0 }])).spent[0]?.millionths, 0)
})
