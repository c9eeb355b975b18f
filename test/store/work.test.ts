// The work after calls, on every database it may stand on.
import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import pg from 'pg'
import type { CallSid } from '../../src/kit/ids.ts'
import { SqlRecords } from '../../src/store/records/calls.ts'
import { openPostgres } from '../../src/store/records/postgres.ts'
import { type Database, openDatabase } from '../../src/store/work/open.ts'
import {
  ATTEMPTS_MAX,
  type HeldItem,
  type Waiter,
  type WorkItem,
  type WorkResult,
  type WorkType,
} from '../../src/work/ports.ts'
import { startDatabase, type TestDatabase } from './database.ts'
import { endRequest, nextSid, openRequest } from './records-suite.ts'

let postgres: TestDatabase
before(async () => {
  postgres = await startDatabase({ isPooled: true })
})
after(() => postgres?.close())

const PLACES: { name: string; open: () => Promise<Database> }[] = [
  { name: 'PGlite in memory', open: () => openDatabase({ kind: 'pglite', folder: undefined }) },
  { name: 'Postgres', open: () => openDatabase({ kind: 'postgres', url: postgres.url }) },
  { name: 'Postgres through pgbouncer', open: () => openDatabase({ kind: 'postgres', url: postgres.pooledUrl }) },
]
const SKIPPED: WorkResult = { kind: 'skipped', reason: 'a test' }
const RECORD: WorkResult = {
  kind: 'record',
  durationMs: 61_000.4,
  turns: 3,
  figures: { bargeIns: 2 },
  transcript: [{ who: 'caller', text: 'hello \0 \uD800' }],
  cost: { currency: 'USD', modelAmount: 0.5, carrierAmount: 0.02, inputTokens: 10, outputTokens: 20 },
}
const ANALYSIS: WorkResult = {
  kind: 'analysis',
  analysis: {
    analyser: 'rules',
    summary: 'A talk.',
    intent: 'booking',
    sentiment: -0.5,
    leadScore: 70,
    satisfaction: 4,
    isEscalated: true,
    disposition: 'served',
  },
}

