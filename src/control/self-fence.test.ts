// Self-fence against fail static: the pure decision, by property over any outages of the store and words of the peers.
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import fc from 'fast-check'
import { LEASE_TIMES } from './ports.ts'
import {
  ASK_AFTER_MS,
  ASK_EVERY_MS,
  ASK_WITHIN_MS,
  decideFence,
  FENCE_AFTER_MS,
  FENCE_LATEST_MS,
  type FenceStep,
  freshSight,
  type PeerWord,
  TRY_WITHIN_MS,
  WELL_FOR_MS,
  WORD_FRESH_MS,
  withSuccess,
  withWord,
} from './self-fence.ts'

const CHECK_MS = 1_000
const ROUND_MS = 5_500 // a renewal with all its jitter

/** What a second of the world is like for the pod. */
type Second = { isStoreUp: boolean; peers: PeerWord; isFrozen: boolean }
type Life = {
  fencedAtMs: number | undefined
  steps: { atMs: number; step: FenceStep }[]
  lastSuccessAtMs: number
  asks: { atMs: number; word: PeerWord }[]
}

/** Lives through `seconds`: rounds each ROUND_MS, checks each second, each answer at the end of its bound. */
function live(seconds: readonly Second[]): Life {
  let sight = freshSight(0)
  const life: Life = { fencedAtMs: undefined, steps: [], lastSuccessAtMs: 0, asks: [] }
  let nextRoundMs = ROUND_MS
  let round: { startedAtMs: number; endsAtMs: number } | undefined
  let ask: { endsAtMs: number } | undefined
  seconds.forEach(({ isStoreUp, peers, isFrozen }, second) => {
    const nowMs = (second + 1) * CHECK_MS
    if (isFrozen || life.fencedAtMs !== undefined) return
    if (ask !== undefined && nowMs >= ask.endsAtMs) {
      sight = withWord(sight, peers, nowMs)
      life.asks.push({ atMs: nowMs, word: peers })
      ask = undefined
    }
    if (round !== undefined && nowMs >= round.endsAtMs) {
      if (isStoreUp) sight = withSuccess(sight, round.startedAtMs)
      else sight = { ...sight, failedTryAtMs: round.startedAtMs }
      round = undefined
      nextRoundMs = nowMs + ROUND_MS - TRY_WITHIN_MS
    }
    const begin = (): void => {
      round ??= { startedAtMs: nowMs, endsAtMs: nowMs + TRY_WITHIN_MS }
    }
    if (nowMs >= nextRoundMs) begin()
    const step = decideFence(sight, nowMs)
    life.steps.push({ atMs: nowMs, step })
    if (step === 'try') begin()
    if (step === 'fence') life.fencedAtMs = nowMs
    if (step === 'ask-peers' && ask === undefined) {
      sight = { ...sight, askedAtMs: nowMs }
      ask = { endsAtMs: nowMs + ASK_WITHIN_MS }
    }
    life.lastSuccessAtMs = sight.lastSuccessAtMs
  })
  return life
}
const times = (n: number, second: Partial<Second> = {}): Second[] =>
  new Array(n).fill({ isStoreUp: false, peers: 'well', isFrozen: false, ...second })

