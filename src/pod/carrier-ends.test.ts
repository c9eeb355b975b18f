// What the carrier says of calls that other pods hold, or nobody: ends and recordings, over stores that pods share.
import assert from 'node:assert/strict'
import { afterEach, suite, test } from 'node:test'
import { readCheckpoint, writeCheckpoint } from '../call/checkpoint.ts'
import { OVERS_MAX } from '../call-control/call-finalizer.ts'
import { SIGN_MS } from '../call-control/pod-calls.ts'
import { until } from '../kit/testing/patience.ts'
import { closeRigs, converse, ground, type Rig, sid, start, wait } from './testing/rig.ts'

afterEach(closeRigs)

type Ground = Awaited<ReturnType<typeof ground>>
const count = (rig: Rig, outcome: string): number => new Map(rig.metrics.carrierEnds.entries()).get(outcome) ?? 0

/** A live call of pod `a`, with something said that no checkpoint holds yet. */
async function talking(shared: Ground): Promise<Rig> {
  const first = await start('pod-a', shared)
  await first.offer(sid(1))
  await first.open(sid(1))
  await until('the model', () => first.pod.calls.get(sid(1))?.call.state.model.kind === 'ready')
  return first
}

/** Pod `a` answers, writes and renews nothing any more; its lease is silent for long. */
async function die(first: Rig, shared: Ground): Promise<void> {
  await first.app!.close()
  await first.pod.keeper.stop()
  const look = shared.leases.look.bind(shared.leases)
  shared.leases.look = async (callSids) =>
    (await look(callSids)).map((lease) => ({ ...lease, state: 'suspect', silentMs: 30_000 }))
}

const saidIn = (checkpoint: string | undefined): string[] => {
  const reading = readCheckpoint(checkpoint ?? '')
  assert.ok(reading.kind === 'read', 'a checkpoint that can be read')
  return reading.state.transcript.items.map((item) => (item.kind === 'tool' ? item.name : item.text))
}

