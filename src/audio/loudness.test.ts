// The plane's own cheap ear: what it takes for speech and what it does not.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { encodeUlaw } from './g711.ts'
import { LOOK_EVERY, Loudness } from './loudness.ts'

const FRAME_SAMPLES = 160
/** The peak of a tone of 0 dBm0 in samples of 16 bits. */
const FULL_PEAK = 22_303

/** A frame as the carrier sends it, in the middle of other bytes. */
function frameOf(sampleAt: (n: number) => number, frame: number, samples = FRAME_SAMPLES): Buffer {
  const pcm = Int16Array.from({ length: samples }, (_, i) => sampleAt(frame * FRAME_SAMPLES + i))
  const ulaw = new Uint8Array(samples)
  encodeUlaw(pcm, ulaw)
  return Buffer.from(`////////${Buffer.from(ulaw).toString('base64')}////////`)
}

/** After how many ms of `sampleAt` the caller seems to speak, within `ms`; undefined: never. */
function speaksAfterMs(loudness: Loudness, sampleAt: (n: number) => number, ms: number): number | undefined {
  for (let frame = 0; frame * 20 < ms; frame += 1) {
    const buffer = frameOf(sampleAt, frame)
    if (loudness.hear(buffer, 8, buffer.length - 8)) return (frame + 1) * 20
  }
  return undefined
}

const tone =
  (dbm0: number, hz = 310) =>
  (n: number): number =>
    FULL_PEAK * 10 ** (dbm0 / 20) * Math.sin((2 * Math.PI * hz * n) / 8_000)

/** Noise of a level in dBm0, the same at each run. */
function noise(dbm0: number): () => number {
  let seed = 7
  const uniform = (): number => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) & 0x7fffffff
    return (seed + 1) / 0x80000001
  }
  const rms = (FULL_PEAK / Math.SQRT2) * 10 ** (dbm0 / 20)
  return () => rms * Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform())
}

test('[LO2] [LO3] a voice of -16 to -30 dBm0 is taken for speech after 400 ms', () => {
  for (const dbm0 of [-16, -24, -30]) assert.equal(speaksAfterMs(new Loudness(), tone(dbm0), 1_000), 400, `${dbm0}`)
  assert.ok(speaksAfterMs(new Loudness(), noise(-26), 1_000) !== undefined)
})

test('[LO2] silence and the noise of a line are not, for a minute', () => {
  assert.equal(
    speaksAfterMs(new Loudness(), () => 0, 60_000),
    undefined,
  )
  assert.equal(speaksAfterMs(new Loudness(), noise(-40), 60_000), undefined)
  assert.equal(speaksAfterMs(new Loudness(), tone(-40), 60_000), undefined)
})

test('[LO3] a click is not speech; what was loud is forgotten after a second', () => {
  const loudness = new Loudness()
  assert.equal(speaksAfterMs(loudness, tone(-10), 300), undefined)
  assert.equal(
    speaksAfterMs(loudness, () => 0, 1_000),
    undefined,
  )
  assert.equal(speaksAfterMs(loudness, tone(-10), 300), undefined)
  assert.equal(speaksAfterMs(loudness, tone(-10), 100), 100)
})

test('[LO1] one frame in five is looked at, whatever its length, also one of no bytes', () => {
  const loudness = new Loudness()
  const empty = Buffer.alloc(0)
  for (let i = 0; i < 100; i += 1) assert.equal(loudness.hear(empty, 0, 0), false)
  let heard = 0
  for (let frame = 1; frame <= 100; frame += 1) {
    const buffer = frameOf(tone(-10), frame, 800)
    if (loudness.hear(buffer, 8, buffer.length - 8)) heard += 1
  }
  assert.equal(heard, 100 / LOOK_EVERY - 3)
})
