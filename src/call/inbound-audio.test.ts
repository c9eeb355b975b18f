// The caller's voice: kept early, in order, gaps filled, duplicates dropped.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { FakeClock } from '../kit/clock.ts'
import { EARLY_FRAMES_MAX, GAP_FILL_MAX_MS, InboundAudio, RESET_FRAMES } from './inbound-audio.ts'
import type { CallMeter } from './meter.ts'

function makeEar(): {
  inbound: InboundAudio
  clock: FakeClock
  heard: (string | number)[]
  dropped: string[]
  counted: (string | undefined)[]
  say(atMs: number): void
} {
  const heard: (string | number)[] = []
  const dropped: string[] = []
  const counted: (string | undefined)[] = []
  const clock = new FakeClock()
  const meter = {
    frameReceived() {},
    frameDropped: (why: string) => dropped.push(why),
    count: (_what: string, code: string | undefined) => counted.push(code),
    added() {},
  } as Partial<CallMeter>
  const model = {
    appendAudio: (buffer: Buffer, start: number, end: number) => void heard.push(buffer.toString('latin1', start, end)),
    appendSilence: (ms: number) => void heard.push(ms),
    callerSeemsLoud: () => void heard.push('loud'),
  }
  const inbound = new InboundAudio(model, meter as CallMeter, clock)
  const say = (atMs: number): void => {
    const buffer = Buffer.from(`<${atMs}>`)
    inbound.hear(buffer, 1, buffer.length - 1, atMs)
    buffer.fill(0)
  }
  return { inbound, clock, heard, dropped, counted, say }
}

test('[EA1] what comes before the model can hear is kept as a copy and goes first, in order', () => {
  const { inbound, heard, dropped, say } = makeEar()
  for (const atMs of [0, 20, 40]) say(atMs)
  assert.deepEqual(heard, [])
  assert.equal(inbound.set(true), true)
  assert.equal(inbound.set(true), false)
  say(60)
  assert.deepEqual(heard, ['0', '20', '40', '60'])
  assert.deepEqual(dropped, [])
})

test('[EA1] more than two seconds drop the oldest, and each is counted', () => {
  const { inbound, heard, dropped, say } = makeEar()
  for (let i = 0; i < EARLY_FRAMES_MAX + 30; i += 1) say(i * 20)
  inbound.set(true)
  assert.equal(heard.length, EARLY_FRAMES_MAX)
  assert.deepEqual([heard[0], heard.at(-1)], ['600', String((EARLY_FRAMES_MAX + 29) * 20)])
  assert.deepEqual(dropped, Array(30).fill('early'))
})

test('[EA1] while the link is away the voice is kept again; after the end it is forgotten', () => {
  const { inbound, heard, say } = makeEar()
  inbound.set(true)
  say(0)
  inbound.set(false)
  say(20)
  inbound.set(true)
  assert.deepEqual(heard, ['0', '20'])
  inbound.set(false)
  say(40)
  inbound.close()
  inbound.set(true)
  assert.deepEqual(heard, ['0', '20'])
})

test('[EA2] a frame that is not later than the last is dropped and counted', () => {
  const { inbound, heard, dropped, say } = makeEar()
  inbound.set(true)
  for (const atMs of [0, 20, 20, 0, 40]) say(atMs)
  assert.deepEqual(heard, ['0', '20', '40'])
  assert.deepEqual(dropped, ['out-of-order', 'out-of-order'])
})

test('[EA3] a gap is filled with silence up to its bound; a jitter of less than a frame is not a gap', () => {
  const { inbound, heard, say } = makeEar()
  inbound.set(true)
  for (const atMs of [0, 39, 80, 80 + 20 + GAP_FILL_MAX_MS]) say(atMs)
  assert.deepEqual(heard, ['0', '39', 21, '80', GAP_FILL_MAX_MS, '10100'])
})

test('[P56][EA6] one odd time stamp, ahead or behind, costs its own frame and no more', () => {
  for (const odd of [3_600_000, -5]) {
    const { inbound, heard, dropped, say } = makeEar()
    inbound.set(true)
    for (const atMs of [0, 20, odd, 40, 60]) say(atMs)
    assert.deepEqual([heard, dropped], [['0', '20', '40', '60'], ['out-of-order']])
  }
})

