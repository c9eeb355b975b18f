import assert from 'node:assert/strict'
import { test } from 'node:test'
import { BUFFER_BYTES_MAX, MARKS_MAX, Playout } from './playout.ts'

test('[B1] 160 bytes a tick, over the borders of odd messages, then silence', () => {
  const playout = new Playout()
  const sent = Buffer.from(Array.from({ length: 400 }, (_, i) => i & 0xff))
  for (const [from, to] of [
    [0, 7],
    [7, 200],
    [200, 400],
  ] as const)
    playout.push(sent.subarray(from, to))
  const played: Buffer[] = []
  for (let tick = 0; tick < 4; tick++) {
    playout.tick()
    played.push(Buffer.from(playout.frame.subarray(0, playout.takenBytes)))
  }
  assert.deepEqual(Buffer.concat(played), sent)
  assert.deepEqual(
    played.map((piece) => piece.length),
    [160, 160, 80, 0],
  )
  assert.ok(playout.frame.every((byte) => byte === 0xff))
})

test('[B2] a mark is played one clock after the last byte before it was taken', () => {
  const playout = new Playout()
  assert.equal(playout.mark('empty'), 'at once')
  playout.push(Buffer.alloc(320))
  assert.equal(playout.mark('after'), 'waits')
  playout.tick()
  playout.tick()
  assert.equal(playout.nextPlayedMark(), undefined)
  playout.tick()
  assert.equal(playout.nextPlayedMark(), 'after')
  assert.equal(playout.nextPlayedMark(), undefined)
  assert.equal(playout.mark('later'), 'at once')
})

test('[B3] clear drops the bytes and gives the marks in order; audio after it plays', () => {
  const playout = new Playout()
  playout.push(Buffer.alloc(1600))
  playout.mark('a')
  playout.push(Buffer.alloc(1600))
  playout.mark('b')
  playout.tick()
  assert.deepEqual(playout.clear(), ['a', 'b'])
  assert.equal(playout.waitingBytes, 0)
  playout.push(Buffer.alloc(160, 1))
  assert.equal(playout.mark('c'), 'waits')
  playout.tick()
  assert.equal(playout.frame[0], 1)
  playout.tick()
  assert.equal(playout.nextPlayedMark(), 'c')
})

test('[B4] ten minutes are kept and not more; marks are bounded', () => {
  const playout = new Playout()
  assert.equal(playout.push(Buffer.alloc(BUFFER_BYTES_MAX)), true)
  assert.equal(playout.push(Buffer.alloc(1)), false)
  for (let i = 0; i < MARKS_MAX; i++) playout.mark('m')
  assert.equal(playout.mark('one more'), 'full')
  assert.equal(playout.clear().length, MARKS_MAX)
})

test('[B5] what arrives after a pause is played later, and its mark with it', () => {
  const playout = new Playout(3)
  playout.tick()
  playout.push(Buffer.alloc(320, 1))
  playout.mark('a')
  const taken: number[] = []
  const echoed: number[] = []
  for (let tick = 1; tick <= 8; tick++) {
    playout.tick()
    taken.push(playout.takenBytes)
    if (playout.nextPlayedMark() === 'a') echoed.push(tick)
  }
  assert.deepEqual(taken, [0, 0, 0, 160, 160, 0, 0, 0])
  assert.deepEqual(echoed, [6])
})
