// When the caller heard the agent, for the witness log. Rules:
// HL1: an interval begins with the first audible frame played and ends when nothing was played for PAUSE_MS, or with the stream.
// HL2: the first interval of each stream is noted at its beginning too (`stream-heard`), so that a killed reader of the log knows.

import type { CallRecord } from '../report.ts'
import { isAudible } from '../wire/clip-frames.ts'

const PAUSE_MS = 200

export class HeardLog {
  private fromMs: number | undefined
  private lastMs = 0
  private hasHeard = false
  private readonly record: CallRecord
  private readonly stream: number

  constructor(record: CallRecord, stream: number) {
    this.record = record
    this.stream = stream
  }

  /** A frame of the agent is being played. */
  frame(frame: Buffer, bytes: number, atMs: number): void {
    if (this.fromMs === undefined) {
      if (!isAudible(frame, 0, bytes)) return
      this.fromMs = atMs
      if (!this.hasHeard) this.record.note('stream-heard', { stream: this.stream, atUs: Math.round(atMs * 1000) })
      this.hasHeard = true
    }
    this.lastMs = atMs
  }

  /** There was nothing to play. */
  silent(atMs: number): void {
    if (this.fromMs !== undefined && atMs - this.lastMs >= PAUSE_MS) this.close()
  }

  /** The stream has ended. */
  end(atMs: number): void {
    if (this.fromMs === undefined) return
    this.lastMs = Math.min(atMs, this.lastMs + PAUSE_MS)
    this.close()
  }

  private close(): void {
    const fromUs = Math.round((this.fromMs ?? 0) * 1000)
    this.record.note('agent-heard', { stream: this.stream, fromUs, toUs: Math.round(this.lastMs * 1000) })
    this.fromMs = undefined
  }
}
