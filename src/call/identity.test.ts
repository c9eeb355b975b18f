import assert from 'node:assert/strict'
import { test } from 'node:test'
import { directionOf, farPartyOf, numberOf, ownNumberOf, partyOf } from './identity.ts'

const WITHHELD = [
  '+266696687',
  '+7378742833',
  '+2562533',
  '+8566',
  '+86282452253',
  '+8656696',
  '+7748283',
  '266696687',
  'Restricted',
  'Unavailable',
  'Anonymous',
  'anonymous',
  '',
  ' ',
  '+',
  'sip:alice@example.test',
  'sips:+4930123456@example.test',
  'client:alice',
  '4930123456',
  '+0301234567',
  '+1234567890123456',
]

test('[P11][IDN2] a withheld number, a SIP or client address and an empty one identify nobody', () => {
  for (const from of WITHHELD) assert.deepEqual(partyOf(from), { kind: 'withheld' }, from)
})

test('[P11][IDN2][IDN3] a number in E.164 identifies its owner, however it is written', () => {
  for (const from of ['+4930123456', '+49 30 123-456', '+49 (30) 12.34.56', '+49/30 123456'])
    assert.equal(numberOf(partyOf(from)), '+4930123456', from)
  for (const from of ['+12025550100', '+2665123456', '+861082452253']) assert.equal(numberOf(partyOf(from)), from)
})

test('[P12][IDN1] the far party is From of an inbound call and To of an outbound one; our number is the other', () => {
  const ends = { from: '+12025550100', to: '+12025550199' }
  const both = [directionOf('inbound'), directionOf('outbound-api'), directionOf('outbound-dial')].map((direction) => {
    const call = { ...ends, direction }
    return [numberOf(farPartyOf(call)), ownNumberOf(call)]
  })
  assert.deepEqual(both, [
    [ends.from, ends.to],
    [ends.to, ends.from],
    [ends.to, ends.from],
  ])
})
