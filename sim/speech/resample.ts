// Change of sample rate by a whole factor, a clip at a time (not streaming). Rules:
// R1: a low-pass comes before the samples are dropped, so that sibilants do not fold into the speech band.
// R2: the filter is linear-phase and its delay is taken out: a clip keeps its place in time.
// R3: the result is saturated to 16 bits.

const TAPS_PER_FACTOR = 24
const KAISER_BETA = 5.653
const filters = new Map<number, Float64Array>()

/** Brings a clip down to 8 kHz; `rateHz` must be 8000 times a whole number from 1 to 6. */
export function to8k(samples: Int16Array, rateHz: number): Int16Array {
  const factor = rateHz / 8000
  if (!Number.isInteger(factor) || factor < 1 || factor > 6) throw new Error(`cannot bring ${rateHz} Hz to 8 kHz`)
  if (factor === 1) return samples
  const taps = lowPass(factor)
  const half = (taps.length - 1) / 2
  const out = new Int16Array(Math.ceil(samples.length / factor))
  for (let i = 0; i < out.length; i++) {
    const centre = i * factor
    const from = Math.max(0, centre - half)
    const to = Math.min(samples.length - 1, centre + half)
    let sum = 0
    for (let j = from; j <= to; j++) sum += samples[j]! * taps[j - centre + half]!
    out[i] = saturate(sum)
  }
  return out
}

/** Raises an 8 kHz clip to 8000 times `factor` Hz, with the images filtered away. */
export function from8k(samples: Int16Array, factor: number): Int16Array {
  if (!Number.isInteger(factor) || factor < 1 || factor > 6) throw new Error(`cannot raise 8 kHz by ${factor}`)
  if (factor === 1) return samples
  const taps = lowPass(factor)
  const half = (taps.length - 1) / 2
  const out = new Int16Array(samples.length * factor)
  for (let i = 0; i < out.length; i++) {
    // Only each `factor`-th sample of the stuffed signal is not zero.
    const first = Math.max(0, Math.ceil((i - half) / factor))
    const last = Math.min(samples.length - 1, Math.floor((i + half) / factor))
    let sum = 0
    for (let j = first; j <= last; j++) sum += samples[j]! * taps[j * factor - i + half]!
    out[i] = saturate(sum * factor)
  }
  return out
}

/** Kaiser-windowed sinc with its cutoff a little under 4 kHz at 8000 × `factor` Hz, unity gain. */
function lowPass(factor: number): Float64Array {
  const known = filters.get(factor)
  if (known !== undefined) return known
  const half = (TAPS_PER_FACTOR * factor) / 2
  const taps = new Float64Array(2 * half + 1)
  const cutoff = 0.48 / factor // in cycles a sample: 3.84 kHz
  let total = 0
  for (let i = 0; i < taps.length; i++) {
    const x = i - half
    const sinc = x === 0 ? 2 * cutoff : Math.sin(2 * Math.PI * cutoff * x) / (Math.PI * x)
    taps[i] = sinc * (bessel(KAISER_BETA * Math.sqrt(1 - (x / half) ** 2)) / bessel(KAISER_BETA))
    total += taps[i]!
  }
  for (let i = 0; i < taps.length; i++) taps[i] = taps[i]! / total
  filters.set(factor, taps)
  return taps
}

/** Modified Bessel function of the first kind, order zero, by its series. */
function bessel(x: number): number {
  let term = 1
  let sum = 1
  for (let k = 1; k < 40; k++) {
    term *= (x / (2 * k)) ** 2
    sum += term
  }
  return sum
}

function saturate(value: number): number {
  return Math.max(-32768, Math.min(32767, Math.round(value)))
}