for (const { name, open } of PLACES) {
  suite(`work in ${name}`, () => {
    let db: Database
    before(async () => {
      db = await open()
    })
    after(() => db?.close())

    const waiter = (from: string, tenant: string): Waiter => {
      const { callSid, callId, to, pack, packVersion, pod } = openRequest(nextSid())
      return { callSid, callId, tenant, from, to, direction: 'inbound', pack, packVersion, pod }
    }
    const PERSON = '+15005550166'

    test('[WAIT-6][P30][SW5] one person has one open call-back in a tenant, however many ask at once; a tenant has a bound', async () => {
      const tenant = `tenant-${nextSid()}`
      const body = { language: 'de' }
      const asked = await Promise.all(
        Array.from({ length: 6 }, (_, n) =>
          db.work.addCallBack(waiter(n % 2 === 0 ? PERSON : '+1 (500) 555-0166', tenant), body, 3),
        ),
      )
      assert.deepEqual(asked.map(({ kind }) => kind).sort(), ['added', ...Array(5).fill('exists')].sort())
      const others = [1, 2, 3].map((n) => waiter(`+1500555017${n}`, tenant))
      const kinds: string[] = []
      for (const other of others) kinds.push((await db.work.addCallBack(other, body, 3)).kind)
      assert.deepEqual(kinds, ['added', 'added', 'full'])
      assert.equal((await db.work.addCallBack(waiter(PERSON, `${tenant}-2`), body, 3)).kind, 'added', 'another tenant')
      const items = await db.work.claim({ worker: 'w', types: ['call-back'], max: 10, leaseMs: 60_000 })
      const mine = items.filter((item) => item.tenant === tenant)
      assert.deepEqual(
        mine.map((item) => item.body),
        [body, body, body],
      )
      const [first] = mine
      assert.equal((await db.work.addCallBack(waiter(PERSON, tenant), body, 9)).kind, 'exists', 'one that runs is open')
      assert.deepEqual(await db.work.keep(first!, { dials: [{ atMs: 7 }] }), { kind: 'kept' })
      assert.deepEqual(await db.work.keep({ ...first!, attempt: 9 }, { dials: [] }), { kind: 'lost' })
      await db.work.fail(first!, { kind: 'retry', error: 'a test', inMs: 0 })
      const again = await db.work.claim({ worker: 'w', types: ['call-back'], max: 1, leaseMs: 60_000 })
      assert.deepEqual(again[0]!.body, { language: 'de', dials: [{ atMs: 7 }] })
      for (const item of [...mine.slice(1), again[0]!, ...items.filter((one) => one.tenant !== tenant)])
        await db.work.finish(item, SKIPPED)
      assert.equal(
        (await db.work.addCallBack(waiter(PERSON, tenant), body, 3)).kind,
        'added',
        'it was called back before',
      )
      const [last] = await db.work.claim({ worker: 'w', types: ['call-back'], max: 1, leaseMs: 60_000 })
      await db.work.finish(last!, SKIPPED)
    })

    test('[P29] a message is kept once with its call, which has ended in the queue', async () => {
      const who = waiter(PERSON, `tenant-${nextSid()}`)
      const body = { recordingSid: 'RE1', language: 'fr', durationMs: 5_000 }
      assert.deepEqual(await db.work.addVoicemail(who, body), { kind: 'added' })
      assert.deepEqual(await db.work.addVoicemail({ ...who, from: '' }, { ...body, durationMs: 1 }), { kind: 'exists' })
      const record = await db.work.record(who.callSid)
      assert.deepEqual([record?.from, record?.cause, record?.tenant], [PERSON, 'queue-overflow', who.tenant])
      const [entry] = await db.work.voicemails({ before: undefined, max: 1 })
      assert.deepEqual([entry!.callSid, entry!.body, entry!.state], [who.callSid, body, 'ready'])
      assert.deepEqual(await db.work.voicemails({ before: '0', max: 1 }), [])
      const [item] = await db.work.claim({ worker: 'w', types: ['voicemail'], max: 1, leaseMs: 60_000 })
      await db.work.finish(item!, SKIPPED)
    })

    /** A call that has ended, alone with its items due: whatever other tests left is taken away. */
    const endedCall = async (): Promise<CallSid> => {
      await claim(['record', 'analysis', 'crm', 'recording'], 60_000)
      const callSid = nextSid()
      await db.records.open(openRequest(callSid))
      assert.equal((await db.records.end(endRequest(callSid, 1))).kind, 'ended')
      return callSid
    }
    const claim = (types: readonly WorkType[], leaseMs = 10_000, max = 1_000): Promise<WorkItem[]> =>
      db.work.claim({ worker: 'w', types, max, leaseMs })
    const one = async (type: WorkType, leaseMs?: number): Promise<WorkItem> => {
      const items = await claim([type], leaseMs)
      assert.equal(items.length, 1)
      return items[0]!
    }
    const heldOf = ({ id, callSid, attempt, version }: WorkItem): HeldItem => ({ id, callSid, attempt, version })

    test('[WK1][SW4] the items of a call are there once, whoever asks for them and how often', async () => {
      const callSid = await endedCall()
      await Promise.all(Array.from({ length: 5 }, () => db.records.end(endRequest(callSid, 1))))
      await Promise.all([db.work.derive(100), db.work.derive(100)])
      const items = await claim(['record', 'analysis', 'crm'])
      assert.deepEqual(
        items.map(({ callSid: sid, type, attempt }) => [sid, type, attempt]),
        [[callSid, 'record', 1]],
      )
    })

    test('[WK3] the chain becomes ready item by item, and the record grows with it', async () => {
      const callSid = await endedCall()
      assert.equal((await db.work.record(callSid))?.transcript, undefined)
      assert.equal((await db.work.finish(heldOf(await one('record')), RECORD)).kind, 'done')
      assert.deepEqual(await claim(['crm']), [])
      assert.equal((await db.work.finish(heldOf(await one('analysis')), ANALYSIS)).kind, 'done')
      assert.equal((await db.work.finish(heldOf(await one('crm')), SKIPPED)).kind, 'done')
      const record = await db.work.record(callSid)
      assert.deepEqual(record?.analysis, (ANALYSIS as { analysis: object }).analysis)
      assert.deepEqual([record?.durationMs, record?.turns, record?.cost?.modelAmount], [61_000, 3, 0.5])
      assert.deepEqual(record?.figures, { bargeIns: 2 })
      assert.deepEqual(record?.transcript, [{ who: 'caller', text: 'hello \uFFFD \uFFFD' }])
      assert.deepEqual(await claim(['record', 'analysis', 'crm']), [])
    })

    test('[WK2] who lost the lease may neither finish nor fail, and writes nothing', async () => {
      const callSid = await endedCall()
      const first = await one('record', 1)
      await new Promise((resolve) => setTimeout(resolve, 20))
      const second = await one('record')
      assert.deepEqual([second.id, second.attempt], [first.id, 2])
      assert.equal((await db.work.finish(heldOf(first), RECORD)).kind, 'lost')
      assert.equal((await db.work.fail(heldOf(first), { kind: 'dead', error: 'late' })).kind, 'lost')
      assert.equal((await db.work.intend(heldOf(first), 'k')).kind, 'lost')
      assert.deepEqual(await db.work.renew([heldOf(first), heldOf(second)], 10_000), [first.id])
      assert.equal((await db.work.record(callSid))?.transcript, undefined)
      assert.equal((await db.work.finish(heldOf(second), RECORD)).kind, 'done')
      assert.equal((await db.work.finish(heldOf(second), RECORD)).kind, 'lost', 'once')
    })

    test('[WORK-2][WK4] a failed item waits, is dead after its last attempt, its successor goes on, and a person runs it again', async () => {
      const callSid = await endedCall()
      await db.work.finish(heldOf(await one('record')), RECORD)
      const waits = await one('analysis')
      assert.equal((await db.work.fail(heldOf(waits), { kind: 'retry', error: 'later', inMs: 60_000 })).kind, 'kept')
      assert.deepEqual(await claim(['analysis']), [])
      const again = await endedCall()
      await db.work.finish(heldOf(await one('record')), RECORD)
      let last: WorkItem | undefined
      for (let n = 0; n < ATTEMPTS_MAX; n++) {
        last = await one('analysis')
        await db.work.fail(heldOf(last), { kind: 'retry', error: `try ${n}`, inMs: 0 })
      }
      assert.deepEqual(await claim(['analysis']), [])
      const [entry] = await db.work.list({ state: 'dead', before: undefined, max: 1 })
      assert.deepEqual(
        [entry?.id, entry?.callSid, entry?.attempt, entry?.error],
        [last!.id, again, ATTEMPTS_MAX, `try ${ATTEMPTS_MAX - 1}`],
      )
      assert.equal((await one('crm')).callSid, again)
      assert.equal((await db.work.rerun(last!.id)).kind, 'ready')
      assert.equal((await db.work.rerun(last!.id)).kind, 'unknown')
      const rerun = await one('analysis')
      assert.deepEqual([rerun.id, rerun.attempt, rerun.version], [last!.id, 1, 2])
      assert.notEqual(callSid, again)
    })

    test('[WK5] an intent is known to the next attempt; a recording is added once, to a known call only', async () => {
      const callSid = await endedCall()
      assert.equal((await db.work.addRecording(nextSid(), {})).kind, 'unknown')
      assert.equal((await db.work.addRecording(callSid, { sid: 'RE1' })).kind, 'added')
      assert.equal((await db.work.addRecording(callSid, { sid: 'RE2' })).kind, 'exists')
      const first = await one('recording', 1)
      assert.deepEqual(first.body, { sid: 'RE1' })
      assert.equal((await db.work.intend(heldOf(first), 'key')).kind, 'intended')
      await new Promise((resolve) => setTimeout(resolve, 20))
      const second = await one('recording')
      assert.equal((await db.work.intend(heldOf(second), 'key')).kind, 'known')
      await db.work.fail(heldOf(second), { kind: 'uncertain', error: 'who knows' })
      const [entry] = await db.work.list({ state: 'uncertain', before: undefined, max: 1 })
      assert.equal(entry?.callSid, callSid)
    })

    test('[SW3] an item whose workers die again and again is buried', async () => {
      const callSid = await endedCall()
      for (let n = 0; n < ATTEMPTS_MAX; n++) {
        await one('record', 0)
        await new Promise((resolve) => setTimeout(resolve, 2))
      }
      assert.deepEqual(await claim(['record']), [])
      await db.work.derive(10)
      const [entry] = await db.work.list({ state: 'dead', before: undefined, max: 1 })
      assert.equal(entry?.callSid, callSid)
      assert.match(entry?.error ?? '', /ended without an outcome/)
      assert.equal((await one('analysis')).callSid, callSid)
    })

    test('depth counts what is left, and how long the oldest has been due', async () => {
      await endedCall()
      await new Promise((resolve) => setTimeout(resolve, 15))
      const depth = await db.work.depth()
      const ready = depth.find(({ type, state }) => type === 'record' && state === 'ready')
      assert.equal(ready?.count, 1)
      assert.ok((ready?.oldestMs ?? 0) >= 10)
      assert.ok(depth.every(({ state }) => state !== 'done'))
    })
  })
}

