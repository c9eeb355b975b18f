// When what dies. Rules:
// BL1: of the blows 8 in 30 fall on pods and as many on PostgreSQL, the rest on workers; their order is drawn by the seed.
// BL2: each has a stretch of the run for itself and falls somewhere in its middle half, so that no two come closer than half a stretch.
import type { Random } from '../../load/plan/arrivals.ts'

type Victim = 'worker' | 'pod' | 'postgres'
export type Blow = { victim: Victim; atMs: number; random: number }

/** How many blows fall on what. */
export function sharesOf(count: number): Record<Victim, number> {
  const eighth = Math.floor((count * 8) / 30)
  return { worker: count - 2 * eighth, pod: eighth, postgres: eighth }
}

/** [BL1][BL2] `count` blows within `lengthMs`, ascending; `random` of each is for whom it hits. */
export function planBlows(count: number, lengthMs: number, random: Random): Blow[] {
  const shares = sharesOf(count)
  const victims = (['worker', 'pod', 'postgres'] as const).flatMap((victim) =>
    Array.from({ length: shares[victim] }, () => victim),
  )
  for (let last = victims.length - 1; last > 0; last--) {
    const other = Math.floor(random() * (last + 1))
    ;[victims[last], victims[other]] = [victims[other]!, victims[last]!]
  }
  const stretchMs = lengthMs / Math.max(1, count)
  return victims.map((victim, index) => ({
    victim,
    atMs: (index + 0.25 + random() / 2) * stretchMs,
    random: random(),
  }))
}
