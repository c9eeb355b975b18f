// Between a leg that speaks µ-law (8 kHz) and a model that speaks PCM16 (24 kHz, little-endian), in one pass.
// Rules:
// UP1: byte order is little-endian whatever the machine's is.
// UP2: a push may end in the middle of a sample: the odd byte waits for the next push.
// UP3: the output buffer is the caller's; one that is too small is a bug and throws before anything is written.
import { PCM_TO_ULAW, ULAW_TO_PCM } from './g711.ts'
import { RATIO } from './lowpass.ts'
import {
  BLOCK_SAMPLES,
  DOWNWARD_DELAY_SAMPLES,
  Downsampler,
  RESULT,
  UPWARD_DELAY_SAMPLES,
  Upsampler,
} from './resample.ts'

/** PCM bytes at 24 kHz for each µ-law byte. */
export const PCM24K_BYTES_PER_ULAW = 2 * RATIO
/** The most bytes `UlawToPcm24k.flush` writes. */
export const UPWARD_FLUSH_BYTES = PCM24K_BYTES_PER_ULAW * UPWARD_DELAY_SAMPLES
/** The most bytes `Pcm24kToUlaw.flush` writes. */
export const DOWNWARD_FLUSH_BYTES = DOWNWARD_DELAY_SAMPLES + 1

/** Caller to model. One object per call. */
export class UlawToPcm24k {
  #upsampler = new Upsampler()

  /** Writes 6 bytes for each byte of `ulaw`, from `outOffset` on; returns the bytes written. */
  push(ulaw: Uint8Array, out: Buffer, outOffset: number): number {
    requireRoom(PCM24K_BYTES_PER_ULAW * ulaw.length, out, outOffset)
    let to = outOffset
    for (let from = 0; from < ulaw.length; from += BLOCK_SAMPLES) {
      const count = Math.min(BLOCK_SAMPLES, ulaw.length - from)
      const work = this.#upsampler.begin()
      for (let i = 0, at = this.#upsampler.start; i < count; i += 1) work[at + i] = ULAW_TO_PCM[ulaw[from + i]!]!
      to = writePcm(this.#upsampler.run(count), out, to)
    }
    return to - outOffset
  }

  /** Ends an utterance: writes the 72 bytes (1.5 ms) that the filter still holds, and forgets the past. */
  flush(out: Buffer, outOffset: number): number {
    requireRoom(UPWARD_FLUSH_BYTES, out, outOffset)
    const work = this.#upsampler.begin()
    work.fill(0, this.#upsampler.start, this.#upsampler.start + UPWARD_DELAY_SAMPLES)
    const end = writePcm(this.#upsampler.run(UPWARD_DELAY_SAMPLES), out, outOffset)
    this.#upsampler = new Upsampler()
    return end - outOffset
  }
}

/** Model to caller. One object per call. */
export class Pcm24kToUlaw {
  #downsampler = new Downsampler()
  /** The low byte of a sample whose high byte has not come yet. */
  #oddByte = -1

  /** µ-law bytes that a push of `pcmBytes` will write. */
  outputBytes(pcmBytes: number): number {
    return this.#downsampler.outputSamples((pcmBytes + (this.#oddByte < 0 ? 0 : 1)) >> 1)
  }

  /** Writes one byte for each 6 bytes of `pcm`, from `outOffset` on; returns the bytes written. */
  push(pcm: Uint8Array, out: Buffer, outOffset: number): number {
    requireRoom(this.outputBytes(pcm.length), out, outOffset)
    let to = outOffset
    let from = 0
    while (from < pcm.length) {
      const work = this.#downsampler.begin()
      const start = this.#downsampler.start
      let count = 0
      if (this.#oddByte >= 0) {
        work[start] = this.#oddByte | ((pcm[from]! << 24) >> 16)
        this.#oddByte = -1
        count = 1
        from += 1
      }
      const most = Math.min(RATIO * BLOCK_SAMPLES, count + ((pcm.length - from) >> 1))
      for (; count < most; count += 1, from += 2) work[start + count] = pcm[from]! | ((pcm[from + 1]! << 24) >> 16)
      if (pcm.length - from === 1) {
        this.#oddByte = pcm[from]!
        from += 1
      }
      to = writeUlaw(this.#downsampler.run(count), out, to)
    }
    return to - outOffset
  }

  /** Ends an utterance: writes the 11 or 12 bytes that the filter still holds, and forgets the past and any odd byte. */
  flush(out: Buffer, outOffset: number): number {
    requireRoom(DOWNWARD_FLUSH_BYTES, out, outOffset)
    const rest = new Int16Array(DOWNWARD_FLUSH_BYTES)
    const count = this.#downsampler.flush(rest)
    this.#oddByte = -1
    for (let i = 0; i < count; i += 1) out[outOffset + i] = PCM_TO_ULAW[rest[i]! & 0xffff]!
    return count
  }
}

function writePcm(count: number, out: Buffer, outOffset: number): number {
  let to = outOffset
  for (let i = 0; i < count; i += 1, to += 2) {
    const sample = RESULT[i]!
    out[to] = sample
    out[to + 1] = sample >> 8
  }
  return to
}

function writeUlaw(count: number, out: Buffer, outOffset: number): number {
  for (let i = 0; i < count; i += 1) out[outOffset + i] = PCM_TO_ULAW[RESULT[i]! & 0xffff]!
  return outOffset + count
}

function requireRoom(neededBytes: number, out: Buffer, outOffset: number): void {
  const availableBytes = out.length - outOffset
  if (outOffset < 0 || availableBytes < neededBytes) {
    throw new RangeError(`${neededBytes} bytes do not fit the ${availableBytes} of the output`)
  }
}
