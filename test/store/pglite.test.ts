// The embedded database in its thread.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { openPglite, WAITING_MAX } from '../../src/store/records/pglite.ts'
import type { Sql } from '../../src/store/records/sql.ts'

let sql: Sql
before(async () => {
  sql = await openPglite(undefined)
  await sql.script('create table t (n int unique)')
})
after(() => sql?.close())

const SLOW = 'select count(*) from generate_series(1, 3000000)'

test('[EB2] a transaction keeps others waiting until it ends, and one that fails takes all back', async () => {
  let isCommitted = false
  const transaction = sql.transaction(async (tx) => {
    await tx.query('insert into t values (1)')
    await new Promise((resolve) => setTimeout(resolve, 50))
    isCommitted = true
  })
  const rows = await sql.query('select n from t')
  assert.equal(isCommitted, true)
  assert.deepEqual(rows, [{ n: 1 }])
  await transaction
  const failing = sql.transaction(async (tx) => {
    await tx.query('insert into t values (2)')
    await tx.query('insert into t values ($1)', [1])
  })
  await assert.rejects(failing, { code: '23505' })
  assert.deepEqual(await sql.query('select n from t'), [{ n: 1 }])
})

test('[EB3] a statement that takes long holds up nothing else of the process', async () => {
  let longestMs = 0
  let lastMs = performance.now()
  const timer = setInterval(() => {
    longestMs = Math.max(longestMs, performance.now() - lastMs)
    lastMs = performance.now()
  }, 5)
  const startedMs = performance.now()
  await sql.query(SLOW)
  const tookMs = performance.now() - startedMs
  clearInterval(timer)
  assert.ok(tookMs > 150, `the statement took only ${tookMs} ms`)
  assert.ok(longestMs < tookMs / 2, `the process stood still for ${longestMs} of ${tookMs} ms`)
})

test('[EB4] beyond the bound a request is refused, and after the end every one', async () => {
  const other = await openPglite(undefined)
  const held = Promise.withResolvers<void>()
  const transaction = other.transaction(() => held.promise)
  const waiting = Array.from({ length: WAITING_MAX - 1 }, () => other.query('select 1'))
  await assert.rejects(other.query('select 1'), { code: 'STORE_UNAVAILABLE' })
  held.resolve()
  await Promise.all([transaction, ...waiting])
  await other.close()
  await assert.rejects(other.query('select 1'), { code: 'STORE_UNAVAILABLE' })
})
