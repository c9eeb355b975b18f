// ITU-T G.711, both laws, by table. Rules:
// GL1: a sample is 16-bit signed; µ-law uses its upper 14 bits, A-law its upper 13.
// GL2: silence is 0xFF in µ-law and 0xD5 in A-law. A buffer of zeros is a loud tone's peak, not silence.
// GL3: encode tables are indexed by the sample's low 16 bits (`x & 0xffff`), so a lookup needs no branch.

/** µ-law code of digital silence (+0). */
export const ULAW_SILENCE = 0xff
/** A-law code of digital silence (the smallest positive step). */
export const ALAW_SILENCE = 0xd5

const ULAW_BIAS = 132
const ULAW_CLIP = 32_635
const ALAW_CLIP = 32_767

/** 16-bit sample of each µ-law code. */
export const ULAW_TO_PCM: Int16Array = decodeTable(ulawToSample)
/** 16-bit sample of each A-law code. */
export const ALAW_TO_PCM: Int16Array = decodeTable(alawToSample)
/** µ-law code of each sample; index `x & 0xffff`. */
export const PCM_TO_ULAW: Uint8Array = encodeTable(sampleToUlaw)
/** A-law code of each sample; index `x & 0xffff`. */
export const PCM_TO_ALAW: Uint8Array = encodeTable(sampleToAlaw)

/** Decodes µ-law bytes into `samples`; returns the samples written (one per byte). */
export function decodeUlaw(ulaw: Uint8Array, samples: Int16Array): number {
  return decode(ULAW_TO_PCM, ulaw, samples)
}

/** Encodes 16-bit samples as µ-law into `ulaw`; returns the bytes written (one per sample). */
export function encodeUlaw(samples: Int16Array, ulaw: Uint8Array): number {
  return encode(PCM_TO_ULAW, samples, ulaw)
}

/** Decodes A-law bytes into `samples`; returns the samples written (one per byte). */
export function decodeAlaw(alaw: Uint8Array, samples: Int16Array): number {
  return decode(ALAW_TO_PCM, alaw, samples)
}

/** Encodes 16-bit samples as A-law into `alaw`; returns the bytes written (one per sample). */
export function encodeAlaw(samples: Int16Array, alaw: Uint8Array): number {
  return encode(PCM_TO_ALAW, samples, alaw)
}

function decode(table: Int16Array, codes: Uint8Array, samples: Int16Array): number {
  const count = codes.length
  if (samples.length < count) throw new RangeError(`${count} codes do not fit ${samples.length} samples`)
  for (let i = 0; i < count; i += 1) samples[i] = table[codes[i]!]!
  return count
}

function encode(table: Uint8Array, samples: Int16Array, codes: Uint8Array): number {
  const count = samples.length
  if (codes.length < count) throw new RangeError(`${count} samples do not fit ${codes.length} bytes`)
  for (let i = 0; i < count; i += 1) codes[i] = table[samples[i]! & 0xffff]!
  return count
}

function decodeTable(toSample: (code: number) => number): Int16Array {
  return Int16Array.from({ length: 256 }, (_, code) => toSample(code))
}

function encodeTable(toCode: (sample: number) => number): Uint8Array {
  return Uint8Array.from({ length: 65_536 }, (_, index) => toCode((index << 16) >> 16))
}

function sampleToUlaw(sample: number): number {
  const magnitude = Math.min(Math.abs(sample), ULAW_CLIP) + ULAW_BIAS
  const exponent = 31 - Math.clz32(magnitude) - 7
  const mantissa = (magnitude >> (exponent + 3)) & 0x0f
  return ~((sample < 0 ? 0x80 : 0) | (exponent << 4) | mantissa) & 0xff
}

function ulawToSample(code: number): number {
  const bits = ~code & 0xff
  const magnitude = ((((bits & 0x0f) << 3) + ULAW_BIAS) << ((bits >> 4) & 7)) - ULAW_BIAS
  return (bits & 0x80) === 0 ? magnitude : -magnitude
}

function sampleToAlaw(sample: number): number {
  // Negative samples are folded at -1, so that -1 is the smallest negative step and not a copy of +1.
  const magnitude = Math.min(sample < 0 ? ~sample : sample, ALAW_CLIP) >> 4
  const exponent = magnitude < 32 ? (magnitude < 16 ? 0 : 1) : 31 - Math.clz32(magnitude) - 3
  const mantissa = exponent === 0 ? magnitude : (magnitude >> (exponent - 1)) & 0x0f
  return ((sample < 0 ? 0 : 0x80) | (exponent << 4) | mantissa) ^ 0x55
}

function alawToSample(code: number): number {
  const bits = code ^ 0x55
  const exponent = (bits >> 4) & 7
  const step = ((bits & 0x0f) << 4) + 8
  const magnitude = exponent === 0 ? step : (step + 0x100) << (exponent - 1)
  return (bits & 0x80) === 0 ? -magnitude : magnitude
}
