// What was said, in order, capped. Rules:
// TR1: at most `maxItems` items and TEXT_MAX_CHARS characters each; beyond them the oldest is dropped and counted.
// TR2: agent speech that was cut keeps only the part that was heard, in proportion of its audio, in any language (kit/text.ts).
// TR3: a caller's turn takes its place when it ends; its text comes later, and is empty until then.

import { clip, firstShare } from '../kit/text.ts'
import type { AgentPath } from './agent-state.ts'

export const TEXT_MAX_CHARS = 4_000

export type TranscriptItem =
  | { kind: 'caller'; id: string; text: string }
  | { kind: 'agent'; id: string; text: string; heardMs?: number; receivedMs?: number; cut: boolean }
  /** `owner`: whose tool it is, where there is more than one agent. */
  | { kind: 'tool'; id: string; name: string; arguments: string; output: string | undefined; owner?: AgentPath }

export type Transcript = { items: TranscriptItem[]; dropped: number }

/** Adds an item, or replaces the one with its id. Returns a new transcript. */
export function withItem(transcript: Transcript, item: TranscriptItem, maxItems: number): Transcript {
  const at = transcript.items.findIndex((other) => other.id === item.id && other.kind === item.kind)
  const items = transcript.items.slice()
  if (at >= 0) items[at] = item
  else items.push(item)
  const excess = Math.max(0, items.length - maxItems)
  if (excess > 0) items.splice(0, excess)
  return { items, dropped: transcript.dropped + excess }
}

/** Cuts an agent item at what was heard, in proportion of its audio, at a word or a grapheme. */
export function cutAt(
  item: TranscriptItem & { kind: 'agent' },
  heardMs: number,
  totalMs: number,
): TranscriptItem & { kind: 'agent' } {
  const part = totalMs > 0 ? Math.min(1, heardMs / totalMs) : 0
  return { ...item, text: firstShare(item.text, part), heardMs, cut: true }
}

/** Text clipped to its bound (TR1). */
export function clipText(text: string): string {
  return clip(text, TEXT_MAX_CHARS)
}
