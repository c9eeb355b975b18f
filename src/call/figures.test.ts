// Figures of a call's record: counted from the state, read once from the store, each on the page for receivers.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { CALL_FIGURES, figuresOf, readFigures } from './figures.ts'
import { initialState } from './state.ts'

test('[FIG2] what is counted reads back; what is unknown, or no number, is left out', () => {
  const figures = figuresOf({ ...initialState(), bargeIns: 3 })
  assert.equal(figures.bargeIns, 3)
  assert.deepEqual(readFigures(JSON.parse(JSON.stringify(figures))), figures)
  assert.deepEqual(readFigures({ bargeIns: 'many', ofALaterVersion: 2 }), {})
  for (const none of [null, undefined, 'text', 7]) assert.equal(readFigures(none), undefined, String(none))
})

test('[FIG1] docs/after-call.md names each figure, and no other', () => {
  const page = readFileSync(join(import.meta.dirname, '../../docs/after-call.md'), 'utf8')
  const rows = [...page.matchAll(/^\| `figures\.(\w+)` \|/gm)].map((match) => match[1])
  assert.deepEqual(rows, Object.keys(CALL_FIGURES))
})
