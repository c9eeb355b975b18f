import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import fc from 'fast-check'
import pg from 'pg'
import type { CallRecords } from '../../src/control/records.ts'
import { VoiceError } from '../../src/kit/errors.ts'
import type { CallSid } from '../../src/kit/ids.ts'
import { comesAbout, startWatch } from '../../src/kit/testing/patience.ts'
import { checkMigrated, migrate, readMigrations, runMigrations } from '../../src/store/records/migrate.ts'
import { openRecords } from '../../src/store/records/open.ts'
import { openPostgres } from '../../src/store/records/postgres.ts'
import { findFreePort } from '../../tools/ports.ts'
import { startDatabase, type TestDatabase } from './database.ts'
import { moves, play } from './records-interleavings.ts'
import { CASES, endRequest, nextSid, openRequest } from './records-suite.ts'

let postgres: TestDatabase
before(async () => {
  postgres = await startDatabase({ isPooled: true })
})
after(() => postgres?.close())

const isCode = (code: string) => (error: unknown) => error instanceof VoiceError && error.code === code

const PLACES: { name: string; runs: number; open: () => Promise<CallRecords> }[] = [
  { name: 'memory', runs: 200, open: () => openRecords({ kind: 'memory' }) },
  { name: 'PGlite in memory', runs: 30, open: () => openRecords({ kind: 'pglite', folder: undefined }) },
  { name: 'Postgres', runs: 60, open: () => openRecords({ kind: 'postgres', url: postgres.url }) },
  {
    name: 'Postgres through pgbouncer',
    runs: 60,
    open: () => openRecords({ kind: 'postgres', url: postgres.pooledUrl }),
  },
]

for (const { name, runs, open } of PLACES) {
  suite(`records in ${name}`, () => {
    let records: CallRecords
    before(async () => {
      records = await open()
    })
    after(() => records?.close())

    for (const { title, run } of CASES) test(title, () => run(records))

    test('[POD-3][RR1][RR2][RR4] whatever two pods do at once: no write of a stale epoch is accepted, a call ends once', async () => {
      await fc.assert(
        fc.asyncProperty(moves, (rounds) => play(records, rounds)),
        { numRuns: runs },
      )
    })
  })
}

test('[RR5] opening succeeds while Postgres is down; each operation rejects within its bound', async () => {
  const url = `postgres://postgres@127.0.0.1:${await findFreePort()}/postgres`
  const records = await openRecords({ kind: 'postgres', url, timeoutMs: 500 })
  await assert.rejects(records.find(nextSid()), isCode('STORE_UNAVAILABLE'))
  await records.close()
  await assert.rejects(records.find(nextSid()), isCode('STORE_UNAVAILABLE'))
})

test('[PO2] a row that somebody else holds locked costs its bound, not more, and the pool is whole afterwards', async () => {
  const records = await openRecords({ kind: 'postgres', url: postgres.url, poolMax: 2, timeoutMs: 300 })
  const callSid = nextSid()
  await records.open(openRequest(callSid))
  const holder = new pg.Client({ connectionString: postgres.url })
  await holder.connect()
  await holder.query('begin')
  await holder.query('select 1 from call where call_sid = $1 for update', [callSid])
  const watch = startWatch()
  const save = () => records.save([{ callSid, epoch: 1, sequence: 1, text: 'x' }])
  await Promise.all([
    assert.rejects(save(), isCode('STORE_UNAVAILABLE')),
    assert.rejects(save(), isCode('STORE_UNAVAILABLE')),
    assert.rejects(records.end(endRequest(callSid, 1)), isCode('STORE_UNAVAILABLE')),
  ])
  assert.ok(watch.elapsedMs() < 1_500)
  await holder.query('rollback')
  await holder.end()
  assert.deepEqual(await records.end(endRequest(callSid, 1)), { kind: 'ended' })
  await records.close()
})

test('[MG4] a database without the tables says so, and works as soon as they are there', async () => {
  const admin = openPostgres({ url: postgres.url })
  await admin.query('create database bare')
  await admin.close()
  const url = postgres.url.replace(/postgres$/, 'bare')
  const records = await openRecords({ kind: 'postgres', url })
  await assert.rejects(records.find(nextSid()), isCode('MIGRATION_MISSING'))
  assert.deepEqual(
    await runMigrations(url),
    readMigrations().map((one) => one.name),
  )
  assert.equal(await records.find(nextSid()), undefined)
  await records.close()
})

