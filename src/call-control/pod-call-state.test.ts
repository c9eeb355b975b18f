import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import fc from 'fast-check'
import type { EndCause } from '../call/end-cause.ts'
import type { Next } from '../call/state.ts'
import type { CallSid } from '../kit/ids.ts'
import type { Origin } from './origin.ts'
import {
  type AwaitedTransfer,
  heldIn,
  type PodCallEffect,
  type PodCallEvent,
  type PodCallState,
  step,
} from './pod-call-state.ts'

type One = { epoch: number; origin: Origin }
type State = PodCallState<One>
type Event = PodCallEvent<One>

const CALL = 'CA1' as CallSid
const originOf = (epoch: number): Origin => ({
  ...{ callId: 'call_1' as Origin['callId'], callSid: CALL, tenant: 't', from: '+1', to: '+2', direction: 'inbound' },
  ...{ pool: 'main', epoch, resume: undefined },
})
const callOf = (epoch: number): One => ({ epoch, origin: originOf(epoch) })
const [first, second] = [callOf(1), callOf(2)]
const request = { callSid: CALL, epoch: 1, cause: 'agent-ended', next: { kind: 'none' }, checkpoint: 'x' } as const
const detached = { origin: originOf(1), checkpoint: 'x', hasPlace: true }
const offer = { callSid: CALL, from: '+1', to: '+2', direction: 'inbound' } as const
const transfer: AwaitedTransfer = { origin: originOf(1), to: '+1', request }
const grant = { kind: 'stream', callId: originOf(1).callId, token: 't', pod: 'b' } as const

const following = (next: Next | typeof grant, awaited?: AwaitedTransfer): State => ({
  ...{ kind: 'following', next, epoch: 1, isAsked: false, transfer: awaited },
})

const STATES: Readonly<Record<string, State>> = {
  absent: { kind: 'absent' },
  expected: { kind: 'expected' },
  queued: { kind: 'queued', offer, sinceMs: 0 },
  preparing: { kind: 'preparing', epoch: 1, before: undefined },
  'preparing beside': { kind: 'preparing', epoch: 2, before: { kind: 'active', call: first, hasStream: true } },
  prepared: { kind: 'prepared', call: first },
  active: { kind: 'active', call: first, hasStream: true },
  moving: { kind: 'moving', call: first, hasStream: true },
  detached: { kind: 'detached', detached },
  'following end': following({ kind: 'none' }),
  'following stream': following(grant),
  'following transfer': following({ kind: 'transfer', to: '+1' }, transfer),
}

const over = (cause: EndCause, next: Next = { kind: 'none' }, hasLastWords = false): Event => ({
  ...{ kind: 'call-over', call: first, over: { cause, next, request, hasLastWords }, mayAwait: true },
})

const EVENTS: Readonly<Record<string, Event>> = {
  asked: { kind: 'asked' },
  idle: { kind: 'idle' },
  queued: { kind: 'queued', offer, sinceMs: 1 },
  'left-queue': { kind: 'left-queue' },
  'prepare 1': { kind: 'prepare', epoch: 1 },
  'prepare 2': { kind: 'prepare', epoch: 2 },
  'prepare 3': { kind: 'prepare', epoch: 3 },
  'made 1': { kind: 'made', call: first },
  'made 2': { kind: 'made', call: second },
  'not-made 1': { kind: 'not-made', epoch: 1 },
  'not-made 2': { kind: 'not-made', epoch: 2 },
  'stream-opened': { kind: 'stream-opened', call: first },
  'stream-began': { kind: 'stream-began', call: first },
  moves: { kind: 'moves', call: first },
  stays: { kind: 'stays', call: first },
  fenced: { kind: 'fenced', call: first },
  relinquish: { kind: 'relinquish', call: first, cause: 'handed-over' },
  'over agent-ended': over('agent-ended'),
  'over last words': over('agent-ended', { kind: 'none' }, true),
  'over transferred': over('transferred', { kind: 'transfer', to: '+1' }),
  'over carrier-lost': over('carrier-lost'),
  'over moved': over('moved'),
  detach: { kind: 'detach', detached },
  'carrier-over': { kind: 'carrier-over', cause: 'caller-hung-up' },
  follow: { kind: 'follow', next: grant, epoch: 0 },
  'told-next': { kind: 'told-next' },
  'goes-on': { kind: 'goes-on' },
  taken: { kind: 'taken' },
  expired: { kind: 'expired' },
}

