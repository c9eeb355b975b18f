// Whole calls whose agent goes on as it was: over a lost link in one pod, and into another pod, killed or drained. What counts is what
// the model receives.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { RealtimeAgent, tool } from '@openai/agents-realtime'
import { z } from 'zod'
import type { Script } from '../sim/openai/dialogue/script.ts'
import { openSpeech } from '../sim/speech/speech.ts'
import type { Step } from '../sim/twilio/media/script.ts'
import { OUTCOME_UNKNOWN } from '../src/call-control/tool-ledger.ts'
import type { CallSid } from '../src/kit/ids.ts'
import type { Pack, PackCall } from '../src/packs/pack.ts'
import { Plane } from './plane.ts'
import { TwoPods, type WireSession } from './two-pods.ts'

const HELLO = { say: 'Hello.' }
const TO_BILLING = { call: { name: 'transfer_to_Billing', arguments: {} }, thenSay: 'This is billing.' }
const lookUp = (what: string) => ({ call: { name: 'lookup', arguments: { what } }, thenSay: 'I found it.' })
const LOOK_UP = lookUp('seven')

const script = (...turns: Script['turns']): Script => ({ name: 'moves', turns: [HELLO, ...turns] })

/** What the tools of all pods did, in order. */
type Ran = string[]
type Gate = (pod: string, agent: string) => Promise<void>

/** Reception hands over to Billing; both have a tool `lookup`, each with its own answer. */
function deskPack(pod: string, ran: Ran, gate: Gate = async () => {}): Pack {
  const lookup = (owner: string) =>
    tool({
      name: 'lookup',
      description: `Looks up at ${owner}.`,
      parameters: z.object({ what: z.string() }),
      execute: async ({ what }, run, details) => {
        const context = run?.context as { call: { effectKey(details: unknown): string }; seen: string[] }
        ran.push(`${pod} ${owner} ${what} ${context.call.effectKey(details).split(':').slice(1).join(':')}`)
        await gate(pod, owner)
        context.seen = [...context.seen, what]
        return `${owner} knows ${what} after ${context.seen.length}`
      },
    })
  const openCall = (): PackCall => {
    const billing = new RealtimeAgent<unknown>({
      name: 'Billing',
      voice: 'cedar',
      instructions: 'You are billing.',
      tools: [lookup('billing')],
    })
    const reception = new RealtimeAgent<unknown>({
      name: 'Reception',
      voice: 'marin',
      instructions: 'You are reception.',
      tools: [lookup('reception')],
      handoffs: [billing],
    })
    billing.handoffs.push(reception)
    return { agent: reception, context: { seen: [] }, toolEffects: { lookup: 'keyed' } }
  }
  return { name: 'desk', version: '1', openCall: (call) => ({ ...openCall(), context: { call, seen: [] } }) }
}

const toolsOf = ({ tools }: WireSession): string[] => (tools ?? []).map(({ name }) => name)
const hears = async (lines: number): Promise<Step[]> => {
  const speech = await openSpeech()
  const line = await speech.say('Yes please', 'rms')
  await speech.close()
  const turn: Step[] = [{ say: line }, { waitForAgent: 'finished', timeoutMs: 10_000 }]
  return [{ waitForAgent: 'finished', timeoutMs: 10_000 }, ...Array.from({ length: lines }, () => turn).flat()]
}

