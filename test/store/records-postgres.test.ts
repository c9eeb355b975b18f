import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { FAILOVER_CALM_MS } from '../../src/call/state.ts'
import { VoiceError } from '../../src/kit/errors.ts'
import { startWatch } from '../../src/kit/testing/patience.ts'
import { openRecords } from '../../src/store/records/open.ts'
import { openPostgres, WAITING_MAX } from '../../src/store/records/postgres.ts'
import { CLAIM, INTEND } from '../../src/store/records/statements.ts'
import { startDatabase, type TestDatabase } from './database.ts'
import { endRequest, nextSid, openRequest } from './records-suite.ts'

let postgres: TestDatabase
before(async () => {
  postgres = await startDatabase({ isPooled: true })
})
after(() => postgres?.close())

const isUnavailable = (error: unknown) => error instanceof VoiceError && error.code === 'STORE_UNAVAILABLE'

/** Runs `statement` in a transaction that commits only when `meanwhile` stands waiting for its lock. */
async function whileItWaits<T>(statement: string, params: unknown[], meanwhile: () => Promise<T>): Promise<T> {
  const [holder, watcher] = [openPostgres({ url: postgres.url }), openPostgres({ url: postgres.url })]
  try {
    let waiting: Promise<T> | undefined
    await holder.transaction(async (tx) => {
      await tx.query(statement, params)
      waiting = meanwhile()
      for (;;) {
        const [row] = await watcher.query('select count(*)::int as n from pg_locks where not granted')
        if (row?.n !== 0) return
      }
    })
    return await waiting!
  } finally {
    await Promise.all([holder.close(), watcher.close()])
  }
}

test('[RR6] losses long ago are not counted with a new one, and nobody need write for it', async () => {
  const records = await openRecords({ kind: 'postgres', url: postgres.url })
  const sql = openPostgres({ url: postgres.url })
  const callSid = nextSid()
  const failovers = async () => (await records.find(callSid))?.failovers
  await records.open(openRequest(callSid))
  for (const epoch of [2, 3, 4]) await records.claim({ callSid, epoch, pod: 'pod-b', pool: 'main' })
  assert.equal(await failovers(), 3)
  const age = (ms: number) =>
    sql.query(
      `update call set failover_at = clock_timestamp() - make_interval(secs => $2::float8 / 1000) where call_sid = $1`,
      [callSid, ms],
    )
  await age(FAILOVER_CALM_MS - 30_000)
  assert.equal(await failovers(), 3)
  await age(FAILOVER_CALM_MS + 1)
  assert.equal(await failovers(), 0)
  await records.claim({ callSid, epoch: 5, pod: 'pod-c', pool: 'main' })
  assert.equal(await failovers(), 1)
  await Promise.all([records.close(), sql.close()])
})

test('[RQ3] a claim that waited for the last write of the last pod sees the intent it wrote', async () => {
  const records = await openRecords({ kind: 'postgres', url: postgres.url })
  const callSid = nextSid()
  await records.open(openRequest(callSid))
  const key = `${callSid}:1:1`
  const claimed = await whileItWaits(INTEND, [callSid, 1, key, 'fc_1', 'book', '{}'], () =>
    records.claim({ callSid, epoch: 2, pod: 'pod-b', pool: 'main' }),
  )
  assert.ok(claimed.kind === 'claimed')
  assert.deepEqual(
    claimed.row.intents.map((one) => one.key),
    [key],
  )
  await records.close()
})

test('[RQ1][RT2] writes that waited for a claim are fenced by it, and the rest of their batch is written', async () => {
  const records = await openRecords({ kind: 'postgres', url: postgres.url })
  const [callSid, other] = [nextSid(), nextSid()]
  await records.open(openRequest(callSid))
  await records.open(openRequest(other))
  const write = { epoch: 1, sequence: 1, text: 'of epoch 1' }
  const [fenced, intended, end] = await whileItWaits(CLAIM, [callSid, 2, 'pod-b', 'main', true, FAILOVER_CALM_MS], () =>
    Promise.all([
      records.save([
        { callSid, ...write },
        { callSid: other, ...write },
      ]),
      records.intend({
        callSid,
        epoch: 1,
        key: `${callSid}:1:1`,
        toolCallId: 'fc',
        name: 'book',
        argumentsText: '{}',
      }),
      records.end(endRequest(callSid, 1)),
    ]),
  )
  assert.deepEqual(fenced, [callSid])
  assert.deepEqual([intended.kind, end.kind], ['fenced', 'fenced'])
  const row = await records.find(callSid)
  assert.deepEqual([row?.epoch, row?.checkpoint, row?.state, row?.intents.length], [2, undefined, 'live', 0])
  assert.equal((await records.find(other))?.checkpoint, 'of epoch 1')
  await records.close()
})

