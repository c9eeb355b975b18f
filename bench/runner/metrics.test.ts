import assert from 'node:assert/strict'
import { test } from 'node:test'
import { atLeast, atMost } from './bench.ts'
import { parseMetrics, sumOf } from './metrics.ts'
import { saturatedOf, windowFigures } from './window.ts'

test('a metrics page is read by name and labels, comments are not', () => {
  const page = parseMetrics(
    '# HELP voice_active_calls x\nvoice_active_calls 3\nhandles{type="Socket"} 2\nhandles{type="Pipe"} 5\n',
  )
  assert.equal(page.get('voice_active_calls'), 3)
  assert.equal(sumOf(page, 'handles'), 7)
  assert.equal(sumOf(page, 'hand'), undefined)
})

test('a check needs a figure: a missing one fails', () => {
  assert.equal(atMost('x', 1.6, 1.6).pass, true)
  assert.equal(atMost('x', 1.61, 1.6).pass, false)
  assert.equal(atMost('x', null, 1.6).pass, false)
  assert.equal(atLeast('x', Number.NaN, 2).pass, false)
  assert.equal(atLeast('x', 2.2, 2.2).pass, true)
})

test('CPU of a window is per second of each call', () => {
  const figures = windowFigures(200, 15, 3_000, 90_000, 0.5)
  assert.equal(figures.cpuMsPerCallSecond, 1)
  assert.equal(figures.coreShare, 0.2)
})

test('what is saturated is named: a process near a core, and the machine', () => {
  const processes = [
    { name: 'edge', coreShare: 0.95, rssMb: 1, processes: 1 },
    { name: 'callers', coreShare: 1.2, rssMb: 1, processes: 3 },
  ]
  assert.deepEqual(saturatedOf(processes, 0.5), ['edge'])
  assert.deepEqual(saturatedOf(processes, 0.99), ['the machine', 'edge'])
})
