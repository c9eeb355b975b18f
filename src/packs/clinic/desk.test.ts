import assert from 'node:assert/strict'
import { test } from 'node:test'
import { farPartyOf, partyOf } from '../../call/identity.ts'
import type { Clock } from '../../kit/clock.ts'
import type { CallId, CallSid } from '../../kit/ids.ts'
import type { CallActions } from '../pack.ts'
import { FrontDesk, type OfferedSlot, type SlotsAnswer } from './desk.ts'
import { LINDEN_STREET } from './seed.ts'
import { APPOINTMENTS_PER_CALLER_MAX, AppointmentStore } from './store.ts'

/** Wednesday, 25 November 2026, 10:10 in New York. */
const WEDNESDAY_MS = Date.parse('2026-11-25T15:10:00Z')

function makeDesk(options: { wallMs?: number; max?: number } = {}): { desk: FrontDesk; setWall(ms: number): void } {
  let wallMs = options.wallMs ?? WEDNESDAY_MS
  const clock: Clock = { monotonicMs: () => 0, wallMs: () => wallMs }
  const store = new AppointmentStore({ max: options.max })
  return {
    desk: new FrontDesk({ seed: LINDEN_STREET, store, clock }),
    setWall: (ms) => {
      wallMs = ms
    },
  }
}

function callFrom(from: string, callId = 'call_1'): CallActions {
  return {
    callId: callId as CallId,
    callSid: 'CA1' as CallSid,
    from,
    to: '+12025550199',
    direction: 'inbound',
    farParty: partyOf(from),
    effectKey: () => 'call_test:1:1',
    endCall: () => ({ kind: 'accepted' }),
    transferCall: () => ({ kind: 'accepted' }),
  }
}

function slotsOf(answer: SlotsAnswer): OfferedSlot[] {
  assert.ok('slots' in answer, JSON.stringify(answer))
  return answer.slots
}

function codeOf(answer: object): string {
  assert.ok('error' in answer, JSON.stringify(answer))
  const { code, sentence, retry } = answer.error as { code: string; sentence: string; retry: boolean }
  assert.ok(sentence.length > 10)
  assert.equal(typeof retry, 'boolean')
  return code
}

test('free times are at most three, an hour or more from now, in order, on the clinic’s own clock', () => {
  const { desk } = makeDesk()
  const slots = slotsOf(desk.findSlots({ service: 'flu shot' }))
  assert.deepEqual(
    slots.map((slot) => slot.start),
    ['2026-11-25T11:30', '2026-11-25T13:00', '2026-11-25T13:30'],
  )
  assert.deepEqual(slots[1], {
    slot_id: 'okafor_vaccination_2026-11-25_1300',
    spoken: 'Wednesday, November 25th at 1 PM',
    provider: 'Dr. Okafor',
    start: '2026-11-25T13:00',
  })
})

test('a wish for a day and a person is kept, and a wrong one is answered with a sentence', () => {
  const { desk } = makeDesk()
  const slots = slotsOf(desk.findSlots({ service: 'physical therapy', day: 'Thursday', provider: 'tanaka' }))
  assert.deepEqual(
    slots.map((slot) => slot.start),
    ['2026-11-26T08:00', '2026-11-26T08:30', '2026-11-26T09:00'],
  )
  assert.equal(codeOf(desk.findSlots({ service: 'checkup', provider: 'Tanaka' })), 'provider_not_for_service')
  assert.equal(codeOf(desk.findSlots({ service: 'checkup', provider: 'House' })), 'unknown_provider')
  assert.equal(codeOf(desk.findSlots({ service: 'heart surgery' })), 'unknown_service')
  assert.equal(codeOf(desk.findSlots({ service: '' })), 'unknown_service')
  assert.equal(codeOf(desk.findSlots({ service: 'checkup', day: 'someday' })), 'unknown_day')
  assert.equal(codeOf(desk.findSlots({ service: 'checkup', day: '2026-11-31' })), 'unknown_day')
})

test('a past day, a closed day and a day too far ahead are told apart', () => {
  const { desk } = makeDesk()
  assert.equal(codeOf(desk.findSlots({ service: 'checkup', day: '2026-11-24' })), 'past_day')
  assert.equal(codeOf(desk.findSlots({ service: 'checkup', day: '2027-03-01' })), 'too_far_ahead')
  const sunday = desk.findSlots({ service: 'checkup', day: 'Sunday' })
  assert.deepEqual(sunday, { slots: [], sentence: 'We are closed on Sundays. Would another day suit you?' })
})

