// ITU-T G.711 µ-law by table: the law of every stream of the carrier. Rules:
// GL1: a sample is 16-bit signed; µ-law uses its upper 14 bits.
// GL2: silence is 0xFF. A buffer of zeros is a loud tone's peak, not silence.
// GL3: encode tables are indexed by the sample's low 16 bits (`x & 0xffff`), so a lookup needs no branch.

/** µ-law code of digital silence (+0). */
export const ULAW_SILENCE = 0xff

const ULAW_BIAS = 132
const ULAW_CLIP = 32_635

/** 16-bit sample of each µ-law code. */
export const ULAW_TO_PCM: Int16Array = Int16Array.from({ length: 256 }, (_, code) => ulawToSample(code))
/** µ-law code of each sample; index `x & 0xffff`. */
export const PCM_TO_ULAW: Uint8Array = Uint8Array.from({ length: 65_536 }, (_, index) =>
  sampleToUlaw((index << 16) >> 16),
)

/** Decodes µ-law bytes into `samples`; returns the samples written (one per byte). */
export function decodeUlaw(ulaw: Uint8Array, samples: Int16Array): number {
  const count = ulaw.length
  if (samples.length < count) throw new RangeError(`${count} codes do not fit ${samples.length} samples`)
  for (let i = 0; i < count; i += 1) samples[i] = ULAW_TO_PCM[ulaw[i]!]!
  return count
}

/** Encodes 16-bit samples as µ-law into `ulaw`; returns the bytes written (one per sample). */
export function encodeUlaw(samples: Int16Array, ulaw: Uint8Array): number {
  const count = samples.length
  if (ulaw.length < count) throw new RangeError(`${count} samples do not fit ${ulaw.length} bytes`)
  for (let i = 0; i < count; i += 1) ulaw[i] = PCM_TO_ULAW[samples[i]! & 0xffff]!
  return count
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
