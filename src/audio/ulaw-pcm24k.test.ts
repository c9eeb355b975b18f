import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { decodeUlaw, encodeUlaw, ULAW_SILENCE } from './g711.ts'
import { Downsampler, Upsampler } from './resample.ts'
import { DOWNWARD_FLUSH_BYTES, Pcm24kToUlaw, UlawToPcm24k, UPWARD_FLUSH_BYTES } from './ulaw-pcm24k.ts'

/** Every µ-law code, in an order that is no pattern. */
const ULAW = Buffer.from(Array.from({ length: 1600 }, (_, i) => (i * 149 + (i >> 5)) & 0xff))

function samplesOf(pcm: Buffer): Int16Array {
  return Int16Array.from({ length: pcm.length >> 1 }, (_, i) => pcm.readInt16LE(2 * i))
}

function upOf(ulaw: Buffer): Buffer {
  const out = Buffer.alloc(6 * ulaw.length)
  assert.equal(new UlawToPcm24k().push(ulaw, out, 0), out.length)
  return out
}

test('upward equals decoding and then resampling, to the bit', () => {
  const samples = new Int16Array(ULAW.length)
  decodeUlaw(ULAW, samples)
  const expected = new Int16Array(3 * samples.length)
  new Upsampler().push(samples, expected)
  assert.deepEqual(samplesOf(upOf(ULAW)), expected)
})

test('downward equals resampling and then encoding, to the bit', () => {
  const pcm = upOf(ULAW)
  const narrow = new Int16Array(ULAW.length)
  new Downsampler().push(samplesOf(pcm), narrow)
  const expected = Buffer.alloc(ULAW.length)
  encodeUlaw(narrow, expected)
  const out = Buffer.alloc(ULAW.length)
  assert.equal(new Pcm24kToUlaw().push(pcm, out, 0), out.length)
  assert.deepEqual(out, expected)
})

test('[UP2] odd byte splits change nothing', () => {
  const pcm = upOf(ULAW)
  const whole = Buffer.alloc(ULAW.length)
  new Pcm24kToUlaw().push(pcm, whole, 0)
  for (const sizes of [[1], [3], [961, 2, 1], [2881, 7, 5000]]) {
    const bridge = new Pcm24kToUlaw()
    const out = Buffer.alloc(ULAW.length)
    let written = 0
    for (let from = 0, turn = 0; from < pcm.length; turn += 1) {
      const piece = pcm.subarray(from, from + sizes[turn % sizes.length]!)
      const announced = bridge.outputBytes(piece.length)
      const got = bridge.push(piece, out, written)
      assert.equal(got, announced)
      written += got
      from += piece.length
    }
    assert.equal(written, out.length)
    assert.deepEqual(out, whole, `split by ${sizes}`)
  }
})

test('frames are written at the offset and nowhere else', () => {
  const out = Buffer.alloc(1000, 0xaa)
  assert.equal(new UlawToPcm24k().push(Buffer.alloc(160, 0x20), out, 20), 960)
  assert.ok(out.subarray(0, 20).every((byte) => byte === 0xaa))
  assert.ok(out.subarray(980).every((byte) => byte === 0xaa))
  const ulaw = Buffer.alloc(200, 0xaa)
  assert.equal(new Pcm24kToUlaw().push(out.subarray(20, 980), ulaw, 7), 160)
  assert.ok(ulaw.subarray(0, 7).every((byte) => byte === 0xaa))
  assert.ok(ulaw.subarray(167).every((byte) => byte === 0xaa))
})

test('silence stays silence, and a flush ends in it', () => {
  const up = new UlawToPcm24k()
  const pcm = Buffer.alloc(960, 1)
  up.push(Buffer.alloc(160, ULAW_SILENCE), pcm, 0)
  assert.ok(pcm.every((byte) => byte === 0))
  const down = new Pcm24kToUlaw()
  const ulaw = Buffer.alloc(160)
  down.push(pcm, ulaw, 0)
  assert.ok(ulaw.every((byte) => byte === ULAW_SILENCE))
  assert.equal(up.flush(pcm, 0), UPWARD_FLUSH_BYTES)
  down.push(pcm.subarray(0, 7), ulaw, 0)
  assert.equal(down.flush(ulaw, 0), 11)
  down.push(pcm.subarray(0, 2), ulaw, 0)
  assert.equal(down.flush(ulaw, 0), DOWNWARD_FLUSH_BYTES)
  assert.ok(ulaw.every((byte) => byte === ULAW_SILENCE))
})

test('[RS3] PCM beyond what µ-law holds is clamped to its loudest code', () => {
  const loud = Buffer.alloc(960)
  for (let i = 0; i < 480; i += 1) loud.writeInt16LE(i < 240 ? 32_767 : -32_768, 2 * i)
  const out = Buffer.alloc(160)
  new Pcm24kToUlaw().push(loud, out, 0)
  assert.ok(
    out.subarray(30, 80).every((code) => code <= 0x81 && code >= 0x80),
    'positive half',
  )
  assert.ok(
    out.subarray(110).every((code) => code <= 0x01),
    'negative half',
  )
})

test('[UP3] an output that is too small throws before anything is written', () => {
  const out = Buffer.alloc(960, 0xaa)
  assert.throws(() => new UlawToPcm24k().push(Buffer.alloc(160), out, 1), RangeError)
  assert.throws(() => new Pcm24kToUlaw().push(Buffer.alloc(6 * 961), out, 0), RangeError)
  assert.ok(out.every((byte) => byte === 0xaa))
})

test('the cost per call-second stays far from the budget of 3 CPU-ms', (t: TestContext) => {
  const up = new UlawToPcm24k()
  const down = new Pcm24kToUlaw()
  const frame = ULAW.subarray(0, 160)
  const pcm = Buffer.alloc(960)
  const back = Buffer.alloc(160)
  const cpuMs = (seconds: number, run: () => void): number => {
    const before = process.cpuUsage()
    for (let i = 0; i < 50 * seconds; i += 1) run()
    return process.cpuUsage(before).user / 1000 / seconds
  }
  const pushUp = (): void => void up.push(frame, pcm, 0)
  const pushDown = (): void => void down.push(pcm, back, 0)
  cpuMs(40, pushUp)
  cpuMs(40, pushDown)
  const upMs = cpuMs(100, pushUp)
  const downMs = cpuMs(100, pushDown)
  t.diagnostic(`CPU-ms per call-second: upward ${upMs.toFixed(2)}, downward ${downMs.toFixed(2)}`)
  // The naive loop needs 1.2 each on the reference machine; the bound only catches a fall back to that, doubled.
  assert.ok(upMs < 2.4 && downMs < 2.4, `upward ${upMs}, downward ${downMs}`)
})
