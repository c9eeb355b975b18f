// The identity of a call on the paths that it takes between pods: real stores in memory, scripted models and legs.
import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, afterEach, test } from 'node:test'
import { until } from '../kit/testing/patience.ts'
import type { CallActions } from '../packs/pack.ts'
import { closeRigs, converse, ground, sid, start, wait } from './testing/rig.ts'

const folder = await mkdtemp(join(tmpdir(), 'voiceplane-identity-'))
after(() => rm(folder, { recursive: true, force: true }))
afterEach(closeRigs)

const OURS = '+15005550001'
const THEIRS = '+15005552001'
const ENDS = { from: OURS, to: THEIRS, direction: 'outbound' as const }

async function limitsFile(): Promise<string> {
  const path = join(folder, 'limits.json')
  const pools = [{ pool: 'main', callsMax: 4, connectsPerSecond: 1_000 }]
  const tenants = [{ tenant: 'acme', numbers: [OURS], burst: 3 }]
  await writeFile(path, JSON.stringify({ pools, tenants, reserve: { inbound: 0, outbound: 3 }, queueMax: 10 }))
  return path
}

function assertTheirs(control: CallActions | undefined, path: string): void {
  assert.deepEqual(control?.farParty, { kind: 'known', number: THEIRS }, path)
  assert.equal(control?.direction, 'outbound', path)
}

test('[CALL-10][P12][P18][DK8] far party and tenant of an outbound call are the same after a failover and a handover', async () => {
  const on = await ground()
  const env = { LIMITS_FILE: await limitsFile() }
  const first = await start('a', on, env)
  const call = sid(1)
  assert.equal((await first.offer(call, ENDS)).kind, 'stream')
  const leg = await first.open(call)
  assertTheirs(first.controls[0], 'offered')
  converse(first.model())
  await wait(300)
  const second = await start('b', on, env)
  leg?.onLegEnd({ cause: 'lost', code: 1006 })
  assert.equal((await first.next(call)).kind, 'stream')
  const resumedAt = first.controls.length > 1 ? first : second
  await until('the call goes on', () => resumedAt.controls.length > (resumedAt === first ? 1 : 0))
  assertTheirs(resumedAt.controls.at(-1), 'failover')
  await resumedAt.open(call, 2)
  await until('it is asked to go on', () => resumedAt.model().commands.includes('respond'))
  converse(resumedAt.model())
  const other = resumedAt === first ? second : first
  const before = other.controls.length
  await until('the other pod is seen', () => resumedAt.pod.keeper.pods().length === 2, 10_000)
  void resumedAt.pod.drain()
  await until('the call is handed over', () => other.controls.length > before, 20_000)
  assertTheirs(other.controls.at(-1), 'handover')
  const row = await on.records.find(call)
  assert.deepEqual([row?.tenant, row?.direction, row?.from, row?.to], ['acme', 'outbound', OURS, THEIRS])
})

test('[P18][DK8] a call that waits is granted its place as what it is, not as an inbound one', async () => {
  const on = await ground()
  const rig = await start('a', on, { LIMITS_FILE: await limitsFile() })
  assert.equal((await rig.offer(sid(1), ENDS)).kind, 'stream')
  assert.equal((await rig.offer(sid(2), ENDS)).kind, 'queued', 'three of four places are kept from outbound calls')
  const offer = { callSid: sid(2), ...ENDS }
  assert.equal((await rig.pod.callControl.wait(sid(2), offer)).kind, 'waiting')
  assert.equal((await rig.offer(sid(3), { from: THEIRS, to: '+15005550009', direction: 'inbound' })).kind, 'stream')
  assert.equal((await rig.pod.callControl.wait(sid(2), offer)).kind, 'waiting')
})
