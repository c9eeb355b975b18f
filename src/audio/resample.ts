// Resampling by exactly three, 8 kHz ⇄ 24 kHz, with the filter of lowpass.ts. Rules:
// RS1: one object per direction per call keeps the filter's past, so that frames join without a click; however the
//     samples are cut into pushes, the output is the same to the bit.
// RS2: nothing is allocated per push: the caller hands the output in, and the sums run on scratch space that all
//     objects of this thread share (a push is synchronous, so nobody else can be using it).
// RS3: what does not fit 16 bits is clamped, never wrapped.
// RS4: `flush` ends an utterance: it gives what the filter still holds and forgets the past.
import { designLowpass, designUpwardPhase, RATIO, REACH_TAPS } from './lowpass.ts'

/** Samples of 8 kHz that go through the kernels at once; longer pushes are cut. */
export const BLOCK_SAMPLES = 480
/** Delay of an upsampler in samples of 8 kHz (1.5 ms). */
export const UPWARD_DELAY_SAMPLES = 12
/** Delay of a downsampler in samples of 8 kHz (1.375 ms). */
export const DOWNWARD_DELAY_SAMPLES = 11

const UPWARD_TAPS = designUpwardPhase()
const UPWARD_PAIRS = UPWARD_TAPS.length / 2
const UPWARD_PAST = UPWARD_TAPS.length - 1
// Phases 1 and 2 mirror each other: with the sum and the difference of each mirrored pair of samples,
// phase 1 = even + odd and phase 2 = even - odd, at half the multiplications.
const EVEN = UPWARD_TAPS.slice(0, UPWARD_PAIRS).map((tap, i) => (tap + UPWARD_TAPS[UPWARD_PAST - i]!) / 2)
const ODD = UPWARD_TAPS.slice(0, UPWARD_PAIRS).map((tap, i) => (tap - UPWARD_TAPS[UPWARD_PAST - i]!) / 2)

const LOWPASS = designLowpass()
const MIDDLE_TAP = LOWPASS[0]!
const WINDOW = 2 * REACH_TAPS + 1
/** The past before the first sample: each output needs a whole window that ends with its third sample. */
const DOWNWARD_PAST = WINDOW - RATIO

const WORK = new Float64Array(WINDOW + RATIO * BLOCK_SAMPLES)
/** What `run` made; shared, so valid only until the next `run` of anyone. */
export const RESULT: Int16Array = new Int16Array(RATIO * BLOCK_SAMPLES)

/** Three samples out for each sample in. */
export class Upsampler {
  /** Where in the scratch the new samples begin. */
  readonly start: number = UPWARD_PAST
  readonly #past = new Int16Array(UPWARD_PAST)

  /** Resamples `input` (8 kHz) into `output` (24 kHz, three times as long); returns the samples written. */
  push(input: Int16Array, output: Int16Array): number {
    requireRoom(RATIO * input.length, output.length)
    for (let from = 0; from < input.length; from += BLOCK_SAMPLES) {
      const count = Math.min(BLOCK_SAMPLES, input.length - from)
      const work = this.begin()
      for (let i = 0; i < count; i += 1) work[UPWARD_PAST + i] = input[from + i]!
      const outputs = this.run(count)
      for (let i = 0, to = RATIO * from; i < outputs; i += 1) output[to + i] = RESULT[i]!
    }
    return RATIO * input.length
  }

  /** Writes the delayed rest (36 samples of 24 kHz) and forgets the past; returns the samples written. */
  flush(output: Int16Array): number {
    const written = this.push(new Int16Array(UPWARD_DELAY_SAMPLES), output)
    this.#past.fill(0)
    return written
  }

  /** For a fused caller: gives the scratch; at most BLOCK_SAMPLES are put in from index `start` on, then `run`. */
  begin(): Float64Array {
    for (let i = 0; i < UPWARD_PAST; i += 1) WORK[i] = this.#past[i]!
    return WORK
  }

  /** Resamples the `count` new samples of the scratch into RESULT; returns the samples there. */
  run(count: number): number {
    upward(count)
    for (let i = 0; i < UPWARD_PAST; i += 1) this.#past[i] = WORK[count + i]!
    return RATIO * count
  }
}

