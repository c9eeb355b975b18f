// The checkpoint of a call: its state, versioned, as JSON. Rules:
// CK1: what was written by another version, or is no checkpoint, is `unreadable`, never an exception.
import { type CallState, STATE_VERSION } from './state.ts'

/** A checkpoint as read. */
export type CheckpointReading = { kind: 'read'; state: CallState } | { kind: 'unreadable'; reason: string }

/** The state as text, to be stored. */
export function writeCheckpoint(state: CallState): string {
  return JSON.stringify(state)
}

/** Reads what `writeCheckpoint` wrote. */
export function readCheckpoint(text: string): CheckpointReading {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return { kind: 'unreadable', reason: 'is not JSON' }
  }
  if (typeof value !== 'object' || value === null) return { kind: 'unreadable', reason: 'is not an object' }
  const state = value as CallState
  if (state.version !== STATE_VERSION) return { kind: 'unreadable', reason: 'has another version' }
  if (!Array.isArray(state.transcript?.items) || typeof state.phase?.kind !== 'string') {
    return { kind: 'unreadable', reason: 'lacks its transcript or phase' }
  }
  return { kind: 'read', state }
}
