import assert from 'node:assert/strict'
import { test } from 'node:test'
import { runSteps } from './check.ts'
import { ALONE, inTurns, selectTests, testEnvironment } from './test.ts'
import { listFiles } from './tree.ts'

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

test('[T2] files that need the machine come after all others, one by one; each of them exists', () => {
  const [lone] = Object.keys(ALONE) as [string]
  const turns = inTurns([lone, 'src/call/turn.test.ts'])
  assert.deepEqual(turns[0]![0], ['src/call/turn.test.ts'])
  assert.ok(turns[0]![1] > 1)
  assert.deepEqual(turns[1], [[lone], 1])
  assert.deepEqual(inTurns([lone]), [[[lone], 1]], 'nothing is run when nothing was chosen')
  const files = ['bench', 'load', 'sim', 'test'].flatMap((folder) => listFiles(folder))
  for (const path of Object.keys(ALONE)) assert.ok(files.includes(path), path)
})
