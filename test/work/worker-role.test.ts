// Role worker as its own process, on a real Postgres: start, figures, admin API, end; and what it says when it cannot start.
import assert from 'node:assert/strict'
import { after, afterEach, before, test } from 'node:test'
import type { CallSid } from '../../src/kit/ids.ts'
import { until } from '../../src/kit/testing/patience.ts'
import { runMigrations } from '../../src/store/records/migrate.ts'
import { openPostgres } from '../../src/store/records/postgres.ts'
import type { Sql } from '../../src/store/records/sql.ts'
import { type Database, openDatabase } from '../../src/store/work/open.ts'
import { findFreePort } from '../../tools/ports.ts'
import { startDatabase, type TestDatabase } from '../store/database.ts'
import { endRequest, nextSid, openRequest } from '../store/records-suite.ts'
import { endPrograms, run, startWorkerProcess } from './worker-process.ts'

const ADMIN_TOKEN = 'an-admin-token-of-the-tests'
const EX_CONFIG = 78

let postgres: TestDatabase
let db: Database
let sql: Sql
/** As a template of the server leaves it: no table of ours. */
let emptyUrl: string
before(async () => {
  postgres = await startDatabase()
  db = await postgres.open()
  sql = postgres.sql()
  await sql.query('create database nothing')
  emptyUrl = postgres.url.replace(/postgres$/, 'nothing')
})
after(() => postgres?.close())

afterEach(endPrograms)

const start = (env: Record<string, string> = {}) => startWorkerProcess(postgres.url, env)

const bearer = { authorization: `Bearer ${ADMIN_TOKEN}` }
const statesOf = async (callSid: CallSid): Promise<unknown[]> =>
  (await sql.query('select state from work_item where call_sid = $1 order by id', [callSid])).map(({ state }) => state)

async function endedCall(): Promise<CallSid> {
  const callSid = nextSid()
  await db.records.open(openRequest(callSid))
  await db.records.end(endRequest(callSid, 1))
  return callSid
}

test('[WP2] it does what follows a call, shows its figures, and ends with 0 when it is told to', async () => {
  const callSid = await endedCall()
  const worker = await start({ ADMIN_TOKEN })
  await until('the chain is done', async () => (await statesOf(callSid)).every((state) => state === 'done'))
  const dead = await endedCall()
  await sql.query(`update work_item set state = 'dead', error = 'a test' where call_sid = $1 and type = 'crm'`, [dead])
  await until('figures', async () =>
    /voice_postcall_jobs\{type="crm",state="dead"\} 1/.test(
      await (await fetch(`${worker.url}/metrics`, { headers: bearer })).text(),
    ),
  )
  const page = await (await fetch(`${worker.url}/metrics`, { headers: bearer })).text()
  for (const name of ['voice_postcall_items_total', 'voice_postcall_oldest_seconds', 'voice_swept_calls_total'])
    assert.match(page, new RegExp(`^# TYPE ${name} `, 'm'))
  worker.child.kill('SIGTERM')
  assert.equal(await worker.code, 0)
})

