// Keys that are pressed, and the ways in which an agent ends a call: goodbye first, then the carrier's verb.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Script } from '../sim/openai/dialogue/script.ts'
import { clinicScript, Plane, stay } from './plane.ts'

const GOODBYE = 'Goodbye and thank you for calling us.'
const ENDED_BY_AGENT = { ...stay(9_000), isEndedByAgent: true }

/** A dialogue of one turn: the goodbye and the tool in the same response. */
const leavingBy = (name: string, args: Record<string, unknown>): Script[] => [
  clinicScript([{ say: GOODBYE, call: { name, arguments: args } }]),
]

describe('keys and ends', { concurrency: 4 }, () => {
  test('[TALK-3][TU4] keypad digits reach the model as one message, and it answers', () => {
    const scripts = [clinicScript([{ say: 'Hello.' }, { say: 'Thank you.' }])]
    return Plane.with({ hasRelay: true, model: { scripts } }, async (plane) => {
      const steps = [
        { waitForAgent: 'finished' as const, timeoutMs: 8_000 },
        { dtmf: '12#' },
        { pauseMs: 1_500 },
        { waitForAgent: 'speaking' as const, timeoutMs: 6_000 },
        { hangUp: true as const },
      ]
      const report = await plane.call({ steps, maxMs: 15_000 })
      assert.deepEqual([report.scriptTimeouts, report.wasDropped], [[], false])
      const messages = plane.relay!.itemsOf(0)
      assert.equal(messages.length, 1, messages.join('; '))
      assert.match(messages[0]!, /^user: .*1\D*2\D*#/)
      assert.equal(report.utterances, 2)
      assert.equal(plane.ended[0]!.call.state.digits, '')
    })
  })

  test('[END-2][CM5] an agent that ends the call is heard to its last word, then the carrier hangs up', () =>
    Plane.with({ model: { scripts: leavingBy('end_call', {}) } }, async (plane) => {
      const report = await plane.call(ENDED_BY_AGENT)
      assert.deepEqual(
        report.verbs.map(({ verb }) => verb),
        ['Connect', 'Hangup'],
      )
      assert.ok(report.agentReceivedMs > 1_500)
      assert.equal(report.agentPlayedMs, report.agentReceivedMs, 'the goodbye was cut')
      assert.deepEqual([report.wasDropped, report.endCause, report.closeCode], [false, 'twiml-hangup', 1000])
      assert.equal(plane.ended[0]!.cause, 'agent-ended')
    }))

  test('[END-4][CM5] a transfer says its sentence to the end, then dials the person', () =>
    Plane.with({ model: { scripts: leavingBy('transfer_to_human', { reason: 'asked' }) } }, async (plane) => {
      const report = await plane.call(ENDED_BY_AGENT)
      const [connect, dial, last] = report.verbs
      assert.deepEqual([connect?.verb, dial?.verb], ['Connect', 'Dial'])
      assert.match(dial!.detail, /\+1\d{10}/)
      assert.equal(last?.verb ?? 'Hangup', 'Hangup')
      assert.equal(report.agentPlayedMs, report.agentReceivedMs, 'the sentence was cut')
      assert.equal(plane.ended[0]!.cause, 'transferred')
    }))

  test('[CM5] an agent that ends the call first and says goodbye in a response of its own is heard too', () => {
    const turns = [{ call: { name: 'get_office_hours', arguments: {} }, thenSay: GOODBYE }]
    return Plane.with({ model: { scripts: [clinicScript(turns)] } }, async (plane) => {
      const placed = plane.carrier.placeCall({ caller: ENDED_BY_AGENT })
      await plane.until(() => plane.calls()[0]?.state.transcript.items.some((item) => item.kind === 'tool') ?? false)
      plane.calls()[0]!.endCall()
      const report = await placed.done
      assert.ok(report.agentPlayedMs > 1_500, 'the goodbye was not heard')
      assert.equal(report.agentPlayedMs, report.agentReceivedMs)
      assert.equal(report.endCause, 'twiml-hangup')
    })
  })

  test('[CM3] a call that the pod has to end hears a sentence before the carrier hangs up', () =>
    Plane.with({}, async (plane) => {
      const placed = plane.carrier.placeCall({ caller: ENDED_BY_AGENT })
      await plane.until(() => plane.calls()[0]?.state.phase.kind === 'live')
      plane.calls()[0]!.drainOver()
      const report = await placed.done
      assert.deepEqual(
        report.verbs.map(({ verb }) => verb),
        ['Connect', 'Say', 'Hangup'],
      )
    }))
})
