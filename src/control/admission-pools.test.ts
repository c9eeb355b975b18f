// A live call that needs another pool's model, by way of admission.
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { systemClock } from '../kit/clock.ts'
import type { CallSid } from '../kit/ids.ts'
import { silentLog } from '../kit/log.ts'
import { Wheel } from '../kit/wheel.ts'
import { Admission, STORE_MS } from './admission.ts'
import type { CellLimits, LeaseStore, PoolMoved } from './ports.ts'

/** What admission says of one request that the store answers so. */
async function wordOf(movePool: () => Promise<PoolMoved>): Promise<string> {
  const wheel = new Wheel({ clock: systemClock, onError: (error) => assert.fail(String(error)) })
  const admission = new Admission({
    store: { movePool } as Partial<LeaseStore> as LeaseStore,
    clock: systemClock,
    wheel,
    log: silentLog,
    self: { pod: 'a', address: 'http://a', callsMax: 1 },
    limits: (): CellLimits => assert.fail('not asked'),
    ceilingOf: () => 1,
    held: () => [],
    seen: { pods: () => [], lastSuccessAtMs: undefined },
    takesCalls: () => true,
  })
  const word = admission.movePool({ callSid: 'CA1' as CallSid, epoch: 1, pool: 'b' })
  const late = sleep(STORE_MS * 3, 'too late', { ref: false })
  const said = await Promise.race([word, late])
  wheel.close()
  return said
}

suite('a call that needs another pool', () => {
  test('[AD8] it goes over when the store says so, and stays when that pool is full', async () => {
    assert.equal(await wordOf(async () => ({ kind: 'moved' })), 'moved')
    assert.equal(await wordOf(async () => ({ kind: 'full' })), 'full')
  })

  test('[AD8] a store that is away, silent, or knows the lease under no or another epoch is unsure', async () => {
    const answers: (() => Promise<PoolMoved>)[] = [
      async () => ({ kind: 'unknown' }),
      async () => ({ kind: 'fenced', epoch: 2 }),
      async () => {
        throw new Error('away')
      },
      () => new Promise(() => {}),
    ]
    assert.deepEqual(await Promise.all(answers.map(wordOf)), new Array(4).fill('unsure'))
  })
})
