import assert from 'node:assert/strict'
import { test } from 'node:test'
import twilio from 'twilio'
import { overridesOf } from './overrides.ts'
import { dialUrl, isLoopback } from './rewrite.ts'
import { sign, withoutFragment } from './signature.ts'

const TOKEN = '12345678901234567890123456789012'

test('[S1] [S3] the known vectors come out, and wss differs from https', () => {
  const params = {
    AccountSid: 'AC00000000000000000000000000000001',
    ApiVersion: '2010-04-01',
    CallSid: 'CA00000000000000000000000000000001',
    CallStatus: 'ringing',
    Direction: 'inbound',
    From: '+15005550006',
    To: '+15005550001',
  }
  const voice = 'https://edge.example.test/voice?tenant=7'
  assert.equal(sign(TOKEN, voice, params), 'yxhI1JcRTQ+nh2yPiOkfx0Frz3s=')
  assert.equal(sign(TOKEN, `${voice}#rc=2`, params), 'yxhI1JcRTQ+nh2yPiOkfx0Frz3s=')
  const json =
    'https://edge.example.test/json?bodySHA256=93a23971a914e5eacbf0a8d25154cda309c3c1c72fbb9914d47c60f3cb681588'
  assert.equal(sign(TOKEN, json), 'iArglOEvjervqtReRAZN/ApDAOs=')
  assert.equal(sign(TOKEN, 'wss://edge.example.test/media'), 'Vj1tNo67k0urfzpSxU5N7DhLc/A=')
  assert.equal(sign(TOKEN, 'https://edge.example.test/media'), 'c5aJEh/V/22OSzsaLPxIFSZ0ZYo=')
})

test('[S2] lists and empty values are signed as the official library expects', () => {
  const url = 'https://edge.example.test/voice'
  const params = { B: ['z', 'a', 'a'], A: '', C: 'ü' }
  assert.ok(twilio.validateRequest(TOKEN, sign(TOKEN, url, params), url, params))
  assert.equal(withoutFragment('https://a.test/x?y=1#z'), 'https://a.test/x?y=1')
})

test('[O1] [O2] overrides have defaults, bounds, and report an unknown policy', () => {
  const usual = overridesOf('https://a.test/x')
  assert.deepEqual([usual.connectMs, usual.readMs, usual.totalMs, usual.retriesMax], [5000, 15000, 15000, 1])
  assert.deepEqual([...usual.retryOn], ['ct'])
  const set = overridesOf('https://a.test/x#ct=1&rt=4000&tt=99999&rc=9&rp=5xx,rt,what')
  assert.deepEqual([set.connectMs, set.readMs, set.totalMs, set.retriesMax], [100, 4000, 15000, 5])
  assert.deepEqual([...set.retryOn], ['5xx', 'rt'])
  assert.deepEqual(set.warnings, [11243])
  assert.equal(overridesOf('https://a.test/x#rp=all').retryOn.size, 4)
})

test('a rewrite changes the origin only, and only at its end', () => {
  const rewrites = { 'wss://voice.test': 'ws://127.0.0.1:9' }
  assert.equal(dialUrl('wss://voice.test/media/1?x', rewrites), 'ws://127.0.0.1:9/media/1?x')
  assert.equal(dialUrl('wss://voice.test.evil/media', rewrites), 'wss://voice.test.evil/media')
  assert.ok(isLoopback('ws://127.0.0.1:1/') && isLoopback('http://localhost/') && !isLoopback('http://127.example/'))
})