test('[OPS-5][OPR1][WOP2] the admin API asks for its token, lists what is dead, runs it again, and gives the record of a call', async () => {
  const worker = await start({ ADMIN_TOKEN })
  const callSid = await endedCall()
  await until('the chain is done', async () => (await statesOf(callSid)).every((state) => state === 'done'))
  await sql.query(`update work_item set state = 'dead', error = 'a test' where call_sid = $1 and type = 'crm'`, [
    callSid,
  ])
  const paths: [string, string][] = [
    ['GET', '/admin/work'],
    ['GET', `/admin/calls/${callSid}`],
    ['POST', '/admin/work/1/rerun'],
  ]
  for (const [method, path] of paths)
    for (const authorization of ['', 'Bearer wrong', `Basic ${ADMIN_TOKEN}`])
      assert.equal((await fetch(worker.url + path, { method, headers: { authorization } })).status, 401, path)
  const list = await fetch(`${worker.url}/admin/work?state=dead`, { headers: bearer })
  const { items } = (await list.json()) as { items: { id: string; callSid: string; type: string; error: string }[] }
  const item = items.find((one) => one.callSid === callSid)
  assert.deepEqual([item?.type, item?.error], ['crm', 'a test'])
  assert.ok(!JSON.stringify(items).includes('+15550100'), 'a list holds no number')
  const rerun = () => fetch(`${worker.url}/admin/work/${item!.id}/rerun`, { method: 'POST', headers: bearer })
  const rerunWith = (body: object) =>
    fetch(`${worker.url}/admin/work/${item!.id}/rerun`, {
      method: 'POST',
      headers: { ...bearer, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
  for (const body of [{ newKey: 'yes' }, { newkey: true }, []])
    assert.equal((await rerunWith(body)).status, 400, JSON.stringify(body))
  assert.equal((await rerun()).status, 200)
  await until('it is done', async () => (await statesOf(callSid)).every((state) => state === 'done'))
  assert.equal((await rerun()).status, 404, 'it is not dead any more')
  const keyNumber = async () =>
    (await sql.query('select key_number from work_item where id = $1::bigint', [item!.id]))[0]
  assert.deepEqual(await keyNumber(), { key_number: 1 })
  await sql.query(`update work_item set state = 'dead' where id = $1::bigint`, [item!.id])
  assert.equal((await rerunWith({ newKey: true })).status, 200)
  assert.deepEqual(await keyNumber(), { key_number: 2 })
  await until('it is done', async () => (await statesOf(callSid)).every((state) => state === 'done'))
  const drained = await fetch(`${worker.url}/drain`, { method: 'POST', headers: bearer })
  assert.equal(drained.status, 404)
  assert.match(await drained.text(), /SIGTERM/)
  const record = await fetch(`${worker.url}/admin/calls/${callSid}`, { headers: bearer })
  const { from, cause, analysis } = (await record.json()) as {
    from: string
    cause: string
    analysis: { analyser: string }
  }
  assert.deepEqual([record.status, from, cause, analysis.analyser], [200, '+15550100', 'agent-ended', 'rules'])
  assert.equal((await fetch(`${worker.url}/admin/calls/${nextSid()}`, { headers: bearer })).status, 404)
  worker.child.kill('SIGTERM')
  assert.equal(await worker.code, 0)
})

test('[OPR1] without a token there is no admin API', async () => {
  const worker = await start()
  assert.equal((await fetch(`${worker.url}/admin/work`, { headers: bearer })).status, 404)
  worker.child.kill('SIGTERM')
  assert.equal(await worker.code, 0)
})

test('[CC2] a worker, a migration and a resealing are asked for nothing but what each uses', async () => {
  const foreign = {
    NODE_ENV: 'production',
    HOST: '0.0.0.0',
    QUEUE_OVERFLOW: 'transfer',
    LIMITS_FILE: '/nowhere/limits.json',
  }
  const redis = { REDIS_URL: 'redis://127.0.0.1:9' }
  const migrated = run({ DATABASE_URL: postgres.url, ...redis, ...foreign }, 'migrate')
  assert.equal(await migrated.code, 0, migrated.errors())
  const resealed = run(
    { DATABASE_URL: postgres.url, DATA_KEYS: `a:${'A'.repeat(43)}=`, ...redis, ...foreign },
    'reseal',
  )
  assert.equal(await resealed.code, 0, resealed.errors())
  const worker = await start({ ...foreign, HOST: '127.0.0.1' })
  worker.child.kill('SIGTERM')
  assert.equal(await worker.code, 0, worker.errors())
})

test('[DEPLOY-3][SCW2] a pod on a database without tables is alive, not ready, and says why and what to do; a migration makes it ready', async () => {
  await sql.query('create database bare')
  const url = postgres.url.replace(/postgres$/, 'bare')
  const port = await findFreePort()
  const pod = run({ DATABASE_URL: url, PORT: String(port), OPENAI_REALTIME_URL: 'ws://127.0.0.1:9/' }, 'edge')
  const ready = () =>
    fetch(`http://127.0.0.1:${port}/ready`).then(async (answer) => [answer.status, await answer.json()])
  await until('it says that it is not migrated', async () => {
    const [status, body] = (await ready().catch(() => [0, { reasons: [] }])) as [number, { reasons: string[] }]
    return status === 503 && body.reasons.includes('the database is not migrated')
  })
  assert.equal((await fetch(`http://127.0.0.1:${port}/healthz`)).status, 200)
  await until('it says so in the log', async () => /MIGRATION_MISSING/.test(pod.errors()))
  assert.match(pod.errors(), /npm run migrate/)
  await runMigrations(url)
  await until('it is ready', async () => ((await ready()) as [number, unknown])[0] === 200)
  pod.child.kill('SIGTERM')
  assert.equal(await pod.code, 0)
})

test('[WP1] without DATABASE_URL it says so in one line and ends with 78', async () => {
  const worker = run({})
  assert.equal(await worker.code, EX_CONFIG)
  assert.match(worker.errors(), /^The worker could not start: DATABASE_URL is not set.*\n$/)
})

test('[WP1][WPA2] on a database without tables, or with older ones, it says what to do in one line and ends with 78', async () => {
  const bare = run({ DATABASE_URL: emptyUrl })
  assert.equal(await bare.code, EX_CONFIG)
  assert.match(bare.errors(), /^The worker could not start: [^\n]*version 0 [^\n]*run the role "migrate" first\n$/)
  await runMigrations(emptyUrl)
  const old = openPostgres({ url: emptyUrl })
  await old.query('delete from schema_version where version > 2')
  await old.close()
  const behind = run({ DATABASE_URL: emptyUrl })
  assert.equal(await behind.code, EX_CONFIG)
  assert.match(behind.errors(), /^[^\n]*version 2 [^\n]*run the role "migrate" first\n$/)
})

test('[WPA2] on a database that is away it starts, is not ready, and ends with 0 when it is told to', async () => {
  const port = await findFreePort()
  const worker = run({ DATABASE_URL: `postgres://postgres@127.0.0.1:${await findFreePort()}/x`, PORT: String(port) })
  await until('it listens and is not ready', async () => {
    const ready = await fetch(`http://127.0.0.1:${port}/ready`).catch(() => undefined)
    return ready?.status === 503
  })
  worker.child.kill('SIGTERM')
  assert.equal(await worker.code, 0)
})

test('[SWR1][SWR2] operators read from the replica; what it does not have, or while it is away, from the database itself', async () => {
  await sql.query('create database replica')
  const replicaUrl = postgres.url.replace(/postgres$/, 'replica')
  await runMigrations(replicaUrl)
  const replica = await openDatabase({ kind: 'postgres', url: replicaUrl })
  const both = await endedCall()
  await replica.records.open({ ...openRequest(both), tenant: 'as the replica has it' })
  await replica.records.end(endRequest(both, 1))
  const onlyHere = await endedCall()
  const worker = await start({ ADMIN_TOKEN, DATABASE_REPLICA_URL: replicaUrl })
  const tenantOf = async (callSid: CallSid): Promise<string> => {
    const answer = await fetch(`${worker.url}/admin/calls/${callSid}`, { headers: bearer })
    return ((await answer.json()) as { tenant: string }).tenant
  }
  assert.equal(await tenantOf(both), 'as the replica has it')
  assert.equal(await tenantOf(onlyHere), 'acme')
  const listed = await (await fetch(`${worker.url}/admin/work?state=ready`, { headers: bearer })).text()
  assert.match(listed, /as the replica has it/)
  await until('items are worked on the database itself', async () =>
    (await statesOf(onlyHere)).every((state) => state === 'done'),
  )
  await replica.close()
  await sql.query('drop database replica with (force)')
  assert.equal(await tenantOf(both), 'acme')
  worker.child.kill('SIGTERM')
  assert.equal(await worker.code, 0)
})
