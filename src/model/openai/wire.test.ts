// The provider's wire: deltas read as bytes say what JSON says; names old and new; nothing throws.
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import fc from 'fast-check'
import {
  APPEND_HEAD,
  APPEND_TAIL,
  count,
  DeltaMemory,
  exactBytes,
  isIdle,
  readAudioDelta,
  readServerEvent,
  record,
  text,
} from './wire.ts'

const DELTA = 'response.output_audio.delta'

type Reading = { responseId: string; itemId: string; audio: string }

/** The delta as read without parsing, amid other bytes of a chunk; undefined when it is left to JSON. */
function fast(message: string): Reading | undefined {
  const before = Buffer.from('"delta":"')
  const body = Buffer.from(message)
  const buffer = Buffer.concat([before, body, Buffer.from('","response_id":"x"}')])
  const delta = readAudioDelta(buffer, before.length, before.length + body.length)
  if (delta === undefined) return undefined
  const { responseId, itemId, audioStart, audioEnd } = delta
  return {
    responseId,
    itemId,
    audio: Buffer.from(buffer.toString('latin1', audioStart, audioEnd), 'base64').toString('hex'),
  }
}

function slow(message: string): Reading {
  const event = JSON.parse(message) as Record<string, string>
  return {
    responseId: event.response_id!,
    itemId: event.item_id!,
    audio: Buffer.from(event.delta!, 'base64').toString('hex'),
  }
}

const EVENT = {
  type: DELTA,
  event_id: 'event_1',
  response_id: 'resp_1',
  item_id: 'item_1',
  output_index: 0,
  content_index: 0,
}

suite('audio deltas', () => {
  test('[OW1] the common shapes are read without parsing, with old and new names and in any order of keys', () => {
    for (const message of [
      JSON.stringify({ ...EVENT, delta: 'AQID' }),
      JSON.stringify({ ...EVENT, type: 'response.audio.delta', delta: 'AQID' }),
      JSON.stringify({ type: DELTA, delta: 'AQID', response_id: 'resp_1', item_id: 'item_1' }),
      JSON.stringify({ object: 'x', ...EVENT, delta: 'AQID' }),
      JSON.stringify({ ...EVENT, delta: '' }),
    ])
      assert.deepEqual(fast(message), slow(message), message)
  })

  test('[OW1] odd shapes are read the same, or left to JSON', () => {
    const odd = [
      JSON.stringify({ ...EVENT, delta: 'AQID' }, undefined, 2),
      JSON.stringify({ ...EVENT, delta: 'AQID' }).replaceAll('":', '": '),
      JSON.stringify({ ...EVENT, delta: '++//' }).replaceAll('/', '\\/'),
      JSON.stringify({ ...EVENT, item_id: 'it"em', delta: 'AQID' }),
      JSON.stringify({ ...EVENT, item_id: 'item "delta":"QUJD"', delta: 'AQID' }),
      JSON.stringify({ ...EVENT, response_id: 'ü\\', delta: 'AQID' }),
      JSON.stringify({ delta: 'AQID', ...EVENT }),
    ]
    for (const message of odd) {
      const reading = fast(message)
      if (reading !== undefined) assert.deepEqual(reading, slow(message), message)
    }
  })

  test('[OW1] any audio under any ids and keys between, in any order, is read as JSON reads it', () => {
    const ids = fc.stringMatching(/^[\w-]{1,30}$/)
    const property = fc.property(
      fc.uint8Array({ maxLength: 2_000 }),
      ids,
      ids,
      fc.dictionary(fc.stringMatching(/^[a-c]{1,4}$/), fc.oneof(fc.integer(), fc.string({ maxLength: 20 })), {
        maxKeys: 3,
      }),
      fc.shuffledSubarray(['delta', 'response_id', 'item_id'], { minLength: 3 }),
      (bytes, responseId, itemId, more, order) => {
        const given: Record<string, unknown> = {
          response_id: responseId,
          item_id: itemId,
          delta: Buffer.from(bytes).toString('base64'),
        }
        const message = JSON.stringify({
          type: DELTA,
          ...more,
          ...Object.fromEntries(order.map((key) => [key, given[key]])),
        })
        const reading = fast(message)
        if (reading !== undefined) assert.deepEqual(reading, slow(message), message)
        if (Object.keys(more).length === 0) assert.ok(reading !== undefined)
      },
    )
    fc.assert(property, { numRuns: 500 })
  })

  test('[OW1] other events, and deltas without their ids or cut short, are left to JSON', () => {
    const whole = JSON.stringify({ ...EVENT, delta: 'AQID' })
    for (const message of [
      JSON.stringify({ type: 'response.output_text.delta', response_id: 'r', item_id: 'i', delta: 'words' }),
      JSON.stringify({ type: DELTA, delta: 'AQID' }),
      JSON.stringify({ type: DELTA, response_id: 'r', item_id: 'i' }),
      JSON.stringify({ ...EVENT, delta: 7 }),
      whole.slice(0, whole.indexOf('QID')),
      '',
    ])
      assert.equal(fast(message), undefined, message)
  })
})

