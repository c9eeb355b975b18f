// Who acted for which call and when, one JSON line each, for the checker of the chaos runs. Off unless HISTORY_FILE is set. Rules:
// HI1: a line is in the kernel before the deed that it tells of goes on: a pod that is killed has told all that it did.
import { appendFileSync } from 'node:fs'
import type { CallSid } from '../kit/ids.ts'

type HistoryEvent = 'claimed' | 'acts' | 'fenced' | 'released' | 'ended' | 'tool'

/** Writes one line: monotonic µs of this machine, pod, call, epoch, event. */
export type History = (event: HistoryEvent, call: CallSid, epoch: number, detail?: Record<string, string>) => void

/** Appends to `file`; does nothing when it is undefined. */
export function openHistory(file: string | undefined, pod: string): History {
  if (file === undefined) return () => {}
  return (event, call, epoch, detail) => {
    const t = Number(process.hrtime.bigint() / 1_000n)
    appendFileSync(file, `${JSON.stringify({ t, wall: Date.now(), pod, call, epoch, event, ...detail })}\n`)
  }
}
