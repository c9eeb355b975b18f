// Which pod takes a call that is handed over.
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import type { PodEntry } from '../control/ports.ts'
import { makeMemoryLeases } from '../store/leases/memory.ts'
import { pickTarget } from './handover.ts'

const pod = (name: string, differs: Partial<PodEntry> = {}): PodEntry => ({
  pod: name,
  incarnation: 'i',
  address: `http://${name}`,
  state: 'ready',
  callsMax: 10,
  penalty: 0,
  calls: 0,
  ageMs: 0,
  ...differs,
})
const picked = (...pods: PodEntry[]) => pickTarget(pods, 'own', 'lag')?.pod

suite('the pod that takes a call that is handed over', () => {
  test('[HO5] a penalty ranks pods and takes no room', () => {
    assert.equal(picked(pod('a', { calls: 3, penalty: 50 })), 'a')
    assert.equal(picked(pod('a', { calls: 3, penalty: 50 }), pod('b', { calls: 9 })), 'b')
    assert.equal(picked(pod('a', { calls: 3, penalty: 50 }), pod('b', { calls: 10 })), 'a')
    assert.equal(picked(pod('a', { calls: 4 }), pod('b', { calls: 4 })), 'a')
  })

  test('[HO5] a pod that is full, not ready, silent or our own takes none', () => {
    const others = [pod('a', { calls: 10 }), pod('b', { state: 'cordoned' }), pod('c', { ageMs: 12_000 }), pod('own')]
    assert.equal(picked(...others), undefined)
  })

  test('[P24][HO5] a pod that drains fills full pods half as much again when no other has room; one that lags does not', () => {
    const drained = (...pods: PodEntry[]) => pickTarget(pods, 'own', 'drain')?.pod
    const full = [pod('a', { calls: 12 }), pod('b', { calls: 11 })]
    assert.deepEqual([drained(...full), picked(...full)], ['b', undefined])
    assert.equal(drained(...full, pod('c', { calls: 9, penalty: 50 })), 'c')
    assert.equal(drained(pod('a', { calls: 15 }), pod('b', { calls: 14 })), 'b')
    assert.equal(drained(pod('a', { calls: 15 })), undefined)
  })

  test('[HO5] the store places a call where a handover would go, also when all pods bear a penalty', async () => {
    const leases = makeMemoryLeases({ nowMs: () => 0 })
    const pools = [{ pool: 'p', callsMax: 5, weight: 1, connectsPerSecond: 10 }]
    const otherTenants = { guaranteed: 0, burst: 5, weight: 1 }
    await leases.configure({ pools, tenants: [], otherTenants, reserve: { inbound: 0, outbound: 0 }, queueMax: 0 })
    for (const { calls: _calls, ageMs: _ageMs, ...one } of [pod('a', { penalty: 70 }), pod('b', { penalty: 50 })])
      await leases.announce(one)
    const wish = { fromEpoch: 1, tenant: 't', pool: 'p', avoidPod: 'own' }
    const moved = await leases.transfer({ ...wish, callSid: `CA${'0'.repeat(32)}` as never })
    assert.ok(moved.kind === 'transferred', moved.kind)
    assert.equal(moved.pod, pickTarget(await leases.pods(), 'own', 'lag')?.pod)
    await leases.close()
  })
})
