// What a call tells becomes metrics, a trace of turns and a timeline.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { initialState } from '../call/state.ts'
import { FakeClock } from '../kit/clock.ts'
import type { CallId } from '../kit/ids.ts'
import { Metrics } from './metrics.ts'
import type { TurnSpan } from './traces.ts'
import { type TimelineEntry, Watch } from './watch.ts'

function makeWatch() {
  const clock = new FakeClock(5)
  const metrics = new Metrics()
  const turns: TurnSpan[] = []
  const ends: string[] = []
  const entries: TimelineEntry[] = []
  const trace = {
    turn: (turn: TurnSpan) => void turns.push(turn),
    end: (end: { outcome: string }) => void ends.push(end.outcome),
  }
  const traces = { call: () => trace, close: async () => {} }
  const onEntry = (entry: TimelineEntry): void => void entries.push(entry)
  return {
    clock,
    metrics,
    turns,
    ends,
    entries,
    watch: new Watch({ metrics, traces, clock, callId: 'c' as CallId, onEntry }),
  }
}

test('[MT1] a turn is measured from the caller’s silence to the agent’s voice, once', () => {
  const { clock, metrics, watch, turns, ends } = makeWatch()
  watch.moment('agent-speaking')
  assert.equal(metrics.turnLatency.count, 0)
  watch.moment('caller-speaking')
  clock.advance(900)
  watch.moment('caller-silent')
  clock.advance(400)
  watch.moment('agent-speaking')
  clock.advance(50)
  watch.moment('agent-speaking')
  watch.ended('agent-ended', initialState())
  const [sum] = metrics.turnLatency.samples('x', {}).filter(({ metricName }) => metricName === 'x_sum')
  assert.deepEqual([metrics.turnLatency.count, sum?.value], [1, 0.4])
  assert.deepEqual(
    turns.map(({ party, startMs, endMs, ending }) => [party, endMs - startMs, ending]),
    [
      ['agent', 0, 'next'],
      ['caller', 1_300, 'next'],
      ['agent', 50, 'next'],
      ['agent', 0, 'agent-ended'],
    ],
  )
  assert.deepEqual([ends, [...metrics.calls.entries()]], [['agent-ended'], [['agent-ended', 1]]])
})

test('[MT1] counts go where they belong', () => {
  const { metrics, watch } = makeWatch()
  watch.frameReceived()
  watch.framesSent(3)
  watch.frameDropped('early')
  watch.count('barge-in', undefined)
  watch.count('model-error', 'close_1011')
  watch.count('model-error', undefined)
  watch.count('turn', undefined)
  watch.added('inbound', 0.2)
  assert.deepEqual([metrics.frames, metrics.bargeIns], [{ inbound: 1, outbound: 3 }, 1])
  assert.deepEqual([...metrics.framesDropped.entries()], [['early', 1]])
  assert.deepEqual(
    [...metrics.modelErrors.entries()],
    [
      ['close_1011', 1],
      ['unknown', 1],
    ],
  )
  assert.deepEqual([metrics.addedLatency.inbound.count, metrics.addedLatency.outbound.count], [1, 0])
})

test('[MT1] the timeline tells moments, tools and the end, with the time since the offer', () => {
  const { clock, entries, watch } = makeWatch()
  clock.advance(100.4)
  watch.moment('stream-open')
  watch.toolStarted('t', 'book')
  clock.advance(20)
  watch.toolEnded('t')
  watch.toolEnded('never begun')
  watch.ended('drained', initialState())
  assert.deepEqual(entries, [
    { atMs: 0, what: 'call offered' },
    { atMs: 100, what: 'stream open' },
    { atMs: 100, what: 'tool called', detail: 'book' },
    { atMs: 120, what: 'tool answered', detail: 'book' },
    { atMs: 120, what: 'call ended', detail: 'drained' },
  ])
})

test('[MT1] tools that never answer are remembered within a bound', () => {
  const { watch, entries } = makeWatch()
  for (let i = 0; i < 100; i += 1) watch.toolStarted(`t${i}`, 'slow')
  for (let i = 0; i < 100; i += 1) watch.toolEnded(`t${i}`)
  assert.equal(entries.filter(({ what }) => what === 'tool answered').length, 32)
})
