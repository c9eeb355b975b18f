import assert from 'node:assert/strict'
import { test } from 'node:test'
import { causeOfStatus, isOverStatus, outcomeCarried, outcomeOfDial, stateOfStatus } from './status-words.ts'

test('[STW1] each word of a call says whether it is over, and for whom', () => {
  const states = ['queued', 'ringing', 'in-progress', 'completed', 'canceled', 'busy', 'failed', 'no-answer']
  assert.deepEqual(states.map(stateOfStatus), [
    { kind: 'ringing' },
    { kind: 'ringing' },
    { kind: 'in-progress' },
    { kind: 'over', cause: 'caller-hung-up' },
    { kind: 'over', cause: 'caller-hung-up' },
    { kind: 'over', cause: 'carrier-lost' },
    { kind: 'over', cause: 'carrier-lost' },
    { kind: 'over', cause: 'carrier-lost' },
  ])
  assert.deepEqual(states.map(isOverStatus), [false, false, false, true, true, true, true, true])
  assert.equal(causeOfStatus('a word of tomorrow'), 'carrier-lost')
})

test('[STW2] each word of a transfer is an outcome; one that nobody knows says that it failed', () => {
  const words = [undefined, 'completed', 'answered', 'busy', 'no-answer', 'canceled', 'failed', 'a word of tomorrow']
  const outcomes = [undefined, 'answered', 'answered', 'busy', 'no-answer', 'canceled', 'failed', 'failed']
  assert.deepEqual(words.map(outcomeOfDial), outcomes)
})

test('[STW3] what our own address carries is read back, and is never believed to say answered', () => {
  assert.deepEqual([undefined, 'busy', 'no-answer', 'canceled', 'failed', 'answered', '<x>'].map(outcomeCarried), [
    undefined,
    'busy',
    'no-answer',
    'canceled',
    'failed',
    'failed',
    'failed',
  ])
})
