import assert from 'node:assert/strict'
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { VoiceError } from '../../kit/errors.ts'
import { isSealed, openWithout, readDataKeys, type Sealer } from './sealer.ts'

const A = `a:${randomBytes(32).toString('base64')}`
const B = `b:${randomBytes(32).toString('base64')}`
const PLACE = 'call.from_number CA1'
const NUMBER = '+493012345678'

function sealerOf(text: string): Sealer {
  const read = readDataKeys(text)
  assert.equal(read.kind, 'keys')
  return (read as { sealer: Sealer }).sealer
}

const isCode = (code: string) => (error: unknown) =>
  error instanceof VoiceError && error.code === code && !error.message.includes(NUMBER)

test('[SEA1] the first key writes, each key reads, and what was never sealed is read as it is', () => {
  const old = sealerOf(A).seal(NUMBER, PLACE)
  const both = sealerOf(`${B}, ${A}`)
  assert.equal(both.open(old, PLACE), NUMBER)
  assert.equal(both.isCurrent(old), false)
  const renewed = both.seal(NUMBER, PLACE)
  assert.ok(both.isCurrent(renewed) && isSealed(renewed) && !renewed.includes(NUMBER))
  assert.equal(sealerOf(B).open(renewed, PLACE), NUMBER)
  assert.equal(both.open('plain words', PLACE), 'plain words')
  assert.notEqual(both.seal(NUMBER, PLACE), renewed)
})

test('[SEA2][SEA3] a seal elsewhere, a changed one and one of another key are errors that bear no text', () => {
  const sealer = sealerOf(A)
  const sealed = sealer.seal(NUMBER, PLACE)
  assert.throws(() => sealer.open(sealed, 'call.from_number CA2'), isCode('DATA_SEAL_BROKEN'))
  const at = sealed.length - 4
  const changed = sealed.slice(0, at) + (sealed[at] === 'A' ? 'B' : 'A') + sealed.slice(at + 1)
  assert.throws(() => sealer.open(changed, PLACE), isCode('DATA_SEAL_BROKEN'))
  for (const short of ['vp1:a:AAAA', `vp2:a:${'A'.repeat(40)}`])
    assert.throws(() => sealer.open(short, PLACE), isCode('DATA_SEAL_BROKEN'))
  assert.throws(() => sealerOf(B).open(sealed, PLACE), isCode('DATA_KEY_MISSING'))
  assert.throws(() => openWithout(sealed), isCode('DATA_KEY_MISSING'))
  assert.equal(openWithout('plain'), 'plain')
})

test('[SEA4] a number has one mark under each key, however it is written, and none that shows it', () => {
  const both = sealerOf(`${B},${A}`)
  const [current, old] = both.marks('+49 30 1234-5678')
  assert.deepEqual(both.marks(NUMBER), [current, old])
  assert.deepEqual(sealerOf(A).marks(NUMBER), [old])
  assert.notEqual(current!.split(':')[1], old!.split(':')[1])
  assert.ok(!current!.includes('12345678'))
  assert.notDeepEqual(both.marks('+493012345679'), [current, old])
})

test('keys that cannot be read are refused without being shown', () => {
  const short = `a:${randomBytes(16).toString('base64')}`
  for (const text of [
    '',
    'a',
    'a:b',
    short,
    `${A},${A}`,
    `A:${A.slice(2)}`,
    Array.from({ length: 9 }, (_, i) => `k${i}${A.slice(1)}`).join(','),
  ]) {
    const read = readDataKeys(text)
    assert.equal(read.kind, 'bad')
    assert.ok(!JSON.stringify(read).includes(A.slice(2, 12)))
  }
})

test('[S20][SEA5] seals under one operator key share neither a key nor a nonce, and seals of the earlier form are read', () => {
  const sealer = sealerOf(A)
  const saltBytes = 16
  const rounds = 2_000
  const bytes = Array.from({ length: rounds }, () =>
    Buffer.from(sealer.seal(NUMBER, PLACE).split(':')[2]!, 'base64url'),
  )
  const salts = new Set(bytes.map((one) => one.subarray(0, saltBytes).toString('hex')))
  assert.equal(salts.size, rounds)
  // With the operator's key itself nothing opens: no two seals are under one AES key.
  const secret = Buffer.from(A.slice(2), 'base64')
  for (const one of bytes.slice(0, 20)) {
    const decipher = createDecipheriv('aes-256-gcm', secret, one.subarray(saltBytes, saltBytes + 12))
    decipher.setAAD(Buffer.from(PLACE)).setAuthTag(one.subarray(-16))
    decipher.update(one.subarray(saltBytes + 12, -16))
    assert.throws(() => decipher.final())
  }
  // A seal of one salt under another salt's key is broken, not read.
  const [first, second] = bytes as [Buffer, Buffer]
  const mixed = Buffer.concat([first.subarray(0, saltBytes), second.subarray(saltBytes)]).toString('base64url')
  assert.throws(() => sealer.open(`vp2:a:${mixed}`, PLACE), isCode('DATA_SEAL_BROKEN'))
  const iv = randomBytes(12)
  const cipher = createCipheriv('aes-256-gcm', secret, iv).setAAD(Buffer.from(PLACE))
  const earlier = Buffer.concat([iv, cipher.update(NUMBER, 'utf8'), cipher.final(), cipher.getAuthTag()])
  const text = `vp1:a:${earlier.toString('base64url')}`
  assert.equal(sealer.open(text, PLACE), NUMBER)
  assert.equal(sealer.isCurrent(text), false)
})
