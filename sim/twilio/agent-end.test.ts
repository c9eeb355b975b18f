// Who ended a call: the agent by closing its stream well, or the server by failing.
import assert from 'node:assert/strict'
import { after, suite, test } from 'node:test'
import type { CallerScript } from './sim.ts'
import type { PlaneStream } from './testing/fake-plane.ts'
import { pairs } from './testing/pair.ts'

const pair = pairs(after)
const CALLER: CallerScript = { steps: [{ stayMs: 20_000 }], maxMs: 20_000 }
const SOUND = Buffer.alloc(1_600, 0x20)

/** Places a call whose server does `act` on its stream; `after` follows the Stream, `action` is what its action answers. */
async function endedBy(act: (stream: PlaneStream) => void, parts: { after?: string; action?: string }) {
  const { plane, sim } = await pair({ verbTimeScale: 0.01, dial: () => ({ status: 'completed', ms: 20 }) })
  const connect = plane.connectTwiml(parts.after ?? '', parts.action === undefined ? '' : 'action="/next"')
  plane.onRequest = ({ path }) => ({ body: path === '/voice' ? connect : `<Response>${parts.action}</Response>` })
  plane.onStream = act
  return sim.placeCall({ caller: CALLER }).done
}

const goodbye = (stream: PlaneStream): void => {
  stream.say(SOUND)
  stream.socket.close(1000)
}

suite('[O5] [Q3]', { concurrency: true }, () => {
  for (const [what, parts] of [
    ['whose action hangs up', { action: '<Hangup/>' }],
    ['after which the document ends', {}],
    ['after which the same document says goodbye', { after: '<Say>Goodbye.</Say>' }],
  ] as const)
    test(`a stream that the server closes well, ${what}, was ended by the agent`, async () => {
      const report = await endedBy(goodbye, parts)
      assert.deepEqual([report.agentEnd, report.wasDropped, report.closeCode], ['hung-up', false, 1000])
    })

  test('an agent that hands the caller on by Dial has not dropped the call', async () => {
    const report = await endedBy(goodbye, { action: '<Say>One moment.</Say><Dial>+15005550009</Dial>' })
    assert.deepEqual([report.agentEnd, report.wasDropped], ['transferred', false])
  })

  for (const [what, act, parts] of [
    ['a close without a word before it', (stream: PlaneStream) => stream.socket.close(1000), { action: '<Hangup/>' }],
    ['a sentence of the action', goodbye, { action: '<Say>Sorry.</Say><Hangup/>' }],
    [
      'a close with another code',
      (stream: PlaneStream) => {
        stream.say(SOUND)
        stream.socket.close(1011)
      },
      { action: '<Hangup/>' },
    ],
  ] as const)
    test(`${what} is a drop`, async () => {
      const report = await endedBy(act, parts)
      assert.deepEqual([report.agentEnd, report.wasDropped], [undefined, true])
    })
})
