// Playout by a clock that is told: pacing, marks, what was heard, and any order of deeds against plain sums.
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import fc from 'fast-check'
import { BYTES_PER_MS, MARKS_MAX, PLAYOUT_MAX_BYTES, Playout, type PlayoutChunk } from './playout.ts'

const SETTINGS = { leadMs: 200, chunkMs: 60, markEveryMs: 100 }
const ms = (count: number, fill = 1): Buffer => Buffer.alloc(count * BYTES_PER_MS, fill)

type Sent = { atMs: number; bytes: number; mark: string | undefined; itemId: string; first: number }

/** Takes all that is due now; the bytes are looked at while they are valid. */
function takeAll(playout: Playout, nowMs: number): Sent[] {
  const sent: Sent[] = []
  for (let chunk: PlayoutChunk | undefined = playout.take(nowMs); chunk !== undefined; chunk = playout.take(nowMs)) {
    const { ulaw, mark, itemId } = chunk
    sent.push({ atMs: nowMs, bytes: ulaw.length, mark, itemId, first: ulaw[0]! })
  }
  return sent
}

/** Lets the clock run from `fromMs` to `toMs` as the call's timer does. */
function run(playout: Playout, fromMs: number, toMs: number): Sent[] {
  const sent = takeAll(playout, fromMs)
  for (;;) {
    const dueMs = playout.nextDueMs(sent.at(-1)?.atMs ?? fromMs)
    if (dueMs === undefined || dueMs > toMs) return sent
    const got = takeAll(playout, dueMs)
    assert.ok(got.length > 0, `nothing came at ${dueMs} though it was due`)
    sent.push(...got)
  }
}

const sum = (sent: readonly Sent[]): number => sent.reduce((total, { bytes }) => total + bytes, 0)

suite('pacing', () => {
  test('[PY1] a burst of ten seconds leaves in real time, never more than the lead ahead, without a gap', () => {
    const playout = new Playout(SETTINGS)
    playout.push('r', 'i', ms(10_000))
    const sent = run(playout, 1_000, 20_000)
    assert.equal(sum(sent), 80_000)
    let doneMs = 0
    for (const one of sent) {
      const elapsedMs = one.atMs - 1_000
      assert.ok(doneMs >= elapsedMs, `the carrier ran dry at ${elapsedMs} ms`)
      doneMs += one.bytes / BYTES_PER_MS
      assert.ok(doneMs <= elapsedMs + SETTINGS.leadMs, `${doneMs} ms at ${elapsedMs} ms`)
    }
    assert.ok(sent.at(-1)!.atMs >= 10_800 - 60)
  })

  test('[PY1] a late timer is made up for: the origin is the utterance’s, not the last piece’s', () => {
    const playout = new Playout(SETTINGS)
    playout.push('r', 'i', ms(2_000))
    assert.equal(sum(takeAll(playout, 0)), 200 * BYTES_PER_MS)
    assert.equal(sum(takeAll(playout, 150)), 140 * BYTES_PER_MS)
    assert.equal(sum(takeAll(playout, 160)), 0)
    assert.equal(sum(takeAll(playout, 260)), 120 * BYTES_PER_MS)
  })

  test('[PY1] when the carrier has run dry the next audio begins an utterance of its own, at once', () => {
    const playout = new Playout(SETTINGS)
    playout.push('r', 'a', ms(100))
    assert.equal(sum(takeAll(playout, 0)), 800)
    playout.push('r', 'a', ms(500))
    assert.equal(playout.nextDueMs(5_000)! <= 5_000, true)
    assert.equal(sum(takeAll(playout, 5_000)), 200 * BYTES_PER_MS)
  })

  test('[PY1] nothing that waits is never due; a rest smaller than a piece still goes out', () => {
    const playout = new Playout(SETTINGS)
    assert.equal(playout.nextDueMs(0), undefined)
    assert.equal(playout.take(0), undefined)
    playout.push('r', 'i', Buffer.alloc(7))
    assert.equal(sum(takeAll(playout, 0)), 7)
    assert.equal(playout.nextDueMs(0), undefined)
  })

  test('[PY2] beyond the bound new audio is dropped and counted; what is held stays', () => {
    const playout = new Playout(SETTINGS)
    assert.equal(playout.push('r', 'i', Buffer.alloc(PLAYOUT_MAX_BYTES - 8)), true)
    assert.equal(playout.push('r', 'i', Buffer.alloc(16)), false)
    assert.equal(playout.push('r', 'i', Buffer.alloc(8)), true)
    assert.equal(playout.push('r', 'j', Buffer.alloc(1)), false)
    assert.equal(playout.remainingMs(0), PLAYOUT_MAX_BYTES / BYTES_PER_MS)
    playout.clear(0)
  })
})

