// A tenant that has spent what it may in a day, on a whole plane.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RealtimeAgent } from '@openai/agents-realtime'
import type { Pack } from '../../src/packs/pack.ts'
import { Plane } from '../plane.ts'
import { newCallSid, RawCarrier } from '../raw-carrier.ts'

const agent = new RealtimeAgent<unknown>({ name: 'A', instructions: 'x' })
const pack: Pack = { name: 'still', version: '1', openCall: () => ({ agent, greeting: { kind: 'caller-first' } }) }

test('[MONEY-3][S8][SPN2][SPN3] a tenant that has spent its day gets no new calls; its live call goes on, and the operator is told', async () => {
  const prices = { currency: 'USD', modelMinute: 60 }
  const env = { PRICES: JSON.stringify(prices), TENANT_MONEY_PER_DAY: '3' }
  await Plane.with({ pack, env }, async (plane) => {
    const carrier = new RawCarrier(plane.edge.url)
    const first = await carrier.open()
    const second = await carrier.open()
    await second.end()
    const isTold = () => plane.log.some(({ message }) => message === 'a tenant has spent what it may today')
    for (let tries = 0; tries < 200 && !isTold(); tries += 1) await new Promise((resolve) => setTimeout(resolve, 200))
    assert.ok(isTold())
    const { body } = await carrier.voice(newCallSid())
    assert.match(body, /<Say.*<Hangup\/>/)
    assert.equal(first.socket.readyState, first.socket.OPEN)
    await first.end()
  })
})
