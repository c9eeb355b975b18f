import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { WitnessLine } from '../load/report/witness.ts'
import { checkHistory, droppedCalls, gapFigures, type HistoryLimits, historyOf } from './history.ts'
import { hitsOf, moveSilenceMs } from './witness/gap.ts'
import type { LogLines } from './witness/log-lines.ts'

const S = 1_000_000
const LIMITS: HistoryLimits = { ceiling: 2, overBound: 0 }
const SID = 'CA1'

const line = (atS: number, event: string, facts: Record<string, unknown> = {}): WitnessLine => ({
  t: Math.round(atS * S),
  event,
  ...facts,
})
const carrier = (atS: number, event: string, facts: Record<string, unknown> = {}, call = 1): WitnessLine =>
  line(atS, event, { call, ...facts })
const pod = (atS: number, name: string, event: string, epoch: number, call = SID): WitnessLine =>
  line(atS, event, { pod: name, call: call as unknown as number, epoch })
const event = (type: string, epoch: number): WitnessLine => line(0, 'event', { call_sid: SID, type, epoch })
const request = (atS: number, key: string, step: number): WitnessLine =>
  line(atS, 'request', { key, callSid: SID, step })

/** One call on pod a, killed at 10 s, that goes on at pod b, hears its agent at 11.5 s and is answered. */
function sound(): LogLines {
  return {
    carrier: [
      carrier(0, 'call-placed', { callSid: SID }),
      carrier(1, 'stream-opened', { stream: 1, url: 'wss://h/media/a/CA1/t' }),
      carrier(2, 'stream-heard', { stream: 1, atUs: 2 * S }),
      carrier(10.01, 'stream-closed', { stream: 1, by: 'plane', closeCode: 1006 }),
      carrier(10.2, 'action-requested', { url: '/twilio/next' }),
      carrier(10.5, 'stream-opened', { stream: 2, url: 'wss://h/media/b/CA1/u' }),
      carrier(11.5, 'stream-heard', { stream: 2, atUs: 11.5 * S }),
      carrier(13, 'agent-heard', { stream: 2, fromUs: 11.5 * S, toUs: 13 * S }),
      carrier(14, 'caller-speech', { clip: 'x' }),
      carrier(18, 'agent-heard', { stream: 2, fromUs: 16 * S, toUs: 18 * S }),
      carrier(60, 'stream-closed', { stream: 2, by: 'carrier' }),
      carrier(60, 'call-ended', { status: 'completed', cause: 'caller-hung-up' }),
      carrier(60.1, 'callback', { what: 'status completed', outcome: 'answered' }),
    ],
    model: [
      line(1, 'session_opened', { session: 's1' }),
      line(1.5, 'probe', { session: 's1', call: 1 }),
      line(8, 'function_call', { session: 's1', call: 1, name: 'record_step', call_id: 'c1', arguments: '{"step":1}' }),
      line(10, 'session_closed', { session: 's1', call: 1 }),
      line(10.6, 'session_opened', { session: 's2' }),
      line(11, 'probe', { session: 's2', call: 1 }),
      line(60, 'session_closed', { session: 's2', call: 1 }),
    ],
    sink: [request(8.1, 'k1', 1)],
    pods: [pod(1, 'a', 'claimed', 1), pod(8, 'a', 'tool', 1), pod(10.6, 'b', 'claimed', 2), pod(60, 'b', 'ended', 2)],
    records: [
      line(0, 'record', { call_sid: SID, state: 'ended', resumes: 1 }),
      ...['opened', 'intended', 'claimed', 'ended'].map((type, i) => event(type, i < 2 ? 1 : 2)),
    ],
    faults: [line(10, 'kill', { pod: 'a', detail: '' })],
    brokenLines: 0,
  }
}

function broken(change: (logs: LogLines) => void): string[] {
  const logs = sound()
  change(logs)
  for (const list of [logs.carrier, logs.model, logs.sink, logs.pods, logs.faults]) list.sort((a, b) => a.t - b.t)
  return checkHistory(historyOf(logs), LIMITS).breaches.map(({ check }) => check)
}

test('[HC1] a sound history has no breach, and nothing of it is unseen', () => {
  const { breaches, unseen, sessionsMax, outcomes } = checkHistory(historyOf(sound()), LIMITS)
  assert.deepEqual([breaches, unseen, sessionsMax, outcomes], [[], [], 1, { 'caller-hung-up': 1 }])
})

