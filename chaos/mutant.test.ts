import assert from 'node:assert/strict'
import { test } from 'node:test'
import { failuresOf, mutate } from './mutant.ts'

const MUTANT = { name: 'm', file: 'f.ts', find: 'a > b', replace: 'a >= b' }

test('[MU2] a breakage takes the place of a text that stands exactly once', () => {
  assert.equal(mutate('if (a > b) x()', MUTANT), 'if (a >= b) x()')
  assert.equal(mutate('x = a > b', { ...MUTANT, replace: '$&' }), 'x = $&')
  assert.throws(() => mutate('if (a < b) x()', MUTANT), /stands 0 times in f.ts/)
  assert.throws(() => mutate('a > b, a > b', MUTANT), /stands 2 times/)
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
