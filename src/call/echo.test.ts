// An agent that hears itself: through the whole machine.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SELF_CUTS_MAX } from './echo.ts'
import { Life } from './testing/life.ts'

/** The agent says `words` and is cut; its answers come each `everyMs`. */
function cut(life: Life, n: number, everyMs: number, heardAs?: string): void {
  life.nowMs += everyMs
  const itemId = `i${n}`
  life.model({ kind: 'agent-said', itemId, text: 'We are open from nine to five.' })
  const item = { itemId, responseId: `r${n}`, heardMs: 500, receivedMs: 2_000, isComplete: true }
  life.take({ kind: 'cut', items: [item] })
  if (heardAs !== undefined) life.model({ kind: 'caller-said', itemId: `u${n}`, text: heardAs })
}

test('[P45][EH1] an agent that is cut again and again by its own words is told of once, with the remedy', () => {
  const life = new Life()
  for (let n = 0; n < 4 * SELF_CUTS_MAX; n += 1) cut(life, n, 2_000, n % 2 === 0 ? 'we are open!' : '')
  assert.equal(life.counted('echo-suspected'), 1)
  assert.equal(life.state.bargeIns, 4 * SELF_CUTS_MAX)
  const notes = life.log.filter((effect) => effect.kind === 'note' && effect.code === 'ECHO_SUSPECTED')
  assert.ok(notes.length === 1 && notes[0]?.kind === 'note' && notes[0].message.includes('threshold'))
})

test('[P45][EH1] a caller who has words of his own, or who interrupts now and then, is no echo', () => {
  const life = new Life()
  for (let n = 0; n < 4 * SELF_CUTS_MAX; n += 1) cut(life, n, 2_000, n % 3 === 0 ? 'No, on Monday.' : undefined)
  for (let n = 0; n < 4 * SELF_CUTS_MAX; n += 1) cut(life, 100 + n, 6_000)
  assert.equal(life.counted('echo-suspected'), 0)
})