test('[SW2] what many workers claim at once is claimed once each', async () => {
  const db = await openDatabase({ kind: 'postgres', url: postgres.url })
  for (let n = 0; n < 120; n++) {
    const callSid = nextSid()
    await db.records.open(openRequest(callSid))
    await db.records.end(endRequest(callSid, 1))
  }
  const claims = await Promise.all(
    Array.from({ length: 12 }, (_, n) =>
      db.work.claim({ worker: `w${n}`, types: ['record'], max: 50, leaseMs: 60_000 }),
    ),
  )
  const ids = claims.flat().map(({ id }) => id)
  assert.ok(ids.length >= 120)
  assert.equal(new Set(ids).size, ids.length)
  await db.close()
})

test('[SW4] an end whose items cannot be made did not happen; one that was written without them is found', async () => {
  const sql = openPostgres({ url: postgres.url })
  const failing = new SqlRecords(sql, { atEnd: () => Promise.reject(new Error('no room')) })
  const callSid = nextSid()
  await failing.open(openRequest(callSid))
  await assert.rejects(failing.end(endRequest(callSid, 1)), /no room/)
  assert.equal((await failing.find(callSid))?.state, 'live')
  const older = new SqlRecords(sql)
  assert.equal((await older.end(endRequest(callSid, 1))).kind, 'ended')
  const db = await openDatabase({ kind: 'postgres', url: postgres.url })
  const client = new pg.Client({ connectionString: postgres.url })
  await client.connect()
  const itemsOf = async () =>
    (await client.query('select type from work_item where call_sid = $1 order by id', [callSid])).rows.map(
      ({ type }) => type,
    )
  assert.deepEqual(await itemsOf(), [])
  assert.ok((await db.work.derive(100)) >= 1)
  assert.deepEqual(await itemsOf(), ['record', 'analysis', 'crm'])
  assert.equal(await db.work.derive(100), 0)
  await client.end()
  await db.close()
  await sql.close()
})
