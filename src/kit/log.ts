// Logging. Rules:
// LG1: the message is static text; everything variable is a field.
// LG2: personal data (numbers, names, transcripts) stands only in fields that begin with `pii.`; those are
//     removed unless the operator asked for them. Secrets are never logged.
// LG3: a log that nobody reads stops nothing: LOG_WAITING_MAX_BYTES of lines wait; further ones are dropped and counted, and
//     the next line that is taken says how many.
// LG4: lines about requests without a proof of who sent them are sampled: LINES_PER_SECOND of one message; then one line a
//     second says how many were left out.
// LG5: at the end of the process the lines that wait have LOG_FLUSH_MS.
import type { Writable } from 'node:stream'
import { type DestinationStream, pino } from 'pino'
import { neverWait } from './standard-error.ts'

const LOG_WAITING_MAX_BYTES = 1_048_576
export const LINES_PER_SECOND = 20
const LOG_FLUSH_MS = 500

/** The least of a logger that rooms need; pino fits it. */
export interface Log {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
  child(fields: object): Log
}

/** Removes the `pii.` fields of a log record (rule LG2). */
function withoutPii(fields: Record<string, unknown>): Record<string, unknown> {
  let copy: Record<string, unknown> | undefined
  for (const key of Object.keys(fields)) {
    if (!key.startsWith('pii.')) continue
    copy ??= { ...fields }
    delete copy[key]
  }
  return copy ?? fields
}

/** Makes the process's logger: JSON lines; `showPii` keeps the `pii.` fields. */
export function makeLog(options: { level: string; showPii: boolean; destination: DestinationStream }): Log {
  return pino(
    {
      level: options.level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }), log: options.showPii ? (f) => f : withoutPii },
    },
    options.destination,
  )
}

/** Takes the lines of a log to `stream`, which may be slow, or not read at all (LG3). */
export class LogLines implements DestinationStream {
  readonly #stream: Writable
  readonly #waitingMaxBytes: number
  #dropped = 0
  #unsaid = 0
  #isBroken = false

  /** `stream`: a pipe or a socket of Node is written without waiting; a file and a terminal are written at once. */
  constructor(stream: Writable, options: { waitingMaxBytes?: number } = {}) {
    this.#stream = stream
    this.#waitingMaxBytes = options.waitingMaxBytes ?? LOG_WAITING_MAX_BYTES
    // The reader is gone. A listener, so that this does not end the process.
    stream.on('error', () => {
      this.#isBroken = true
    })
  }

  /** Lines that were dropped since the start. */
  get dropped(): number {
    return this.#dropped
  }

  write(line: string): void {
    if (this.#isBroken || this.#stream.writableLength + line.length > this.#waitingMaxBytes) {
      this.#dropped += 1
      this.#unsaid += 1
      return
    }
    neverWait(this.#stream)
    if (this.#unsaid > 0) this.#sayDropped()
    this.#stream.write(line)
  }

  /** Resolves when all lines are out, at LOG_FLUSH_MS at the latest. */
  async flush(): Promise<void> {
    if (this.#isBroken || this.#stream.writableLength === 0) return
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, LOG_FLUSH_MS)
    })
    await Promise.race([late, new Promise<void>((resolve) => this.#stream.write('', () => resolve()))])
    clearTimeout(timer)
  }

  #sayDropped(): void {
    const lines = this.#unsaid
    this.#unsaid = 0
    const said = {
      level: 'warn',
      time: new Date().toISOString(),
      lines,
      msg: 'log lines were dropped, nobody read them',
    }
    this.#stream.write(`${JSON.stringify(said)}\n`)
  }
}

/** The same log for lines that a stranger can cause (LG4). Messages are static, so there are few. */
export function sampled(log: Log, options: { perSecond?: number } = {}): Log {
  return sampledBy(log, options.perSecond ?? LINES_PER_SECOND, new Map())
}

type Sample = { lines: number; leftOut: number }

function sampledBy(log: Log, perSecond: number, samples: Map<string, Sample>): Log {
  const begin = (message: string): Sample => {
    const sample = { lines: 0, leftOut: 0 }
    samples.set(message, sample)
    const second = setTimeout(() => {
      samples.delete(message)
      if (sample.leftOut > 0) log.warn({ of: message, lines: sample.leftOut }, 'log lines were left out')
    }, 1_000)
    second.unref()
    return sample
  }
  const write = (level: 'debug' | 'info' | 'warn' | 'error') => (fields: object, message: string) => {
    const sample = samples.get(message) ?? begin(message)
    if (sample.lines < perSecond) log[level](fields, message)
    else sample.leftOut += 1
    sample.lines += 1
  }
  return {
    debug: write('debug'),
    info: write('info'),
    warn: write('warn'),
    error: write('error'),
    child: (fields) => sampledBy(log.child(fields), perSecond, samples),
  }
}

/** A log that keeps nothing, for tests. */
export const silentLog: Log = {
  debug() {},
  info() {},
  warn() {},
  error() {},
  child: () => silentLog,
}
