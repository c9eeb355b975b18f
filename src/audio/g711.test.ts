import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decodeUlaw, encodeUlaw, PCM_TO_ULAW, ULAW_SILENCE, ULAW_TO_PCM } from './g711.ts'

// [sample, code, the sample that the code decodes to]
const ULAW_VECTORS = [
  [0, 0xff, 0],
  [8, 0xfe, 8],
  [100, 0xf2, 104],
  [-100, 0x72, -104],
  [1000, 0xce, 988],
  [-1000, 0x4e, -988],
  [8031, 0xa0, 7932],
  [16_000, 0x90, 15_996],
  [32_767, 0x80, 32_124],
  [-32_768, 0x00, -32_124],
] as const

test('µ-law agrees with the published vectors', () => {
  for (const [sample, code, decoded] of ULAW_VECTORS) {
    assert.equal(PCM_TO_ULAW[sample & 0xffff], code, `encode ${sample}`)
    assert.equal(ULAW_TO_PCM[code], decoded, `decode ${code}`)
  }
})

test('[GL2] silence is the code of zero', () => {
  assert.equal(PCM_TO_ULAW[0], ULAW_SILENCE)
})

test('every µ-law code but minus zero survives a round trip', () => {
  for (let code = 0; code < 256; code += 1) {
    assert.equal(PCM_TO_ULAW[ULAW_TO_PCM[code]! & 0xffff], code === 0x7f ? 0xff : code)
  }
})

test('the error is at most half a step of the sample’s segment, and the law is monotonic', () => {
  let lastUlaw = -Infinity
  for (let sample = -32_768; sample <= 32_767; sample += 1) {
    const ulaw = ULAW_TO_PCM[PCM_TO_ULAW[sample & 0xffff]!]!
    assert.ok(ulaw >= lastUlaw, `monotonic at ${sample}`)
    lastUlaw = ulaw
    const magnitude = Math.abs(sample)
    const clippedBy = Math.max(0, magnitude - 32_635)
    assert.ok(Math.abs(ulaw - sample) <= (magnitude + 132) / 32 + clippedBy, `µ-law error at ${sample}: ${ulaw}`)
  }
})

test('the block functions equal the tables and refuse an output that is too small', () => {
  const samples = Int16Array.from({ length: 1000 }, (_, i) => (i - 500) * 65)
  const codes = new Uint8Array(1000)
  const back = new Int16Array(1000)
  assert.equal(encodeUlaw(samples, codes), 1000)
  assert.equal(decodeUlaw(codes, back), 1000)
  assert.deepEqual(
    [...back],
    [...samples].map((x) => ULAW_TO_PCM[PCM_TO_ULAW[x & 0xffff]!]),
  )
  assert.throws(() => encodeUlaw(samples, new Uint8Array(999)), RangeError)
  assert.throws(() => decodeUlaw(codes, new Int16Array(999)), RangeError)
})
