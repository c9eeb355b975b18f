import assert from 'node:assert/strict'
import { test } from 'node:test'
import { seededRandom } from '../../load/plan/arrivals.ts'
import { planBlows, sharesOf } from './blows.ts'

test('[BL1] thirty blows are 14 at workers, 8 at pods, 8 at PostgreSQL; a few are shared alike', () => {
  assert.deepEqual(sharesOf(30), { worker: 14, pod: 8, postgres: 8 })
  assert.deepEqual(sharesOf(4), { worker: 2, pod: 1, postgres: 1 })
  assert.deepEqual(sharesOf(2), { worker: 2, pod: 0, postgres: 0 })
  const victims = planBlows(30, 600_000, seededRandom(1)).map(({ victim }) => victim)
  for (const [victim, share] of Object.entries(sharesOf(30))) {
    assert.equal(victims.filter((one) => one === victim).length, share, victim)
  }
})

test('[BL1][BL2] the seed alone says when and whom; no two blows come closer than half a stretch', () => {
  const plan = planBlows(30, 600_000, seededRandom(7))
  assert.deepEqual(plan, planBlows(30, 600_000, seededRandom(7)))
  assert.notDeepEqual(plan, planBlows(30, 600_000, seededRandom(8)))
  for (const [index, { atMs, random }] of plan.entries()) {
    assert.ok(random >= 0 && random < 1 && atMs > 0 && atMs < 600_000)
    if (index > 0) assert.ok(atMs - plan[index - 1]!.atMs >= 10_000)
  }
})
