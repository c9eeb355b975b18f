// Playout: the agent's audio on its way to the caller, paced, and the ledger of what was heard. Pure: time comes in.
// Rules:
// PY1: models speak faster than real time; audio leaves at most `leadMs` ahead of a monotonic origin per utterance.
// PY2: the audio held is bounded by PLAYOUT_MAX_BYTES; beyond it new audio is dropped and counted, never old.
// PY3: what was heard is known from marks. Between two marks the clock may add at most what was sent after the first.
// PY4: after `clear` every mark of an older generation is void.
// PY5: the marks that are out are bounded by MARKS_MAX; beyond it no new mark is sent until one comes back.
// PY6: an item's heard position never exceeds what arrived of it, and is a whole number of milliseconds.
// PY7: what remains to be heard is over with the last mark. Where it stays away, LAST_MARK_MAX_MS after the clock's end: a line may be late before it has told
//      so by a first mark.

import { ByteQueue } from '../kit/byte-queue.ts'

export const BYTES_PER_MS = 8
/** Five minutes of µ-law. */
export const PLAYOUT_MAX_BYTES = 300_000 * BYTES_PER_MS
export const MARKS_MAX = 256
const ITEMS_MAX = 16
const FRAME_BYTES = 160
/** How much later than the clock says the last mark may come. */
export const LAST_MARK_MAX_MS = 1_500

export type PlayoutSettings = { leadMs: number; chunkMs: number; markEveryMs: number }

/** One piece to send now; its bytes are valid until the next piece is taken. */
export type PlayoutChunk = { ulaw: Uint8Array; mark: string | undefined; itemId: string }

/** How far one item got when playout was cleared. */
export type CutItem = { itemId: string; responseId: string; heardMs: number; receivedMs: number; isComplete: boolean }

type Item = {
  itemId: string
  responseId: string
  receivedBytes: number
  sentBytes: number
  playedBytes: number
  /** Monotonic ms at which `playedBytes` was known to be played (mark or first send). */
  playedAtMs: number
  isComplete: boolean
}

type Mark = { name: string; item: Item; upToBytes: number }

export class Playout {
  readonly #settings: PlayoutSettings
  #items: Item[] = []
  /** Whose bytes stand in the queue, in order. */
  #runs: { item: Item; bytes: number }[] = []
  readonly #queue = new ByteQueue()
  #marks: Mark[] = []
  #generation = 0
  #sequence = 0
  #originMs = 0
  #sentMs = 0
  #sinceMarkBytes = 0
  #isRunning = false

  constructor(settings: PlayoutSettings) {
    this.#settings = settings
  }

  /** Is there audio that the caller has not heard to its end, as far as is known? */
  get isPlaying(): boolean {
    return this.#items.length > 0
  }

