// Erasing on PGlite and on a real Postgres: by request of one caller, of a tenant, and by age.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import { fastify } from 'fastify'
import { Client } from 'pg'
import { FakeClock } from '../../src/kit/clock.ts'
import { VoiceError } from '../../src/kit/errors.ts'
import type { CallId, CallSid } from '../../src/kit/ids.ts'
import { silentLog } from '../../src/kit/log.ts'
import { Wheel } from '../../src/kit/wheel.ts'
import { erasureRoutes } from '../../src/ops/erasures.ts'
import { Operators, SCOPES } from '../../src/ops/operators.ts'
import { runReseal } from '../../src/store/sealing/reseal.ts'
import { readDataKeys, type Sealer } from '../../src/store/sealing/sealer.ts'
import { BATCH } from '../../src/store/work/erasures.ts'
import { type Database, openDatabase } from '../../src/store/work/open.ts'
import { Eraser, RETAIN_MS, ROUND_MS } from '../../src/work/erasures.ts'
import { startDatabase, type TestDatabase } from './database.ts'

const FROM = '+493012345678'
const OTHER = '+493087654321'
const OURS = '+15550100000'
const WITHHELD = ['+266696687', '+7378742833', 'Restricted', '', 'sip:x@example.test']
const TOKEN = 'erasure-test-token-0123456789'
const operators = new Operators([{ id: 'admin', scopes: SCOPES, token: TOKEN }], { log: silentLog, nowMs: () => 0 })
const A = `a:${randomBytes(32).toString('base64')}`
const B = `b:${randomBytes(32).toString('base64')}`

let postgres: TestDatabase
let calls = 0

before(async () => {
  postgres = await startDatabase()
})
after(() => postgres?.close())

function sealerOf(text: string | undefined): Sealer | undefined {
  const read = text === undefined ? undefined : readDataKeys(text)
  return read?.kind === 'keys' ? read.sealer : undefined
}

const onPostgres = (keys?: string) => postgres.open({ sealer: sealerOf(keys) })

async function ask(text: string, params: unknown[] = []): Promise<Record<string, unknown>[]> {
  const client = new Client({ connectionString: postgres.url })
  await client.connect()
  try {
    return (await client.query(text, params)).rows
  } finally {
    await client.end()
  }
}

/** A call with an intent, and its items when it has ended. */
async function leaveCall(
  database: Database,
  tenant: string,
  far: string,
  isEnded = true,
  direction: 'inbound' | 'outbound' = 'inbound',
): Promise<CallSid> {
  const callSid = `CA${(++calls).toString(16).padStart(32, '0')}` as CallSid
  const callId = `call-${calls}` as CallId
  const ends = direction === 'inbound' ? { from: far, to: OURS } : { from: OURS, to: far }
  const who = { tenant, ...ends, direction, pack: 'p', packVersion: '1' }
  await database.records.open({ callSid, callId, ...who, epoch: 1, pod: 'pod', pool: 'q' })
  const intent = { key: `${callId}:1:1`, toolCallId: 't', name: 'n', argumentsText: '{}' }
  await database.records.intend({ callSid, epoch: 1, ...intent })
  if (isEnded) await endCall(database, callSid)
  return callSid
}

async function endCall({ records }: Database, callSid: CallSid): Promise<void> {
  await records.end({ callSid, epoch: 1, cause: 'agent-ended', next: { kind: 'none' }, checkpoint: undefined })
}

