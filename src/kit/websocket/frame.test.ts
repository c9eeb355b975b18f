// The frame parser by itself: every length encoding, any cutting of the bytes, and what RFC 6455 forbids.
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import fc from 'fast-check'
import { FrameParser, type FrameSink, headBytesFor, OPCODE, writeHead } from './frame.ts'

const MAX_BYTES = 200_000

/** Writes down all that a parser says, one text per call. */
class Record implements FrameSink {
  readonly said: string[] = []
  text(buffer: Buffer, start: number, end: number): void {
    this.said.push(`text ${buffer.toString('utf8', start, end)}`)
  }
  binary(buffer: Buffer, start: number, end: number): void {
    this.said.push(`binary ${buffer.toString('hex', start, end)}`)
  }
  ping(payload: Buffer): void {
    this.said.push(`ping ${payload.toString('utf8')}`)
  }
  pong(): void {
    this.said.push('pong')
  }
  closed(code: number, reason: string): void {
    this.said.push(`closed ${code} ${reason}`)
  }
  violation(code: number): void {
    this.said.push(`violation ${code}`)
  }
}

type Part = { opcode?: number; fin?: boolean; rsv?: number; masked?: boolean; payload?: Buffer | string }

/** One frame as bytes, right or wrong. */
function frame({ opcode = OPCODE.text, fin = true, rsv = 0, masked = true, payload = '' }: Part): Buffer {
  const body = Buffer.from(payload)
  const out = Buffer.alloc(headBytesFor(body.length, masked) + body.length)
  writeHead(out, 0, opcode, body.length, masked)
  out[0] = (fin ? 0x80 : 0) | rsv | opcode
  const start = out.length - body.length
  body.copy(out, start)
  if (masked) {
    const mask = [1, 2, 3, 250]
    out.set(mask, start - 4)
    for (let i = start; i < out.length; i += 1) out[i]! ^= mask[(i - start) & 3]!
  }
  return out
}

function parse(chunks: readonly Buffer[], options: { maxPayloadBytes?: number; masked?: boolean } = {}): string[] {
  const sink = new Record()
  const parser = new FrameParser(sink, { maxPayloadBytes: MAX_BYTES, masked: true, ...options })
  for (const chunk of chunks) parser.push(Buffer.from(chunk))
  return sink.said
}

