// Turns that do not go as the protocol promises, in whole calls on real sockets: sounds during a goodbye, ends that are never told, echoes.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { CallerScript } from '../sim/twilio/sim.ts'
import { Plane, type PlaneParts, stay } from './plane.ts'
import { type ModelHabits, RawModel } from './raw-model.ts'

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

type Journey = { plane: Plane; model: RawModel; placed: ReturnType<Plane['carrier']['placeCall']> }

/** One call to a model with these habits. */
async function withCall(
  habits: ModelHabits,
  caller: CallerScript,
  journey: (journey: Journey) => Promise<void>,
  parts: PlaneParts = {},
): Promise<void> {
  const model = await RawModel.open(habits)
  try {
    await Plane.with({ ...parts, modelUrl: model.url }, async (plane) => {
      const placed = plane.carrier.placeCall({ caller })
      await journey({ plane, model, placed })
    })
  } finally {
    await model.close()
  }
}

const BYE_MS = 3_000
const greets: ModelHabits = { onRespond: (session) => session.speak('greeting', 400) }
const said = (plane: Plane, id: string): boolean =>
  plane.calls().some(({ state }) => state.transcript.items.some((item) => item.kind === 'agent' && item.id === id))
const HANG_UP_LATE: CallerScript = { ...stay(12_000), isEndedByAgent: true }

