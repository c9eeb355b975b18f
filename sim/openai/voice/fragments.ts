// Spoken sentences cut into audio deltas, made once and shared by all sessions. Rules:
// V1: one utterance a text, format and chunk law; the deltas are kept as ready base64, the words beside them as ready JSON.
// V2: sizes follow the chunk law: a small first delta, then sizes drawn (repeatably, from the text) between two bounds.
// V3: at most UTTERANCES_MAX are kept; the least recently used goes.
import { decodeUlaw, ulawToAlaw } from '../../speech/g711.ts'
import { from8k } from '../../speech/resample.ts'
import type { Speech } from '../../speech/speech.ts'

const UTTERANCES_MAX = 1_024

export type AudioFormat = 'audio/pcmu' | 'audio/pcma' | 'audio/pcm'

/** Bytes of one millisecond of sound. */
export const BYTES_PER_MS: Record<AudioFormat, number> = { 'audio/pcmu': 8, 'audio/pcma': 8, 'audio/pcm': 48 }

/** How long the deltas are, in ms; `alignBytes` 1 gives sizes that fit no frame. */
export type ChunkLaw = { firstMs: number; minMs: number; maxMs: number; alignBytes: number }

/** One delta: `audio` is base64 followed by `"}`, `words` the transcript piece as a JSON string with quotes. */
export type Fragment = { audio: string; startByte: number; bytes: number; words: string }

export type Utterance = { text: string; format: AudioFormat; audio: Buffer; fragments: Fragment[] }

export class VoiceBank {
  readonly #speech: Speech
  readonly #law: ChunkLaw
  readonly #kept = new Map<string, Promise<Utterance>>()

  constructor(speech: Speech, law: ChunkLaw) {
    this.#speech = speech
    this.#law = law
  }

  /** The deltas that say `text` in `format`. */
  utterance(text: string, format: AudioFormat): Promise<Utterance> {
    const key = `${format}|${text}`
    const known = this.#kept.get(key)
    const utterance = known ?? this.#make(text, format)
    this.#kept.delete(key)
    this.#kept.set(key, utterance)
    if (known === undefined) utterance.catch(() => this.#kept.delete(key))
    if (this.#kept.size > UTTERANCES_MAX) this.#kept.delete(this.#kept.keys().next().value!)
    return utterance
  }

  async #make(text: string, format: AudioFormat): Promise<Utterance> {
    const clip = await this.#speech.say(text)
    const audio = encode(clip.ulaw, format)
    return { text, format, audio, fragments: cut(audio, text, format, this.#law) }
  }
}

function encode(ulaw: Buffer, format: AudioFormat): Buffer {
  if (format === 'audio/pcmu') return ulaw
  if (format === 'audio/pcma') return ulawToAlaw(ulaw)
  const samples = from8k(decodeUlaw(ulaw), 3)
  return Buffer.from(samples.buffer, samples.byteOffset, samples.byteLength)
}

/** Cuts encoded audio by the law; exported for the tests of the law. */
function cut(audio: Buffer, text: string, format: AudioFormat, law: ChunkLaw): Fragment[] {
  const random = randomFrom(text)
  const sizes: number[] = []
  for (let left = audio.length; left > 0; ) {
    const ms = sizes.length === 0 ? law.firstMs : law.minMs + random() * (law.maxMs - law.minMs)
    const align = format === 'audio/pcm' && law.alignBytes === 1 ? 2 : law.alignBytes
    const size = Math.min(left, Math.max(align, Math.round((ms * BYTES_PER_MS[format]) / align) * align))
    sizes.push(size)
    left -= size
  }
  const words = spread(text, sizes.length)
  let startByte = 0
  return sizes.map((bytes, i) => {
    const slice = audio.toString('base64', startByte, startByte + bytes)
    const fragment = { audio: `${slice}"}`, startByte, bytes, words: JSON.stringify(words[i]) }
    startByte += bytes
    return fragment
  })
}

/** Deals the words of a text over `parts` pieces that join to the text; the words lead the sound a little, as the API's do. */
function spread(text: string, parts: number): string[] {
  const words = text.match(/\s*\S+/g) ?? [text]
  const pieces: string[] = []
  for (let i = 0; i < parts; i++) {
    const from = Math.ceil((words.length * i) / parts)
    const to = i === parts - 1 ? words.length : Math.ceil((words.length * (i + 1)) / parts)
    pieces.push(words.slice(from, to).join(''))
  }
  return pieces
}

/** Numbers in [0, 1) that follow from the text, so that a run can be repeated. */
function randomFrom(text: string): () => number {
  let state = 2166136261
  for (let i = 0; i < text.length; i++) state = Math.imul(state ^ text.charCodeAt(i), 16777619)
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0
    return (state >>> 8) / 0x1000000
  }
}
