// How many places one far party gets, from the carrier's webhooks on; two pods and a real Redis count together.
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { RealtimeAgent } from '@openai/agents-realtime'
import type { Pack } from '../../src/packs/pack.ts'
import { runMigrations } from '../../src/store/records/migrate.ts'
import { type Postgres, startPostgres } from '../../tools/servers/postgres.ts'
import { type RedisServer, startRedis } from '../../tools/servers/redis.ts'
import { Plane } from '../plane.ts'
import { newCallSid, RawCarrier } from '../raw-carrier.ts'

const agent = new RealtimeAgent<unknown>({ name: 'A', instructions: 'x' })
const pack: Pack = { name: 'still', version: '1', openCall: () => ({ agent, greeting: { kind: 'caller-first' } }) }
const HUMAN = '+15005550009'

let redis: RedisServer | undefined
let postgres: Postgres | undefined
after(async () => {
  await redis?.stop()
  await postgres?.stop()
})

/** The calls of `from` that get a stream, and what the others hear. */
async function flood(
  carriers: RawCarrier[],
  from: string,
  many: number,
): Promise<{ inside: string[]; heard: string[] }> {
  const inside: string[] = []
  const heard: string[] = []
  const place = async (n: number): Promise<void> => {
    const callSid = newCallSid()
    const { status, body } = await carriers[n % carriers.length]!.voice(callSid, undefined, { From: from })
    assert.equal(status, 200)
    if (body.includes('<Connect')) inside.push(callSid)
    else heard.push(body)
  }
  await Promise.all(Array.from({ length: many }, (_, n) => place(n)))
  return { inside, heard }
}

test('[MONEY-1][S8][CPL1] forty calls at once from one number get three places; others get in, and nobody is sent to the human', async () => {
  await Plane.with({ pack, env: { FALLBACK_NUMBER: HUMAN, CALLS_MAX: '50' } }, async (plane) => {
    const carrier = new RawCarrier(plane.edge.url)
    const { inside, heard } = await flood([carrier], '+15005551234', 40)
    assert.equal(inside.length, 3)
    for (const body of heard) {
      assert.match(body, /<Say.*<\/Say><Hangup\/>/)
      assert.ok(!body.includes(HUMAN))
    }
    const others = await flood([carrier], '+15005551235', 1)
    assert.equal(others.inside.length, 1)
    assert.ok(plane.log.some(({ message }) => message === 'a caller has all places of one caller'))
    await carrier.over(inside[0]!)
    await plane.until(() => plane.ended.length === 1)
    const again = await flood([carrier], '+1 (500) 555-1234', 2)
    assert.equal(
      again.inside.length,
      1,
      'a place that is given back is taken by the next call, however the number is written',
    )
    for (const callSid of [...inside.slice(1), ...others.inside, ...again.inside]) await carrier.over(callSid)
  })
})

test('[MONEY-2][S8][P11][CPL1] withheld callers share a part of the places, and none of them another one’s three', async () => {
  await Plane.with({ pack, env: { CALLS_MAX: '12', CALLS_WITHHELD_PERCENT: '50' } }, async (plane) => {
    const carrier = new RawCarrier(plane.edge.url)
    const inside: string[] = []
    for (const from of ['+266696687', 'Restricted', '', 'sip:x@example.test'])
      inside.push(...(await flood([carrier], from, 3)).inside)
    assert.equal(inside.length, 6)
    const known = await flood([carrier], '+15005551234', 3)
    assert.equal(known.inside.length, 3)
    for (const callSid of [...inside, ...known.inside]) await carrier.over(callSid)
  })
})

test('[MONEY-2][S8][P11][CPL1] one SIP caller, and one number in other spellings, has three places and not the part of all who are withheld', async () => {
  await Plane.with({ pack, env: { CALLS_MAX: '20', CALLS_WITHHELD_PERCENT: '50' } }, async (plane) => {
    const carrier = new RawCarrier(plane.edge.url)
    const inside: string[] = []
    for (const from of ['sip:a@x.example', 'SIP:A@x.example;transport=tcp'])
      inside.push(...(await flood([carrier], from, 5)).inside)
    assert.equal(inside.length, 3)
    for (const from of [
      '15005557777',
      '0015005557777',
      'tel:+15005557777',
      '+15005557777;ext=1',
      'sip:+15005557777@y.example',
    ])
      inside.push(...(await flood([carrier], from, 3)).inside)
    assert.equal(inside.length, 6)
    assert.equal((await flood([carrier], '+15005557777', 3)).inside.length, 0, 'they are the places of that number')
    inside.push(...(await flood([carrier], 'anonymous', 9)).inside)
    assert.equal(inside.length, 10, 'all of them are withheld')
    assert.equal((await flood([carrier], 'sip:new@x.example', 1)).inside.length, 0)
    const known = await flood([carrier], '+15005551234', 3)
    assert.equal(known.inside.length, 3)
    for (const callSid of [...inside, ...known.inside]) await carrier.over(callSid)
  })
})

test('[MONEY-1][S8][CPL1][CPL2] two pods of a fleet count a caller together, by a key that is not the number', async () => {
  redis = await startRedis()
  postgres = await startPostgres()
  await runMigrations(postgres.url)
  const stores = { REDIS_URL: redis.url, DATABASE_URL: postgres.url }
  const shared = { ...stores, CELL: 'callers', STREAM_TOKEN_SECRET: 's'.repeat(40), CEILING_CALLS: '40' }
  const one = await Plane.open({ pack, env: { ...shared, POD_NAME: 'one' } })
  const two = await Plane.open({ pack, env: { ...shared, POD_NAME: 'two' } })
  try {
    const carriers = [new RawCarrier(one.edge.url), new RawCarrier(two.edge.url)]
    const untilMs = performance.now() + 40_000
    // A fresh store recovers for ten seconds and admits nothing.
    let inside: string[] = []
    while (inside.length === 0 && performance.now() < untilMs) {
      inside = (await flood(carriers, '+15005551234', 20)).inside
      if (inside.length === 0) await new Promise((resolve) => setTimeout(resolve, 500))
    }
    inside.push(...(await flood(carriers, '+15005551234', 20)).inside)
    assert.equal(inside.length, 3)
    for (const callSid of inside) await carriers[0]!.over(callSid)
  } finally {
    await one.close()
    await two.close()
  }
})
