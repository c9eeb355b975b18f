import assert from 'node:assert/strict'
import { test } from 'node:test'
import { OwnItems, WAITING_MAX } from './own-items.ts'

const put = (more: object = {}) => ({
  type: 'conversation.item.create',
  item: { type: 'message', role: 'user', content: [{ type: 'input_text', text: 'x' }], ...more },
})

test('[A4][OI1] a message gets an id that the provider takes, and keeps its place', () => {
  const own = new OwnItems()
  const asked = own.ask({ ...put(), previous_item_id: 'before' })!
  assert.ok(asked.change.kind === 'put' && asked.change.id.length <= 32 && asked.change.id.length > 16)
  assert.deepEqual([asked.change.after, (asked.event.item as { id: string }).id], ['before', asked.change.id])
  assert.notEqual(own.ask(put())!.change.id, asked.change.id)
  assert.equal(own.ask(put({ id: 'mine' }))!.change.id, 'mine')
})

test('[OI1] what is no message is none of it: the answer of a tool, an order to the buffer', () => {
  const own = new OwnItems()
  const output = { type: 'function_call_output', call_id: 'c', output: 'x' }
  assert.equal(own.ask({ type: 'conversation.item.create', item: output }), undefined)
  assert.equal(own.ask({ type: 'input_audio_buffer.clear' }), undefined)
})

test('[OI2] what no link has confirmed is confirmed by the next, in order, once', () => {
  const own = new OwnItems()
  own.ask(put({ id: 'a' }))
  own.ask(put({ id: 'b' }))
  own.ask({ type: 'conversation.item.delete', item_id: 'c' })
  assert.equal(own.confirm('put', 'a'), true)
  assert.equal(own.confirm('put', 'a'), false)
  assert.deepEqual(
    own.overdue().map(({ type, item, item_id }) => `${type} ${(item as { id?: string } | undefined)?.id ?? item_id}`),
    ['conversation.item.added b', 'conversation.item.done b', 'conversation.item.deleted c'],
  )
  assert.deepEqual(own.overdue(), [])
})

test('[OI3] a refusal gives back the change, by the event id of the code or by one of ours', () => {
  const own = new OwnItems()
  own.ask({ ...put({ id: 'a' }), event_id: 'theirs' })
  const { event } = own.ask({ type: 'conversation.item.delete', item_id: 'c' })!
  assert.deepEqual(own.refused('theirs'), { ...own.ask(put({ id: 'a' }))!.change })
  assert.deepEqual(own.refused(String(event.event_id)), { kind: 'taken', id: 'c' })
  assert.equal(own.refused('unknown'), undefined)
})

test('[OI4] the unconfirmed are bounded', () => {
  const own = new OwnItems()
  for (let i = 0; i < WAITING_MAX + 10; i += 1) own.ask({ type: 'conversation.item.delete', item_id: `i${i}` })
  assert.deepEqual([own.overdue().length, own.confirm('taken', 'i0')], [WAITING_MAX, false])
})
