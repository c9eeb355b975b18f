import assert from 'node:assert/strict'
import { test } from 'node:test'
import { findBreaches, isRead } from './tree-rules.ts'

// The forbidden texts are put together here, so that this file itself keeps the rules.
const slash = '/'
const dot = '.'

test('[R1] a lock file with an address is a breach, one without is not', () => {
  assert.equal(findBreaches('package-lock.json', '"version": "1.0.0",\n"resolved": "x",').length, 1)
  assert.deepEqual(findBreaches('package-lock.json', '"integrity": "sha512-x"'), [])
})

test('[R2] a registry is a breach in any file, and a registry line in .npmrc', () => {
  assert.equal(findBreaches('docs/a.md', `see https://registry${dot}npmjs${dot}org/ws`).length, 1)
  assert.equal(findBreaches('a.sh', `pip install -i https://pypi${dot}org/simple x`).length, 1)
  assert.equal(findBreaches('.npmrc', 'registry=http://127.0.0.1:9000').length, 1)
  assert.deepEqual(findBreaches('src/a.ts', "const registry = 'the list of pods'"), [])
})

test('[R3] a folder of the machine is a breach, a folder of the project of the same name is not', () => {
  assert.deepEqual(findBreaches('src/a.ts', `// log\nopen('${slash}work/main/x.log')`), [
    { path: 'src/a.ts', line: 2, text: `open('${slash}work/main/x.log')` },
  ])
  assert.equal(findBreaches('README.md', `cd ${slash}root/voiceplane`).length, 1)
  assert.equal(findBreaches('README.md', `write ${slash}tmp/x`).length, 1)
  assert.deepEqual(findBreaches('src/a.ts', "import { x } from '../work/outbox.ts' // src/work/outbox.ts"), [])
})

test('the licence and sound files are not read, scripts without an ending are', () => {
  assert.equal(isRead('LICENSE'), false)
  assert.equal(isRead('sim/speech/hello.wav'), false)
  assert.equal(isRead('.ci/run'), true)
  assert.equal(isRead('.npmrc'), true)
})
