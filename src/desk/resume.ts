// What the records say of a call whose carrier asks what follows, and whose pod does not answer. Pure. Rules:
// RZ1: a call that has ended gets what its end decided; one that was closing gets what it was about to.
// RZ2: a live call goes on elsewhere, after at most FAILOVERS_MAX losses of its pod or socket with less than FAILOVER_CALM_MS between
//      them: what breaks again and again is for a person, or an apology. Planned moves and new model links do not count.
// RZ3: what follows the end of a transfer is the end, however its row reads: it may have been given to a person while nobody
//      could write.
// RZ4: a call that is over at the carrier ends for what its checkpoint was ending for; otherwise its caller hung up (completed, canceled),
//      or the carrier lost it.
import { readCheckpoint } from '../call/checkpoint.ts'
import type { EndCause, Next } from '../call/state.ts'
import type { CallRow } from '../control/records.ts'

export const FAILOVERS_MAX = 5

/** What follows. `finish`: the call is over, and its end is still to be written. */
export type RowStep =
  | { kind: 'answer'; next: Next }
  | { kind: 'finish'; cause: EndCause; next: Next }
  | { kind: 'resume' }
  | { kind: 'too-often' }

/** Decides for `row`; `isTransferOver`: the carrier tells how a transfer of this call ended. */
export function stepOfRow(row: CallRow, isTransferOver = false): RowStep {
  if (isTransferOver) {
    const next = { kind: 'none' as const }
    return row.state === 'ended' ? { kind: 'answer', next } : { kind: 'finish', cause: 'transferred', next }
  }
  if (row.state === 'ended') return { kind: 'answer', next: row.next ?? { kind: 'none' } }
  const reading = row.checkpoint === undefined ? undefined : readCheckpoint(row.checkpoint)
  const phase = reading?.kind === 'read' ? reading.state.phase : undefined
  if (phase?.kind === 'closing' || phase?.kind === 'ended')
    return { kind: 'finish', cause: phase.cause, next: phase.next }
  // A pod that dies before its first checkpoint has counted in the row alone; a claim that could not be written, in the checkpoint alone.
  const failovers = Math.max(row.failovers, reading?.kind === 'read' ? reading.state.failovers : 0)
  return failovers >= FAILOVERS_MAX ? { kind: 'too-often' } : { kind: 'resume' }
}

/** How a live row ends that nobody goes on with: as it was about to, otherwise for `cause`. */
export function endOfRow(row: CallRow, cause: EndCause): { cause: EndCause; next: Next } {
  const step = stepOfRow(row)
  return step.kind === 'finish' ? { cause: step.cause, next: step.next } : { cause, next: { kind: 'none' } }
}

/** [RZ4] `status`: the carrier's last word of a call. */
export function causeOfStatus(status: string): 'caller-hung-up' | 'carrier-lost' {
  return status === 'completed' || status === 'canceled' ? 'caller-hung-up' : 'carrier-lost'
}

/** Whether a call may go on once more, by its own count. */
export function mayResume(checkpoint: string): boolean {
  const reading = readCheckpoint(checkpoint)
  return reading.kind === 'unreadable' || reading.state.failovers < FAILOVERS_MAX
}
