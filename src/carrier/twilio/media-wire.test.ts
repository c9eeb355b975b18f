// Twilio's messages: the way without parsing says what the way through JSON says, and nothing throws.
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import fc from 'fast-check'
import { patternOf } from '../../kit/pattern.ts'
import {
  clearMessage,
  MEDIA_TAIL,
  markMessage,
  mediaHead,
  readMarkName,
  readMediaMessage,
  readMediaRange,
} from './media-wire.ts'

const SID = `MZ${'0a'.repeat(16)}`
const SID_PATTERN = patternOf(SID)

function mediaText(
  parts: Partial<Record<'sequence' | 'chunk' | 'timestamp' | 'payload' | 'sid', string>> = {},
): string {
  const { sequence = '4', chunk = '2', timestamp = '20', payload = 'AAAA', sid = SID } = parts
  return `{"event":"media","sequenceNumber":"${sequence}","streamSid":"${sid}","media":{"track":"inbound","chunk":"${chunk}","timestamp":"${timestamp}","payload":"${payload}"}}`
}

type Reading = { timestampMs: number; payload: string }

/** What the way without parsing gives; the message stands amid other bytes, as in a chunk of a socket. */
function fast(text: string, before = 'x{"', after = '"}}'): Reading | undefined {
  const buffer = Buffer.from(before + text + after)
  const start = Buffer.byteLength(before)
  const range = readMediaRange(buffer, start, start + Buffer.byteLength(text), SID_PATTERN)
  if (range === undefined) return undefined
  return {
    timestampMs: range.timestampMs,
    payload: buffer.toString('latin1', range.payloadStart, range.payloadEnd),
  }
}

/** Whatever the fast way reads, JSON must read the same. */
function agrees(text: string): boolean {
  const quick = fast(text)
  if (quick === undefined) return true
  assert.deepEqual(readMediaMessage(text), { kind: 'media', streamSid: SID, ...quick }, text)
  return true
}

const digits = fc.stringMatching(/^[0-9]{1,16}$/)
const base64 = fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes).toString('base64'))
const parts = fc.record({ sequence: digits, chunk: digits, timestamp: digits, payload: base64 })

suite('two ways, one result', () => {
  test('[MW1] the common message is read without parsing, and JSON reads the same', () => {
    fc.assert(
      fc.property(parts, (given) => {
        const text = mediaText(given)
        const isCommon = [given.sequence, given.chunk, given.timestamp].every((one) => one.length <= 15)
        assert.equal(fast(text) !== undefined, isCommon)
        return agrees(text)
      }),
      { numRuns: 500 },
    )
  })

  test('[MW1] a message with any bytes changed, put in or taken out is read the same by both ways, or by JSON alone', () => {
    const change = fc.record({
      at: fc.nat(400),
      take: fc.nat(3),
      put: fc.oneof(fc.string({ maxLength: 3 }), fc.constantFrom('=', '"', '}', '\\', '0', ',', ' ', 'é', '\\u0041')),
    })
    fc.assert(
      fc.property(parts, fc.array(change, { minLength: 1, maxLength: 3 }), (given, changes) => {
        let text = mediaText(given)
        for (const { at, take, put } of changes) {
          const where = at % (text.length + 1)
          text = text.slice(0, where) + put + text.slice(where + take)
        }
        readMediaMessage(text)
        return agrees(text)
      }),
      { numRuns: 3_000 },
    )
  })

  for (const [what, payload] of [
    ['padding amid the payload', 'A=AA'],
    ['three characters', 'AAA'],
    ['three pads', 'A==='],
    ['pads alone', '===='],
    ['two payloads in one', 'AA==AAAA'],
  ] as const)
    test(`[MW1] ${what}: not base64 by either way`, () => {
      assert.equal(fast(mediaText({ payload })), undefined)
      assert.equal(readMediaMessage(mediaText({ payload })).kind, 'unreadable')
    })

  test('[MW1] padding at the end and an empty payload are read by both ways', () => {
    for (const payload of ['', 'AA==', 'AAA=', '+/+/']) {
      assert.equal(fast(mediaText({ payload }))?.payload, payload)
      assert.ok(agrees(mediaText({ payload })))
    }
  })

  test('[MW1] another stream, another order, spaces and numbers that are no text go through JSON', () => {
    const other = mediaText({ sid: `MZ${'1b'.repeat(16)}` })
    const spaced = mediaText().replaceAll('":', '": ')
    const turned = JSON.stringify({
      streamSid: SID,
      event: 'media',
      media: { payload: 'AAAA', timestamp: 20, track: 'inbound' },
    })
    for (const text of [other, spaced, turned]) {
      assert.equal(fast(text), undefined)
      const message = readMediaMessage(text)
      assert.ok(message.kind === 'media' && message.timestampMs === 20 && message.payload === 'AAAA')
    }
  })

  test('[MW1] a message that is cut short is not read with the bytes that follow it', () => {
    const text = mediaText()
    for (let end = 0; end < text.length; end += 1) {
      const buffer = Buffer.from(text)
      assert.equal(readMediaRange(buffer, 0, end, SID_PATTERN), undefined, text.slice(0, end))
    }
  })
})

