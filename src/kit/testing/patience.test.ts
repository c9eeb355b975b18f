import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { test } from 'node:test'
import { startWatch, until } from './patience.ts'

test('[O18][TP1] what comes late is waited for; what never comes is told by its name', async () => {
  let looks = 0
  await until('the third look', () => ++looks === 3)
  assert.equal(looks, 3)
  await assert.rejects(
    until('the moon', () => false, 20),
    /the moon/,
  )
})

test('[O18][TP2] the time that other processes took does not count against a bound', async () => {
  const spin = 'const end = Date.now() + 8000; while (Date.now() < end) {}'
  const busy = Array.from({ length: 3 * availableParallelism() }, () => spawn(process.execPath, ['-e', spin]))
  try {
    await new Promise((resolve) => setTimeout(resolve, 300))
    const cpu = process.cpuUsage()
    const startMs = performance.now()
    const watch = startWatch()
    while ((process.cpuUsage(cpu).user + process.cpuUsage(cpu).system) / 1_000 < 200) {
      // Work for 200 ms of a core.
    }
    const wallMs = performance.now() - startMs
    const counted = watch.elapsedMs()
    assert.ok(counted < 400, `${counted} ms counted of ${wallMs} ms for 200 ms of work`)
    assert.ok(counted > 100)
  } finally {
    for (const child of busy) child.kill('SIGKILL')
  }
})
