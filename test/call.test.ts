// A call from its first word to its last: heard and recognised at the far end, a tool at work, interrupted and gone on with.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { assertUnbroken, clinicScript, Plane } from './plane.ts'
import { agentUtterances, DECOYS, plainWords, recognise } from './recogniser.ts'

const GREETING = 'Good morning, this is the front desk of the clinic.'
const OFFER = 'I can offer you a time tomorrow at ten.'
const SCRIPT = clinicScript([
  { say: GREETING },
  {
    expectCaller: 'I need an appointment.',
    call: { name: 'find_available_slots', arguments: { service: 'check-up' } },
    thenSay: OFFER,
  },
])

describe('a call', { concurrency: 3 }, () => {
  for (const audio of ['pcmu', 'pcm16'] as const) {
    test(`[TALK-1][TR3] from greeting to hang-up with a tool: every sentence is recognised at the far end (${audio}), nothing is left`, () =>
      Plane.with({ env: { MODEL_AUDIO: audio }, model: { scripts: [SCRIPT] } }, async (plane) => {
        const recordTo = join(plane.folder, 'call.wav')
        const say = await plane.say('I need an appointment')
        const steps = [
          { waitForAgent: 'finished' as const, timeoutMs: 8_000 },
          { say },
          { waitForAgent: 'finished' as const, timeoutMs: 8_000 },
          { pauseMs: 700 },
          { hangUp: true as const },
        ]
        const report = await plane.call({ steps, maxMs: 20_000 }, { recordTo })
        assert.equal(report.wasDropped, false)
        assert.equal(report.endCause, 'caller-hung-up')
        assert.deepEqual([report.scriptTimeouts, report.warnings], [[], []])
        assertUnbroken(report)
        assert.ok(report.marksReceived > 0 && report.marksPlayed === report.marksReceived)
        assert.equal(report.agentPlayedMs, report.agentReceivedMs)
        assert.equal(report.voiceToVoiceMs.length, 1)

        const heard = await agentUtterances(recordTo)
        assert.equal(heard.length, 2)
        for (const [i, sentence] of [GREETING, OFFER].entries()) {
          const said = await recognise(heard[i]!, [GREETING, OFFER, ...DECOYS], plane.folder)
          assert.equal(said, plainWords(sentence))
        }

        const { call, cause } = plane.ended[0]!
        assert.equal(cause, 'caller-hung-up')
        const { items } = call.state.transcript
        assert.deepEqual(
          items.map((item) => `${item.kind}: ${item.kind === 'tool' ? item.name : item.text}`),
          [`agent: ${GREETING}`, 'caller: I need an appointment.', 'tool: find_available_slots', `agent: ${OFFER}`],
        )
        const tool = items.find((item) => item.kind === 'tool')
        assert.equal((JSON.parse(tool?.output ?? '{}') as { slots: unknown[] }).slots.length, 3)

        await plane.settled()
        const log = await plane.witness()
        const events = log.map(({ event }) => event)
        assert.equal(log.find(({ event }) => event === 'function_output')?.awaited, true)
        assert.equal(events.filter((event) => event === 'session_opened').length, 1)
        assert.equal(log.find(({ event }) => event === 'session_closed')?.drift_frames, 0)
        assert.deepEqual(log.filter(isRefused), [])
        const format = audio === 'pcmu' ? 'audio/pcmu' : 'audio/pcm'
        assert.equal(log.find(({ event }) => event === 'session_updated')?.output, format)
      }))
  }

  test('[TALK-2][TU2] barge-in: cleared at once, truncated at what was heard, late audio dropped, and the next turn works', () =>
    Plane.with({ model: { faults: { lateDeltas: 4 } } }, async (plane) => {
      const line = await plane.say('I need an appointment')
      const steps = [
        { bargeIn: line, afterAgentMs: 900 },
        { waitForAgent: 'speaking' as const, timeoutMs: 8_000 },
        { pauseMs: 500 },
        { hangUp: true as const },
      ]
      const report = await plane.call({ steps, maxMs: 20_000 })
      assert.equal(report.wasDropped, false)
      assert.deepEqual(report.scriptTimeouts, [])
      assert.equal(report.clearsReceived, 1)
      const reactionMs = report.bargeIns[0]?.reactionMs
      assert.ok(reactionMs !== undefined && reactionMs < 400, `the reaction took ${reactionMs} ms`)
      assert.equal(report.turns[0]?.isOverlapped, false)

      const log = await plane.witness()
      const truncate = log.find(({ event }) => event === 'truncate')!
      assert.equal(truncate.ok, true)
      const ms = Number(truncate.ms)
      assert.ok(Number.isInteger(ms) && ms >= 800 && ms <= 2_000, `truncated at ${ms} ms`)
      assert.deepEqual(log.filter(isRefused), [])
      const lateFrames = await plane.counter(`voice_frames_dropped_total{reason="after-barge-in"}`)
      assert.ok(lateFrames >= 1, `${lateFrames} late frames were dropped`)

      const { state } = plane.ended[0]!.call
      assert.equal(state.bargeIns, 1)
      const cut = state.transcript.items.find((item) => item.kind === 'agent')
      assert.ok(cut?.kind === 'agent' && cut.cut, JSON.stringify(cut))
      assert.equal(cut.heardMs, ms)
      const whole = "Good morning, this is the clinic's front desk. How can I help you?"
      assert.ok(whole.startsWith(cut.text) && cut.text.length > 0 && cut.text.length < 40, cut.text)
      assert.ok(log.some(({ event, awaited }) => event === 'function_output' && awaited === true))
    }))
})

/** The simulator refused what the plane sent; the proof of life asks for an item that nobody has (PF1). */
function isRefused({ event, code }: Record<string, unknown>): boolean {
  return event === 'client_error' && code !== 'item_retrieve_invalid_item_id'
}