test('nothing is offered across the break, and a booked hour takes both its halves', () => {
  const { desk } = makeDesk()
  const starts = new Set<string>()
  for (let n = 0; n < 6; n += 1) {
    const slot = slotsOf(desk.findSlots({ service: 'physio', day: '2026-11-26' }))[0]
    if (slot === undefined) break
    starts.add(slot.start.slice(11))
    assert.ok('reference' in desk.book(callFrom(`+120255501${n}0`), { slotId: slot.slot_id, patientName: 'Ann Lee' }))
  }
  assert.deepEqual([...starts], ['08:00', '09:00', '10:00', '11:00', '13:00', '14:00'])
})

test('a booking gives a reference that can be said, and is there to be found', () => {
  const { desk } = makeDesk()
  const slot = slotsOf(desk.findSlots({ service: 'blood work' }))[0]!
  const answer = desk.book(callFrom('+12025550100'), { slotId: slot.slot_id, patientName: '  Ann   Lee ' })
  assert.ok('reference' in answer)
  assert.match(answer.reference, /^[A-Z0-9]{6}$/)
  assert.equal(answer.reference_spoken, answer.reference.split('').join(' '))
  assert.equal(answer.spoken, slot.spoken)
  assert.equal(answer.provider, 'Nurse Marsh')
  assert.equal(desk.store.find(answer.reference)?.patientName, 'Ann Lee')
})

test('[AB1] of many callers who want one slot at once, one gets it', async () => {
  const { desk } = makeDesk()
  const slotId = slotsOf(desk.findSlots({ service: 'checkup', day: 'tomorrow' }))[0]!.slot_id
  const answers = await Promise.all(
    Array.from({ length: 50 }, async (_, n) => {
      await new Promise((done) => setImmediate(done))
      return desk.book(callFrom(`+1202555${1000 + n}`), { slotId, patientName: 'Ann Lee' })
    }),
  )
  assert.equal(answers.filter((answer) => 'reference' in answer).length, 1)
  for (const answer of answers) if (!('reference' in answer)) assert.equal(codeOf(answer), 'slot_taken')
  assert.equal(desk.store.size, 1)
})

test('[AB1] another service of the same person at the same time is taken too', () => {
  const { desk } = makeDesk()
  const caller = callFrom('+12025550100')
  assert.ok('reference' in desk.book(caller, { slotId: 'okafor_newpatient_2026-11-26_0900', patientName: 'Ann Lee' }))
  const other = desk.book(callFrom('+12025550101'), { slotId: 'okafor_checkup_2026-11-26_0930', patientName: 'Bo Ek' })
  assert.equal(codeOf(other), 'slot_taken')
})

test('[AB2] the same caller and slot give the same appointment; two withheld numbers are two callers', () => {
  const { desk } = makeDesk()
  const wish = { slotId: 'okafor_checkup_2026-11-26_0900', patientName: 'Ann Lee' }
  const first = desk.book(callFrom('+12025550100', 'call_1'), wish)
  assert.deepEqual(desk.book(callFrom('+12025550100', 'call_2'), wish), first)
  assert.equal(desk.store.size, 1)
  const withheld = { slotId: 'okafor_checkup_2026-11-26_1000', patientName: 'Ann Lee' }
  const phoneNumber = '202 555 0111'
  assert.ok('reference' in desk.book(callFrom('anonymous', 'call_3'), { ...withheld, phoneNumber }))
  assert.equal(codeOf(desk.book(callFrom('anonymous', 'call_4'), { ...withheld, phoneNumber })), 'slot_taken')
})

test('[P11][FD2] two callers whose number is withheld share no booking, and no bound on bookings', () => {
  for (const from of ['+266696687', '+7378742833', '+86282452253', 'Restricted', '', 'sip:desk@example.test']) {
    const { desk } = makeDesk()
    const wish = { slotId: 'okafor_checkup_2026-11-26_1000', patientName: 'Ann Lee', phoneNumber: 'none' }
    const first = desk.book(callFrom(from, 'call_1'), wish)
    assert.ok('reference' in first, from)
    assert.equal(codeOf(desk.book(callFrom(from, 'call_2'), wish)), 'slot_taken', from)
    const slots = slotsOf(desk.findSlots({ service: 'checkup', day: '2026-11-27' }))
    assert.ok(slots.length > 0)
    for (let n = 0; n < APPOINTMENTS_PER_CALLER_MAX + 1; n += 1) {
      const [slot] = slotsOf(desk.findSlots({ service: 'checkup' }))
      const booked = desk.book(callFrom(from, `call_of_${n}`), { ...wish, slotId: slot!.slot_id })
      assert.ok('reference' in booked, `${from} ${n}`)
    }
  }
})

