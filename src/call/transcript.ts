// What was said, in order, capped. Rules:
// TR1: at most `maxItems` items and TEXT_MAX_CHARS characters each; beyond them the oldest is dropped and counted.
// TR2: agent speech that was cut keeps only the part that was heard, in proportion of its audio, in any language (kit/text.ts).
// TR3: a caller's turn takes its place when it ends; its text comes later, and is empty until then.
// TR5: the parts of a transcription are kept as they come, and the whole takes their place. Words that were not transcribed have a line that
//      says so (UNTRANSCRIBED), and no other words.
// TR4: a message that code has put in, or that keys stand for, has its place among what was said and is no speech: records leave it out.
//      Content of more than CONTENT_MAX_CHARS is replaced by a word that it was there.

import { clip, firstShare } from '../kit/text.ts'
import type { AgentPath } from './agent-state.ts'

export const TEXT_MAX_CHARS = 4_000

/** [TR5] */
export const UNTRANSCRIBED = '[not transcribed]'

export const CONTENT_MAX_CHARS = 65_536
/** All that the provider takes. */
const ITEM_ID_MAX_CHARS = 32
const TOO_LARGE = '(Something was shown here that is too large to be kept.)'

/** A part of a message as the provider takes it: text or an image. */
export type MessagePart = { type: string } & Record<string, unknown>

export type TranscriptItem =
  /** `isPart`: the whole has not come. */
  | { kind: 'caller'; id: string; text: string; isPart?: true }
  | { kind: 'agent'; id: string; text: string; heardMs?: number; receivedMs?: number; cut: boolean }
  /** `content`: as it was given, where it is more than its text. */
  | { kind: 'message'; id: string; role: 'user' | 'assistant' | 'system'; text: string; content?: MessagePart[] }
  /** `id` is the call's, `itemId` its item's; `owner`: whose tool it is, where there is more than one agent. */
  | ToolItem

type MessageItem = TranscriptItem & { kind: 'message' }

type ToolItem = {
  kind: 'tool'
  id: string
  name: string
  arguments: string
  output: string | undefined
  itemId?: string
  owner?: AgentPath
}

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

/** A message of `content`, within its bound (TR4). */
export function messageOf(id: string, role: 'user' | 'assistant' | 'system', content: MessagePart[]): MessageItem {
  const isTooLarge = JSON.stringify(content).length > CONTENT_MAX_CHARS
  if (isTooLarge) return { kind: 'message', id, role, text: TOO_LARGE }
  const texts = content.flatMap((part) => (typeof part.text === 'string' ? [part.text] : []))
  const isPlain = content.length === 1 && texts.length === 1
  return { kind: 'message', id, role, text: texts.join('\n'), ...(isPlain ? {} : { content }) }
}

/** What the provider takes for a message. */
export function contentOf({ role, text, content }: MessageItem): MessagePart[] {
  return content ?? [{ type: role === 'assistant' ? 'output_text' : 'input_text', text }]
}

/** Adds a message after the item `after` (`root`: in front; undefined or unknown: at the end), or replaces the one with its id. */
export function withMessage(
  transcript: Transcript,
  item: MessageItem,
  after: string | undefined,
  maxItems: number,
): Transcript {
  const at = after === 'root' ? -1 : after === undefined ? undefined : indexOf(transcript, after)
  const isKnown = transcript.items.some((other) => other.kind === 'message' && other.id === item.id)
  if (at === undefined || isKnown) return withItem(transcript, item, maxItems)
  const items = transcript.items.toSpliced(at + 1, 0, item)
  return withItem({ ...transcript, items }, item, maxItems)
}

/** Takes out the item that the provider knows as `id`; the same transcript when there is none. */
export function withoutItem(transcript: Transcript, id: string): Transcript {
  const at = indexOf(transcript, id)
  return at === undefined ? transcript : { ...transcript, items: transcript.items.toSpliced(at, 1) }
}

/** The id by which the provider knows an item. A tool call that only the records know of gets one from its own id. */
export function itemIdOf(item: TranscriptItem): string {
  if (item.kind !== 'tool') return item.id
  return item.itemId ?? `fc_${item.id}`.slice(0, ITEM_ID_MAX_CHARS)
}

function indexOf({ items }: Transcript, id: string): number | undefined {
  const at = items.findIndex((item) => itemIdOf(item) === id)
  return at < 0 ? undefined : at
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

/** What a transcription brings of the caller's words. */
type CallerWords =
  | { kind: 'caller-said'; itemId: string; text: string }
  | { kind: 'caller-said-part'; itemId: string; text: string }
  | { kind: 'caller-unclear'; itemId: string }

/** [TR3][TR5] The transcript with `words` at their place. */
export function withCallerWords(transcript: Transcript, words: CallerWords, maxItems: number): Transcript {
  const { itemId: id } = words
  const before = transcript.items.find((item) => item.kind === 'caller' && item.id === id)
  const part = before?.kind === 'caller' ? before.text : ''
  if (words.kind === 'caller-said-part') {
    // Parts that come after the whole are late.
    if (before?.kind === 'caller' && part !== '' && before.isPart !== true) return transcript
    return withItem(transcript, { kind: 'caller', id, text: clipText(part + words.text), isPart: true }, maxItems)
  }
  const whole = words.kind === 'caller-said' ? clipText(words.text) : ''
  const text = whole !== '' ? whole : part.trim() !== '' ? part.trim() : UNTRANSCRIBED
  return withItem(transcript, { kind: 'caller', id, text }, maxItems)
}

/** The turns of the caller whose words have not come, or not whole. */
export function owedWords({ items }: Transcript): string[] {
  return items.flatMap((item) =>
    item.kind === 'caller' && (item.text === '' || item.isPart === true) ? [item.id] : [],
  )
}
