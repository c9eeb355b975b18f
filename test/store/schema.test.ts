// The schema check: the tables that the migrations make are those that are written down, on PGlite and on a real Postgres, and a file
// that was there is never changed.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, before, test } from 'node:test'
import { migrate, readMigrations } from '../../src/store/records/migrate.ts'
import { openPglite } from '../../src/store/records/pglite.ts'
import { openPostgres } from '../../src/store/records/postgres.ts'
import { type Postgres, startPostgres } from '../../tools/servers/postgres.ts'
import { describeSchema } from './schema-dump.ts'

const WRITTEN = readFileSync(new URL('./schema.txt', import.meta.url), 'utf8')
const HOW =
  'the tables are not those of schema.txt: a change is a new file in src/store/records/migrations, never a change of one that is there; then node test/store/schema-dump.ts > test/store/schema.txt'
/** What an older program, which runs beside the new one in a rollout, would miss. */
const TAKES_AWAY = /\b(drop\s+(table|column|index|view)|rename|truncate|alter\s+column)\b/i

let postgres: Postgres
before(async () => {
  postgres = await startPostgres()
})
after(() => postgres?.stop())

test('[MG1] on Postgres the migrations make what is written down', async () => {
  const sql = openPostgres({ url: postgres.url, poolMax: 1 })
  await migrate(sql)
  assert.equal(await describeSchema(sql), WRITTEN, HOW)
  await sql.close()
})

test('[MG1] on the embedded database they make the same', async () => {
  const sql = await openPglite(undefined)
  await migrate(sql)
  assert.equal(await describeSchema(sql), WRITTEN, HOW)
  await sql.close()
})

test('[DEPLOY-4][MG3] no migration takes anything away; numbers rise, each once', () => {
  const migrations = readMigrations()
  for (const { name, text } of migrations) assert.doesNotMatch(text.replaceAll(/--.*$/gm, ''), TAKES_AWAY, name)
  const numbers = migrations.map(({ version }) => version)
  assert.deepEqual(
    numbers,
    [...new Set(numbers)].sort((one, other) => one - other),
  )
  assert.match('alter table call drop column cause', TAKES_AWAY)
})

test('counter-proof: one index more is seen', async () => {
  const sql = await openPglite(undefined)
  await migrate(sql)
  await sql.script('create index stray on call (tenant)')
  assert.notEqual(await describeSchema(sql), WRITTEN)
  await sql.close()
})
