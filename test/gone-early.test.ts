// Callers who are gone before they were there, over real webhooks and sockets: while the agent is made, and before the stream has started.
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { systemClock } from '../src/kit/clock.ts'
import { silentLog } from '../src/kit/log.ts'
import { until } from '../src/kit/testing/patience.ts'
import { makeClinicPack } from '../src/packs/clinic/clinic.ts'
import type { Pack } from '../src/packs/pack.ts'
import { Plane } from './plane.ts'
import { newCallSid, RawCarrier } from './raw-carrier.ts'

/** Less than any timer of a call that waits for its caller. */
const SOON_MS = 2_000

/** The clinic, whose agent takes its time. */
function slowPack(ms: number): Pack {
  const clinic = makeClinicPack({ clock: systemClock, log: silentLog })
  return {
    ...clinic,
    openCall: async (control) => {
      await pause(ms)
      return clinic.openCall(control)
    },
  }
}

suite('a caller who is gone early', { concurrency: 2 }, () => {
  test('[CALL-6][P19] before the agent was made: the webhook is answered, the place is free, no model is dialled', () =>
    Plane.with({ pack: slowPack(1_500), env: { CALLS_MAX: '1' } }, async (plane) => {
      const raw = new RawCarrier(plane.edge.url)
      const callSid = newCallSid()
      const answered = raw.voice(callSid)
      await pause(700)
      await raw.over(callSid)
      const { status, body } = await answered
      assert.equal(status, 200)
      assert.doesNotMatch(body, /Stream|Say/)
      assert.equal(plane.edge.pod.calls.size, 0)
      const second = newCallSid()
      assert.match((await raw.voice(second)).body, /<Stream /, 'the only place is free')
      await raw.over(second)
      await pause(1_600)
      const opened = (await plane.witness()).filter(({ event }) => event === 'session_opened')
      assert.ok(opened.length <= 1, 'the model was dialled for a caller who was gone')
    }))

  for (const [how, leave] of [
    ['closed', (socket: WebSocketLike) => socket.close(1000)],
    ['cut', (socket: WebSocketLike) => socket.terminate()],
  ] as const) {
    test(`[P19] whose stream is ${how} before it has started: model and place are free at once, and who asks goes on`, () =>
      Plane.with({ env: { CALLS_MAX: '1' } }, async (plane) => {
        const raw = new RawCarrier(plane.edge.url)
        const stream = await raw.open({ start: false })
        await until('the model is dialled', () => plane.model.liveSessions() === 1, SOON_MS)
        leave(stream.socket)
        await until('the model is let go', () => plane.model.liveSessions() === 0, SOON_MS)
        assert.equal(plane.edge.pod.calls.size, 0)
        const second = newCallSid()
        assert.match((await raw.voice(second)).body, /<Stream /, 'the only place is free')
        await raw.over(second)
        const { body } = await raw.next(stream.callSid)
        assert.match(body, /<Stream /, 'the caller was still there')
        const path = new URL(/url="(ws:[^"]+)"/.exec(body)![1]!).pathname
        const socket = await raw.upgrade(path)
        assert.ok(typeof socket !== 'number')
        socket.close()
        await raw.over(stream.callSid)
      }))
  }
})

type WebSocketLike = { close(code: number): void; terminate(): void }
