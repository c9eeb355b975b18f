// Calls that end, or whose pod drains, while they are prepared: one notion of the calls of a pod, from the offer on.
import assert from 'node:assert/strict'
import { afterEach, suite, test } from 'node:test'
import type { Answer } from '../call-control/call-control.ts'
import { startWatch, until } from '../kit/testing/patience.ts'
import { sorrySentence } from './call-settings.ts'
import { closeRigs, ground, type Rig, sid, start, wait } from './testing/rig.ts'

const SORRY = sorrySentence({ fleet: { callerLanguage: 'en' } })

afterEach(closeRigs)

type Ground = Awaited<ReturnType<typeof ground>>

/** The pod's agent is made when the test says so. Tells of agents that were closed. */
function slow(rig: Rig): { made: () => void; failed: () => void; closed: number } {
  const made = Promise.withResolvers<void>()
  const { openCall } = rig
  const agent = { made: () => made.resolve(), failed: () => made.reject(new Error('no agent')), closed: 0 }
  rig.openCall = async () => {
    await made.promise
    return Object.assign(await openCall(), {
      close: () => {
        agent.closed += 1
      },
    })
  }
  return agent
}

const dials = (rig: Rig): number => rig.models.filter(({ commands }) => commands.includes('dial')).length
const stateOf = async ({ records }: Ground, n = 1) => {
  const row = await records.find(sid(n))
  return row === undefined ? undefined : [row.state, row.cause]
}
const inUse = async ({ leases }: Ground): Promise<number> => (await leases.usage()).inUse

suite('a call that is over while its agent is made', () => {
  test('[P19][CO2] is answered at once, gives its place back, ends in its row, and dials nothing when the agent comes', async () => {
    const shared = await ground()
    const rig = await start('pod-a', shared)
    const agent = slow(rig)
    const offered = rig.offer(sid(1))
    await until('the agent is asked for', () => rig.controls.length === 1)
    assert.equal(await inUse(shared), 1)
    assert.deepEqual(rig.pod.calls.callSids(), [sid(1)])
    rig.pod.callControl.ended(sid(1), 'caller-hung-up')
    assert.deepEqual(await offered, { kind: 'over' } satisfies Answer)
    assert.equal(await inUse(shared), 0)
    await until('its end is written', () => rig.pod.finalizer.pendingCount === 0)
    assert.deepEqual(await stateOf(shared), ['ended', 'caller-hung-up'])
    assert.deepEqual(rig.pod.calls.callSids(), [])
    agent.made()
    await until('the agent is closed', () => agent.closed === 1)
    assert.deepEqual([rig.models.length, rig.pod.calls.get(sid(1))], [0, undefined])
    assert.equal(await rig.open(sid(1)), undefined, 'its stream is refused')
    assert.deepEqual(await rig.next(sid(1)), { kind: 'hang-up' })
  })

  test('[P19][CO2] while the store is asked for a place, takes none', async () => {
    const shared = await ground()
    const rig = await start('pod-a', shared)
    const acquire = shared.leases.acquire.bind(shared.leases)
    const asked = Promise.withResolvers<void>()
    shared.leases.acquire = async (request) => {
      await asked.promise
      return acquire(request)
    }
    const offered = rig.offer(sid(1))
    rig.pod.callControl.ended(sid(1), 'caller-hung-up')
    assert.deepEqual(await offered, { kind: 'over' })
    asked.resolve()
    await wait(20)
    await until('its place is free', () => rig.pod.finalizer.pendingCount === 0)
    assert.deepEqual([await inUse(shared), rig.controls.length], [0, 0])
    assert.deepEqual(await stateOf(shared), ['ended', 'caller-hung-up'])
  })

  test('[P19][DK9] told to another pod, it ends at its own within a second: while it is made, and while its stream is awaited', async () => {
    for (const isMade of [false, true]) {
      const shared = await ground()
      const first = await start('pod-a', shared)
      const agent = slow(first)
      const second = await start('pod-b', shared)
      if (isMade) agent.made()
      const offered = first.offer(sid(1))
      await until('the agent is asked for', () => first.controls.length === 1)
      if (isMade) await offered
      const toldWatch = startWatch()
      second.pod.callControl.ended(sid(1), 'caller-hung-up')
      await until('the end', () => first.pod.calls.size === 0)
      await until('all is written', () => first.pod.finalizer.pendingCount === 0)
      assert.ok(toldWatch.elapsedMs() < 1_000)
      assert.deepEqual([await inUse(shared), await stateOf(shared)], [0, ['ended', 'caller-hung-up']])
      await until('it is counted', () => [...second.metrics.carrierEnds.entries()].length > 0)
      assert.deepEqual([...second.metrics.carrierEnds.entries()], [['told', 1]])
      agent.made()
      await until('the agent is closed', () => agent.closed === (isMade ? 0 : 1))
      assert.equal(dials(first), isMade ? 1 : 0)
      if (isMade) assert.equal(first.model().commands.at(-1), 'close')
      await closeRigs()
    }
  })

  test('[P19][DK9] of a pod that gave it away before its stream came there, the end reaches the pod that has it', async () => {
    const shared = await ground()
    const first = await start('pod-a', shared)
    await first.offer(sid(1))
    await first.open(sid(1))
    const second = await start('pod-b', shared)
    // The lease and what the pod remembers are those after a handover.
    const moved = await shared.leases.transfer({
      ...{ callSid: sid(1), fromEpoch: 1, tenant: 't', pool: 'default', avoidPod: 'pod-a' },
    })
    assert.ok(moved.kind === 'transferred' && moved.pod === 'pod-b')
    const origin = { callSid: sid(1), callId: 'call_1' as never, tenant: 't', from: '', to: '', pool: 'default' }
    await second.pod.streamAdmission.expect({ ...origin, direction: 'inbound', epoch: 2, how: { kind: 'new' } })
    first.pod.calls.relinquish(first.pod.calls.get(sid(1))!, 'handed-over')
    const grant = { kind: 'stream' as const, callId: 'call_1' as never, token: 't', pod: 'pod-b', parameters: {} }
    first.pod.calls.follow(sid(1), grant)
    await first.pod.keeper.renewNow()
    await wait(2_200) // the list of pods is read each 2 s
    first.pod.callControl.ended(sid(1), 'caller-hung-up')
    await until('it ended there', () => second.pod.calls.size === 0)
    await until('all is written', () => second.pod.finalizer.pendingCount === 0)
    assert.equal(await inUse(shared), 0)
  })

  test('[P19] while it comes back after a loss, it ends under the new epoch with its last checkpoint', async () => {
    const shared = await ground()
    const first = await start('pod-a', shared)
    await first.offer(sid(1))
    const leg = await first.open(sid(1))
    leg!.onLegEnd({ cause: 'lost', code: 1006 })
    const agent = slow(first)
    const next = first.next(sid(1))
    await until('the agent is asked for', () => first.controls.length === 2)
    first.pod.callControl.ended(sid(1), 'caller-hung-up')
    assert.deepEqual(await next, { kind: 'hang-up' })
    agent.made()
    await until('all is written', () => first.pod.finalizer.pendingCount === 0 && agent.closed === 1)
    const row = await shared.records.find(sid(1))
    assert.deepEqual([row?.state, row?.cause, row?.epoch, await inUse(shared)], ['ended', 'caller-hung-up', 2, 0])
    assert.notEqual(row?.checkpoint, undefined)
  })
})

