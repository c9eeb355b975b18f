// Does the caller seem to speak? A cheap ear of the plane's own, for when the model's says nothing. Rules:
// LO1: one frame in LOOK_EVERY is looked at, at up to 18 of its samples, straight in its base64: nothing is decoded or allocated.
// LO2: a sample is loud from µ-law segment 2 on: |x| of 396 of 32 124 and more, the peak of a tone of -35 dBm0. Speech on a line
//      has -16 to -30 dBm0 and passes it often; the noise of a line, -40 dBm0 and less, does not.
// LO3: a frame is loud when LOUD_SAMPLES_MIN of its samples are; the caller seems to speak when LOUD_LOOKS_MIN (400 ms) of the
//      last second's ten looks were at a loud frame.
// LO4: this is a guess and may be noise: what follows from it must be harmless (PF1).
import { MAGNITUDE_OF_DIGIT } from './digit-level.ts'

export const LOOK_EVERY = 5
const LOOKS = 10
const LOUD_LOOKS_MIN = 4
const LOUD_SAMPLES_MIN = 4
/** [LO2] */
const LOUD_MAGNITUDE = 396
/** 12 digits are 9 samples: 18 looks in a frame of 20 ms. A longer frame is looked at in its first 20 ms only. */
const STRIDE_CHARS = 12
const FRAME_CHARS = 216

export class Loudness {
  #frame = 0
  /** The last looks, the newest in bit 0; 1 is loud. */
  #looks = 0
  #loudLooks = 0

  /** One frame of the caller: base64 µ-law in `buffer[start..end)`. True when he seems to speak, at the frames looked at. */
  hear(buffer: Buffer, start: number, end: number): boolean {
    this.#frame += 1
    if (this.#frame < LOOK_EVERY) return false
    this.#frame = 0
    let loudSamples = 0
    const last = Math.min(end, start + FRAME_CHARS)
    for (let at = start; at < last; at += STRIDE_CHARS) {
      if (MAGNITUDE_OF_DIGIT[buffer[at]!]! >= LOUD_MAGNITUDE) loudSamples += 1
    }
    const isLoud = loudSamples >= LOUD_SAMPLES_MIN ? 1 : 0
    this.#loudLooks += isLoud - ((this.#looks >> (LOOKS - 1)) & 1)
    this.#looks = ((this.#looks << 1) | isLoud) & ((1 << LOOKS) - 1)
    return isLoud === 1 && this.#loudLooks >= LOUD_LOOKS_MIN
  }
}
