// Energy voice activity detection, pure: frames in, turns out. Rules:
// E1: speech starts when START_FRAMES of the last WINDOW_FRAMES frames are louder than the threshold.
// E2: speech stops when `silenceMs` have passed without a frame louder than RELEASE times the threshold (in RMS).
// E3: `threshold` 0..1 is read as an RMS of 10^(2.2 + threshold) on the 16-bit scale: 0.5 is about 500 (-36 dB).

const START_FRAMES = 3
const WINDOW_FRAMES = 5
const RELEASE = 0.6

type VadSettings = { threshold: number; silenceMs: number }

export class EnergyVad {
  #startPower = 0
  #stayPower = 0
  #silenceMs = 0
  #recent = 0
  #quietMs = 0
  #isSpeaking = false

  constructor(settings: VadSettings) {
    this.set(settings)
  }

  /** Changes the settings; a turn in progress goes on. */
  set(settings: VadSettings): void {
    const rms = 10 ** (2.2 + settings.threshold)
    this.#startPower = rms * rms
    this.#stayPower = rms * rms * RELEASE * RELEASE
    this.#silenceMs = settings.silenceMs
  }

  get isSpeaking(): boolean {
    return this.#isSpeaking
  }

  /** Forgets a turn in progress. */
  reset(): void {
    this.#isSpeaking = false
    this.#recent = 0
    this.#quietMs = 0
  }

  /** Hears one frame of mean square `power`. */
  hear(power: number, frameMs: number): 'started' | 'stopped' | undefined {
    if (!this.#isSpeaking) {
      this.#recent = ((this.#recent << 1) | (power > this.#startPower ? 1 : 0)) & ((1 << WINDOW_FRAMES) - 1)
      if (this.#recent === 0 || countBits(this.#recent) < START_FRAMES) return undefined
      this.#isSpeaking = true
      this.#quietMs = 0
      return 'started'
    }
    this.#quietMs = power > this.#stayPower ? 0 : this.#quietMs + frameMs
    if (this.#quietMs < this.#silenceMs) return undefined
    this.reset()
    return 'stopped'
  }

  /** Frames between the first loud one and the one at which `started` was answered, both included. */
  static readonly startFrames = START_FRAMES
}

function countBits(word: number): number {
  let count = 0
  for (let rest = word; rest !== 0; rest &= rest - 1) count += 1
  return count
}