/** state | event | next state | effects. A pair that is not here changes nothing. */
const TABLE = `
  absent | asked | expected |
  absent | queued | queued |
  absent | prepare 1 | preparing 1 |
  absent | prepare 2 | preparing 2 |
  absent | prepare 3 | preparing 3 |
  absent | made 1 | absent | decide 1, relinquish moved 1
  absent | made 2 | absent | decide 2, relinquish moved 2
  absent | detach | detached |
  absent | carrier-over | following none | end-pending
  absent | follow | following stream |
  expected | idle | absent |
  expected | queued | queued |
  expected | prepare 1 | preparing 1 |
  expected | prepare 2 | preparing 2 |
  expected | prepare 3 | preparing 3 |
  expected | made 1 | expected | decide 1, relinquish moved 1
  expected | made 2 | expected | decide 2, relinquish moved 2
  expected | detach | detached |
  expected | carrier-over | following none | end-pending
  expected | follow | following stream |
  queued | queued | queued |
  queued | left-queue | expected |
  queued | prepare 1 | preparing 1 |
  queued | prepare 2 | preparing 2 |
  queued | prepare 3 | preparing 3 |
  queued | made 1 | queued | decide 1, relinquish moved 1
  queued | made 2 | queued | decide 2, relinquish moved 2
  queued | detach | detached |
  queued | carrier-over | following none | end-pending, leave-queue
  queued | follow | following stream |
  queued | expired | expected |
  preparing | prepare 2 | preparing 2 |
  preparing | prepare 3 | preparing 3 |
  preparing | made 1 | prepared 1 |
  preparing | made 2 | preparing 1 | decide 2, relinquish moved 2
  preparing | not-made 1 | expected |
  preparing | carrier-over | following none | end-pending
  preparing | follow | following stream |
  preparing beside | prepare 3 | preparing 3 beside active 1 |
  preparing beside | made 1 | preparing 2 beside active 1 | decide 1, relinquish moved 1
  preparing beside | made 2 | prepared 2 | decide 1, relinquish moved 1
  preparing beside | not-made 2 | active 1 |
  preparing beside | stream-began | preparing 2 beside active 1 |
  preparing beside | moves | preparing 2 beside moving 1 |
  preparing beside | fenced | preparing 2 | decide 1, relinquish moved 1
  preparing beside | relinquish | preparing 2 | decide 1, relinquish handed-over 1
  preparing beside | over agent-ended | preparing 2 | decide 1, write-end
  preparing beside | over last words | preparing 2 | decide 1, release, write-end after words
  preparing beside | over transferred | preparing 2 | decide 1, write-end
  preparing beside | over carrier-lost | preparing 2 | decide 1
  preparing beside | over moved | preparing 2 | decide 1
  preparing beside | carrier-over | active 1 | end-pending, tell-call 1
  prepared | prepare 2 | preparing 2 beside prepared 1 |
  prepared | prepare 3 | preparing 3 beside prepared 1 |
  prepared | made 1 | prepared 1 | decide 1, relinquish moved 1
  prepared | made 2 | prepared 1 | decide 2, relinquish moved 2
  prepared | stream-opened | active 1 | decide 1, keep 1
  prepared | fenced | expected | decide 1, relinquish moved 1
  prepared | relinquish | expected | decide 1, relinquish handed-over 1
  prepared | over agent-ended | expected | decide 1, write-end-unless-opened
  prepared | over last words | expected | decide 1, write-end-unless-opened
  prepared | over transferred | expected | decide 1, write-end-unless-opened
  prepared | over carrier-lost | expected | decide 1, write-end-unless-opened
  prepared | over moved | expected | decide 1
  prepared | carrier-over | prepared 1 | end-pending, tell-call 1
  active | prepare 2 | preparing 2 beside active 1 |
  active | prepare 3 | preparing 3 beside active 1 |
  active | made 1 | active 1 | decide 1, relinquish moved 1
  active | made 2 | active 1 | decide 2, relinquish moved 2
  active | stream-began | active 1 |
  active | moves | moving 1 |
  active | fenced | expected | decide 1, relinquish moved 1
  active | relinquish | expected | decide 1, relinquish handed-over 1
  active | over agent-ended | following none | decide 1, write-end
  active | over last words | following none | decide 1, release, write-end after words
  active | over transferred | following transfer awaited | decide 1, release, await-transfer 1
  active | over carrier-lost | detached | decide 1
  active | over moved | expected | decide 1
  active | carrier-over | active 1 | end-pending, tell-call 1
  moving | prepare 2 | preparing 2 beside moving 1 |
  moving | prepare 3 | preparing 3 beside moving 1 |
  moving | made 1 | moving 1 | decide 1, relinquish moved 1
  moving | made 2 | moving 1 | decide 2, relinquish moved 2
  moving | stream-began | moving 1 |
  moving | stays | active 1 |
  moving | relinquish | expected | decide 1, relinquish handed-over 1
  moving | over agent-ended | following none | decide 1, write-end
  moving | over last words | following none | decide 1, release, write-end after words
  moving | over transferred | following transfer awaited | decide 1, release, await-transfer 1
  moving | over carrier-lost | detached | decide 1
  moving | over moved | expected | decide 1
  moving | carrier-over | moving 1 | end-pending, tell-call 1
  detached | prepare 1 | preparing 1 |
  detached | prepare 2 | preparing 2 |
  detached | prepare 3 | preparing 3 |
  detached | made 1 | detached | decide 1, relinquish moved 1
  detached | made 2 | detached | decide 2, relinquish moved 2
  detached | detach | detached |
  detached | carrier-over | following none | end-pending, write-end
  detached | follow | following stream |
  detached | taken | expected |
  detached | expired | expected | give-up
  following end | prepare 1 | preparing 1 |
  following end | prepare 2 | preparing 2 |
  following end | prepare 3 | preparing 3 |
  following end | made 1 | following none | decide 1, relinquish moved 1
  following end | made 2 | following none | decide 2, relinquish moved 2
  following end | detach | detached |
  following end | carrier-over | following none | end-pending
  following end | follow | following stream |
  following end | told-next | following none |
  following end | goes-on | expected |
  following end | taken | following none |
  following end | expired | expected |
  following stream | prepare 1 | preparing 1 |
  following stream | prepare 2 | preparing 2 |
  following stream | prepare 3 | preparing 3 |
  following stream | made 1 | following stream | decide 1, relinquish moved 1
  following stream | made 2 | following stream | decide 2, relinquish moved 2
  following stream | detach | detached |
  following stream | carrier-over | following none | end-pending
  following stream | follow | following stream |
  following stream | told-next | following stream |
  following stream | goes-on | expected |
  following stream | taken | following stream |
  following stream | expired | expected |
  following transfer | prepare 1 | preparing 1 |
  following transfer | prepare 2 | preparing 2 |
  following transfer | prepare 3 | preparing 3 |
  following transfer | made 1 | following transfer awaited | decide 1, relinquish moved 1
  following transfer | made 2 | following transfer awaited | decide 2, relinquish moved 2
  following transfer | detach | detached |
  following transfer | carrier-over | following transfer awaited | end-pending
  following transfer | follow | following stream awaited |
  following transfer | told-next | following transfer awaited |
  following transfer | goes-on | expected |
  following transfer | taken | following transfer |
  following transfer | expired | following transfer | write-end
`

