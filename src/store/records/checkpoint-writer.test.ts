import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { CheckpointWrite } from '../../control/records.ts'
import { FakeClock } from '../../kit/clock.ts'
import { VoiceError } from '../../kit/errors.ts'
import type { CallSid } from '../../kit/ids.ts'
import { silentLog } from '../../kit/log.ts'
import { Wheel } from '../../kit/wheel.ts'
import { BATCH_MAX, CheckpointWriter, EVERY_MS, RETRY_MAX_MS, RETRY_MIN_MS } from './checkpoint-writer.ts'

const sid = (n: number) => `CA${n}` as CallSid
const write = (n: number, sequence: number, epoch = 1): CheckpointWrite => ({
  callSid: sid(n),
  epoch,
  sequence,
  text: `${epoch}/${sequence}`,
})

/** Records whose saves the test answers, one after the other. */
function makeGround(options: { bufferedMax?: number } = {}) {
  const clock = new FakeClock()
  const wheel = new Wheel({
    clock,
    manual: true,
    onError: (error) => {
      throw error
    },
  })
  const saves: { writes: readonly CheckpointWrite[]; answer: (fenced?: CallSid[]) => void; refuse: () => void }[] = []
  const fenced: CallSid[] = []
  const records = {
    save: (writes: readonly CheckpointWrite[]) =>
      new Promise<CallSid[]>((resolve, reject) => {
        const refuse = () => reject(new VoiceError('STORE_UNAVAILABLE'))
        saves.push({ writes, answer: (sids = []) => resolve(sids), refuse })
      }),
  }
  const onFenced = (callSid: CallSid) => void fenced.push(callSid)
  const writer = new CheckpointWriter({ records, wheel, log: silentLog, onFenced, clock, ...options })
  /** Time passes, and promises settle. */
  const pass = async (ms: number) => {
    await new Promise(setImmediate)
    for (let passed = 0; passed < ms; passed += 10) {
      clock.advance(10)
      wheel.advance()
    }
    await new Promise(setImmediate)
  }
  return { writer, saves, fenced, pass }
}

test('[CW1] many puts of a call within the time are one write of the newest, and an older one is ignored', async () => {
  const { writer, saves, pass } = makeGround()
  writer.put(write(1, 1))
  writer.put(write(1, 3))
  writer.put(write(1, 2))
  writer.put(write(2, 1))
  assert.equal(saves.length, 0)
  await pass(EVERY_MS + 20)
  assert.deepEqual(saves[0]?.writes, [write(1, 3), write(2, 1)])
  saves[0]?.answer()
  await pass(500)
  assert.equal(saves.length, 1)
  assert.equal(writer.pendingCount, 0)
  assert.equal(writer.oldestMs, 0)
})

test('[CW1][CW2] what is put during a save waits for the next one; only one is in flight', async () => {
  const { writer, saves, pass } = makeGround()
  writer.put(write(1, 1))
  await pass(100)
  writer.put(write(1, 2))
  await pass(1_000)
  assert.equal(saves.length, 1)
  assert.equal(writer.pendingCount, 1)
  assert.ok(writer.oldestMs >= 1_000)
  saves[0]?.answer()
  await pass(100)
  assert.deepEqual(saves[1]?.writes, [write(1, 2)])
  saves[1]?.answer()
  await pass(10)
  assert.equal(writer.pendingCount, 0)
})

test('[CW2] a crowd is written in batches one after the other, the longest waiting first', async () => {
  const { writer, saves, pass } = makeGround()
  for (let n = 0; n < BATCH_MAX * 2 + 5; n++) writer.put(write(n, 1))
  await pass(100)
  saves[0]?.answer()
  await pass(10)
  saves[1]?.answer()
  await pass(100)
  saves[2]?.answer()
  await pass(10)
  assert.deepEqual(
    saves.map(({ writes }) => [writes.length, writes[0]?.callSid]),
    [
      [BATCH_MAX, sid(0)],
      [BATCH_MAX, sid(BATCH_MAX)],
      [5, sid(2 * BATCH_MAX)],
    ],
  )
  assert.equal(writer.pendingCount, 0)
})

