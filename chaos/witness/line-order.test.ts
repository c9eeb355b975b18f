import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { CallStory } from './call-story.ts'
import { inversionsOf, lastWaitUs, servedBetween } from './line-order.ts'

const S = 1_000_000

function caller(
  callSid: string,
  placedS: number,
  servedS: number | undefined,
  endedS = 100,
  answerUs = 50_000,
): CallStory {
  const stream = { number: 1, pod: 'a', by: undefined, closeCode: undefined, heardUs: undefined, heard: [] }
  return {
    call: 1,
    callSid,
    to: '+1',
    placedUs: placedS * S,
    answeredUs: placedS * S + answerUs,
    streams: servedS === undefined ? [] : [{ ...stream, openedUs: servedS * S, closedUs: undefined }],
    refusedUs: [],
    actionsUs: [],
    turnsUs: [],
    pausesUs: [],
    webhook5xx: [],
    reading: [],
    warnings: [],
    ends: [{ atUs: endedS * S, cause: 'caller-hung-up', status: 'completed' }],
    isTold: true,
    finalCallbacks: [],
    finalLosses: [],
    verbs: [],
  }
}

test('[LO1] callers served in order, or out of it by less than a poll, are no inversion', () => {
  assert.deepEqual(inversionsOf([caller('a', 0, 10), caller('b', 1, 20), caller('c', 2, 12)]), [])
})

test('[LO1] one who is served more than a poll before an earlier caller has barged in', () => {
  const [found, ...more] = inversionsOf([caller('a', 0, 40), caller('b', 1, 45), caller('c', 2, 12)])
  assert.deepEqual([found?.by, more.length], ['c', 1])
  assert.equal(inversionsOf([caller('never', 0, undefined), caller('c', 2, 12)]).length, 1)
})

test('[LO4] of two whose webhooks overlapped neither came first', () => {
  assert.deepEqual(inversionsOf([caller('a', 0, 40, 100, 1_500_000), caller('b', 1, 12)]), [])
})

test('[LO2] one who hung up before is not overtaken', () => {
  assert.deepEqual(inversionsOf([caller('left', 0, undefined, 8), caller('c', 2, 12)]), [])
})

test('[LO3] shares are counted between two moments, until the last who waited was served', () => {
  const one = [caller('a', 0, 1), caller('b', 0, 20), caller('c', 0, 30)]
  const other = [caller('d', 0, 25), caller('e', 10, 40)]
  assert.deepEqual(servedBetween([one, other], 20 * S, 31 * S), [2, 1])
  assert.equal(lastWaitUs(one, 5 * S), 30 * S)
  assert.equal(lastWaitUs([caller('f', 0, 1)], 5 * S), 0)
})
