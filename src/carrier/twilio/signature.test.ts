// X-Twilio-Signature against the vectors of Twilio's own library and against forgeries.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { getExpectedTwilioSignature } from 'twilio/lib/webhooks/webhooks.js'
import { makeSignatures } from './signature.ts'

const TOKEN = '12345678901234567890123456789012'
const OTHER = 'ffffffffffffffffffffffffffffffff'
const BASE = 'https://edge.example.test'
const on = (authTokens: string[], base = BASE) => makeSignatures({ check: 'on', authTokens, baseUrl: () => base })
const sign = (url: string, fields = {}, token = TOKEN) => getExpectedTwilioSignature(token, url, fields)

const fields = {
  AccountSid: 'AC00000000000000000000000000000001',
  ApiVersion: '2010-04-01',
  CallSid: 'CA00000000000000000000000000000001',
  CallStatus: 'ringing',
  Direction: 'inbound',
  From: '+15005550006',
  To: '+15005550001',
}
const form = { path: '/voice?tenant=7', fields, signature: 'yxhI1JcRTQ+nh2yPiOkfx0Frz3s=' }
const body = Buffer.from('{"hello":"world"}')
const json = {
  path: '/json?bodySHA256=93a23971a914e5eacbf0a8d25154cda309c3c1c72fbb9914d47c60f3cb681588',
  body,
  signature: 'iArglOEvjervqtReRAZN/ApDAOs=',
}

test('[SG1] the published vectors of a form, a JSON body and an upgrade are valid', () => {
  const signatures = on([TOKEN])
  assert.deepEqual(signatures.form(form), { kind: 'valid' })
  assert.deepEqual(signatures.json(json), { kind: 'valid' })
  assert.deepEqual(signatures.upgrade({ path: '/media', signature: 'Vj1tNo67k0urfzpSxU5N7DhLc/A=' }), { kind: 'valid' })
})

test('[SG1] a changed field, path, query or base is forged', () => {
  const signatures = on([TOKEN])
  assert.equal(signatures.form({ ...form, fields: { ...fields, To: '+15005550002' } }).kind, 'forged')
  assert.equal(signatures.form({ ...form, fields: { ...fields, Extra: '' } }).kind, 'forged')
  assert.equal(signatures.form({ ...form, path: '/voice?tenant=8' }).kind, 'forged')
  assert.equal(signatures.form({ ...form, path: '/voice' }).kind, 'forged')
  assert.equal(on([TOKEN], 'https://evil.example.test').form(form).kind, 'forged')
})

test('[S5] [SG6] any fields are judged as by the carrier’s own library', () => {
  const value = fc.oneof(fc.string({ unit: 'grapheme' }), fc.array(fc.string(), { minLength: 1, maxLength: 3 }))
  const property = fc.property(fc.dictionary(fc.string(), value), (some) => {
    const signature = sign(`${BASE}/voice?a=b c`, some)
    assert.equal(on([OTHER, TOKEN]).form({ path: '/voice?a=b c', fields: some, signature }).kind, 'valid')
    const other = { ...some, more: 'x' }
    assert.equal(on([TOKEN]).form({ path: '/voice?a=b c', fields: other, signature }).kind, 'forged')
  })
  fc.assert(property, { numRuns: 300 })
})

test('[S5] [SG6] refusing the largest form that is read takes less than 2 ms, with two tokens', () => {
  const signatures = on([OTHER, TOKEN])
  const names = Array.from({ length: 200 }, (_, i) => [`Field${(i * 7919) % 200}`, 'v'.repeat(70)])
  const largest = Object.fromEntries(names) as Record<string, string>
  const signature = sign(`${BASE}/other`, largest)
  const tookMs = Array.from({ length: 30 }, () => {
    const beganMs = performance.now()
    assert.equal(signatures.form({ path: '/voice', fields: largest, signature }).kind, 'forged')
    return performance.now() - beganMs
  })
  // The least of many: what other processes of the machine take does not count.
  assert.ok(Math.min(...tookMs) < 2, `${Math.min(...tookMs)} ms`)
})

