// When calls are offered. Rules:
// A1: an open model: times are fixed before the run and never wait for answers, so that a slow server cannot slow its own load.
// A2: the same seed gives the same times and the same scenarios.

/** A seeded source of numbers in [0, 1). */
export type Random = () => number

/** mulberry32: small, fast and the same everywhere; not for secrets. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = state
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

export type ArrivalLaw = 'constant' | 'poisson'

/** [A1] The offsets (ms from the start, ascending) at which `calls` calls are offered at `ratePerSecond`. */
export function arrivalsMs(calls: number, ratePerSecond: number, law: ArrivalLaw, random: Random): number[] {
  const gapMs = 1_000 / ratePerSecond
  const times: number[] = []
  let atMs = 0
  for (let i = 0; i < calls; i++) {
    times.push(atMs)
    atMs += law === 'constant' ? gapMs : -Math.log(1 - random()) * gapMs
  }
  return times
}

/** Picks one of `weights` at random, by weight. */
export function pickWeighted<Name extends string>(
  weights: readonly { name: Name; weight: number }[],
  random: Random,
): Name {
  let total = 0
  for (const { weight } of weights) total += weight
  let at = random() * total
  for (const { name, weight } of weights) {
    at -= weight
    if (at < 0) return name
  }
  return weights[weights.length - 1]!.name
}
