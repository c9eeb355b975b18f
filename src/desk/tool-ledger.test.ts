import assert from 'node:assert/strict'
import { test } from 'node:test'
import { systemClock } from '../kit/clock.ts'
import type { CallId, CallSid } from '../kit/ids.ts'
import { silentLog } from '../kit/log.ts'
import { Wheel } from '../kit/wheel.ts'
import { ToolLedger } from './tool-ledger.ts'

test('[P17][TG5] no intent is written before a checkpoint knows of the handoff that it follows', async () => {
  const order: string[] = []
  const kept = Promise.withResolvers<void>()
  const wheel = new Wheel({ clock: systemClock, onError: (error) => assert.fail(String(error)) })
  const ledger = new ToolLedger({
    records: {
      intend: async ({ name }) => {
        order.push(`intent of ${name}`)
        return { kind: 'intended' }
      },
      settle: async () => ({ kind: 'settled' }),
    },
    callId: 'c' as CallId,
    callSid: 'CA' as CallSid,
    epoch: 1,
    turn: () => 1,
    isActing: () => true,
    onFenced: () => assert.fail('fenced'),
    onTool: () => order.push('runs'),
    agentKept: async () => {
      await kept.promise
      order.push('kept')
    },
    clock: systemClock,
    wheel,
    log: silentLog,
  })
  const answer = ledger.before({ toolCallId: 't', name: 'lookup', argumentsText: '{}' })
  await new Promise((resolve) => setImmediate(resolve))
  assert.deepEqual(order, [])
  kept.resolve()
  assert.deepEqual(await answer, { kind: 'go' })
  assert.deepEqual(order, ['kept', 'intent of lookup', 'runs'])
  wheel.close()
})
