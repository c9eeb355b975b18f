// The judge of moves, fed with what must not be.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { WitnessLine } from '../../load/report/witness.ts'
import { readAgents } from './agent-story.ts'

const S = 1_000_000
type Line = Partial<WitnessLine> & Record<string, unknown>

/** Two sessions of call 1, the second 20 s after the first; `changes` replaces lines by their place. */
function lines(changes: { laterConfig?: Line; laterItems?: Line[]; earlierMore?: Line[] } = {}): WitnessLine[] {
  const config = { event: 'session_updated', instructions: 'You are Billing.', tools: ['lookup'], voice: '"marin"' }
  const item = (id: string) => ({ event: 'item_added', item: id, kind: 'message', by: 'client' })
  const { laterConfig = {}, laterItems = [item('i1'), item('i2')], earlierMore = [] } = changes
  const first: Line[] = [
    { t: 0, event: 'session_opened' },
    { t: 1, ...config, instructions: 'You are Reception.' },
    { t: 2, event: 'probe' },
    { t: 3 * S, ...item('i1'), by: 'model' },
    { t: 4 * S, ...config },
    { t: 5 * S, ...item('i2'), by: 'caller' },
    { t: 6 * S, event: 'function_call', arguments: '{"step":7}' },
    ...earlierMore,
    { t: 20 * S, event: 'session_closed' },
  ]
  const second: Line[] = [
    { t: 19 * S, event: 'session_opened' },
    { t: 20 * S, ...config, ...laterConfig },
    ...laterItems.map((one) => ({ t: 20 * S + 1, ...one })),
    { t: 21 * S, event: 'probe' },
    { t: 30 * S, event: 'session_closed' },
  ]
  const of = (session: string, some: Line[]) =>
    some.map((line) => ({ session, call: 1, ...line }) as unknown as WitnessLine)
  return [...of('a', first), ...of('b', second)]
}

const effect = (owner: string): WitnessLine =>
  ({ t: 7 * S, event: 'request', callSid: 'CA1', step: 7, key: 'k', owner }) as unknown as WitnessLine
const judge = (model: WitnessLine[], sink: WitnessLine[] = [effect('Billing')]) => readAgents(model, sink, () => 'CA1')

test('[AY1][AY2][AY3] a call that goes on as it was is no breach', () => {
  const story = judge(lines())
  assert.deepEqual(story, {
    pairs: 1,
    atOnce: 1,
    caughtUp: 0,
    withinBound: 0,
    ahead: 0,
    afterHandoff: 1,
    owners: 1,
    breaches: [],
  })
})

for (const [what, laterConfig] of [
  ['the first agent again', { instructions: 'You are Reception.' }],
  ['other tools', { tools: [] }],
  ['another voice', { voice: '"cedar"' }],
] as const)
  test(`[AY1] a session that begins with ${what} is a breach`, () => {
    assert.equal(judge(lines({ laterConfig })).breaches.length, 1)
  })

test('[AY1] a handoff in the last moment may be done again', () => {
  const late = {
    t: 19.5 * S,
    event: 'session_updated',
    instructions: 'You are Support.',
    tools: ['lookup'],
    voice: '"marin"',
  }
  assert.equal(judge(lines({ earlierMore: [late] })).withinBound, 1)
  assert.equal(judge(lines({ earlierMore: [{ ...late, t: 15 * S }] })).breaches.length, 1)
})

test('[AY5] a handoff that was asked for and had no answer may have been made; one that was answered, or another agent, is a breach', () => {
  const asked = { t: 19.8 * S, event: 'function_call', name: 'transfer_to_Support', call_id: 'c', arguments: '{}' }
  const answered = { t: 19.9 * S, event: 'function_output', call_id: 'c' }
  const begins = (instructions: string, earlierMore: Line[]) =>
    judge(lines({ laterConfig: { instructions }, earlierMore }))
  assert.equal(begins('You are Support.', [asked]).ahead, 1)
  assert.equal(begins('You are Support.', [asked, answered]).breaches.length, 1)
  assert.equal(begins('You are Reception.', [asked]).breaches.length, 1)
  assert.equal(begins('You are Support.', []).breaches.length, 1)
})

test('[AY2] an item that the next session was not told is a breach, unless it was cut or came in the last moment', () => {
  assert.match(judge(lines({ laterItems: [] })).breaches[0] ?? '', /not told message i1/)
  const more = (t: number) => [{ t, event: 'item_added', item: 'late', kind: 'message', by: 'model' }]
  assert.equal(judge(lines({ earlierMore: more(19 * S) })).breaches.length, 0)
  assert.equal(judge(lines({ earlierMore: more(10 * S) })).breaches.length, 1)
  assert.equal(
    judge(lines({ earlierMore: [...more(10 * S), { t: 11 * S, event: 'truncate', item: 'late' }] })).breaches.length,
    0,
  )
})

test('[AY4] an edit between two sessions may take out the oldest messages, and no others', () => {
  const message = (id: string, role = 'user') => ({
    event: 'item_added',
    item: id,
    kind: 'message',
    role,
    by: 'client',
  })
  const ids = Array.from({ length: 14 }, (_, i) => `m${i}`)
  const earlierMore = ids.map((id, i) => ({ t: (7 + i / 2) * S, ...message(id), by: 'caller' }))
  const after = (kept: string[], ...more: Line[]) =>
    judge(lines({ earlierMore, laterItems: [...kept.map((id) => message(id)), ...more] })).breaches
  const newest = ids.slice(2)
  assert.deepEqual(after(newest, message('note', 'system')), [])
  assert.match(after(newest)[0] ?? '', /not told message i1/, 'without the mark of an edit')
  assert.match(after(newest, message('vp_note', 'system'))[0] ?? '', /i1/, 'the note of the plane is no edit')
  assert.match(after(ids.slice(8), message('note', 'system'))[0] ?? '', /i1/, 'too few are kept')
  const withHole = newest.filter((id) => id !== 'm7')
  assert.match(after(withHole, message('note', 'system'))[0] ?? '', /m7/, 'a hole is no edit')
  const tool = { t: 8 * S, event: 'item_added', item: 'f', kind: 'function_call', by: 'model' }
  const { breaches } = judge(
    lines({ earlierMore: [...earlierMore, tool], laterItems: [...newest, 'x'].map((id) => message(id, 'system')) }),
  )
  assert.match(breaches[0] ?? '', /function_call f/, 'tools are never taken out')
})

test('[AY2] an item that was taken out and comes back is a breach', () => {
  const taken = { t: 9 * S, event: 'item_removed', item: 'i1', kind: 'message', by: 'client' }
  assert.match(judge(lines({ earlierMore: [taken] })).breaches[0] ?? '', /taken out/)
})

test('[AY3] a tool that ran at another agent than the one that was asked is a breach', () => {
  assert.match(judge(lines(), [effect('Reception')]).breaches[0] ?? '', /ran at Reception/)
})