suite('marks', () => {
  const markText = (name: string, sequence = '7', sid = SID): string =>
    `{"event":"mark","sequenceNumber":"${sequence}","streamSid":"${sid}","mark":{"name":"${name}"}}`
  const quick = (text: string): string | undefined => {
    const buffer = Buffer.from(`x${text}"}}`)
    return readMarkName(buffer, 1, buffer.length - 3, SID_PATTERN)
  }

  test('[MW1] our marks are read without parsing, and JSON reads the same', () => {
    for (const name of ['vp:0:1', 'vp:12:345', 'my-label', 'a.b_c']) {
      assert.equal(quick(markText(name)), name)
      assert.deepEqual(readMediaMessage(markText(name)), { kind: 'mark', streamSid: SID, name })
    }
  })

  test('[MW1] other names, another stream, other shapes and cut ones are left to JSON', () => {
    const other = `MZ${'1b'.repeat(16)}`
    for (const text of [
      markText('a b'),
      markText('\\n'),
      markText('é'),
      markText(''),
      markText('a', '7', other),
      mediaText(),
    ])
      assert.equal(quick(text), undefined, text)
    const whole = Buffer.from(markText('vp:0:1'))
    for (let end = 0; end < whole.length; end += 1) assert.equal(readMarkName(whole, 0, end, SID_PATTERN), undefined)
  })

  test('[MW1] with any bytes changed a mark is read as JSON reads it, or by JSON alone', () => {
    const property = fc.property(fc.nat(130), fc.nat(3), fc.string({ maxLength: 3 }), (at, take, put) => {
      const whole = markText('vp:3:14')
      const text = whole.slice(0, at) + put + whole.slice(at + take)
      const name = quick(text)
      if (name !== undefined) assert.deepEqual(readMediaMessage(text), { kind: 'mark', streamSid: SID, name }, text)
    })
    fc.assert(property, { numRuns: 2_000 })
  })
})

suite('any message', () => {
  test('[MW2] arbitrary text and arbitrary JSON never throw', () => {
    const event = fc.constantFrom('connected', 'start', 'media', 'dtmf', 'mark', 'stop', 'odd', 7, null)
    const odd = fc.record(
      {
        event,
        streamSid: fc.jsonValue(),
        start: fc.jsonValue(),
        media: fc.jsonValue(),
        dtmf: fc.jsonValue(),
        mark: fc.jsonValue(),
      },
      { requiredKeys: [] },
    )
    const any = fc.oneof(
      fc.string(),
      fc.json(),
      odd.map((value) => JSON.stringify(value)),
    )
    fc.assert(
      fc.property(any, (text) => {
        const message = readMediaMessage(text)
        assert.equal(typeof message.kind, 'string')
      }),
      { numRuns: 2_000 },
    )
  })

  test('[MW2] each kind is read, and what lacks its part is unreadable with a reason', () => {
    const of = (value: unknown) => readMediaMessage(JSON.stringify(value))
    assert.deepEqual(of({ event: 'connected', protocol: 'Call' }), { kind: 'connected' })
    const start = { streamSid: SID, callSid: 'CA1', accountSid: 'AC1', mediaFormat: { encoding: 'audio/x-mulaw' } }
    assert.deepEqual(of({ event: 'start', start: { ...start, customParameters: { a: 'b', c: 3 } } }), {
      kind: 'start',
      streamSid: SID,
      callSid: 'CA1',
      accountSid: 'AC1',
      encoding: 'audio/x-mulaw',
      parameters: { a: 'b' },
    })
    const none = { kind: 'start', streamSid: '', callSid: '', accountSid: '', encoding: '', parameters: {} }
    assert.deepEqual(of({ event: 'start', start: {} }), none, 'who lacks what is for the stream to say')
    assert.deepEqual(of({ event: 'dtmf', streamSid: SID, dtmf: { digit: '#' } }), {
      kind: 'dtmf',
      streamSid: SID,
      digit: '#',
    })
    assert.deepEqual(of({ event: 'mark', streamSid: SID, mark: { name: 'm' } }), {
      kind: 'mark',
      streamSid: SID,
      name: 'm',
    })
    assert.deepEqual(of({ event: 'stop', streamSid: SID }), { kind: 'stop', streamSid: SID })
    assert.deepEqual(of({ event: 'x'.repeat(99) }), { kind: 'unknown', event: 'x'.repeat(40) })
    const media = { track: 'inbound', timestamp: '20', payload: 'AAAA' }
    for (const broken of [
      { event: 'dtmf', dtmf: { digit: '12' } },
      { event: 'dtmf' },
      { event: 'mark', mark: {} },
      { event: 'media', media: { ...media, track: 'outbound' } },
      { event: 'media', media: { ...media, timestamp: '-1' } },
      { event: 'media', media: { ...media, timestamp: 'soon' } },
      { event: 'media', media: { ...media, payload: '?' } },
      { event: 5 },
      [],
      null,
    ])
      assert.equal(of(broken).kind, 'unreadable', JSON.stringify(broken))
  })

  test('[MW2] what we send is JSON with the audio unchanged', () => {
    const ulaw = Buffer.from(Array.from({ length: 400 }, (_, i) => i & 0xff)).subarray(7, 331)
    const media = JSON.parse(`${mediaHead(SID)}${ulaw.toString('base64')}${MEDIA_TAIL}`) as {
      event: string
      streamSid: string
      media: { payload: string }
    }
    assert.deepEqual([media.event, media.streamSid], ['media', SID])
    assert.ok(Buffer.from(media.media.payload, 'base64').equals(ulaw))
    assert.deepEqual(JSON.parse(markMessage(SID, 'vp:0:1')), {
      event: 'mark',
      streamSid: SID,
      mark: { name: 'vp:0:1' },
    })
    assert.deepEqual(JSON.parse(clearMessage(SID)), { event: 'clear', streamSid: SID })
  })
})
