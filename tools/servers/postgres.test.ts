import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { chmodSync, existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import pg from 'pg'
import { until } from '../../src/kit/testing/patience.ts'
import { startPgbouncer } from './pgbouncer.ts'
import { startPostgres } from './postgres.ts'

async function query(url: string, text: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: url })
  client.on('error', () => {}) // the server is killed under it on purpose
  await client.connect()
  try {
    return (await client.query(text)).rows
  } finally {
    await client.end()
  }
}

test('[VG1][VG3][VB1] what was acknowledged outlives an immediate restart, direct and through pgbouncer', async () => {
  const postgres = await startPostgres()
  const pgbouncer = await startPgbouncer({ postgresPort: postgres.port })
  try {
    await query(postgres.url, 'create table note (id int primary key)')
    await query(pgbouncer.url, 'insert into note values (1)')
    const [setting] = await query(postgres.url, 'show fsync')
    assert.equal(setting?.fsync, 'on')
    const { pid } = postgres
    await postgres.restartImmediate()
    assert.notEqual(postgres.pid, pid)
    assert.deepEqual(await query(postgres.url, 'select id from note'), [{ id: 1 }])
    assert.deepEqual(await query(pgbouncer.url, 'select id from note'), [{ id: 1 }])
  } finally {
    await pgbouncer.stop()
    await postgres.stop()
  }
  await postgres.stop()
})

test('[FG2] a parent that is killed takes its server along', async () => {
  const url = new URL('./postgres.ts', import.meta.url).href
  const script = `import { startPostgres } from ${JSON.stringify(url)}
    const postgres = await startPostgres()
    process.stdout.write(postgres.pid + '\\n', () => process.kill(process.pid, 'SIGKILL'))`
  const folder = mkdtempSync(join(tmpdir(), 'voiceplane-parent-'))
  chmodSync(folder, 0o755) // the server's user must get in
  try {
    const args = ['--input-type=module-typescript', '-e', script]
    const env = { ...process.env, TMPDIR: folder }
    const pid = await new Promise<number>((resolve) => {
      execFile(process.execPath, args, { env }, (_error, stdout) => resolve(Number(stdout)))
    })
    assert.ok(pid > 1)
    await until('it has ended', () => !existsSync(`/proc/${pid}`))
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})