describe('the agent in charge', { concurrency: 4 }, () => {
  for (const how of ['a kill', 'a drain'] as const) {
    test(`[POD-8][P1] goes on after a handoff in another pod, moved by ${how}: its instructions, tools and voice are those before`, async () => {
      const ran: Ran = []
      await TwoPods.with({ pack: (pod) => deskPack(pod, ran), script: script(TO_BILLING, LOOK_UP) }, async (pods) => {
        const steps = [...(await hears(1)), { stayMs: 80_000 }]
        const call = pods.place({ steps, maxMs: 90_000 })
        await pods.until('billing speaks', () =>
          pods.items(0, call.callSid).some((item) => item.kind === 'agent' && item.text === 'This is billing.'),
        )
        await pods.until('its checkpoint', async () =>
          (await pods.checkpoint(call.callSid)).includes('This is billing.'),
        )
        const before = pods.configurations(0).at(-1)!
        assert.deepEqual(
          [before.instructions?.includes('billing'), toolsOf(before)],
          [true, ['lookup', 'transfer_to_Reception']],
        )
        if (how === 'a kill') await pods.kill(0)
        else pods.drain(0)
        await pods.until('the other pod has the call', () => pods.call(1, call.callSid)?.state.phase.kind === 'live')
        const after = pods.configurations(-1)
        assert.equal(pods.relay.sessions.length, 2)
        assert.deepEqual({ ...after[0], audio: undefined }, { ...before, audio: undefined })
        assert.equal(pods.configurations(0)[0]!.audio.output.voice, 'marin')
        assert.equal(after[0]!.audio.output.voice, 'marin', 'the caller would hear another voice')
        assert.equal(after.length, 1)
        call.hangUp()
        await call.done
      })
    })
  }

  test('[P86] goes on at the only pod that lives, though that one lags and takes no new calls, without one refusal', async () => {
    await TwoPods.with({ pack: (pod) => deskPack(pod, []), script: script(LOOK_UP) }, async (pods) => {
      const call = pods.place({ steps: [...(await hears(1)), { stayMs: 80_000 }], maxMs: 90_000 })
      await pods.until('the agent has spoken', async () => (await pods.checkpoint(call.callSid)).includes('Hello.'))
      pods.edges[1]!.pod.driver.cordon(true)
      await pods.kill(0)
      await pods.until('the other pod has the call', () => pods.call(1, call.callSid)?.state.phase.kind === 'live')
      assert.deepEqual(
        pods.logs.filter(({ why }) => why === 'no-pod'),
        [],
      )
      call.hangUp()
      await call.done
    })
  })

  test('[P1] goes on after a handoff over a lost link: its instructions, tools and voice are those before', async () => {
    const ran: Ran = []
    const parts = { pack: deskPack('pod', ran), hasRelay: true, model: { scripts: [script(TO_BILLING, LOOK_UP)] } }
    await Plane.with(parts, async (plane) => {
      const call = plane.carrier.placeCall({
        caller: { steps: [...(await hears(1)), { stayMs: 80_000 }], maxMs: 90_000 },
      })
      const said = () => plane.calls()[0]?.state.transcript.items ?? []
      await plane.until(() => said().some((item) => item.kind === 'agent' && item.text === 'This is billing.'))
      await plane.act({ kind: 'drop' })
      await plane.until(() => plane.relay!.sessions.length === 2 && plane.calls()[0]?.state.model.kind === 'ready')
      const updates = (session: number) =>
        plane
          .relay!.sessions.at(session)!
          .filter(({ type }) => type === 'session.update')
          .map((event) => event.session as WireSession)
      const [before, after] = [updates(0).at(-1)!, updates(-1)[0]!]
      assert.deepEqual({ ...after, audio: undefined }, { ...before, audio: undefined })
      assert.deepEqual([toolsOf(after), after.audio.output.voice], [['lookup', 'transfer_to_Reception'], 'marin'])
      call.hangUp()
      await call.done
    })
  })
})

describe('a tool of a name that two agents have', { concurrency: 4 }, () => {
  test('[TOOL-3][P17] runs under the agent that was asked for it, in one pod', async () => {
    const ran: Ran = []
    const parts = { pack: deskPack('pod', ran), model: { scripts: [script(LOOK_UP, TO_BILLING, lookUp('nine'))] } }
    await Plane.with(parts, async (plane) => {
      const report = await plane.call({ steps: [...(await hears(3)), { hangUp: true }], maxMs: 60_000 })
      assert.deepEqual(report.scriptTimeouts, [])
      assert.deepEqual(
        ran.map((line) => line.split(' ').slice(0, 3).join(' ')),
        ['pod reception seven', 'pod billing nine'],
      )
    })
  })

  test('[TOOL-3][P17] runs again under its own agent, with its own key and context, where its pod was killed while it ran', async () => {
    const ran: Ran = []
    const never = new Promise<void>(() => {})
    const gate: Gate = (pod, agent) => (pod === 'pod-0' && agent === 'billing' ? never : Promise.resolve())
    const turns = script(LOOK_UP, TO_BILLING, lookUp('eight'), lookUp('nine'))
    await TwoPods.with({ pack: (pod) => deskPack(pod, ran, gate), script: turns }, async (pods) => {
      const call = pods.place({ steps: [...(await hears(4)), { hangUp: true }], maxMs: 90_000 })
      await pods.until('billing looks up', () => ran.length === 2)
      await pods.until('its checkpoint', async () =>
        (await pods.checkpoint(call.callSid)).includes('"owner":["Billing"]'),
      )
      await pods.kill(0)
      const outputs = () => pods.items(1, call.callSid).flatMap((item) => (item.kind === 'tool' ? [item.output] : []))
      await pods.until('the tool has answered', () => outputs().includes('billing knows eight after 2'))
      assert.deepEqual(ran.slice(1, 3), [ran[1], ran[1]!.replace('pod-0', 'pod-1')], 'the same tool under the same key')
      await pods.until('the next lookup', () => outputs().includes('billing knows nine after 3'))
      assert.equal(ran.filter((line) => line.includes('reception')).length, 1, ran.join('; '))
      call.hangUp()
      await call.done
    })
  })
})

