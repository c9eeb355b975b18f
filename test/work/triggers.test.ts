// Three ways to the same rows on a real Postgres: the pod's own end, the carrier's word at another pod, and the sweep of a worker.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { CallFinalizer } from '../../src/call-control/call-finalizer.ts'
import { Sweeper, type SweepOutcome } from '../../src/call-control/rescue/sweeper.ts'
import { LEASE_TIMES } from '../../src/control/ports.ts'
import { FakeClock, systemClock } from '../../src/kit/clock.ts'
import type { CallSid } from '../../src/kit/ids.ts'
import { silentLog } from '../../src/kit/log.ts'
import { Wheel } from '../../src/kit/wheel.ts'
import { Metrics } from '../../src/ops/metrics.ts'
import { makeMemoryLeases } from '../../src/store/leases/memory.ts'
import type { Sql } from '../../src/store/records/sql.ts'
import { SILENT } from '../../src/store/records/statements.ts'
import { type Database, openDatabase } from '../../src/store/work/open.ts'
import { startDatabase, type TestDatabase } from '../store/database.ts'
import { nextSid, openRequest } from '../store/records-suite.ts'

const SILENT_MS = 180_000
const RACES = 40
const THREE = ['record ready', 'analysis waiting', 'crm waiting']

let postgres: TestDatabase
let db: Database
let sql: Sql
const wheel = new Wheel({ clock: systemClock, tickMs: 5, onError: (error) => assert.fail(String(error)) })
before(async () => {
  postgres = await startDatabase()
  db = await postgres.open()
  sql = postgres.sql({ timeoutMs: 60_000 })
})
after(async () => {
  wheel.close()
  await postgres?.close()
})

/** A call that its pod saved once and not for long, with a lease of nobody. */
async function silentCall(): Promise<CallSid> {
  const callSid = nextSid()
  await db.records.open(openRequest(callSid))
  await db.records.save([{ callSid, epoch: 1, sequence: 1, text: 'early' }])
  await sql.query(`update call set seen_at = clock_timestamp() - interval '1 h' where call_sid = $1`, [callSid])
  return callSid
}

/** The finalizer of a pod that holds no call, and looks at once at what the carrier tells. */
function endingsOf(metrics: Metrics): CallFinalizer {
  const leases = makeMemoryLeases({ times: LEASE_TIMES, nowMs: () => performance.now() })
  return new CallFinalizer({
    tellHolder: async () => false,
    records: db.records,
    leases,
    wheel,
    log: silentLog,
    metrics,
    overLooksMs: [0, 5],
  })
}

/** A sweeper that has known the database for long. */
async function sweeperOf(outcomes: SweepOutcome[]): Promise<Sweeper> {
  const clock = new FakeClock()
  const sweeper = new Sweeper({
    ...{ records: db.records, leases: undefined, clock, wheel, log: silentLog },
    carrier: { stateOf: async () => ({ kind: 'over', cause: 'caller-hung-up' }) },
    times: { sweepMs: 30_000, silentMs: SILENT_MS, callMaxMs: SILENT_MS, settleMs: 60_000 },
    onSwept: (outcome) => outcomes.push(outcome),
  })
  const silent = db.records.silent.bind(db.records)
  db.records.silent = async () => []
  await sweeper.sweep()
  db.records.silent = silent
  clock.advance(60_000)
  return sweeper
}

const itemsOf = async (callSid: CallSid): Promise<string[]> =>
  (await sql.query('select type, state from work_item where call_sid = $1 order by id', [callSid])).map(
    ({ type, state }) => `${type} ${state}`,
  )
const endsOf = async (callSid: CallSid): Promise<number> =>
  (await sql.query(`select 1 from call_event where call_sid = $1 and type = 'ended'`, [callSid])).length
const ownEnd = (callSid: CallSid, checkpoint: string) =>
  db.records.end({ callSid, epoch: 1, cause: 'agent-ended', next: { kind: 'none' }, checkpoint })

test('[POD-15][SWP1][SW4] a call whose pod and whose callback were lost is ended with its three items', async () => {
  const callSid = await silentCall()
  const young = nextSid()
  await db.records.open(openRequest(young))
  const outcomes: SweepOutcome[] = []
  await (await sweeperOf(outcomes)).sweep()
  const row = await db.records.find(callSid)
  assert.deepEqual([row?.state, row?.cause, row?.checkpoint, outcomes], ['ended', 'caller-hung-up', 'early', ['ended']])
  assert.deepEqual(await itemsOf(callSid), THREE)
  assert.equal((await db.records.find(young))?.state, 'live')
})