  /** Takes audio of an item. Returns false when the bound made it drop (PY2). */
  push(responseId: string, itemId: string, bytes: Uint8Array): boolean {
    if (bytes.length === 0) return true
    let item = this.#items[this.#items.length - 1]
    if (item?.itemId !== itemId) {
      item = this.#items.find((other) => other.itemId === itemId) ?? this.#open(responseId, itemId)
    }
    if (this.#queue.length + bytes.length > PLAYOUT_MAX_BYTES) return false
    item.receivedBytes += bytes.length
    item.isComplete = false
    const last = this.#runs[this.#runs.length - 1]
    if (last?.item === item) last.bytes += bytes.length
    else this.#runs.push({ item, bytes: bytes.length })
    this.#queue.push(bytes)
    return true
  }

  /** No more audio of this item will come. */
  complete(itemId: string): void {
    const item = this.#items.find((other) => other.itemId === itemId)
    if (item === undefined) return
    item.isComplete = true
    this.#forget()
  }

  /** When the next piece is due (monotonic ms), undefined when nothing waits. */
  nextDueMs(nowMs: number): number | undefined {
    if (this.#queue.length === 0) return undefined
    if (!this.#isRunning) return nowMs
    return (
      this.#originMs +
      this.#sentMs -
      this.#settings.leadMs +
      Math.min(this.#settings.chunkMs, this.#queue.length / BYTES_PER_MS)
    )
  }

  /** The piece that is due, undefined when it is too early or nothing waits. */
  take(nowMs: number): PlayoutChunk | undefined {
    if (this.#queue.length === 0) return undefined
    if (!this.#isRunning || nowMs >= this.#originMs + this.#sentMs) {
      // The carrier has run dry (or never had anything): a new utterance with a new origin.
      this.#isRunning = true
      this.#originMs = nowMs
      this.#sentMs = 0
      this.#sinceMarkBytes = 0
    }
    const roomMs = nowMs - this.#originMs + this.#settings.leadMs - this.#sentMs
    const heldMs = this.#queue.length / BYTES_PER_MS
    if (roomMs < Math.min(this.#settings.chunkMs, heldMs)) return undefined
    const wanted = Math.max(FRAME_BYTES, Math.floor(roomMs / 20) * FRAME_BYTES)
    return this.#cut(wanted, nowMs)
  }

  /** A mark came back from the carrier. */
  onMark(name: string, nowMs: number): 'played' | 'void' | 'unknown' {
    const at = this.#marks.findIndex((mark) => mark.name === name)
    if (at < 0) return name.startsWith('vp:') && Number(name.split(':')[1]) < this.#generation ? 'void' : 'unknown'
    // Marks come back in order: those before this one were played too, even if their echo was lost.
    for (const { item, upToBytes } of this.#marks.splice(0, at + 1)) {
      item.playedBytes = Math.max(item.playedBytes, upToBytes)
      item.playedAtMs = nowMs
    }
    this.#forget()
    return 'played'
  }

  /** Drops everything that is unheard; says how far each item got. Later marks of today's generation are void. */
  clear(nowMs: number): CutItem[] {
    const cut = this.#items.map((item) => ({
      itemId: item.itemId,
      responseId: item.responseId,
      heardMs: this.#heardMs(item, nowMs),
      receivedMs: Math.floor(item.receivedBytes / BYTES_PER_MS),
      isComplete: item.isComplete,
    }))
    this.#items = []
    this.#runs = []
    this.#queue.clear()
    this.#marks = []
    this.#generation += 1
    this.#isRunning = false
    return cut
  }

  /** What is left to hear of everything sent or held, in ms, by marks and clock; an upper bound while the last mark is out. [PY7] */
  remainingMs(nowMs: number): number {
    let ms = 0
    for (const item of this.#items) ms += item.receivedBytes / BYTES_PER_MS - this.#heardMs(item, nowMs)
    if (ms > 0 || this.#marks.length === 0) return Math.max(0, Math.ceil(ms))
    const lateMs = nowMs - (this.#originMs + this.#sentMs)
    return Math.max(0, Math.ceil(LAST_MARK_MAX_MS - lateMs))
  }

  #open(responseId: string, itemId: string): Item {
    const item: Item = {
      itemId,
      responseId,
      receivedBytes: 0,
      sentBytes: 0,
      playedBytes: 0,
      playedAtMs: 0,
      isComplete: false,
    }
    this.#items.push(item)
    if (this.#items.length > ITEMS_MAX) this.#items.shift()
    return item
  }

  #heardMs(item: Item, nowMs: number): number {
    if (item.sentBytes === 0) return 0
    const sinceMs = Math.max(0, nowMs - item.playedAtMs)
    const heardBytes = Math.min(item.sentBytes, item.playedBytes + sinceMs * BYTES_PER_MS)
    return Math.floor(Math.min(heardBytes, item.receivedBytes) / BYTES_PER_MS)
  }

  /** Takes up to `wanted` bytes, all of one item, off the front. */
  #cut(wanted: number, nowMs: number): PlayoutChunk {
    const run = this.#runs[0]!
    const { item } = run
    const chunk = this.#queue.shift(Math.min(wanted, run.bytes))
    run.bytes -= chunk.length
    if (run.bytes === 0) this.#runs.shift()
    // Played from now on, or from when what was sent before it has been played: a pause of the model is not heard audio.
    const startMs = Math.max(nowMs, this.#originMs + this.#sentMs)
    item.playedAtMs = Math.max(item.playedAtMs, startMs - (item.sentBytes - item.playedBytes) / BYTES_PER_MS)
    item.sentBytes += chunk.length
    this.#sentMs += chunk.length / BYTES_PER_MS
    this.#sinceMarkBytes += chunk.length
    const isLast = item.sentBytes === item.receivedBytes && (item.isComplete || this.#queue.length === 0)
    return { ulaw: chunk, mark: this.#mark(item, isLast), itemId: item.itemId }
  }

  #mark(item: Item, isLast: boolean): string | undefined {
    if (!isLast && this.#sinceMarkBytes < this.#settings.markEveryMs * BYTES_PER_MS) return undefined
    if (this.#marks.length >= MARKS_MAX) return undefined
    this.#sinceMarkBytes = 0
    this.#sequence += 1
    const name = `vp:${this.#generation}:${this.#sequence}`
    this.#marks.push({ name, item, upToBytes: item.sentBytes })
    return name
  }

  /** Items that were heard to their end leave the ledger. */
  #forget(): void {
    while (this.#items.length > 0) {
      const item = this.#items[0]!
      if (!item.isComplete || item.playedBytes < item.receivedBytes) return
      this.#items.shift()
    }
  }
}