/** One sample out for each three samples in. */
export class Downsampler {
  readonly #past = new Int16Array(WINDOW - 1)
  #pastSamples = DOWNWARD_PAST

  /** Where in the scratch the new samples begin. */
  get start(): number {
    return this.#pastSamples
  }

  /** Samples that a push of `inputSamples` will write. */
  outputSamples(inputSamples: number): number {
    return Math.floor((this.#pastSamples - DOWNWARD_PAST + inputSamples) / RATIO)
  }

  /** Resamples `input` (24 kHz) into `output` (8 kHz); returns the samples written. */
  push(input: Int16Array, output: Int16Array): number {
    requireRoom(this.outputSamples(input.length), output.length)
    let written = 0
    for (let from = 0; from < input.length; from += RATIO * BLOCK_SAMPLES) {
      const count = Math.min(RATIO * BLOCK_SAMPLES, input.length - from)
      const work = this.begin()
      const start = this.#pastSamples
      for (let i = 0; i < count; i += 1) work[start + i] = input[from + i]!
      const outputs = this.run(count)
      for (let i = 0; i < outputs; i += 1) output[written + i] = RESULT[i]!
      written += outputs
    }
    return written
  }

  /** Writes the delayed rest (11 or 12 samples of 8 kHz) and forgets the past; returns the samples written. */
  flush(output: Int16Array): number {
    const waiting = this.#pastSamples - DOWNWARD_PAST
    const padding = RATIO * DOWNWARD_DELAY_SAMPLES + (waiting === 0 ? 0 : RATIO - waiting)
    const written = this.push(new Int16Array(padding), output)
    this.#past.fill(0)
    this.#pastSamples = DOWNWARD_PAST
    return written
  }

  /** For a fused caller: gives the scratch; at most 3 × BLOCK_SAMPLES are put in from index `start` on, then `run`. */
  begin(): Float64Array {
    for (let i = 0; i < this.#pastSamples; i += 1) WORK[i] = this.#past[i]!
    return WORK
  }

  /** Resamples the `count` new samples of the scratch into RESULT; returns the samples there. */
  run(count: number): number {
    const outputs = this.outputSamples(count)
    downward(outputs)
    const used = RATIO * outputs
    this.#pastSamples += count - used
    for (let i = 0; i < this.#pastSamples; i += 1) this.#past[i] = WORK[used + i]!
    return outputs
  }
}

/** From `count` new samples behind the past in WORK to 3 × `count` samples in RESULT. */
function upward(count: number): void {
  for (let i = 0; i < count; i += 1) {
    let even = 0
    let odd = 0
    for (let k = 0, a = i, b = i + UPWARD_PAST; k < UPWARD_PAIRS; k += 1, a += 1, b -= 1) {
      const early = WORK[a]!
      const late = WORK[b]!
      even += EVEN[k]! * (early + late)
      odd += ODD[k]! * (early - late)
    }
    const at = RATIO * i
    RESULT[at] = WORK[i + UPWARD_PAIRS - 1]!
    RESULT[at + 1] = toSample(even + odd)
    RESULT[at + 2] = toSample(even - odd)
  }
}

/** `count` outputs from the windows in WORK that begin three samples apart. */
function downward(count: number): void {
  for (let i = 0; i < count; i += 1) {
    const middle = RATIO * i + REACH_TAPS
    // Every third tap is zero. Two sums, because each addition to one waits for the one before.
    let one = MIDDLE_TAP * WORK[middle]!
    let two = 0
    for (let k = 1; k < REACH_TAPS; k += RATIO) {
      one += LOWPASS[k]! * (WORK[middle - k]! + WORK[middle + k]!)
      two += LOWPASS[k + 1]! * (WORK[middle - k - 1]! + WORK[middle + k + 1]!)
    }
    RESULT[i] = toSample(one + two)
  }
}

function toSample(value: number): number {
  if (value >= 32_767) return 32_767
  if (value <= -32_768) return -32_768
  return ((value + 32_768.5) | 0) - 32_768
}

function requireRoom(needed: number, available: number): void {
  if (available < needed) throw new RangeError(`${needed} do not fit ${available}`)
}
