// What the records say of a call whose carrier asks what follows, and whose pod does not answer. Pure. Rules:
// RZ1: a call that has ended gets what its end decided; one that was closing gets what it was about to.
// RZ2: a live call goes on elsewhere, after at most FAILOVERS_MAX losses of its pod or socket with less than FAILOVER_CALM_MS between
//      them: what breaks again and again is for a person, or an apology. Planned moves and new model links do not count.
// RZ3: what follows a transfer that a person answered is the end, however its row reads: it may have been given to a person while nobody
//      could write.
// RZ5: after a transfer that nobody answered the agent gets the call back, at most RETURNS_MAX times in a call; then FALLBACK_NUMBER is
//      tried, unless it was the one; then the caller hears a sentence.
// RZ6: a call that is with a person, or rings there, has a live row whose checkpoint says so: no rescue takes the caller away.
// RZ4: a call that is over at the carrier ends for what its checkpoint was ending for; otherwise its caller hung up (completed, canceled),
//      or the carrier lost it.
import { type CheckpointReading, readCheckpoint, writeCheckpoint } from '../call/checkpoint.ts'
import type { EndCause } from '../call/end-cause.ts'
import type { Next, Phase, TransferOutcome } from '../call/state.ts'
import type { CallRow } from '../control/records.ts'

const FAILOVERS_MAX = 5
/** How often in its life a call comes back from a transfer. */
const RETURNS_MAX = 2

/** What follows. `finish`: the call is over, and its end is still to be written. */
type RowStep =
  | { kind: 'answer'; next: Next }
  | { kind: 'finish'; cause: EndCause; next: Next }
  /** [RZ5] The agent's part ended with this transfer, whose own end is awaited. */
  | { kind: 'dialing'; next: Next }
  | { kind: 'resume' }
  | { kind: 'too-often' }

/** Decides for `row`, of which no transfer has ended. */
export function stepOfRow(row: CallRow): RowStep {
  if (row.state === 'ended') return { kind: 'answer', next: row.next ?? { kind: 'none' } }
  const reading = row.checkpoint === undefined ? undefined : readCheckpoint(row.checkpoint)
  const phase = reading?.kind === 'read' ? reading.state.phase : undefined
  if (phase?.kind === 'ended' && phase.next.kind === 'transfer') return { kind: 'dialing', next: phase.next }
  if (phase?.kind === 'closing' || phase?.kind === 'ended')
    return { kind: 'finish', cause: phase.cause, next: phase.next }
  // A pod that dies before its first checkpoint has counted in the row alone; a claim that could not be written, in the checkpoint alone.
  const failovers = Math.max(row.failovers, reading?.kind === 'read' ? reading.state.failovers : 0)
  return failovers >= FAILOVERS_MAX ? { kind: 'too-often' } : { kind: 'resume' }
}

/** How a live row ends that nobody goes on with: as it was about to, otherwise for `cause`. */
export function endOfRow(row: CallRow, cause: EndCause): { cause: EndCause; next: Next } {
  const step = stepOfRow(row)
  if (step.kind === 'dialing') return { cause: causeIn(row.checkpoint) ?? cause, next: step.next }
  return step.kind === 'finish' ? { cause: step.cause, next: step.next } : { cause, next: { kind: 'none' } }
}

/** Whether a call may go on once more, by its own count. */
export function mayResume(checkpoint: string): boolean {
  const reading = readCheckpoint(checkpoint)
  return reading.kind === 'unreadable' || reading.state.failovers < FAILOVERS_MAX
}

/** [RZ6] Where the caller of this checkpoint was transferred to; undefined when nobody was. */
export function transferIn(checkpoint: string | undefined): string | undefined {
  const phase = phaseIn(checkpoint)
  return phase?.kind === 'ended' && phase.next.kind === 'transfer' ? phase.next.to : undefined
}

/** [RZ5] Whether the agent gets the call of this checkpoint back. */
export function mayReturn(checkpoint: string | undefined): boolean {
  const reading = readingOf(checkpoint)
  if (reading?.kind !== 'read') return false
  const { phase, transfers } = reading.state
  if (transfers.length >= RETURNS_MAX) return false
  // Given to a person because the agent could not go on: it has nobody to come back to.
  return (phase.kind !== 'ended' && phase.kind !== 'closing') || phase.cause === 'transferred'
}

/** The checkpoint with one more transfer that has ended. */
export function withOutcome(checkpoint: string | undefined, outcome: TransferOutcome): string | undefined {
  const reading = readingOf(checkpoint)
  if (reading?.kind !== 'read') return checkpoint
  return writeCheckpoint({ ...reading.state, transfers: [...reading.state.transfers, outcome] })
}

function causeIn(checkpoint: string | undefined): EndCause | undefined {
  const phase = phaseIn(checkpoint)
  return phase?.kind === 'ended' ? phase.cause : undefined
}

function phaseIn(checkpoint: string | undefined): Phase | undefined {
  const reading = readingOf(checkpoint)
  return reading?.kind === 'read' ? reading.state.phase : undefined
}

const readingOf = (checkpoint: string | undefined): CheckpointReading | undefined =>
  checkpoint === undefined ? undefined : readCheckpoint(checkpoint)
