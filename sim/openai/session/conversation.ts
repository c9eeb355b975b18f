// The conversation's items. Rules:
// I1: at most ITEMS_MAX items; beyond it the oldest is forgotten, as a context that is truncated.
// I2: audio of assistant items is not copied: it is the shared utterance and how much of it was sent.
// I3: audio of caller items is kept for the last CALLER_SOUNDS_MAX of them.
// I4: truncation takes whole milliseconds of what was sent, never more.
import type { Problem } from '../kit/checks.ts'
import { type AudioFormat, BYTES_PER_MS, type Utterance } from '../voice/fragments.ts'

const ITEMS_MAX = 1_000
const CALLER_SOUNDS_MAX = 4

type Content = {
  type: string
  text?: string
  transcript?: string | null
  audio?: string | null
  image_url?: string
}

export type Item = {
  id: string
  object: 'realtime.item'
  type: string
  status?: 'completed' | 'incomplete' | 'in_progress'
  role?: string
  content?: Content[]
  call_id?: string
  name?: string
  arguments?: string
  output?: string
}

/** Sound behind an item. `probe` was sent before the utterance. */
export type Sound =
  | { kind: 'caller'; audio: Buffer }
  | { kind: 'assistant'; utterance: Utterance; probe: Buffer | undefined; sentBytes: number; format: AudioFormat }

type Entry = { item: Item; sound: Sound | undefined; textTokens: number; audioTokens: number }

export class Conversation {
  readonly #entries = new Map<string, Entry>()
  #order: string[] = []
  readonly #callerSounds: string[] = []
  #textTokens = 0
  #audioTokens = 0
  /** Whether assistant audio was sent: the voice is locked then. */
  hasSpoken = false

  /** Tokens of all items. */
  get tokens(): { text: number; audio: number } {
    return { text: this.#textTokens, audio: this.#audioTokens }
  }

  get size(): number {
    return this.#order.length
  }

  get lastId(): string | null {
    return this.#order.at(-1) ?? null
  }

  find(id: string): Item | undefined {
    return this.#entries.get(id)?.item
  }

  /** Adds an item at the end, at the head (`root`), or after another; the id before it, or what is wrong. */
  add(
    item: Item,
    after?: string | null,
  ): { kind: 'added'; previousId: string | null } | { kind: 'refused'; problem: Problem } {
    if (this.#entries.has(item.id)) return { kind: 'refused', problem: existsProblem(item.id) }
    const at =
      after === undefined || after === null ? this.#order.length : after === 'root' ? 0 : this.#order.indexOf(after) + 1
    if (at === 0 && after !== 'root' && after !== undefined && after !== null) {
      return {
        kind: 'refused',
        problem: unknownItem('item_create_invalid_previous_item_id', 'previous_item_id', after),
      }
    }
    if (at === this.#order.length) this.#order.push(item.id)
    else this.#order.splice(at, 0, item.id)
    const textTokens = countTextTokens(item)
    this.#entries.set(item.id, { item, sound: undefined, textTokens, audioTokens: 0 })
    this.#textTokens += textTokens
    if (this.#order.length > ITEMS_MAX) this.#forget(this.#order[0]!)
    return { kind: 'added', previousId: this.#order[this.#order.indexOf(item.id) - 1] ?? null }
  }

  /** Gives an item its sound of `ms`; the caller's costs 10 tokens a second, the assistant's 20. */
  setSound(id: string, sound: Sound, ms: number): void {
    const entry = this.#entries.get(id)
    if (entry === undefined) return
    entry.sound = sound
    this.#countAudio(entry, Math.ceil(ms / (sound.kind === 'caller' ? 100 : 50)))
    if (sound.kind !== 'caller' || sound.audio.length === 0) return
    this.#callerSounds.push(id)
    const old = this.#callerSounds.length > CALLER_SOUNDS_MAX ? this.#callerSounds.shift() : undefined
    const oldEntry = old === undefined ? undefined : this.#entries.get(old)
    if (oldEntry !== undefined) oldEntry.sound = undefined
  }

  /** The item as conversation.item.retrieved shows it: with its audio, when that is kept. */
  withAudio(id: string): Item | undefined {
    const entry = this.#entries.get(id)
    if (entry?.sound === undefined || entry.item.content === undefined) return entry?.item
    const audio = soundBytes(entry.sound).toString('base64')
    const content = entry.item.content.map((part) => (/audio/.test(part.type) ? { ...part, audio } : part))
    return { ...entry.item, content }
  }

  remove(id: string): Problem | undefined {
    if (!this.#entries.has(id)) return unknownItem('item_delete_invalid_item_id', 'item_id', id)
    this.#forget(id)
    return undefined
  }

  /** Cuts an assistant item to `endMs`; undefined when done, else what is wrong. */
  truncate(id: string, contentIndex: number, endMs: number): Problem | undefined {
    const entry = this.#entries.get(id)
    if (entry === undefined) return unknownItem('item_truncate_invalid_item_id', 'item_id', id)
    if (entry.item.role !== 'assistant' || entry.sound?.kind !== 'assistant' || entry.sound.sentBytes === 0) {
      return { code: null, message: 'Only model output audio messages can be truncated', param: null }
    }
    if (contentIndex !== 0)
      return { code: 'invalid_value', message: `Item has no content at index ${contentIndex}.`, param: 'content_index' }
    const { sound } = entry
    const producedMs = Math.floor(sound.sentBytes / BYTES_PER_MS[sound.format])
    if (endMs > producedMs) {
      const message = `Audio content of ${producedMs}ms is already shorter than ${endMs}ms`
      return { code: 'invalid_value', message, param: 'audio_end_ms' }
    }
    sound.sentBytes = endMs * BYTES_PER_MS[sound.format]
    // The API does not know where in the text the cut falls: it forgets the whole transcript.
    entry.item.content = [{ type: 'output_audio', transcript: '' }]
    this.#textTokens -= entry.textTokens
    entry.textTokens = 0
    this.#countAudio(entry, Math.ceil(endMs / 50))
    return undefined
  }

  #countAudio(entry: Entry, tokens: number): void {
    this.#audioTokens += tokens - entry.audioTokens
    entry.audioTokens = tokens
  }

  #forget(id: string): void {
    const entry = this.#entries.get(id)!
    this.#entries.delete(id)
    this.#textTokens -= entry.textTokens
    this.#audioTokens -= entry.audioTokens
    if (this.#order[0] === id) this.#order.shift()
    else this.#order = this.#order.filter((other) => other !== id)
  }
}

/** About four characters are a token. */
export function textTokens(text: string): number {
  return Math.ceil(text.length / 4)
}

function countTextTokens(item: Item): number {
  const parts = [item.arguments, item.output ?? undefined, ...(item.content ?? []).map((part) => part.text)]
  return parts.reduce((sum, part) => sum + (part === undefined ? 0 : textTokens(part)), 0)
}

function soundBytes(sound: Sound): Buffer {
  if (sound.kind === 'caller') return sound.audio
  const whole = sound.probe === undefined ? sound.utterance.audio : Buffer.concat([sound.probe, sound.utterance.audio])
  return whole.subarray(0, sound.sentBytes)
}

function existsProblem(id: string): Problem {
  const message = `Error adding item: an item with the ID '${id}' already exists in the conversation.`
  return { code: 'item_create_duplicate_item_id', message, param: 'item.id' }
}

/** The problem of an id that names no item. */
export function unknownItem(code: string, param: string, id: string): Problem {
  return { code, message: `Item with item_id '${id}' does not exist.`, param }
}
