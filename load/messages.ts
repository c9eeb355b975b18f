// What the conductor and its caller processes say to each other. All times are monotonic µs, which one machine shares.

import type { PlannedCall } from './plan/scenario.ts'
import type { FinishedCall } from './report/figures.ts'

/** What a caller process is given before the start. */
export type CallerSetup = {
  process: number
  baseUrl: string
  accountSid: string
  authToken: string
  number: string
  holdS: number
  voicePath: string
  statusPath: string | undefined
  mediaUrl: string | undefined
  mayBeRemote: boolean
  isProbing: boolean
  isCallerFirst: boolean
  afterStream: { actionMs: number; openMs: number }
  witnessPath: string
  calls: PlannedCall[]
}

export type ToCaller = { kind: 'set-up'; setup: CallerSetup } | { kind: 'go'; startUs: number } | { kind: 'hang-up' }

/** Counts of one caller process; `latenessMs` is the worst p99 since the last tally. */
export type Tally = {
  offered: number
  live: number
  talking: number
  done: number
  failed: number
  dropped: number
  refused: number
  latenessMs: number
}

export type FromCaller =
  | { kind: 'ready' }
  | { kind: 'tally'; tally: Tally }
  | { kind: 'call'; call: FinishedCall }
  | { kind: 'error'; text: string }
  | { kind: 'finished' }

/** Monotonic µs, as the simulators stamp their logs. */
export function nowUs(): number {
  return Number(process.hrtime.bigint() / 1_000n)
}
