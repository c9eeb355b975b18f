// The carrier's witness log: JSON lines, one file per process, not the plane's own opinion of itself.
// N1: each line has `t` (monotonic µs), `event`, and `call` (call number) where there is one.
// N2: lines are written every FLUSH_MS and at close; above WAITING_CHARS_MAX new lines are dropped, and the drop is written.

import { createWriteStream, type WriteStream } from 'node:fs'
import { nowUs } from './wire/clock.ts'

const FLUSH_MS = 250
const WAITING_CHARS_MAX = 16 * 1024 * 1024

export type Witness = {
  /** Writes one line about a call, or about the process when `call` is undefined. */
  note(event: string, call: number | undefined, facts?: Readonly<Record<string, unknown>>): void
  close(): Promise<void>
}

/** A witness that writes nowhere. */
const NO_WITNESS: Witness = { note: () => {}, close: async () => {} }

class FileWitness implements Witness {
  private readonly file: WriteStream
  private readonly timer: NodeJS.Timeout
  private waiting: string[] = []
  private waitingChars = 0
  private dropped = 0
  private closing: Promise<void> | undefined

  constructor(path: string) {
    this.file = createWriteStream(path, { flags: 'a' })
    this.timer = setInterval(() => this.flush(), FLUSH_MS)
    this.timer.unref()
  }

  note(event: string, call: number | undefined, facts?: Readonly<Record<string, unknown>>): void {
    if (this.waitingChars + this.file.writableLength > WAITING_CHARS_MAX) {
      this.dropped++
      return
    }
    const line = `${JSON.stringify({ t: nowUs(), event, call, ...facts })}\n`
    this.waiting.push(line)
    this.waitingChars += line.length
  }

  close(): Promise<void> {
    this.closing ??= new Promise((resolve) => {
      clearInterval(this.timer)
      this.flush()
      this.file.end(() => resolve())
    })
    return this.closing
  }

  private flush(): void {
    if (this.dropped > 0) {
      this.waiting.push(`${JSON.stringify({ t: nowUs(), event: 'lines-dropped', count: this.dropped })}\n`)
      this.dropped = 0
    }
    if (this.waiting.length === 0) return
    this.file.write(this.waiting.join(''))
    this.waiting = []
    this.waitingChars = 0
  }
}

/** Opens the witness log of this process; without a path nothing is written. */
export function openWitness(path: string | undefined): Witness {
  return path === undefined ? NO_WITNESS : new FileWitness(path)
}
