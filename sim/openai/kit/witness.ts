// The witness log: what this peer saw and did, as JSON lines with `t` in monotonic µs. Rules:
// N1: written every FLUSH_MS and on close; PENDING_CHARS_MAX pending characters are written at once.
// N2: without a file nothing is kept, and the cost of a line is nothing.
// N3: a file that cannot be written is reported once; the simulator goes on.
import { closeSync, openSync, writeSync } from 'node:fs'
import { nowUs } from './clock.ts'

const FLUSH_MS = 250
const PENDING_CHARS_MAX = 4_000_000

export type WitnessFields = Record<string, string | number | boolean | null | undefined | readonly string[]>

export class Witness {
  #fd: number | undefined
  #pending = ''
  #timer: NodeJS.Timeout | undefined

  /** Appends to `file`, or keeps nothing when there is none. */
  constructor(file: string | undefined) {
    this.#fd = file === undefined ? undefined : openSync(file, 'a')
  }

  /** Adds one line; `atUs` is now unless told. */
  note(event: string, fields: WitnessFields, atUs: number = nowUs()): void {
    if (this.#fd === undefined) return
    this.line(`{"t":${atUs},"event":"${event}",${JSON.stringify(fields).slice(1)}\n`)
  }

  /** Adds a line that the caller has written as JSON, newline included. */
  line(text: string): void {
    if (this.#fd === undefined) return
    this.#pending += text
    if (this.#pending.length > PENDING_CHARS_MAX) this.flush()
    else this.#timer ??= setTimeout(() => this.flush(), FLUSH_MS)
  }

  /** Writes what is pending. */
  flush(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    if (this.#fd === undefined || this.#pending === '') return
    const text = this.#pending
    this.#pending = ''
    try {
      writeSync(this.#fd, text)
    } catch (error) {
      this.#fd = undefined
      process.stderr.write(`witness log lost: ${error instanceof Error ? error.message : String(error)}\n`)
    }
  }

  /** Writes the rest and closes the file. Idempotent. */
  close(): void {
    this.flush()
    if (this.#fd !== undefined) closeSync(this.#fd)
    this.#fd = undefined
  }
}
