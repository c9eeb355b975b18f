// The low-pass filter between 8 kHz and 24 kHz. Rules:
// LP1: windowed sinc (Kaiser), cut off at 4 kHz: every third tap but the middle one is zero, which halves the work
//     downward and makes one of the three upward phases a plain copy.
// LP2: 71 taps with β 5.3 pass 3.4 kHz within 0.01 dB and hold everything from 4.6 kHz on below -56 dB; the delay is
//     35 samples of 24 kHz (1.46 ms). 59 taps hold only -47 dB at 4.6 kHz, too little for the images upward.

/** Samples at 24 kHz for each sample at 8 kHz. */
export const RATIO = 3
/** Taps on each side of the middle one. Not a multiple of RATIO, so that the outermost taps are not zero. */
export const REACH_TAPS = 35
const KAISER_BETA = 5.3

/** One side of the filter: tap k stands k samples of 24 kHz from the middle; tap 0 is the middle. Sums to 1 over both sides. */
export function designLowpass(): Float64Array {
  const taps = Float64Array.from({ length: REACH_TAPS + 1 }, (_, k) => sinc(k / RATIO) * kaiser(k / REACH_TAPS))
  let sum = -taps[0]!
  for (const tap of taps) sum += 2 * tap
  return taps.map((tap) => tap / sum)
}

/**
 * The taps of upward phase 1 (one third of the way from an 8 kHz sample to the next), in order of time; phase 2 is
 * the same in reverse. Scaled to sum to 1, so that a constant stays constant.
 */
export function designUpwardPhase(): Float64Array {
  const lowpass = designLowpass()
  const phase: number[] = []
  for (let k = REACH_TAPS - 1; k >= -REACH_TAPS; k -= RATIO) phase.push(lowpass[Math.abs(k)]!)
  const sum = phase.reduce((a, b) => a + b, 0)
  return Float64Array.from(phase, (tap) => tap / sum)
}

function sinc(x: number): number {
  // Multiples of 1 are zero by definition; the sine would leave a rest of 1e-17.
  if (x === 0) return 1
  return Number.isInteger(x) ? 0 : Math.sin(Math.PI * x) / (Math.PI * x)
}

function kaiser(position: number): number {
  return bessel(KAISER_BETA * Math.sqrt(1 - position * position)) / bessel(KAISER_BETA)
}

/** Modified Bessel function of the first kind, order 0, by its series. */
function bessel(x: number): number {
  let sum = 1
  let term = 1
  for (let k = 1; k < 32; k += 1) {
    term *= (x / 2 / k) ** 2
    sum += term
  }
  return sum
}
