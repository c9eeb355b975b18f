// Quiet and loud, frame by frame: speech at every level is loud, the noise of a line becomes quiet.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { type Clip, openSpeech, type Speech } from '../../sim/speech/speech.ts'
import { decodeUlaw, encodeUlaw } from '../../src/audio/g711.ts'
import { Quiet } from '../../src/audio/quiet.ts'

const FRAME_SAMPLES = 160
/** The peak of a tone of 0 dBm0 in samples of 16 bits. */
const FULL_PEAK = 22_303
const rmsOf = (dbm0: number): number => (FULL_PEAK / Math.SQRT2) * 10 ** (dbm0 / 20)

let speech: Speech
before(async () => {
  speech = await openSpeech()
})
after(() => speech.close())

/** Whether each frame of `samples` is loud; `quiet` keeps what it has learnt. */
function loudFrames(quiet: Quiet, samples: Float64Array): boolean[] {
  const loud: boolean[] = []
  for (let at = 0; at + FRAME_SAMPLES <= samples.length; at += FRAME_SAMPLES) {
    const pcm = Int16Array.from(samples.subarray(at, at + FRAME_SAMPLES), (one) =>
      Math.max(-32_768, Math.min(32_767, Math.round(one))),
    )
    const ulaw = new Uint8Array(FRAME_SAMPLES)
    encodeUlaw(pcm, ulaw)
    // In the middle of other bytes, as the carrier's message has it.
    const buffer = Buffer.from(`////${Buffer.from(ulaw).toString('base64')}////`)
    loud.push(quiet.hear(buffer, 4, buffer.length - 4))
  }
  return loud
}

const silence = (ms: number): Float64Array => new Float64Array(ms * 8)

function tone(dbm0: number, hz: number, ms: number): Float64Array {
  return silence(ms).map((_, n) => FULL_PEAK * 10 ** (dbm0 / 20) * Math.sin((2 * Math.PI * hz * n) / 8_000))
}

/** Noise of a level, the same at each run. */
function noise(dbm0: number, ms: number): Float64Array {
  let seed = 7
  const uniform = (): number => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) & 0x7fffffff
    return (seed + 1) / 0x80000001
  }
  const rms = rmsOf(dbm0)
  return silence(ms).map(() => rms * Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform()))
}

/** A clip brought to a level, with which of its frames carry most of it: those above its own mean power less 6 dB. */
function spoken(clip: Clip, dbm0: number): { samples: Float64Array; strong: boolean[] } {
  const pcm = new Int16Array(clip.ulaw.length)
  decodeUlaw(clip.ulaw, pcm)
  const power = (from: number, to: number): number =>
    pcm.subarray(from, to).reduce((sum, one) => sum + one * one, 0) / (to - from)
  const mean = power(0, pcm.length)
  const gain = rmsOf(dbm0) / Math.sqrt(mean)
  const strong: boolean[] = []
  for (let at = 0; at + FRAME_SAMPLES <= pcm.length; at += FRAME_SAMPLES)
    strong.push(power(at, at + FRAME_SAMPLES) > mean / 4)
  return { samples: Float64Array.from(pcm, (one) => one * gain), strong }
}

const joined = (...parts: Float64Array[]): Float64Array => Float64Array.from(parts.flatMap((part) => [...part]))
const sum = (a: Float64Array, b: Float64Array): Float64Array => a.map((one, i) => one + (b[i] ?? 0))
const shareOf = (frames: boolean[]): number => frames.filter(Boolean).length / frames.length

test('[QT2] [QT3] silence is quiet from its first frame, and its length is counted in audio', () => {
  const quiet = new Quiet()
  assert.deepEqual(loudFrames(quiet, silence(3_000)), Array(150).fill(false))
  assert.equal(quiet.ms, 3_000)
  assert.deepEqual(loudFrames(quiet, tone(-30, 310, 20)), [true])
  assert.equal(quiet.ms, 0)
})

