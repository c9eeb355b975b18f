// Lines, clocks and languages that are not as expected, in whole calls on real sockets.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { systemClock } from '../src/kit/clock.ts'
import { silentLog } from '../src/kit/log.ts'
import { makeClinicPack } from '../src/packs/clinic/clinic.ts'
import type { Pack } from '../src/packs/pack.ts'
import { clinicScript, Plane, stay } from './plane.ts'

const nowS = () => Math.floor(Date.now() / 1_000)
const LONG_WORD = 'Taumatawhakatangihangakoauauotamateaturipukakapikimaungahoronukupokaiwhenuakitanatahu'.repeat(2)
const PROMPT =
  'Welcome to the clinic. For appointments press one. For prescriptions press two. For invoices press three. To hear this again press nine.'

/** The clinic, with what a test says of its calls. */
function clinicWith(changes: { keysInterrupt: boolean }): Pack {
  const clinic = makeClinicPack({ clock: systemClock, log: silentLog })
  return { ...clinic, openCall: async (call) => ({ ...(await clinic.openCall(call)), ...changes }) }
}

describe('odd lines', { concurrency: 4 }, () => {
  for (const [what, expiresAt] of [
    ['zero', () => 0],
    ['a minute ago', () => nowS() - 60],
    ['seven hours ago', () => nowS() - 7 * 3_600],
    ['in ten years', () => nowS() + 10 * 365 * 86_400],
  ] as const)
    test(`[P10][LU3] a session that says that it ends ${what} is kept, and the log says so`, () =>
      Plane.with(
        { model: { expiresAt: expiresAt(), scripts: [clinicScript([{ say: 'Good morning.' }])] } },
        async (plane) => {
          const report = await plane.call(stay(6_000))
          assert.deepEqual([report.wasDropped, report.utterances], [false, 1])
          const opened = (await plane.witness()).filter(({ event }) => event === 'session_opened')
          assert.equal(opened.length, 1)
          assert.equal(plane.log.filter(({ message }) => /implausible time of expiry/.test(message)).length, 1)
        },
      ))

  test('[P13] a barge-in into one long word keeps what was heard of it', () =>
    Plane.with(
      { model: { speed: 20, scripts: [clinicScript([{ say: LONG_WORD }, { say: 'Yes?' }])] } },
      async (plane) => {
        const steps = [
          { bargeIn: await plane.say('I need an appointment'), afterAgentMs: 3_000 },
          { waitForAgent: 'speaking' as const, timeoutMs: 8_000 },
          { hangUp: true as const },
        ]
        const report = await plane.call({ steps, maxMs: 25_000 })
        assert.deepEqual(report.scriptTimeouts, [])
        const cut = plane.ended[0]!.call.state.transcript.items.find((item) => item.kind === 'agent')
        assert.ok(cut?.kind === 'agent' && cut.cut)
        const share = cut.text.length / LONG_WORD.length
        assert.ok(LONG_WORD.startsWith(cut.text) && cut.text.length > 0)
        // About three seconds of some ten were heard.
        assert.ok(share > 0.1 && share < 0.6, `${share} of the text was kept`)
      },
    ))

  test('[TALK-3][P14] a key during a prompt silences it, and the answer to the key comes next', () =>
    Plane.with(
      { hasRelay: true, model: { speed: 20, scripts: [clinicScript([{ say: PROMPT }, { say: 'Appointments.' }])] } },
      async (plane) => {
        const steps = [
          { waitForAgent: 'speaking' as const, timeoutMs: 8_000 },
          { pauseMs: 1_500 },
          { dtmf: '1' },
          { pauseMs: 1_000 },
          { waitForAgent: 'speaking' as const, timeoutMs: 8_000 },
          { waitForAgent: 'finished' as const, timeoutMs: 8_000 },
          { hangUp: true as const },
        ]
        const report = await plane.call({ steps, maxMs: 30_000 })
        assert.deepEqual([report.scriptTimeouts, report.wasDropped, report.clearsReceived], [[], false, 1])
        const [prompt, answer] = plane.ended[0]!.call.state.transcript.items.filter((item) => item.kind === 'agent')
        assert.ok(prompt?.kind === 'agent' && prompt.cut && prompt.text.length < PROMPT.length / 2, prompt?.text)
        assert.ok(answer?.kind === 'agent' && answer.text === 'Appointments.')
        assert.ok(plane.relay!.itemsOf(0).some((item) => /^user: .*1/.test(item)))
      },
    ))

  test('[TALK-3][P14] a pack whose prompts must be heard whole says so', () =>
    Plane.with(
      {
        pack: clinicWith({ keysInterrupt: false }),
        model: { scripts: [clinicScript([{ say: PROMPT }, { say: 'Appointments.' }])] },
      },
      async (plane) => {
        const steps = [
          { waitForAgent: 'speaking' as const, timeoutMs: 8_000 },
          { pauseMs: 1_000 },
          { dtmf: '1' },
          { waitForAgent: 'finished' as const, timeoutMs: 20_000 },
          { hangUp: true as const },
        ]
        const report = await plane.call({ steps, maxMs: 30_000 })
        assert.deepEqual([report.scriptTimeouts, report.clearsReceived], [[], 0])
      },
    ))

  for (const playLateMs of [260, 800])
    test(`[END-2][P16][PY7] last words on a line that is ${playLateMs} ms late are heard whole before the agent's hang-up`, () =>
      Plane.with(
        {
          carrier: { faults: { playLateMs } },
          model: {
            speed: 50,
            scripts: [clinicScript([{ say: 'Goodbye.', call: { name: 'end_call', arguments: {} } }])],
          },
        },
        async (plane) => {
          const report = await plane.call({ ...stay(9_000), isEndedByAgent: true })
          assert.ok(report.agentReceivedMs > 300)
          assert.equal(report.agentPlayedMs, report.agentReceivedMs, 'the last words were cut')
          assert.equal(report.endCause, 'twiml-hangup')
        },
      ))

  test('[P16][PY7] a line that returns no mark at all holds the end up by its bound and no longer', () =>
    Plane.with(
      {
        carrier: { faults: { neverEchoMarks: true } },
        model: { speed: 50, scripts: [clinicScript([{ say: 'Goodbye.', call: { name: 'end_call', arguments: {} } }])] },
      },
      async (plane) => {
        const report = await plane.call({ ...stay(9_000), isEndedByAgent: true })
        assert.equal(report.agentPlayedMs, report.agentReceivedMs)
        assert.equal(report.endCause, 'twiml-hangup')
      },
    ))
})