const worlds = [
  { name: 'PGlite', open: () => openDatabase({ kind: 'pglite', folder: undefined }), keys: undefined },
  { name: 'Postgres', open: () => onPostgres(), keys: undefined },
  { name: 'Postgres with keys', open: () => onPostgres(A), keys: A },
]
for (const world of worlds)
  describe(`erasing on ${world.name}`, () => {
    const tenant = `tenant-${world.name.replaceAll(' ', '-')}`

    test('[ERASE-1][ERS1][ESQ2] one caller is erased with all that hangs on him, however the number is written; nobody else is', async () => {
      const database = await world.open()
      const gone = [await leaveCall(database, tenant, FROM), await leaveCall(database, tenant, FROM)]
      const live = await leaveCall(database, tenant, FROM, false)
      const kept = [await leaveCall(database, tenant, OTHER), await leaveCall(database, `${tenant}-2`, FROM)]
      const items = await database.work.claim({ worker: 'w', types: ['record'], max: 10, leaseMs: 60_000 })
      const inHands = items.find(({ callSid }) => callSid === gone[0])!
      const asked = await database.erasures.request({ tenant, from: '+49 30 1234-5678' })
      assert.deepEqual([asked.calls, asked.live, asked.isDone], [2, 1, false])
      for (const callSid of gone) assert.equal(await database.records.find(callSid), undefined)
      for (const callSid of [live, ...kept]) assert.ok(await database.records.find(callSid))
      const result = { kind: 'record' as const, durationMs: 1, turns: 1, figures: {}, transcript: [], cost: undefined }
      assert.deepEqual(await database.work.finish(inHands, result), { kind: 'lost' })
      assert.equal(await database.erasures.round(), 0)
      await endCall(database, live)
      assert.equal(await database.erasures.round(), 1)
      assert.equal(await database.records.find(live), undefined)
      const done = await database.erasures.find(asked.id)
      assert.deepEqual([done?.calls, done?.live, done?.isDone], [3, 0, true])
      assert.equal(await database.erasures.find('999999'), undefined)
      if (world.name === 'PGlite') await database.close()
    })
  })

for (const world of worlds)
  test(`[P11][P12][ESQ2] whom an outbound call reached is erased by his number, and a withheld number erases nobody, on ${world.name}`, async () => {
    const tenant = `ends-${world.name.replaceAll(' ', '-')}`
    const database = await world.open()
    const gone = [await leaveCall(database, tenant, FROM), await leaveCall(database, tenant, FROM, true, 'outbound')]
    const kept = [await leaveCall(database, tenant, OTHER, true, 'outbound')]
    for (const withheld of WITHHELD) {
      kept.push(await leaveCall(database, tenant, withheld), await leaveCall(database, tenant, withheld))
      const isWithheld = (error: unknown) => error instanceof VoiceError && error.code === 'CALLER_WITHHELD'
      await assert.rejects(database.erasures.request({ tenant, from: withheld }), isWithheld, withheld)
    }
    assert.equal((await database.erasures.request({ tenant, from: FROM })).calls, 2)
    assert.equal((await database.erasures.request({ tenant, from: OURS })).calls, 0, 'our own number is nobody')
    for (const callSid of gone) assert.equal(await database.records.find(callSid), undefined)
    for (const callSid of kept) assert.ok(await database.records.find(callSid))
    if (world.name === 'Postgres with keys') {
      const marks = await ask('select from_mark from call where call_sid = any($1)', [kept.slice(1)])
      assert.deepEqual(
        marks,
        kept.slice(1).map(() => ({ from_mark: null })),
      )
      await runReseal(postgres.url, sealerOf(`${B},${A}`)!, () => {})
      const anew = await ask('select from_mark from call where call_sid = any($1)', [kept])
      assert.equal(anew.filter(({ from_mark: mark }) => mark !== null).length, 1, 'the one whose number is known')
    }
    if (world.name === 'PGlite') await database.close()
  })

test('[ESQ3] of a request that is done no number is left, and while it is open none that can be read', async () => {
  const database = await onPostgres(A)
  const live = await leaveCall(database, 'audit', FROM, false)
  const { id } = await database.erasures.request({ tenant: 'audit', from: FROM })
  const [open] = await ask('select number, marks::text as marks from erasure where id = $1', [id])
  assert.ok(typeof open?.number === 'string' && !JSON.stringify(open).includes('12345678'))
  await endCall(database, live)
  await database.erasures.round()
  const [done] = await ask('select number, calls, done_at is not null as done from erasure where id = $1', [id])
  assert.deepEqual(done, { number: null, calls: 1, done: true })
  for (const table of ['tool_intent', 'call_event', 'work_item'])
    assert.deepEqual(await ask(`select 1 from ${table} where call_sid = $1`, [live]), [], table)
})

