// What a call that comes back owes its caller.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isSettled, readCheckpoint, resumeFrom, untoldTransfer, writeCheckpoint } from './checkpoint.ts'
import { figuresOf } from './figures.ts'
import { step } from './machine.ts'
import type { ModelEvent } from './ports.ts'
import { type CallEvent, type CallState, type Effect, initialState } from './state.ts'
import { testSettings } from './testing/settings.ts'

const READY: ModelEvent = { kind: 'ready', expiresInMs: undefined, renewed: false }
const model = (event: ModelEvent): CallEvent => ({ kind: 'model', event })

function after(before: CallState, ...events: CallEvent[]): { state: CallState; effects: Effect[] } {
  let state = before
  const effects: Effect[] = []
  for (const event of events) {
    const next = step(state, event, testSettings())
    state = next.state
    effects.push(...next.effects)
  }
  return { state, effects }
}

/** The caller has finished, and no response has begun. */
function owing(): CallState {
  return after(
    initialState(),
    { kind: 'opened' },
    { kind: 'leg-opened' },
    model(READY),
    model({ kind: 'speech-started', itemId: 'u' }),
    model({ kind: 'speech-stopped', itemId: 'u' }),
  ).state
}

test('[P22] a caller who is owed an answer is asked about in the next pod, after a handover and after a loss', () => {
  for (const how of ['handover', 'failover'] as const) {
    const reading = readCheckpoint(writeCheckpoint(owing()))
    assert.ok(reading.kind === 'read')
    const back = resumeFrom(reading.state, how, [], 0)
    const { state, effects } = after(back, { kind: 'opened' }, { kind: 'leg-opened' }, model(READY))
    assert.equal(effects.filter(({ kind }) => kind === 'respond').length, 1, how)
    assert.ok(state.owed !== undefined)
  }
})

test('[P22] while an answer is owed the call is not settled, so that nobody hands it over or renews it', () => {
  const state = owing()
  assert.equal(isSettled(state), false)
  const answered = after(
    state,
    model({ kind: 'response-started', responseId: 'r' }),
    { kind: 'audio-begun', responseId: 'r' },
    model({ kind: 'response-ended', responseId: 'r', status: 'completed' }),
  ).state
  assert.equal(isSettled(answered), true)
})

test('[OD4] the strikes of a call come back with it, and its tools that are out hold the answer', () => {
  const before = { ...owing(), strikes: { rung: 2 as const, limitWaits: 1 } }
  const tool = { toolCallId: 't', name: 'look_up', argumentsText: '{}', output: undefined }
  const back = resumeFrom(before, 'failover', [tool], 0)
  assert.deepEqual(back.strikes, before.strikes)
  assert.deepEqual(back.tools, [{ id: 't', holds: true }])
})

test('[DEPLOY-4][CK1] a checkpoint of an older release has the fields it lacks as a new call has them', () => {
  const { owed: _owed, strikes: _strikes, tools: _tools, dials: _dials, ...old } = owing()
  const reading = readCheckpoint(JSON.stringify(old))
  assert.ok(reading.kind === 'read')
  const { owed, strikes, tools, dials } = initialState()
  const { state } = reading
  assert.deepEqual([state.owed, state.strikes, state.tools, state.dials], [owed, strikes, tools, dials])
})

test('[P31][CK5] the agent has to hear of a transfer until it has spoken after it, in whatever pod', () => {
  const said = (id: string): CallState['transcript']['items'][number] => ({
    kind: 'agent',
    id,
    text: 'Hm.',
    cut: false,
  })
  const withItems = (state: CallState, ...ids: string[]): CallState => ({
    ...state,
    transcript: { items: ids.map(said), dropped: 0 },
  })
  const again = (state: CallState): CallState => {
    const reading = readCheckpoint(writeCheckpoint(state))
    assert.ok(reading.kind === 'read')
    return resumeFrom(reading.state, 'failover', [], 0)
  }
  const before = withItems(initialState(), 'a', 'b')
  assert.equal(untoldTransfer(before), undefined)
  const back = resumeFrom(before, 'failover', [], 0, 'busy')
  assert.equal(untoldTransfer(back), 'busy')
  const heard = {
    ...back,
    transcript: {
      ...back.transcript,
      items: [...back.transcript.items, { kind: 'caller' as const, id: 'c', text: 'Hello?' }],
    },
  }
  assert.equal(untoldTransfer(again(heard)), 'busy', 'lost again before it has spoken')
  assert.equal(untoldTransfer(again(withItems(back, 'a', 'b', 'c'))), undefined)
  assert.equal(untoldTransfer(withItems(back, 'x')), undefined, 'so long ago that the history has dropped it')
  assert.equal(untoldTransfer(resumeFrom(undefined, 'failover', [], 0, 'busy')), 'busy', 'an unreadable checkpoint')
  assert.equal(untoldTransfer(resumeFrom(withItems(back, 'a', 'b', 'c'), 'failover', [], 0, 'no-answer')), 'no-answer')
})

test('[CK2] each figure of the call record is the same before and after a resume', () => {
  const counted = Object.entries(initialState()).map(([name, value]) => [name, value === 0 ? 7 : value])
  const before = { ...initialState(), ...Object.fromEntries(counted) } as CallState
  assert.ok(Object.values(figuresOf(before)).every((figure) => figure === 7))
  assert.deepEqual(figuresOf(resumeFrom(before, 'failover', [], 0)), figuresOf(before))
})
