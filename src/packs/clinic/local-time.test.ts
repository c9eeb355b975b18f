import assert from 'node:assert/strict'
import { test } from 'node:test'
import { addDays, daysBetween, makeLocalTime, parseDay, speakDate, speakMinute } from './local-time.ts'

test('[LT1] a moment is the clinic’s own date and minute, on both sides of a change of the clock', () => {
  const newYork = makeLocalTime('America/New_York')
  assert.deepEqual(newYork(Date.parse('2026-11-01T03:30:00Z')), { date: '2026-10-31', minute: 23 * 60 + 30 })
  assert.deepEqual(newYork(Date.parse('2026-11-01T04:00:00Z')), { date: '2026-11-01', minute: 0 })
  assert.deepEqual(newYork(Date.parse('2026-11-02T05:00:00Z')), { date: '2026-11-02', minute: 0 })
  assert.equal(addDays('2026-10-31', 2), '2026-11-02')
  assert.equal(daysBetween('2026-10-31', '2026-11-02'), 2)
})

test('a caller’s word for a day is understood, and what is no day is not', () => {
  const today = '2026-11-25' // a Wednesday
  const expected: Record<string, string | undefined> = {
    today: '2026-11-25',
    Tomorrow: '2026-11-26',
    thursday: '2026-11-26',
    wednesday: '2026-12-02',
    'next Tuesday': '2026-12-01',
    '2026-12-24': '2026-12-24',
    '2026-12-24T09:00': '2026-12-24',
    '2026-02-29': undefined,
    '2028-02-29': '2028-02-29',
    '2026-04-31': undefined,
    'the 5th': undefined,
    '': undefined,
  }
  for (const [word, date] of Object.entries(expected)) assert.equal(parseDay(word, today), date, word)
})

test('dates and times are said as people say them', () => {
  assert.equal(speakDate('2026-11-26'), 'Thursday, November 26th')
  for (const [date, ending] of [
    ['01', '1st'],
    ['02', '2nd'],
    ['03', '3rd'],
    ['11', '11th'],
    ['13', '13th'],
    ['22', '22nd'],
  ]) {
    assert.ok(speakDate(`2026-12-${date}`).endsWith(` ${ending}`), date)
  }
  assert.equal(speakMinute(0), '12 AM')
  assert.equal(speakMinute(9 * 60 + 5), '9:05 AM')
  assert.equal(speakMinute(12 * 60), 'noon')
  assert.equal(speakMinute(12 * 60 + 30), '12:30 PM')
  assert.equal(speakMinute(16 * 60), '4 PM')
})
