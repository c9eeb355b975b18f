// The store of the work where workers meet: races, long queues, tables of an older program.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { CallSid } from '../../src/kit/ids.ts'
import { migrate, readMigrations } from '../../src/store/records/migrate.ts'
import { openPglite } from '../../src/store/records/pglite.ts'
import type { Sql } from '../../src/store/records/sql.ts'
import type { Database } from '../../src/store/work/open.ts'
import { CLAIM, DERIVE } from '../../src/store/work/statements.ts'
import { addWork } from '../../src/store/work/work.ts'
import { ATTEMPTS_MAX, type WorkItem, type WorkType } from '../../src/work/ports.ts'
import { startDatabase, type TestDatabase } from '../store/database.ts'
import { endRequest, nextSid, openRequest } from '../store/records-suite.ts'
import { fractionalMs } from './fractional-ms.ts'

let postgres: TestDatabase
let db: Database
let sql: Sql
before(async () => {
  postgres = await startDatabase({ isPooled: true })
  db = await postgres.open({ url: postgres.pooledUrl })
  sql = postgres.sql({ timeoutMs: 60_000 })
})
after(() => postgres?.close())

const SKIPPED = { kind: 'skipped', reason: 'a test' } as const
const ANALYSIS = {
  analyser: 'rules',
  summary: 'A talk.',
  intent: 'booking',
  sentiment: 0.7,
  leadScore: 70,
  satisfaction: 4,
  isEscalated: false,
  disposition: 'served',
}

async function endedCall(): Promise<CallSid> {
  const callSid = nextSid()
  await db.records.open(openRequest(callSid))
  await db.records.end(endRequest(callSid, 1))
  return callSid
}

test('[OPS-5][EC2] a cause of another version reads as not known, in the row and in the record; a known one says who ended the call', async () => {
  const callSid = await endedCall()
  const read = async () => {
    const [row, record] = [await db.records.find(callSid), await db.work.record(callSid)]
    return [row?.cause, record?.cause, record?.endedBy]
  }
  assert.deepEqual(await read(), ['agent-ended', 'agent-ended', 'agent'])
  await sql.query(`update call set cause = 'asked-by-a-later-version' where call_sid = $1`, [callSid])
  assert.deepEqual(await read(), [undefined, undefined, undefined])
})

test('[P83] each time that leaves the store is whole milliseconds', async () => {
  const callSid = await endedCall()
  const micros = `timestamptz '2026-12-01 10:00:00.123456+00'`
  await sql.query(`update call set started_at = ${micros}, ended_at = ${micros} where call_sid = $1`, [callSid])
  await db.work.derive(100)
  await sql.query(`update work_item set created_at = ${micros}, run_at = ${micros} where call_sid = $1`, [callSid])
  const row = await db.records.find(callSid)
  const record = await db.work.record(callSid)
  const item = await claimOf(callSid, 'record')
  await sql.query(`update work_item set state = 'dead', run_at = ${micros} where call_sid = $1`, [callSid])
  const dead = (await db.work.list({ state: 'dead', before: undefined, max: 100 })).filter(
    (one) => one.callSid === callSid,
  )
  assert.equal(dead.length, 3)
  assert.deepEqual([row?.startedAtMs, record?.endedAtMs, item.createdAtMs], Array(3).fill(1_796_119_200_123))
  assert.deepEqual(fractionalMs([row, record, item, dead]), [])
})

const claim = (types: readonly WorkType[], { leaseMs = 60_000, max = 1_000 } = {}): Promise<WorkItem[]> =>
  db.work.claim({ worker: 'w', types, max, leaseMs })

/** The item of the call among all that is due. */
async function claimOf(callSid: CallSid, type: WorkType, leaseMs?: number): Promise<WorkItem> {
  const found = (await claim([type], { leaseMs: leaseMs ?? 60_000 })).find((item) => item.callSid === callSid)
  assert.ok(found !== undefined, `${type} is due`)
  return found
}

const itemsOf = (callSid: CallSid) =>
  sql.query('select type, state from work_item where call_sid = $1 order by id', [callSid])

