import assert from 'node:assert/strict'
import { test } from 'node:test'
import { farPartyOf, writtenPartyOf } from '../call/identity.ts'
import { FakeClock } from '../kit/clock.ts'
import { CALLERS_MAX, type TransferCall, TransferPolicy, WINDOW_MS } from './transfer-policy.ts'
import { readTransferRule } from './transfer-rule.ts'

const clock = new FakeClock()

function policyOf(
  allow: string | undefined,
  more: { ownNumbers?: string[]; perCaller?: number; withheld?: number; clock?: FakeClock } = {},
) {
  const rule = allow === undefined ? undefined : readTransferRule(allow)
  assert.ok(allow === undefined || rule !== undefined, allow)
  const fallbackNumber = '+498001234567'
  return new TransferPolicy({ rule, ownNumbers: [], fallbackNumber, perCaller: 1_000, withheld: 1_000, clock, ...more })
}

const US = '+15005550001'
const callOf = (from: string, tenant = 'clinic', to = US): TransferCall => {
  const ends = { from, to, direction: 'inbound' as const }
  return { tenant, farParty: farPartyOf(ends), writtenParty: writtenPartyOf(ends), ownNumber: to }
}
const call = callOf('+12025550100')

const outcome = (policy: TransferPolicy, to: string, ownNumber = US): string => {
  const verdict = policy.judge({ ...call, ownNumber }, to)
  return verdict.kind === 'allowed' ? verdict.to : verdict.reason
}

test('[S7][TRP1] what is no number in E.164 and no address that the operator named is refused', () => {
  const policy = policyOf(undefined)
  for (const to of [
    '',
    '911',
    '112',
    '2025550143',
    '+',
    '+0123456789',
    '+1 202 555 0143 ext 5',
    'tel:+12025550143',
    '<Number>',
    '*21#',
  ])
    assert.equal(outcome(policy, to), 'not-a-target', to)
  assert.equal(outcome(policy, 'sip:x@evil.example'), 'host')
  assert.equal(outcome(policy, 'client:alice'), 'client')
  const named = policyOf('US,sip:pbx.example.com,client:desk')
  assert.equal(outcome(named, 'sip:100@pbx.example.com'), 'sip:100@pbx.example.com')
  assert.equal(
    outcome(named, 'SIP:100@PBX.example.com:5061;transport=tls'),
    'SIP:100@PBX.example.com:5061;transport=tls',
  )
  for (const to of ['sip:x@evil.example', 'sip:x@sub.pbx.example.com', 'sip:x@pbx.example.com.evil.example'])
    assert.equal(outcome(named, to), 'host', to)
  for (const to of [
    'sip:x@pbx.example.com?X-Header=1',
    'sip:x@pbx.example.com@evil.example',
    'sip:@pbx.example.com',
    'sip:x',
  ])
    assert.equal(outcome(named, to), 'not-a-target', to)
  assert.equal(outcome(named, 'client:desk'), 'client:desk')
  assert.equal(outcome(named, 'client:other'), 'client')
})

test('[P63][TRP7] what was judged is dialled: a trunk zero that stood in a number is not', () => {
  const policy = policyOf('DE')
  for (const written of ['+49 (0)30 987654', '+49030987654', '+4930987654'])
    assert.equal(outcome(policy, written), '+4930987654', written)
})

test('[S7][TRP2] premium, shared-cost, satellite and personal numbers are refused, in the right country too', () => {
  for (const policy of [policyOf(undefined), policyOf('US,GB,DE,FR'), policyOf('*')])
    for (const to of ['+19005550199', '+8816123456789', '+870773111632', '+979123456789', '+882161234567'])
      assert.equal(outcome(policy, to), 'kind', to)
  const wide = policyOf('US,GB,DE,FR,CH')
  for (const to of ['+449098790000', '+491371234567', '+33899123456', '+41900123456', '+4970012345678', '+15005550009'])
    assert.equal(outcome(wide, to), 'kind', to)
  for (const to of ['+15551234567', '+44123456', '+85212345678']) assert.equal(outcome(wide, to), 'no-such-number', to)
})

const COSTLY: Readonly<Record<string, readonly string[]>> = {
  'the premium exchange of an area': ['+12129765555', '+1 (212) 976-5555', '+1.415.976.0000', '+14169765555'],
  'one with a trunk digit in it': ['+1 1 212 976 5555', '+1 1 900 555 0199'],
  'the premium area 900': ['+19005550199', '+1 900 555 0199', '+1-900-555-0199', '+1 (900) 555.0199'],
  'personal numbers': [
    '+447012345678',
    '+44 (0)70 1234 5678',
    '+15005550009',
    '+15335550100',
    '+34701234567',
    '+41878123456',
  ],
  'satellite and global networks': ['+870773111632', '+881612345678', '+882161234567', '+883510012345', '+80012345678'],
  'international premium': ['+979123456789'],
  'shared cost': ['+49180512345', '+33810123456', '+41840123456', '+611300123456', '+43810123456', '+48801123456'],
  'national premium': [
    '+448712345678',
    '+34806123456',
    '+611900123456',
    '+31900123456',
    '+39899123456',
    '+358600123456',
  ],
}
test('[P71][TRP2] a number that costs more than a call is refused in each of its spellings, also with every country allowed', () => {
  for (const [what, spellings] of Object.entries(COSTLY))
    for (const to of spellings)
      for (const policy of [policyOf('*'), policyOf('US,CA,GB')]) {
        const verdict = policy.judge(call, to)
        assert.equal(verdict.kind, 'refused', `${what}: ${to}`)
      }
  for (const to of [
    '1-900-555-0199',
    '19005550199',
    '001 900 555 0199',
    '+1\u2011900\u2011555\u20110199',
    '＋19005550199',
  ])
    assert.equal(outcome(policyOf('*'), to), 'not-a-target', to)
  assert.equal(outcome(policyOf('*'), '+12127765976'), '+12127765976', '976 elsewhere in a number is nothing')
  assert.equal(outcome(policyOf('+1212976'), '+12129765555'), '+12129765555', 'the operator named it')
})

