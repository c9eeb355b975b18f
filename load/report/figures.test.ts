import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { CallReport } from '../../sim/twilio/report.ts'
import { failuresOf } from './failures.ts'
import { type FinishedCall, figuresOf, isClean, type RunRecord, setUpOutcome } from './figures.ts'
import { formatTable } from './table.ts'

const QUIET = { count: 100, p50Ms: 0.4, p99Ms: 2, maxMs: 8 }

function reportOf(changes: Partial<CallReport> = {}): CallReport {
  return {
    callSid: 'CA1',
    call: 1,
    status: 'completed',
    endCause: 'caller-hung-up',
    durationMs: 10_000,
    verbs: [],
    setUpMs: 40,
    firstAudioMs: 300,
    streams: 1,
    streamEnds: [],
    wasDropped: false,
    resumes: 0,
    framesSent: 500,
    framesSpoken: 200,
    mediaReceived: 50,
    marksReceived: 50,
    marksPlayed: 50,
    clearsReceived: 0,
    agentReceivedMs: 5_000,
    agentPlayedMs: 5_000,
    utterances: 2,
    turns: [],
    voiceToVoiceMs: [],
    bargeIns: [],
    gapsMs: [],
    probesSent: 20,
    probeLatenciesUs: [],
    lateness: QUIET,
    processLateness: QUIET,
    scriptTimeouts: [],
    warnings: [],
    ...changes,
  }
}

function callOf(
  changes: Partial<CallReport> = {},
  scenario: FinishedCall['scenario'] = 'talk',
  process = 0,
): FinishedCall {
  return { number: 1, scenario, process, report: reportOf(changes) }
}

function runOf(calls: FinishedCall[], changes: Partial<RunRecord> = {}): RunRecord {
  return {
    offered: calls.length,
    placed: calls.length,
    calls,
    errors: [],
    reactionsMs: undefined,
    model: undefined,
    timeline: [],
    processes: 1,
    wasInterrupted: false,
    ...changes,
  }
}

test('a clean run is clean, and what no witness saw is null', () => {
  const figures = figuresOf(runOf([callOf({ probeLatenciesUs: [1_500, 500] })]))
  assert.equal(isClean(figures), true)
  assert.equal(figures.addedLatencyMs.carrierToModel, null)
  assert.equal(figures.frames.lost, null)
  assert.equal(figures.addedLatencyMs.modelToCarrier.p99, 1.5)
  assert.equal(figures.agentAudio.playedShare, 0.5)
  assert.equal(figures.callerAudio.spokenShare, 0.4)
  assert.equal(figures.voiceToVoiceMs.p50, null)
})

test('[F2] an early hang-up before the stream is no failure, any other missing stream is one', () => {
  assert.equal(setUpOutcome(callOf({ setUpMs: undefined }, 'early-hangup')), 'left-early')
  assert.equal(setUpOutcome(callOf({ setUpMs: undefined, endCause: 'webhook-failed' }, 'early-hangup')), 'failed')
  assert.equal(setUpOutcome(callOf({ setUpMs: undefined })), 'failed')
  assert.equal(isClean(figuresOf(runOf([callOf({ setUpMs: undefined })]))), false)
})

test('[O17] [F2] a caller who hears a sentence instead of an agent was refused, which is no failure and not clean either', () => {
  const verbs = [{ verb: 'Say', detail: 'busy' }]
  const refused = callOf({ setUpMs: undefined, endCause: 'twiml-hangup', verbs })
  assert.equal(setUpOutcome(refused), 'refused')
  assert.equal(setUpOutcome(callOf({ setUpMs: undefined, endCause: 'webhook-failed', verbs })), 'failed')
  assert.equal(setUpOutcome(callOf({ setUpMs: undefined, endCause: 'twiml-hangup', verbs: [] })), 'failed')
  assert.equal(setUpOutcome(callOf({ setUpMs: 5, endCause: 'twiml-hangup', verbs })), 'succeeded')
  const figures = figuresOf(runOf([refused]))
  assert.deepEqual([figures.setUp.refused, figures.setUp.failed, isClean(figures)], [1, 0, false])
})

test('[P74][F2] a caller who leaves a message, or is offered a call-back, is counted as that and not as refused', () => {
  const wait = ['Say', 'Pause', 'Redirect', 'Say']
  const over = (verb: string) =>
    callOf({
      setUpMs: undefined,
      endCause: 'twiml-hangup',
      verbs: [...wait, verb, 'Say'].map((one) => ({ verb: one, detail: '' })),
    })
  const calls = [over('Record'), over('Gather'), over('Gather')]
  const figures = figuresOf(runOf(calls))
  const { refused, failed, messages, callBacks } = figures.setUp
  assert.deepEqual([refused, failed, messages, callBacks, isClean(figures)], [0, 0, 1, 2, false])
  assert.match(formatTable(figures), /left a message +1\n.*offered a call-back +2/)
  assert.deepEqual(
    failuresOf(calls, []).map((one) => one.calls),
    [2, 1],
  )
})

