// What lies in the database when DATA_KEYS is set, read as whoever has a dump would read it; and what the plane makes of keys that are gone.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import { Client } from 'pg'
import { readCheckpoint } from '../../src/call/checkpoint.ts'
import { VoiceError } from '../../src/kit/errors.ts'
import type { CallId, CallSid } from '../../src/kit/ids.ts'
import { openPostgres } from '../../src/store/records/postgres.ts'
import type { Sql } from '../../src/store/records/sql.ts'
import { SEALED_COLUMNS } from '../../src/store/sealing/codec.ts'
import { reseal, runReseal } from '../../src/store/sealing/reseal.ts'
import { readSealedTables } from '../../src/store/sealing/sealed-columns.ts'
import { readDataKeys, type Sealer } from '../../src/store/sealing/sealer.ts'
import { type Database, openDatabase } from '../../src/store/work/open.ts'
import { linesOf, TRANSCRIPT_MAX_CHARS } from '../../src/work/jobs/record.ts'
import type { WorkItem } from '../../src/work/ports.ts'
import { startDatabase, type TestDatabase } from './database.ts'

const FROM = '+493012345678'
const TO = '+15550109999'
const DESK = '+447700900123'
/** None of them may be found in any column. */
const WORDS = ['marzipan', 'quicksilver', 'tangerine', 'obsidian', 'periwinkle', 'saffron', 'vermilion', 'juniper']
/** What a model may put into a disposition. */
const DISPOSITION = 'Mrs juniper, call +493012345678'
const SECRETS = [FROM, TO, DESK, FROM.slice(1), TO.slice(1), DESK.slice(1), ...WORDS]
const A = `a:${randomBytes(32).toString('base64')}`
const B = `b:${randomBytes(32).toString('base64')}`
/** Texts that never hold a number or words of a call: names of code and of the operator, ids, states, marks. */
const PLAIN_COLUMNS = [
  'call.call_id',
  'call.call_sid',
  'call.cause',
  'call.direction',
  'call.from_mark',
  'call.pack',
  'call.pack_version',
  'call.pod',
  'call.pool',
  'call.state',
  'call.tenant',
  'call_event.body',
  'call_event.call_sid',
  'call_event.type',
  'call_record.analyser',
  'call_record.call_sid',
  'call_record.cost',
  'call_record.figures',
  'erasure.marks',
  'erasure.tenant',
  'schema_version.name',
  'tool_intent.call_sid',
  'tool_intent.key',
  'tool_intent.name',
  'tool_intent.tool_call_id',
  'work_item.after_type',
  'work_item.body',
  'work_item.call_sid',
  'work_item.effect',
  'work_item.error',
  'work_item.intended_key',
  'work_item.state',
  'work_item.type',
  'work_item.worker',
]
const KEYLESS: Sealer | undefined = undefined

function sealerOf(text: string): Sealer {
  const read = readDataKeys(text)
  assert.equal(read.kind, 'keys')
  return (read as { sealer: Sealer }).sealer
}

let postgres: TestDatabase
let calls = 0

before(async () => {
  postgres = await startDatabase()
})
after(() => postgres?.close())

const pglite = () => openDatabase({ kind: 'pglite', folder: undefined }, { sealer: sealerOf(A) })
const onPostgres = (sealer: Sealer | undefined) => postgres.open({ sealer })

/** One whole call with words in every place that may hold some. */
async function leaveCall({ records, work }: Database): Promise<CallSid> {
  const callSid = `CA${(++calls).toString(16).padStart(32, '0')}` as CallSid
  const callId = `call-${calls}` as CallId
  const fence = { callSid, epoch: 1 }
  await records.open({
    ...fence,
    callId,
    ...{
      tenant: 'default',
      from: FROM,
      to: TO,
      direction: 'inbound',
      pack: 'clinic',
      packVersion: '1',
      pod: 'p',
      pool: 'q',
    },
  })
  const key = `${callId}:1:1`
  const intent = { key, toolCallId: 't1', name: 'note', argumentsText: `{"a":"${WORDS[0]}"}` }
  assert.deepEqual(await records.intend({ ...fence, ...intent }), { kind: 'intended' })
  await records.settle({ ...fence, key, output: `{"b":"${WORDS[1]}"}` })
  assert.deepEqual(await records.intend({ ...fence, ...intent }), { kind: 'known', output: `{"b":"${WORDS[1]}"}` })
  await records.save([{ ...fence, sequence: 1, text: `{"said":"${WORDS[2]}"}` }])
  await records.end({ ...fence, cause: 'transferred', next: { kind: 'transfer', to: DESK }, checkpoint: undefined })
  await work.addRecording(callSid, { recordingSid: `RE${'0'.repeat(32)}` })
  for (let round = 0; round < 6; round++) {
    const items = await work.claim({
      worker: 'w',
      types: ['record', 'analysis', 'crm', 'recording'],
      max: 10,
      leaseMs: 60_000,
    })
    for (const item of items) await finish(work, item)
  }
  return callSid
}

