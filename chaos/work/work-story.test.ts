// The judge of the work after calls must be red for each thing that the run is to show.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { WitnessLine } from '../../load/report/witness.ts'
import { describeWork, readWork, TYPES, type WorkStory } from './work-story.ts'

const CALLS = ['CA1', 'CA2', 'CA3']

function delivery(callSid: string, key = `${callSid}:crm:1`, more: Record<string, unknown> = {}): WitnessLine {
  return { t: 0, event: 'delivery', key, bodyKey: key, callSid, isRepeat: false, outcome: 'answered', ...more }
}

const item = (callSid: string, type: string, state = 'done', attempt = 1): WitnessLine => ({
  ...{ t: 0, event: 'item', call_sid: callSid },
  ...{ type, state, attempt, version: 1 },
})

const kept = (callSid: string, more: Record<string, unknown> = {}): WitnessLine => ({
  ...{ t: 0, event: 'kept', call_sid: callSid, has_record: true, analyser: 'rules' },
  ...more,
})

const GOOD = {
  receiver: CALLS.map((sid) => delivery(sid)),
  work: CALLS.flatMap((sid) => [...TYPES.map((type) => item(sid, type)), kept(sid)]),
}

/** The story of a good run whose witnesses were changed, with the figures of `wanted` and that many breaches. */
function expectStory(
  change: { calls?: string[]; receiver?: WitnessLine[]; work?: WitnessLine[] },
  wanted: Partial<WorkStory>,
  breaches: number,
): WorkStory {
  const { calls = CALLS, receiver = GOOD.receiver, work = GOOD.work } = change
  const story = readWork(calls, receiver, work)
  const seen = Object.fromEntries(Object.keys(wanted).map((name) => [name, story[name as keyof WorkStory]]))
  assert.deepEqual(seen, wanted)
  assert.equal(story.breaches.length, breaches, story.breaches.join('\n'))
  return story
}

const without = (lines: readonly WitnessLine[], isOut: (line: WitnessLine) => boolean): WitnessLine[] =>
  lines.filter((line) => !isOut(line))

test('a good run has no breach, and every figure that is to be nothing is nothing', () => {
  const story = expectStory({}, { calls: 3, items: 9, effects: 3, requests: 3, repeats: 0 }, 0)
  const { jobsLost, dead, uncertain, duplicateEffects, lostEffects, effectsOfNoCall, wrongDeliveries } = story
  const { recordsMissing, recordsHalf, recordsOfNoCall } = story
  assert.deepEqual([jobsLost, dead, uncertain, duplicateEffects, lostEffects], [0, 0, 0, 0, 0])
  assert.deepEqual([effectsOfNoCall, wrongDeliveries, recordsMissing, recordsHalf, recordsOfNoCall], [0, 0, 0, 0, 0])
})

test('[WY2] an item that is not there, waits, runs, or is dead or uncertain is a lost job', () => {
  const isCrm = (line: WitnessLine): boolean => line.call_sid === 'CA2' && line.type === 'crm'
  expectStory({ work: without(GOOD.work, isCrm) }, { jobsLost: 1, items: 8 }, 1)
  for (const state of ['waiting', 'ready', 'running', 'dead', 'uncertain']) {
    const work = [...without(GOOD.work, isCrm), item('CA2', 'crm', state, 4)]
    const [dead, uncertain] = [state === 'dead' ? 1 : 0, state === 'uncertain' ? 1 : 0]
    expectStory({ work }, { jobsLost: 1, dead, uncertain, attemptsAgain: 3 }, 1)
  }
})

test('[WY3] a second key for a call is a duplicate, a repeat of its key is none', () => {
  const again = delivery('CA1', 'CA1:crm:1', { isRepeat: true })
  expectStory({ receiver: [...GOOD.receiver, again] }, { repeats: 1, repeatsAfterAnswer: 1, duplicateEffects: 0 }, 0)
  const dropped = [delivery('CA1', 'CA1:crm:1', { outcome: 'dropped' }), again, ...GOOD.receiver.slice(1)]
  expectStory({ receiver: dropped }, { repeats: 1, repeatsAfterAnswer: 0, duplicateEffects: 0, effects: 3 }, 0)
  const second = [...GOOD.receiver, delivery('CA1', 'CA1:crm:2')]
  expectStory({ receiver: second }, { duplicateEffects: 1, effects: 4 }, 1)
})

test('[WY3] a call without an effect is told, also one whose every request was refused', () => {
  expectStory({ receiver: GOOD.receiver.slice(1) }, { lostEffects: 1, effects: 2 }, 1)
  const busy = delivery('CA1', 'CA1:crm:1', { outcome: 'busy' })
  expectStory({ receiver: [busy, ...GOOD.receiver.slice(1)] }, { lostEffects: 1, effects: 2 }, 1)
})

test('[WY1][WY3] an effect of a call that the carrier does not know, and a key that was another call’s', () => {
  const strange = [...GOOD.receiver, delivery('CA9')]
  expectStory({ receiver: strange }, { effectsOfNoCall: 1, effects: 4 }, 1)
  const taken = [...GOOD.receiver.slice(0, 2), delivery('CA3', 'CA1:crm:1')]
  expectStory({ receiver: taken }, { wrongDeliveries: 1, effects: 2 }, 1)
  const apart = [...GOOD.receiver.slice(0, 2), delivery('CA3', 'CA3:crm:1', { bodyKey: 'CA1:crm:1' })]
  expectStory({ receiver: apart }, { wrongDeliveries: 1, effects: 3 }, 1)
  const refused: WitnessLine = { t: 0, event: 'refused', isSigned: false }
  expectStory({ receiver: [...GOOD.receiver, refused] }, { refused: 1 }, 0)
})

test('[WY1][WY4] a record that is missing, half, or of no call', () => {
  const isRecord = (line: WitnessLine): boolean => line.event === 'kept' && line.call_sid === 'CA3'
  const rest = without(GOOD.work, isRecord)
  expectStory({ work: rest }, { recordsMissing: 1 }, 1)
  expectStory({ work: [...rest, kept('CA3', { has_record: false })] }, { recordsHalf: 1, recordsMissing: 0 }, 1)
  expectStory({ work: [...rest, kept('CA3', { analyser: null })] }, { recordsHalf: 1 }, 1)
  expectStory({ work: [...GOOD.work, kept('CA9')] }, { recordsOfNoCall: 1 }, 1)
  // A call that the database never heard of lacks everything.
  expectStory({ calls: [...CALLS, 'CA4'] }, { jobsLost: 3, lostEffects: 1, recordsMissing: 1 }, 5)
})

test('a run without a witness is not green, and of many breaches the first are shown with their number', () => {
  const story = expectStory(
    { receiver: [], work: [] },
    { jobsLost: 9, lostEffects: 3, recordsMissing: 3, effects: 0 },
    15,
  )
  assert.deepEqual([describeWork(story).length, describeWork(story).at(-1)], [11, 'and 5 more'])
})
