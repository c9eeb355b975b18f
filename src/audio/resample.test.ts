import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DOWNWARD_DELAY_SAMPLES, Downsampler, UPWARD_DELAY_SAMPLES, Upsampler } from './resample.ts'

const SECOND_8K = 8000
const SECOND_24K = 24_000

function tone(frequencyHz: number, rateHz: number, samples: number, amplitude = 10_000): Int16Array {
  return Int16Array.from({ length: samples }, (_, i) =>
    Math.round(amplitude * Math.sin((2 * Math.PI * frequencyHz * i) / rateHz)),
  )
}

/** Amplitude of one frequency in the steady middle of a signal (a whole number of its periods at 100 Hz steps). */
function amplitudeAt(frequencyHz: number, rateHz: number, signal: Int16Array): number {
  const from = rateHz / 10
  const count = rateHz / 2
  let cosine = 0
  let sine = 0
  for (let i = 0; i < count; i += 1) {
    const phase = (2 * Math.PI * frequencyHz * i) / rateHz
    cosine += signal[from + i]! * Math.cos(phase)
    sine += signal[from + i]! * Math.sin(phase)
  }
  return (2 * Math.hypot(cosine, sine)) / count
}

function rms(signal: Int16Array, from: number): number {
  let sum = 0
  for (let i = from; i < signal.length; i += 1) sum += signal[i]! ** 2
  return Math.sqrt(sum / (signal.length - from))
}

const decibel = (ratio: number): number => 20 * Math.log10(ratio)

function down(input: Int16Array): Int16Array {
  const output = new Int16Array(Math.ceil(input.length / 3))
  return output.subarray(0, new Downsampler().push(input, output))
}

function up(input: Int16Array): Int16Array {
  const output = new Int16Array(3 * input.length)
  assert.equal(new Upsampler().push(input, output), output.length)
  return output
}

/** Pseudo-random samples, the same at each run. */
function noise(samples: number): Int16Array {
  let seed = 1
  return Int16Array.from({ length: samples }, () => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) | 0
    return seed >> 16
  })
}

test('speech tones pass downward within 1 dB', () => {
  for (const frequencyHz of [300, 1000, 3000, 3400]) {
    const output = down(tone(frequencyHz, SECOND_24K, SECOND_24K))
    const level = decibel(amplitudeAt(frequencyHz, SECOND_8K, output) / 10_000)
    assert.ok(Math.abs(level) <= 1, `${frequencyHz} Hz at ${level.toFixed(2)} dB`)
  }
})

test('tones above 4 kHz are at least 45 dB down in the 8 kHz output, whatever they fold to', () => {
  for (const frequencyHz of [4600, 5000, 7000, 9000, 11_000]) {
    const input = tone(frequencyHz, SECOND_24K, SECOND_24K)
    const level = decibel(rms(down(input), 800) / rms(input, 0))
    assert.ok(level <= -45, `${frequencyHz} Hz at ${level.toFixed(1)} dB`)
  }
})

test('speech tones pass upward within 1 dB and their images are at least 50 dB down', () => {
  for (const frequencyHz of [300, 1000, 3000, 3400]) {
    const output = up(tone(frequencyHz, SECOND_8K, SECOND_8K))
    const level = decibel(amplitudeAt(frequencyHz, SECOND_24K, output) / 10_000)
    assert.ok(Math.abs(level) <= 1, `${frequencyHz} Hz at ${level.toFixed(2)} dB`)
    for (const imageHz of [8000 - frequencyHz, 8000 + frequencyHz]) {
      const image = decibel(amplitudeAt(imageHz, SECOND_24K, output) / 10_000)
      assert.ok(image <= -50, `image of ${frequencyHz} Hz at ${imageHz} Hz: ${image.toFixed(1)} dB`)
    }
  }
})

test('[RS1] however the input is cut, the output is the same to the bit', () => {
  const input8k = noise(8000)
  const input24k = noise(24_000)
  const wholeUp = up(input8k)
  const wholeDown = down(input24k)
  for (const sizes of [[160], [1], [7, 160, 1, 333, 2], [481, 5000]]) {
    assert.deepEqual(inPieces(new Upsampler(), input8k, sizes, 3), wholeUp, `upward by ${sizes}`)
    assert.deepEqual(inPieces(new Downsampler(), input24k, sizes, 1), wholeDown, `downward by ${sizes}`)
  }
})