async function finish(work: Database['work'], item: WorkItem): Promise<void> {
  const transcript = [
    { who: 'caller' as const, text: `I want ${WORDS[3]}` },
    { who: 'agent' as const, text: `Here is ${WORDS[4]} ü` },
  ]
  if (item.type === 'record')
    await work.finish(item, { kind: 'record', durationMs: 1_000, turns: 1, figures: {}, transcript, cost: undefined })
  else if (item.type === 'analysis') {
    const words = { summary: `about ${WORDS[5]}`, intent: WORDS[6]!, disposition: DISPOSITION }
    const marks = { sentiment: 0, leadScore: 1, satisfaction: 3, isEscalated: false }
    await work.finish(item, { kind: 'analysis', analysis: { analyser: 'rules', ...words, ...marks } })
  } else await work.finish(item, { kind: 'delivered', key: 'k', status: 200 })
}

/** Every text of every table, as `table.column: text`. */
async function dump(): Promise<string[]> {
  const client = new Client({ connectionString: postgres.url })
  await client.connect()
  try {
    const columns = await client.query<{ table_name: string; column_name: string }>(
      "select table_name, column_name from information_schema.columns where table_schema = 'public'",
    )
    const texts: string[] = []
    for (const { table_name: table, column_name: column } of columns.rows) {
      const { rows } = await client.query(
        `select "${column}"::text as text from "${table}" where "${column}" is not null`,
      )
      for (const { text } of rows) texts.push(`${table}.${column}: ${text}`)
    }
    return texts
  } finally {
    await client.end()
  }
}

const isMissing = (error: unknown): boolean =>
  error instanceof VoiceError &&
  error.code === 'DATA_KEY_MISSING' &&
  !SECRETS.some((one) => error.message.includes(one))

test('[SAFE-6][S12][CDC1] with keys no number and no word of a call is anywhere in the database; the plane reads all of it', async () => {
  const database = await onPostgres(sealerOf(A))
  const callSid = await leaveCall(database)
  const texts = await dump()
  assert.ok(texts.length > 50, 'the dump is not empty')
  assert.deepEqual(
    texts.filter((text) => SECRETS.some((secret) => text.includes(secret))),
    [],
  )
  assert.ok(texts.some((text) => text.startsWith('call.from_mark: a:')))
  const row = await database.records.find(callSid)
  assert.deepEqual([row?.from, row?.to, row?.next], [FROM, TO, { kind: 'transfer', to: DESK }])
  assert.equal(row?.checkpoint, `{"said":"${WORDS[2]}"}`)
  assert.deepEqual([row?.intents[0]?.argumentsText, row?.isSealed], [`{"a":"${WORDS[0]}"}`, undefined])
  const record = await database.work.record(callSid)
  assert.deepEqual([record?.from, record?.transcript?.[1]?.text], [FROM, `Here is ${WORDS[4]} ü`])
  const { summary, intent, disposition } = record!.analysis!
  assert.deepEqual([summary, intent, disposition], [`about ${WORDS[5]}`, WORDS[6], DISPOSITION])
})

test('counter-proof: without keys the same dump finds them', async () => {
  await leaveCall(await onPostgres(KEYLESS))
  const texts = await dump()
  for (const secret of [FROM, TO, DESK, ...WORDS])
    assert.ok(
      texts.some((text) => text.includes(secret)),
      secret,
    )
})

