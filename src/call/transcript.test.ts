// Cuts of the transcript: what was heard, at a word.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { clipText, cutAt, TEXT_MAX_CHARS, withItem } from './transcript.ts'

const agent = (text: string) => ({ kind: 'agent' as const, id: 'i', text, cut: false })

test('[TR2] a cut keeps whole words in proportion of the audio', () => {
  const item = agent('we are open on Monday')
  for (const [heardMs, want] of [
    [0, ''],
    [100, ''],
    [500, 'we are'],
    [999, 'we are open on'],
    [1_000, 'we are open on Monday'],
    [5_000, 'we are open on Monday'],
  ] as const)
    assert.deepEqual(cutAt(item, heardMs, 1_000), { ...item, text: want, heardMs, cut: true })
})

test('[TR2] a cut is a beginning of the text and never throws, whatever the numbers', () => {
  const property = fc.property(fc.string(), fc.nat(5_000), fc.nat(5_000), (text, heardMs, totalMs) => {
    const cut = cutAt(agent(text), heardMs, totalMs)
    assert.ok(text.startsWith(cut.text))
    if (totalMs > 0 && heardMs >= totalMs) assert.equal(cut.text, text)
    if (totalMs === 0) assert.equal(cut.text, '')
  })
  fc.assert(property)
})

test('[TR1] items beyond the bound drop the oldest; the transcript that was given stays as it was', () => {
  const before = { items: [agent('a')], dropped: 4 }
  const after = withItem(before, { kind: 'caller', id: 'i', text: 'b' }, 1)
  assert.deepEqual(after, { items: [{ kind: 'caller', id: 'i', text: 'b' }], dropped: 5 })
  assert.deepEqual(before, { items: [agent('a')], dropped: 4 })
})

test('[TR1] a text is clipped at its bound', () => {
  assert.equal(clipText('x'.repeat(TEXT_MAX_CHARS + 1)).length, TEXT_MAX_CHARS)
  assert.equal(clipText('short'), 'short')
})
