// G.711 companding by table. Rules:
// G1: µ-law silence is 0xFF (never 0x00, which is full scale); A-law silence is 0xD5.
// G2: encoding is one lookup a sample (65,536 entries), decoding one of 256.
// G3: energy of µ-law is read from a table of squares, without decoding to PCM.

const BIAS = 132
const CLIP = 32635

/** The µ-law code of silence. */
export const ULAW_SILENCE = 0xff

/** Linear 16-bit value of each µ-law code. */
export const ULAW_TO_LINEAR = Int16Array.from({ length: 256 }, (_, code) => decodeUlawCode(code))

/** Linear 16-bit value of each A-law code. */
export const ALAW_TO_LINEAR = Int16Array.from({ length: 256 }, (_, code) => decodeAlawCode(code))

/** Square of the linear value of each µ-law code, as a double (a sum over seconds stays exact). */
export const ULAW_SQUARES = Float64Array.from(ULAW_TO_LINEAR, (sample) => sample * sample)

/** Square of the linear value of each A-law code. */
export const ALAW_SQUARES = Float64Array.from(ALAW_TO_LINEAR, (sample) => sample * sample)

/** µ-law code of each linear value, indexed by the value as an unsigned 16-bit number. */
export const LINEAR_TO_ULAW = Uint8Array.from({ length: 65536 }, (_, word) => encodeUlawSample((word << 16) >> 16))

/** A-law code of each µ-law code, through the linear value. */
export const ULAW_TO_ALAW = Uint8Array.from(ULAW_TO_LINEAR, (sample) => encodeAlawSample(sample))

/** Encodes linear samples; values beyond 16 bits must have been saturated before. */
export function encodeUlaw(samples: Int16Array): Buffer {
  const codes = Buffer.allocUnsafe(samples.length)
  for (let i = 0; i < samples.length; i++) codes[i] = LINEAR_TO_ULAW[samples[i]! & 0xffff]!
  return codes
}

/** Decodes µ-law codes to linear 16-bit samples. */
export function decodeUlaw(codes: Uint8Array): Int16Array {
  const samples = new Int16Array(codes.length)
  for (let i = 0; i < codes.length; i++) samples[i] = ULAW_TO_LINEAR[codes[i]!]!
  return samples
}

/** Re-codes µ-law as A-law. */
export function ulawToAlaw(codes: Uint8Array): Buffer {
  const out = Buffer.allocUnsafe(codes.length)
  for (let i = 0; i < codes.length; i++) out[i] = ULAW_TO_ALAW[codes[i]!]!
  return out
}

function decodeUlawCode(code: number): number {
  const bits = ~code & 0xff
  const magnitude = (((bits & 0x0f) << 3) + BIAS) << ((bits >> 4) & 0x07)
  return bits & 0x80 ? BIAS - magnitude : magnitude - BIAS
}

function encodeUlawSample(sample: number): number {
  const sign = sample < 0 ? 0x80 : 0
  const biased = Math.min(Math.abs(sample), CLIP) + BIAS
  const exponent = 24 - Math.clz32(biased)
  const mantissa = (biased >> (exponent + 3)) & 0x0f
  return ~(sign | (exponent << 4) | mantissa) & 0xff
}

function decodeAlawCode(code: number): number {
  const bits = code ^ 0x55
  const exponent = (bits >> 4) & 0x07
  const step = ((bits & 0x0f) << 4) + 8
  const magnitude = exponent === 0 ? step : (step + 0x100) << (exponent - 1)
  return bits & 0x80 ? magnitude : -magnitude
}

function encodeAlawSample(sample: number): number {
  const isNegative = sample < 0
  const magnitude = Math.min(isNegative ? -sample - 1 : sample, 32767)
  const exponent = magnitude < 256 ? 0 : 24 - Math.clz32(magnitude)
  const mantissa = (magnitude >> (exponent === 0 ? 4 : exponent + 3)) & 0x0f
  return ((isNegative ? 0 : 0x80) | (exponent << 4) | mantissa) ^ 0x55
}
