// To whom a worker says what: keys go to the host they belong to, and an offline fleet asks nobody outside.
import assert from 'node:assert/strict'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, afterEach, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { writeCheckpoint } from '../../src/call/checkpoint.ts'
import { initialState } from '../../src/call/state.ts'
import { readConfig } from '../../src/config.ts'
import type { CallSid } from '../../src/kit/ids.ts'
import type { Database } from '../../src/store/work/open.ts'
import type { CallRecord } from '../../src/work/ports.ts'
import { sharedEnvironment, workerEnvironment } from '../../tools/fleet/environment.ts'
import { startDatabase, type TestDatabase } from '../store/database.ts'
import { endRequest, nextSid, openRequest } from '../store/records-suite.ts'
import { endPrograms, startWorkerProcess } from './worker-process.ts'

const OPENAI_KEY = 'sk-the-key-of-the-speech-model'
const OWN_KEY = 'sk-the-key-of-the-analysis'
const ANALYSIS = {
  ...{ summary: 'A call.', intent: 'a test', sentiment: 0, lead_score: 1 },
  ...{ satisfaction: 3, escalated: false, disposition: 'done' },
}

let postgres: TestDatabase
let db: Database
let analyser: Server
let url: string
const keys: (string | undefined)[] = []
before(async () => {
  postgres = await startDatabase()
  db = await postgres.open()
  analyser = createServer((request, response) => {
    keys.push(request.headers.authorization)
    request.resume().on('end', () => {
      response.writeHead(200, { 'content-type': 'application/json' })
      response.end(JSON.stringify({ choices: [{ message: { content: JSON.stringify(ANALYSIS) } }] }))
    })
  })
  await new Promise<void>((resolve) => analyser.listen(0, '127.0.0.1', resolve))
  url = `http://127.0.0.1:${(analyser.address() as AddressInfo).port}/v1`
})
after(async () => {
  analyser?.close()
  await postgres?.close()
})
afterEach(endPrograms)

/** The record of a call that ended, when its analysis is in it. */
async function analysedCall(env: Record<string, string>): Promise<CallRecord> {
  const callSid: CallSid = nextSid()
  await db.records.open(openRequest(callSid))
  // Something was said: an empty call is judged without asking anybody.
  const transcript = { items: [{ kind: 'caller' as const, id: 'c1', text: 'a word' }], dropped: 0 }
  await db.records.save([{ callSid, epoch: 1, sequence: 1, text: writeCheckpoint({ ...initialState(), transcript }) }])
  await db.records.end(endRequest(callSid, 1))
  const worker = await startWorkerProcess(postgres.url, env)
  for (const endMs = performance.now() + 30_000; performance.now() < endMs; await sleep(50)) {
    const record = await db.work.record(callSid)
    if (record?.analysis === undefined) continue
    worker.child.kill('SIGTERM')
    await worker.code
    return record
  }
  throw new Error(`no analysis: ${worker.said()}`)
}

test("[S11][CWK2] another host than the speech model's gets no key of it, unless a key is given for it by name", async () => {
  const record = await analysedCall({ OPENAI_API_KEY: OPENAI_KEY, ANALYSIS_URL: url })
  assert.match(record.analysis!.analyser, /^model:/)
  await analysedCall({ OPENAI_API_KEY: OPENAI_KEY, ANALYSIS_URL: url, ANALYSIS_API_KEY: OWN_KEY })
  assert.deepEqual(keys, [undefined, `Bearer ${OWN_KEY}`])
})

test('[S11][CWK2] which key belongs to which host', () => {
  const keyOf = (env: Record<string, string>): string | undefined => {
    const read = readConfig({ OPENAI_API_KEY: OPENAI_KEY, ...env })
    assert.ok(read.kind === 'ok', JSON.stringify(read))
    return read.config.work.analysis.key
  }
  const gateway = { OPENAI_REALTIME_URL: 'wss://gateway.example.com/v1/realtime' }
  assert.equal(keyOf({}), OPENAI_KEY)
  assert.equal(keyOf({ ANALYSIS_URL: 'https://api.openai.com/v1' }), OPENAI_KEY)
  assert.equal(keyOf({ ANALYSIS_URL: 'https://api.openai.com.evil.example/v1' }), undefined)
  assert.equal(keyOf({ ANALYSIS_URL: 'https://api.openai.com:8443/v1' }), undefined)
  assert.equal(keyOf(gateway), undefined)
  assert.equal(keyOf({ ...gateway, ANALYSIS_URL: 'https://gateway.example.com/v1' }), OPENAI_KEY)
})

test('[O3] an offline fleet judges by rules: its worker asks nobody outside', async () => {
  const model = { url: 'ws://127.0.0.1:9/v1/realtime' }
  const places = { baseUrl: 'http://127.0.0.1:1', redisUrl: 'redis://127.0.0.1:1', databaseUrl: postgres.url, model }
  const shared = sharedEnvironment({}, { pods: 2, ceiling: 10 }, places)
  const env = { ...shared, ...workerEnvironment({ name: 'worker-1', host: '127.0.0.1', port: 8_090 }) }
  const read = readConfig(env)
  assert.ok(read.kind === 'ok', JSON.stringify(read))
  assert.deepEqual([read.config.work.analysis.kind, read.config.work.analysis.key], ['rules', undefined])
  const { OPENAI_API_KEY = '', OPENAI_REALTIME_URL = '' } = env
  assert.ok(OPENAI_API_KEY !== '')
  const record = await analysedCall({ OPENAI_API_KEY, OPENAI_REALTIME_URL })
  assert.equal(record.analysis!.analyser, 'rules')
})