test('[P56][EA6] a carrier that sets its clock anew is heard again after RESET_FRAMES, and once it is counted', () => {
  for (const from of [3_600_000, 0]) {
    const { inbound, heard, counted, say } = makeEar()
    inbound.set(true)
    for (let frame = 0; frame < 50; frame += 1) say(1_000 + frame * 20)
    heard.splice(0)
    for (let frame = 0; frame < 20; frame += 1) say(from + frame * 20)
    const frames = heard.filter((one) => typeof one === 'string')
    assert.deepEqual(frames.slice(0, 2), [`${from + 80}`, `${from + 100}`])
    assert.equal(frames.length, 20 - RESET_FRAMES + 1)
    const silence = heard.filter((one) => typeof one === 'number')
    assert.deepEqual(silence, from === 0 ? [] : [GAP_FILL_MAX_MS])
    assert.deepEqual(counted, ['carrier-clock-reset'])
  }
})

test('[P56][EA6] strays that do not follow each other set no clock', () => {
  const { inbound, heard, say } = makeEar()
  inbound.set(true)
  for (const atMs of [0, 980, 1_000]) say(atMs)
  heard.splice(0, heard.length - 1)
  for (let frame = 0; frame < 20; frame += 1) say(900 - frame * 20)
  say(1_020)
  assert.deepEqual(heard, ['1000', '1020'])
})

test('[EA3] audio and silence together never fall a frame behind the carrier’s clock nor run ahead of it', () => {
  const property = fc.property(fc.array(fc.nat(500), { minLength: 1, maxLength: 100 }), (steps) => {
    const { inbound, heard, say } = makeEar()
    inbound.set(true)
    let atMs = 0
    for (const step of steps) {
      // A carrier's stamps are multiples of a frame.
      atMs += step * 20
      say(atMs)
      const givenMs = heard.reduce<number>((sum, one) => sum + (typeof one === 'number' ? one : 20), 0)
      assert.equal(givenMs, atMs + 20)
    }
  })
  fc.assert(property)
})

test('[EA1] silence is measured from one question to the next', () => {
  const { inbound, clock, say } = makeEar()
  clock.advance(1_000)
  assert.equal(inbound.silentMs(), 1_000)
  say(0)
  clock.advance(1_000)
  assert.equal(inbound.silentMs(), 0)
  clock.advance(700)
  assert.equal(inbound.silentMs(), 700)
})

test('[EA4] the session is told of a loud caller while the model hears him, after his frame, and never of a quiet one', () => {
  const { inbound, heard } = makeEar()
  inbound.set(true)
  const say = (fill: number, fromMs: number, ms: number): number => {
    const before = heard.length
    for (let atMs = fromMs; atMs < fromMs + ms; atMs += 20) {
      const frame = Buffer.from(Buffer.alloc(160, fill).toString('base64'))
      inbound.hear(frame, 0, frame.length, atMs)
    }
    return heard.slice(before).filter((one) => one === 'loud').length
  }
  assert.equal(say(0xff, 0, 10_000), 0)
  assert.equal(say(0x20, 10_000, 1_000), 7)
  assert.equal(say(0xff, 11_000, 10_000), 0)
  inbound.set(false)
  assert.equal(say(0x20, 21_000, 1_000), 0)
})

test('[EA5] while the caller is thought to speak the inbound knows for how long nothing was heard of him', () => {
  const { inbound } = makeEar()
  inbound.set(true)
  let atMs = 0
  const hear = (ulaw: number, ms: number): void => {
    const frame = Buffer.from(Buffer.alloc(160, ulaw).toString('base64'))
    for (let passed = 0; passed < ms; passed += 20, atMs += 20) inbound.hear(frame, 0, frame.length, atMs)
  }
  hear(0xff, 3_000)
  assert.equal(inbound.quietMs, 0, 'nobody speaks')
  inbound.attend(true)
  hear(0x20, 1_000)
  assert.equal(inbound.quietMs, 0)
  hear(0xff, 4_000)
  assert.equal(inbound.quietMs, 4_000)
  inbound.attend(true)
  assert.equal(inbound.quietMs, 4_000, 'the same turn')
  inbound.attend(false)
  inbound.attend(true)
  assert.equal(inbound.quietMs, 0, 'another turn')
})