test('[P11][FD2] a patient whose caller is withheld is asked for a phone number, and booked without when there is none', () => {
  const { desk } = makeDesk()
  const wish = { slotId: 'okafor_checkup_2026-11-26_1000', patientName: 'Ann Lee' }
  for (const phoneNumber of [undefined, null, '', '12', 'the usual one'])
    assert.deepEqual(desk.book(callFrom('+266696687'), { ...wish, phoneNumber }), {
      error: { code: 'number_missing', sentence: 'At which phone number can we reach the patient?', retry: true },
    })
  const booked = desk.book(callFrom('+266696687'), { ...wish, phoneNumber: '202-555-0111' })
  assert.ok('reference' in booked)
  assert.equal(desk.store.find(booked.reference)?.contact, '2025550111')
  const known = desk.book(callFrom('+12025550100'), { ...wish, slotId: 'okafor_checkup_2026-11-26_1100' })
  assert.ok('reference' in known)
  assert.equal(desk.store.find(known.reference)?.contact, '+12025550100')
})

test('[P12][FD2] two people whom one number calls do not share a booking', () => {
  const { desk } = makeDesk()
  const ours = '+12025550199'
  const called = (to: string): CallActions => {
    const ends = { from: ours, to, direction: 'outbound' as const }
    return { ...callFrom(ours, `call_to_${to}`), ...ends, farParty: farPartyOf(ends) }
  }
  const wish = { slotId: 'okafor_checkup_2026-11-26_1000', patientName: 'Ann Lee' }
  const first = desk.book(called('+12025550101'), wish)
  assert.ok('reference' in first)
  assert.equal(codeOf(desk.book(called('+12025550102'), wish)), 'slot_taken')
  assert.deepEqual(desk.book({ ...callFrom('+12025550101', 'calls_back'), to: ours }, wish), first)
})

test('a slot that is unknown, over or made up is refused with a code', () => {
  const { desk, setWall } = makeDesk()
  const caller = callFrom('+12025550100')
  const book = (slotId: string) => codeOf(desk.book(caller, { slotId, patientName: 'Ann Lee' }))
  for (const slotId of [
    '',
    'nonsense',
    'okafor_checkup_2026-11-26_0915',
    'okafor_checkup_2026-11-29_0900',
    'okafor_checkup_2026-02-30_0900',
    'okafor_physio_2026-11-26_0900',
    'okafor_checkup_2027-06-01_0900',
    '__proto___checkup_2026-11-26_0900',
  ]) {
    assert.equal(book(slotId), 'unknown_slot', slotId)
  }
  assert.equal(book('okafor_checkup_2026-11-25_1000'), 'slot_past')
  const tomorrow = slotsOf(desk.findSlots({ service: 'checkup', day: 'tomorrow' }))[0]!
  setWall(WEDNESDAY_MS + 2 * 86_400_000)
  assert.equal(book(tomorrow.slot_id), 'slot_past')
  assert.equal(
    codeOf(desk.book(caller, { slotId: 'okafor_checkup_2026-11-30_0900', patientName: ' ' })),
    'name_missing',
  )
  assert.equal(desk.store.size, 0)
})

test('[AB3] the store is bounded per caller and in all, and past days make room', () => {
  const { desk, setWall } = makeDesk({ max: 6 })
  const book = (from: string, clock: string, date = '2026-11-26') =>
    desk.book(callFrom(from), { slotId: `okafor_checkup_${date}_${clock}`, patientName: 'Ann Lee' })
  const clocks = ['0800', '0830', '0900', '0930', '1000', '1030', '1100']
  for (const clock of clocks.slice(0, APPOINTMENTS_PER_CALLER_MAX))
    assert.ok('reference' in book('+12025550100', clock))
  assert.equal(codeOf(book('+12025550100', '1000')), 'too_many_appointments')
  assert.ok('reference' in book('+12025550101', '1000'))
  assert.ok('reference' in book('+12025550101', '1030'))
  assert.equal(codeOf(book('+12025550102', '1100')), 'book_full')
  setWall(WEDNESDAY_MS + 2 * 86_400_000)
  assert.ok('reference' in book('+12025550102', '0800', '2026-11-30'))
  assert.equal(desk.store.size, 1)
  assert.ok('reference' in book('+12025550100', '0830', '2026-11-30'))
})

test('opening hours are said for the week or one day, and whether the door is open now', () => {
  const { desk, setWall } = makeDesk()
  const week = desk.officeHours()
  assert.ok('hours' in week)
  assert.equal(week.hours.length, 7)
  assert.equal(week.open_now, true)
  assert.deepEqual(desk.officeHours('tomorrow'), {
    hours: [{ day: 'Thursday', spoken: '8 AM to 5 PM' }],
    open_now: true,
    spoken: 'Thursday 8 AM to 5 PM',
  })
  assert.equal(codeOf(desk.officeHours('soon')), 'unknown_day')
  setWall(Date.parse('2026-11-29T15:00:00Z'))
  const sunday = desk.officeHours('today')
  assert.ok('hours' in sunday)
  assert.equal(sunday.open_now, false)
  assert.equal(sunday.spoken, 'Sunday closed')
})