test('[SG1] empty and repeated fields count as Twilio signs them', () => {
  const odd = { Empty: '', Digit: ['2', '1', '2'] }
  const signature = sign(`${BASE}/voice`, odd)
  assert.equal(on([TOKEN]).form({ path: '/voice', fields: odd, signature }).kind, 'valid')
})

test('a GET is signed over its query alone', () => {
  const signature = sign(`${BASE}/voice?CallSid=CA1&From=%2B1500`)
  assert.equal(on([TOKEN]).get({ path: '/voice?CallSid=CA1&From=%2B1500', signature }).kind, 'valid')
  assert.equal(on([TOKEN]).get({ path: '/voice?CallSid=CA2&From=%2B1500', signature }).kind, 'forged')
})

test('[SG2] the secondary token is accepted during a rotation and refused after it', () => {
  assert.equal(on([OTHER, TOKEN]).form(form).kind, 'valid')
  assert.equal(on([OTHER]).form(form).kind, 'forged')
})

test('[SG2] no token, an empty token, no header, several headers and a giant header all fail closed', () => {
  const emptyKey = sign(`${BASE}/voice`, {}, '')
  assert.equal(on([]).form(form).kind, 'forged')
  assert.equal(on(['']).form({ path: '/voice', fields: {}, signature: emptyKey }).kind, 'forged')
  assert.equal(on([TOKEN]).form({ ...form, signature: undefined }).kind, 'missing')
  assert.equal(on([TOKEN]).form({ ...form, signature: '' }).kind, 'missing')
  assert.equal(on([TOKEN]).form({ ...form, signature: [form.signature, form.signature] }).kind, 'forged')
  assert.equal(on([TOKEN]).form({ ...form, signature: 'A'.repeat(100_000) }).kind, 'forged')
  assert.equal(on([]).upgrade({ path: '/media', signature: 'Vj1tNo67k0urfzpSxU5N7DhLc/A=' }).kind, 'forged')
})

test('[SG3] an upgrade signed over https is forged; slash and port variants of wss are valid', () => {
  const signatures = on([TOKEN])
  assert.equal(signatures.upgrade({ path: '/media', signature: 'c5aJEh/V/22OSzsaLPxIFSZ0ZYo=' }).kind, 'forged')
  for (const url of [
    'wss://edge.example.test/media/',
    'wss://edge.example.test:443/media',
    'wss://edge.example.test:443/media/',
  ]) {
    assert.equal(signatures.upgrade({ path: '/media', signature: sign(url) }).kind, 'valid', url)
    assert.equal(signatures.upgrade({ path: '/media/', signature: sign(url) }).kind, 'valid', url)
    assert.equal(signatures.upgrade({ path: '/medium', signature: sign(url) }).kind, 'forged', url)
  }
  const withQuery = sign('wss://edge.example.test/media?a=1?b')
  assert.equal(signatures.upgrade({ path: '/media/?a=1?b', signature: withQuery }).kind, 'valid')
})

test('[SG3] a loopback base of another port signs its ws:// URL', () => {
  const signatures = on([TOKEN], 'http://127.0.0.1:8080')
  assert.equal(signatures.upgrade({ path: '/m', signature: sign('ws://127.0.0.1:8080/m') }).kind, 'valid')
})

test('[SG4] a changed JSON body, a changed hash and no hash are forged', () => {
  const signatures = on([TOKEN])
  assert.equal(signatures.json({ ...json, body: Buffer.from('{"hello":"World"}') }).kind, 'forged')
  assert.equal(signatures.json({ ...json, path: json.path.replace('93', '94') }).kind, 'forged')
  assert.equal(signatures.json({ path: '/json', body, signature: sign(`${BASE}/json`) }).kind, 'forged')
})

test('a URL that cannot be read is forged, not an exception', () => {
  const signatures = on([TOKEN], 'https://[')
  assert.equal(signatures.form(form).kind, 'forged')
  assert.equal(signatures.upgrade({ path: '/m', signature: 'x' }).kind, 'forged')
})

test('[SG5] with checks off everything is valid', () => {
  const signatures = makeSignatures({ check: 'off-loopback', authTokens: [], baseUrl: () => BASE })
  assert.equal(signatures.form({ ...form, signature: undefined }).kind, 'valid')
  assert.equal(signatures.upgrade({ path: '/media', signature: undefined }).kind, 'valid')
})