suite('a stream that opens at another pod than the picked one', () => {
  test('[CALL-8][P19][MD4] the picked pod drops what it prepared, or is about to, without a trace', async () => {
    for (const isMade of [true, false]) {
      const shared = await ground()
      const first = await start('pod-a', shared)
      const agent = slow(first)
      if (isMade) agent.made()
      const second = await start('pod-b', shared)
      const offered = first.offer(sid(1))
      await until('the agent is asked for', () => first.controls.length === 1)
      if (isMade) await offered
      assert.ok(await second.open(sid(1)))
      second.pod.streams.opened(sid(1), 1, 'pod-a')
      await until('it is dropped', () => first.pod.calls.size === 0)
      agent.made()
      await offered
      await until('all is written', () => first.pod.finalizer.pendingCount === 0)
      assert.deepEqual([await inUse(shared), await stateOf(shared)], [1, ['live', undefined]])
      if (isMade) assert.equal(first.model().commands.at(-1), 'close')
      else assert.equal(dials(first), 0)
      await closeRigs()
    }
  })
})

suite('an agent that is not made', () => {
  test('[P19][CO3] in time is given up: the place is free and the end is written; closed when it comes after all', async () => {
    const shared = await ground()
    const rig = await start('pod-a', shared, {}, 200)
    const agent = slow(rig)
    await assert.rejects(rig.offer(sid(1)), /no agent after 200 ms/)
    await until('all is written', () => rig.pod.finalizer.pendingCount === 0)
    assert.deepEqual([await inUse(shared), await stateOf(shared)], [0, ['ended', 'agent-failed']])
    const step = await rig.next(sid(1))
    assert.ok(step.kind === 'hang-up' && step.sentence === SORRY)
    agent.made()
    await until('the agent is closed', () => agent.closed === 1)
    assert.equal(dials(rig), 0)
    assert.equal(rig.pod.calls.size, 0)
  })

  test('[P19] at all leaves no place behind either', async () => {
    const shared = await ground()
    const rig = await start('pod-a', shared)
    const agent = slow(rig)
    const offered = rig.offer(sid(1))
    await until('the agent is asked for', () => rig.controls.length === 1)
    agent.failed()
    await assert.rejects(offered, /no agent/)
    await until('all is written', () => rig.pod.finalizer.pendingCount === 0)
    assert.deepEqual([await inUse(shared), await stateOf(shared)], [0, ['ended', 'agent-failed']])
  })
})

suite('a pod that drains while a call is prepared', () => {
  test('[P19][CO1] waits for it: its offer is answered, its stream is served, then the pod goes', async () => {
    const rig = await start('pod-1', undefined)
    const agent = slow(rig)
    const offered = rig.offer(sid(1))
    await until('the agent is asked for', () => rig.controls.length === 1)
    let isGone = false
    const drained = rig.pod.drain().then(() => {
      isGone = true
    })
    await wait(400)
    assert.equal(isGone, false)
    agent.made()
    assert.equal((await offered).kind, 'stream')
    const leg = await rig.open(sid(1))
    await wait(300)
    assert.equal(isGone, false, 'its call lives')
    leg!.onLegEnd({ cause: 'stop', code: 1000 })
    await drained
  })

  test('[P19][CO2] and is told again to go: the offer is answered at once, and nothing is dialled', async () => {
    const shared = await ground()
    const rig = await start('pod-a', shared)
    const agent = slow(rig)
    const offered = rig.offer(sid(1))
    await until('the agent is asked for', () => rig.controls.length === 1)
    const drained = rig.pod.drain()
    void rig.pod.drain()
    assert.deepEqual(await offered, { kind: 'busy', reason: 'draining' })
    await drained
    assert.equal(await inUse(shared), 0)
    agent.made()
    await until('the agent is closed', () => agent.closed === 1)
    assert.equal(dials(rig), 0)
  })
})