/** The tool `pay` never comes to its end in the first pod. */
function tillPack(pod: string, ran: Ran, toolEffects: PackCall['toolEffects']): Pack {
  const pay = tool({
    name: 'pay',
    description: 'Pays.',
    parameters: z.object({}),
    execute: (_, run, details) => {
      const context = run?.context as { call: { effectKey(details: unknown): string } }
      ran.push(`${pod} ${context.call.effectKey(details).split(':').slice(1).join(':')}`)
      return pod === 'pod-0' ? new Promise<string>(() => {}) : Promise.resolve('It is paid.')
    },
  })
  const agent = () => new RealtimeAgent<unknown>({ name: 'Till', instructions: 'Take payments.', tools: [pay] })
  const effects = toolEffects === undefined ? {} : { toolEffects }
  const openCall: Pack['openCall'] = (call) => ({ agent: agent(), context: { call }, ...effects })
  return { name: 'till', version: '1', openCall }
}
const PAY = { call: { name: 'pay', arguments: {} }, thenSay: 'Done.' }

describe('a tool that was cut short by the loss of its pod', { concurrency: 3 }, () => {
  for (const [what, toolEffects, again] of [
    ['that nobody speaks for is not run again', undefined, false],
    ['that is `once` is not run again', { pay: 'once' }, false],
    ['that is `keyed` runs again under its first key', { pay: 'keyed' }, true],
    ['that is `read` runs again under its first key', { pay: 'read' }, true],
  ] as const) {
    test(`[TOOL-2][P28][TG6] ${what}`, async () => {
      const ran: Ran = []
      const turns = script(PAY)
      await TwoPods.with({ pack: (pod) => tillPack(pod, ran, toolEffects), script: turns }, async (pods) => {
        const call = pods.place({ steps: [...(await hears(1)), { stayMs: 80_000 }], maxMs: 90_000 })
        await pods.until('the first pod pays', () => ran.length === 1)
        await pods.until('its checkpoint', async () => (await pods.checkpoint(call.callSid)).includes('"pay"'))
        await pods.kill(0)
        const outputs = () => pods.items(1, call.callSid).flatMap((item) => (item.kind === 'tool' ? [item.output] : []))
        await pods.until('the agent has an answer', () => outputs()[0] !== undefined)
        assert.deepEqual(outputs(), [again ? 'It is paid.' : OUTCOME_UNKNOWN])
        assert.deepEqual(ran, again ? [ran[0], ran[0]!.replace('pod-0', 'pod-1')] : [ran[0]])
        const told = () => pods.told(-1).some((event) => JSON.stringify(event).includes(outputs()[0]!))
        await pods.until('the model is told', told)
        call.hangUp()
        await call.done
      })
    })
  }
})

test('[P46][TG7] a tool that is owed runs once the line is back, though the model was there before it', async () => {
  const ran: Ran = []
  const pack = (pod: string): Pack => tillPack(pod, ran, { pay: 'keyed' })
  const afterStream = { actionMs: 0, openMs: 1_500 }
  await TwoPods.with({ pack, script: script(PAY), afterStream }, async (pods) => {
    const call = pods.place({ steps: [...(await hears(1)), { stayMs: 80_000 }], maxMs: 90_000 })
    await pods.until('the first pod pays', () => ran.length === 1)
    await pods.until('its checkpoint', async () => (await pods.checkpoint(call.callSid)).includes('"pay"'))
    await pods.kill(0)
    await pods.until('the model is ready', () => pods.call(1, call.callSid)?.state.model.kind === 'ready')
    assert.equal(pods.edges[1]!.pod.calls.get(call.callSid as CallSid)?.hasStream, false, 'the line is not back')
    await pods.until('the second pod pays', () => ran.length === 2)
    assert.deepEqual(ran, [ran[0], ran[0]!.replace('pod-0', 'pod-1')])
    call.hangUp()
    await call.done
  })
})