test('[HC2] an act of an old epoch after a newer one was claimed is refused', () => {
  assert.deepEqual(
    broken(({ pods }) => pods.push(pod(12, 'a', 'acts', 1))),
    ['one acting epoch'],
  )
  assert.deepEqual(
    broken(({ pods }) => pods.push(pod(12, 'a', 'tool', 1))),
    ['one acting epoch'],
  )
  assert.deepEqual(
    broken(({ pods }) => pods.push(pod(12, 'a', 'fenced', 1), pod(10.7, 'a', 'acts', 1))),
    [],
  )
})

test('[PS2] a line that was stamped late because its pod was stopped is no breach; one after its waking is', () => {
  const stops = [line(10, 'stop', { pod: 'a' }), line(15, 'continue', { pod: 'a' })]
  const lateLine = broken(({ pods, faults }) => {
    faults.push(...stops)
    pods.push(pod(15.1, 'a', 'acts', 1))
  })
  const zombie = broken(({ pods, faults }) => {
    faults.push(...stops)
    pods.push(pod(16, 'a', 'acts', 1))
  })
  assert.deepEqual([lateLine, zombie], [[], ['one acting epoch']])
})

test('[HC2] a call that is ended twice is refused', () => {
  assert.deepEqual(
    broken(({ pods }) => pods.push(pod(61, 'b', 'ended', 2))),
    ['one end'],
  )
})

test('[RS1][RS2] a falling epoch in the records, two ends, and a record that did not end are refused', () => {
  assert.deepEqual(
    broken(({ records }) => records.push(event('intended', 1))),
    ['one acting epoch'],
  )
  assert.deepEqual(
    broken(({ records }) => records.push(event('ended', 2))),
    ['one end'],
  )
  assert.deepEqual(
    broken(({ records }) => {
      records[0]!.state = 'live'
    }),
    ['one end'],
  )
})

test('[HC3] a second effect, a key used for two steps and a step without effect are refused; a repeat is not', () => {
  assert.deepEqual(
    broken(({ sink }) => sink.push(request(12, 'k1', 1))),
    [],
  )
  assert.deepEqual(
    broken(({ sink }) => sink.push(request(12, 'k2', 1))),
    ['effects'],
  )
  assert.deepEqual(
    broken(({ sink }) => sink.push(request(12, 'k1', 2))),
    ['effects'],
  )
  assert.deepEqual(
    broken(({ sink }) => sink.splice(0)),
    ['effects'],
  )
})

test('[EF4] a step asked of a pod that died before it wrote the intent down may be missing; one with an intent may not', () => {
  const lost = (logs: LogLines, atS: number): void => {
    logs.sink = []
    for (const one of logs.model) if (one.event === 'function_call') one.t = atS * S
  }
  assert.deepEqual(
    broken((logs) => lost(logs, 9.5)),
    [],
  )
  assert.deepEqual(
    broken((logs) => {
      lost(logs, 9.5)
      logs.pods.push(pod(9.6, 'a', 'tool', 1))
    }),
    ['effects'],
  )
})

test('[HC4] one session too many, at one instant, is refused', () => {
  const third = (fromS: number) => [line(fromS, 'session_opened', { session: `x${fromS}` })]
  assert.deepEqual(
    broken(({ model }) => model.push(...third(5))),
    [],
  )
  assert.deepEqual(
    broken(({ model }) => model.push(...third(5), ...third(6))),
    ['ceiling'],
  )
})

test('[HC5] a call without an end, with two ends, or whose last callback was not delivered is refused', () => {
  const without = (event: string) =>
    broken((logs) => (logs.carrier = logs.carrier.filter((one) => one.event !== event)))
  assert.deepEqual(without('call-ended'), ['one outcome'])
  assert.deepEqual(without('callback'), ['one outcome'])
  const untold = carrier(0, 'call-placed', { callSid: SID, isTelling: false })
  const isUntold = (one: WitnessLine) => (one.event === 'call-placed' ? untold : one)
  assert.deepEqual(
    broken((logs) => (logs.carrier = logs.carrier.map(isUntold))),
    ['one outcome'],
  )
  assert.deepEqual(
    broken((logs) => (logs.carrier = logs.carrier.filter(({ event }) => event !== 'callback').map(isUntold))),
    [],
  )
  assert.deepEqual(
    broken((logs) => logs.carrier.push(carrier(61, 'call-ended', { status: 'failed', cause: 'webhook-failed' }))),
    ['one outcome'],
  )
})

