// What a caller is offered whose waiting is over, and what they are told of the wait.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FakeClock } from '../kit/clock.ts'
import type { CallSid } from '../kit/ids.ts'
import { type Log, silentLog } from '../kit/log.ts'
import { Wheel } from '../kit/wheel.ts'
import { Overflows, saidWaitMs } from './overflow.ts'

const offer = {
  callSid: 'CA00000000000000000000000000000001' as CallSid,
  ...{ from: '+12025550100', to: '+15005550001', direction: 'inbound' as const },
}

test('[P73][OVF5] no caller is told a longer wait than is left until the overflow, in the minutes that are spoken', () => {
  for (const [etaMs, leftMs, saidMs] of [
    [30_000, 120_000, 30_000],
    [90_000, 120_000, 90_000],
    [600_000, 120_000, 120_000],
    [600_000, 119_000, 60_000],
    [100_000, 110_000, 60_000],
    [100_000, 40_000, 0],
    [100_000, -1, 0],
  ] as const)
    assert.equal(saidWaitMs(etaMs, leftMs), saidMs, `${etaMs} of ${leftMs}`)
})

test('[P73][OVF1][OVF5] what is not offered to a caller is logged with its reason, without the number', () => {
  const store = {
    addVoicemail: async () => ({ kind: 'added' as const }),
    addCallBack: async () => ({ kind: 'added' as const }),
  }
  const judge = (kind: 'call-back' | 'voicemail', more: object, asked: object = {}) => {
    const lines: { fields: object; message: string }[] = []
    const log: Log = { ...silentLog, info: (fields, message) => lines.push({ fields, message }) }
    const overflows = new Overflows({
      ...{ kind, language: 'en', fallbackNumber: undefined, store, canCall: true, mayCall: () => true },
      callerOf: () => assert.fail(),
      retry: () => {},
      onKept: () => {},
      ...{
        wheel: new Wheel({ clock: new FakeClock(), manual: true, onError: (error) => assert.fail(String(error)) }),
        log,
        ...more,
      },
    })
    const { kind: offered } = overflows.of({ ...offer, ...asked })
    assert.ok(!JSON.stringify(lines).includes('2025550100'))
    return [offered, ...lines.map(({ fields }) => (fields as { why: string }).why)]
  }
  assert.deepEqual(judge('call-back', {}), ['call-back'])
  assert.deepEqual(judge('voicemail', { canCall: false }), ['voicemail'])
  assert.deepEqual(judge('voicemail', { store: undefined }), ['hang-up', 'no database keeps it'])
  assert.deepEqual(judge('call-back', { canCall: false }), ['hang-up', 'nobody can call back'])
  assert.deepEqual(judge('call-back', {}, { from: 'anonymous' }), ['hang-up', 'the number is withheld'])
  assert.deepEqual(judge('call-back', { mayCall: () => false }), ['hang-up', 'the plane may not call the number'])
  assert.deepEqual(judge('voicemail', {}, { direction: 'outbound' }), ['hang-up', 'we made the call'])
})
