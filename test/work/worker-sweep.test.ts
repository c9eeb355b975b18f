// A worker that sweeps, with everything it can ask: Postgres, the leases in Redis, the carrier's REST, all real peers on real sockets.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { startTwilioSim, type TwilioSim } from '../../sim/twilio/sim.ts'
import { readConfig } from '../../src/config.ts'
import type { LeaseStore } from '../../src/control/ports.ts'
import type { CallSid } from '../../src/kit/ids.ts'
import { silentLog } from '../../src/kit/log.ts'
import { until } from '../../src/kit/testing/patience.ts'
import { openRedisLeases } from '../../src/store/leases/redis.ts'
import type { Sql } from '../../src/store/records/sql.ts'
import type { Database } from '../../src/store/work/open.ts'
import { startWorker } from '../../src/worker.ts'
import { type RedisServer, startRedis } from '../../tools/servers/redis.ts'
import { startDatabase, type TestDatabase } from '../store/database.ts'
import { nextSid, openRequest } from '../store/records-suite.ts'

const ACCOUNT = `AC${'0'.repeat(31)}1`
const ADMIN_TOKEN = 'an-operators-token-for-the-tests'
const TOKEN = '0123456789abcdef0123456789abcdef'
const RENEW_EVERY_MS = 2_000

let postgres: TestDatabase
let redis: RedisServer
let carrier: TwilioSim
let db: Database
let sql: Sql
let leases: LeaseStore
before(async () => {
  postgres = await startDatabase()
  redis = await startRedis()
  db = await postgres.open()
  sql = postgres.sql()
  leases = await openRedisLeases({ url: redis.url, cell: 'main', log: silentLog })
  carrier = await startTwilioSim({
    ...{ accountSid: ACCOUNT, authToken: TOKEN, number: '+15005550001' },
    voiceUrl: 'http://127.0.0.1:1/twilio/voice',
  })
})
after(async () => {
  await Promise.allSettled([leases?.close(), carrier?.close()])
  await redis?.stop()
  await postgres?.close()
})

/** A live call that no pod has saved for an hour. */
async function silentCall(): Promise<CallSid> {
  const callSid = nextSid()
  await db.records.open(openRequest(callSid))
  await sql.query(
    `update call set started_at = clock_timestamp() - interval '2 h', seen_at = clock_timestamp() - interval '1 h' where call_sid = $1`,
    [callSid],
  )
  return callSid
}

/** The leases know the call as one of pod `pod-a`, which renews it. */
async function hold(callSid: CallSid): Promise<() => Promise<unknown>> {
  const pools = [{ pool: 'main', callsMax: 10, weight: 1, connectsPerSecond: 10 }]
  const otherTenants = { guaranteed: 0, burst: 10, weight: 1 }
  await leases.configure({ pools, tenants: [], otherTenants, reserve: { inbound: 0, outbound: 0 }, queueMax: 0 })
  const pod = { incarnation: 'one', address: 'http://127.0.0.1:1', state: 'ready' as const, callsMax: 10, penalty: 0 }
  await until('the leases have recovered', async () => {
    await leases.announce({ pod: 'pod-a', ...pod })
    return !(await leases.usage()).isRecovering
  })
  await leases.announce({ pod: 'pod-a', ...pod })
  const acquired = await leases.acquire({ callSid, tenant: 'acme', class: 'inbound', queue: false })
  assert.equal(acquired.kind, 'granted')
  await leases.activate({ callSid, epoch: 1, pod: 'pod-a' })
  return () => leases.renew({ pod: 'pod-a', leases: [{ callSid, tenant: 'acme', epoch: 1, pool: 'main' }] })
}

test('[POD-15][WP3][SWP2][SWP3] what neither lease nor carrier knows is ended and worked; what a pod renews is let alone', async () => {
  const held = await silentCall()
  const renew = await hold(held)
  const lost = await silentCall()
  const read = readConfig({
    ...{ PORT: '0', POD_NAME: 'worker-1', STREAM_TOKEN_SECRET: 's'.repeat(32), WORK_POLL_MS: '20', ANALYSIS: 'rules' },
    ...{ DATABASE_URL: postgres.url, REDIS_URL: redis.url, ADMIN_TOKEN },
    ...{ TWILIO_ACCOUNT_SID: ACCOUNT, TWILIO_AUTH_TOKEN: TOKEN, TWILIO_API_BASE_URL: carrier.restUrl },
  })
  assert.ok(read.kind === 'ok', JSON.stringify(read))
  const worker = await startWorker({ config: read.config, log: silentLog, sweep: { sweepMs: 100, settleMs: 300 } })
  let renewedMs = performance.now()
  const isWorked = async (): Promise<boolean> => {
    const items = await sql.query('select state from work_item where call_sid = $1', [lost])
    return items.length === 3 && items.every(({ state }) => state === 'done')
  }
  await until('the lost call is ended and worked', async () => {
    if (performance.now() - renewedMs > RENEW_EVERY_MS) {
      await renew()
      renewedMs = performance.now()
    }
    return isWorked()
  })
  assert.equal((await db.records.find(lost))?.cause, 'carrier-lost')
  const page = await (
    await fetch(`${worker.url}/metrics`, { headers: { authorization: `Bearer ${ADMIN_TOKEN}` } })
  ).text()
  assert.match(page, /^voice_swept_calls_total\{outcome="ended"\} 1$/m)
  assert.match(page, /^voice_swept_calls_total\{outcome="kept"\} [1-9]/m)
  assert.equal((await db.records.find(held))?.state, 'live')
  await worker.close()
})
