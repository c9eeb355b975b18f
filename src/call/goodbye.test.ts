// A goodbye and a caller who makes a sound during it: through the whole machine.
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { resumeFrom } from './checkpoint.ts'
import { COUGH_MAX_MS } from './goodbye.ts'
import { kinds, Life } from './testing/life.ts'

/** The agent has wished to end the call, and its goodbye is on its way to the caller's ear. */
function closing(wish: 'end' | 'transfer' = 'end'): Life {
  const life = new Life()
  life.take(wish === 'end' ? { kind: 'end-wanted' } : { kind: 'transfer-wanted', to: '+49' })
  life.says('goodbye')
  return life
}

suite('a goodbye', () => {
  test('[P45][GB1] is not cut by a cough, and the call ends when it has been heard', () => {
    const life = closing()
    assert.equal(kinds(life.speaks(700)).includes('clear-playout'), false)
    assert.equal(life.state.phase.kind, 'closing')
    life.take({ kind: 'playout-idle' })
    assert.equal(life.state.phase.kind, 'ended')
    assert.equal(life.counted('goodbye-taken-back'), 0)
  })

  test('[P45][GB2] is taken back by words: the agent is told, what was left of it is cut, the answer is owed', () => {
    const life = closing()
    const effects = life.speaks(COUGH_MAX_MS + 500)
    assert.deepEqual([life.state.phase.kind, life.state.owed?.cause], ['live', 'caller'])
    assert.ok(effects.some((effect) => effect.kind === 'clear-timer' && effect.name === 'closing'))
    assert.ok(effects.some((effect) => effect.kind === 'send-note' && effect.text.includes('has not ended')))
    assert.ok(kinds(effects).includes('clear-playout'))
    assert.equal(
      life.state.transcript.items.some((item) => item.kind === 'message' && item.role === 'system'),
      true,
    )
    life.take({ kind: 'playout-idle' })
    life.take({ kind: 'timer', name: 'closing' })
    assert.equal(life.state.phase.kind, 'live')
  })

  test('[P45][GB2] does not end while the caller speaks; at its bound the call is his again', () => {
    const life = closing()
    life.model({ kind: 'speech-started', itemId: 'u' })
    life.nowMs += 5_000
    life.take({ kind: 'playout-idle' })
    assert.equal(life.state.phase.kind, 'closing')
    life.take({ kind: 'timer', name: 'closing' })
    assert.equal(life.state.phase.kind, 'live')
  })

  test('[END-3][P45][GB3] is taken back once in a call, also when it moves between', () => {
    const life = closing()
    life.speaks(3_000)
    life.says('answer')
    assert.equal(resumeFrom(life.state, 'failover', [], 0).hasTakenBack, true)
    life.take({ kind: 'end-wanted' })
    life.says('second goodbye')
    assert.equal(kinds(life.speaks(3_000)).includes('clear-playout'), false)
    assert.equal(life.state.phase.kind, 'closing')
    life.take({ kind: 'playout-idle' })
    assert.equal(life.state.phase.kind, 'ended')
  })

  test('[P45][GB3] before a transfer is heard to its end whatever the caller says, then the transfer goes on', () => {
    const life = closing('transfer')
    assert.equal(kinds(life.speaks(3_000)).includes('clear-playout'), false)
    life.take({ kind: 'playout-idle' })
    assert.deepEqual(life.state.phase, { kind: 'ended', cause: 'transferred', next: { kind: 'transfer', to: '+49' } })
  })

  test('[P45][GB4] that the provider broke off is followed by its answer to the sound, which is heard', () => {
    const life = new Life()
    life.take({ kind: 'end-wanted' })
    life.model({ kind: 'response-started', responseId: 'goodbye' })
    life.take({ kind: 'audio-begun', responseId: 'goodbye' })
    life.model({ kind: 'speech-started', itemId: 'u' })
    life.model({ kind: 'response-ended', responseId: 'goodbye', status: 'cancelled', code: 'turn_detected' })
    life.nowMs += 700
    life.model({ kind: 'speech-stopped', itemId: 'u' })
    life.take({ kind: 'playout-idle' })
    assert.equal(life.state.phase.kind, 'closing')
    life.says('again')
    life.take({ kind: 'playout-idle' })
    assert.equal(life.state.phase.kind, 'ended')
  })

  test('[P45][GB2] of a caller who was silent is taken back when he speaks after all', () => {
    const life = new Life({ silenceAskMs: 1_000, silenceEndMs: 1_000 })
    life.take({ kind: 'playout-looked', playoutMs: 0 })
    for (const response of ['there?', 'goodbye']) {
      life.nowMs += 1_000
      life.take({ kind: 'timer', name: 'quiet' })
      life.says(response)
      life.take({ kind: 'playout-looked', playoutMs: 0 })
    }
    assert.equal(life.state.phase.kind, 'closing')
    life.speaks(2_000)
    assert.deepEqual([life.state.phase.kind, life.state.isQuietAsked], ['live', false])
  })
})
