// The gate: who works, who waits, who is refused.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Gate } from './gate.ts'

const settled = () => new Promise((resolve) => setImmediate(resolve))

/** Work that ends when told. */
function work() {
  let end = (): void => assert.fail('was not begun')
  let isBegun = false
  const run = () =>
    new Promise<string>((resolve) => {
      isBegun = true
      end = () => resolve('done')
    })
  return { run, end: () => end(), isBegun: () => isBegun }
}

test('[GT1] two work, one waits in order, the fourth is refused at once', async () => {
  const gate = new Gate({ activeMax: 2, waitingMax: 1 })
  const works = [work(), work(), work()]
  const passes = works.map(({ run }) => gate.pass(run))
  await settled()
  assert.deepEqual([gate.active, gate.waiting], [2, 1])
  assert.equal(await gate.pass(async () => 'never'), undefined)
  assert.equal(works[2]!.isBegun(), false)
  works[0]!.end()
  assert.equal(await passes[0], 'done')
  await settled()
  assert.deepEqual([gate.active, gate.waiting, works[2]!.isBegun()], [2, 0, true])
  works[1]!.end()
  works[2]!.end()
  assert.deepEqual(await Promise.all(passes), ['done', 'done', 'done'])
  assert.equal(gate.active, 0)
})

test('[GT1] work that throws gives its place back', async () => {
  const gate = new Gate({ activeMax: 1, waitingMax: 0 })
  await assert.rejects(
    gate.pass(() => Promise.reject(new Error('broken'))),
    /broken/,
  )
  assert.equal(await gate.pass(async () => 'next'), 'next')
})

test('[GT2] closing refuses those who wait and lets those at work finish', async () => {
  const gate = new Gate({ activeMax: 1, waitingMax: 5 })
  const first = work()
  const passes = [gate.pass(first.run), gate.pass(async () => 'waits')]
  await settled()
  gate.close()
  assert.equal(await passes[1], undefined)
  first.end()
  assert.equal(await passes[0], 'done')
  assert.equal(await gate.pass(async () => 'late'), undefined)
})
