import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { test } from 'node:test'
import { countSockets, familyOf, machineCpuMs, parseRssKb, parseStat, readUsage } from './procfs.ts'

test('[PR1] a process name with spaces and parentheses does not shift the fields', () => {
  const stat = '4242 (my (odd) name) S 17 1 1 0 -1 4194560 1 2 3 4 150 50 7 8 20 0 11 0 99 1000 2000'
  assert.deepEqual(parseStat(stat), { parentPid: 17, cpuMs: 2_000 })
  assert.equal(parseStat(''), undefined)
})

test('resident memory is read in kB', () => {
  assert.equal(parseRssKb('Name:\tnode\nVmPeak:\t 1 kB\nVmRSS:\t   51234 kB\n'), 51_234)
  assert.equal(parseRssKb('Name:\tzombie\n'), undefined)
})

test('[PR1] CPU that this process burns is seen, within the clock of the kernel', () => {
  const before = readUsage(process.pid)!
  const end = process.cpuUsage().user + 200_000
  while (process.cpuUsage().user < end) for (let i = 0; i < 100_000; i++) Math.sqrt(Math.random())
  const burntMs = readUsage(process.pid)!.cpuMs - before.cpuMs
  assert.ok(burntMs >= 150 && burntMs < 2_000, `burnt ${burntMs} ms`)
  assert.ok(before.rssKb > 10_000)
})

test('[PR1] children are counted with their parent, and gone ones with nobody', async () => {
  const child = spawn(process.execPath, ['-e', 'process.stdin.resume(); console.log("up")'])
  await once(child.stdout, 'data')
  assert.ok(familyOf(process.pid).includes(child.pid!))
  assert.ok(readUsage(process.pid)!.processes >= 2)
  child.kill('SIGKILL')
  await once(child, 'exit')
  assert.equal(readUsage(child.pid!), undefined)
})

test('sockets of a process are counted as they open and close', async () => {
  const before = countSockets(process.pid)!
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  assert.equal(countSockets(process.pid), before + 1)
  server.close()
  await once(server, 'close')
  assert.equal(countSockets(process.pid), before)
  assert.equal(countSockets(2 ** 22 + 1), undefined)
})

test('the machine’s own clock runs forward', () => {
  const { busyMs, totalMs } = machineCpuMs()
  assert.ok(busyMs > 0 && totalMs >= busyMs)
})
