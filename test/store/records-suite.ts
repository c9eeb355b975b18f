// What every implementation of CallRecords must do, told once. Each case makes calls of its own names.
import assert from 'node:assert/strict'
import type { CallRecords, CallRow, OpenRequest } from '../../src/control/records.ts'
import { VoiceError } from '../../src/kit/errors.ts'
import { type CallSid, newCallId } from '../../src/kit/ids.ts'

let count = 0
/** A Call SID that no other case has. */
export const nextSid = (): CallSid => `CA${(++count).toString(16).padStart(32, '0')}` as CallSid

export function openRequest(callSid: CallSid, epoch = 1): OpenRequest {
  const callId = newCallId()
  const call = { callId, callSid, tenant: 'acme', from: '+15550100', to: '+15550199', direction: 'inbound' as const }
  return { ...call, pack: 'clinic', packVersion: '3', epoch, pod: 'pod-a', pool: 'main' }
}

const next = { kind: 'none' } as const
export const endRequest = (callSid: CallSid, epoch: number) => ({
  callSid,
  epoch,
  cause: 'agent-ended' as const,
  next,
  checkpoint: undefined,
})
const intent = (callSid: CallSid, epoch: number, key: string) => ({
  callSid,
  epoch,
  key,
  toolCallId: `fc_${key}`,
  name: 'book',
  argumentsText: '{"day":"monday"}',
})

async function opened(records: CallRecords, epoch = 1): Promise<{ callSid: CallSid; request: OpenRequest }> {
  const callSid = nextSid()
  const request = openRequest(callSid, epoch)
  assert.deepEqual(await records.open(request), { kind: 'opened' })
  return { callSid, request }
}

async function rowOf(records: CallRecords, callSid: CallSid): Promise<CallRow> {
  const row = await records.find(callSid)
  assert.ok(row !== undefined)
  return row
}

type Case = { title: string; run: (records: CallRecords) => Promise<void> }