test('[WORK-1][WK1][SW4] pods that end, workers that derive and hooks that add at the same moment make three items', async () => {
  for (let round = 0; round < 5; round++) {
    const callSid = nextSid()
    await db.records.open(openRequest(callSid))
    await db.records.end(endRequest(callSid, 1))
    await sql.query('delete from work_item where call_sid = $1', [callSid])
    await sql.query('update call set has_work = false where call_sid = $1', [callSid])
    await Promise.all([
      ...Array.from({ length: 4 }, () => db.records.end(endRequest(callSid, 1))),
      ...Array.from({ length: 4 }, () => db.work.derive(10)),
      ...Array.from({ length: 4 }, () => sql.transaction((tx) => addWork(tx, { callSid }))),
    ])
    assert.deepEqual(await itemsOf(callSid), [
      { type: 'record', state: 'ready' },
      { type: 'analysis', state: 'waiting' },
      { type: 'crm', state: 'waiting' },
    ])
  }
})

test('[WK1] a call that has not ended gets no items', async () => {
  const callSid = nextSid()
  await db.records.open(openRequest(callSid))
  await sql.transaction((tx) => addWork(tx, { callSid }))
  await db.work.derive(100)
  assert.deepEqual(await itemsOf(callSid), [])
})

test('[WK2] who held an item before a person ran it again may not write under the same attempt number', async () => {
  const callSid = await endedCall()
  const frozen = await claimOf(callSid, 'record', 1)
  await sleep(20)
  const second = await claimOf(callSid, 'record')
  await db.work.fail(second, { kind: 'dead', error: 'no' })
  assert.equal((await db.work.rerun(second.id)).kind, 'ready')
  const again = await claimOf(callSid, 'record')
  assert.deepEqual([again.attempt, again.version], [frozen.attempt, frozen.version + 1])
  assert.equal((await db.work.finish(frozen, SKIPPED)).kind, 'lost')
  assert.equal((await db.work.fail(frozen, { kind: 'dead', error: 'late' })).kind, 'lost')
  assert.equal((await db.work.intend(frozen, 'k')).kind, 'lost')
  assert.deepEqual(await db.work.renew([frozen], 60_000), [frozen.id])
  assert.deepEqual(await db.work.renew([again], 60_000), [])
  assert.equal((await db.work.finish(again, SKIPPED)).kind, 'done')
})

test('[WK3] an analysis without a record before it invents no duration, turns or words', async () => {
  const callSid = await endedCall()
  await db.work.fail(await claimOf(callSid, 'record'), { kind: 'dead', error: 'no' })
  await db.work.finish(await claimOf(callSid, 'analysis'), { kind: 'analysis', analysis: ANALYSIS })
  const record = await db.work.record(callSid)
  assert.deepEqual(record?.analysis, ANALYSIS)
  assert.deepEqual([record?.durationMs, record?.turns, record?.transcript], [undefined, undefined, undefined])
})

test('[WK5] a rerun keeps the key of its effect and may intend it again; a new key comes only when a person asks for it', async () => {
  const callSid = await endedCall()
  const fail = async (key: string) => {
    const item = await claimOf(callSid, 'record')
    assert.equal((await db.work.intend(item, key)).kind, 'intended')
    await db.work.fail(item, { kind: 'uncertain', error: 'no answer' })
    return item
  }
  const first = await fail('k:1')
  assert.equal(first.keyNumber, 1)
  await db.work.rerun(first.id)
  const second = await fail('k:1')
  assert.deepEqual([second.keyNumber, second.version], [1, 2])
  await db.work.rerun(first.id, { newKey: true })
  const third = await fail('k:2')
  assert.deepEqual([third.keyNumber, third.version], [2, 3])
  await db.work.rerun(first.id)
  assert.equal((await claimOf(callSid, 'record')).keyNumber, 2)
})

test('[WK5] an uncertain item lets the next of the chain go on, and its rerun intends anew', async () => {
  const callSid = await endedCall()
  await db.work.finish(await claimOf(callSid, 'record'), SKIPPED)
  const analysis = await claimOf(callSid, 'analysis')
  assert.equal((await db.work.intend(analysis, `${callSid}:analysis:1`)).kind, 'intended')
  await db.work.fail(analysis, { kind: 'uncertain', error: 'no answer' })
  const crm = await claimOf(callSid, 'crm')
  await db.work.finish(crm, { kind: 'delivered', key: 'k', status: 200 })
  await db.work.rerun(analysis.id)
  const again = await claimOf(callSid, 'analysis')
  assert.equal((await db.work.intend(again, `${callSid}:analysis:${again.version}`)).kind, 'intended')
  await db.work.finish(again, { kind: 'analysis', analysis: ANALYSIS })
  assert.deepEqual(await claim(['crm']), [], 'what is done is not done again')
  const [row] = await sql.query('select effect from work_item where id = $1::bigint', [crm.id])
  assert.deepEqual(row?.effect, { kind: 'delivered', key: 'k', status: 200 })
})