test('[RQ2] batches that meet in opposite order do not deadlock', async () => {
  const fleet = await Promise.all([1, 2].map(() => openRecords({ kind: 'postgres', url: postgres.pooledUrl })))
  const sids = Array.from({ length: 60 }, nextSid)
  for (const callSid of sids) await fleet[0]!.open(openRequest(callSid))
  for (let sequence = 1; sequence <= 20; sequence++) {
    const writes = sids.map((callSid) => ({ callSid, epoch: 1, sequence, text: 'x'.repeat(3_000) }))
    const saved = await Promise.all([fleet[0]!.save(writes), fleet[1]!.save(writes.toReversed())])
    assert.deepEqual(saved, [[], []])
  }
  await Promise.all(fleet.map((one) => one.close()))
})

test('[STORE-7][RR5][PO1][PO2] a frozen database costs each request its bound, a crowd is refused at once, and the thaw is felt', async () => {
  const records = await openRecords({ kind: 'postgres', url: postgres.pooledUrl, poolMax: 2, timeoutMs: 1_000 })
  const callSid = nextSid()
  await records.open(openRequest(callSid))
  postgres.killPooler('SIGSTOP')
  const watch = startWatch()
  try {
    const asked = Array.from({ length: WAITING_MAX + 12 }, () => records.find(callSid))
    const rejected = Promise.all(asked.map((one) => assert.rejects(one, isUnavailable)))
    await assert.rejects(records.find(callSid), isUnavailable)
    assert.ok(watch.elapsedMs() < 900, 'the crowd is refused before the bound')
    await rejected
    assert.ok(watch.elapsedMs() < 4_000)
  } finally {
    postgres.killPooler('SIGCONT')
  }
  assert.equal((await records.find(callSid))?.state, 'live')
  await records.close()
})

test('[PO3] a pod that froze within a transaction leaves its lock after the bound', async () => {
  const records = await openRecords({ kind: 'postgres', url: postgres.url, timeoutMs: 10_000 })
  const callSid = nextSid()
  await records.open(openRequest(callSid))
  const url = new URL('../../src/store/records/postgres.ts', import.meta.url).href
  const script = `import { openPostgres } from ${JSON.stringify(url)}
    const sql = openPostgres({ url: ${JSON.stringify(postgres.url)}, timeoutMs: 500 })
    await sql.transaction(async (tx) => {
      await tx.query("select 1 from call where call_sid = '${callSid}' for update")
      process.stdout.write('locked')
      process.kill(process.pid, 'SIGSTOP')
      await tx.query('select 1')
    })`
  const pod = spawn(process.execPath, ['--input-type=module-typescript', '-e', script], {
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  try {
    await once(pod.stdout, 'data')
    assert.deepEqual(await records.end(endRequest(callSid, 1)), { kind: 'ended' })
    assert.equal(pod.exitCode, null)
  } finally {
    pod.kill('SIGKILL')
  }
  await records.close()
})

test('PGlite in a folder keeps its calls over a restart, and does not migrate again', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'voiceplane-pglite-'))
  try {
    const callSid = nextSid()
    const first = await openRecords({ kind: 'pglite', folder: join(folder, 'new', 'data') })
    await first.open(openRequest(callSid))
    await first.save([{ callSid, epoch: 1, sequence: 1, text: 'kept' }])
    await first.close()
    await assert.rejects(first.find(callSid), isUnavailable)
    const second = await openRecords({ kind: 'pglite', folder: join(folder, 'new', 'data') })
    assert.equal((await second.find(callSid))?.checkpoint, 'kept')
    await second.close()
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})
