import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  ALAW_TO_LINEAR,
  decodeUlaw,
  encodeUlaw,
  LINEAR_TO_ULAW,
  ULAW_SILENCE,
  ULAW_SQUARES,
  ULAW_TO_ALAW,
  ULAW_TO_LINEAR,
} from './g711.ts'

test('[G2] µ-law codes match the vectors of G.711', () => {
  const vectors = [
    [0, 0xff, 0],
    [8, 0xfe, 8],
    [100, 0xf2, 104],
    [-100, 0x72, -104],
    [1000, 0xce, 988],
    [-1000, 0x4e, -988],
    [8031, 0xa0, 7932],
    [16000, 0x90, 15996],
    [32767, 0x80, 32124],
    [-32768, 0x00, -32124],
  ] as const
  for (const [linear, code, back] of vectors) {
    assert.equal(LINEAR_TO_ULAW[linear & 0xffff], code, `encode ${linear}`)
    assert.equal(ULAW_TO_LINEAR[code], back, `decode ${code}`)
  }
})

test('[G2] every µ-law code but minus zero survives decode and encode', () => {
  const codes = Buffer.from(Array.from({ length: 256 }, (_, code) => code).filter((code) => code !== 0x7f))
  assert.deepEqual(encodeUlaw(decodeUlaw(codes)), codes)
})

test('[G1] silence has no energy, zero bytes have full-scale energy', () => {
  assert.equal(ULAW_SQUARES[ULAW_SILENCE], 0)
  assert.equal(ULAW_SQUARES[0], 32124 ** 2)
})

test('[G2] A-law decodes to the vectors of G.711', () => {
  assert.deepEqual(
    [0xd5, 0x55, 0xd3, 0xfa, 0xaa, 0x2a].map((code) => ALAW_TO_LINEAR[code]),
    [8, -8, 104, 1008, 32256, -32256],
  )
})

test('[G2] A-law made of µ-law stays within one step of it', () => {
  for (let code = 0; code < 256; code++) {
    const linear = ULAW_TO_LINEAR[code]!
    const back = ALAW_TO_LINEAR[ULAW_TO_ALAW[code]!]!
    assert.ok(Math.abs(back - linear) <= Math.max(16, Math.abs(linear) / 16), `${linear} became ${back}`)
  }
})
