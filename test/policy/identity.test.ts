// Whose a call is and what it is admitted as, from the carrier's own webhooks on.
import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { RealtimeAgent } from '@openai/agents-realtime'
import type { CallActions, Pack } from '../../src/packs/pack.ts'
import { Plane } from '../plane.ts'
import { newCallSid, RawCarrier } from '../raw-carrier.ts'

const folder = await mkdtemp(join(tmpdir(), 'voiceplane-policy-'))
after(() => rm(folder, { recursive: true, force: true }))

const OURS = '+15005550001'
const agent = new RealtimeAgent<unknown>({ name: 'A', instructions: 'x' })

async function limitsFile(limits: object): Promise<string> {
  const path = join(folder, `${Math.random()}.json`)
  await writeFile(path, JSON.stringify(limits))
  return path
}

function notingPack(controls: CallActions[]): Pack {
  return {
    name: 'noting',
    version: '1',
    openCall: (control) => {
      controls.push(control)
      return { agent, greeting: { kind: 'caller-first' } }
    },
  }
}

/** Calls that get a stream, of `ends`, one after the other. */
async function admitted(
  carrier: RawCarrier,
  ends: { From: string; To: string; Direction: string }[],
): Promise<string[]> {
  const inside: string[] = []
  for (const one of ends) {
    const callSid = newCallSid()
    const { status, body } = await carrier.voice(callSid, undefined, one)
    assert.equal(status, 200)
    if (body.includes('<Connect')) inside.push(callSid)
  }
  return inside
}

const inbound = (n: number) => ({ From: `+1500555100${n}`, To: OURS, Direction: 'inbound' })
const outbound = (n: number) => ({ From: OURS, To: `+1500555200${n}`, Direction: 'outbound-api' })
const seven = [1, 2, 3, 4, 5, 6, 7]

test('[LIMIT-5][P18][DK8] outbound calls leave the places that are kept from them; inbound calls get those', async () => {
  const limits = {
    pools: [{ pool: 'main', callsMax: 6, connectsPerSecond: 1_000 }],
    reserve: { inbound: 1, outbound: 4 },
    queueMax: 0,
  }
  await Plane.with({ env: { LIMITS_FILE: await limitsFile(limits) }, pack: notingPack([]) }, async (plane) => {
    const carrier = new RawCarrier(plane.edge.url)
    const out = await admitted(carrier, seven.map(outbound))
    assert.equal(out.length, 2, 'six places less the four that are kept from outbound calls')
    const inward = await admitted(carrier, seven.map(inbound))
    assert.equal(inward.length, 3, 'five places in all for inbound calls, of which two are taken')
    for (const callSid of [...out, ...inward]) await carrier.over(callSid)
  })
})

test('[CALL-10][P18][DK8] the tenant of an outbound call is the one whose number calls', async () => {
  const limits = {
    pools: [{ pool: 'main', callsMax: 10, connectsPerSecond: 1_000 }],
    tenants: [{ tenant: 'acme', numbers: [OURS], burst: 2 }],
    queueMax: 0,
  }
  await Plane.with({ env: { LIMITS_FILE: await limitsFile(limits) }, pack: notingPack([]) }, async (plane) => {
    const carrier = new RawCarrier(plane.edge.url)
    const inside = await admitted(carrier, [...seven.slice(0, 5).map(outbound), ...seven.slice(0, 2).map(inbound)])
    assert.equal(inside.length, 2)
    for (const callSid of inside) await carrier.over(callSid)
  })
})

test('[TOOL-7][P11][P12] a pack is told whom the call is with, whoever called, and never a withheld number as somebody', async () => {
  const controls: CallActions[] = []
  await Plane.with({ pack: notingPack(controls) }, async (plane) => {
    const carrier = new RawCarrier(plane.edge.url)
    const withheld = ['+266696687', '+7378742833', 'Restricted', '', 'sip:x@example.test']
    const ends = [inbound(1), outbound(1), outbound(2), ...withheld.map((From) => ({ ...inbound(1), From }))]
    const inside = await admitted(carrier, ends)
    assert.equal(inside.length, ends.length)
    const parties = controls.map(({ farParty }) => (farParty.kind === 'known' ? farParty.number : 'withheld'))
    assert.deepEqual(parties, ['+15005551001', '+15005552001', '+15005552002', ...withheld.map(() => 'withheld')])
    assert.deepEqual(
      controls.slice(0, 2).map(({ direction }) => direction),
      ['inbound', 'outbound'],
    )
    for (const callSid of inside) await carrier.over(callSid)
  })
})