suite('what was heard', () => {
  const heard = (playout: Playout, nowMs: number) => playout.clear(nowMs).map((item) => [item.itemId, item.heardMs])

  test('[PY3] without a mark the clock counts, up to what was sent', () => {
    for (const [nowMs, want] of [
      [0, 0],
      [77, 77],
      [5_000, 200],
    ] as const) {
      const playout = new Playout(SETTINGS)
      playout.push('r', 'i', ms(1_000))
      takeAll(playout, 0)
      assert.deepEqual(heard(playout, nowMs), [['i', want]])
    }
  })

  test('[PY3] a mark that is late pulls the position back to the truth', () => {
    const playout = new Playout(SETTINGS)
    playout.push('r', 'i', ms(1_000))
    const [first] = takeAll(playout, 0)
    assert.equal(first?.bytes, 200 * BYTES_PER_MS)
    assert.equal(playout.onMark(first!.mark!, 500), 'played')
    takeAll(playout, 500)
    assert.deepEqual(heard(playout, 510), [['i', 210]])
  })

  test('[PY3] after a pause of the model the clock does not count audio as heard that has just been sent', () => {
    for (const isMarked of [true, false]) {
      const playout = new Playout(SETTINGS)
      playout.push('r', 'i', ms(200))
      const [first] = takeAll(playout, 0)
      if (isMarked) playout.onMark(first!.mark!, 205)
      playout.push('r', 'i', ms(200))
      takeAll(playout, 3_000)
      assert.deepEqual(heard(playout, 3_050), [['i', 250]])
    }
  })

  test('[PY3] a later mark stands for the ones before it whose echo was lost', () => {
    const playout = new Playout(SETTINGS)
    playout.push('r', 'i', ms(600))
    const marks = run(playout, 0, 1_000).flatMap(({ mark }) => mark ?? [])
    assert.ok(marks.length >= 3)
    assert.equal(playout.onMark(marks.at(-1)!, 700), 'played')
    assert.equal(playout.onMark(marks[0]!, 701), 'unknown')
    assert.equal(playout.remainingMs(701), 0)
  })

  test('[PY6] an item that was never sent has been heard for 0 ms; those that were heard to the end are gone', () => {
    const playout = new Playout(SETTINGS)
    playout.push('r', 'a', ms(100))
    playout.complete('a')
    playout.push('r', 'b', ms(1_000))
    playout.push('r', 'c', ms(500))
    const sent = takeAll(playout, 0)
    assert.deepEqual(
      sent.map(({ itemId }) => itemId),
      ['a', 'b'],
    )
    playout.onMark(sent[0]!.mark!, 100)
    assert.deepEqual(playout.clear(150), [
      { itemId: 'b', responseId: 'r', heardMs: 50, receivedMs: 1_000, isComplete: false },
      { itemId: 'c', responseId: 'r', heardMs: 0, receivedMs: 500, isComplete: false },
    ])
  })

  test('[PY6] positions are whole milliseconds though audio comes in any number of bytes', () => {
    const playout = new Playout(SETTINGS)
    playout.push('r', 'i', Buffer.alloc(803))
    takeAll(playout, 0.3)
    const [item] = playout.clear(33.75)
    assert.deepEqual([item?.heardMs, item?.receivedMs], [33, 100])
  })

  test('[PY4] a mark of a cleared generation is void, one that was never sent is unknown', () => {
    const playout = new Playout(SETTINGS)
    playout.push('r', 'i', ms(200))
    const mark = takeAll(playout, 0)[0]!.mark!
    playout.clear(50)
    assert.equal(playout.isPlaying, false)
    assert.equal(playout.remainingMs(50), 0)
    playout.push('r2', 'j', ms(200))
    const next = takeAll(playout, 60)[0]!.mark!
    assert.notEqual(next, mark)
    assert.equal(playout.onMark(mark, 61), 'void')
    assert.equal(playout.onMark('vp:7:1', 61), 'unknown')
    assert.equal(playout.onMark('someone else’s', 61), 'unknown')
    assert.equal(playout.onMark(next, 260), 'played')
  })

  test('[PY5] a carrier that never answers gets no more than so many marks, and all of the audio', () => {
    const playout = new Playout({ leadMs: 100, chunkMs: 20, markEveryMs: 20 })
    playout.push('r', 'i', ms(20 * (MARKS_MAX + 100)))
    const sent = run(playout, 0, 20 * (MARKS_MAX + 100))
    const marks = sent.flatMap(({ mark }) => mark ?? [])
    assert.equal(marks.length, MARKS_MAX)
    assert.equal(sum(sent), 160 * (MARKS_MAX + 100))
    playout.push('r', 'i', ms(20))
    playout.onMark(marks[0]!, 8_000)
    assert.ok(takeAll(playout, 8_000)[0]?.mark)
  })

  test('[PY3] the last piece of an item bears a mark, so that its end is known', () => {
    const playout = new Playout(SETTINGS)
    playout.push('r', 'i', ms(50))
    playout.complete('i')
    const [only] = takeAll(playout, 0)
    assert.ok(only?.mark)
    assert.equal(playout.isPlaying, true)
    playout.onMark(only.mark, 50)
    assert.equal(playout.isPlaying, false)
  })
})