describe('decisions about tools', { concurrency: 2 }, () => {
  /** A tool that nobody may run unasked; the first pod never comes to its end. */
  function vaultPack(pod: string, seen: string[], answersIn: (pod: string) => boolean): Pack {
    const never = new Promise<string>(() => {})
    const openVault = tool({
      name: 'open_vault',
      description: 'Opens the vault.',
      parameters: z.object({ code: z.string() }),
      needsApproval: true,
      execute: ({ code }) => {
        seen.push(`${pod} opened ${code}`)
        return pod === 'pod-0' ? never : Promise.resolve('The vault is open.')
      },
    })
    const openCall = (): PackCall => ({
      agent: new RealtimeAgent<unknown>({ name: 'Guard', instructions: 'Guard the vault.', tools: [openVault] }),
      toolEffects: { open_vault: 'keyed' },
      onSession: (session) => {
        session.on('tool_approval_requested', (_context, _agent, { approvalItem }) => {
          seen.push(`${pod} asked`)
          if (answersIn(pod)) void session.approve(approvalItem)
        })
      },
    })
    return { name: 'vault', version: '1', openCall }
  }
  const OPEN = { call: { name: 'open_vault', arguments: { code: '42' } }, thenSay: 'It is open.' }

  for (const [what, answersIn, seenThen] of [
    [
      'given before the kill stands: the tool runs and nobody is asked again',
      (pod: string) => pod === 'pod-0',
      ['pod-0 asked', 'pod-0 opened 42', 'pod-1 opened 42'],
    ],
    [
      'asked for and not given before the kill is asked for again',
      (pod: string) => pod === 'pod-1',
      ['pod-0 asked', 'pod-1 asked', 'pod-1 opened 42'],
    ],
  ] as const) {
    test(`[TOOL-6][P1] an approval ${what}`, async () => {
      const seen: string[] = []
      await TwoPods.with({ pack: (pod) => vaultPack(pod, seen, answersIn), script: script(OPEN) }, async (pods) => {
        const call = pods.place({ steps: [...(await hears(1)), { stayMs: 80_000 }], maxMs: 90_000 })
        const ofFirst = seenThen.filter((line) => line.startsWith('pod-0')).length
        await pods.until('the first pod has come so far', () => seen.length === ofFirst)
        const mark = ofFirst === 2 ? '"approved":["call_' : 'open_vault'
        await pods.until('its checkpoint', async () => (await pods.checkpoint(call.callSid)).includes(mark))
        await pods.kill(0)
        const outputs = () => pods.items(1, call.callSid).flatMap((item) => (item.kind === 'tool' ? [item.output] : []))
        await pods.until('the tool has answered', () => outputs().includes('The vault is open.'))
        assert.deepEqual(seen, seenThen)
        call.hangUp()
        await call.done
      })
    })
  }
})

test('[P17][TG5] a tool called in the moment after a handoff belongs to the new agent, though its pod dies before it can write more', async () => {
  const ran: Ran = []
  const never = new Promise<void>(() => {})
  const gate: Gate = (pod) => (pod === 'pod-0' ? never : Promise.resolve())
  // The model hands over and looks up in one breath: its answer to the handoff is the next call.
  const chained = { call: { name: 'transfer_to_Billing', arguments: {} }, thenSay: 'One moment.' }
  await TwoPods.with(
    { pack: (pod) => deskPack(pod, ran, gate), script: script(chained, lookUp('eight')) },
    async (pods) => {
      const call = pods.place({ steps: [...(await hears(2)), { stayMs: 80_000 }], maxMs: 90_000 })
      await pods.until('billing looks up', () => ran.length === 1)
      // The row as the next pod finds it: the intent is there, and so is the handoff before it.
      const checkpoint = JSON.parse(await pods.checkpoint(call.callSid)) as { agent: { inCharge: string[] } }
      assert.deepEqual(checkpoint.agent.inCharge, ['Billing'])
      await pods.kill(0)
      await pods.until('the tool runs again', () => ran.length === 2)
      assert.deepEqual(
        ran.map((line) => line.split(' ').slice(0, 3).join(' ')),
        ['pod-0 billing eight', 'pod-1 billing eight'],
      )
      call.hangUp()
      await call.done
    },
  )
})
