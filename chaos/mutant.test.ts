import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { MUTANTS } from './cases/mutants.ts'
import { failuresOf, mutate } from './mutant.ts'

const MUTANT = { name: 'm', file: 'f.ts', find: 'a > b', replace: 'a >= b' }

test('[MU2] a breakage takes the place of a text that stands exactly once', () => {
  assert.equal(mutate('if (a > b) x()', MUTANT), 'if (a >= b) x()')
  assert.equal(mutate('x = a > b', { ...MUTANT, replace: '$&' }), 'x = $&')
  assert.throws(() => mutate('if (a < b) x()', MUTANT), /stands 0 times in f.ts/)
  assert.throws(() => mutate('a > b, a > b', MUTANT), /stands 2 times/)
})

test('[MU2] every mutant finds its place in the program as it is', async () => {
  assert.equal(MUTANTS.length, 7)
  for (const mutant of MUTANTS) {
    const text = await readFile(new URL(`../${mutant.file}`, import.meta.url), 'utf8')
    assert.notEqual(mutate(text, mutant), text, mutant.name)
  }
})

test('what failed is told from the lines of a run or of tests', () => {
  const lines = [
    '  12 s  kill-pod: FAILS  slots leaked: 3 (wanted = 0)',
    '✖ [L1] one holder (3.2ms)',
    '✖ failing tests:',
    'ok',
  ]
  assert.equal(failuresOf(lines), '12 s  kill-pod: FAILS  slots leaked: 3 (wanted = 0) · ✖ [L1] one holder')
  assert.equal(failuresOf(['ok']), 'nothing failed')
})