suite('a call that is over for the carrier', () => {
  test('[END-8][DK6][EG5] whose pod died is ended by any pod that is told, for what the carrier said, and its slot is free', async () => {
    for (const cause of ['caller-hung-up', 'carrier-lost'] as const) {
      const shared = await ground()
      const first = await talking(shared)
      await die(first, shared)
      const second = await start('pod-b', shared)
      second.pod.callControl.ended(sid(1), cause)
      assert.equal((await shared.records.find(sid(1)))?.state, 'live', 'not before its own pod could')
      await until('the end', () => count(second, 'ended') === 1 && second.pod.finalizer.pendingCount === 0)
      const row = await shared.records.find(sid(1))
      assert.deepEqual([row?.state, row?.cause, row?.epoch], ['ended', cause, 1])
      assert.equal((await shared.leases.usage()).inUse, 0)
      await closeRigs()
    }
  })

  test('[END-9][EG11] is not resumed: not where it was told, from that moment on, and by no pod once the callback is answered', async () => {
    const shared = await ground()
    const first = await start('pod-a', shared)
    const second = await start('pod-b', shared)
    for (const [n, told, other] of [
      [1, first, second],
      [2, second, first],
    ] as const) {
      await first.offer(sid(n))
      assert.equal((await shared.records.find(sid(n)))?.state, 'live')
      const isKnown = told.pod.callControl.ended(sid(n), 'caller-hung-up')
      assert.equal((await told.pod.callControl.next(sid(n), {})).kind, 'hang-up', 'where it was told')
      await isKnown
      assert.equal((await other.pod.callControl.next(sid(n), {})).kind, 'hang-up', 'elsewhere')
      assert.equal((await shared.records.find(sid(n)))?.state, 'ended')
    }
  })

  test('[EG5] its own pod, which hears the caller go a moment later, writes the last words', async () => {
    const shared = await ground()
    const first = await talking(shared)
    await first.app!.close()
    const second = await start('pod-b', shared)
    second.pod.callControl.ended(sid(1), 'caller-hung-up')
    converse(first.model())
    first.pod.calls.get(sid(1))!.call.onLegEnd({ cause: 'stop', code: 1000 })
    await until('the look', () => count(second, 'already') === 1)
    const row = await shared.records.find(sid(1))
    assert.deepEqual(saidIn(row?.checkpoint), ['a check up please', 'on which day'])
    assert.equal(count(second, 'ended'), 0)
  })

  test('[EG5] a pod that answers no peer and renews its lease has until the last look; then it is fenced and lets go', async () => {
    const shared = await ground()
    const first = await talking(shared)
    await first.app!.close()
    const second = await start('pod-b', shared)
    second.pod.callControl.ended(sid(1), 'caller-hung-up')
    await wait(200)
    assert.equal((await shared.records.find(sid(1)))?.state, 'live', 'its lease is renewed')
    await until('the last look', () => count(second, 'ended') === 1)
    await until('the end', () => second.pod.finalizer.pendingCount === 0)
    assert.equal((await shared.records.find(sid(1)))?.state, 'ended')
    converse(first.model())
    await until('the first has let go', () => first.ended.length === 1)
    assert.deepEqual(first.ended, ['1 moved'])
  })

  test('[EG5] a pod that takes the call under the next epoch meanwhile is not overtaken: the end has the row’s epoch', async () => {
    const shared = await ground()
    const first = await talking(shared)
    await die(first, shared)
    const second = await start('pod-b', shared)
    const find = shared.records.find.bind(shared.records)
    shared.records.find = async (callSid) => {
      const row = await find(callSid)
      // Between the look and the end another pod claims the call.
      await shared.records.claim({ callSid, epoch: 2, pod: 'pod-c', pool: 'default' })
      return row
    }
    second.pod.callControl.ended(sid(1), 'caller-hung-up')
    await until('the end was tried', () => count(second, 'ended') === 1 && second.pod.finalizer.pendingCount === 0)
    const row = await find(sid(1))
    assert.deepEqual([row?.state, row?.epoch, row?.pod], ['live', 2, 'pod-c'])
  })

  test('[RZ4] that was about to be given to a person ends as its checkpoint says', async () => {
    const shared = await ground()
    const first = await talking(shared)
    const { state } = first.pod.calls.get(sid(1))!.call
    const next = { kind: 'transfer' as const, to: '+49' }
    const text = writeCheckpoint({ ...state, phase: { kind: 'closing', cause: 'transferred', next } })
    await shared.records.save([{ callSid: sid(1), epoch: 1, sequence: 1_000, text }])
    await die(first, shared)
    const second = await start('pod-b', shared)
    second.pod.callControl.ended(sid(1), 'caller-hung-up')
    await until('the end', () => count(second, 'ended') === 1 && second.pod.finalizer.pendingCount === 0)
    const row = await shared.records.find(sid(1))
    assert.deepEqual([row?.state, row?.cause, row?.next], ['ended', 'transferred', next])
  })

  test('[EG6] told twice, and again after its end, it ends once', async () => {
    const shared = await ground()
    const first = await talking(shared)
    await die(first, shared)
    const second = await start('pod-b', shared)
    let ends = 0
    const end = shared.records.end.bind(shared.records)
    shared.records.end = async (request) => {
      ends += 1
      return end(request)
    }
    for (let n = 0; n < 3; n += 1) second.pod.callControl.ended(sid(1), 'caller-hung-up')
    await until('the end', () => count(second, 'ended') === 1 && second.pod.finalizer.pendingCount === 0)
    const { endedAtMs, cause } = (await shared.records.find(sid(1)))!
    second.pod.callControl.ended(sid(1), 'carrier-lost')
    await until('the look', () => count(second, 'already') === 1)
    const row = await shared.records.find(sid(1))
    assert.deepEqual([ends, row?.endedAtMs, row?.cause], [1, endedAtMs, cause])
  })

  test('[EG6] without a row it makes none, and is counted', async () => {
    const shared = await ground()
    const rig = await start('pod-a', shared)
    rig.pod.callControl.ended(sid(7), 'caller-hung-up')
    await until('the look', () => count(rig, 'unknown') === 1)
    assert.equal(await shared.records.find(sid(7)), undefined)
  })

  test('[EG6] while the records are away nothing is written; a sweep is left with it', async () => {
    const shared = await ground()
    const first = await talking(shared)
    await die(first, shared)
    const second = await start('pod-b', shared)
    const find = shared.records.find.bind(shared.records)
    shared.records.find = () => Promise.reject(new Error('away'))
    second.pod.callControl.ended(sid(1), 'caller-hung-up')
    await until('the last look', () => count(second, 'left') === 1)
    assert.equal((await find(sid(1)))?.state, 'live')
  })

  test('[EG6] beyond so many at once the rest is counted', async () => {
    const rig = await start('pod-a', await ground())
    for (let n = 1; n <= OVERS_MAX + 3; n += 1) rig.pod.finalizer.overAtCarrier(sid(n), 'caller-hung-up')
    assert.equal(count(rig, 'full'), 3)
  })

  test('[EG4][EG5] a pod that only prepared it writes nothing over the words of the pod that has its stream', async () => {
    const shared = await ground()
    const first = await start('pod-a', shared)
    await first.offer(sid(1))
    const second = await start('pod-b', shared)
    await second.open(sid(1))
    await until('the model', () => second.pod.calls.get(sid(1))?.call.state.model.kind === 'ready')
    converse(second.model())
    await wait(400)
    first.pod.callControl.ended(sid(1), 'caller-hung-up')
    second.pod.calls.get(sid(1))!.call.onLegEnd({ cause: 'stop', code: 1000 })
    await until('the look of the first', () => count(first, 'already') === 1)
    const row = await shared.records.find(sid(1))
    assert.deepEqual(saidIn(row?.checkpoint), ['a check up please', 'on which day'])
  })
})

