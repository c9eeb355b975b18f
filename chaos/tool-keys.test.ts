// The keys of effects. chaos/cases/mutants.ts names this file: it must go red when a key bears the model's own id of a tool call.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ToolLedger } from '../src/call-control/tool-ledger.ts'
import type { ToolIntent } from '../src/control/records.ts'
import { FakeClock } from '../src/kit/clock.ts'
import type { CallId, CallSid } from '../src/kit/ids.ts'
import { silentLog } from '../src/kit/log.ts'
import { Wheel } from '../src/kit/wheel.ts'

/** A ledger of call `c` without records, whose turn is told. */
function openLedger(known: readonly ToolIntent[] = []) {
  const clock = new FakeClock()
  let turn = 1
  const ledger = new ToolLedger(
    {
      records: undefined,
      callId: 'c' as CallId,
      callSid: 'CA1' as CallSid,
      epoch: 1,
      turn: () => turn,
      decided: () => Promise.resolve(),
      isActing: () => true,
      onFenced: () => {},
      onTool: () => {},
      effectOf: () => 'keyed',
      clock,
      wheel: new Wheel({ clock, onError: () => {}, manual: true }),
      log: silentLog,
    },
    { intents: known, pending: [] },
  )
  return {
    keyOf: (toolCallId: string, inTurn: number) => {
      turn = inTurn
      return ledger.keyOf(toolCallId)
    },
  }
}

/** Two tools in turn 1, one in turn 2. */
function keysOf(ids: readonly [string, string, string]): string[] {
  const { keyOf } = openLedger()
  return [keyOf(ids[0], 1), keyOf(ids[1], 1), keyOf(ids[2], 2)]
}

test('[TG1] the same tools in the same turns have the same keys, whatever the model calls them', () => {
  assert.deepEqual(keysOf(['call_a', 'call_b', 'call_c']), ['c:1:1', 'c:1:2', 'c:2:1'])
  assert.deepEqual(keysOf(['call_x', 'call_y', 'call_z']), keysOf(['call_a', 'call_b', 'call_c']))
})

test('[TG1] a key is given once, and after a resume the numbers of the turn go on', () => {
  const { keyOf: first } = openLedger()
  assert.equal(first('call_a', 1), first('call_a', 1))
  const intent: ToolIntent = { key: 'c:1:1', toolCallId: 'call_a', name: 't', argumentsText: '{}', output: undefined }
  const { keyOf: back } = openLedger([intent])
  assert.equal(back('call_a', 1), 'c:1:1')
  assert.equal(back('call_b', 1), 'c:1:2')
})
