// Patterns say what a comparison of texts says.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { past, patternOf, patternsOf } from './pattern.ts'

const viewOf = (bytes: Buffer): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.length)

test('[BP1] a pattern is found where its text stands, whole, and nowhere else', () => {
  const ascii = fc.string({ minLength: 4, maxLength: 40, unit: fc.constantFrom('a', 'b', '"') })
  const property = fc.property(ascii, fc.string({ maxLength: 9 }), ascii, fc.nat(50), (text, before, after, less) => {
    const bytes = Buffer.from(before + text + after)
    const at = Buffer.byteLength(before)
    const end = Math.max(0, bytes.length - less)
    for (let i = -1; i <= bytes.length; i += 1) {
      const stands = i >= 0 && bytes.toString('latin1', i, end).startsWith(text)
      assert.equal(past(viewOf(bytes), i, end, patternOf(text)), stands ? i + text.length : -1)
    }
    assert.ok(less > after.length || past(viewOf(bytes), at, end, patternOf(text)) === at + text.length)
  })
  fc.assert(property, { numRuns: 300 })
})

test('[BP1] a text of fewer than four characters is refused', () => {
  assert.throws(() => patternOf('abc'), RangeError)
})

test('[BP2] patterns made together share one array and are told apart', () => {
  const [one, two] = patternsOf('first', 'second text')
  assert.equal(one.words, two.words)
  const bytes = Buffer.from('second textfirst')
  assert.equal(past(viewOf(bytes), 0, bytes.length, one), -1)
  assert.equal(past(viewOf(bytes), past(viewOf(bytes), 0, bytes.length, two), bytes.length, one), bytes.length)
})