test('[PY6] any order of deeds: heard ≤ sent ≤ received, never ahead of the lead, bytes out in order as they came in', () => {
  const deed = fc.oneof(
    fc.record({ kind: fc.constant('push' as const), item: fc.nat(3), bytes: fc.nat(4_000) }),
    fc.record({ kind: fc.constant('wait' as const), ms: fc.double({ min: 0, max: 300, noNaN: true }) }),
    fc.record({ kind: fc.constant('mark' as const), at: fc.nat(400) }),
    fc.record({ kind: fc.constant('complete' as const), item: fc.nat(3) }),
    fc.record({ kind: fc.constant('clear' as const), chance: fc.nat(3) }),
  )
  const property = fc.property(fc.array(deed, { maxLength: 120 }), (deeds) => {
    const playout = new Playout(SETTINGS)
    let nowMs = 0.5
    let waiting = Buffer.alloc(0)
    let received = new Map<string, number>()
    let marks: string[] = []
    let next = 0
    const sent: { atMs: number; ms: number }[] = []
    const take = (): void => {
      for (let chunk = playout.take(nowMs); chunk !== undefined; chunk = playout.take(nowMs)) {
        assert.ok(waiting.subarray(0, chunk.ulaw.length).equals(chunk.ulaw))
        waiting = waiting.subarray(chunk.ulaw.length)
        if (chunk.mark !== undefined) marks.push(chunk.mark)
        sent.push({ atMs: nowMs, ms: chunk.ulaw.length / BYTES_PER_MS })
      }
      // The carrier's own buffer, played in real time, never holds more than the lead.
      let untilMs = 0
      for (const one of sent) untilMs = Math.max(untilMs, one.atMs) + one.ms
      assert.ok(untilMs - nowMs <= SETTINGS.leadMs + 0.001, `${untilMs - nowMs} ms ahead`)
    }
    for (const what of deeds) {
      if (what.kind === 'push') {
        const itemId = `i${what.item}`
        const bytes = Buffer.from(Array.from({ length: what.bytes }, () => next++ & 0xff))
        assert.equal(playout.push('r', itemId, bytes), true)
        waiting = Buffer.concat([waiting, bytes])
        received.set(itemId, (received.get(itemId) ?? 0) + what.bytes)
      } else if (what.kind === 'wait') {
        nowMs += what.ms
        take()
      } else if (what.kind === 'mark') {
        const name = marks[what.at % Math.max(1, marks.length)]
        if (name !== undefined && playout.onMark(name, nowMs) === 'played') marks = marks.slice(marks.indexOf(name) + 1)
      } else if (what.kind === 'complete') playout.complete(`i${what.item}`)
      else if (what.chance === 0) {
        for (const { itemId, heardMs, receivedMs } of playout.clear(nowMs)) {
          assert.ok(Number.isInteger(heardMs) && heardMs >= 0 && heardMs <= receivedMs)
          assert.ok(receivedMs <= Math.floor((received.get(itemId) ?? 0) / BYTES_PER_MS))
        }
        waiting = Buffer.alloc(0)
        received = new Map()
        for (const name of marks) assert.equal(playout.onMark(name, nowMs), 'void')
        marks = []
        sent.length = 0
      }
      assert.ok(playout.remainingMs(nowMs) >= Math.floor(waiting.length / BYTES_PER_MS) - 1)
    }
  })
  fc.assert(property, { numRuns: 300 })
})
