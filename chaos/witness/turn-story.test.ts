// The judge of the run "turns" is fed what must not be.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { CallStory } from './call-story.ts'
import { turnsOf } from './turn-story.ts'

const S = 1_000_000
const stream = (heard: [number, number][]): CallStory['streams'][number] => ({
  number: 1,
  pod: '',
  openedUs: 0,
  closedUs: undefined,
  by: undefined,
  closeCode: undefined,
  heardUs: undefined,
  heard: heard.map(([from, to]) => ({ fromUs: from * S, toUs: to * S })),
})
const story = (parts: Partial<CallStory>): CallStory => ({
  call: 1,
  callSid: 'CA1',
  to: '',
  placedUs: 0,
  answeredUs: undefined,
  streams: [],
  refusedUs: [],
  actionsUs: [],
  turnsUs: [],
  pausesUs: [10 * S],
  webhook5xx: [],
  reading: [],
  warnings: [],
  ends: [],
  isTold: true,
  finalCallbacks: [],
  finalLosses: [],
  verbs: [],
  ...parts,
})

test('[TS1] [TS2] the next sound answers a turn, and dead air runs to it; so does a sentence of the carrier', () => {
  const [sound] = turnsOf(story({ streams: [stream([[11.5, 13]])] }))
  assert.deepEqual(sound, { kind: 'answered', by: 'sound', atUs: 10 * S, deadAirMs: 1_500 })
  const [say] = turnsOf(story({ verbs: [{ atUs: 14 * S, verb: 'Say', detail: '' }] }))
  assert.deepEqual(say, { kind: 'answered', by: 'carrier', atUs: 10 * S, deadAirMs: 4_000 })
  const [still] = turnsOf(story({ streams: [stream([[9, 10.4]])] }))
  assert.ok(still?.kind === 'answered' && still.deadAirMs === 0)
})

test('[TS4] nothing heard, a sound that ended before, a sound only after the caller tried again long after: unanswered', () => {
  const bad: Partial<CallStory>[] = [
    {},
    { streams: [stream([[8, 10.1]])] },
    { streams: [stream([[26, 27]])], turnsUs: [25 * S] },
    { ends: [{ atUs: 30 * S, cause: 'caller-hung-up', status: 'completed' }] },
    { ends: [{ atUs: 12 * S, cause: 'plane-closed', status: 'completed' }] },
    { verbs: [{ atUs: 12 * S, verb: 'Hangup', detail: '' }] },
  ]
  for (const parts of bad) assert.equal(turnsOf(story(parts))[0]?.kind, 'unanswered', JSON.stringify(parts))
})

test('[TS3] a turn that the caller himself cut short is left out', () => {
  const ends = [{ atUs: 12 * S, cause: 'caller-hung-up', status: 'completed' }]
  assert.equal(turnsOf(story({ ends }))[0]?.kind, 'left-out')
  assert.equal(turnsOf(story({ turnsUs: [12 * S], streams: [stream([[15, 16]])] }))[0]?.kind, 'left-out')
})
