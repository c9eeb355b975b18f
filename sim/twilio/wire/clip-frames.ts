// A clip cut into 20 ms frames, ready for the wire.
// C1: a frame is 160 bytes of µ-law, 216 characters of base64; the last frame is filled up with silence (0xFF).
// C2: the base64 text is kept masked for each of the four alignments to the mask, so sending a frame is one copy.

import { MASK } from './frame.ts'

export const FRAME_BYTES = 160
export const FRAME_MS = 20
export const FRAME_BASE64_CHARS = 216
/** µ-law magnitude (linear, 16-bit scale) from which a sample counts as audible. */
const AUDIBLE_LEVEL = 400
/** Samples of a frame that must reach the level before the frame counts as audible. */
const AUDIBLE_SAMPLES = 4

/** What a caller says: 8 kHz µ-law. `speechEndMs` is where the last audible sound ends. */
export type SpokenClip = { name: string; ulaw: Buffer; ms: number; speechEndMs: number }

const IS_LOUD = new Uint8Array(256)
for (let code = 0; code < 256; code++) {
  const u = ~code & 0xff
  const magnitude = ((((u & 0x0f) << 3) + 0x84) << ((u >> 4) & 7)) - 0x84
  IS_LOUD[code] = magnitude >= AUDIBLE_LEVEL ? 1 : 0
}

/** Whether a stretch of µ-law bytes holds audible sound. */
export function isAudible(ulaw: Buffer, start: number, end: number): boolean {
  let loud = 0
  for (let i = start; i < end; i++) {
    loud += IS_LOUD[ulaw[i]!]!
    if (loud >= AUDIBLE_SAMPLES) return true
  }
  return false
}

export class ClipFrames {
  readonly name: string
  readonly count: number
  readonly ulaw: Buffer
  /** Index of the first audible frame; 0 when the clip has none. */
  readonly firstAudible: number
  /** Index of the frame in which the audible speech ends. */
  readonly speechEnd: number
  private readonly masked: (Buffer | undefined)[] = [undefined, undefined, undefined, undefined]

  constructor(clip: SpokenClip) {
    this.name = clip.name
    this.count = Math.max(1, Math.ceil(clip.ulaw.length / FRAME_BYTES))
    this.ulaw = Buffer.alloc(this.count * FRAME_BYTES, 0xff)
    clip.ulaw.copy(this.ulaw)
    let first = 0
    while (first < this.count && !isAudible(this.ulaw, first * FRAME_BYTES, (first + 1) * FRAME_BYTES)) first++
    this.firstAudible = first === this.count ? 0 : first
    const end = Math.ceil(clip.speechEndMs / FRAME_MS) - 1
    this.speechEnd = Math.min(this.count - 1, Math.max(this.firstAudible, end))
  }

  /** All frames' base64 masked for payloads that begin at `alignment` (0–3) of the mask; 216 bytes a frame. */
  maskedFor(alignment: number): Buffer {
    const known = this.masked[alignment]
    if (known !== undefined) return known
    const text = Buffer.allocUnsafe(this.count * FRAME_BASE64_CHARS)
    for (let i = 0; i < this.count; i++) {
      text.write(this.base64(i), i * FRAME_BASE64_CHARS, 'latin1')
    }
    for (let i = 0; i < text.length; i++) text[i]! ^= MASK[(i + alignment) & 3]!
    this.masked[alignment] = text
    return text
  }

  /** One frame as base64 text. */
  base64(index: number): string {
    return this.ulaw.toString('base64', index * FRAME_BYTES, (index + 1) * FRAME_BYTES)
  }
}

const CACHE = new WeakMap<Buffer, ClipFrames>()

/** The frames of a clip, cut once per clip and process. */
export function framesOf(clip: SpokenClip): ClipFrames {
  const known = CACHE.get(clip.ulaw)
  if (known !== undefined) return known
  const frames = new ClipFrames(clip)
  CACHE.set(clip.ulaw, frames)
  return frames
}

/** One frame of silence. */
export const SILENCE: ClipFrames = new ClipFrames({
  name: 'silence',
  ulaw: Buffer.alloc(FRAME_BYTES, 0xff),
  ms: FRAME_MS,
  speechEndMs: 0,
})
