import assert from 'node:assert/strict'
import { test } from 'node:test'
import { encodeUlaw } from './g711.ts'
import { speechEndMs } from './loudness.ts'
import { from8k, to8k } from './resample.ts'
import { readUlawWav, readWav, writePcmWav, writeUlawWav } from './wav.ts'

const SECOND = 1

function tone(hz: number, rateHz: number, amplitude = 10_000): Int16Array {
  return Int16Array.from({ length: rateHz * SECOND }, (_, i) => amplitude * Math.sin((2 * Math.PI * hz * i) / rateHz))
}

function levelDb(samples: Int16Array, reference: number): number {
  const middle = samples.subarray(samples.length / 4, (samples.length * 3) / 4)
  const power = middle.reduce((sum, sample) => sum + sample * sample, 0) / middle.length
  return 20 * Math.log10(Math.sqrt(2 * power) / reference)
}

for (const rateHz of [16_000, 24_000, 48_000]) {
  test(`[R1] ${rateHz} Hz comes down to 8 kHz with the speech band kept and the rest gone`, () => {
    for (const hz of [300, 1000, 3000, 3400]) {
      const db = levelDb(to8k(tone(hz, rateHz), rateHz), 10_000)
      assert.ok(Math.abs(db) <= 1, `${hz} Hz passes at ${db.toFixed(2)} dB`)
    }
    for (const hz of [4600, 5000, 7000, ...(rateHz > 22_000 ? [11_000] : [])]) {
      const db = levelDb(to8k(tone(hz, rateHz), rateHz), 10_000)
      assert.ok(db <= -45, `${hz} Hz is stopped at ${db.toFixed(1)} dB`)
    }
  })
}

test('[R2] a clip raised to 24 kHz and brought down again is the same clip', () => {
  const clip = tone(1000, 8000)
  const back = to8k(from8k(clip, 3), 24_000)
  const worst = clip
    .subarray(100, 7900)
    .reduce((most, sample, i) => Math.max(most, Math.abs(sample - back[i + 100]!)), 0)
  assert.ok(worst < 30, `worst difference ${worst}`)
})

test('[R1] a rate that is no multiple of 8 kHz is refused', () => {
  assert.throws(() => to8k(new Int16Array(10), 44_100), /44100/)
})

test('[W1] both kinds of WAV come back as they were written', () => {
  const samples = tone(440, 8000)
  assert.deepEqual(readWav(writePcmWav({ samples, rateHz: 16_000 })), { samples, rateHz: 16_000 })
  const codes = encodeUlaw(samples)
  assert.deepEqual(readUlawWav(writeUlawWav(codes)), codes)
  assert.equal(readWav(writeUlawWav(codes)).samples.length, codes.length)
})

test('[W2] a header that promises too much yields the bytes there are', () => {
  const file = writePcmWav({ samples: tone(440, 8000), rateHz: 8000 })
  file.writeUInt32LE(0xffffffff, 40)
  assert.equal(readWav(file).samples.length, 8000)
  assert.throws(() => readWav(Buffer.from('RIFFxxxxWAVE')), /no data chunk/)
  assert.throws(() => readWav(Buffer.from('hello')), /not a RIFF/)
})

test('[L2] speech ends where the last audible window ends', () => {
  const spoken = encodeUlaw(tone(300, 8000, 3000))
  assert.equal(speechEndMs(Buffer.concat([spoken, Buffer.alloc(4000, 0xff)])), 1000)
  assert.equal(speechEndMs(Buffer.alloc(800, 0xff)), 0)
  assert.equal(speechEndMs(Buffer.alloc(0)), 0)
})