test('[STORE-6][CW3] while the records are away it tries again ever more slowly, with the newest of each call', async () => {
  const { writer, saves, pass } = makeGround()
  writer.put(write(1, 1))
  await pass(100)
  let waitMs = RETRY_MIN_MS
  for (let tried = 1; tried <= 8; tried++) {
    saves[tried - 1]?.refuse()
    await pass(10)
    writer.put(write(1, tried + 1))
    await pass(waitMs - 40)
    assert.equal(saves.length, tried, 'not before its time')
    await pass(60)
    assert.equal(saves.length, tried + 1)
    assert.deepEqual(saves[tried]?.writes, [write(1, tried + 1)])
    waitMs = Math.min(RETRY_MAX_MS, waitMs * 2)
  }
  saves.at(-1)?.answer()
  await pass(10)
  assert.equal(writer.pendingCount, 0)
  writer.put(write(1, 20))
  await pass(EVERY_MS + 20)
  assert.equal(saves.length, 10, 'as quick as before')
})

test('[STORE-6][CW4] beyond the bound the call that has waited longest is dropped and counted', async () => {
  const { writer, saves, pass } = makeGround({ bufferedMax: 2 })
  for (const n of [1, 2, 3]) writer.put(write(n, 1))
  writer.put(write(2, 2))
  await pass(100)
  assert.deepEqual(saves[0]?.writes, [write(2, 2), write(3, 1)])
  assert.equal(writer.droppedCount, 1)
})

test('[CW5] who is fenced is told once, and not when the call was removed or goes on under another epoch', async () => {
  const { writer, saves, fenced, pass } = makeGround()
  for (const n of [1, 2, 3]) writer.put(write(n, 1))
  await pass(100)
  writer.remove(sid(2))
  writer.put(write(3, 1, 2))
  saves[0]?.answer([sid(1), sid(2), sid(3)])
  await pass(100)
  assert.deepEqual(fenced, [sid(1)])
  assert.deepEqual(saves[1]?.writes, [write(3, 1, 2)])
})

test('a flush writes at once and resolves when what was put before is durable, whatever is put meanwhile', async () => {
  const { writer, saves, pass } = makeGround()
  assert.equal(await writer.flush(undefined, 1_000), true, 'nothing to wait for')
  writer.put(write(1, 1))
  const done: string[] = []
  void writer.flush(sid(1), 5_000).then((isDurable) => done.push(`one ${isDurable}`))
  await pass(10)
  assert.equal(saves.length, 1)
  writer.put(write(1, 2))
  writer.put(write(2, 1))
  void writer.flush(undefined, 5_000).then((isDurable) => done.push(`all ${isDurable}`))
  saves[0]?.answer()
  await pass(10)
  assert.deepEqual(done, ['one true'])
  assert.deepEqual(saves[1]?.writes, [write(2, 1), write(1, 2)])
  saves[1]?.answer()
  await pass(10)
  assert.deepEqual(done, ['one true', 'all true'])
})

test('a flush is false at its bound, and at once when its checkpoint is fenced or dropped; true when the call is removed', async () => {
  const { writer, saves, pass } = makeGround({ bufferedMax: 3 })
  const done: string[] = []
  const flush = (n: number) => void writer.flush(sid(n), 300).then((isDurable) => done.push(`${n} ${isDurable}`))
  for (const n of [1, 2, 3]) writer.put(write(n, 1))
  for (const n of [1, 2, 3]) flush(n)
  writer.put(write(4, 1)) // drops 1
  await pass(10)
  assert.deepEqual(done, ['1 false'])
  writer.remove(sid(2))
  await pass(10)
  assert.deepEqual(done, ['1 false', '2 true'])
  flush(4)
  saves[0]?.answer([sid(3)])
  await pass(10)
  assert.deepEqual(done, ['1 false', '2 true', '3 false'])
  await pass(320)
  assert.deepEqual(done, ['1 false', '2 true', '3 false', '4 false'])
})
