// Bad input from the carrier's side: a clear outcome each, nothing left behind, and the next call works.
import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { connect } from 'node:net'
import { after, before, describe, test } from 'node:test'
import { WebSocket } from 'ws'
import type { BadFrame } from '../sim/twilio/options.ts'
import { LISTEN, Plane, TOKEN } from './plane.ts'

let plane: Plane
let calls = 0
before(async () => {
  plane = await Plane.open()
})
after(() => plane.close())

const newSid = (): string => `CA${(++calls).toString(16).padStart(32, '0')}`

function sign(url: string, fields: Record<string, string>): string {
  const text = Object.keys(fields)
    .sort()
    .reduce((sum, key) => sum + key + fields[key], url)
  return createHmac('sha1', TOKEN).update(text).digest('base64')
}

async function voice(callSid: string, signature?: string): Promise<{ status: number; body: string }> {
  const fields = {
    CallSid: callSid,
    AccountSid: 'AC1',
    From: '+15005550006',
    To: '+15005550001',
    CallStatus: 'ringing',
    Direction: 'inbound',
  }
  const url = `${plane.edge.url}/twilio/voice`
  const answer = await fetch(url, {
    method: 'POST',
    headers: {
      'content-type': 'application/x-www-form-urlencoded',
      'x-twilio-signature': signature ?? sign(url, fields),
    },
    body: new URLSearchParams(fields),
  })
  return { status: answer.status, body: await answer.text() }
}

async function mediaPath(callSid: string): Promise<string> {
  const { body } = await voice(callSid)
  return new URL(/url="(ws:[^"]+)"/.exec(body)![1]!).pathname
}

/** Opens an upgrade; resolves with the socket, or with the status that refused it. */
function upgrade(path: string, signature?: string): Promise<WebSocket | number> {
  const base = plane.edge.url.replace('http', 'ws')
  const signed =
    signature ??
    createHmac('sha1', TOKEN)
      .update(base + path)
      .digest('base64')
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(base + path, { headers: { 'x-twilio-signature': signed } })
    socket.on('open', () => resolve(socket))
    socket.on('unexpected-response', (_request, response) => resolve(response.statusCode ?? 0))
    socket.on('error', (error) => (socket.readyState === WebSocket.CONNECTING ? undefined : reject(error)))
  })
}

const closed = (socket: WebSocket): Promise<number> =>
  new Promise((resolve) => socket.on('close', (code) => resolve(code)))
const startOf = (callSid: string): string =>
  JSON.stringify({
    event: 'start',
    sequenceNumber: '1',
    streamSid: `MZ${'1'.repeat(32)}`,
    start: {
      accountSid: 'AC1',
      streamSid: `MZ${'1'.repeat(32)}`,
      callSid,
      tracks: ['inbound'],
      mediaFormat: { encoding: 'audio/x-mulaw', sampleRate: 8000, channels: 1 },
      customParameters: {},
    },
  })

async function endOf(callSid: string): Promise<void> {
  const url = `${plane.edge.url}/twilio/status`
  const fields = { CallSid: callSid, CallStatus: 'completed' }
  await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/x-www-form-urlencoded', 'x-twilio-signature': sign(url, fields) },
    body: new URLSearchParams(fields),
  })
}

