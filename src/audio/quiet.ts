// Has the caller been quiet, and for how long? Looked at in each frame, so that nothing of his speech waits for it. Rules:
// QT1: a frame's level is the mean of 53 of its 160 samples, by the upper six bits of each, straight in its base64: nothing is
//      decoded or allocated. Of a longer frame all is looked at. A frame without sound bytes is quiet.
// QT2: a frame is loud when its level passes twice the floor and LEVEL_MIN above it. The floor is the lowest level of a frame in the
//      last 2 to 4 s, at most FLOOR_MAX: a line whose noise is even is quiet, and a voice or a tone of -28 dBm0 is loud for ever.
// QT3: the caller is quiet once every frame of a stretch was quiet. Its length is counted in audio, not by a clock.
// QT4: until a line was heard for FLOOR_AFTER_MS its floor is zero: what is not known is taken for speech.
import { MAGNITUDE_OF_DIGIT } from './digit-level.ts'

/** In 16-bit units, the mean of magnitudes rounded down: speech of -50 dBm0 has it. */
const LEVEL_MIN = 16
const OVER_FLOOR = 2
/** The mean magnitude of a noise of about -32 dBm0. */
const FLOOR_MAX = 350
const FLOOR_AFTER_MS = 2_000
const BYTES_PER_MS = 8
/** Four digits of base64 are three samples. */
const STRIDE_CHARS = 4

export class Quiet {
  /** How long the caller has been quiet, in ms of audio. */
  ms = 0
  /** The lowest level in the stretch of FLOOR_AFTER_MS before, and in the one that is under way. */
  #lowestBefore = 0
  #lowest = FLOOR_MAX
  #stretchMs = 0

  /** Hears one frame: base64 µ-law in `buffer[start..end)`. True when it is loud; then `ms` is 0. */
  hear(buffer: Buffer, start: number, end: number): boolean {
    let sum = 0
    let samples = 0
    for (let at = start; at < end; at += STRIDE_CHARS) {
      sum += MAGNITUDE_OF_DIGIT[buffer[at]!]!
      samples += 1
    }
    const level = samples === 0 ? 0 : sum / samples
    const frameMs = Math.floor(((end - start) * 3) / 4 / BYTES_PER_MS)
    const floor = Math.min(this.#lowestBefore, this.#lowest)
    if (level < this.#lowest) this.#lowest = level
    this.#stretchMs += frameMs
    if (this.#stretchMs >= FLOOR_AFTER_MS) {
      this.#lowestBefore = this.#lowest
      this.#lowest = FLOOR_MAX
      this.#stretchMs = 0
    }
    if (level > OVER_FLOOR * floor + LEVEL_MIN) {
      this.ms = 0
      return true
    }
    this.ms += frameMs
    return false
  }
}
