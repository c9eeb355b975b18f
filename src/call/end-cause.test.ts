// Causes of ends: read once, and each with who ended the call.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { END_CAUSES, endedBy, readEndCause } from './end-cause.ts'

test('[EC1] each cause says who ended the call', () => {
  assert.equal(endedBy('caller-hung-up'), 'caller')
  assert.equal(endedBy('carrier-lost'), 'carrier')
  assert.equal(endedBy('agent-ended'), 'agent')
  assert.equal(endedBy('too-long'), 'plane')
})

test('[EC2] a cause is read as it is, and what is no cause reads as not known', () => {
  for (const cause of Object.keys(END_CAUSES)) assert.equal(readEndCause(cause), cause)
  for (const foreign of ['x', '', 'constructor', '__proto__', null, undefined, 7]) {
    assert.equal(readEndCause(foreign), undefined, String(foreign))
  }
})

test('[EC1] docs/after-call.md names each cause that a receiver may see, with who ended the call', () => {
  const page = readFileSync(join(import.meta.dirname, '../../docs/after-call.md'), 'utf8')
  const rows = [...page.matchAll(/^\| `([a-z-]+)` \| (caller|agent|plane|carrier) \|/gm)].map(([, cause, by]) => [
    cause,
    by,
  ])
  const expected = Object.entries(END_CAUSES).filter(([cause]) => cause !== 'moved' && cause !== 'handed-over')
  assert.deepEqual(rows, expected)
})
