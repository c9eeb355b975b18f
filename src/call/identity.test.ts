import assert from 'node:assert/strict'
import { test } from 'node:test'
import { directionOf, farPartyOf, numberOf, ownNumberOf, partyOf, writtenPartyOf } from './identity.ts'

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

test('[P11][IDN4] the spellings of a number are counted as that number, an address as itself, and nobody as nothing', () => {
  const written = (from: string) => writtenPartyOf({ from, to: '', direction: 'inbound' })
  for (const from of [
    '+15005557777',
    '15005557777',
    '0015005557777',
    '+015005557777',
    'tel:+15005557777',
    '+15005557777;ext=5',
    '+15005557777;phone-context=x',
    'sip:+15005557777@host.example',
    'sips:0015005557777@other.example:5061;user=phone',
    'SIP:1-500-555-7777@host.example',
  ])
    assert.equal(written(from), '+15005557777', from)
  assert.equal(written('sip:alice@x.example'), written('SIP:Alice@X.example;transport=tcp?a=b'))
  assert.notEqual(written('sip:alice@x.example'), written('sip:alice@y.example'))
  assert.notEqual(written('sip:100@x.example'), written('sip:101@x.example'))
  assert.equal(written('client:alice'), 'alice')
  for (const from of [
    '',
    ' ',
    'Anonymous',
    'sip:anonymous@anonymous.invalid',
    'Restricted',
    '+266696687',
    '266696687',
    'sip:@x.example',
  ])
    assert.equal(written(from), undefined, from)
  assert.equal(written(`sip:${'a'.repeat(1_000)}`), written(`sip:${'a'.repeat(2_000)}`))
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