suite('the next delta of an item', () => {
  /** `next` by the memory of `first`, as a link reads it; undefined when it is left to the full reading. */
  function remembered(first: string, next: string): Reading | undefined {
    const memory = new DeltaMemory()
    const one = Buffer.from(first)
    const delta = readAudioDelta(one, 0, one.length)
    if (delta === undefined) return undefined
    memory.keep(one, 0, one.length, delta)
    const buffer = Buffer.from(`xx${next}"}`)
    const end = buffer.length - 2
    const found = memory.read(buffer, 2, end)
    if (found === undefined) return undefined
    const count = exactBytes(buffer, found.audioStart, found.audioEnd)
    const bytes = Buffer.from(buffer.toString('latin1', found.audioStart, found.audioEnd), 'base64')
    if (count !== bytes.length) return undefined
    return { responseId: found.responseId, itemId: found.itemId, audio: bytes.toString('hex') }
  }
  const real = { ...EVENT, event_id: 'event_AbC_1' }
  const simulated = { type: DELTA, response_id: 'r', item_id: 'i', content_index: 0, event_id: 'event_AbC_1' }

  test('[OW4] it is known by its bytes, wherever the event id stands, and read as JSON reads it', () => {
    const property = fc.property(
      fc.constantFrom(real, simulated),
      fc.uint8Array({ maxLength: 400 }),
      fc.stringMatching(/^[\w]{11}$/),
      (shape, bytes, eventId) => {
        const first = JSON.stringify({ ...shape, delta: 'AQID' })
        const next = JSON.stringify({ ...shape, event_id: eventId, delta: Buffer.from(bytes).toString('base64') })
        assert.deepEqual(remembered(first, next), slow(next))
      },
    )
    fc.assert(property, { numRuns: 300 })
  })

  test('[OW4] with any bytes changed, put in or taken out it is read as JSON reads it, or left to the full reading', () => {
    const change = fc.record({
      at: fc.nat(260),
      take: fc.nat(3),
      put: fc.oneof(fc.string({ maxLength: 3 }), fc.constantFrom('=', '"', '}', '\\', '-', '0', ',', ' ', 'é', '":"')),
    })
    const property = fc.property(
      fc.constantFrom(real, simulated),
      fc.array(change, { maxLength: 3 }),
      (shape, changes) => {
        let next = JSON.stringify({ ...shape, delta: 'AQIDBAUG'.repeat(9) })
        for (const { at, take, put } of changes) {
          const where = at % (next.length + 1)
          next = next.slice(0, where) + put + next.slice(where + take)
        }
        const reading = remembered(JSON.stringify({ ...shape, delta: 'AQID' }), next)
        if (reading !== undefined) assert.deepEqual(reading, slow(next), next)
      },
    )
    fc.assert(property, { numRuns: 3_000 })
  })

  test('[OW4] a shape without an event id, with more after its audio or with a long head is not kept', () => {
    const { event_id: _eventId, ...nameless } = real
    for (const shape of [nameless, { ...real, event_id: 'é"x' }, { ...real, more: 'x'.repeat(2_000) }]) {
      const message = JSON.stringify({ ...shape, delta: 'AQID' })
      assert.equal(remembered(message, message), undefined)
    }
    const trailing = JSON.stringify({ ...real, delta: 'AQID', more: 1 })
    assert.equal(remembered(trailing, trailing), undefined)
    assert.equal(new DeltaMemory().read(Buffer.from('{}'), 0, 2), undefined)
  })

  test('[OW4] whole groups of base64 stand for so many bytes, anything else for none', () => {
    const of = (text: string) => exactBytes(Buffer.from(text), 0, text.length)
    assert.deepEqual(['', 'AAAA', 'AAA=', 'AA==', 'AAA', 'A'].map(of), [0, 3, 2, 1, undefined, undefined])
  })
})

