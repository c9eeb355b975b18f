import assert from 'node:assert/strict'
import { test } from 'node:test'
import { runSteps } from './check.ts'
import { selectTests, testEnvironment } from './test.ts'

test('[H1] a failed step does not hide the ones behind it, and the exit code tells', async () => {
  const printed: string[] = []
  const ran: string[] = []
  const step = (name: string, passed: boolean) => ({
    name,
    run: async () => {
      ran.push(name)
      return { passed, lines: passed ? [] : ['why'] }
    },
  })
  assert.equal(await runSteps([step('one', false), step('two', true)], (line) => printed.push(line)), 1)
  assert.deepEqual(ran, ['one', 'two'])
  assert.match(printed[0]!, /^FAILED {2}one \(\d/)
  assert.equal(printed[1]!.trim(), 'why')
  assert.match(printed.at(-1)!, /failed in .*: one$/)
  assert.equal(await runSteps([step('two', true)], () => {}), 0)
})

test('[T4] a filter chooses test files by how their path begins', () => {
  const files = ['src/call/turn.ts', 'src/call/turn.test.ts', 'src/carrier/media.test.ts', 'tools/test.ts']
  assert.deepEqual(selectTests(files, []), ['src/call/turn.test.ts', 'src/carrier/media.test.ts'])
  assert.deepEqual(selectTests(files, ['./src/call']), ['src/call/turn.test.ts'])
  assert.deepEqual(selectTests(files, ['docs']), [])
})

test('[T3] a test sees no key of the operator', () => {
  const env = testEnvironment({ PATH: 'x', OPENAI_API_KEY: 'k', TWILIO_AUTH_TOKEN: 't', NODE_TEST_CONTEXT: 'child' })
  assert.deepEqual(env, { PATH: 'x' })
})