suite('self-fence', () => {
  test('[SF2] nothing is asked before its time, and then at most each five seconds', () => {
    const life = live(times(44, { peers: 'away' }))
    const asked = life.steps.filter(({ step }) => step === 'ask-peers').map(({ atMs }) => atMs)
    assert.equal(asked[0], ASK_AFTER_MS)
    assert.ok(asked.length >= 4)
    for (let i = 1; i < asked.length; i += 1) assert.ok(asked[i]! - asked[i - 1]! >= ASK_EVERY_MS)
  })

  test('[POD-13][SF3] [SF4] a pod cut off alone is fenced after 45 s and before its slots are granted again', () => {
    const { fencedAtMs } = live(times(90))
    assert.ok(
      fencedAtMs !== undefined && fencedAtMs >= FENCE_AFTER_MS && fencedAtMs <= FENCE_LATEST_MS,
      `${fencedAtMs}`,
    )
    assert.ok(FENCE_LATEST_MS < LEASE_TIMES.hardMs)
  })

  test('[SF5] a store that is away for all, or peers that do not answer, leave the calls where they are', () => {
    for (const peers of ['away', 'unknown'] as const) {
      const life = live(times(600, { peers }))
      assert.equal(life.fencedAtMs, undefined)
      assert.ok(life.steps.some(({ step }) => step === 'fail-static'))
    }
  })

  test('[SF3] a pod that was frozen for a minute tries before it gives up, and goes on when the store answers', () => {
    const life = live([
      ...times(10, { isStoreUp: true }),
      ...times(65, { isFrozen: true }),
      ...times(60, { isStoreUp: true }),
    ])
    assert.equal(life.fencedAtMs, undefined)
    assert.ok(life.lastSuccessAtMs > 75_000)
  })

  test('[SF3] when the store comes back after a long outage, peers that saw it first fence nobody', () => {
    const life = live([
      ...times(300, { peers: 'away' }),
      ...times(8, { peers: 'well' }),
      ...times(60, { isStoreUp: true }),
    ])
    assert.equal(life.fencedAtMs, undefined)
    assert.ok(life.lastSuccessAtMs > 300_000)
  })

  test('[SF1] a success counts from before its request, and never back', () => {
    const sight = withSuccess(freshSight(10_000), 12_000)
    assert.equal(sight.lastSuccessAtMs, 12_000)
    assert.equal(withSuccess(sight, 11_000).lastSuccessAtMs, 12_000)
  })

  const spell = fc.record({
    seconds: fc.integer({ min: 1, max: 70 }),
    isStoreUp: fc.boolean(),
    peers: fc.constantFrom<PeerWord>('well', 'away', 'unknown'),
    isFrozen: fc.nat(5).map((n) => n === 0),
  })
  const spells = fc.array(spell, { maxLength: 12 }).map((all) => all.flatMap((one) => times(one.seconds, one)))

  test('[SF3] by any outages a pod is fenced only late, by fresh and lasting words that the store is well', () => {
    let fenced = 0
    const property = fc.property(spells, (seconds) => {
      const { fencedAtMs, lastSuccessAtMs, asks } = live(seconds)
      if (fencedAtMs === undefined) return
      fenced += 1
      assert.ok(fencedAtMs - lastSuccessAtMs >= FENCE_AFTER_MS)
      const lastAsk = asks.at(-1)!
      assert.equal(lastAsk.word, 'well')
      assert.ok(fencedAtMs - lastAsk.atMs <= WORD_FRESH_MS)
      const away = asks.findLast(({ word }) => word === 'away')?.atMs ?? -Infinity
      const firstWell = asks.find(({ word, atMs }) => word === 'well' && atMs > away)!
      assert.ok(fencedAtMs - firstWell.atMs >= WELL_FOR_MS)
    })
    fc.assert(property, { numRuns: 500, seed: 11 })
    assert.ok(fenced > 20, `only ${fenced} lives were fenced: the property says little`)
  })

  test('[SF4] by any life before, a pod that is then cut off alone is fenced in time', () => {
    const property = fc.property(spells, (before) => {
      // Ends well, so that the cut is what counts; then the store is away for this pod only.
      const life = live([...before, ...times(12, { isStoreUp: true }), ...times(120)])
      if (life.fencedAtMs !== undefined && life.fencedAtMs <= before.length * 1_000 + 12_000) return
      assert.ok(life.fencedAtMs !== undefined)
      assert.ok(life.fencedAtMs - life.lastSuccessAtMs <= FENCE_LATEST_MS)
    })
    fc.assert(property, { numRuns: 200, seed: 12 })
  })

  test('[SF5] by any outages no pod is fenced whose peers never say that the store is well', () => {
    const property = fc.property(spells, (seconds) => {
      const dark = seconds.map((one) => (one.peers === 'well' ? { ...one, peers: 'away' as const } : one))
      assert.equal(live(dark).fencedAtMs, undefined)
    })
    fc.assert(property, { numRuns: 200, seed: 13 })
  })
})