describe('[CDC2][ROW1] keys that are gone', () => {
  test('a pod reads such a row as far as it opens, and its checkpoint as unreadable', async () => {
    const callSid = await leaveCall(await onPostgres(sealerOf(A)))
    for (const sealer of [sealerOf(B), KEYLESS]) {
      const other = await onPostgres(sealer)
      const row = await other.records.find(callSid)
      assert.deepEqual([row?.from, row?.isSealed, row?.next], ['unknown', true, { kind: 'hang-up' }])
      assert.equal(readCheckpoint(row!.checkpoint!).kind, 'unreadable')
      assert.deepEqual([row?.intents[0]?.argumentsText, row?.intents[0]?.output], ['{}', undefined])
      await assert.rejects(other.work.record(callSid), isMissing)
    }
    const both = await onPostgres(sealerOf(`${B},${A}`))
    assert.equal((await both.records.find(callSid))?.from, FROM)
    assert.equal((await both.work.record(callSid))?.analysis?.intent, WORDS[6])
  })

  test('a seal that was moved to another call is not believed', async () => {
    const database = await onPostgres(sealerOf(A))
    const [one, other] = [await leaveCall(database), await leaveCall(database)]
    const client = new Client({ connectionString: postgres.url })
    await client.connect()
    await client.query(
      'update call c set from_number = o.from_number from call o where c.call_sid = $1 and o.call_sid = $2',
      [one, other],
    )
    await client.end()
    assert.equal((await database.records.find(one))?.from, 'unknown')
    await assert.rejects(database.work.record(one), (error: VoiceError) => error.code === 'DATA_SEAL_BROKEN')
  })
})

test('[S17][SCO1] the columns that are sealed are those of the schema, and every text column is judged', async () => {
  const sql = openPostgres({ url: postgres.url, poolMax: 1 })
  const tables = await readSealedTables(sql)
  const sealed = tables.flatMap(({ name, fields }) =>
    fields.flatMap((field) => (field.kind === 'sealed' ? [`${name}.${field.column}`] : [])),
  )
  assert.deepEqual(sealed.sort(), [...SEALED_COLUMNS].sort())
  // A new text column is sealed, or it is listed here as one that never holds a number or words of a call.
  const rows = await sql.query(
    `select table_name || '.' || column_name as name from information_schema.columns
     where table_schema = 'public' and data_type in ('text', 'jsonb', 'ARRAY')`,
    [],
  )
  const unsealed = rows.map(({ name }) => String(name)).filter((name) => !sealed.includes(name))
  assert.deepEqual(unsealed.sort(), PLAIN_COLUMNS)
  await sql.close()
})

describe('[RSL1][RSL4] rotation', () => {
  test('[ERASE-6] after reseal the new key alone reads all of it, what was plain too; a key that went before is told', async () => {
    const { url } = postgres
    const old = await leaveCall(await onPostgres(sealerOf(A)))
    const plain = await leaveCall(await onPostgres(KEYLESS))
    const onlyB = await onPostgres(sealerOf(B))
    await assert.rejects(onlyB.work.record(old), isMissing)
    const tooSoon = await runReseal(url, sealerOf(B), () => {})
    assert.ok(tooSoon.unopened > 0 && tooSoon.written > 0)
    await assert.rejects(onlyB.work.record(old), isMissing)
    await mendMoved()
    const lines: string[] = []
    const done = await runReseal(url, sealerOf(`${B},${A}`), (line) => lines.push(line))
    assert.deepEqual([done.unopened, done.moved], [0, 0])
    for (const callSid of [old, plain]) {
      const row = await onlyB.records.find(callSid)
      assert.deepEqual([row?.from, row?.isSealed, row?.next], [FROM, undefined, { kind: 'transfer', to: DESK }])
      assert.equal((await onlyB.work.record(callSid))?.analysis?.summary, `about ${WORDS[5]}`)
    }
    const texts = await dump()
    assert.deepEqual(
      texts.filter((text) => /vp[12]:a:/.test(text) || SECRETS.some((secret) => text.includes(secret))),
      [],
    )
    assert.ok(texts.filter((text) => text.startsWith('call.from_mark')).every((text) => text.includes(': b:')))
    assert.equal((await runReseal(url, sealerOf(B), () => {})).written, 0)
  })

  test('[S17][RSL5] an open erasure by number comes under the new key and still finds its calls', async () => {
    const old = await onPostgres(sealerOf(A))
    const callSid = `CA${(++calls).toString(16).padStart(32, '0')}` as CallSid
    const who = {
      tenant: 'leaving',
      from: FROM,
      to: TO,
      direction: 'inbound' as const,
      pack: 'clinic',
      packVersion: '1',
    }
    await old.records.open({ callSid, callId: `call-${calls}` as CallId, ...who, epoch: 1, pod: 'p', pool: 'q' })
    const { id, live } = await old.erasures.request({ tenant: 'leaving', from: FROM })
    assert.equal(live, 1)
    const sql = openPostgres({ url: postgres.url, poolMax: 1 })
    await reseal(sql, sealerOf(`${B},${A}`))
    const [row] = await sql.query('select number, marks from erasure where id = $1::bigint', [id])
    assert.match(String(row?.number), /^vp2:b:/)
    assert.ok(((row?.marks ?? []) as string[]).some((mark) => mark.startsWith('b:')))
    const onlyB = await onPostgres(sealerOf(B))
    await onlyB.records.end({ callSid, epoch: 1, cause: 'agent-ended', next: { kind: 'none' }, checkpoint: undefined })
    assert.equal(await onlyB.erasures.round(), 1)
    assert.equal(await onlyB.records.find(callSid), undefined)
    assert.equal((await onlyB.erasures.find(id))?.isDone, true)
    await sql.close()
  })

  test('[RSL2] a row that changes while it is sealed anew keeps its own write', async () => {
    const sealer = sealerOf(`${B},${A}`)
    const callSid = await leaveCall(await onPostgres(sealerOf(A)))
    const sql = openPostgres({ url: postgres.url, poolMax: 2 })
    const racing: Sql = {
      ...{ script: (text) => sql.script(text), transaction: (run) => sql.transaction(run), close: () => sql.close() },
      query: async (text, params) => {
        if (text.startsWith('update call set') && params?.[0] === callSid)
          await sql.query("update call set checkpoint = 'newer' where call_sid = $1", [callSid])
        return sql.query(text, params)
      },
    }
    const { moved } = await reseal(racing, sealer)
    assert.equal(moved, 1)
    const [row] = await sql.query('select checkpoint from call where call_sid = $1', [callSid])
    assert.equal(row?.checkpoint, 'newer')
    await sql.close()
  })
})

