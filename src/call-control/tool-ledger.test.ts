import assert from 'node:assert/strict'
import { test } from 'node:test'
import { getHandoff, handoff } from '@openai/agents'
import { RealtimeAgent } from '@openai/agents-realtime'
import { FakeClock, systemClock } from '../kit/clock.ts'
import type { CallId, CallSid } from '../kit/ids.ts'
import { silentLog } from '../kit/log.ts'
import { Wheel } from '../kit/wheel.ts'
import type { ToolEffect } from '../packs/pack.ts'
import { effectOf } from './tool-effects.ts'
import { type CarriedTools, INTENT_MAX_MS, OUTCOME_UNKNOWN, STILL_RUNNING, ToolLedger } from './tool-ledger.ts'

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
    decided: () => Promise.resolve(),
    isActing: () => true,
    onFenced: () => assert.fail('fenced'),
    onTool: () => order.push('runs'),
    effectOf: () => 'once',
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

/** A ledger whose records fail `failures` times and know `known`. */
function carriedLedger(of: {
  effect: ToolEffect
  carried: CarriedTools
  intends: readonly ('intended' | 'known' | 'away')[]
  hasRecords?: boolean
}) {
  const wheel = new Wheel({ clock: systemClock, onError: (error) => assert.fail(String(error)) })
  const intends = [...of.intends]
  const ran: string[] = []
  const records = {
    intend: async () => {
      const kind = intends.shift() ?? 'intended'
      if (kind === 'away') throw new Error('away')
      return kind === 'known' ? { kind, output: undefined } : { kind }
    },
    settle: async () => ({ kind: 'settled' as const }),
  }
  const ledger = new ToolLedger(
    {
      records: of.hasRecords === false ? undefined : records,
      callId: 'c' as CallId,
      callSid: 'CA' as CallSid,
      epoch: 2,
      turn: () => 1,
      decided: () => Promise.resolve(),
      isActing: () => true,
      onFenced: () => assert.fail('fenced'),
      onTool: (key) => ran.push(key),
      effectOf: () => of.effect,
      clock: systemClock,
      wheel,
      log: silentLog,
    },
    of.carried,
  )
  const ask = async () => {
    const answer = await ledger.before({ toolCallId: 't', name: 'pay', argumentsText: '{}' })
    wheel.close()
    return { answer, ran }
  }
  return { ask, ledger, ran, wheel }
}

const INTENT = { key: 'c:1:1', toolCallId: 't', name: 'pay', argumentsText: '{}', output: undefined }
const UNKNOWN = { kind: 'decline', words: OUTCOME_UNKNOWN }

for (const [what, of, expected] of [
  [
    'whose intent is there does not run',
    { carried: { intents: [INTENT], pending: ['t'] }, intends: ['known'] },
    UNKNOWN,
  ],
  [
    'without an intent has not run, and runs',
    { carried: { intents: [], pending: ['t'] }, intends: ['intended'] },
    { kind: 'go' },
  ],
  [
    'whose intents cannot be read does not run',
    { carried: { intents: undefined, pending: ['t'] }, intends: ['intended'] },
    UNKNOWN,
  ],
  [
    'whose pod keeps no records does not run',
    { carried: { intents: undefined, pending: ['t'] }, intends: [], hasRecords: false },
    UNKNOWN,
  ],
  [
    'whose intent came to the records after they were read does not run',
    { carried: { intents: [], pending: ['t'] }, intends: ['known'] },
    UNKNOWN,
  ],
  [
    'that is new runs, though its first intent was written and the answer lost',
    { carried: { intents: [], pending: [] }, intends: ['away', 'known'] },
    { kind: 'go' },
  ],
] as const satisfies readonly [string, Omit<Parameters<typeof carriedLedger>[0], 'effect'>, unknown][]) {
  test(`[P28][TG6] a tool that is once ${what}`, async () => {
    const { answer, ran } = await carriedLedger({ ...of, effect: 'once' }).ask()
    assert.deepEqual(answer, expected)
    assert.equal(ran.length, expected === UNKNOWN ? 0 : 1)
  })
}

