// Logging. Rules:
// LG1: the message is static text; everything variable is a field.
// LG2: personal data (numbers, names, transcripts) stands only in fields that begin with `pii.`; those are
//     removed unless the operator asked for them. Secrets are never logged.
import { type DestinationStream, pino } from 'pino'

/** The least of a logger that rooms need; pino fits it. */
export interface Log {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
  child(fields: object): Log
}

/** Removes the `pii.` fields of a log record (rule LG2). */
export function withoutPii(fields: Record<string, unknown>): Record<string, unknown> {
  let copy: Record<string, unknown> | undefined
  for (const key of Object.keys(fields)) {
    if (!key.startsWith('pii.')) continue
    copy ??= { ...fields }
    delete copy[key]
  }
  return copy ?? fields
}

/** Makes the process's logger: JSON lines; `showPii` keeps the `pii.` fields. */
export function makeLog(options: { level: string; showPii: boolean; destination?: DestinationStream }): Log {
  return pino(
    {
      level: options.level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }), log: options.showPii ? (f) => f : withoutPii },
    },
    options.destination ?? pino.destination({ dest: 2, sync: true }),
  )
}

/** A log that keeps nothing, for tests. */
export const silentLog: Log = {
  debug() {},
  info() {},
  warn() {},
  error() {},
  child: () => silentLog,
}
