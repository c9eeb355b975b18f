import assert from 'node:assert/strict'
import { test } from 'node:test'
import { BINARY, CLOSE, closeFrame, FrameReader, MASK, MESSAGE_BYTES_MAX, maskedFrame, PING, TEXT } from './frame.ts'

type Found = { opcode: number; text: string }

function read(pieces: Buffer[]): { found: Found[]; violation: number | undefined } {
  const found: Found[] = []
  let violation: number | undefined
  const reader = new FrameReader()
  for (const piece of pieces) {
    reader.push(piece, {
      onMessage: (opcode, buffer, start, end) => found.push({ opcode, text: buffer.toString('utf8', start, end) }),
      onControl: (opcode, payload) => found.push({ opcode, text: payload.toString('latin1') }),
      onViolation: (closeCode) => {
        violation = closeCode
      },
    })
  }
  return { found, violation }
}

/** A server's frame: not masked. */
function frame(opcode: number, payload: Buffer | string, isFinal = true): Buffer {
  const body = Buffer.from(payload as string)
  const first = (isFinal ? 0x80 : 0) | opcode
  if (body.length < 126) return Buffer.concat([Buffer.from([first, body.length]), body])
  const head = Buffer.alloc(body.length < 65536 ? 4 : 10)
  head[0] = first
  head[1] = body.length < 65536 ? 126 : 127
  if (body.length < 65536) head.writeUInt16BE(body.length, 2)
  else head.writeBigUInt64BE(BigInt(body.length), 2)
  return Buffer.concat([head, body])
}

test('[F1] a frame is masked with the non-zero key and unmasks to its payload, in all three lengths', () => {
  assert.ok(MASK.every((byte) => byte !== 0))
  for (const [size, head] of [
    [5, 6],
    [300, 8],
    [70_000, 14],
  ] as const) {
    const payload = Buffer.alloc(size, 'voice')
    const sent = maskedFrame(TEXT, payload)
    assert.equal(sent[0], 0x81)
    assert.equal(sent[1]! & 0x80, 0x80)
    assert.deepEqual(sent.subarray(head - 4, head), MASK)
    const back = Buffer.from(sent.subarray(head).map((byte, i) => byte ^ MASK[i & 3]!))
    assert.deepEqual(back, payload)
  }
  assert.equal(closeFrame(1000).length, 8)
  assert.equal(closeFrame().length, 6)
})

test('messages are found however the bytes are cut', () => {
  const all = Buffer.concat([frame(TEXT, 'one'), frame(BINARY, 'x'.repeat(400)), frame(PING, 'p'), frame(TEXT, 'two')])
  const whole = read([all]).found
  assert.deepEqual(
    whole.map((one) => one.text.length),
    [3, 400, 1, 3],
  )
  for (let cut = 1; cut < all.length; cut++) {
    assert.deepEqual(read([all.subarray(0, cut), all.subarray(cut)]).found, whole)
  }
  assert.deepEqual(read([...all].map((byte) => Buffer.from([byte]))).found, whole)
  assert.equal(read([frame(TEXT, 'y'.repeat(70_000))]).found[0]?.text.length, 70_000)
})

test('a fragmented message is joined, with a ping between its parts', () => {
  const { found } = read([frame(TEXT, 'he', false), frame(PING, ''), frame(0, 'l', false), frame(0, 'lo')])
  assert.deepEqual(found, [
    { opcode: PING, text: '' },
    { opcode: TEXT, text: 'hello' },
  ])
})

test('[F2] frames against the rules end the stream with 1002', () => {
  const masked = maskedFrame(TEXT, Buffer.from('x'))
  const reserved = frame(TEXT, 'x')
  reserved[0]! |= 0x40
  const cases = [
    masked,
    reserved,
    frame(PING, 'x', false),
    frame(CLOSE, 'x'.repeat(126)),
    frame(3, 'x'),
    frame(0, 'no beginning'),
    Buffer.concat([frame(TEXT, 'a', false), frame(TEXT, 'b')]),
  ]
  for (const bytes of cases) {
    const { found, violation } = read([bytes, frame(TEXT, 'after')])
    assert.equal(violation, 1002)
    assert.deepEqual(found, [])
  }
})

test('[F3] a message above the bound ends the stream with 1009 before its bytes are kept', () => {
  const head = Buffer.alloc(10)
  head[0] = 0x81
  head[1] = 127
  head.writeBigUInt64BE(BigInt(MESSAGE_BYTES_MAX + 1), 2)
  assert.equal(read([head]).violation, 1009)
})
