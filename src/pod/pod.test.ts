// Pods with scripted models and legs: admission, what follows, comebacks, handovers, drains.
import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, suite, test } from 'node:test'
import { Registry } from 'prom-client'
import { writeCheckpoint } from '../call/checkpoint.ts'
import { callIdOf } from '../call/identity.ts'
import type { Leg } from '../call/ports.ts'
import { initialState } from '../call/state.ts'
import type { NextStep } from '../call-control/call-control.ts'
import { SPEAKER_WAIT_MS } from '../call-control/handover.ts'
import { until } from '../kit/testing/patience.ts'
import { sorrySentence } from './call-settings.ts'
import { closeRigs, converse, dialed, ground, said, sid, start, wait } from './testing/rig.ts'

const SORRY = sorrySentence({ fleet: { callerLanguage: 'en' } })

afterEach(closeRigs)

suite('a pod alone', () => {
  test('[DK1] offers of one call, at once or later, lead to one call as long as it lives', async () => {
    const rig = await start('pod-1', undefined)
    const [one, two] = await Promise.all([rig.offer(sid(1)), rig.offer(sid(1))])
    assert.ok(one.kind === 'stream' && two.kind === 'stream' && one.callId === two.callId)
    assert.equal(one.callId, callIdOf(sid(1)))
    assert.equal((await rig.offer(sid(1))).kind, 'stream')
    assert.equal(rig.controls.length, 1)
  })

  test('[DK2] a full pod refuses a new call and never a live one; an ended one frees its place', async () => {
    const rig = await start('pod-1', undefined, { CALLS_MAX: '2' })
    const answers = await Promise.all([1, 2, 3].map((n) => rig.offer(sid(n))))
    assert.deepEqual(answers.map(({ kind }) => kind).sort(), ['busy', 'stream', 'stream'])
    const taken = [1, 2, 3].filter((_, at) => answers[at]!.kind === 'stream')
    assert.equal((await rig.offer(sid(taken[0]!))).kind, 'stream')
    rig.pod.callControl.ended(sid(taken[0]!), 'caller-hung-up')
    await until('the slot is free', () => rig.pod.finalizer.pendingCount === 0)
    assert.equal((await rig.offer(sid(9))).kind, 'stream')
  })

  test('[POD-14][O17] [PG6] a pod whose loop is far too late says busy to new calls, keeps its live ones, and takes new ones when it is calm', async () => {
    const rig = await start('pod-1', undefined, { CALLS_MAX: '100' })
    await rig.offer(sid(1))
    let p99Ms = 500
    Object.defineProperty(rig.lag, 'last', { get: () => ({ p99Ms, maxMs: p99Ms }) })
    await until('the pod is full', () => rig.pod.driver.isFull, 20_000)
    assert.deepEqual(await rig.offer(sid(2)), { kind: 'busy', reason: 'full' })
    assert.equal((await rig.offer(sid(1))).kind, 'stream', 'a live call is no new one')
    p99Ms = 0
    await until('the pod has room', () => !rig.pod.driver.isFull, 20_000)
    assert.equal((await rig.offer(sid(2))).kind, 'stream')
  })

  test('[LI7] the longest wait of the limits file stands before the variable', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'voiceplane-limits-'))
    const file = join(folder, 'limits.json')
    await writeFile(file, JSON.stringify({ pools: [{ pool: 'default', callsMax: 1 }], waitMaxMs: 1_000 }))
    const rig = await start('pod-1', undefined, { LIMITS_FILE: file, QUEUE_WAIT_MAX_MS: '600000' })
    await rm(folder, { recursive: true })
    const offer = { callSid: sid(2), from: '+1', to: '+2', direction: 'inbound' as const }
    await rig.offer(sid(1))
    assert.equal((await rig.offer(sid(2))).kind, 'queued')
    assert.equal((await rig.pod.callControl.wait(sid(2), offer)).kind, 'waiting')
    await wait(1_050)
    assert.equal((await rig.pod.callControl.wait(sid(2), offer)).kind, 'overflow')
  })

  test('[DK4] a stream attaches to its own call, once, and not before it was let in', async () => {
    const rig = await start('pod-1', undefined)
    await rig.offer(sid(1))
    const leg: Leg = { streamSid: 'MZ', sendAudio() {}, clear() {}, close() {} }
    assert.equal(rig.pod.callControl.attach(sid(1), leg), undefined)
    assert.ok(await rig.open(sid(1)))
    assert.equal(await rig.open(sid(1)), undefined, 'the same epoch a second time')
  })

  test('[DK3] a transfer is told until the carrier says that it is over', async () => {
    const rig = await start('pod-1', undefined)
    await rig.offer(sid(1))
    await rig.open(sid(1))
    rig.controls[0]!.transferCall('+12025550143')
    await until('the transfer', () => rig.ended.length === 1)
    assert.deepEqual(rig.ended, ['1 transferred'])
    assert.equal(rig.pod.calls.unasked, 1)
    assert.deepEqual(await rig.next(sid(1)), { kind: 'transfer', to: '+12025550143' })
    assert.deepEqual(await rig.next(sid(1)), { kind: 'transfer', to: '+12025550143' })
    assert.deepEqual(await rig.next(sid(1), dialed('answered')), { kind: 'hang-up' })
    assert.equal(rig.pod.calls.unasked, 0)
    assert.deepEqual(await rig.next(sid(8)), { kind: 'unknown-call' })
  })

  test('[POD-11][DK5] a call whose socket broke goes on here, with its history, under the next epoch', async () => {
    const rig = await start('pod-1', undefined)
    await rig.offer(sid(1))
    const leg = await rig.open(sid(1))
    await until('the model', () => rig.pod.calls.get(sid(1))?.call.state.model.kind === 'ready')
    converse(rig.model())
    leg!.onLegEnd({ cause: 'lost', code: 1006 })
    assert.deepEqual(rig.ended, ['1 carrier-lost'])
    const step = await rig.next(sid(1))
    assert.equal(step.kind, 'stream')
    assert.ok(await rig.open(sid(1), 2))
    assert.deepEqual(said(rig, sid(1)), ['a check up please', 'on which day'])
  })

  test('[POD-11][AW3] a call whose socket broke waits 30 s for the question that brings it back, then it has ended', async () => {
    const on = await ground()
    const rig = await start('pod-1', on)
    await rig.offer(sid(1))
    const leg = await rig.open(sid(1))
    leg!.onLegEnd({ cause: 'lost', code: 1006 })
    rig.aheadMs += 29_000
    await wait(300)
    assert.deepEqual([(await on.records.find(sid(1)))?.state, (await on.leases.usage()).inUse], ['live', 1])
    rig.aheadMs += 1_000
    while ((await on.records.find(sid(1)))?.state === 'live') await wait(5)
    await until('all is written', () => rig.pod.finalizer.pendingCount === 0)
    assert.equal((await on.records.find(sid(1)))?.cause, 'carrier-lost')
    assert.equal((await on.leases.usage()).inUse, 0)
  })

  test('[POD-11][P58][PD1] a pod alone that drains waits for a call whose socket broke, and lets it go on', async () => {
    const rig = await start('pod-a', undefined, { DRAIN_NATURAL_MS: '60000' })
    for (const n of [1, 2]) {
      await rig.offer(sid(n))
      await rig.open(sid(n))
    }
    let isGone = false
    void rig.pod.drain().then(() => {
      isGone = true
    })
    assert.equal((await rig.offer(sid(3))).kind, 'busy', 'no new call')
    const break_ = (n: number) => rig.pod.calls.get(sid(n))!.call.onLegEnd({ cause: 'lost', code: 1006 })
    break_(1)
    const step = await rig.next(sid(1))
    assert.ok(step.kind === 'stream' && step.pod === 'pod-a', JSON.stringify(step))
    assert.ok(await rig.open(sid(1), 2), 'it goes on')
    rig.pod.callControl.ended(sid(1), 'caller-hung-up')
    break_(2)
    assert.equal(rig.pod.calls.size, 0)
    await wait(700)
    assert.equal(isGone, false, 'the last call may come back')
    assert.equal((await rig.next(sid(2))).kind, 'stream')
    assert.ok(await rig.open(sid(2), 2))
    rig.pod.callControl.ended(sid(2), 'caller-hung-up')
    await until('the exit', () => isGone)
  })

  test('[PD1] drains by waiting; at the deadline the rest hears a sentence', async () => {
    const rig = await start('pod-1', undefined, { DRAIN_DEADLINE_MS: '300' })
    await rig.offer(sid(1))
    await rig.open(sid(1))
    const drained = rig.pod.drain()
    assert.deepEqual(await rig.offer(sid(3)), { kind: 'busy', reason: 'draining' })
    await drained
    assert.deepEqual(rig.ended, ['1 drained'])
    const step = await rig.next(sid(1))
    assert.ok(step.kind === 'hang-up' && step.sentence === SORRY)
  })
})

