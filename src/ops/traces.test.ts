// Traces against a collector on loopback: what arrives, what is off, and a collector that is away.
import assert from 'node:assert/strict'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, test } from 'node:test'
import type { CallId } from '../kit/ids.ts'
import { silentLog } from '../kit/log.ts'
import { noTraces, openTraces } from './traces.ts'

type WireSpan = {
  name: string
  traceId: string
  spanId: string
  parentSpanId?: string
  startTimeUnixNano: string
  endTimeUnixNano: string
  attributes: { key: string; value: Record<string, unknown> }[]
}
type WireBatch = {
  resourceSpans: { resource: { attributes: WireSpan['attributes'] }; scopeSpans: { spans: WireSpan[] }[] }[]
}

const servers: Server[] = []
after(() => {
  for (const server of servers) server.close().closeAllConnections()
})

/** A collector that keeps the spans posted to /v1/traces. */
async function collector(status = 200): Promise<{ endpoint: string; batches: WireBatch[]; paths: string[] }> {
  const batches: WireBatch[] = []
  const paths: string[] = []
  const server = createServer((request, response) => {
    let text = ''
    request.on('data', (part) => {
      text += part
    })
    request.on('end', () => {
      paths.push(`${request.method} ${request.url}`)
      batches.push(JSON.parse(text))
      response.writeHead(status, { 'content-type': 'application/json' }).end('{}')
    })
  })
  servers.push(server)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return { endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, batches, paths }
}

const callId = 'call_1' as CallId
const startMs = 1_790_000_000_000
const attributeOf = (span: { attributes: WireSpan['attributes'] }, key: string) =>
  Object.values(span.attributes.find((one) => one.key === key)?.value ?? {})[0]

test('[TC1] without an endpoint traces are off', async () => {
  assert.equal(await openTraces({ endpoint: undefined, pod: 'pod-1', log: silentLog }), noTraces)
  noTraces.call({ callId, startMs }).end({ endMs: startMs, outcome: 'completed' })
  await noTraces.close()
})

test('a call and its turns arrive at the collector as one trace with their times', async () => {
  const { endpoint, batches, paths } = await collector()
  const traces = await openTraces({ endpoint, pod: 'pod-7', log: silentLog })
  const trace = traces.call({ callId, startMs, attributes: { 'call.direction': 'inbound' } })
  trace.turn({ party: 'caller', startMs: startMs + 100, endMs: startMs + 900, ending: 'completed' })
  trace.turn({
    party: 'agent',
    startMs: startMs + 1_000,
    endMs: startMs + 1_500,
    ending: 'barge-in',
    attributes: { heardMs: 480 },
  })
  trace.end({ endMs: startMs + 2_000, outcome: 'caller-hung-up' })
  trace.end({ endMs: startMs + 9_000, outcome: 'again' })
  trace.turn({ party: 'agent', startMs, endMs: startMs, ending: 'late' })
  await traces.close()
  await traces.close()

  assert.deepEqual(paths, ['POST /v1/traces'])
  const { resource, scopeSpans } = batches[0]!.resourceSpans[0]!
  assert.equal(attributeOf(resource, 'service.name'), 'voiceplane')
  assert.equal(attributeOf(resource, 'service.instance.id'), 'pod-7')
  const spans = scopeSpans.flatMap((scope) => scope.spans)
  assert.deepEqual(spans.map((span) => span.name).sort(), ['call', 'turn', 'turn'])
  const call = spans.find((span) => span.name === 'call')!
  assert.equal(BigInt(call.startTimeUnixNano), BigInt(startMs) * 1_000_000n)
  assert.equal(BigInt(call.endTimeUnixNano), BigInt(startMs + 2_000) * 1_000_000n)
  assert.equal(attributeOf(call, 'call.outcome'), 'caller-hung-up')
  assert.equal(attributeOf(call, 'call.id'), 'call_1')
  for (const turn of spans.filter((span) => span.name === 'turn')) {
    assert.equal(turn.parentSpanId, call.spanId)
    assert.equal(turn.traceId, call.traceId)
  }
  const agent = spans.find((span) => attributeOf(span, 'turn.party') === 'agent')!
  assert.deepEqual([attributeOf(agent, 'turn.ending'), attributeOf(agent, 'heardMs')], ['barge-in', 480])
})

test('two calls are two traces', async () => {
  const { endpoint, batches } = await collector()
  const traces = await openTraces({ endpoint, pod: 'pod-1', log: silentLog })
  for (const id of ['call_1', 'call_2']) {
    traces.call({ callId: id as CallId, startMs }).end({ endMs: startMs + 1, outcome: 'completed' })
  }
  await traces.close()
  const spans = batches.flatMap((batch) => batch.resourceSpans).flatMap((one) => one.scopeSpans[0]!.spans)
  assert.equal(new Set(spans.map((span) => span.traceId)).size, 2)
})

test('[TC2][TC4] a collector that refuses or is away never disturbs a call, and close resolves', async () => {
  const refusing = await collector(400)
  for (const [endpoint, turns] of [
    [refusing.endpoint, 10_000],
    ['http://127.0.0.1:9', 10],
  ] as const) {
    const traces = await openTraces({ endpoint, pod: 'pod-1', log: silentLog, exportTimeoutMs: 300 })
    const trace = traces.call({ callId, startMs })
    for (let n = 0; n < turns; n++) trace.turn({ party: 'agent', startMs, endMs: startMs + 1, ending: 'completed' })
    trace.end({ endMs: startMs + 2, outcome: 'completed' })
    assert.equal(await traces.close(), undefined)
  }
})
