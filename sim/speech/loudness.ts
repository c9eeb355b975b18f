// Where the sound in a clip is. Rules:
// L1: a 10 ms window is audible when its RMS exceeds AUDIBLE_RMS (about -42 dB of full scale).
// L2: the end of speech is the end of the last audible window, not the end of the file.
import { ULAW_SQUARES } from './g711.ts'

const WINDOW_BYTES = 80
const AUDIBLE_RMS = 260

/** Milliseconds from the start of an 8 kHz µ-law clip to the end of its last audible 10 ms; 0 when it is silent. */
export function speechEndMs(ulaw: Uint8Array): number {
  for (let start = Math.floor((ulaw.length - 1) / WINDOW_BYTES) * WINDOW_BYTES; start >= 0; start -= WINDOW_BYTES) {
    const end = Math.min(start + WINDOW_BYTES, ulaw.length)
    if (rootMeanSquare(ulaw, start, end) > AUDIBLE_RMS) return Math.ceil(end / 8)
  }
  return 0
}

/** RMS of `ulaw[start, end)` on the 16-bit scale. */
export function rootMeanSquare(ulaw: Uint8Array, start = 0, end = ulaw.length): number {
  if (end <= start) return 0
  let sum = 0
  for (let i = start; i < end; i++) sum += ULAW_SQUARES[ulaw[i]!]!
  return Math.sqrt(sum / (end - start))
}