test('[O21][HC5] a last callback that was lost is told with the hop that lost each attempt', () => {
  const logs = sound()
  const what = 'status completed'
  logs.carrier = logs.carrier.filter(({ event }) => event !== 'callback')
  logs.carrier.push(
    carrier(61, 'callback-attempt', { what, attempt: 1, ms: 3, status: 502, contentType: 'text/html' }),
    carrier(62, 'callback-attempt', { what, attempt: 2, ms: 4_000, error: 'rt: read timeout' }),
    carrier(63, 'callback-attempt', { what, attempt: 3, ms: 5, status: 503, contentType: 'text/xml; charset=utf-8' }),
    carrier(64, 'callback', { what, outcome: 'failed' }),
  )
  const { breaches } = checkHistory(historyOf(logs), LIMITS)
  const text = breaches.map((one) => one.text).join()
  assert.match(text, /attempt 1 after 3 ms by the proxy with 502/)
  assert.match(text, /attempt 2 after 4000 ms at the proxy, without an answer \(rt: read timeout\)/)
  assert.match(text, /attempt 3 after 5 ms by a pod with 503/)
})

test('[HC6] what no witness saw is named', () => {
  const logs = sound()
  logs.pods = []
  logs.model = []
  logs.records = []
  assert.equal(checkHistory(historyOf(logs), LIMITS).unseen.length, 3)
})

test('[GP2] the gap runs from the fault to the first audible frame on the next stream', () => {
  const { calls, faults } = historyOf(sound())
  const { hits, leftOut } = hitsOf(faults[0]!, calls.values(), 60 * S)
  assert.deepEqual([hits.length, leftOut, hits[0]?.gapMs, hits[0]?.isAnswered], [1, 0, 1500, true])
  assert.deepEqual(hits[0]?.steps, { brokenMs: 10, actionMs: 200, openedMs: 500 })
  const { talkAgain, answered, gapMs } = gapFigures(hits)
  assert.deepEqual([talkAgain, answered, gapMs.p50], [1, 1, 1500])
})

test('[GP1] a call on another pod is not hit; one that the proxy had put on the killed pod, or that fell silent on it, is', () => {
  const elsewhere = sound()
  elsewhere.carrier = elsewhere.carrier.filter(({ t }) => t < 10 * S)
  const onOther = { ...historyOf(elsewhere).faults[0]!, pod: 'z' }
  assert.equal(hitsOf(onOther, historyOf(elsewhere).calls.values(), 60 * S).hits.length, 0)
  const redispatched = historyOf(sound())
  assert.equal(hitsOf({ ...onOther }, redispatched.calls.values(), 60 * S).hits.length, 1)
  const named = sound()
  named.carrier = named.carrier.filter(({ t, event }) => t < 10 * S || event === 'call-ended')
  const silent = historyOf(named)
  assert.equal(hitsOf(silent.faults[0]!, silent.calls.values(), 60 * S).hits.length, 1)
  named.carrier.push(carrier(17, 'agent-heard', { stream: 1, fromUs: 15.5 * S, toUs: 17 * S }))
  const goesOn = historyOf(named)
  assert.equal(hitsOf(goesOn.faults[0]!, goesOn.calls.values(), 60 * S).hits.length, 0)
})

test('[GP3] a call that is never heard again counts against the share, not among the gaps', () => {
  const logs = sound()
  logs.carrier = logs.carrier.filter(({ stream, event }) => stream !== 2 || event === 'stream-opened')
  const { calls, faults } = historyOf(logs)
  const figures = gapFigures(hitsOf(faults[0]!, calls.values(), 60 * S).hits)
  assert.deepEqual([figures.callsHit, figures.talkAgain, figures.gapMs.n], [1, 0, 0])
})

test('[GP4] a call whose caller left at once is left out; one that the plane ended is not', () => {
  const ended = (cause: string) => {
    const logs = sound()
    logs.carrier = logs.carrier.filter(({ t }) => t < 10.3 * S)
    logs.carrier.push(carrier(10.4, 'call-ended', { status: 'completed', cause }))
    const { calls, faults } = historyOf(logs)
    const { hits, leftOut } = hitsOf(faults[0]!, calls.values(), 60 * S)
    return [hits.length, leftOut, droppedCalls(calls).length]
  }
  assert.deepEqual(ended('caller-hung-up'), [0, 1, 0])
  assert.deepEqual(ended('webhook-failed'), [1, 0, 1])
})

test('the silence of a planned move ends at the next stream, or with the agent when it owed an answer', () => {
  const story = historyOf(sound()).calls.get(1)!
  assert.equal(moveSilenceMs(story, 1), 490)
  story.turnsUs.unshift(9 * S)
  assert.equal(moveSilenceMs(story, 1), 1490)
  story.streams[0]!.heard.push({ fromUs: 9.5 * S, toUs: 10 * S })
  assert.equal(moveSilenceMs(story, 1), 490)
  assert.equal(moveSilenceMs(story, 2), undefined)
})