describe('odd turns', { concurrency: 4 }, () => {
  test('[END-3][P45][GB1][TU6] a cough during the goodbye of a call does not cut it: it is heard to its end, then the line goes', async () => {
    await withCall(greets, HANG_UP_LATE, async ({ plane, model, placed }) => {
      await plane.until(() => said(plane, 'item_greeting'))
      model.last.speak('goodbye', BYE_MS, 'end_call')
      await plane.until(() => plane.calls()[0]?.state.phase.kind === 'closing')
      await pause(800)
      model.last.begins('cough')
      await pause(200)
      model.last.stops('cough')
      const report = await placed.done
      assert.equal(report.clearsReceived, 0)
      assert.ok(report.agentReceivedMs >= BYE_MS)
      assert.equal(report.agentPlayedMs, report.agentReceivedMs, 'the goodbye was cut')
      assert.equal(plane.ended[0]!.cause, 'agent-ended')
    })
  })

  test('[END-3][P45][GB2] a caller who goes on speaking during the goodbye has the call back, and is answered', async () => {
    await withCall(greets, stay(9_000), async ({ plane, model, placed }) => {
      await plane.until(() => said(plane, 'item_greeting'))
      model.last.speak('goodbye', BYE_MS, 'end_call')
      await plane.until(() => plane.calls()[0]?.state.phase.kind === 'closing')
      await pause(500)
      model.last.begins('question')
      await pause(1_800)
      model.last.stops('question')
      model.last.speak('answer', 600)
      await plane.until(() => said(plane, 'item_answer'))
      assert.equal(plane.calls()[0]!.state.phase.kind, 'live')
      const report = await placed.done
      assert.equal(plane.ended[0]!.cause, 'caller-hung-up')
      assert.ok(report.agentPlayedMs > 600)
      const notes = model.last.got.filter(
        ({ type, item }) => type.endsWith('item.create') && /has not ended/.test(JSON.stringify(item)),
      )
      assert.equal(notes.length, 1)
      assert.equal(await plane.counter('voice_limits_total{limit="goodbye-taken-back"}'), 1)
    })
  })

  test('[P45][UT2] an end of speech that is never told, on a silent line: the plane ends the turn and asks for an answer', async () => {
    let asked = 0
    const habits: ModelHabits = { onRespond: (session) => session.speak(`r${++asked}`, 400) }
    await withCall(habits, stay(22_000), async ({ plane, model, placed }) => {
      await plane.until(() => said(plane, 'item_r1'))
      model.last.begins('television')
      await plane.until(() => said(plane, 'item_r2'), 25_000)
      assert.equal(model.last.count('input_audio_buffer.commit'), 1)
      assert.equal(await plane.counter('voice_limits_total{limit="caller-turn-quiet"}'), 1)
      assert.ok(plane.log.some(({ code }) => code === 'CALLER_TURN_BOUND'))
      const report = await placed.done
      assert.equal(report.wasDropped, false)
    })
  })

  test('[P45][ME9] a response whose end is never told is over after its last sound; then the silence of the caller counts', async () => {
    let asked = 0
    const habits: ModelHabits = {
      onRespond: (session) => session.speak(`r${++asked}`, 400, asked > 1 ? 'done' : 'nothing'),
      onCancel: (session, message) => session.refuse('response_cancel_not_active', message),
    }
    const env = { MODEL_STALL_MS: '1000', SILENCE_ASK_MS: '1000', SILENCE_END_MS: '60000' }
    await withCall(
      habits,
      stay(12_000),
      async ({ plane, model, placed }) => {
        await plane.until(() => said(plane, 'item_r2'))
        assert.match(
          JSON.stringify(model.last.got.filter(({ type }) => type === 'response.create').at(-1)),
          /still there/,
        )
        assert.equal(await plane.counter('voice_model_errors_total{code="response_never_done"}'), 1)
        assert.equal(model.sessions.length, 1)
        await placed.done
      },
      { env },
    )
  })

  test('[P45][ME9] a key pressed into such a response is answered at once', async () => {
    let asked = 0
    const habits: ModelHabits = {
      onRespond: (session) => session.speak(`r${++asked}`, 3_000, asked > 1 ? 'done' : 'nothing'),
      onCancel: (session, message) => session.refuse('response_cancel_not_active', message),
    }
    const caller: CallerScript = {
      steps: [{ waitForAgent: 'speaking', timeoutMs: 8_000 }, { dtmf: '5' }, { stayMs: 8_000 }, { hangUp: true }],
      maxMs: 25_000,
    }
    const env = { MODEL_STALL_MS: '60000' }
    await withCall(
      habits,
      caller,
      async ({ plane, model, placed }) => {
        await plane.until(() => said(plane, 'item_r2'))
        assert.equal(model.last.count('response.cancel'), 1)
        await placed.done
      },
      { env },
    )
  })

  test('[P45][ME10] links that open and are never configured: three of them, then a sentence', async () => {
    await withCall(
      { updates: false },
      HANG_UP_LATE,
      async ({ plane, model, placed }) => {
        const report = await placed.done
        assert.deepEqual(
          report.verbs.slice(-2).map(({ verb }) => verb),
          ['Say', 'Hangup'],
        )
        assert.deepEqual([model.sessions.length, plane.ended[0]!.cause], [3, 'model-lost'])
      },
      { env: { MODEL_CONNECT_MS: '700' } },
    )
  })

  test('[P45][PF4] a model that answers no proof of life keeps its link on a loud line, and that is logged once', async () => {
    let asked = 0
    const model = await RawModel.open({ proves: false, onRespond: (session) => session.speak(`r${++asked}`, 400) })
    try {
      await Plane.with({ modelUrl: model.url }, async (plane) => {
        const noise = { say: await plane.say('This goes on and on and on, for as long as the television is on.') }
        const steps = [
          { waitForAgent: 'finished' as const, timeoutMs: 8_000 },
          { repeat: 4, steps: [noise] },
          { hangUp: true as const },
        ]
        const report = await plane.call({ steps, maxMs: 40_000 })
        assert.equal(report.wasDropped, false)
        assert.deepEqual([model.sessions.length, model.last.count('conversation.item.retrieve')], [1, 1])
        assert.equal(plane.log.filter(({ code }) => code === 'LINK_UNPROVABLE').length, 1)
      })
    } finally {
      await model.close()
    }
  })

  test('[P45][EH1] an agent that is cut by its own echo again and again is told of once in the log', async () => {
    let asked = 0
    const habits: ModelHabits = { onRespond: (session) => session.speak(`r${++asked}`, 2_000) }
    await withCall(habits, stay(15_000), async ({ plane, model, placed }) => {
      await plane.until(() => said(plane, 'item_r1'))
      for (let n = 0; n < 8; n += 1) {
        await pause(500)
        model.last.begins(`echo${n}`)
        await pause(100)
        model.last.stops(`echo${n}`)
        model.last.speak(`again${n}`, 2_000)
        await plane.until(() => said(plane, `item_again${n}`))
      }
      assert.equal(plane.log.filter(({ code }) => code === 'ECHO_SUSPECTED').length, 1)
      assert.equal(await plane.counter('voice_limits_total{limit="echo-suspected"}'), 1)
      await placed.done
    })
  })
})
