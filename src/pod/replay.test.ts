// Signed requests that somebody has seen and sends again: nothing of a live call changes, and an ended one takes no place.
import assert from 'node:assert/strict'
import { afterEach, test } from 'node:test'
import { until } from '../kit/testing/patience.ts'
import { closeRigs, dialed, ground, sid, start, wait } from './testing/rig.ts'

afterEach(closeRigs)

const FRAME = Buffer.from(Buffer.alloc(160, 0xff).toString('base64'))

test('[S13] [DK11] a question what follows changes nothing while the stream brings its caller’s media, however often it is asked', async () => {
  const rig = await start('pod-1', undefined)
  await rig.offer(sid(1))
  const call = await rig.open(sid(1))
  let timestampMs = 0
  const talking = setInterval(() => {
    timestampMs += 20
    call!.onMedia(FRAME, 0, FRAME.length, timestampMs)
  }, 20)
  try {
    await wait(100)
    const steps = await Promise.all(Array.from({ length: 5 }, () => rig.next(sid(1))))
    assert.deepEqual([...new Set(steps.map(({ kind }) => kind))], ['streaming'])
    assert.deepEqual(await rig.next(sid(1), dialed('answered')), { kind: 'streaming' })
    assert.deepEqual([rig.ended, rig.legs, rig.pod.calls.size], [[], [], 1])
  } finally {
    clearInterval(talking)
  }
})

test('[DK11] a stream that brings nothing any more is over when the carrier asks what follows, and the call goes on', async () => {
  const rig = await start('pod-1', undefined)
  await rig.offer(sid(1))
  const call = await rig.open(sid(1))
  for (let n = 1; n <= 10; n += 1) call!.onMedia(FRAME, 0, FRAME.length, n * 20)
  assert.equal((await rig.next(sid(1))).kind, 'stream')
  assert.equal(rig.legs.length, 1)
})

test('[CALL-7][S13] [DK12] a call that has ended is not admitted again, at its own pod', async () => {
  const rig = await start('pod-1', undefined, { CALLS_MAX: '1' })
  await rig.offer(sid(1))
  await rig.open(sid(1))
  rig.pod.callControl.ended(sid(1), 'caller-hung-up')
  await until('the end is written', () => rig.pod.finalizer.pendingCount === 0)
  for (let n = 0; n < 5; n += 1) assert.deepEqual(await rig.offer(sid(1)), { kind: 'over' })
  assert.equal(rig.controls.length, 1)
  assert.equal((await rig.offer(sid(2))).kind, 'stream', 'no place was taken')
})

test('[CALL-7][S13] [DK12] nor at another pod, by the records; a live call of another pod is none that has ended', async () => {
  const on = await ground()
  const first = await start('pod-1', on)
  const second = await start('pod-2', on)
  await first.offer(sid(1))
  await first.open(sid(1))
  assert.notEqual((await second.offer(sid(1))).kind, 'over')
  first.pod.callControl.ended(sid(1), 'caller-hung-up')
  await until('the end is written', () => first.pod.finalizer.pendingCount === 0)
  assert.deepEqual(await second.offer(sid(1)), { kind: 'over' })
})

test('[STORE-8][DK12] while the records are away a call is admitted all the same', async () => {
  const on = await ground()
  const rig = await start('pod-1', {
    ...on,
    records: Object.assign(Object.create(on.records), { find: () => Promise.reject(new Error('away')) }),
  })
  assert.equal((await rig.offer(sid(1))).kind, 'stream')
})
