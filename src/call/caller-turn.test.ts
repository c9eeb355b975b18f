// A turn of the caller that does not end: through the whole machine, in told time.
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { LONG_TURNS_MAX, TURN_BOUND_MS, TURN_QUIET_MS } from './caller-turn.ts'
import { kinds, Life } from './testing/life.ts'
import { TURN_LOOK_MS } from './turn.ts'

/** The timer rings on and on, and the ear answers, until the turn is over or `ms` have passed. */
function hold(life: Life, ms: number, quietMs: (spokenMs: number) => number): number {
  for (let spokenMs = TURN_LOOK_MS; spokenMs <= ms; spokenMs += TURN_LOOK_MS) {
    life.nowMs += TURN_LOOK_MS
    assert.deepEqual(kinds(life.take({ kind: 'timer', name: 'caller-turn' })), ['look-caller'])
    life.take({ kind: 'caller-looked', quietMs: quietMs(spokenMs) })
    if (!life.state.isCallerSpeaking) return spokenMs
  }
  return Number.POSITIVE_INFINITY
}
const started = (settings = {}): Life => {
  const life = new Life(settings)
  life.model({ kind: 'speech-started', itemId: 'u' })
  return life
}

suite('a turn of the caller that never ends', () => {
  test('[P45][UT2] and of which nothing is heard is committed and answered after its bound, told and counted', () => {
    const life = started()
    assert.equal(
      hold(life, 60_000, (spokenMs) => spokenMs),
      TURN_QUIET_MS,
    )
    assert.deepEqual([life.counted('caller-turn-quiet'), life.has('commit-turn')], [1, true])
    assert.ok(life.log.some((effect) => effect.kind === 'respond'))
    assert.ok(life.log.some((effect) => effect.kind === 'note' && effect.code === 'CALLER_TURN_BOUND'))
    assert.equal(life.state.owed?.cause, 'caller')
  })

  test('[P45][UT2] and that is heard all the time is ended at the other bound', () => {
    const life = started()
    assert.equal(
      hold(life, 120_000, () => 0),
      TURN_BOUND_MS,
    )
    assert.deepEqual([life.counted('caller-turn-long'), life.has('commit-turn')], [1, true])
  })

  test('[P45][UT1] a turn that ends by the word of the model is left alone, and each turn has its own bound', () => {
    const life = started()
    assert.equal(
      hold(life, 50_000, () => 0),
      Number.POSITIVE_INFINITY,
    )
    life.model({ kind: 'speech-stopped', itemId: 'u' })
    assert.deepEqual(kinds(life.take({ kind: 'timer', name: 'caller-turn' })), [])
    life.model({ kind: 'speech-started', itemId: 'v' })
    assert.equal(
      hold(life, 50_000, () => 0),
      Number.POSITIVE_INFINITY,
    )
    assert.equal(life.has('commit-turn'), false)
  })

  test('[P45][UT3] again and again ends the call with a goodbye, unless silence never does', () => {
    for (const silenceAskMs of [30_000, 0]) {
      const life = new Life({ silenceAskMs, silenceEndMs: silenceAskMs })
      for (let n = 1; n <= LONG_TURNS_MAX; n += 1) {
        assert.equal(life.state.phase.kind, 'live')
        life.model({ kind: 'speech-started', itemId: `u${n}` })
        hold(life, 60_000, () => 60_000)
        life.says(`r${n}`)
      }
      assert.equal(life.state.phase.kind, silenceAskMs === 0 ? 'live' : 'closing')
    }
  })

  test('[P45][CB2] after it the silence of the caller counts again', () => {
    const life = started({ silenceAskMs: 30_000, silenceEndMs: 30_000 })
    hold(life, 60_000, () => 60_000)
    life.log.length = 0
    life.says('r')
    assert.ok(life.has('look-playout'))
  })
})
