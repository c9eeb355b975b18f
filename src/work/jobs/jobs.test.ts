import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { CallId, CallSid } from '../../kit/ids.ts'
import { analyseByRules } from '../analysis/rules.ts'
import type { WorkItem, WorkType } from '../ports.ts'
import { makeAnalysisJob } from './analysis.ts'
import { makeCrmJob } from './deliveries.ts'
import type { CallMaterial, Said } from './material.ts'
import { costOf, LINES_MAX, linesOf, makeRecordJob, TRANSCRIPT_MAX_CHARS } from './record.ts'

const PRICES = {
  modelMinute: 0,
  currency: 'USD',
  inputText: 4,
  inputAudio: 32,
  cachedInput: 0.4,
  outputText: 16,
  outputAudio: 64,
  carrierMinute: 0.01,
}
const signal = new AbortController().signal
const itemOf = (type: WorkType): WorkItem => ({
  id: '1',
  callSid: `CA${'0'.repeat(32)}` as CallSid,
  callId: 'call-1' as CallId,
  tenant: 'default',
  type,
  attempt: 1,
  version: 1,
  keyNumber: 1,
  body: {},
  createdAtMs: 0,
})
const materialOf = (said: readonly Said[], more: Partial<CallMaterial> = {}): CallMaterial => ({
  startedAtMs: 1_000,
  endedAtMs: 62_000,
  cause: 'caller-hung-up',
  isTransferred: false,
  turns: 2,
  figures: { bargeIns: 1 },
  usage: undefined,
  said,
  ...more,
})

test('[JR1] a call without anything said still gets its record', async () => {
  const job = makeRecordJob({ find: async () => materialOf([]), prices: undefined })
  assert.deepEqual(await job.run(itemOf('record'), { signal }), {
    kind: 'record',
    durationMs: 61_000,
    turns: 2,
    figures: { bargeIns: 1 },
    transcript: [],
    cost: undefined,
  })
})

test('[JR2] ten million characters are bounded, with the beginning, the end and a line that says so', () => {
  const said: Said[] = Array.from({ length: 2_500 }, (_, i) => ({ who: 'caller', text: `${i} ${'x'.repeat(4_000)}` }))
  const lines = linesOf({ said })
  assert.ok(lines.reduce((sum, { text }) => sum + text.length, 0) < TRANSCRIPT_MAX_CHARS + 100)
  assert.match(lines[0]!.text, /^0 /)
  assert.match(lines.at(-1)!.text, /^2499 /)
  assert.equal(lines.filter(({ text }) => /lines are left out/.test(text)).length, 1)
  const short = linesOf({ said: Array.from({ length: 5_000 }, (_, i) => ({ who: 'agent', text: String(i) })) })
  assert.equal(short.length, LINES_MAX + 1)
  assert.deepEqual(linesOf({ said: said.slice(0, 2) }).length, 2)
})

test('[JR3] a cost is of tokens by kind, the cached ones once, and of begun minutes', () => {
  const usage = {
    inputTokens: 1_000_000,
    inputAudioTokens: 400_000,
    cachedTokens: 100_000,
    outputTokens: 300_000,
    outputAudioTokens: 200_000,
  }
  const cost = costOf(usage, 61_000, PRICES)
  // 500 000 text in, 400 000 audio in, 100 000 cached, 100 000 text out, 200 000 audio out
  assert.ok(Math.abs(cost.modelAmount - (2 + 12.8 + 0.04 + 1.6 + 12.8)) < 1e-9)
  assert.ok(Math.abs(cost.carrierAmount - 0.02) < 1e-9)
  assert.deepEqual([cost.currency, cost.inputTokens, cost.outputTokens], ['USD', 1_000_000, 300_000])
  assert.equal(costOf(undefined, 0, PRICES).modelAmount, 0)
})

test('[ARU1] the rules name themselves, count what is English and leave the rest in the middle', () => {
  const pleased = analyseByRules(
    materialOf([
      { who: 'caller', text: 'I have to book an appointment please' },
      { who: 'tool', name: 'book_slot', argumentsText: '{}', output: 'ok' },
      { who: 'caller', text: 'Great, thank you, that is wonderful' },
    ]),
  )
  assert.equal(pleased.analyser, 'rules')
  assert.ok(pleased.sentiment > 0.5 && pleased.satisfaction === 5 && pleased.leadScore > 20)
  assert.deepEqual([pleased.intent, pleased.disposition, pleased.isEscalated], ['book_slot', 'served', false])
  const angry = analyseByRules(
    materialOf([{ who: 'caller', text: 'This is terrible and wrong, let me speak to someone, a manager' }]),
  )
  assert.ok(angry.sentiment < 0 && angry.satisfaction === 1 && angry.isEscalated)
  const german = analyseByRules(materialOf([{ who: 'caller', text: 'Schrecklich, ich will sofort kündigen' }]))
  assert.deepEqual([german.sentiment, german.satisfaction, german.isEscalated], [0, 3, false])
  const nobody = analyseByRules(materialOf([{ who: 'agent', text: 'Hello, thank you for calling' }]))
  assert.deepEqual([nobody.sentiment, nobody.disposition], [0, 'no-speech'])
  assert.equal(analyseByRules(materialOf([], { isTransferred: true })).isEscalated, true)
})

test('[JA1] a silent call asks no model; one that was spoken in does, and a refusal is handed on', async () => {
  let asked = 0
  const model = async () => {
    asked += 1
    return { kind: 'dead' as const, error: 'refused' }
  }
  const silent = makeAnalysisJob({ find: async () => materialOf([]), model })
  const found = await silent.run(itemOf('analysis'), { signal })
  assert.equal(found.kind, 'analysis')
  assert.equal(asked, 0)
  const spoken = makeAnalysisJob({ find: async () => materialOf([{ who: 'caller', text: 'hello' }]), model })
  assert.deepEqual(await spoken.run(itemOf('analysis'), { signal }), { kind: 'dead', error: 'refused' })
  assert.equal(asked, 1)
})

test('[JD1] without a receiver a delivery is skipped and says why', async () => {
  const job = makeCrmJob({ store: { record: async () => undefined }, webhook: undefined })
  assert.deepEqual(await job.run(itemOf('crm'), { signal }), { kind: 'skipped', reason: 'no receiver is configured' })
})