suite('other events', () => {
  const GA = [
    ['response.audio.done', 'response.output_audio.done'],
    ['response.audio_transcript.delta', 'response.output_audio_transcript.delta'],
    ['response.audio_transcript.done', 'response.output_audio_transcript.done'],
    ['response.text.delta', 'response.output_text.delta'],
    ['conversation.item.created', 'conversation.item.done'],
  ] as const
  for (const [beta, name] of GA)
    test(`[OW2] ${beta} is read as ${name}`, () => {
      assert.equal(readServerEvent(JSON.stringify({ type: beta }))?.type, name)
      assert.equal(readServerEvent(JSON.stringify({ type: name }))?.type, name)
    })

  test('[OW3] what is no event is undefined; whatever is one has a type that is text', () => {
    for (const one of ['', '{', 'null', '7', '[]', '{}', '{"type":7}', '{"type":null}'])
      assert.equal(readServerEvent(one), undefined, one)
    for (const name of ['toString', 'constructor', '__proto__', 'hasOwnProperty', 'session.created'])
      assert.equal(readServerEvent(JSON.stringify({ type: name }))?.type, name)
    fc.assert(
      fc.property(fc.oneof(fc.json(), fc.string()), (any) => {
        const event = readServerEvent(any)
        return event === undefined || typeof event.type === 'string'
      }),
    )
  })

  test('[OW1] only events that mean nothing are left unread, and only by a type that stands first', () => {
    const idle = (message: string, wants = false): boolean => {
      const buffer = Buffer.from(`..${message}`)
      return isIdle(buffer, 2, buffer.length, wants)
    }
    assert.equal(idle('{"type":"rate_limits.updated","rate_limits":[]}'), true)
    assert.equal(idle('{"type": "response.content_part.done"}'), true)
    assert.equal(idle('{"type":"response.done"}'), false)
    assert.equal(idle('{"event_id":"e","type":"rate_limits.updated"}'), false)
    assert.equal(idle('{"item":{"type":"rate_limits.updated"},"type":"response.done"}'), false)
    const delta = '{"type":"response.output_audio_transcript.delta","delta":"x"}'
    assert.deepEqual([idle(delta), idle(delta, true)], [true, false])
    assert.equal(idle(''), false)
  })

  test('[OW3] fields of the wrong kind are read as nothing', () => {
    assert.deepEqual(
      [text(7), text('a'), record('a'), record(null), count('7'), count(Number.NaN), count(3)],
      ['', 'a', {}, {}, 0, 0, 3],
    )
  })

  test('[OW1] an append is its head, the audio as it is, its tail', () => {
    const message = JSON.parse(`${APPEND_HEAD}AQID${APPEND_TAIL}`) as unknown
    assert.deepEqual(message, { type: 'input_audio_buffer.append', audio: 'AQID' })
  })
})
