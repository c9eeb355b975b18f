// What the roles worker and reseal say of calls while they work on them: nothing that a caller said, and no number.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, afterEach, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { CallSid } from '../../src/kit/ids.ts'
import { readDataKeys } from '../../src/store/sealing/sealer.ts'
import type { Database } from '../../src/store/work/open.ts'
import { startDatabase, type TestDatabase } from '../store/database.ts'
import { nextSid, openRequest } from '../store/records-suite.ts'
import { endPrograms, run, startWorkerProcess } from './worker-process.ts'

const FROM = '+493055501234'
const WORD = 'marzipanbaecker'
const KEY_A = randomBytes(32).toString('base64')
const KEY_B = randomBytes(32).toString('base64')
const ADMIN_TOKEN = 'an-admin-token-of-the-tests'
const EX_CONFIG = 78

let postgres: TestDatabase
let db: Database
let receiver: Server
const bodies: string[] = []
before(async () => {
  postgres = await startDatabase()
  const read = readDataKeys(`a:${KEY_A}`)
  assert.ok(read.kind === 'keys')
  db = await postgres.open({ sealer: read.sealer })
  // The first answer is a refusal that repeats what it was sent, as some receivers do.
  receiver = createServer((request, response) => {
    let body = ''
    request.setEncoding('utf8').on('data', (more: string) => {
      body += more
    })
    request.on('end', () => {
      bodies.push(body)
      response.writeHead(bodies.length === 1 ? 500 : 200).end(body)
    })
  })
  await new Promise<void>((resolve) => receiver.listen(0, '127.0.0.1', resolve))
})
after(async () => {
  receiver?.close()
  await postgres?.close()
})
afterEach(endPrograms)

async function spokenCall(): Promise<CallSid> {
  const callSid = nextSid()
  await db.records.open({ ...openRequest(callSid), from: FROM })
  const key = `call:${callSid}:1`
  const intent = { key, toolCallId: 't', name: 'note', argumentsText: JSON.stringify({ say: WORD }) }
  await db.records.intend({ callSid, epoch: 1, ...intent })
  await db.records.settle({ callSid, epoch: 1, key, output: WORD })
  await db.records.end({ callSid, epoch: 1, cause: 'caller-hung-up', next: { kind: 'none' }, checkpoint: undefined })
  return callSid
}

test('[SAFE-7] a worker at its most talkative says no number and no word of a call, also when a receiver throws them back', async () => {
  const callSid = await spokenCall()
  const { port } = receiver.address() as AddressInfo
  const worker = await startWorkerProcess(postgres.url, {
    LOG_LEVEL: 'trace',
    DATA_KEYS: `a:${KEY_A}`,
    ADMIN_TOKEN,
    CRM_WEBHOOK_URL: `http://127.0.0.1:${port}/crm`,
    CRM_WEBHOOK_SECRET: 'a-secret-of-the-tests',
    CRM_ALLOW_PRIVATE: 'on',
  })
  for (const endMs = performance.now() + 30_000; bodies.length < 2; await sleep(50))
    assert.ok(performance.now() < endMs, worker.said())
  const headers = { authorization: `Bearer ${ADMIN_TOKEN}` }
  const record = await (await fetch(`${worker.url}/admin/calls/${callSid}`, { headers })).text()
  assert.ok(record.includes(FROM) && record.includes(WORD), 'who may read it reads it')
  assert.ok(bodies[1]!.includes(FROM) && bodies[1]!.includes(WORD))
  worker.child.kill('SIGTERM')
  assert.equal(await worker.code, 0)
  assert.ok(worker.said().length > 100, 'it says something')
  for (const secret of [FROM, FROM.slice(1), WORD, KEY_A, ADMIN_TOKEN])
    assert.ok(!worker.said().includes(secret), secret)
})

test('[WPA3][WOP3] a worker without the key writes no empty record, and says which key it lacks to who asks', async () => {
  const callSid = await spokenCall()
  const worker = await startWorkerProcess(postgres.url, { DATA_KEYS: `b:${KEY_B}`, ADMIN_TOKEN })
  await sleep(1_500)
  const headers = { authorization: `Bearer ${ADMIN_TOKEN}` }
  const answer = await fetch(`${worker.url}/admin/calls/${callSid}`, { headers })
  assert.equal(answer.status, 409)
  assert.deepEqual(await answer.json(), {
    kind: 'sealed',
    code: 'DATA_KEY_MISSING',
    reason: 'DATA_KEYS has no key "a"',
  })
  worker.child.kill('SIGTERM')
  await worker.code
  assert.equal((await db.work.record(callSid))?.transcript, undefined)
})

test('role reseal: needs database and keys, brings all under the first one, and says when a key is missing', async () => {
  const bare = run({ DATABASE_URL: postgres.url }, 'reseal')
  assert.equal(await bare.code, EX_CONFIG)
  assert.match(bare.errors(), /^DATA_KEYS is not set: /)
  const wrong = run({ DATABASE_URL: postgres.url, DATA_KEYS: 'a:short' }, 'reseal')
  assert.equal(await wrong.code, EX_CONFIG)
  assert.match(wrong.errors(), /DATA_KEYS: does not have the right form.*32 bytes/)
  const missing = run({ DATABASE_URL: postgres.url, DATA_KEYS: `b:${KEY_B}` }, 'reseal')
  assert.equal(await missing.code, 1)
  assert.match(missing.errors(), /\d+ rows are under a key that DATA_KEYS does not have/)
  const done = run({ DATABASE_URL: postgres.url, DATA_KEYS: `b:${KEY_B},a:${KEY_A}` }, 'reseal')
  assert.equal(await done.code, 0, done.said())
  assert.match(done.said(), /\d+ rows looked at, [1-9]\d* sealed anew, 0 changed meanwhile\./)
  assert.ok(!done.said().includes(FROM))
})
