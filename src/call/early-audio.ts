// Caller audio that comes before the model can hear it. Rules:
// EA1: at most EARLY_FRAMES_MAX frames (2 s) are kept, in order; beyond it the oldest is dropped and counted.

export const EARLY_FRAMES_MAX = 100

/** A bounded queue of base64 frames (copies). */
export class EarlyAudio {
  #frames: Buffer[] = []

  get size(): number {
    return this.#frames.length
  }

  /** Keeps a copy of `buffer[start..end)`. Returns false when the oldest had to go. */
  push(buffer: Buffer, start: number, end: number): boolean {
    this.#frames.push(Buffer.from(buffer.subarray(start, end)))
    if (this.#frames.length <= EARLY_FRAMES_MAX) return true
    this.#frames.shift()
    return false
  }

  /** Hands all frames over, oldest first, and forgets them. */
  drain(take: (frame: Buffer) => void): void {
    const frames = this.#frames
    this.#frames = []
    for (const frame of frames) take(frame)
  }
}
