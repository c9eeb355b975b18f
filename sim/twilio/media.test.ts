import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import type { PlaneStream } from './testing/fake-plane.ts'
import { pairs } from './testing/pair.ts'

const pair = pairs(after)
const tone = (ms: number): Buffer => Buffer.alloc(ms * 8, 0x90)
const marksOf = (stream: PlaneStream) => stream.messages.filter((seen) => seen.message.event === 'mark')

test('[D1] connected, start, then a frame of 160 bytes every 20 ms, numbered as strings', async () => {
  const { plane, sim } = await pair()
  const report = await sim.placeCall({ caller: { steps: [{ stayMs: 600 }], maxMs: 5000 } }).done
  await plane.streams[0]!.closed
  const { messages, streamSid } = plane.streams[0]!
  assert.deepEqual(messages[0]!.message, { event: 'connected', protocol: 'Call', version: '1.0.0' })
  assert.equal(messages[1]!.message.event, 'start')
  assert.equal(messages[1]!.message.sequenceNumber, '1')
  assert.deepEqual(messages[1]!.message.start?.mediaFormat, {
    encoding: 'audio/x-mulaw',
    sampleRate: 8000,
    channels: 1,
  })
  const media = messages.filter((seen) => seen.message.event === 'media')
  assert.ok(media.length >= 27 && media.length <= 33, `${media.length} frames in 600 ms`)
  media.forEach(({ message }, i) => {
    assert.equal(message.sequenceNumber, String(i + 2))
    assert.equal(message.streamSid, streamSid)
    assert.deepEqual(message.media, {
      track: 'inbound',
      chunk: String(i + 1),
      timestamp: String(i * 20),
      payload: Buffer.alloc(160, 0xff).toString('base64'),
    })
  })
  assert.equal(messages.at(-1)!.message.event, 'stop')
  assert.equal(report.framesSent, media.length)
  assert.equal(report.wasDropped, false)
  assert.equal(report.endCause, 'caller-hung-up')
})

test('[B2] a mark comes back when the audio before it has been played', async () => {
  const { plane, sim } = await pair()
  let saidMs = 0
  plane.onStream = (stream) => {
    saidMs = performance.now()
    stream.mark('at-once')
    stream.say(tone(200))
    stream.mark('first')
    stream.say(tone(100))
    stream.mark('second')
  }
  const report = await sim.placeCall({ caller: { steps: [{ stayMs: 600 }], maxMs: 5000 } }).done
  const marks = marksOf(plane.streams[0]!)
  assert.deepEqual(
    marks.map((seen) => seen.message.mark?.name),
    ['at-once', 'first', 'second'],
  )
  assert.ok(marks[0]!.atMs - saidMs < 20, 'a mark with nothing before it is echoed at once')
  const firstMs = marks[1]!.atMs - saidMs
  const secondMs = marks[2]!.atMs - saidMs
  assert.ok(firstMs >= 199 && firstMs <= 245, `first mark after ${firstMs} ms`)
  assert.ok(secondMs >= 299 && secondMs <= 345, `second mark after ${secondMs} ms`)
  assert.equal(report.agentPlayedMs, 300)
  assert.deepEqual(report.gapsMs, [])
})

test('[B3] clear drops the rest and releases all marks in order at once', async () => {
  const { plane, sim } = await pair()
  let clearedMs = 0
  plane.onStream = (stream) => {
    stream.say(tone(5000))
    for (const name of ['a', 'b', 'c']) stream.mark(name)
    setTimeout(() => {
      clearedMs = performance.now()
      stream.clear()
    }, 200)
  }
  const report = await sim.placeCall({ caller: { steps: [{ stayMs: 400 }], maxMs: 5000 } }).done
  const marks = marksOf(plane.streams[0]!)
  assert.deepEqual(
    marks.map((seen) => seen.message.mark?.name),
    ['a', 'b', 'c'],
  )
  for (const mark of marks) assert.ok(mark.atMs - clearedMs < 20 && mark.atMs >= clearedMs)
  assert.equal(report.clearsReceived, 1)
  assert.ok(report.agentPlayedMs > 150 && report.agentPlayedMs < 260, `${report.agentPlayedMs} ms played`)
})