test('[ERASE-4][ESQ2] with a key that is gone nothing is erased, since nobody could say whose calls they are', async () => {
  const callSid = await leaveCall(await onPostgres(A), 'keyless', FROM)
  const isMissing = (error: unknown) => error instanceof VoiceError && error.code === 'DATA_KEY_MISSING'
  for (const keys of [B, undefined]) {
    const database = await onPostgres(keys)
    await assert.rejects(database.erasures.request({ tenant: 'keyless', from: FROM }), isMissing)
  }
  const both = await onPostgres(`${B},${A}`)
  assert.ok(await both.records.find(callSid))
  assert.equal((await both.erasures.request({ tenant: 'keyless', from: FROM })).calls, 1)
  await leaveCall(await onPostgres(A), 'keyless', FROM)
  const all = await (await onPostgres(B)).erasures.request({ tenant: 'keyless', from: undefined })
  assert.deepEqual([all.calls, all.isDone], [1, true])
})

test('[ESQ1] more calls than a batch go in one request', async () => {
  await ask(
    `insert into call (call_sid, call_id, tenant, from_number, to_number, direction, pack, pack_version, pod, pool, epoch, state, ended_at)
     select 'CB' || lpad(to_hex(n), 32, '0'), 'many-' || n, 'many', '+1', '+2', 'inbound', 'p', '1', 'p', 'q', 1, 'ended', now()
     from generate_series(1, $1::int) n`,
    [BATCH * 2 + 7],
  )
  const { calls: erased, isDone } = await (await onPostgres()).erasures.request({ tenant: 'many', from: undefined })
  assert.deepEqual([erased, isDone], [BATCH * 2 + 7, true])
})

test('[ERASE-5][ERS2] by age: each tenant has its days, live calls and calls with work left stay, the latter twice as long', async () => {
  const database = await onPostgres()
  await database.erasures.request({ tenant: 'default', from: undefined })
  const [old, young, strict, live, busy, stuck] = await Promise.all([
    leaveCall(database, 'age-a', FROM),
    leaveCall(database, 'age-a', FROM),
    leaveCall(database, 'age-b', FROM),
    leaveCall(database, 'age-a', FROM, false),
    leaveCall(database, 'age-a', FROM),
    leaveCall(database, 'age-a', FROM),
  ])
  const setAge = (callSid: CallSid, days: number) =>
    ask('update call set ended_at = now() - make_interval(days => $2::int) where call_sid = $1', [callSid, days])
  await ask("update work_item set state = 'done' where call_sid = any($1)", [[old, young, strict]])
  for (const [callSid, days] of [
    [old, 31],
    [young, 29],
    [strict, 8],
    [busy, 31],
    [stuck, 61],
  ] as const)
    await setAge(callSid, days)
  assert.equal(await database.erasures.retain({ days: undefined, tenants: {} }), 0)
  assert.equal(await database.erasures.retain({ days: undefined, tenants: { 'age-b': 7 } }), 1)
  assert.equal(await database.erasures.retain({ days: 30, tenants: { 'age-b': 7 } }), 2)
  const left = []
  for (const callSid of [old, young, strict, live, busy, stuck])
    left.push((await database.records.find(callSid)) !== undefined)
  assert.deepEqual(left, [false, true, false, true, true, false])
})

test('[ERS1][ERS2][ERS3] the worker goes through requests each minute and by age each hour, also after the database was away', async () => {
  const clock = new FakeClock()
  const wheel = new Wheel({ clock, onError: (error) => assert.fail(String(error)), manual: true })
  const seen: string[] = []
  let isAway = true
  const store = {
    round: async () => {
      if (isAway) throw new VoiceError('STORE_UNAVAILABLE')
      seen.push('round')
      return 2
    },
    retain: async () => {
      seen.push('retain')
      return 0
    },
  }
  const told: [string, number][] = []
  const retention = { days: 30, tenants: {} }
  const eraser = new Eraser({ store, retention, clock, wheel, log: silentLog, onErased: (...one) => told.push(one) })
  eraser.start()
  const pass = async (ms: number): Promise<void> => {
    for (let passed = 0; passed < ms; passed += 1_000) {
      clock.advance(1_000)
      wheel.advance()
      for (let i = 0; i < 5; i++) await Promise.resolve()
    }
  }
  await pass(ROUND_MS * 3)
  assert.deepEqual(seen, [])
  isAway = false
  await pass(ROUND_MS * 2)
  assert.deepEqual(seen, ['round', 'retain', 'round'])
  assert.deepEqual(told, [
    ['request', 2],
    ['request', 2],
  ])
  await pass(RETAIN_MS)
  assert.equal(seen.filter((one) => one === 'retain').length, 2)
  eraser.close()
  const before = seen.length
  await pass(ROUND_MS * 2)
  assert.equal(seen.length, before)
  wheel.close()
})