describe('a stream that says what it should not', () => {
  const frames: BadFrame[] = ['binary', 'non-json', 'unknown-event', 'wrong-stream-sid', 'bad-base64']
  for (const frame of frames) {
    test(`[MS3] ${frame}: ignored, the call goes on to its end`, async () => {
      const stay = { steps: [{ stayMs: 1_600 }, { hangUp: true as const }], maxMs: 6_000 }
      const report = await plane.call(stay, { faults: { badFrames: [frame] } })
      assert.equal(report.wasDropped, false)
      assert.ok(report.agentReceivedMs > 500)
      await plane.settled()
    })
  }

  test('[FR2] an oversized message ends the stream, not the process', async () => {
    const report = await plane.call(
      { steps: [{ stayMs: 2_500 }], maxMs: 6_000 },
      { faults: { badFrames: ['oversized'] } },
    )
    assert.equal(report.wasDropped, true)
    await plane.settled()
  })

  test('[EA2] duplicated and swapped media are dropped and counted; the call goes on', async () => {
    const stay = { steps: [{ stayMs: 1_200 }, { hangUp: true as const }], maxMs: 6_000 }
    const report = await plane.call(stay, { faults: { duplicateEvery: 5, swapEvery: 7 } })
    assert.equal(report.wasDropped, false)
    const metrics = await (await fetch(`${plane.edge.url}/metrics`)).text()
    const dropped = /voice_frames_dropped_total\{reason="out-of-order"\} (\d+)/.exec(metrics)
    assert.ok(Number(dropped?.[1]) >= 5, metrics.slice(0, 200))
    await plane.settled()
  })

  test('[MS1] a stream that never says start is closed within its bound', { timeout: 12_000 }, async () => {
    const callSid = newSid()
    const socket = await upgrade(await mediaPath(callSid))
    assert.ok(socket instanceof WebSocket)
    socket.send('{"event":"connected","protocol":"Call","version":"1.0.0"}')
    assert.equal(await closed(socket), 1008)
    await endOf(callSid)
    await plane.settled()
  })

  test('[MS1] media before connected and start is ignored', async () => {
    const report = await plane.call(LISTEN, { faults: { mediaFirst: true } })
    assert.equal(report.wasDropped, false)
    assert.ok(report.agentReceivedMs > 0)
    await plane.settled()
  })

  test('[MS2] a start that names another call is closed with 1008', async () => {
    const callSid = newSid()
    const socket = await upgrade(await mediaPath(callSid))
    assert.ok(socket instanceof WebSocket)
    socket.send(startOf(newSid()))
    assert.equal(await closed(socket), 1008)
    await endOf(callSid)
    await plane.settled()
  })

  test('[PY4] a mark that was never sent changes nothing', async () => {
    const callSid = newSid()
    const socket = await upgrade(await mediaPath(callSid))
    assert.ok(socket instanceof WebSocket)
    socket.send(startOf(callSid))
    socket.send(`{"event":"mark","sequenceNumber":"2","streamSid":"MZ${'1'.repeat(32)}","mark":{"name":"never sent"}}`)
    const heard = await new Promise<string>((resolve) => socket.once('message', (text) => resolve(String(text))))
    assert.equal((JSON.parse(heard) as { event: string }).event, 'media')
    const isOver = closed(socket)
    socket.send(
      `{"event":"stop","sequenceNumber":"3","streamSid":"MZ${'1'.repeat(32)}","stop":{"accountSid":"AC1","callSid":"${callSid}"}}`,
    )
    await isOver
    await plane.settled()
  })

  for (const endOfStream of ['reset', 'stop-without-close', 'close-without-stop'] as const) {
    test(`[MS4] an end by ${endOfStream} is one end; nothing is left`, async () => {
      const count = plane.ended.length
      await plane.call(LISTEN, { faults: { endOfStream } })
      await plane.settled()
      assert.equal(plane.ended.length, count + 1)
    })
  }

  test('a caller who hangs up before start leaves nothing', async () => {
    await plane.call({ steps: [{ hangUp: true }], maxMs: 1_000 }, { faults: { startDelayMs: 1_500 } })
    await plane.settled()
  })
})

describe('who may come in', () => {
  test('[ED1] a stream token is good once, for its call, unforged', async () => {
    const callSid = newSid()
    const path = await mediaPath(callSid)
    const other = path.replace(callSid, newSid())
    assert.equal(await upgrade(other), 403, 'for another call')
    const [, , pod, sid, token] = path.split('/')
    const forged = `${token!.slice(0, -4)}${token!.endsWith('AAAA') ? 'BBBB' : 'AAAA'}`
    assert.equal(await upgrade(`/media/${pod}/${sid}/${forged}`), 403, 'forged')
    const first = await upgrade(path)
    assert.ok(first instanceof WebSocket)
    assert.equal(await upgrade(path), 403, 'used')
    first.close()
    await endOf(callSid)
    await plane.settled()
  })

  test('[ED1] an upgrade without the right signature is refused before the 101', async () => {
    const callSid = newSid()
    assert.equal(await upgrade(await mediaPath(callSid), 'Zm9yZ2Vk'), 403)
    await endOf(callSid)
    await plane.settled()
  })

  test('a forged webhook signature is refused, and no call is made', async () => {
    assert.equal((await voice(newSid(), 'Zm9yZ2Vk')).status, 403)
    assert.equal(plane.edge.desk.activeCalls, 0)
  })

  test('[DK1] two webhooks for one Call SID at once get one answer and one model session', async () => {
    const callSid = newSid()
    const answers = await Promise.all([voice(callSid), voice(callSid)])
    assert.equal(answers[0].body, answers[1].body)
    assert.equal(plane.edge.desk.activeCalls, 1)
    await endOf(callSid)
    await plane.settled()
  })

  test('plain garbage on the port does not harm', async () => {
    const socket = connect(Number(new URL(plane.edge.url).port), '127.0.0.1')
    socket.on('error', () => undefined)
    socket.end('\u0000\u0001 nonsense\r\n\r\n')
    await new Promise((resolve) => socket.on('close', resolve))
    const report = await plane.call(LISTEN)
    assert.equal(report.wasDropped, false)
    await plane.settled()
  })
})

test('an expired token is refused', async () => {
  const short = await Plane.open({ env: { STREAM_TOKEN_TTL_MS: '1000' } })
  const before = plane
  plane = short
  try {
    const callSid = newSid()
    const path = await mediaPath(callSid)
    await new Promise((resolve) => setTimeout(resolve, 1_100))
    assert.equal(await upgrade(path), 403)
    await short.settled() // the call's own timer has given it up
  } finally {
    plane = before
    await short.close()
  }
})