for (const dbm0 of [-16, -26, -36, -44])
  test(`[QT2] real speech of ${dbm0} dBm0 is loud: its strong frames, and no pause in it is a second long`, () => {
    const clips = speech.callerClips()
    assert.ok(clips.length >= 8)
    for (const clip of clips) {
      const { samples, strong } = spoken(clip, dbm0)
      for (const background of [-90, dbm0 - 24]) {
        const quiet = new Quiet()
        loudFrames(quiet, noise(background, 5_000))
        const loud = loudFrames(quiet, sum(samples, noise(background, samples.length / 8)))
        const missed = strong.filter((isStrong, i) => isStrong && !loud[i]).length
        assert.equal(missed, 0, `${clip.name} over ${background}: ${missed} of ${strong.filter(Boolean).length} missed`)
        const last = loud.lastIndexOf(true)
        let pause = 0
        for (let i = loud.indexOf(true); i <= last; i += 1) {
          pause = loud[i] ? 0 : pause + 20
          assert.ok(pause < 1_000, `${clip.name} over ${background}: quiet for a second at ${i * 20} ms`)
        }
      }
    }
  })

test('[QT2] a caller who speaks for half a minute without a rest stays loud: his own voice is no floor', () => {
  const clips = speech.callerClips()
  const parts = Array.from({ length: 12 }, (_, i) => spoken(clips[i % clips.length]!, -26))
  const quiet = new Quiet()
  const loud = parts.map(({ samples }) => loudFrames(quiet, samples))
  for (const [i, { strong }] of parts.entries()) {
    const missed = strong.filter((isStrong, at) => isStrong && !loud[i]![at]).length
    assert.ok(missed <= strong.length / 50, `clip ${i}: ${missed} of ${strong.length}`)
  }
})

for (const dbm0 of [-65, -55, -50, -45, -40, -35])
  test(`[QT2] [QT4] an even noise of ${dbm0} dBm0 is quiet once it was heard for a while, also after speech`, () => {
    const quiet = new Quiet()
    loudFrames(quiet, noise(dbm0, 5_000))
    assert.ok(shareOf(loudFrames(quiet, noise(dbm0, 30_000))) < 0.005)
    const { samples } = spoken(speech.callerClips()[0]!, dbm0 + 20)
    assert.ok(shareOf(loudFrames(quiet, sum(samples, noise(dbm0, samples.length / 8)))) > 0.2)
    loudFrames(quiet, noise(dbm0, 1_000))
    assert.ok(shareOf(loudFrames(quiet, noise(dbm0, 30_000))) < 0.005)
  })

test('[QT2] comfort noise that sets in after digital silence is loud at first, then quiet', () => {
  const quiet = new Quiet()
  const loud = loudFrames(quiet, joined(silence(5_000), noise(-45, 10_000)))
  assert.ok(shareOf(loud.slice(250, 250 + 100)) > 0.9)
  assert.ok(shareOf(loud.slice(250 + 200)) < 0.005)
})

test('[QT2] the tones of a line, of keys and of a fax are loud for as long as they last', () => {
  for (const hz of [350, 440, 697, 889, 941, 1_100, 1_209, 1_336, 1_477, 1_633, 2_100])
    for (const dbm0 of [-10, -20]) {
      const quiet = new Quiet()
      const samples = tone(dbm0, hz, 20_000)
      for (let ms = 0; ms < 20_000; ms += 100) {
        const loud = loudFrames(quiet, samples.subarray(ms * 8, (ms + 100) * 8))
        assert.ok(shareOf(loud) >= 0.6, `${hz} Hz at ${ms} ms: ${loud}`)
        assert.ok(quiet.ms < 100, `${hz} Hz at ${ms} ms`)
      }
    }
})

test('[QT1] frames of any length, and of none, are heard', () => {
  const quiet = new Quiet()
  assert.equal(quiet.hear(Buffer.alloc(0), 0, 0), false)
  assert.equal(quiet.ms, 0)
  const long = Buffer.from(Buffer.alloc(800, 0xff).toString('base64'))
  assert.equal(quiet.hear(long, 0, long.length), false)
  assert.equal(quiet.ms, 100)
  const loudEnd = Buffer.concat([Buffer.alloc(640, 0xff), Buffer.alloc(160, 0x80)])
  const text = Buffer.from(loudEnd.toString('base64'))
  assert.equal(quiet.hear(text, 0, text.length), true)
})
