import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isThrownByAgent } from './agent-import.ts'

const OWN = new URL('./pack.ts', import.meta.url).pathname

function thrownAt(...places: string[]): Error {
  const error = new Error('x')
  error.stack = ['Error: x', ...places.map((place) => `    at run (${place}:3:7)`)].join('\n')
  return error
}

test('[P53][AF2][AF3] the innermost place decides whose fault it is; packages and Node itself are nobody’s', () => {
  assert.equal(isThrownByAgent(thrownAt('/opt/a/agent.ts', OWN)), true)
  assert.equal(
    isThrownByAgent(thrownAt('node:events', '/opt/a/node_modules/zod/index.js', 'file:///opt/a/agent.ts?load=1')),
    true,
  )
  assert.equal(isThrownByAgent(thrownAt(OWN, '/opt/a/agent.ts')), false)
  assert.equal(isThrownByAgent(thrownAt('node:internal/timers')), false)
  assert.equal(isThrownByAgent(new Error('of this file, which is of the plane')), false)
  assert.equal(isThrownByAgent('a string'), false)
})