test('[S7][TRP3] without a list the country is that of our own number in the call, or of one in the limits file', () => {
  const policy = policyOf(undefined, { ownNumbers: ['+4930123456', '+4930123457', '+442071234567'] })
  assert.equal(outcome(policy, '+12025550143'), '+12025550143')
  assert.equal(outcome(policy, '+1 (202) 555-0143'), '+12025550143')
  assert.equal(outcome(policy, '+4930987654'), '+4930987654')
  assert.equal(outcome(policy, '+442071234999'), '+442071234999')
  assert.equal(outcome(policy, '+33140205050'), 'country')
  assert.equal(
    outcome(policy, '+14165550123'),
    'country',
    'Canada has the code of the United States, and is another country',
  )
  assert.equal(outcome(policy, '+18765551234'), 'country', 'so is Jamaica')
  const bare = policyOf(undefined)
  assert.equal(outcome(bare, '+4930987654'), 'country')
  assert.equal(outcome(bare, '+4930987654', '+4930123456'), '+4930987654')
  for (const own of ['', 'sip:us@example.test', '+266696687'])
    assert.equal(outcome(bare, '+12025550143', own), 'country', 'nothing is known of us: nothing is allowed')
})

test('[S7][TRP2][TRP3] the operator allows countries, prefixes whatever their kind, every country, or none', () => {
  assert.equal(outcome(policyOf('DE'), '+12025550143'), 'country')
  assert.equal(outcome(policyOf('DE'), '+4930987654'), '+4930987654')
  assert.equal(outcome(policyOf('+1900555'), '+19005550199'), '+19005550199')
  assert.equal(outcome(policyOf('+1900555'), '+12025550143'), 'country')
  assert.equal(outcome(policyOf('*'), '+33140205050'), '+33140205050')
  assert.equal(outcome(policyOf('none'), '+12025550143'), 'country')
  for (const text of ['', 'XX', 'germany', '+0', 'sip:', 'sip:a b', '49', 'DE;AT'])
    assert.equal(readTransferRule(text), undefined, text)
})

test('[S7][TRP4] the human of the operator is always allowed', () => {
  for (const allow of [undefined, 'none', 'US'])
    assert.equal(outcome(policyOf(allow), '+498001234567'), '+498001234567')
})

test('[S7][TRP5] a caller is transferred a bounded number of times in a day, whatever the call', () => {
  const time = new FakeClock()
  const policy = policyOf('US', { perCaller: 2, clock: time })
  const of = (from: string) => policy.judge(callOf(from), '+12025550143').kind
  assert.deepEqual([of('+12025550100'), of('+12025550100'), of('+12025550100')], ['allowed', 'allowed', 'refused'])
  assert.equal(of('+12025550101'), 'allowed')
  time.advance(WINDOW_MS + 1)
  assert.equal(of('+12025550100'), 'allowed')
  for (let n = 0; n < CALLERS_MAX + 5; n += 1) of(`+1202${5_550_000 + n}`)
})

test('[S7][TRP5] whoever is withheld gets no transfers of their own: all of a tenant share a bound, each address has one too', () => {
  const time = new FakeClock()
  const policy = policyOf('US', { perCaller: 2, withheld: 6, clock: time })
  const of = (from: string, tenant = 'clinic') => policy.judge(callOf(from, tenant), '+12025550143').kind
  const times = (count: number, from: string) => Array.from({ length: count }, () => of(from))
  assert.deepEqual(times(3, 'sip:a@x.example'), ['allowed', 'allowed', 'refused'])
  assert.equal(of('SIP:A@X.example;transport=tcp'), 'refused', 'the same address')
  for (const spelling of [
    '15005557777',
    '0015005557777',
    'tel:+15005557777',
    '+15005557777;ext=1',
    'sip:+15005557777@x.example',
  ])
    of(spelling)
  assert.equal(of('+15005557777'), 'refused', 'the spellings of one number are that number')
  assert.deepEqual(times(3, 'anonymous'), ['allowed', 'allowed', 'refused'], 'six of all who are withheld')
  for (const from of ['', 'restricted', '+266696687', 'sip:anonymous@anonymous.invalid', 'sip:new@x.example'])
    assert.equal(of(from), 'refused', from)
  assert.equal(of('+12025550100'), 'allowed', 'others are not held up')
  assert.equal(of('anonymous', 'bakery'), 'allowed', 'nor is another tenant')
  time.advance(WINDOW_MS + 1)
  assert.equal(of('anonymous'), 'allowed')
})

test('[S7][TRP6] whatever an agent gives as a target is answered with a value', () => {
  const policy = policyOf('US')
  for (const to of [
    null,
    undefined,
    5,
    Number.NaN,
    [],
    ['+12025550143'],
    {},
    Symbol('x'),
    () => '',
    `+1${'2'.repeat(100_000)}`,
  ]) {
    const verdict = policy.judge(call, to)
    assert.ok(verdict.kind === 'refused')
    assert.equal(verdict.reason, 'not-a-target')
  }
})

test('[S7][TRP6] a refusal has words for the agent, and names no number', () => {
  const verdict = policyOf('US').judge(call, '+19005550199')
  assert.ok(verdict.kind === 'refused')
  assert.match(verdict.words, /^The transfer was not made: /)
  assert.doesNotMatch(verdict.words, /\d/)
})
