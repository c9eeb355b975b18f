import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FakeClock } from './clock.ts'
import { Rounds } from './rounds.ts'
import { Wheel } from './wheel.ts'

test('a round begins an interval after the last has ended, a failed one stops nothing, and after close none begins', async () => {
  const clock = new FakeClock()
  const wheel = new Wheel({ clock, manual: true, onError: (error) => assert.fail(String(error)) })
  const ends: PromiseWithResolvers<void>[] = []
  const failed: unknown[] = []
  const work = () => {
    const end = Promise.withResolvers<void>()
    ends.push(end)
    return end.promise
  }
  const rounds = new Rounds(wheel, { everyMs: 1_000, work, onFailed: (error) => failed.push(error) })
  const pass = async (ms: number) => {
    clock.advance(ms)
    wheel.advance()
    await new Promise((resolve) => setImmediate(resolve))
  }
  rounds.start()
  await pass(1_100)
  await pass(5_000)
  assert.equal(ends.length, 1, 'it never overlaps itself')
  ends[0]!.reject('away')
  await pass(0)
  assert.deepEqual(failed, ['away'])
  await pass(1_100)
  assert.equal(ends.length, 2)
  ends[1]!.resolve()
  rounds.close()
  await pass(5_000)
  assert.deepEqual([ends.length, rounds.isClosed, wheel.size], [2, true, 0])
})