test('a dropped call and an error of the generator each make the run unclean', () => {
  const dropped = figuresOf(runOf([callOf({ wasDropped: true, endCause: 'twiml-ended' })]))
  assert.equal(dropped.calls.dropped, 1)
  assert.deepEqual(dropped.calls.ends, { 'twiml-ended': 1 })
  assert.equal(isClean(dropped), false)
  assert.equal(isClean(figuresOf(runOf([callOf()], { errors: ['process 1 ended'] }))), false)
})

test('[L1] [F4] a call that was never set up is counted once, as a failed set-up', () => {
  const figures = figuresOf(runOf([callOf({ setUpMs: undefined, wasDropped: true, endCause: 'twiml-ended' })]))
  assert.deepEqual([figures.setUp.failed, figures.calls.dropped], [1, 0])
  assert.equal(isClean(figures), false)
})

test("[O5] [F4] an agent's hang-up is an end of its own, and the run is clean", () => {
  const calls = [
    callOf({ endCause: 'twiml-hangup', agentEnd: 'hung-up' }),
    callOf({ endCause: 'twiml-ended', agentEnd: 'transferred' }),
  ]
  const figures = figuresOf(runOf(calls))
  assert.deepEqual(figures.calls.ends, { 'agent-hung-up': 1, 'agent-transferred': 1 })
  assert.deepEqual([figures.calls.dropped, isClean(figures)], [0, true])
})

test('[L1] [F5] a caller who heard nothing until the end makes the run unclean, however short the run', () => {
  for (const framesSent of [150, 300, 1_000]) {
    const mute = figuresOf(runOf([callOf({ mediaReceived: 0, framesSent })]))
    assert.deepEqual([mute.calls.mute, isClean(mute)], [1, false], String(framesSent))
  }
  const short = figuresOf(runOf([callOf({ mediaReceived: 0, framesSent: 149 })]))
  assert.deepEqual([short.calls.mute, isClean(short)], [0, true])
  const heard = figuresOf(runOf([callOf({ mediaReceived: 1, framesSent: 1_000 })]))
  assert.deepEqual([heard.calls.mute, isClean(heard)], [0, true])
})

test('[L1] [F6] frames lost are a dash in a run without probes, whatever a witness says', () => {
  const model = { latenciesMs: [], framesLost: 0, framesExtra: 0, speechStarted: [], brokenLines: 0 }
  const without = figuresOf(runOf([callOf({ probesSent: 0 })], { model }))
  assert.deepEqual([without.frames.lost, without.frames.extra], [null, null])
  const { frames } = figuresOf(runOf([callOf()], { model }))
  assert.deepEqual([frames.lost, frames.extra], [0, 0])
})

test('turns are sorted into answered, overlapped and unanswered', () => {
  const turns = [
    { clip: 'a', voiceToVoiceMs: 800, isOverlapped: false },
    { clip: 'b', isOverlapped: true },
    { clip: 'c', isOverlapped: false },
  ]
  const figures = figuresOf(runOf([callOf({ turns, voiceToVoiceMs: [800] })]))
  assert.deepEqual(figures.turns, { asked: 3, answered: 1, overlapped: 1, unanswered: 1 })
})

test('[F3] a late process or a late call is said, with the figures that it spoils', () => {
  const late = { count: 5_000, p50Ms: 3, p99Ms: 25, maxMs: 60 }
  const slow = figuresOf(runOf([callOf(), callOf({ processLateness: late }, 'talk', 1)])).generator
  assert.equal(slow.isLate, true)
  assert.equal(slow.latenessMs.p99, 25)
  assert.ok(slow.distrust.includes('added latency'))
  const stalled = figuresOf(runOf([callOf({ lateness: { ...QUIET, maxMs: 140 } })])).generator
  assert.equal(stalled.isLate, true)
  assert.equal(stalled.lateCalls, 1)
  assert.equal(figuresOf(runOf([callOf()])).generator.isLate, false)
})

test('the table prints every figure with its sample size, and an absent one as a dash', () => {
  const model = {
    latenciesMs: [1, 2, 3],
    framesLost: 4,
    framesExtra: 0,
    speechStarted: [],
    brokenLines: 0,
  }
  const table = formatTable(figuresOf(runOf([callOf()], { model, reactionsMs: [4.5] })))
  assert.match(table, /carrier → model\s+3\s+2\.0\s+3\.0\s+3\.0/)
  assert.match(table, /speech_started → clear\s+1\s+4\.5/)
  assert.match(table, /voice-to-voice\s+0\s+–/)
  assert.match(table, /frames lost\s+4/)
})
