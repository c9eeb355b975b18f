// Does a silent link live? In told time: who is asked, when, and what follows.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FakeClock } from '../kit/clock.ts'
import { Wheel } from '../kit/wheel.ts'
import { ANSWER_MS, LinkProof, LOOK_AGAIN_MS, QUIET_MS } from './link-proof.ts'

class Bench {
  readonly clock = new FakeClock()
  readonly wheel = new Wheel({ clock: this.clock, manual: true, onError: (error) => assert.fail(String(error)) })
  /** What the link was asked or told, with its moment. */
  readonly deeds: string[] = []
  readonly asked: number[] = []
  nowMs = 0
  onAsk: () => void = () => {}
  readonly proof = new LinkProof(this.wheel, {
    ask: () => {
      this.deeds.push('ask')
      this.asked.push(this.nowMs)
      this.onAsk()
    },
    onStalled: () => this.deeds.push('stalled'),
    onNoProof: () => this.deeds.push('no proof'),
  })
  constructor(isAnswered = true) {
    if (isAnswered) this.proof.answered()
  }
  run(ms: number, each: () => void = () => {}): void {
    for (const endMs = this.nowMs + ms; this.nowMs < endMs; this.nowMs += 20) {
      this.clock.advance(20)
      each()
      this.wheel.advance()
    }
  }
}

test('[PF2] a loud caller and a link that says nothing, not even when asked: stalled, once, after a last look', () => {
  const bench = new Bench()
  bench.proof.callerSeemsLoud()
  bench.run(QUIET_MS - 40)
  assert.deepEqual(bench.deeds, [])
  bench.run(80)
  assert.deepEqual(bench.deeds, ['ask'])
  bench.run(ANSWER_MS)
  assert.deepEqual(bench.deeds, ['ask'])
  bench.run(LOOK_AGAIN_MS)
  assert.deepEqual(bench.deeds, ['ask', 'stalled'])
  bench.run(60_000)
  assert.deepEqual(bench.deeds, ['ask', 'stalled'])
  assert.equal(bench.wheel.size, 0)
})

test('[PF1] noise that the link answers to never gives it up, and it is asked at most once in three seconds [PF3]', () => {
  const bench = new Bench()
  bench.onAsk = () => bench.proof.received()
  bench.run(600_000, () => bench.proof.callerSeemsLoud())
  assert.ok(bench.deeds.every((deed) => deed === 'ask'))
  assert.ok(bench.asked.length > 100 && bench.asked.length <= 600_000 / (QUIET_MS + ANSWER_MS))
  for (const [i, atMs] of bench.asked.entries())
    assert.ok(i === 0 || atMs - bench.asked[i - 1]! >= QUIET_MS + ANSWER_MS)
})

test('[PF1] a link that says something in time is not asked', () => {
  const bench = new Bench()
  bench.proof.callerSeemsLoud()
  bench.run(500)
  bench.proof.received()
  bench.run(60_000)
  assert.deepEqual(bench.deeds, [])
  assert.equal(bench.wheel.size, 0)
})

test('[PF3] a quiet line asks nothing and holds no timer', () => {
  const bench = new Bench()
  assert.equal(bench.wheel.size, 0)
  bench.run(60_000, () => bench.proof.received())
  assert.deepEqual([bench.deeds, bench.wheel.size], [[], 0])
})

test('[PF2] a link that falls silent right after it answered is noticed all the same', () => {
  const bench = new Bench()
  bench.onAsk = () => {
    if (bench.asked.length === 1) bench.proof.received()
  }
  bench.proof.callerSeemsLoud()
  bench.run(QUIET_MS + 100)
  bench.proof.callerSeemsLoud()
  bench.run(ANSWER_MS + QUIET_MS + ANSWER_MS + LOOK_AGAIN_MS + 100)
  assert.deepEqual(bench.deeds, ['ask', 'ask', 'stalled'])
})

test('[PF2] an answer that was waiting in the socket while the process slept is seen at the last look', () => {
  const bench = new Bench()
  bench.proof.callerSeemsLoud()
  bench.run(QUIET_MS + 40)
  bench.clock.advance(20_000)
  bench.wheel.advance()
  bench.proof.received()
  bench.run(60_000)
  assert.deepEqual(bench.deeds, ['ask'])
})

test('[PF3] a proof that is closed asks no more', () => {
  const bench = new Bench()
  bench.proof.callerSeemsLoud()
  bench.proof.close()
  assert.equal(bench.wheel.size, 0)
  bench.run(60_000)
  assert.deepEqual(bench.deeds, [])
})

test('[P45][PF4] a provider that answers no question is never given up here, however loud the line; that is told once', () => {
  const bench = new Bench(false)
  bench.proof.begin()
  bench.run(60_000, () => bench.proof.callerSeemsLoud())
  assert.deepEqual(bench.deeds, ['ask', 'no proof'])
})

test('[P45][PF4] on a quiet line nothing is told, and an answer that comes late counts', () => {
  const bench = new Bench(false)
  bench.proof.begin()
  bench.run(60_000)
  assert.deepEqual([bench.deeds, bench.wheel.size], [['ask'], 0])
  bench.proof.answered()
  bench.proof.callerSeemsLoud()
  bench.run(QUIET_MS + ANSWER_MS + LOOK_AGAIN_MS + 100)
  assert.deepEqual(bench.deeds, ['ask', 'ask', 'stalled'])
})