/** The seal that another test moved opens under no key. */
async function mendMoved(): Promise<void> {
  const client = new Client({ connectionString: postgres.url })
  await client.connect()
  await client.query('delete from call c using call o where c.from_number = o.from_number and c.call_sid < o.call_sid')
  await client.end()
}

test('[CDC3] what only looks like a seal locks nothing, with keys or without', async () => {
  for (const sealer of [KEYLESS, sealerOf(A)]) {
    const { records } = await onPostgres(sealer)
    const callSid = `CA${(++calls).toString(16).padStart(32, '0')}` as CallSid
    const who = { tenant: 'default', to: TO, direction: 'inbound' as const, pack: 'clinic', packVersion: '1' }
    const from = 'vp1:a:AAAA'
    await records.open({ callSid, callId: `call-${calls}` as CallId, ...who, from, epoch: 1, pod: 'p', pool: 'q' })
    const row = await records.find(callSid)
    assert.deepEqual([row?.from.trim(), row?.isSealed], [from, undefined])
  }
})

test('the embedded database is sealed alike', async () => {
  const database = await pglite()
  const callSid = await leaveCall(database)
  assert.equal((await database.records.find(callSid))?.from, FROM)
  assert.equal((await database.work.record(callSid))?.transcript?.[0]?.text, `I want ${WORDS[3]}`)
  await database.close()
})

test('[JR2] a transcript of ten million characters is bounded, sealed and read again', async () => {
  const said = Array.from({ length: 2_500 }, (_, i) => ({ who: 'caller' as const, text: `${i} ${'x'.repeat(4_000)}` }))
  const transcript = linesOf({ said })
  // Ten megabytes in one statement: on a busy machine that takes longer than a pod would wait.
  const database = await postgres.open({ sealer: sealerOf(A), timeoutMs: 60_000 })
  const callSid = `CA${(++calls).toString(16).padStart(32, '0')}` as CallSid
  const who = { tenant: 'default', from: FROM, to: TO, direction: 'inbound' as const, pack: 'clinic', packVersion: '1' }
  await database.records.open({ callSid, callId: `call-${calls}` as CallId, ...who, epoch: 1, pod: 'p', pool: 'q' })
  const text = JSON.stringify({ said })
  assert.ok(text.length > 10_000_000)
  await database.records.save([{ callSid, epoch: 1, sequence: 1, text }])
  assert.equal((await database.records.find(callSid))?.checkpoint, text)
  await database.records.end({ callSid, epoch: 1, cause: 'agent-ended', next: { kind: 'none' }, checkpoint: undefined })
  const items = await database.work.claim({ worker: 'w', types: ['record'], max: 100, leaseMs: 60_000 })
  const item = items.find((one) => one.callSid === callSid)!
  const result = { kind: 'record' as const, durationMs: 1, turns: 1, figures: {}, transcript, cost: undefined }
  assert.deepEqual(await database.work.finish(item, result), { kind: 'done' })
  const kept = (await database.work.record(callSid))?.transcript ?? []
  assert.deepEqual(kept, transcript)
  assert.ok(kept.reduce((sum, line) => sum + line.text.length, 0) < TRANSCRIPT_MAX_CHARS + 100)
})
