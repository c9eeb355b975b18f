// The metrics page: names, counts, buckets, bounds, and what is absent.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { Registry } from 'prom-client'
import { type MetricSources, Metrics } from './metrics.ts'
import { Durations, Tally } from './tally.ts'

const sources: MetricSources = { activeCalls: () => 7, eventLoopLagMs: () => 2.5 }

async function pageOf(metrics: Metrics, from: MetricSources = sources): Promise<string[]> {
  const registry = new Registry()
  metrics.register(registry, from)
  const text = await registry.metrics()
  registry.clear()
  return text.split('\n')
}

const samples = (page: string[], name: string) => page.filter((line) => line.startsWith(name))

/** Name and type of each figure of docs/metrics.md, which the code makes and test/docs/metrics.test.ts keeps whole. */
const documented = [
  ...readFileSync(new URL('../../docs/metrics.md', import.meta.url), 'utf8').matchAll(/^\| `(\w+)` \| (\w+) \|/gm),
].map(([, name, type]) => `${name} ${type}`)

test('[MX3] each figure is in docs/metrics.md under its name and type, with the process’s own', async () => {
  const page = await pageOf(new Metrics())
  const names = page.filter((line) => line.startsWith('# TYPE')).map((line) => line.split(' ').slice(2).join(' '))
  const own = names.filter((name) => name.startsWith('voice_'))
  assert.ok(own.length >= 28, `${own.length}`)
  for (const name of own) assert.ok(documented.includes(name), `${name}: npm run metrics-page`)
  assert.ok(names.includes('process_resident_memory_bytes gauge'))
})

test('[MX1] counts are read at the scrape, and a second scrape does not add them again', async () => {
  const metrics = new Metrics()
  const registry = new Registry()
  metrics.register(registry, sources)
  metrics.frames.inbound += 50
  metrics.bargeIns += 2
  metrics.modelRedials += 3
  metrics.calls.add('completed')
  metrics.calls.add('completed')
  metrics.framesDropped.add('early-overflow', 3)
  metrics.modelErrors.add('rate_limit_exceeded')
  metrics.resumed('pod-lost', 'resumed')
  metrics.modelConnected('eu', 'accepted')
  metrics.modelConnected('eu', 'accepted')
  await registry.metrics()
  const page = (await registry.metrics()).split('\n')
  for (const line of [
    'voice_frames_total{direction="inbound"} 50',
    'voice_frames_total{direction="outbound"} 0',
    'voice_barge_ins_total 2',
    'voice_model_redials_total 3',
    'voice_calls_total{outcome="completed"} 2',
    'voice_frames_dropped_total{reason="early-overflow"} 3',
    'voice_model_errors_total{code="rate_limit_exceeded"} 1',
    'voice_resumes_total{cause="pod-lost",outcome="resumed"} 1',
    'voice_model_connects_total{pool="eu",outcome="accepted"} 2',
    'voice_active_calls 7',
    'voice_event_loop_lag_seconds 0.0025',
  ]) {
    assert.ok(page.includes(line), line)
  }
})

test('[OPS-2][MX2] a gauge that is unknown, throws or is no number is absent, and comes back when it can be read', async () => {
  let active: number | undefined
  let leases: Record<string, number> | undefined
  const registry = new Registry()
  new Metrics().register(registry, {
    activeCalls: () => active,
    eventLoopLagMs: () => {
      throw new Error('closed')
    },
    queueDepth: () => Number.NaN,
    leases: () => leases,
  })
  const scrape = async () => (await registry.metrics()).split('\n')
  const gone = await scrape()
  for (const name of ['voice_active_calls', 'voice_event_loop_lag', 'voice_queue_', 'voice_quota', 'voice_leases']) {
    assert.deepEqual(samples(gone, name), [], name)
  }
  active = 0
  leases = { active: 2 }
  const back = await scrape()
  assert.deepEqual(samples(back, 'voice_active_calls'), ['voice_active_calls 0'])
  assert.deepEqual(samples(back, 'voice_leases'), ['voice_leases{state="active"} 2'])
  active = undefined
  leases = undefined
  const again = await scrape()
  assert.deepEqual([...samples(again, 'voice_active_calls'), ...samples(again, 'voice_leases')], [])
})

test('durations come as seconds in rising buckets with exact sum and count', async () => {
  const metrics = new Metrics()
  for (const ms of [0.1, 0.2, 4, 5_000]) metrics.addedLatency.inbound.observeMs(ms)
  metrics.turnLatency.observeMs(450)
  metrics.toolTook('lookup', 12)
  metrics.queueWaited(700)
  const page = await pageOf(metrics)
  for (const line of [
    'voice_added_latency_seconds_bucket{direction="inbound",le="0.0001"} 1',
    'voice_added_latency_seconds_bucket{direction="inbound",le="0.00025"} 2',
    'voice_added_latency_seconds_bucket{direction="inbound",le="0.003"} 2',
    'voice_added_latency_seconds_bucket{direction="inbound",le="0.005"} 3',
    'voice_added_latency_seconds_bucket{direction="inbound",le="1"} 3',
    'voice_added_latency_seconds_bucket{direction="inbound",le="+Inf"} 4',
    'voice_added_latency_seconds_count{direction="inbound"} 4',
    'voice_added_latency_seconds_sum{direction="inbound"} 5.0043',
    'voice_added_latency_seconds_count{direction="outbound"} 0',
    'voice_turn_latency_seconds_bucket{le="0.5"} 1',
    'voice_tool_seconds_bucket{tool="lookup",le="0.025"} 1',
    'voice_queue_wait_seconds_sum 0.7',
  ]) {
    assert.ok(page.includes(line), line)
  }
})

test('[TY2][MX3] labels are bounded: foreign words beyond the bound, and long ones, count as other', async () => {
  const tally = new Tally()
  for (let n = 0; n < 1_000; n++) tally.add(`code-${n}`)
  tally.add('x'.repeat(1_000))
  const counts = new Map(tally.entries())
  assert.equal(counts.size, 101)
  assert.equal(counts.get('other'), 901)
  const metrics = new Metrics()
  for (let n = 0; n < 1_000; n++) metrics.toolTook(`tool-${n}`, 1)
  const lines = samples(await pageOf(metrics), 'voice_tool_seconds_count')
  assert.equal(lines.length, 101)
  assert.ok(lines.includes('voice_tool_seconds_count{tool="other"} 900'))
})

test('what is no duration counts as nothing', () => {
  const durations = new Durations([1, 2])
  for (const ms of [Number.NaN, -1]) durations.observeMs(ms)
  assert.equal(durations.count, 0)
})

test('[MX4] two planes in one process do not mix', async () => {
  const [one, two] = [new Metrics(), new Metrics()]
  one.bargeIns += 1
  assert.deepEqual(samples(await pageOf(one), 'voice_barge_ins_total'), ['voice_barge_ins_total 1'])
  assert.deepEqual(samples(await pageOf(two), 'voice_barge_ins_total'), ['voice_barge_ins_total 0'])
})