suite('what is right', () => {
  for (const bytes of [0, 1, 125, 126, 127, 65_535, 65_536, 70_001])
    test(`[FR1] a text of ${bytes} bytes arrives whole, masked or not`, () => {
      const payload = 'x'.repeat(bytes)
      assert.deepEqual(parse([frame({ payload })]), [`text ${payload}`])
      assert.deepEqual(parse([frame({ payload, masked: false })], { masked: false }), [`text ${payload}`])
    })

  test('[FR1] a frame inside one chunk is given as a range of that very chunk', () => {
    const chunk = Buffer.concat([frame({ payload: 'a' }), frame({ payload: 'bc' })])
    const seen: Buffer[] = []
    const sink = new Record()
    sink.text = (buffer) => void seen.push(buffer)
    new FrameParser(sink, { maxPayloadBytes: 100, masked: true }).push(chunk)
    assert.ok(seen.length === 2 && seen.every((buffer) => buffer === chunk))
  })

  test('[FR1] the rest of a chunk is copied: what the chunk becomes later does not matter', () => {
    const bytes = Buffer.concat([frame({ payload: 'one' }), frame({ payload: 'two' })])
    const chunk = bytes.subarray(0, bytes.length - 2)
    const tail = Buffer.from(bytes.subarray(bytes.length - 2))
    const sink = new Record()
    const parser = new FrameParser(sink, { maxPayloadBytes: 100, masked: true })
    parser.push(chunk)
    chunk.fill(0)
    parser.push(tail)
    assert.deepEqual(sink.said, ['text one', 'text two'])
  })

  test('[FR3] control frames may stand between fragments, and their bytes are not the message’s', () => {
    const chunks = [
      frame({ fin: false, payload: 'a'.repeat(60) }),
      frame({ opcode: OPCODE.ping, payload: 'p'.repeat(60) }),
      frame({ opcode: OPCODE.continuation, fin: false, payload: '' }),
      frame({ opcode: OPCODE.pong }),
      frame({ opcode: OPCODE.continuation, payload: 'b'.repeat(40) }),
    ]
    const want = [`ping ${'p'.repeat(60)}`, 'pong', `text ${'a'.repeat(60)}${'b'.repeat(40)}`]
    assert.deepEqual(parse(chunks, { maxPayloadBytes: 100 }), want)
  })

  test('[FR3] a character may be cut by a fragment, not by the end of the message', () => {
    const euro = Buffer.from('€')
    const head = frame({ fin: false, payload: euro.subarray(0, 1) })
    const rest = (end: number) => frame({ opcode: OPCODE.continuation, payload: euro.subarray(1, end) })
    assert.deepEqual(parse([head, rest(3)]), ['text €'])
    assert.deepEqual(parse([head, rest(2)]), ['violation 1007'])
  })

  test('[FR1] any sequence of messages, cut at any places, arrives the same as in one piece', () => {
    const message = fc.record({
      parts: fc.array(fc.string({ unit: 'grapheme', maxLength: 200 }), { minLength: 1, maxLength: 4 }),
      isBinary: fc.boolean(),
      ping: fc.boolean(),
    })
    const property = fc.property(
      fc.array(message, { maxLength: 6 }),
      fc.array(fc.nat(3_000), { maxLength: 20 }),
      (messages, cuts) => {
        const want: string[] = []
        const frames = messages.flatMap(({ parts, isBinary, ping }) => {
          const kind = isBinary ? OPCODE.binary : OPCODE.text
          const bytes = Buffer.from(parts.join(''))
          if (ping) want.push('ping between')
          want.push(isBinary ? `binary ${bytes.toString('hex')}` : `text ${bytes}`)
          return parts.flatMap((payload, i) => [
            ...(ping && i === parts.length - 1 ? [frame({ opcode: OPCODE.ping, payload: 'between' })] : []),
            frame({ opcode: i === 0 ? kind : OPCODE.continuation, fin: i === parts.length - 1, payload }),
          ])
        })
        const all = Buffer.concat(frames)
        const at = [0, ...cuts.filter((cut) => cut < all.length).sort((a, b) => a - b), all.length]
        const chunks = at.slice(1).map((end, i) => all.subarray(at[i]!, end))
        assert.deepEqual(parse(chunks), want)
        assert.deepEqual(parse([...all].map((byte) => Buffer.of(byte))), want)
      },
    )
    fc.assert(property, { numRuns: 60 })
  })

  for (const code of [1000, 1001, 1002, 1003, 1007, 1011, 1013, 1014, 3000, 3999, 4000, 4999])
    test(`[FR3] close code ${code} with a reason is read`, () => {
      const payload = Buffer.concat([Buffer.of(code >> 8, code & 0xff), Buffer.from('weg ü')])
      assert.deepEqual(parse([frame({ opcode: OPCODE.close, payload })]), [`closed ${code} weg ü`])
    })

  test('[FR3] a close without a code is 1005, and nothing after a close is read', () => {
    const chunks = [frame({ opcode: OPCODE.close }), frame({ payload: 'late' })]
    assert.deepEqual(parse([Buffer.concat(chunks)]), ['closed 1005 '])
    assert.deepEqual(parse(chunks), ['closed 1005 '])
  })
})

