import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readReadyLine, startChild } from './child.ts'

const run = (script: string) =>
  startChild(
    { name: 'peer', file: process.execPath, args: ['-e', script], readyMs: 5_000 },
    { isOver: false, atEnd: () => undefined },
  )

test('[CH1] only a JSON line with a whole port is a ready line', () => {
  assert.deepEqual(readReadyLine('{"ready":true,"port":80}'), { ready: true, port: 80 })
  for (const line of ['listening on 80', '{"msg":"up"}', '{"port":"80"}', '{broken']) {
    assert.equal(readReadyLine(line), undefined)
  }
})

test('[CH1][CH2] a child is up at its ready line and ended by its pid', async () => {
  const child = await run(
    'setInterval(() => {}, 1000); console.log("noise"); console.log(JSON.stringify({ port: 4711 }))',
  )
  assert.equal(child.port, 4_711)
  assert.equal(child.hasExited(), false)
  await child.stop()
  assert.equal(child.hasExited(), true)
  assert.throws(() => process.kill(child.pid, 0))
})

test('[CH1][CH3] a child that dies first is reported with what it said', async () => {
  await assert.rejects(
    run('console.error("no such module"); process.exit(3)'),
    /peer ended before.*code 3[\s\S]*no such module/,
  )
})
