import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CallRecord } from '../report.ts'
import { openWitness } from '../witness.ts'
import { AgentEar, FINISHED_MS } from './agent-ear.ts'
import { CallerLeg } from './caller-leg.ts'
import { type CallerActs, type CallerScript, ScriptRunner } from './script.ts'
import { Wheel } from './wheel.ts'

const LOUD = Buffer.alloc(160, 0x80)
const clip = (name: string, frames: number) => ({
  name,
  ulaw: Buffer.alloc(frames * 160, 0x80),
  ms: frames * 20,
  speechEndMs: frames * 20,
})

/** Runs a script on a made-up clock; the agent sounds in the ticks `agent` names. */
function play(script: CallerScript, ticks: number, agent: (tick: number) => boolean = () => false, hasStream = true) {
  const ear = new AgentEar()
  const seen: string[] = []
  const runner = new ScriptRunner(script, ear, {
    pressDigit: (digit) => seen.push(`${digit}@${now}`),
    hangUp: () => seen.push(`hang-up@${now}`),
    dropSocket: (how) => seen.push(`${how}@${now}`),
    timedOut: (step) => seen.push(`timeout ${step}@${now}`),
  })
  let now = 0
  for (let tick = 0; tick < ticks; tick++) {
    now = tick * 20
    if (agent(tick)) ear.framePlayed(LOUD, 160, now)
    else ear.silent(now)
    runner.tick(now, hasStream)
    if (runner.sounding !== undefined) seen.push(`${runner.sounding.name}[${runner.frameIndex}]@${now}`)
  }
  return { seen, ear }
}

test('steps follow one another without losing a tick', () => {
  const { seen } = play({ steps: [{ pauseMs: 40 }, { say: clip('hi', 2) }, { dtmf: '1#' }], maxMs: 9000 }, 40)
  assert.deepEqual(seen, ['hi[0]@40', 'hi[1]@60', '1@80', '#@280', 'hang-up@280'])
})

test('[R2] maxMs hangs up once, wherever the script is', () => {
  const { seen } = play({ steps: [{ repeat: 'until end', steps: [{ pauseMs: 100 }] }], maxMs: 500 }, 60)
  assert.deepEqual(seen, ['hang-up@500'])
})

test('[R3] a wait that runs out is reported, and the script goes on', () => {
  const steps: CallerScript['steps'] = [{ waitForAgent: 'speaking', timeoutMs: 100 }, { hangUp: true }]
  assert.deepEqual(play({ steps, maxMs: 9000 }, 20).seen, ['timeout waitForAgent speaking@100', 'hang-up@100'])
})

test('[R4] an endless repeat of nothing neither spins nor recurses', () => {
  const steps: CallerScript['steps'] = [{ repeat: 'until end', steps: [{ repeat: 0, steps: [] }] }]
  assert.deepEqual(play({ steps, maxMs: 60 }, 10).seen, ['hang-up@60'])
})

test('[R1] without a stream the caller says nothing but loses patience', () => {
  const steps: CallerScript['steps'] = [{ stayMs: 100 }, { say: clip('hi', 2) }]
  assert.deepEqual(play({ steps, maxMs: 300 }, 30, undefined, false).seen, ['hang-up@300'])
})

test('[Y3] a caller of own patience does not count the time in which this process was held up; one by the wall does', () => {
  const hungUpMs = (patience: 'own' | 'wall'): number => {
    let atMs = 0
    let ended: number | undefined
    const acts: CallerActs = { pressDigit() {}, hangUp: () => (ended ??= atMs), dropSocket() {}, timedOut() {} }
    const record = new CallRecord('CA1', 1, openWitness(undefined))
    const wants = { probe: false, recording: false, patience }
    const leg = new CallerLeg(new Wheel(), record, { steps: [{ stayMs: 1_000 }], maxMs: 60_000 }, acts, wants)
    for (let tick = 0; ended === undefined; tick += 1) {
      const dueMs = tick * 20
      // From 400 ms on nothing runs until 1 000: what was due meanwhile is made up for then.
      atMs = dueMs > 400 && dueMs < 1_000 ? 1_000 : dueMs
      leg.tick(dueMs, atMs)
    }
    return ended
  }
  assert.equal(hungUpMs('wall'), 1_000)
  assert.ok(Math.abs(hungUpMs('own') - 1_540) <= 20, `${hungUpMs('own')}`)
})

test('[E1] [E2] a turn is timed to the next utterance; a short hole is a gap, not an answer', () => {
  const steps: CallerScript['steps'] = [
    { say: clip('ask', 5) },
    { waitForAgent: 'finished', timeoutMs: 5000 },
    { hangUp: true },
  ]
  const agent = (tick: number): boolean => (tick >= 20 && tick < 30) || (tick >= 33 && tick < 40)
  const { seen, ear } = play({ steps, maxMs: 9000 }, 80, agent)
  assert.deepEqual(ear.turns, [{ clip: 'ask', isOverlapped: false, voiceToVoiceMs: 320, voiceToAudibleMs: 320 }])
  assert.deepEqual(ear.gapsMs, [60])
  assert.equal(seen.at(-1), `hang-up@${40 * 20 + FINISHED_MS}`)
})

test('[E3] a barge-in waits for the agent and is answered by the clear', () => {
  const steps: CallerScript['steps'] = [{ bargeIn: clip('stop', 3), afterAgentMs: 200 }]
  const { seen, ear } = play({ steps, maxMs: 9000 }, 40, (tick) => tick >= 5)
  assert.equal(seen[0], 'stop[0]@300')
  assert.equal(ear.cleared(345), 45)
  assert.equal(ear.bargeIns[0]!.reactionMs, 45)
})

test('[P75][R5] a caller who waits for a greeting speaks first when there is none, and that is told', () => {
  const told = 'the agent did not speak first: the caller spoke after 0.4 s'
  const overGreeting = { bargeIn: clip('hello', 2), afterAgentMs: 200, timeoutMs: 400, orSpeaks: true } as const
  const barging = play({ steps: [overGreeting, { hangUp: true }], maxMs: 9_000 }, 40)
  assert.deepEqual(barging.seen.slice(0, 2), [`timeout ${told}@400`, 'hello[0]@400'])
  assert.deepEqual([barging.ear.bargeIns, barging.ear.turns.length], [[], 1])
  const waiting = { waitForAgent: 'finished', timeoutMs: 5_000, silentMs: 400 } as const
  const silent = play({ steps: [waiting, { say: clip('hello', 2) }], maxMs: 9_000 }, 40)
  assert.deepEqual(silent.seen.slice(0, 2), [`timeout ${told}@400`, 'hello[0]@400'])
  const greeted = play(
    { steps: [waiting, { say: clip('hello', 2) }], maxMs: 9_000 },
    60,
    (tick) => tick >= 5 && tick < 30,
  )
  assert.equal(greeted.seen[0], `hello[0]@${30 * 20 + FINISHED_MS}`)
})
