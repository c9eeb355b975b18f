// What an agent's tool may do with a caller, from the model's tool call to the carrier's TwiML.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RealtimeAgent, tool } from '@openai/agents-realtime'
import { z } from 'zod'
import type { CallActions, Pack } from '../../src/packs/pack.ts'
import { Plane } from '../plane.ts'
import { RawCarrier } from '../raw-carrier.ts'

const OPERATOR = 'operator-token-of-this-test-0123456789'

/** A pack whose one tool transfers to whatever the model says. */
function trustingPack(controls: CallActions[]): Pack {
  const transfer = tool({
    name: 'transfer',
    description: 'x',
    parameters: z.object({ to: z.string() }),
    execute: async ({ to }, run) => {
      const answer = (run as unknown as { context: { call: CallActions } }).context.call.transferCall(to)
      return answer.kind === 'refused' ? answer.words : 'done'
    },
  })
  const agent = new RealtimeAgent<unknown>({ name: 'A', instructions: 'x', tools: [transfer] })
  return {
    name: 'trusting',
    version: '1',
    openCall: (call) => {
      controls.push(call)
      return { agent, context: { call }, greeting: { kind: 'caller-first' } }
    },
  }
}

test('[MONEY-5][S7][HC4] a transfer that the plane does not allow is told to the agent, counted, and never dialled', async () => {
  const controls: CallActions[] = []
  const env = { ADMIN_TOKEN: OPERATOR }
  await Plane.with({ pack: trustingPack(controls), env }, async (plane) => {
    const carrier = new RawCarrier(plane.edge.url)
    const stream = await carrier.open()
    await plane.until(() => controls.length === 1)
    for (const to of ['+19005550199', 'sip:x@evil.example', '+8816123456789', '911']) {
      const answer = controls[0]!.transferCall(to)
      assert.ok(answer.kind === 'refused', to)
      assert.match(answer.words, /not made/)
    }
    assert.equal(plane.log.filter(({ message }) => message === 'a transfer was refused').length, 4)
    assert.ok(plane.log.every((line) => line.level === 'warn' || !JSON.stringify(line).includes('1900555')))
    const metrics = await (
      await fetch(`${plane.edge.url}/metrics`, { headers: { authorization: `Bearer ${OPERATOR}` } })
    ).text()
    assert.match(metrics, /voice_transfers_total\{outcome="kind"\} 2/)
    assert.match(metrics, /voice_transfers_total\{outcome="host"\} 1/)
    assert.equal(plane.ended.length, 0, 'the call goes on')
    await stream.end()
  })
})

test('[END-4][S7] a transfer that is allowed is dialled for a bounded time', async () => {
  const controls: CallActions[] = []
  const env = { TRANSFER_MAX_MS: '600000' }
  await Plane.with({ pack: trustingPack(controls), env }, async (plane) => {
    const carrier = new RawCarrier(plane.edge.url)
    const stream = await carrier.open()
    await plane.until(() => controls.length === 1)
    assert.deepEqual(controls[0]!.transferCall('+12025550143'), { kind: 'accepted' })
    await stream.closed
    const { body } = await carrier.next(stream.callSid)
    assert.match(body, /<Dial [^>]*timeLimit="600"[^>]*><Number>\+12025550143<\/Number>/)
    await carrier.over(stream.callSid)
  })
})