function inPieces(
  resampler: Upsampler | Downsampler,
  input: Int16Array,
  sizes: readonly number[],
  ratio: number,
): Int16Array {
  const output = new Int16Array(ratio * input.length)
  let written = 0
  for (let from = 0, turn = 0; from < input.length; turn += 1) {
    const to = Math.min(input.length, from + sizes[turn % sizes.length]!)
    written += resampler.push(input.subarray(from, to), output.subarray(written))
    from = to
  }
  return output.slice(0, written)
}

test('a constant stays constant, in each phase', () => {
  const level = new Int16Array(400).fill(12_345)
  assert.deepEqual(new Set(up(level).subarray(300)), new Set([12_345]))
  assert.deepEqual(new Set(down(level).subarray(60)), new Set([12_345]))
})

test('[RS3] a full-scale square wave overshoots to the limits and does not wrap', () => {
  const square = Int16Array.from({ length: 800 }, (_, i) => (i % 40 < 20 ? 32_767 : -32_768))
  const output = up(square)
  assert.equal(Math.max(...output), 32_767)
  assert.equal(Math.min(...output), -32_768)
  const wide = Int16Array.from({ length: 2400 }, (_, i) => (i % 120 < 60 ? 32_767 : -32_768))
  const narrow = down(wide)
  assert.equal(Math.max(...narrow), 32_767)
  assert.equal(Math.min(...narrow), -32_768)
  for (const [name, signal, period] of [['up', output, 120] as const, ['down', narrow, 40] as const]) {
    // Well inside each half period the sign is the square's own: a wrapped sample would have the other.
    const delay = name === 'up' ? 3 * UPWARD_DELAY_SAMPLES : DOWNWARD_DELAY_SAMPLES
    for (let i = period; i < signal.length - delay; i += 1) {
      const place = i % (period / 2)
      if (place < period / 8 || place > (period * 3) / 8) continue
      assert.equal(signal[i + delay]! > 0, i % period < period / 2, `${name} at ${i}`)
    }
  }
})

test('[RS4] flush gives the delayed rest, and the object begins anew', () => {
  const pulse = new Int16Array(160)
  pulse[159] = 20_000
  const upsampler = new Upsampler()
  const frame = new Int16Array(480)
  const rest = new Int16Array(64)
  upsampler.push(pulse, frame)
  assert.ok(frame.every((sample) => Math.abs(sample) < 6000))
  assert.equal(upsampler.flush(rest), 36)
  assert.equal(Math.max(...rest), 20_000)
  upsampler.push(new Int16Array(160), frame)
  assert.ok(frame.every((sample) => sample === 0))

  const downsampler = new Downsampler()
  const short = new Int16Array(481)
  short[480] = 30_000
  assert.equal(downsampler.push(short, frame), 160)
  assert.equal(downsampler.flush(rest), 12)
  assert.ok(Math.max(...rest.subarray(0, 12)) > 9000)
  assert.equal(downsampler.push(new Int16Array(480), frame), 160)
  assert.ok(frame.subarray(0, 160).every((sample) => sample === 0))
})

test('a round trip 8 → 24 → 8 kHz gives the delayed input back within 1 % of its level', () => {
  const input = tone(1000, SECOND_8K, 1600)
  const back = down(up(input))
  const delay = UPWARD_DELAY_SAMPLES + DOWNWARD_DELAY_SAMPLES
  for (let i = 200; i < 1400; i += 1) {
    assert.ok(Math.abs(back[i + delay]! - input[i]!) <= 100, `sample ${i}: ${back[i + delay]} for ${input[i]}`)
  }
})

test('an output that is too small is refused', () => {
  assert.throws(() => new Upsampler().push(new Int16Array(160), new Int16Array(479)), RangeError)
  assert.throws(() => new Downsampler().push(new Int16Array(480), new Int16Array(159)), RangeError)
})
