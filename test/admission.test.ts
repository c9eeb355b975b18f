// Who may come in: signatures of webhooks and upgrades, stream tokens, offers that repeat, streams that never come.
import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { after, before, describe, test } from 'node:test'
import { WebSocket } from 'ws'
import { LISTEN, Plane, TOKEN } from './plane.ts'
import { newCallSid, RawCarrier, type Signing } from './raw-carrier.ts'

const SECONDARY = 'fedcba9876543210fedcba9876543210'
const WRONG: [string, Signing][] = [
  ['missing', 'none'],
  ['forged', { token: `not-${TOKEN}` }],
  ['empty', { text: '' }],
  ['garbage', { text: '\u00ff===' }],
]

let plane: Plane
let raw: RawCarrier
before(async () => {
  plane = await Plane.open({ env: { TWILIO_AUTH_TOKEN_SECONDARY: SECONDARY } })
  raw = new RawCarrier(plane.edge.url)
})
after(() => plane.close())

describe('who may come in', () => {
  for (const [how, signing] of WRONG) {
    test(`[CALL-1][SG1] a webhook whose signature is ${how} is refused with 403, and no call is made`, async () => {
      assert.equal((await raw.voice(newCallSid(), signing)).status, 403)
      assert.equal(plane.edge.pod.calls.size, 0)
    })

    test(`[CALL-1][ED1] an upgrade whose signature is ${how} is refused before the 101`, async () => {
      const callSid = newCallSid()
      assert.equal(await raw.upgrade(await raw.offer(callSid), signing), 403)
      await raw.over(callSid)
      await plane.settled()
    })
  }

  test('[SAFE-5][SG2] the secondary token is accepted for webhook and upgrade while tokens are rotated', async () => {
    const callSid = newCallSid()
    const { status, body } = await raw.voice(callSid, { token: SECONDARY })
    assert.equal(status, 200)
    const path = new URL(/url="(ws:[^"]+)"/.exec(body)![1]!).pathname
    const socket = await raw.upgrade(path, { token: SECONDARY })
    assert.ok(socket instanceof WebSocket)
    socket.close()
    await raw.over(callSid)
    await plane.settled()
  })

  test('[CALL-4][ED1] a stream token is good once, for its own call, unforged', async () => {
    const callSid = newCallSid()
    const path = await raw.offer(callSid)
    assert.equal(await raw.upgrade(path.replace(callSid, newCallSid())), 403, 'for another call')
    const token = path.split('/').at(-1)!
    for (const at of [0, 12, token.length - 3]) {
      const other = token[at] === 'A' ? 'B' : 'A'
      const forged = path.replace(token, token.slice(0, at) + other + token.slice(at + 1))
      assert.equal(await raw.upgrade(forged), 403, `forged at ${at}`)
    }
    const first = await raw.upgrade(path)
    assert.ok(first instanceof WebSocket)
    assert.equal(await raw.upgrade(path), 403, 'used')
    first.close()
    await raw.over(callSid)
    await plane.settled()
  })

  test('[CALL-4][ED1] a live call goes on while its stream URL is tried a second time', async () => {
    const report = await plane.call(LISTEN, { faults: { reuseStreamUrl: true } })
    assert.deepEqual([report.reuseStatus, report.wasDropped], [403, false])
    await plane.settled()
  })

  test('[ED1] a token of a call that is over opens nothing', async () => {
    const callSid = newCallSid()
    const path = await raw.offer(callSid)
    await raw.over(callSid)
    const socket = await raw.upgrade(path)
    if (socket instanceof WebSocket) {
      socket.send(
        `{"event":"start","streamSid":"MZ${'1'.repeat(32)}","start":{"streamSid":"MZ${'1'.repeat(32)}","callSid":"${callSid}"}}`,
      )
      const code = await new Promise((resolve) => socket.on('close', resolve))
      assert.equal(code, 1008)
    } else assert.equal(socket, 403)
    await plane.settled()
  })

  test('[CALL-2][DK1] two webhooks for one Call SID at once get one answer and make one model session', () =>
    Plane.with({}, async (own) => {
      const report = await own.call(LISTEN, { faults: { duplicateWebhook: true } })
      assert.equal(report.wasDropped, false)
      assert.equal(report.duplicateAnswers?.length, 2)
      assert.equal(report.duplicateAnswers![0], report.duplicateAnswers![1])
      assert.equal((await own.witness()).filter(({ event }) => event === 'session_opened').length, 1)
      assert.equal(own.ended.length, 1)
    }))

  test('[CALL-4][CALL-5][DK4] a token expires, and a call whose stream never comes is given back by its own timer', () =>
    Plane.with({ env: { STREAM_TOKEN_TTL_MS: '1000' } }, async (own) => {
      const carrier = new RawCarrier(own.edge.url)
      const path = await carrier.offer(newCallSid())
      await new Promise((resolve) => setTimeout(resolve, 1_100))
      assert.equal(await carrier.upgrade(path), 403)
      await own.until(() => own.ended.length === 1)
      assert.equal(own.ended[0]!.cause, 'stream-never-came')
    }))

  test('[CALL-3][DK2] a pod that is full says so in words and refuses no live call', () =>
    Plane.with({ env: { CALLS_MAX: '1' } }, async (own) => {
      const carrier = new RawCarrier(own.edge.url)
      const first = await carrier.open()
      const { status, body } = await carrier.voice(newCallSid())
      assert.equal(status, 200)
      assert.match(body, /<Say/)
      assert.doesNotMatch(body, /<Connect/)
      assert.equal(first.socket.readyState, WebSocket.OPEN)
      await first.end()
    }))

  test('plain garbage on the port harms nothing', async () => {
    const socket = connect(Number(new URL(plane.edge.url).port), '127.0.0.1')
    socket.on('error', () => undefined)
    socket.resume()
    socket.end('\u0000\u0001 nonsense\r\n\r\n')
    await new Promise((resolve) => socket.on('close', resolve))
  })

  after(async () => {
    await plane.settled()
    await plane.servesANormalCall()
  })
})
