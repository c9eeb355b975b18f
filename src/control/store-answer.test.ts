// A bounded question to a store: each way it can end.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { FakeClock, systemClock } from '../kit/clock.ts'
import { VoiceError } from '../kit/errors.ts'
import { Wheel } from '../kit/wheel.ts'
import { askWithin } from './store-answer.ts'

function makeWheel(): { clock: FakeClock; wheel: Wheel } {
  const clock = new FakeClock()
  return { clock, wheel: new Wheel({ clock, manual: true, onError: (error) => assert.fail(String(error)) }) }
}

test('[SA1] an answer in time is passed on and leaves no timer', async () => {
  const { wheel } = makeWheel()
  assert.deepEqual(await askWithin(wheel, 100, async () => 7), { kind: 'answer', value: 7 })
  assert.equal(wheel.size, 0)
})

test('[SA1] silence ends at the bound; a late answer or rejection changes nothing', async () => {
  for (const isRejected of [false, true]) {
    const { clock, wheel } = makeWheel()
    let end: (() => void) | undefined
    const late = new Promise<number>((resolve, reject) => {
      end = () => (isRejected ? reject(new Error('late')) : resolve(7))
    })
    const asked = askWithin(wheel, 100, () => late)
    clock.advance(90)
    wheel.advance()
    assert.equal(await Promise.race([asked, turn('waits')]), 'waits')
    clock.advance(20)
    wheel.advance()
    const answer = await asked
    assert.deepEqual(answer, { kind: 'away', reason: 'no answer within 100 ms', isExpected: true })
    end!()
    await turn() // an unhandled rejection would fail the test's process
  }
})

test('[SA2] a rejection and a throw are the same outcome; only a lost store is expected', async () => {
  const { wheel } = makeWheel()
  const lost = await askWithin(wheel, 100, async () => {
    throw new VoiceError('STORE_UNAVAILABLE', { message: 'gone' })
  })
  assert.deepEqual(lost, { kind: 'away', reason: 'gone', isExpected: true })
  const broken = await askWithin(wheel, 100, () => {
    throw new TypeError('a bug')
  })
  assert.deepEqual(broken, { kind: 'away', reason: 'a bug', isExpected: false })
  assert.equal(wheel.size, 0)
})

test('[SA3] a process that was frozen beyond the bound finds the answer that has arrived meanwhile', async () => {
  const wheel = new Wheel({ clock: systemClock, onError: (error) => assert.fail(String(error)) })
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  assert.ok(address !== null && typeof address === 'object')
  const accepted = once(server, 'connection')
  const socket = connect(address.port, '127.0.0.1')
  const [[store]] = await Promise.all([accepted, once(socket, 'connect')])
  const asked = askWithin(wheel, 20, async () => String((await once(socket, 'data'))[0]))
  store.end('answer') // in the kernel at once, read only after the freeze
  const endMs = systemClock.monotonicMs() + 80
  while (systemClock.monotonicMs() < endMs);
  const answer = await asked
  socket.destroy()
  server.close()
  assert.deepEqual(answer, { kind: 'answer', value: 'answer' })
})
