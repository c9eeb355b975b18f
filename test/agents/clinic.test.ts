// The clinic's tools as a model uses them, through the SDK's session.
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { systemClock } from '../../src/kit/clock.ts'
import { type Log, silentLog } from '../../src/kit/log.ts'
import { makeClinicPack } from '../../src/packs/clinic/clinic.ts'
import type { OfferedSlot } from '../../src/packs/clinic/desk.ts'
import type { Pack, PackCall } from '../../src/packs/pack.ts'
import { Rehearsal, recordingCall } from './rehearsal.ts'

/** Wednesday, 25 November 2026, 10:10 in New York. */
const clock = { monotonicMs: () => 0, wallMs: () => Date.parse('2026-11-25T15:10:00Z') }

async function open(pack: Pack, call = recordingCall()) {
  const rehearsal = new Rehearsal(await pack.openCall(call))
  const config = await rehearsal.connect()
  return { rehearsal, config, call }
}

type Refusal = { error: { code: string; sentence: string; retry: boolean } }

test('the model is told of five tools, of today and of how to speak', async () => {
  const { rehearsal, config } = await open(makeClinicPack({ clock, log: silentLog }))
  assert.deepEqual(
    config.tools.map(({ name }) => name),
    ['find_available_slots', 'book_appointment', 'get_office_hours', 'end_call', 'transfer_to_human'],
  )
  assert.match(config.instructions, /Today is Wednesday, November 25th \(2026-11-25\)/)
  rehearsal.close()
})

test('a caller finds a time and books it; optional arguments may be absent or null', async () => {
  const { rehearsal } = await open(makeClinicPack({ clock, log: silentLog }))
  const found = await rehearsal.callForData<{ slots: OfferedSlot[] }>('find_available_slots', { service: 'check-up' })
  assert.equal(found.slots.length, 3)
  const same = await rehearsal.callForData('find_available_slots', { service: 'check-up', day: null, provider: null })
  assert.deepEqual(same, found)
  const booked = await rehearsal.callForData<{ reference: string; reference_spoken: string }>('book_appointment', {
    slot_id: found.slots[1]!.slot_id,
    patient_name: 'Ann Lee',
  })
  assert.equal(booked.reference_spoken, booked.reference.split('').join(' '))
  const hours = await rehearsal.callForData<{ open_now: boolean }>('get_office_hours', {})
  assert.equal(hours.open_now, true)
  assert.deepEqual(rehearsal.errors, [])
  rehearsal.close()
})

test('two callers who want one time at once: one books, the other is told', async () => {
  const pack = makeClinicPack({ clock, log: silentLog })
  const one = await open(pack, recordingCall('+12025550100'))
  const two = await open(pack, recordingCall('+12025550101'))
  const wish = { slot_id: 'okafor_checkup_2026-11-26_0900', patient_name: 'Ann Lee' }
  const answers = await Promise.all(
    [one, two].map(({ rehearsal }) => rehearsal.callForData<Partial<Refusal>>('book_appointment', wish)),
  )
  assert.deepEqual(
    answers.map((answer) => answer.error?.code),
    [undefined, 'slot_taken'],
  )
  one.rehearsal.close()
  two.rehearsal.close()
})

test('[CT2] arguments that do not fit come back as data that can be said', async () => {
  const { rehearsal } = await open(makeClinicPack({ clock, log: silentLog }))
  const answer = await rehearsal.callForData<Refusal>('book_appointment', { slot_id: 5 })
  assert.equal(answer.error.code, 'invalid_arguments')
  assert.equal(answer.error.retry, true)
  const unknown = await rehearsal.callForData<Refusal>('book_appointment', { slot_id: 'x', patient_name: 'Ann Lee' })
  assert.equal(unknown.error.code, 'unknown_slot')
  rehearsal.close()
})

test('a tool that throws is logged, and the caller is offered a colleague', async () => {
  let wallMs = clock.wallMs()
  const logged: string[] = []
  const log: Log = { ...silentLog, error: (_fields, message) => logged.push(message) }
  const { rehearsal } = await open(makeClinicPack({ clock: { ...clock, wallMs: () => wallMs }, log }))
  wallMs = Number.NaN
  const answer = await rehearsal.callForData<Refusal>('get_office_hours', {})
  assert.deepEqual([answer.error.code, answer.error.retry], ['tool_failed', false])
  assert.deepEqual(logged, ['clinic tool threw'])
  rehearsal.close()
})

test('end_call and transfer_to_human act on this call and ask for no further sentence', async () => {
  const pack = makeClinicPack({ clock, log: silentLog })
  const { rehearsal, call } = await open(pack)
  const other = await open(pack)
  const ended = await rehearsal.callTool('end_call', {})
  assert.equal(ended.startResponse, false)
  const moved = await rehearsal.callTool('transfer_to_human', { reason: 'asked for a person' })
  assert.equal(moved.startResponse, false)
  assert.deepEqual([call.ended, call.transfers], [1, ['+12025550143']])
  assert.deepEqual([other.call.ended, other.call.transfers], [0, []])
  rehearsal.close()
  other.rehearsal.close()
})

test('[PK1] a call of the pack costs less than a kilobyte', (t: TestContext) => {
  const pack = makeClinicPack({ clock: systemClock, log: silentLog })
  const call = recordingCall()
  const kept = new Array<PackCall | Promise<PackCall>>(10_000)
  const before = process.memoryUsage().heapUsed
  for (let i = 0; i < kept.length; i += 1) kept[i] = pack.openCall(call)
  const bytesPerCall = (process.memoryUsage().heapUsed - before) / kept.length
  t.diagnostic(`heap per open call: ${Math.round(bytesPerCall)} bytes`)
  assert.ok(bytesPerCall < 1024, `${bytesPerCall}`)
  assert.equal(kept.length, 10_000)
})