suite('pods of a fleet', () => {
  test('[POD-1][DK5] a call whose pod is lost goes on elsewhere, with its history; the lost pod acts no more', async () => {
    const shared = await ground()
    const first = await start('pod-a', shared)
    await first.offer(sid(1))
    await first.open(sid(1))
    await until('the model', () => first.pod.calls.get(sid(1))?.call.state.model.kind === 'ready')
    converse(first.model())
    await until('a checkpoint', () => first.pod.calls.get(sid(1)) !== undefined)
    await wait(400)
    const second = await start('pod-b', shared)
    const step = await second.next(sid(1))
    assert.ok(step.kind === 'stream' && step.pod === 'pod-b', JSON.stringify(step))
    assert.ok(await second.open(sid(1), 2))
    assert.deepEqual(said(second, sid(1)), ['a check up please', 'on which day'])
    assert.match(String(second.model().start?.note), /line was cut/)
    converse(first.model())
    await until('the first is fenced', () => first.ended.length === 1)
    assert.deepEqual(first.ended, ['1 moved'])
    assert.equal((await shared.leases.usage()).inUse, 1)
  })

  test('[POD-13][LV8] a pod that fences itself lets its calls go, says that it is off, and another one goes on', async () => {
    const shared = await ground()
    const first = await start('pod-a', shared)
    await first.offer(sid(1))
    await first.open(sid(1))
    let isOff = false
    void first.pod.gone.then((cause) => {
      isOff = cause === 'fenced'
    })
    await wait(50)
    assert.equal(isOff, false)
    first.pod.driver.fence()
    await until('it is off', () => isOff)
    assert.deepEqual(first.ended, ['1 moved'])
    const second = await start('pod-b', shared)
    const step = await second.next(sid(1))
    assert.ok(step.kind === 'stream' && step.pod === 'pod-b', JSON.stringify(step))
  })

  test('[P60][EG9] a transfer that begins while the records are away comes back to its agent all the same', async () => {
    const shared = await ground()
    const first = await start('pod-a', shared)
    await first.offer(sid(1))
    await first.open(sid(1))
    await until('the model', () => first.pod.calls.get(sid(1))?.call.state.model.kind === 'ready')
    converse(first.model())
    const save = shared.records.save.bind(shared.records)
    shared.records.save = () => Promise.reject(new Error('away'))
    first.controls[0]!.transferCall('+12025550143')
    await until('the transfer', () => first.ended.length === 1)
    await wait(100)
    assert.equal((await shared.records.find(sid(1)))?.state, 'live', 'its end is not written')
    let saves = 0
    shared.records.save = (writes) => {
      saves += 1
      return save(writes)
    }
    await until('where it is', () => saves > 0)
    const back = await first.next(sid(1), dialed('busy'))
    assert.ok(back.kind === 'stream' && back.returnedFrom === 'busy', JSON.stringify(back))
    assert.ok(await first.open(sid(1), 2))
    assert.deepEqual(said(first, sid(1)), ['a check up please', 'on which day'])
  })

  test('[DK3] what follows is answered by any pod, also when the one that knew it is gone', async () => {
    const shared = await ground()
    const first = await start('pod-a', shared)
    await first.offer(sid(1))
    await first.open(sid(1))
    first.controls[0]!.transferCall('+12025550143')
    await until('the transfer', () => first.ended.length === 1)
    await until('its end is written', () => first.pod.finalizer.pendingCount === 0)
    const second = await start('pod-b', shared)
    assert.deepEqual(await second.next(sid(1)), { kind: 'transfer', to: '+12025550143' })
    assert.deepEqual(await second.next(sid(1), dialed('answered')), { kind: 'hang-up' })
  })

  test('[END-5][P31] nobody answers a transfer: the agent gets the call back at any pod, twice; then the person of FALLBACK_NUMBER is tried, then a sentence', async () => {
    const shared = await ground()
    const env = { FALLBACK_NUMBER: '+12025550100' }
    const first = await start('pod-a', shared, env)
    await first.offer(sid(1))
    const leg = await first.open(sid(1))
    assert.ok(leg)
    await until('the model', () => first.pod.calls.get(sid(1))?.call.state.model.kind === 'ready')
    converse(first.model())
    first.controls[0]!.transferCall('+12025550143')
    await until('the transfer', () => first.ended.length === 1)
    await until('all is written', () => first.pod.finalizer.pendingCount === 0)
    assert.equal((await shared.records.find(sid(1)))?.state, 'live', 'its end waits for the end of the transfer')
    assert.equal((await shared.leases.usage()).inUse, 0, 'the talk with a person takes no place')
    assert.deepEqual(await first.next(sid(1)), { kind: 'transfer', to: '+12025550143' })
    const second = await start('pod-b', shared, env)
    const back = await second.next(sid(1), dialed('busy'))
    assert.equal(back.kind, 'stream', JSON.stringify(back))
    assert.equal((await shared.leases.usage()).inUse, 1, 'it has a place again')
    const asked = await first.next(sid(1))
    assert.ok(asked.kind === 'stream', 'the first pod no longer says: transfer')
    const there = asked.pod === 'pod-b' ? second : first
    assert.ok(await there.open(sid(1), (await shared.leases.look([sid(1)]))[0]!.epoch))
    assert.deepEqual(said(there, sid(1)), ['a check up please', 'on which day'])
    assert.match(
      String(there.model().start?.note),
      /transfer did not come about: (the line of that person was busy|that person could not be reached)/,
    )
    await until('the model', () => there.pod.calls.get(sid(1))?.call.state.model.kind === 'ready')
    assert.equal(there.pod.calls.get(sid(1))?.call.state.failovers, 0, 'it has lost nothing')
    // The second time it comes back here, the third time it does not.
    there.controls.at(-1)!.transferCall('+12025550144')
    await until('the second transfer', () => there.pod.calls.get(sid(1)) === undefined)
    await until('all is written', () => there.pod.finalizer.pendingCount === 0)
    const again = await there.next(sid(1), dialed('no-answer'))
    assert.ok(again.kind === 'stream', JSON.stringify(again))
    const last = again.pod === 'pod-b' ? second : first
    assert.ok(await last.open(sid(1), (await shared.leases.look([sid(1)]))[0]!.epoch))
    await until('the model', () => last.pod.calls.get(sid(1))?.call.state.model.kind === 'ready')
    assert.deepEqual(last.pod.calls.get(sid(1))?.call.state.transfers.at(-1) !== undefined, true)
    last.controls.at(-1)!.transferCall('+12025550145')
    await until('the third transfer', () => last.pod.calls.get(sid(1)) === undefined)
    await until('all is written', () => last.pod.finalizer.pendingCount === 0)
    const other = last === first ? second : first
    const person = await other.next(sid(1), dialed('failed'))
    assert.deepEqual(person, { kind: 'transfer', to: '+12025550100', isLast: true })
    await until('all is written', () => other.pod.finalizer.pendingCount === 0)
    const sentence = await last.next(sid(1), dialed('no-answer', true))
    assert.deepEqual(sentence, { kind: 'not-reached', language: 'en' })
    const end = await shared.records.find(sid(1))
    assert.deepEqual([end?.state, end?.cause], ['ended', 'transferred'])
    assert.deepEqual(end?.next, { kind: 'transfer', to: '+12025550145', outcome: 'failed' })
    await until(
      'no place is kept',
      () => last.pod.finalizer.pendingCount === 0 && other.pod.finalizer.pendingCount === 0,
    )
    assert.equal((await shared.leases.usage()).inUse, 0)
    const outcomes = [first, second].flatMap((rig) => [...rig.metrics.transfers.entries()])
    for (const outcome of ['busy', 'no-answer', 'failed'])
      assert.ok(
        outcomes.some(([name]) => name === outcome),
        outcome,
      )
  })

  test('[P32] the first wish to end or to transfer a call counts, and the second is refused in words', async () => {
    const rig = await start('pod-a', await ground())
    for (const n of [1, 2]) {
      await rig.offer(sid(n))
      assert.ok(await rig.open(sid(n)))
    }
    const [ends, moves] = rig.controls
    assert.deepEqual(ends!.endCall(), { kind: 'accepted' })
    const transfer = ends!.transferCall('+12025550143')
    assert.ok(transfer.kind === 'refused' && transfer.reason === 'call-is-ending', JSON.stringify(transfer))
    assert.match(transfer.words, /not made/)
    assert.deepEqual(ends!.endCall(), { kind: 'accepted' }, 'the same wish again')
    assert.deepEqual(moves!.transferCall('+12025550143'), { kind: 'accepted' })
    assert.deepEqual(moves!.transferCall('+12025550143'), { kind: 'accepted' }, 'the same wish again')
    assert.equal(moves!.transferCall('+12025550144').kind, 'refused')
    const end = moves!.endCall()
    assert.ok(end.kind === 'refused' && end.reason === 'call-is-transferred', JSON.stringify(end))
    await until('both ends', () => rig.ended.length === 2)
    assert.deepEqual([...rig.ended].sort(), ['1 agent-ended', '2 transferred'])
    assert.deepEqual([...rig.metrics.transfers.entries()], [['allowed', 1]])
  })

  test('[END-6][P31] the end of a transfer that a person answers is told in its row; a call without its agent does not come back', async () => {
    const shared = await ground()
    const first = await start('pod-a', shared, { FALLBACK_NUMBER: '+12025550100' })
    for (const n of [1, 2]) {
      await first.offer(sid(n))
      assert.ok(await first.open(sid(n)))
    }
    first.controls[0]!.transferCall('+12025550143')
    await until('the transfer', () => first.ended.length === 1)
    await until('all is written', () => first.pod.finalizer.pendingCount === 0)
    assert.deepEqual(await first.next(sid(1), dialed('answered')), { kind: 'hang-up' })
    assert.deepEqual(await first.next(sid(1), dialed('answered')), { kind: 'hang-up' })
    await until('all is written', () => first.pod.finalizer.pendingCount === 0)
    assert.deepEqual((await shared.records.find(sid(1)))?.next, {
      kind: 'transfer',
      to: '+12025550143',
      outcome: 'answered',
    })
    first.model().listener.onModelEvent({ kind: 'lost', loss: { code: 'refused', fatal: true } })
    await until('the end without an agent', () => first.ended.length === 2)
    assert.deepEqual(await first.next(sid(2)), { kind: 'transfer', to: '+12025550100' })
    assert.equal((await first.next(sid(2), dialed('busy'))).kind, 'not-reached')
    await until('all is written', () => first.pod.finalizer.pendingCount === 0)
    const row = await shared.records.find(sid(2))
    assert.deepEqual(
      [row?.state, row?.cause, row?.next],
      ['ended', 'model-refused', { kind: 'transfer', to: '+12025550100', outcome: 'busy' }],
    )
    assert.equal((await shared.leases.usage()).inUse, 0)
  })

  test('[CALL-8][EG4] a stream that opened on another pod than the picked one stays, whatever the picked one does', async () => {
    const shared = await ground()
    const first = await start('pod-a', shared)
    const answer = await first.offer(sid(1))
    assert.ok(answer.kind === 'stream' && answer.pod === 'pod-a')
    const second = await start('pod-b', shared)
    assert.ok(await second.open(sid(1)))
    first.models[0]!.listener.onModelEvent({ kind: 'lost', loss: { code: 'refused', fatal: true } })
    await until('the end of what was prepared', () => first.pod.calls.size === 0)
    await until('all is written', () => first.pod.finalizer.pendingCount === 0)
    assert.equal((await shared.records.find(sid(1)))?.state, 'live')
    assert.equal((await shared.leases.usage()).inUse, 1)
  })

  test('[RZ3] a call that was given to a person while nobody could write ends with that talk', async () => {
    const shared = await ground()
    const first = await start('pod-a', shared)
    await first.offer(sid(1))
    await first.open(sid(1))
    const second = await start('pod-b', shared)
    assert.deepEqual(await second.next(sid(1), dialed('answered')), { kind: 'hang-up' })
    await until('the end', () => second.pod.finalizer.pendingCount === 0)
    assert.equal((await shared.records.find(sid(1)))?.cause, 'transferred')
  })

  test('[POD-10][RZ2] what breaks again and again ends with an apology, and its end is written', async () => {
    const shared = await ground()
    const first = await start('pod-a', shared)
    await first.offer(sid(1))
    for (let epoch = 2; epoch <= 6; epoch += 1)
      await shared.records.claim({ callSid: sid(1), epoch, pod: 'pod-z', pool: 'default' })
    const second = await start('pod-b', shared)
    assert.deepEqual(await second.next(sid(1)), { kind: 'hang-up', sentence: SORRY })
    await until('the end', () => second.pod.finalizer.pendingCount === 0)
    const row = await shared.records.find(sid(1))
    assert.deepEqual([row?.state, row?.cause], ['ended', 'carrier-lost'])
    assert.deepEqual(await second.next(sid(1)), { kind: 'hang-up', sentence: SORRY })
  })

  test('[RZ2] planned moves and new model links are no reason to give a call up', async () => {
    const shared = await ground()
    const first = await start('pod-a', shared)
    await first.offer(sid(1))
    for (let epoch = 2; epoch <= 8; epoch += 1)
      await shared.records.claim({ callSid: sid(1), epoch, pod: 'pod-z', pool: 'default', how: 'handover' })
    const text = writeCheckpoint({ ...initialState(), phase: { kind: 'live' }, handovers: 7, modelRedials: 9 })
    await shared.records.save([{ callSid: sid(1), epoch: 8, sequence: 1, text }])
    const second = await start('pod-b', shared)
    const step = await second.next(sid(1))
    assert.ok(step.kind === 'stream' && step.pod === 'pod-b', JSON.stringify(step))
    const registry = new Registry()
    second.metrics.register(registry, { activeCalls: () => 0, eventLoopLagMs: () => undefined })
    assert.match(await registry.metrics(), /voice_resumes_total{cause="pod-lost",outcome="resumed"} 1/)
  })

  test('[DK7] a call whose socket breaks again and again ends with what any pod tells its caller', async () => {
    const shared = await ground()
    const first = await start('pod-a', shared, { FALLBACK_NUMBER: '+49301234' })
    await first.offer(sid(1))
    let step: NextStep = { kind: 'unknown-call' }
    for (let epoch = 1; epoch <= 7; epoch += 1) {
      const leg = await first.open(sid(1), epoch)
      await until('the model', () => first.pod.calls.get(sid(1))?.call.state.model.kind === 'ready')
      leg!.onLegEnd({ cause: 'lost', code: 1006 })
      step = await first.next(sid(1))
      if (step.kind !== 'stream') break
    }
    assert.deepEqual(step, { kind: 'transfer', to: '+49301234' })
    assert.deepEqual(await first.next(sid(1)), step, 'asked again')
    assert.equal(first.pod.calls.unasked, 0)
    await until('the end', () => first.pod.finalizer.pendingCount === 0)
    const row = await shared.records.find(sid(1))
    assert.deepEqual([row?.state, row?.cause, row?.next], ['ended', 'carrier-lost', step])
    const second = await start('pod-b', shared)
    assert.deepEqual(await second.next(sid(1)), step, 'asked at another pod')
  })

  test('[HC3] a call that went to another model pool is reasserted and resumed there', async () => {
    const shared = await ground()
    const first = await start('pod-a', shared)
    await first.offer(sid(1))
    await first.open(sid(1))
    const pools = ['default', 'other'].map((pool) => ({ pool, callsMax: 5, weight: 1, connectsPerSecond: 10 }))
    const otherTenants = { guaranteed: 0, burst: 10, weight: 1 }
    await shared.leases.configure({
      pools,
      tenants: [],
      otherTenants,
      reserve: { inbound: 0, outbound: 0 },
      queueMax: 0,
    })
    assert.equal(await first.model().move!('nowhere'), 'full')
    assert.deepEqual(
      first.pod.calls.leases().map(({ pool }) => pool),
      ['default'],
    )
    assert.equal(await first.model().move!('other'), 'moved')
    assert.deepEqual(
      first.pod.calls.leases().map(({ pool }) => pool),
      ['other'],
    )
    const second = await start('pod-b', shared)
    assert.equal((await second.next(sid(1))).kind, 'stream')
    await second.open(sid(1), 2)
    assert.deepEqual(
      second.pod.calls.leases().map(({ pool }) => pool),
      ['other'],
    )
  })

  test('[POD-7][HO1-HO3] a draining pod hands its calls over: prepared, then given, and the caller is told the way', async () => {
    const shared = await ground()
    const first = await start('pod-a', shared)
    await first.offer(sid(1))
    await first.open(sid(1))
    await until('the model', () => first.pod.calls.get(sid(1))?.call.state.model.kind === 'ready')
    converse(first.model())
    const second = await start('pod-b', shared)
    await first.pod.keeper.renewNow()
    await wait(2_200) // the list of pods is read each 2 s
    const drained = first.pod.drain()
    await until('the handover', () => first.ended.length === 1, 15_000)
    assert.deepEqual(first.ended, ['1 handed-over'])
    const step = await first.next(sid(1))
    assert.ok(step.kind === 'stream' && step.pod === 'pod-b', JSON.stringify(step))
    assert.ok(await second.open(sid(1), 2))
    assert.deepEqual(said(second, sid(1)), ['a check up please', 'on which day'])
    assert.equal(second.model().start?.note, undefined)
    assert.equal((await shared.records.find(sid(1)))?.pod, 'pod-b')
    await drained
  })

  test('[P55][DK14] a pod that gave a call away does not send its caller back to a stream that is over', async () => {
    const shared = await ground()
    const first = await start('pod-a', shared)
    await first.offer(sid(1))
    await first.open(sid(1))
    await until('the model', () => first.pod.calls.get(sid(1))?.call.state.model.kind === 'ready')
    converse(first.model())
    const second = await start('pod-b', shared)
    await first.pod.keeper.renewNow()
    await wait(2_200) // the list of pods is read each 2 s
    const given = first.pod.handOver(sid(1), 'lag')
    await until('the handover', () => first.ended.length === 1, 15_000)
    assert.equal(await given, true)
    const step = await first.next(sid(1))
    assert.ok(step.kind === 'stream' && step.pod === 'pod-b', JSON.stringify(step))
    assert.deepEqual(await first.next(sid(1)), step, 'a question that is repeated gets the same answer')
    assert.ok(await second.open(sid(1), 2))
    // Its stream is over: the socket broke, or its pod is dead. The carrier happens to ask the first pod.
    await second.app!.close()
    await second.pod.keeper.stop()
    const back = await first.next(sid(1))
    assert.ok(back.kind === 'stream' && back.token !== (step as { token?: string }).token, JSON.stringify(back))
    assert.equal((await shared.leases.look([sid(1)]))[0]?.epoch, 3)
    assert.ok(await first.open(sid(1), 3), 'it goes on here')
    assert.deepEqual(said(first, sid(1)), ['a check up please', 'on which day'])
    // What was granted before it came back is void.
    first.pod.calls.get(sid(1))!.call.onLegEnd({ cause: 'lost', code: 1006 })
    const again = await first.next(sid(1))
    assert.ok(again.kind === 'stream' && again.token !== back.token, JSON.stringify(again))
    assert.equal((await shared.leases.look([sid(1)]))[0]?.epoch, 4)
  })

  test('[P45][HO6] a caller who is thought to speak on and on does not hold a draining pod: the call goes within its bound', async () => {
    const shared = await ground()
    const first = await start('pod-a', shared)
    await first.offer(sid(1))
    await first.open(sid(1))
    await until('the model', () => first.pod.calls.get(sid(1))?.call.state.model.kind === 'ready')
    converse(first.model())
    const second = await start('pod-b', shared)
    await first.pod.keeper.renewNow()
    await wait(2_200)
    // A television: it began, and ends no more.
    first.model().listener.onModelEvent({ kind: 'speech-started', itemId: 'television' })
    const { call } = first.pod.calls.get(sid(1))!
    const noise = Buffer.from(Buffer.alloc(160, 0x20).toString('base64'))
    let atMs = 0
    const television = setInterval(() => {
      atMs += 500
      call.onMedia(noise, 0, noise.length, atMs)
    }, 500)
    const fromMs = performance.now()
    const drained = first.pod.drain()
    await until('the handover', () => first.ended.length === 1, SPEAKER_WAIT_MS + 25_000).finally(() =>
      clearInterval(television),
    )
    assert.ok(performance.now() - fromMs >= SPEAKER_WAIT_MS, 'a caller who speaks is waited for')
    assert.deepEqual(first.ended, ['1 handed-over'])
    assert.ok(await second.open(sid(1), 2))
    assert.deepEqual(said(second, sid(1)).slice(0, 2), ['a check up please', 'on which day'])
    await drained
  })
})