test('[END-8][DK6][EG5][SW4] the carrier’s word at a pod that never knew the call ends it with its three items', async () => {
  const callSid = await silentCall()
  const metrics = new Metrics()
  const finalizer = endingsOf(metrics)
  finalizer.overAtCarrier(callSid, 'caller-hung-up')
  while ([...metrics.carrierEnds.entries()].length === 0) await wheel.pause(5)
  await finalizer.settled(5_000)
  assert.equal((await db.records.find(callSid))?.cause, 'caller-hung-up')
  assert.deepEqual(await itemsOf(callSid), THREE)
})

test(`[END-1][WORK-1][WK1][RR4] pod, carrier and two sweeps at the same moment, ${RACES} times: one end, three items, and the pod’s last words where it was first`, async () => {
  const metrics = new Metrics()
  const finalizer = endingsOf(metrics)
  const outcomes: SweepOutcome[] = []
  const firsts = new Map<string, number>()
  for (let round = 0; round < RACES; round += 1) {
    const callSid = await silentCall()
    const sweepers = [await sweeperOf(outcomes), await sweeperOf(outcomes)]
    const before = metrics.carrierEnds
    const told = (): number => [...before.entries()].reduce((sum, [, count]) => sum + count, 0)
    const toldBefore = told()
    finalizer.overAtCarrier(callSid, 'caller-hung-up')
    const [own] = await Promise.all([
      wheel.pause((round % 4) * 5).then(() => ownEnd(callSid, 'late')),
      ...sweepers.map((sweeper) => wheel.pause((round % 3) * 5).then(() => sweeper.sweep())),
      db.work.derive(10),
    ])
    while (told() === toldBefore) await wheel.pause(2)
    await finalizer.settled(5_000)
    const row = await db.records.find(callSid)
    assert.deepEqual([row?.state, row?.epoch, await endsOf(callSid)], ['ended', 1, 1])
    assert.deepEqual(await itemsOf(callSid), THREE)
    assert.equal(row?.cause === 'agent-ended', own.kind === 'ended')
    assert.equal(row?.checkpoint, own.kind === 'ended' ? 'late' : 'early')
    firsts.set(row!.cause!, (firsts.get(row!.cause!) ?? 0) + 1)
  }
  assert.ok(firsts.size === 2, `both kinds were first at times: ${JSON.stringify([...firsts])}`)
})

test('[SWP1] beside 100 000 ended calls a look for silent ones touches few pages', async () => {
  await sql.script(`
    insert into call (call_sid, call_id, tenant, from_number, to_number, direction, pack, pack_version, pod, pool, epoch, state, ended_at, has_work)
    select 'CAL' || n, 'long-' || n, 'acme', '+1', '+2', 'inbound', 'clinic', '1', 'p', 'main', 1, 'ended', clock_timestamp(), true
    from generate_series(1, 100000) n;
    analyze call;`)
  const [row] = await sql.query(`explain (analyze, buffers, format json) ${SILENT}`, ['', 200, SILENT_MS, SILENT_MS])
  const [plan] = row!['QUERY PLAN'] as { Plan: Record<string, number> }[]
  const pages = plan!.Plan['Shared Hit Blocks']! + plan!.Plan['Shared Read Blocks']!
  assert.ok(pages < 100, `${pages} pages`)
})

test('[CA4] a checkpoint and its sign keep their page: no index is written for them', async () => {
  const callSid = nextSid()
  await db.records.open(openRequest(callSid))
  const hot = async (): Promise<[number, number]> => {
    await sql.query('select pg_stat_force_next_flush()')
    const [row] = await sql.query(
      `select n_tup_upd::int as all, n_tup_hot_upd::int as hot from pg_stat_user_tables where relname = 'call'`,
    )
    return [Number(row!.all), Number(row!.hot)]
  }
  await db.close()
  db = await openDatabase({ kind: 'postgres', url: postgres.url })
  await wheel.pause(300) // what earlier connections count arrives when they have gone
  const [allBefore, hotBefore] = await hot()
  for (let sequence = 1; sequence <= 20; sequence += 1)
    await db.records.save([{ callSid, epoch: 1, sequence: Math.ceil(sequence / 2), text: 'x'.repeat(200) }])
  await db.close()
  db = await openDatabase({ kind: 'postgres', url: postgres.url })
  await wheel.pause(300)
  const [all, hotNow] = await hot()
  assert.ok(all - allBefore >= 20, `${all - allBefore} writes were counted`)
  const moved = all - allBefore - (hotNow - hotBefore)
  assert.ok(moved <= 2, `${moved} of 20 left their page`)
})
