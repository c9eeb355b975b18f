// A pod on a database without its tables: one error, a reason against new calls, and neither once they are there.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FakeClock } from '../kit/clock.ts'
import { VoiceError } from '../kit/errors.ts'
import { type Log, silentLog } from '../kit/log.ts'
import { Wheel } from '../kit/wheel.ts'
import { LOOK_MS, SchemaWatch } from './schema-watch.ts'

test('[SCW1][SCW2] missing tables are told once and make the pod not ready, until they are there; one that is away does neither', async () => {
  const clock = new FakeClock()
  const wheel = new Wheel({ clock, manual: true, onError: (error) => assert.fail(String(error)) })
  const said: string[] = []
  const log: Log = {
    ...silentLog,
    error: (fields) => void said.push(`error: ${(fields as { fix: string }).fix}`),
    info: (_fields, message) => void said.push(message),
  }
  const answers = [
    'STORE_UNAVAILABLE',
    'MIGRATION_MISSING',
    'MIGRATION_MISSING',
    'STORE_UNAVAILABLE',
    undefined,
  ] as const
  let asked = 0
  const check = async () => {
    const code = answers[asked++]
    if (code !== undefined) throw new VoiceError(code, { retryable: true })
  }
  const watch = new SchemaWatch({ check, wheel, log })
  const seen: boolean[] = []
  const look = async () => {
    await new Promise((resolve) => setImmediate(resolve))
    seen.push(watch.isMissing)
    clock.advance(LOOK_MS + 2 * wheel.tickMs)
    wheel.advance()
  }
  watch.start()
  for (let n = 0; n < answers.length + 2; n += 1) await look()
  assert.deepEqual(seen, [false, true, true, true, false, false, false])
  assert.equal(asked, answers.length, 'once they are there it is not asked again')
  assert.equal(wheel.size, 0)
  assert.equal(said.length, 2)
  assert.match(said[0]!, /^error: run "npm run migrate"/)
  assert.equal(said[1], 'the tables of the database are there')
})

test('[SCW1] a pod that closes does not look again', async () => {
  const wheel = new Wheel({ clock: new FakeClock(), manual: true, onError: (error) => assert.fail(String(error)) })
  const check = () => Promise.reject(new VoiceError('STORE_UNAVAILABLE', { retryable: true }))
  const watch = new SchemaWatch({ check, wheel, log: silentLog })
  watch.start()
  watch.close()
  await new Promise((resolve) => setImmediate(resolve))
  assert.equal(wheel.size, 0)
})
