// Cuts of the transcript: what was heard, at a word.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  CONTENT_MAX_CHARS,
  clipText,
  contentOf,
  cutAt,
  messageOf,
  TEXT_MAX_CHARS,
  type Transcript,
  withItem,
  withMessage,
  withoutItem,
} from './transcript.ts'

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

test('[A4][TR4] a message takes its place behind another item, in front or at the end; an item is taken out by the id its provider knows', () => {
  const tool = { kind: 'tool' as const, id: 'call', itemId: 'fc', name: 'n', arguments: '{}', output: 'x' }
  let transcript: Transcript = { items: [{ kind: 'caller', id: 'u', text: 'a' }, tool], dropped: 0 }
  const put = (id: string, after: string | undefined): void => {
    transcript = withMessage(transcript, messageOf(id, 'user', [{ type: 'input_text', text: id }]), after, 9)
  }
  put('end', undefined)
  put('first', 'root')
  put('middle', 'u')
  put('last', 'nobody')
  const ids = () => transcript.items.map((item) => item.id)
  assert.deepEqual(ids(), ['first', 'u', 'middle', 'call', 'end', 'last'])
  transcript = withoutItem(withoutItem(transcript, 'fc'), 'u')
  assert.deepEqual(ids(), ['first', 'middle', 'end', 'last'])
  assert.equal(withoutItem(transcript, 'nobody'), transcript)
  put('middle', undefined)
  assert.deepEqual(ids(), ['first', 'middle', 'end', 'last'], 'an item that is there keeps its place')
})

test('[TR4] content that is more than text is kept as it was given, up to its bound', () => {
  const image = { type: 'input_image', image_url: 'data:x' }
  assert.deepEqual(contentOf(messageOf('i', 'user', [image])), [image])
  assert.equal(messageOf('i', 'user', [{ type: 'input_text', text: 'plain' }]).content, undefined)
  assert.deepEqual(contentOf(messageOf('i', 'assistant', [{ type: 'output_text', text: 'plain' }])), [
    { type: 'output_text', text: 'plain' },
  ])
  const large = messageOf('i', 'user', [{ type: 'input_image', image_url: 'x'.repeat(CONTENT_MAX_CHARS) }])
  assert.deepEqual([large.content, contentOf(large).length, large.text.includes('too large')], [undefined, 1, true])
})