test('[ERASE-2][ERASE-3][P63][O4][EOP1][EOP3] a misspelt member erases nothing; a whole tenant goes only by the word and the count', async () => {
  const app = fastify()
  const database = await onPostgres(A)
  await app.register(erasureRoutes, { store: database.erasures, operators })
  const headers = { authorization: `Bearer ${TOKEN}` }
  const post = (payload: object) => app.inject({ method: 'POST', url: '/admin/erasures', payload, headers })
  const kept = await Promise.all(Array.from({ length: 12 }, () => leaveCall(database, 'whole', FROM)))
  assert.equal((await post({ tenant: 'whole', form: FROM })).statusCode, 400)
  for (const body of [
    { tenant: 'whole' },
    { tenant: 'whole', everything: true },
    { tenant: 'whole', calls: 12 },
    { tenant: 'whole', everything: true, calls: 1 },
    { tenant: 'whole', everything: true, calls: 0 },
    { tenant: 'whole', everything: true, calls: 10 },
  ]) {
    const answer = await post(body)
    assert.deepEqual([answer.statusCode, (answer.json() as { calls: number }).calls], [409, 12], JSON.stringify(body))
  }
  for (const callSid of kept) assert.ok(await database.records.find(callSid))
  const done = await post({ tenant: 'whole', everything: true, calls: 12 })
  assert.deepEqual([done.statusCode, (done.json() as { calls: number }).calls], [200, 12])
  for (const callSid of kept) assert.equal(await database.records.find(callSid), undefined)
  await app.close()
})

test('[ERASE-3][ERASE-4][EOP1][EOP2][OPR1] the routes: token, form, what was erased, and 409 where a key is gone', async () => {
  const app = fastify()
  const database = await onPostgres(A)
  await app.register(erasureRoutes, { store: database.erasures, operators })
  const headers = { authorization: `Bearer ${TOKEN}` }
  const post = (payload: object, given: Record<string, string> = headers) =>
    app.inject({ method: 'POST', url: '/admin/erasures', payload, headers: given })
  assert.equal((await post({ tenant: 'route' }, {})).statusCode, 401)
  assert.equal((await post({ tenant: 'route' }, { authorization: 'Bearer wrong' })).statusCode, 401)
  for (const body of [
    {},
    { tenant: 'route', form: FROM },
    { tenant: 'route', From: FROM },
    { tenant: 'route', from: FROM, everything: true },
    { tenant: 'route', from: null },
    { tenant: 'route', everything: false },
    { tenant: 'route', everything: 'yes', calls: 2 },
    { tenant: 'route', everything: true, calls: '2' },
    [],
    { tenant: '' },
    { tenant: 7 },
    { tenant: 'a b' },
    { tenant: 'route', from: 4 },
    { tenant: 'route', from: '' },
    { tenant: 'route', from: '+266696687' },
    { tenant: 'route', from: 'sip:x@example.test' },
  ])
    assert.equal((await post(body)).statusCode, 400, JSON.stringify(body))
  await leaveCall(database, 'route', FROM)
  const live = await leaveCall(database, 'route', FROM, false)
  const answer = await post({ tenant: 'route', from: FROM })
  assert.equal(answer.statusCode, 202)
  const { id, calls: erased } = answer.json() as { id: string; calls: number }
  assert.equal(erased, 1)
  assert.ok(!answer.body.includes('12345678'))
  await endCall(database, live)
  await database.erasures.round()
  const found = await app.inject({ url: `/admin/erasures/${id}`, headers })
  assert.deepEqual(found.json(), { id, tenant: 'route', calls: 2, live: 0, isDone: true })
  assert.equal((await app.inject({ url: '/admin/erasures/0', headers })).statusCode, 404)
  assert.equal((await app.inject({ url: '/admin/erasures/x', headers })).statusCode, 404)
  await leaveCall(await onPostgres(B), 'route', FROM)
  const refused = await post({ tenant: 'route', from: FROM })
  assert.deepEqual([refused.statusCode, (refused.json() as { code: string }).code], [409, 'DATA_KEY_MISSING'])
  await app.close()
})