test('[TOOL-2][P28][TG1][TG6] a tool that is keyed runs again under its first key', async () => {
  const carried = { intents: [{ ...INTENT, key: 'c:1:7' }], pending: ['t'] }
  const { answer, ran } = await carriedLedger({ carried, intends: ['known'], effect: 'keyed' }).ask()
  assert.deepEqual([answer, ran], [{ kind: 'go' }, ['c:1:7']])
})

test('[P28][TE1][TE2] the effect of a tool is what the pack says; a handoff runs again, and what nobody speaks for is once', () => {
  const other = new RealtimeAgent<unknown>({ name: 'Night desk 2', instructions: '' })
  const third = new RealtimeAgent<unknown>({ name: 'Third', instructions: '' })
  other.handoffs.push(handoff(third, { toolNameOverride: 'ask_third' }))
  const agent = new RealtimeAgent<unknown>({ name: 'Day', instructions: '', handoffs: [other] })
  const call = { agent, toolEffects: { pay: 'keyed', look: 'read', mail: 'once' } } as const
  const names = ['pay', 'look', 'mail', 'unnamed', 'toString', getHandoff(other).toolName, 'ask_third']
  assert.deepEqual(
    names.map((name) => effectOf(call, name)),
    ['keyed', 'read', 'once', 'once', 'once', 'read', 'read'],
  )
})

test('[P61][TG8] a tool that changes something and is out is not begun again with the same arguments; one that reads is', async () => {
  for (const effect of ['once', 'keyed', 'read'] as const) {
    const { ledger, ran, wheel } = carriedLedger({ effect, carried: { intents: [], pending: [] }, intends: [] })
    const call = (toolCallId: string, argumentsText = '{"slot":1}') =>
      ledger.before({ toolCallId, name: 'book', argumentsText })
    assert.deepEqual(await call('a'), { kind: 'go' })
    const second = await call('b')
    assert.deepEqual(second, effect === 'read' ? { kind: 'go' } : { kind: 'decline', words: STILL_RUNNING })
    assert.deepEqual(await call('c', '{"slot":2}'), { kind: 'go' }, 'other arguments are another deed')
    ledger.after('a', 'booked')
    if (effect === 'read') ledger.after('b', 'booked')
    assert.deepEqual(await call('d'), { kind: 'go' }, 'once it has answered it may be wanted again')
    assert.equal(ran.length, effect === 'read' ? 4 : 3)
    wheel.close()
  }
})

test('[TOOL-1][P61][TG2] records that are silent hold a tool INTENT_MAX_MS, however long a try takes', async () => {
  const clock = new FakeClock()
  const wheel = new Wheel({ clock, onError: (error) => assert.fail(String(error)) })
  let tries = 0
  const intend = () => {
    tries += 1
    return new Promise<never>(() => {})
  }
  const ledger = new ToolLedger({
    records: { intend, settle: async () => ({ kind: 'settled' as const }) },
    ...{ callId: 'c' as CallId, callSid: 'CA' as CallSid, epoch: 1, turn: () => 1, decided: async () => {} },
    ...{ isActing: () => true, onFenced: () => assert.fail('fenced'), onTool: () => assert.fail('it ran') },
    ...{ effectOf: () => 'once' as const, clock, wheel, log: silentLog },
  })
  let answer: unknown
  void ledger.before({ toolCallId: 't', name: 'book', argumentsText: '{}' }).then((one) => {
    answer = one
  })
  for (let passedMs = 0; passedMs < INTENT_MAX_MS + 100 && answer === undefined; passedMs += 20) {
    clock.advance(20)
    wheel.advance()
    for (let i = 0; i < 5; i += 1) await new Promise((resolve) => setImmediate(resolve))
  }
  assert.equal((answer as { kind?: string } | undefined)?.kind, 'decline')
  assert.equal(tries, 1)
  wheel.close()
})