function nameOf(state: State): string {
  const held = heldIn(state)
  if (state.kind === 'preparing')
    return `preparing ${state.epoch}${held === undefined ? '' : ` beside ${held.kind} ${held.call.epoch}`}`
  if (held !== undefined) return `${held.kind} ${held.call.epoch}`
  if (state.kind !== 'following') return state.kind
  return `following ${state.next.kind}${state.transfer === undefined ? '' : ' awaited'}`
}

function effectOf(effect: PodCallEffect<One>): string {
  const why = effect.kind === 'relinquish' ? ` ${effect.cause}` : ''
  const when = effect.kind === 'write-end' && effect.afterLastWords !== undefined ? ' after words' : ''
  return `${effect.kind}${why}${when}${'call' in effect ? ` ${effect.call.epoch}` : ''}`
}

suite('what a call is on its pod', () => {
  test('[PCS1-PCS6] each event in each state leads where the table says, and nothing else changes anything', () => {
    const told: string[] = []
    for (const [stateName, state] of Object.entries(STATES))
      for (const [eventName, event] of Object.entries(EVENTS)) {
        const { state: next, effects } = step(state, event)
        if (next === state && effects.length === 0) continue
        told.push([stateName, eventName, nameOf(next), effects.map(effectOf).join(', ')].join(' | ').trimEnd())
      }
    const wanted = TABLE.trim()
      .split('\n')
      .map((line) => line.trim())
    assert.deepEqual(told, wanted)
  })

  test('[PCS5] what was prepared for a handover leaves no trace, and a stream that had not begun keeps no place', () => {
    const given = {
      epoch: 2,
      origin: { ...originOf(2), resume: { kind: 'handover', checkpoint: 'x', intents: [] } },
    } as const
    const overOf = (call: One, cause: EndCause): Event => ({ ...over(cause), call }) as Event
    const gone = step<One>({ kind: 'prepared', call: given }, overOf(given, 'stream-never-came'))
    assert.deepEqual([gone.state.kind, gone.effects.map(effectOf)], ['expected', ['decide 2']])
    const early = step<One>({ kind: 'active', call: first, hasStream: false }, over('carrier-lost'))
    assert.ok(early.state.kind === 'detached' && !early.state.detached.hasPlace)
    assert.deepEqual(early.effects.map(effectOf), ['decide 1', 'release'])
  })

  test('[EG9] a transfer for which there is no room is not awaited: its end is written at once', () => {
    const event = { ...over('transferred', { kind: 'transfer', to: '+1' }), mayAwait: false } as Event
    const { state, effects } = step(STATES.active!, event)
    assert.deepEqual([nameOf(state), effects.map(effectOf)], ['following transfer', ['decide 1', 'write-end']])
  })

  test('[POD-3][P55][PCS1][PCS2] in whatever order things happen, no call acts after it was relinquished, and each is relinquished or ended once', () => {
    const events = Object.values(EVENTS).filter(({ kind }) => kind !== 'made')
    fc.assert(
      fc.property(fc.array(fc.nat({ max: events.length }), { maxLength: 40 }), (picks) => {
        let state: State = { kind: 'absent' }
        const ended = new Map<One, number>()
        let highest = 0
        for (const pick of picks) {
          // What is being prepared is made now and then; each is a call of its own.
          const made = state.kind === 'preparing' ? callOf(state.epoch) : undefined
          const held = heldIn(state)
          const template = events[pick]
          const event: Event =
            template === undefined
              ? made === undefined
                ? { kind: 'asked' }
                : { kind: 'made', call: made }
              : 'call' in template
                ? ({ ...template, call: held?.call ?? first } as Event)
                : template
          const stepped: { state: State; effects: PodCallEffect<One>[] } = step(state, event)
          state = stepped.state
          for (const effect of stepped.effects) {
            if (effect.kind !== 'decide') continue
            const isActing = heldIn(state)?.call === effect.call
            if (!isActing) ended.set(effect.call, (ended.get(effect.call) ?? 0) + 1)
          }
          const now = heldIn(state)?.call
          assert.ok(now === undefined || !ended.has(now), 'a call that was relinquished is held again')
          if (now !== undefined && event.kind === 'made') {
            assert.ok(now.epoch >= highest, 'a lower epoch took the place of a higher one')
            highest = now.epoch
          }
          if (now === undefined) highest = 0
          if (state.kind === 'preparing') assert.ok(state.epoch > (state.before?.call.epoch ?? 0))
        }
        for (const times of ended.values()) assert.equal(times, 1)
      }),
      { numRuns: 2_000 },
    )
  })
})