test('[MG1][MG2] two that migrate at once run each migration once; one that fails leaves nothing', async () => {
  const admin = openPostgres({ url: postgres.url })
  await admin.query('create database twice')
  await admin.close()
  const sql = openPostgres({ url: postgres.url.replace(/postgres$/, 'twice') })
  const made = (await Promise.all([migrate(sql), migrate(sql)])).flat()
  assert.deepEqual(
    made.sort(),
    readMigrations().map((one) => one.name),
  )
  const broken = { version: 999, name: '999-broken', text: 'create table half (id int); select nonsense' }
  await assert.rejects(migrate(sql, [broken]), /nonsense/)
  assert.deepEqual(await sql.query(`select to_regclass('half') as half`), [{ half: null }])
  await assert.rejects(checkMigrated(sql, [broken]), isCode('MIGRATION_MISSING'))
  await sql.close()
})

test('[RQ5] the events of a call are numbered without a gap, each with its epoch', async () => {
  const records = await openRecords({ kind: 'postgres', url: postgres.pooledUrl })
  const callSid = nextSid()
  await records.open(openRequest(callSid))
  const tool = { key: `${callSid}:1:1`, toolCallId: 'fc', name: 'book', argumentsText: '{}' }
  await records.intend({ callSid, epoch: 1, ...tool })
  await records.claim({ callSid, epoch: 2, pod: 'pod-b', pool: 'main' })
  await records.end(endRequest(callSid, 1))
  await records.end(endRequest(callSid, 2))
  const sql = openPostgres({ url: postgres.url })
  const events = await sql.query('select seq, epoch::int, type from call_event where call_sid = $1 order by seq', [
    callSid,
  ])
  assert.deepEqual(
    events.map(({ seq, epoch, type }) => [seq, epoch, type]),
    [
      [1, 1, 'opened'],
      [2, 1, 'tool-intended'],
      [3, 2, 'claimed'],
      [4, 2, 'ended'],
    ],
  )
  await Promise.all([records.close(), sql.close()])
})

test('what follows a call is written in the transaction that ends it: both or neither, once', async () => {
  const seen: string[] = []
  let mustFail = true
  const records = await openRecords(
    { kind: 'postgres', url: postgres.url },
    {
      atEnd: async (tx, call) => {
        await tx.query('insert into call_event (call_sid, seq, epoch, type, body) values ($1, 99, 1, $2, $3)', [
          call.callSid,
          'job',
          '{}',
        ])
        if (mustFail) throw new Error('no job')
        seen.push(call.callSid)
      },
    },
  )
  const callSid = nextSid()
  await records.open(openRequest(callSid))
  await assert.rejects(records.end(endRequest(callSid, 1)), /no job/)
  assert.equal((await records.find(callSid))?.state, 'live')
  mustFail = false
  assert.deepEqual(await records.end(endRequest(callSid, 1)), { kind: 'ended' })
  assert.deepEqual(await records.end(endRequest(callSid, 1)), { kind: 'repeated' })
  assert.deepEqual(seen, [callSid])
  await records.close()
})

test('[RR5] Postgres killed with an immediate restart loses no write that was acknowledged', async () => {
  const records = await openRecords({ kind: 'postgres', url: postgres.pooledUrl, timeoutMs: 1_000 })
  const sids = Array.from({ length: 20 }, nextSid)
  for (const callSid of sids) await records.open(openRequest(callSid))
  const acknowledged = new Map<CallSid, number>()
  const lost: unknown[] = []
  let isOver = false
  const write = async (callSid: CallSid) => {
    for (let sequence = 1; !isOver; sequence++) {
      try {
        await records.save([{ callSid, epoch: 1, sequence, text: String(sequence) }])
        acknowledged.set(callSid, sequence)
      } catch (error) {
        lost.push(error)
        await new Promise((resolve) => setTimeout(resolve, 20))
      }
    }
  }
  const writers = sids.map(write)
  for (let kill = 0; kill < 2; kill++) {
    await new Promise((resolve) => setTimeout(resolve, 300))
    await postgres.restartImmediate()
  }
  const atRestart = [...acknowledged.values()].reduce((sum, one) => sum + one, 0)
  const total = () => [...acknowledged.values()].reduce((sum, one) => sum + one, 0)
  await comesAbout(() => total() >= atRestart + sids.length, 30_000)
  isOver = true
  await Promise.all(writers)
  assert.ok(total() > atRestart, 'writes go on after the restart')
  assert.ok(lost.length > 0, 'the kill was felt')
  for (const error of lost) assert.ok(isCode('STORE_UNAVAILABLE')(error), String(error))
  for (const callSid of sids) {
    const row = await records.find(callSid)
    assert.ok(row !== undefined && row.sequence >= acknowledged.get(callSid)!)
  }
  await records.close()
})
