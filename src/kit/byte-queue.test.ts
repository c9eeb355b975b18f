// The byte queue against a plain model of it.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { BLOCK_BYTES, ByteQueue } from './byte-queue.ts'

type Deed = { kind: 'push' | 'shift'; bytes: number } | { kind: 'clear' }

const sizes = fc.oneof(
  fc.nat(400),
  fc.nat(20_000),
  fc.constantFrom(0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1),
)
const deed: fc.Arbitrary<Deed> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ kind: fc.constant('push' as const), bytes: sizes }) },
  { weight: 5, arbitrary: fc.record({ kind: fc.constant('shift' as const), bytes: sizes }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'clear' as const }) },
)

test('[BQ1] two queues on one pool give back their own bytes, in order, whatever is done to them', () => {
  const property = fc.property(fc.array(fc.tuple(fc.boolean(), deed), { maxLength: 60 }), (deeds) => {
    const queues = [new ByteQueue(), new ByteQueue()]
    const models = [Buffer.alloc(0), Buffer.alloc(0)]
    let next = 0
    for (const [isSecond, what] of deeds) {
      const at = isSecond ? 1 : 0
      const queue = queues[at]!
      if (what.kind === 'clear') {
        queue.clear()
        models[at] = Buffer.alloc(0)
      } else if (what.kind === 'push') {
        const bytes = Buffer.from(Array.from({ length: what.bytes }, () => (next = (next * 31 + 7) & 0xff)))
        queue.push(bytes)
        models[at] = Buffer.concat([models[at]!, bytes])
        bytes.fill(0)
      } else {
        const got = queue.shift(what.bytes)
        assert.equal(got.length, Math.min(what.bytes, models[at]!.length, 16_384))
        assert.ok(got.equals(models[at]!.subarray(0, got.length)))
        models[at] = models[at]!.subarray(got.length)
      }
      assert.equal(queue.length, models[at]!.length)
    }
  })
  fc.assert(property, { numRuns: 150 })
})

test('[BQ1] what was pushed is a copy, and blocks are used again', () => {
  const queue = new ByteQueue()
  const bytes = Buffer.from('hello')
  queue.push(bytes)
  bytes.fill(0x2a)
  assert.equal(queue.shift(99).toString(), 'hello')
  const before = process.memoryUsage().arrayBuffers
  for (let i = 0; i < 20_000; i += 1) {
    queue.push(Buffer.alloc(160, i & 0xff))
    assert.equal(queue.shift(160)[159], i & 0xff)
  }
  assert.ok(process.memoryUsage().arrayBuffers - before < 16 * 1024 * 1024)
})

test('[BQ2] the next shift of any queue writes over what the last one gave', () => {
  const one = new ByteQueue()
  const other = new ByteQueue()
  one.push(Buffer.from('aaaa'))
  other.push(Buffer.from('bb'))
  const first = one.shift(4)
  other.shift(2)
  assert.equal(first.toString(), 'bbaa')
})