test('[CA4] a call in which nothing changes is written again and again, until it is over; then nothing waits', async () => {
  const shared = await ground()
  const rig = await start('pod-a', shared)
  const after = rig.wheel.after.bind(rig.wheel)
  rig.wheel.after = (ms, run) => after(ms === SIGN_MS ? 30 : ms, run)
  await rig.offer(sid(1))
  await rig.open(sid(1))
  await until('the model', () => rig.pod.calls.get(sid(1))?.call.state.model.kind === 'ready')
  await wait(400)
  const sequences: number[] = []
  const save = shared.records.save.bind(shared.records)
  shared.records.save = (writes) => {
    sequences.push(...writes.map(({ sequence }) => sequence))
    return save(writes)
  }
  await until('three signs', () => sequences.length >= 3)
  assert.equal(new Set(sequences).size, 1, 'nothing changed')
  rig.pod.calls.get(sid(1))!.call.onLegEnd({ cause: 'stop', code: 1000 })
  await until('its end', () => rig.pod.calls.size === 0)
  await wait(400)
  const before = sequences.length
  await wait(400)
  assert.deepEqual([sequences.length, rig.wheel.size], [before, 0])
})

suite('a recording that the carrier keeps', () => {
  const recording = { recordingSid: `RE${'0'.repeat(32)}`, recordingUrl: 'https://carrier.example/RE0', durationMs: 1 }

  test('[EG7] is told to the store of the work, again while that is away', async () => {
    const shared = await ground()
    const add = shared.recordings.addRecording
    let tries = 0
    shared.recordings.addRecording = async (callSid, body) => {
      tries += 1
      if (tries === 1) throw new Error('away')
      return add(callSid, body)
    }
    const rig = await start('pod-a', shared)
    rig.pod.callControl.recorded(sid(1), recording)
    await until('it is told', () => shared.recorded.length === 1)
    assert.deepEqual([shared.recorded, tries], [[[sid(1), recording]], 2])
    assert.deepEqual([...rig.metrics.recordings.entries()], [['added', 1]])
  })

  test('[EG7] of a pod without a database is counted', async () => {
    const rig = await start('pod-1', undefined)
    rig.pod.callControl.recorded(sid(1), recording)
    assert.deepEqual([...rig.metrics.recordings.entries()], [['no-store', 1]])
  })
})
