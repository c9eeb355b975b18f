// The far end's playout: what the carrier has been given to play, and the marks in it.
// B1: a 20 ms clock takes up to 160 bytes; bytes count as played one clock later, when they have been heard.
// B2: a mark is echoed when everything sent before it has been played; with nothing outstanding, at once.
// B3: clear drops all bytes that have not been played and releases all outstanding marks at once, in order.
// B5: what arrives while nothing is left to play waits `lateTicks` turns of the clock, as on a line with a delay of its own.
// B4: more than BUFFER_BYTES_MAX (10 minutes) is not kept; MARKS_MAX bounds the marks.

import { ULAW_SILENCE } from '../../speech/g711.ts'
import { FRAME_BYTES } from '../wire/clip-frames.ts'

export const BUFFER_BYTES_MAX = 10 * 60 * 8000
export const MARKS_MAX = 10_000
/** Chunks behind the head that are kept before the array is cut. */
const SPENT_CHUNKS_MAX = 64

export class Playout {
  /** The frame taken last; only its first `takenBytes` are agent audio, the rest is silence. */
  readonly frame: Buffer = Buffer.alloc(FRAME_BYTES, ULAW_SILENCE)
  takenBytes = 0
  receivedBytes = 0
  playedBytes = 0
  private takenTotal = 0
  private readonly lateTicks: number
  /** Turns of the clock until playing begins; undefined while it plays. */
  private holdTicks: number | undefined
  private chunks: Buffer[] = []
  private head = 0
  private headOffset = 0
  private marks: { name: string; atByte: number }[] = []

  constructor(lateTicks = 0) {
    this.lateTicks = lateTicks
    this.holdTicks = lateTicks
  }

  /** Bytes waiting to be played. */
  get waitingBytes(): number {
    return this.receivedBytes - this.takenTotal
  }

  get outstandingMarks(): number {
    return this.marks.length
  }

  /** Keeps audio to play; false when the buffer is full and the audio was dropped. */
  push(audio: Buffer): boolean {
    if (this.waitingBytes + audio.length > BUFFER_BYTES_MAX) return false
    if (audio.length === 0) return true
    this.chunks.push(audio)
    this.receivedBytes += audio.length
    return true
  }

  /** Notes a mark. `at once`: nothing is outstanding before it; `full`: too many marks. */
  mark(name: string): 'waits' | 'at once' | 'full' {
    if (this.receivedBytes <= this.playedBytes && this.marks.length === 0) return 'at once'
    if (this.marks.length >= MARKS_MAX) return 'full'
    this.marks.push({ name, atByte: this.receivedBytes })
    return 'waits'
  }

  /** One turn of the 20 ms clock: what was taken before has now been heard, the next frame is taken. */
  tick(): void {
    this.playedBytes = this.takenTotal
    if (this.waitingBytes === 0) this.holdTicks = this.lateTicks
    else if (this.holdTicks !== undefined && this.holdTicks > 0) this.holdTicks -= 1
    else this.holdTicks = undefined
    if (this.holdTicks === undefined || this.lateTicks === 0) this.take()
    else if (this.takenBytes > 0) {
      this.frame.fill(ULAW_SILENCE)
      this.takenBytes = 0
    }
  }

  /** The next mark that has been played, or undefined. */
  nextPlayedMark(): string | undefined {
    const mark = this.marks[0]
    if (mark === undefined || mark.atByte > this.playedBytes) return undefined
    this.marks.shift()
    return mark.name
  }

  /** Drops everything that has not been taken; the outstanding marks in order. */
  clear(): string[] {
    this.chunks = []
    this.head = 0
    this.headOffset = 0
    this.takenTotal = this.receivedBytes
    this.playedBytes = this.receivedBytes
    const names = this.marks.map((mark) => mark.name)
    this.marks = []
    return names
  }

  private take(): void {
    let filled = 0
    while (filled < FRAME_BYTES && this.head < this.chunks.length) {
      const chunk = this.chunks[this.head]!
      const copied = chunk.copy(this.frame, filled, this.headOffset)
      filled += copied
      this.headOffset += copied
      if (this.headOffset < chunk.length) break
      this.head++
      this.headOffset = 0
    }
    if (filled < FRAME_BYTES && (filled > 0 || this.takenBytes > 0)) this.frame.fill(ULAW_SILENCE, filled)
    this.takenBytes = filled
    this.takenTotal += filled
    if (this.head === this.chunks.length && this.head > 0) {
      this.chunks = []
      this.head = 0
    } else if (this.head > SPENT_CHUNKS_MAX) {
      this.chunks.splice(0, this.head)
      this.head = 0
    }
  }
}
