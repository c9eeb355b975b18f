// Two pods that write for one call in any order, some of it at once, against what a single clerk would have written.
import assert from 'node:assert/strict'
import fc from 'fast-check'
import type { CallRecords } from '../../src/control/records.ts'
import { endRequest, nextSid, openRequest } from './records-suite.ts'

type Step =
  | { kind: 'claim' }
  | { kind: 'save' }
  | { kind: 'intend'; ordinal: number }
  | { kind: 'settle'; ordinal: number }
  | { kind: 'end' }
type Move = { pod: 0 | 1; step: Step }

const ordinal = fc.integer({ min: 1, max: 2 })
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 3, arbitrary: fc.constant<Step>({ kind: 'claim' }) },
  { weight: 4, arbitrary: fc.constant<Step>({ kind: 'save' }) },
  { weight: 2, arbitrary: ordinal.map((n): Step => ({ kind: 'intend', ordinal: n })) },
  { weight: 2, arbitrary: ordinal.map((n): Step => ({ kind: 'settle', ordinal: n })) },
  { weight: 1, arbitrary: fc.constant<Step>({ kind: 'end' }) },
)
/** Moves of one inner array run at once, the arrays one after the other. */
export const moves = fc.array(
  fc.array(fc.record({ pod: fc.constantFrom(0 as const, 1 as const), step }), { minLength: 1, maxLength: 4 }),
  { minLength: 1, maxLength: 10 },
)

/** What was accepted, with the epoch that asked; `order` of arrays. */
type Accepted = { round: number; epoch: number; what: Step['kind']; text?: string }

/** Plays `rounds` on a new call and checks what was accepted. */
export async function play(records: CallRecords, rounds: Move[][]): Promise<void> {
  const callSid = nextSid()
  await records.open(openRequest(callSid))
  const epochs: [number, number] = [1, 0] // pod 0 opened it; epoch 0 never acts
  const accepted: Accepted[] = []
  let granted = 1
  let sequence = 0
  const run = async (round: number, { pod, step }: Move) => {
    if (step.kind === 'claim') epochs[pod] = ++granted
    const epoch = epochs[pod]
    const note = (what: Step['kind'], text?: string) => accepted.push({ round, epoch, what, text })
    const key = 'ordinal' in step ? `${callSid}:1:${step.ordinal}` : ''
    switch (step.kind) {
      case 'claim': {
        const { kind } = await records.claim({ callSid, epoch, pod: `pod-${pod}`, pool: 'main' })
        if (kind === 'claimed') note('claim')
        return
      }
      case 'save': {
        const text = `${epoch}/${++sequence}`
        if ((await records.save([{ callSid, epoch, sequence, text }])).length === 0) note('save', text)
        return
      }
      case 'intend': {
        const tool = { key, toolCallId: 'fc', name: 'book', argumentsText: '{}' }
        if ((await records.intend({ callSid, epoch, ...tool })).kind === 'intended') note('intend', key)
        return
      }
      case 'settle':
        if ((await records.settle({ callSid, epoch, key, output: 'x' })).kind === 'settled') note('settle', key)
        return
      default:
        if ((await records.end(endRequest(callSid, epoch))).kind === 'ended') note('end')
    }
  }
  for (const [round, atOnce] of rounds.entries()) await Promise.all(atOnce.map((move) => run(round, move)))
  const row = await records.find(callSid)
  assert.ok(row !== undefined)
  check(accepted, row)
}

function check(accepted: Accepted[], row: NonNullable<Awaited<ReturnType<CallRecords['find']>>>): void {
  for (const later of accepted)
    for (const earlier of accepted)
      if (earlier.round < later.round) {
        assert.ok(later.epoch >= earlier.epoch, `${later.what} of epoch ${later.epoch} after one of ${earlier.epoch}`)
        if (earlier.what === 'end') assert.equal(later.what, 'settle', 'only an answer may come after the end')
      }
  const ends = accepted.filter((one) => one.what === 'end')
  assert.ok(ends.length <= 1, 'a call ended twice')
  assert.equal(row.state, ends.length === 1 ? 'ended' : 'live')
  assert.ok(accepted.every((one) => one.epoch <= row.epoch))
  const keys = accepted.filter((one) => one.what === 'intend').map((one) => one.text)
  assert.equal(new Set(keys).size, keys.length, 'a key was intended twice')
  assert.deepEqual(row.intents.map((one) => one.key).sort(), keys.sort())
  const saves = accepted.filter((one) => one.what === 'save')
  if (saves.length > 0) assert.ok(saves.some((one) => one.text === row.checkpoint))
  const highest = Math.max(-1, ...saves.map((one) => one.epoch))
  if (highest >= 0) assert.equal(Number(row.checkpoint?.split('/')[0]), highest)
}