export const CASES: Case[] = [
  {
    title: 'a call is opened once, and its row says what was opened',
    run: async (records) => {
      const { callSid, request } = await opened(records)
      assert.deepEqual(await records.open({ ...request, epoch: 9, pod: 'pod-z' }), { kind: 'exists' })
      const { startedAtMs, ...row } = await rowOf(records, callSid)
      assert.ok(Math.abs(startedAtMs - Date.now()) < 60_000)
      const fresh = {
        checkpoint: undefined,
        sequence: 0,
        resumes: 0,
        failovers: 0,
        endedAtMs: undefined,
        cause: undefined,
      }
      assert.deepEqual(row, { ...request, state: 'live', ...fresh, next: undefined, intents: [] })
      assert.equal(await records.find(nextSid()), undefined)
    },
  },
  {
    title: '[RR2] a claim raises the epoch and hands over checkpoint and intents; a lower one is fenced',
    run: async (records) => {
      const { callSid } = await opened(records)
      await records.save([{ callSid, epoch: 1, sequence: 4, text: '{"turn":4}' }])
      await records.intend(intent(callSid, 1, `${callSid}:1:1`))
      await records.intend(intent(callSid, 1, `${callSid}:1:2`))
      await records.settle({ callSid, epoch: 1, key: `${callSid}:1:1`, output: 'booked' })
      const claimed = await records.claim({ callSid, epoch: 3, pod: 'pod-b', pool: 'spare' })
      assert.ok(claimed.kind === 'claimed')
      const { epoch, pod, pool, resumes, checkpoint, sequence, intents } = claimed.row
      assert.deepEqual([epoch, pod, pool, resumes, checkpoint, sequence], [3, 'pod-b', 'spare', 1, '{"turn":4}', 4])
      assert.deepEqual(
        intents.map((one) => [one.key, one.toolCallId, one.name, one.argumentsText, one.output]),
        [
          [`${callSid}:1:1`, `fc_${callSid}:1:1`, 'book', '{"day":"monday"}', 'booked'],
          [`${callSid}:1:2`, `fc_${callSid}:1:2`, 'book', '{"day":"monday"}', undefined],
        ],
      )
      assert.deepEqual(await records.claim({ callSid, epoch: 2, pod: 'pod-c', pool: 'main' }), {
        kind: 'fenced',
        epoch: 3,
      })
      assert.deepEqual(await records.claim({ callSid, epoch: 3, pod: 'pod-c', pool: 'main' }), {
        kind: 'fenced',
        epoch: 3,
      })
    },
  },
  {
    title: 'a claim repeated by its own pod is the same answer and counts once; one of an unknown call is unknown',
    run: async (records) => {
      const { callSid } = await opened(records)
      for (let i = 0; i < 2; i++) {
        const claimed = await records.claim({ callSid, epoch: 2, pod: 'pod-b', pool: 'main' })
        assert.ok(claimed.kind === 'claimed')
        assert.equal(claimed.row.resumes, 1)
      }
      assert.deepEqual(await records.claim({ callSid: nextSid(), epoch: 2, pod: 'pod-b', pool: 'main' }), {
        kind: 'unknown',
      })
    },
  },
  {
    title: '[RR6] losses are counted apart from planned moves',
    run: async (records) => {
      const { callSid } = await opened(records)
      const at = { callSid, pod: 'pod-b', pool: 'main' }
      await records.claim({ ...at, epoch: 2, how: 'handover' })
      await records.claim({ ...at, epoch: 3 })
      await records.claim({ ...at, epoch: 3 })
      await records.claim({ ...at, epoch: 4, how: 'handover' })
      await records.claim({ ...at, epoch: 5, how: 'failover' })
      const { resumes, failovers } = await rowOf(records, callSid)
      assert.deepEqual([resumes, failovers], [4, 2])
    },
  },
  {
    title: '[RR1] no write of an older epoch changes anything',
    run: async (records) => {
      const { callSid } = await opened(records)
      const key = `${callSid}:1:1`
      await records.intend(intent(callSid, 1, key))
      await records.claim({ callSid, epoch: 2, pod: 'pod-b', pool: 'main' })
      const before = await rowOf(records, callSid)
      assert.deepEqual(await records.save([{ callSid, epoch: 1, sequence: 99, text: 'stale' }]), [callSid])
      assert.deepEqual(await records.intend(intent(callSid, 1, `${callSid}:1:2`)), { kind: 'fenced' })
      assert.deepEqual(await records.intend(intent(callSid, 1, key)), { kind: 'fenced' })
      assert.deepEqual(await records.settle({ callSid, epoch: 1, key, output: 'stale' }), { kind: 'fenced' })
      assert.deepEqual(await records.end(endRequest(callSid, 1)), { kind: 'fenced' })
      assert.deepEqual(await rowOf(records, callSid), before)
    },
  },
  {
    title: '[RR1] a writer above the row goes on though its claim was lost, and from then on fences the others',
    run: async (records) => {
      const { callSid } = await opened(records)
      assert.deepEqual(await records.save([{ callSid, epoch: 2, sequence: 1, text: 'b' }]), [])
      assert.deepEqual(await records.save([{ callSid, epoch: 1, sequence: 7, text: 'a' }]), [callSid])
      assert.deepEqual(await records.intend(intent(callSid, 3, `${callSid}:1:1`)), { kind: 'intended' })
      assert.deepEqual(await records.end(endRequest(callSid, 2)), { kind: 'fenced' })
      assert.deepEqual(await records.end(endRequest(callSid, 4)), { kind: 'ended' })
      const row = await rowOf(records, callSid)
      assert.deepEqual([row.epoch, row.checkpoint, row.state], [4, 'b', 'ended'])
    },
  },
  {
    title:
      'a checkpoint is replaced by a later one of its epoch or by any of a higher epoch; a batch names the fenced only',
    run: async (records) => {
      const [a, b, c] = [await opened(records), await opened(records), await opened(records)]
      await records.claim({ callSid: b.callSid, epoch: 2, pod: 'pod-b', pool: 'main' })
      await records.end(endRequest(c.callSid, 1))
      const write = (callSid: CallSid, epoch: number, sequence: number) => ({
        callSid,
        epoch,
        sequence,
        text: `${epoch}/${sequence}`,
      })
      const first = [write(a.callSid, 1, 5), write(a.callSid, 1, 3), write(b.callSid, 1, 1), write(c.callSid, 1, 1)]
      assert.deepEqual((await records.save(first)).sort(), [b.callSid, c.callSid].sort())
      assert.deepEqual(await records.save([write(a.callSid, 1, 4), write(b.callSid, 2, 2)]), [])
      assert.equal((await rowOf(records, a.callSid)).checkpoint, '1/5')
      assert.equal((await rowOf(records, b.callSid)).checkpoint, '2/2')
      await records.claim({ callSid: a.callSid, epoch: 2, pod: 'pod-b', pool: 'main' })
      assert.deepEqual(await records.save([write(a.callSid, 2, 1)]), [])
      const { checkpoint, sequence } = await rowOf(records, a.callSid)
      assert.deepEqual([checkpoint, sequence], ['2/1', 1])
      assert.deepEqual(await records.save([]), [])
    },
  },
  {
    title: '[RR3] a tool is intended once under its key; its first answer stands, also after the end',
    run: async (records) => {
      const { callSid } = await opened(records)
      const key = `${callSid}:2:1`
      assert.deepEqual(await records.intend(intent(callSid, 1, key)), { kind: 'intended' })
      assert.deepEqual(await records.intend(intent(callSid, 1, key)), { kind: 'known', output: undefined })
      await records.end(endRequest(callSid, 1))
      assert.deepEqual(await records.settle({ callSid, epoch: 1, key, output: 'first' }), { kind: 'settled' })
      assert.deepEqual(await records.settle({ callSid, epoch: 1, key, output: 'second' }), { kind: 'settled' })
      assert.deepEqual(await records.settle({ callSid, epoch: 1, key: `${callSid}:9:9`, output: 'x' }), {
        kind: 'fenced',
      })
      assert.deepEqual(await records.intend(intent(callSid, 1, `${callSid}:2:2`)), { kind: 'fenced' })
      assert.deepEqual(
        (await rowOf(records, callSid)).intents.map((one) => one.output),
        ['first'],
      )
    },
  },
  {
    title: '[RR3] the next pod is told what the last one intended, and whether it was answered',
    run: async (records) => {
      const { callSid } = await opened(records)
      const key = `${callSid}:2:1`
      await records.intend(intent(callSid, 1, key))
      await records.settle({ callSid, epoch: 1, key, output: 'booked' })
      await records.claim({ callSid, epoch: 2, pod: 'pod-b', pool: 'main' })
      assert.deepEqual(await records.intend(intent(callSid, 2, key)), { kind: 'known', output: 'booked' })
    },
  },
  {
    title: '[RR4] a call ends once: the first end stands',
    run: async (records) => {
      const { callSid } = await opened(records)
      const transfer = { kind: 'transfer', to: '+15550123' } as const
      const first = { callSid, epoch: 1, cause: 'transferred' as const, next: transfer, checkpoint: '{"last":true}' }
      assert.deepEqual(await records.end(first), { kind: 'ended' })
      assert.deepEqual(await records.end(endRequest(callSid, 1)), { kind: 'repeated' })
      assert.deepEqual(await records.save([{ callSid, epoch: 1, sequence: 9, text: 'late' }]), [callSid])
      const row = await rowOf(records, callSid)
      assert.deepEqual(
        [row.state, row.cause, row.next, row.checkpoint],
        ['ended', 'transferred', transfer, '{"last":true}'],
      )
      assert.ok(row.endedAtMs !== undefined && row.endedAtMs >= row.startedAtMs)
      assert.equal((await records.claim({ callSid, epoch: 2, pod: 'pod-b', pool: 'main' })).kind, 'ended')
    },
  },
  {
    title: '[RQ4] a call that was never opened is unknown, not fenced',
    run: async (records) => {
      const callSid = nextSid()
      assert.deepEqual(await records.save([{ callSid, epoch: 1, sequence: 1, text: '{}' }]), [])
      assert.deepEqual(await records.end(endRequest(callSid, 1)), { kind: 'unknown' })
      await assert.rejects(
        records.intend(intent(callSid, 1, `${callSid}:1:1`)),
        (error) => error instanceof VoiceError && error.code === 'CALL_UNKNOWN',
      )
    },
  },
  {
    title: '[ROW2] text that PostgreSQL cannot hold does not stop a write',
    run: async (records) => {
      const { callSid } = await opened(records)
      const odd = 'a\0b \uD83D c ü 👋 \' " \\ {,}'
      const key = `${callSid}:1:1`
      assert.deepEqual(await records.save([{ callSid, epoch: 1, sequence: 1, text: odd }]), [])
      const { kind } = await records.intend({ ...intent(callSid, 1, key), name: odd, argumentsText: odd })
      assert.equal(kind, 'intended')
      await records.settle({ callSid, epoch: 1, key, output: odd })
      const hangUp = { kind: 'hang-up' as const, sentence: odd }
      assert.deepEqual(await records.end({ ...endRequest(callSid, 1), next: hangUp }), { kind: 'ended' })
      const row = await rowOf(records, callSid)
      const kept = [row.checkpoint, row.intents[0]?.name, row.intents[0]?.output]
      for (const text of kept) assert.ok(text?.endsWith('c ü 👋 \' " \\ {,}'), text)
      assert.ok(row.next?.kind === 'hang-up' && row.next.sentence?.endsWith('{,}'))
    },
  },
  {
    title: 'live calls are listed by pages in the order of their Call SIDs, without those that ended',
    run: async (records) => {
      const made: CallSid[] = []
      for (let i = 0; i < 5; i++) made.push((await opened(records)).callSid)
      await records.end(endRequest(made[1]!, 1))
      await records.claim({ callSid: made[2]!, epoch: 2, pod: 'pod-b', pool: 'main' })
      const wanted = [made[0]!, made[2]!, made[3]!, made[4]!]
      const first = await records.live({ after: undefined, max: 10_000 })
      assert.deepEqual(
        first.map(({ callSid }) => callSid).filter((one) => made.includes(one)),
        wanted,
      )
      assert.deepEqual(
        first.find(({ callSid }) => callSid === made[2]),
        { callSid: made[2], epoch: 2, pod: 'pod-b' },
      )
      const page = await records.live({ after: made[0], max: 2 })
      assert.deepEqual(
        page.map(({ callSid }) => callSid),
        wanted.slice(1, 3),
      )
    },
  },
  {
    title:
      'live calls without a sign are listed by pages; a checkpoint is a sign also when it is no newer, never one that is fenced',
    run: async (records) => {
      const made: CallSid[] = []
      for (let i = 0; i < 5; i++) made.push((await opened(records)).callSid)
      const [unsigned, signed, again, ended, moved] = made as [CallSid, CallSid, CallSid, CallSid, CallSid]
      const save = (callSid: CallSid, sequence: number, text: string) =>
        records.save([{ callSid, epoch: 1, sequence, text }])
      for (const callSid of made.slice(1)) await save(callSid, 1, 'a')
      await records.end(endRequest(ended, 1))
      await records.claim({ callSid: moved, epoch: 2, pod: 'pod-b', pool: 'main' })
      await new Promise((resolve) => setTimeout(resolve, 250))
      await save(again, 1, 'b')
      await save(moved, 2, 'c')
      const silent = async (forMs: number, unsignedForMs: number, after?: CallSid, max = 10_000) => {
        const found = await records.silent({ after, max, forMs, unsignedForMs })
        return found.filter(({ callSid }) => made.includes(callSid))
      }
      const sids = (found: { callSid: CallSid }[]) => found.map(({ callSid }) => callSid)
      assert.deepEqual(sids(await silent(200, 200)), [unsigned, signed, moved])
      assert.deepEqual(sids(await silent(200, 60_000)), [signed, moved])
      assert.deepEqual(sids(await silent(60_000, 60_000)), [])
      assert.deepEqual(await silent(200, 200, signed, 1), [{ callSid: moved, epoch: 2, pod: 'pod-b' }])
      assert.equal((await rowOf(records, again)).checkpoint, 'a', 'a sign is no checkpoint')
    },
  },
  {
    title: 'a live call is taken for a rescue by one at a time, under its own epoch, until the time is over',
    run: async (records) => {
      const { callSid } = await opened(records)
      const take = (epoch: number, forMs = 300) => records.take({ callSid, epoch, forMs })
      assert.deepEqual(await take(2), { kind: 'busy' }, 'another epoch')
      const kinds = (await Promise.all([take(1), take(1), take(1)])).map(({ kind }) => kind)
      assert.deepEqual(kinds.sort(), ['busy', 'busy', 'taken'])
      await new Promise((resolve) => setTimeout(resolve, 320))
      assert.deepEqual(await take(1), { kind: 'taken' })
      await records.end(endRequest(callSid, 1))
      await new Promise((resolve) => setTimeout(resolve, 320))
      assert.deepEqual(await take(1), { kind: 'busy' }, 'it has ended')
      assert.deepEqual(await records.take({ callSid: nextSid(), epoch: 1, forMs: 1 }), { kind: 'busy' })
    },
  },
  {
    title: 'of two pods that claim and two that end at once, one of each wins',
    run: async (records) => {
      const { callSid } = await opened(records)
      const claims = ['pod-b', 'pod-c'].map((pod) => records.claim({ callSid, epoch: 2, pod, pool: 'main' }))
      const kinds = (await Promise.all(claims)).map((claimed) => claimed.kind)
      assert.deepEqual(kinds.sort(), ['claimed', 'fenced'])
      const ends = [1, 2].map(() => records.end(endRequest(callSid, 2)))
      assert.deepEqual((await Promise.all(ends)).map((end) => end.kind).sort(), ['ended', 'repeated'])
    },
  },
]