test('[SW2] four claimers take 500 items once each, oldest first', async () => {
  await claim(['record'])
  const sids = Array.from({ length: 500 }, nextSid)
  await sql.query(
    `insert into call (call_sid, call_id, tenant, from_number, to_number, direction, pack, pack_version, pod, pool, epoch, state, ended_at)
     select s, 'id-' || s, 'acme', '+1', '+2', 'inbound', 'clinic', '1', 'p', 'main', 1, 'ended', clock_timestamp()
     from unnest($1::text[]) as t (s)`,
    [sids],
  )
  let derived = 0
  while (derived < sids.length) derived += await db.work.derive(200)
  assert.equal(derived, sids.length)
  const taken: WorkItem[] = []
  const claimer = async (): Promise<void> => {
    for (;;) {
      const items = await claim(['record'], { max: 20 })
      if (items.length === 0) return
      const made = items.map(({ createdAtMs }) => createdAtMs)
      assert.deepEqual(
        made,
        made.toSorted((one, other) => one - other),
      )
      taken.push(...items)
    }
  }
  await Promise.all([claimer(), claimer(), claimer(), claimer()])
  assert.deepEqual(taken.map(({ callSid }) => callSid).toSorted(), sids.toSorted())
  assert.ok(taken.every(({ attempt }) => attempt === 1))
})

/** Pages that a statement reads or writes; what it did is taken back. */
async function pagesOf(statement: string, params: unknown[]): Promise<number> {
  let pages = Number.NaN
  const undo = new Error('undo')
  await sql
    .transaction(async (tx) => {
      const [row] = await tx.query(`explain (analyze, buffers, format json) ${statement}`, params)
      const [plan] = row!['QUERY PLAN'] as { Plan: Record<string, number> }[]
      pages = plan!.Plan['Shared Hit Blocks']! + plan!.Plan['Shared Read Blocks']!
      throw undo
    })
    .catch((error: unknown) => {
      if (error !== undo) throw error
    })
  return pages
}

test('[SW4] beside 100 000 done items and 20 000 due ones, a claim of ten and a look for missing items touch few pages', async () => {
  await sql.script(`
    insert into call (call_sid, call_id, tenant, from_number, to_number, direction, pack, pack_version, pod, pool, epoch, state, ended_at, has_work)
    select 'CAL' || n, 'long-' || n, 'acme', '+1', '+2', 'inbound', 'clinic', '1', 'p', 'main', 1, 'ended', clock_timestamp(), true
    from generate_series(1, 40000) n;
    insert into work_item (call_sid, type, state, run_at)
    select 'CAL' || n, t, case when n <= 20000 and t = 'crm' then 'ready' else 'done' end, clock_timestamp() - interval '1 h'
    from generate_series(1, 40000) n cross join unnest(array['record', 'analysis', 'crm']) t;
    analyze call; analyze work_item;`)
  const claimed = await pagesOf(CLAIM, [['crm'], 10, 'w', 10_000, ATTEMPTS_MAX])
  assert.ok(claimed < 1_000, `${claimed} pages for ten items`)
  const derived = await pagesOf(DERIVE, [100, ['record'], [null]])
  assert.ok(derived < 100, `${derived} pages for no missing item`)
})

test('tables of the program before are moved on with their calls: what had ended is left, what ends now gets its items', async () => {
  const embedded = await openPglite(undefined)
  const before = readMigrations().filter(({ version }) => version < 3)
  await migrate(embedded, before)
  const insert = (sid: string, state: string) =>
    embedded.query(
      `insert into call (call_sid, call_id, tenant, from_number, to_number, direction, pack, pack_version, pod, pool, epoch, state, ended_at)
       values ($1, $2, 'acme', '+1', '+2', 'inbound', 'clinic', '1', 'p', 'main', 1, $3, clock_timestamp())`,
      [sid, `id-${sid}`, state],
    )
  await insert('CAold', 'ended')
  await insert('CAlive', 'live')
  assert.deepEqual(
    await migrate(embedded),
    readMigrations()
      .filter(({ version }) => version >= 3)
      .map(({ name }) => name),
  )
  // As the program before ends it: it knows of no items.
  await embedded.query("update call set state = 'ended', ended_at = clock_timestamp() where call_sid = 'CAlive'")
  await embedded.query(DERIVE, [100, ['record'], [null]])
  assert.deepEqual(await embedded.query('select call_sid from work_item'), [{ call_sid: 'CAlive' }])
  await embedded.close()
})
