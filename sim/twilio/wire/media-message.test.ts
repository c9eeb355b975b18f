import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ClipFrames, SILENCE } from './clip-frames.ts'
import { MASK } from './frame.ts'
import { MediaTemplate, mediaPrefix, quickMedia } from './media-message.ts'
import { probeFrame, takeProbes } from './probe.ts'

const SID = 'MZ0123456789abcdef0123456789abcdef'

function unmask(frame: Buffer): string {
  assert.equal(frame.readUInt16BE(2), frame.length - 8)
  return Buffer.from(frame.subarray(8).map((byte, i) => byte ^ MASK[i & 3]!)).toString('latin1')
}

test('[M1] [M2] the template writes what JSON would, also when numbers gain digits', () => {
  const ulaw = Buffer.from(Array.from({ length: 800 }, (_, i) => (i * 7) & 0xff))
  const clip = new ClipFrames({ name: 'ramp', ulaw, ms: 100, speechEndMs: 100 })
  const template = new MediaTemplate(SID)
  for (const chunk of [1, 5, 6, 7, 9, 10, 51, 52, 99, 100, 501, 999, 1000, 123_456]) {
    const index = chunk % 5
    const frame = template.fill(chunk + 1, chunk, (chunk - 1) * 20, clip, index)
    const payload = ulaw.subarray(index * 160, index * 160 + 160).toString('base64')
    const media = { track: 'inbound', chunk: String(chunk), timestamp: String((chunk - 1) * 20), payload }
    const expected = { event: 'media', sequenceNumber: String(chunk + 1), streamSid: SID, media }
    assert.equal(unmask(frame), JSON.stringify(expected))
  }
})

test('[M2] a frame that was let go is not written over', () => {
  const template = new MediaTemplate(SID)
  const first = template.fill(2, 1, 0, SILENCE, 0)
  const kept = Buffer.from(first)
  template.letGo()
  template.fill(3, 2, 20, SILENCE, 0)
  assert.deepEqual(first, kept)
})

test('the quick reading takes the usual form and leaves every other to JSON', () => {
  const audio = Buffer.from([1, 2, 3, 4])
  const usual = { event: 'media', streamSid: SID, media: { payload: audio.toString('base64') } }
  const prefix = mediaPrefix(SID)
  const read = (value: unknown): Buffer | undefined => {
    const bytes = Buffer.from(`..${JSON.stringify(value)}..`)
    return quickMedia(prefix, bytes, 2, bytes.length - 2)
  }
  assert.deepEqual(read(usual), audio)
  assert.equal(read({ ...usual, streamSid: SID.replace('0', '1') }), undefined)
  assert.equal(read({ ...usual, media: { payload: 'AAAA', track: 'x' } }), undefined)
  assert.equal(read({ streamSid: SID, event: 'media', media: usual.media }), undefined)
  assert.equal(read({ event: 'clear', streamSid: SID }), undefined)
})

test('[P1] [P2] a probe is found at any place, gives its age, and is blanked', () => {
  const probe = probeFrame(77, 1234)
  const audio = Buffer.concat([Buffer.alloc(33, 0x90), probe.ulaw, Buffer.alloc(10, 0x90)])
  const found: number[][] = []
  takeProbes(audio, (latencyUs, frameNumber) => found.push([latencyUs, frameNumber]))
  assert.equal(found.length, 1)
  assert.ok(found[0]![0]! >= 0 && found[0]![0]! < 1_000_000)
  assert.equal(found[0]![1], 1234)
  assert.ok(audio.subarray(33, 193).every((byte) => byte === 0xff))
  assert.equal(probe.ulaw.readUInt32BE(16), 77)
})
