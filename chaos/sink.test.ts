import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { type Sink, startSink } from './sink.ts'

let folder = ''
let sink: Sink

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sink-test-'))
  sink = await startSink({ logFile: join(folder, 'sink.jsonl'), delayMs: () => 20 })
})
after(async () => {
  await sink.close()
  await rm(folder, { recursive: true })
})

function post(body: string, key?: string): Promise<Response> {
  const headers: Record<string, string> = { 'content-type': 'application/json' }
  if (key !== undefined) headers['idempotency-key'] = key
  return fetch(sink.url, { method: 'POST', headers, body })
}

test('[SK1] the same key is answered as before and makes no second effect; each request is in the log', async () => {
  const body = '{"callSid":"CA1","step":1}'
  const [first, again] = [await (await post(body, 'k1')).text(), await (await post(body, 'k1')).text()]
  const other = await (await post('{"callSid":"CA1","step":2}', 'k2')).text()
  assert.equal(first, again)
  assert.notEqual(first, other)
  assert.equal(sink.keys(), 2)
  const log = await readFile(join(folder, 'sink.jsonl'), 'utf8')
  const keys = [...log.matchAll(/"key":"(\w+)"/g)].map((match) => match[1])
  assert.deepEqual(keys, ['k1', 'k1', 'k2'])
})

test('[SK3] a request without key or with another body is refused and has no effect', async () => {
  const statuses = [
    await post('{"callSid":"CA1","step":1}'),
    await post('{"callSid":"CA1"}', 'k3'),
    await post('no json', 'k3'),
    await post('null', 'k3'),
    await post(`"${'x'.repeat(20_000)}"`, 'k3'),
  ].map(({ status }) => status)
  assert.deepEqual(statuses, [400, 400, 400, 400, 400])
  assert.equal(sink.keys(), 2)
})