suite('what is forbidden', () => {
  const cases: [string, number, Part[]][] = [
    ['the first reserved bit', 1002, [{ rsv: 0x40, payload: 'a' }]],
    ['the second reserved bit', 1002, [{ rsv: 0x20 }]],
    ['the third reserved bit on a ping', 1002, [{ rsv: 0x10, opcode: OPCODE.ping }]],
    ...[3, 4, 5, 6, 7, 0xb, 0xc, 0xd, 0xe, 0xf].map((opcode): [string, number, Part[]] => [
      `opcode ${opcode}`,
      1002,
      [{ opcode }],
    ]),
    ['a ping of 126 bytes', 1002, [{ opcode: OPCODE.ping, payload: 'x'.repeat(126) }]],
    ['a ping in fragments', 1002, [{ opcode: OPCODE.ping, fin: false }]],
    ['a close of one byte', 1002, [{ opcode: OPCODE.close, payload: 'x' }]],
    ['a continuation of nothing', 1002, [{ opcode: OPCODE.continuation, payload: 'x' }]],
    ['a new text inside a fragmented one', 1002, [{ fin: false, payload: 'x' }, { payload: 'y' }]],
    ['a new fragmented binary inside a text', 1002, [{ fin: false }, { opcode: OPCODE.binary, fin: false }]],
    ['a frame without a mask', 1002, [{ masked: false, payload: 'x' }]],
    ['a lone surrogate', 1007, [{ payload: Buffer.of(0xed, 0xa0, 0x80) }]],
    ['an overlong character', 1007, [{ payload: Buffer.of(0xc0, 0xaf) }]],
    ['a reason that is not UTF-8', 1007, [{ opcode: OPCODE.close, payload: Buffer.of(3, 232, 0xff) }]],
    ...[0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535].map((code): [string, number, Part[]] => [
      `close code ${code}`,
      1002,
      [{ opcode: OPCODE.close, payload: Buffer.of(code >> 8, code & 0xff) }],
    ]),
  ]
  for (const [what, code, parts] of cases)
    test(`[FR3] ${what} is a violation (${code}), said once, and nothing after it is read`, () => {
      const bytes = Buffer.concat([...parts.map(frame), frame({ payload: 'late' })])
      assert.deepEqual(parse([bytes]), [`violation ${code}`])
      assert.deepEqual(parse([...bytes].map((byte) => Buffer.of(byte))), [`violation ${code}`])
    })

  /** A masked head with its length as it is told, whatever would be shortest. */
  const head = (opcode: number, form: 126 | 127, bytes: number, highest = 0): Buffer => {
    const length = Buffer.alloc(form === 126 ? 2 : 8)
    if (form === 126) length.writeUInt16BE(bytes)
    else length.writeUInt32BE(bytes, 4)
    if (highest > 0) length[0] = highest
    return Buffer.concat([Buffer.of(0x80 | opcode, 0x80 | form), length, Buffer.alloc(4), Buffer.alloc(bytes)])
  }
  const padded: [string, Buffer][] = [
    ['a text of 5 bytes in two', head(OPCODE.text, 126, 5)],
    ['a text of 125 bytes in two', head(OPCODE.text, 126, 125)],
    ['a text of no bytes in eight', head(OPCODE.text, 127, 0)],
    ['a text of 126 bytes in eight', head(OPCODE.text, 127, 126)],
    ['a binary of 65 535 bytes in eight', head(OPCODE.binary, 127, 65_535)],
    ['a text with the highest bit of its length set', head(OPCODE.text, 127, 10, 0x80)],
    ['a ping of 5 bytes in two', head(OPCODE.ping, 126, 5)],
    ['a pong of 5 bytes in eight', head(OPCODE.pong, 127, 5)],
    ['a close of 2 bytes in two', head(OPCODE.close, 126, 2)],
  ]
  for (const [what, bytes] of padded)
    test(`[S15] [FR4] the length of ${what} is a violation (1002), in one piece and byte by byte`, () => {
      assert.deepEqual(parse([bytes]), ['violation 1002'])
      assert.deepEqual(parse([...bytes].map((byte) => Buffer.of(byte))), ['violation 1002'])
    })

  test('[FR4] the least length of each form is right', () => {
    assert.deepEqual(parse([head(OPCODE.binary, 126, 126)]), [`binary ${'00'.repeat(126)}`])
    assert.deepEqual(parse([head(OPCODE.binary, 127, 65_536)]), [`binary ${'00'.repeat(65_536)}`])
  })

  test('[FR3] a client refuses a masked frame', () => {
    assert.deepEqual(parse([frame({ payload: 'x' })], { masked: false }), ['violation 1002'])
  })

  test('[FR2] a frame over the bound is refused by its head alone, in each length encoding', () => {
    for (const payloadBytes of [101, 126, 65_536, 2 ** 40]) {
      const head = Buffer.alloc(10)
      writeHead(head, 0, OPCODE.text, payloadBytes, true)
      assert.deepEqual(parse([head], { maxPayloadBytes: 100 }), ['violation 1009'])
    }
    assert.deepEqual(parse([frame({ payload: 'x'.repeat(100) })], { maxPayloadBytes: 100 }).length, 1)
  })

  test('[FR2] fragments together obey the bound', () => {
    const first = frame({ fin: false, payload: 'x'.repeat(60) })
    const next = (bytes: number) => frame({ opcode: OPCODE.continuation, payload: 'y'.repeat(bytes) })
    assert.deepEqual(parse([first, next(41)], { maxPayloadBytes: 100 }), ['violation 1009'])
    assert.equal(parse([first, next(40)], { maxPayloadBytes: 100 })[0]?.length, 105)
  })

  test('[FR2] endless empty fragments do not pile up in memory', () => {
    const sink = new Record()
    const parser = new FrameParser(sink, { maxPayloadBytes: 100, masked: true })
    parser.push(frame({ fin: false, payload: 'x' }))
    const empty = frame({ opcode: OPCODE.continuation, fin: false })
    const many = Buffer.concat(Array.from({ length: 20_000 }, () => empty))
    const before = process.memoryUsage().heapUsed
    for (let i = 0; i < 20; i += 1) parser.push(Buffer.from(many))
    assert.ok(process.memoryUsage().heapUsed - before < 20_000_000)
    parser.push(frame({ opcode: OPCODE.continuation, payload: 'y' }))
    assert.deepEqual(sink.said, ['text xy'])
  })

  test('[FR3] any bytes at all: never an exception, at most one violation, nothing after it', () => {
    const property = fc.property(
      fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 10 }),
      fc.boolean(),
      (chunks, masked) => {
        const said = parse(chunks.map(Buffer.from), { masked, maxPayloadBytes: 64 })
        const ends = said.findIndex((one) => one.startsWith('violation') || one.startsWith('closed'))
        assert.ok(ends < 0 || ends === said.length - 1, said.join('; '))
      },
    )
    fc.assert(property, { numRuns: 2_000 })
  })
})
