// The acceptance case of the SDK seam: agents that know nothing of Voiceplane run unchanged through the whole plane.
import assert from 'node:assert/strict'
import { subscribe } from 'node:diagnostics_channel'
import { describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { Script } from '../sim/openai/dialogue/script.ts'
import type { Pack } from '../src/packs/pack.ts'
import { loadUserAgent } from '../src/packs/user-agent.ts'
import { Plane, type WitnessLine } from './plane.ts'

const seen: string[] = []
subscribe('test:hooks', (event) => seen.push(String(event)))

const HELLO = { say: 'Hello.' }

type Outcome = { log: WitnessLine[]; outputs: string[]; said: string[]; items: string[] }

/** Runs the agent of `file` through one call whose model follows `script`: what the model's log, the transcript and the wire held. */
async function run(file: string, script: Script, callerLines = 1): Promise<Outcome> {
  const pack = await loadUserAgent(fileURLToPath(new URL(`./agents/${file}.ts`, import.meta.url)))
  let outcome: Outcome | undefined
  await Plane.with({ pack, hasRelay: true, model: { scripts: [script] } }, async (plane) => {
    const line = await plane.say('Yes please')
    const turn = [{ say: line }, { waitForAgent: 'finished' as const, timeoutMs: 4_000 }]
    const steps = [
      { waitForAgent: 'finished' as const, timeoutMs: 6_000 },
      ...Array.from({ length: callerLines }, () => turn).flat(),
      { hangUp: true as const },
    ]
    const report = await plane.call({ steps, maxMs: 25_000 })
    assert.equal(report.wasDropped, false)
    const log = await plane.witness()
    assert.deepEqual(
      log.filter(({ event, code }) => event === 'client_error' && code !== 'item_retrieve_invalid_item_id'),
      [],
    )
    const { items } = plane.ended[0]!.call.state.transcript
    outcome = {
      log,
      outputs: items.flatMap((item) => (item.kind === 'tool' ? [item.output ?? ''] : [])),
      said: items.flatMap((item) => (item.kind === 'agent' ? [item.text] : [])),
      items: plane.relay!.itemsOf(0),
    }
  })
  return outcome!
}

const calling = (name: string, args: object, thenSay = 'There you are.'): Script => ({
  name: 'acceptance',
  turns: [HELLO, { call: { name, arguments: args as Record<string, unknown> }, thenSay }],
})

/** The tools that the model was told of, one list for each session.update that it acknowledged. */
const toolsTold = (log: WitnessLine[]): string[][] =>
  log.filter(({ event }) => event === 'session_updated').map(({ tools }) => tools as string[])

const count = (log: WitnessLine[], name: string): number => log.filter(({ event }) => event === name).length

describe('an agent written for the SDK', { concurrency: 8 }, () => {
  test('[TALK-6][AR1] answers with its tool', async () => {
    const { outputs, said } = await run('simple', calling('get_forecast', { town: 'Oslo' }))
    assert.deepEqual(outputs, ['In Oslo it is 14 degrees with light rain.'])
    assert.deepEqual(said, ['Hello.', 'There you are.'])
  })

  test('[TALK-6][AR1] has a tool that needs approval: it runs when the session approves', async () => {
    const { outputs } = await run('approval', calling('refund_order', { orderId: 'A1', amount: 20 }))
    assert.deepEqual(outputs, ['Paid 20 dollars back for order A1.'])
  })

  test('[AR1] has a tool that needs approval: it does not run when the session refuses, and the model is told so', async () => {
    const { outputs, said } = await run('approval', calling('refund_order', { orderId: 'A1', amount: 900 }))
    assert.deepEqual(outputs, ['A person has to look at that amount first.'])
    assert.equal(said.at(-1), 'There you are.')
  })

  test('[TALK-6][AR1] hands off inside one session: instructions and tools change, and the new agent uses its own', async () => {
    const script: Script = {
      name: 'acceptance',
      turns: [
        HELLO,
        { call: { name: 'transfer_to_Billing', arguments: {} }, thenSay: 'This is billing.' },
        { call: { name: 'check_invoice', arguments: { invoiceId: '7' } }, thenSay: 'It is open.' },
      ],
    }
    const { log, outputs, said } = await run('handoffs', script, 2)
    assert.equal(count(log, 'session_opened'), 1)
    assert.deepEqual(toolsTold(log), [['transfer_to_Billing'], ['check_invoice', 'transfer_to_Reception']])
    assert.match(outputs[0] ?? '', /Billing/)
    assert.deepEqual(JSON.parse(outputs[1] ?? ''), { invoiceId: '7', openDollars: 42 })
    assert.deepEqual(said, ['Hello.', 'This is billing.', 'It is open.'])
  })

  test('[TALK-6][AR1] has an output guardrail: it interrupts the agent while it speaks, and the agent corrects itself', async () => {
    const promise =
      'With this account you have guaranteed profits every single year, whatever the market does, and I can tell you more.'
    const script: Script = {
      name: 'acceptance',
      turns: [HELLO, { say: promise }, { say: 'I am sorry, value can fall as well as rise.' }],
    }
    const { log, items } = await run('guardrail', script)
    assert.ok(
      log.some(({ event, ok }) => event === 'truncate' && ok === true),
      'the forbidden speech was not truncated',
    )
    assert.ok(count(log, 'response_created') >= 3, 'no correction was asked for')
    assert.ok(
      items.some((item) => item.startsWith('user: ') && item.includes('Do not promise a profit')),
      `the policy was not told to the model: ${items.join('; ')}`,
    )
  })

  test('[AR1] has a tool that sees the context and the history of its own call', async () => {
    const { outputs } = await run('context', calling('check_membership', {}))
    assert.match(outputs[0] ?? '', /"plan":"Gold","visitsLeft":3,"turnsSoFar":[1-9]/)
  })

  test('[AR1] has a background result: no further response is asked for', async () => {
    const { log, outputs, said } = await run('background', calling('note_mood', { mood: 'calm' }, 'Must not be said.'))
    assert.deepEqual(outputs, ['noted: calm'])
    assert.deepEqual(said, ['Hello.'])
    assert.equal(count(log, 'response_created'), 2)
  })

  test('[AR1] listens to agent and session: the events come in the order in which the SDK gives them', async () => {
    seen.length = 0
    const script: Script = {
      name: 'acceptance',
      turns: [
        HELLO,
        { call: { name: 'transfer_to_Porter', arguments: {} }, thenSay: 'Porter here.' },
        { call: { name: 'open_gate', arguments: { gate: 'north' } }, thenSay: 'Open.' },
      ],
    }
    const { outputs } = await run('hooks', script, 2)
    assert.equal(outputs[1], 'Gate north is open.')
    const order = [
      'Guide:agent_start',
      'Guide:agent_handoff:Porter',
      'session:agent_handoff:Guide>Porter',
      'session:agent_start:Porter',
      'Porter:agent_start',
      'session:agent_tool_start:open_gate',
      'Porter:agent_tool_start:open_gate',
      'session:agent_tool_end:open_gate',
      'Porter:agent_tool_end:open_gate',
    ]
    const firsts = [...new Set(seen)].filter((event) => order.includes(event))
    assert.deepEqual(firsts, order, seen.join(' '))
    assert.ok(
      seen.some((event) => event === 'Porter:agent_end'),
      seen.join(' '),
    )
  })

  test('[A7][AT6] listens to raw events: it gets those of the session, of turns and of the agent’s words, and no audio; nobody else pays', async () => {
    const heard: string[] = []
    const pack = await loadUserAgent(fileURLToPath(new URL('./agents/simple.ts', import.meta.url)))
    const listening: Pack = {
      ...pack,
      openCall: async (call) => ({
        ...(await pack.openCall(call)),
        onSession: (session) => session.on('transport_event', ({ type }) => heard.push(type)),
      }),
    }
    const model = { scripts: [calling('get_forecast', { town: 'Oslo' })] }
    await Plane.with({ pack: listening, model }, async (plane) => {
      const steps = [
        { waitForAgent: 'finished' as const, timeoutMs: 6_000 },
        { say: await plane.say('Yes please') },
        { waitForAgent: 'finished' as const, timeoutMs: 6_000 },
      ]
      await plane.call({ steps, maxMs: 25_000 })
    })
    for (const type of [
      'session.created',
      'session.updated',
      'input_audio_buffer.speech_started',
      'input_audio_buffer.speech_stopped',
      'input_audio_buffer.committed',
      'response.output_audio_transcript.delta',
      'response.output_audio_transcript.done',
      'response.created',
      'response.done',
    ])
      assert.ok(heard.includes(type), `${type} is not in ${[...new Set(heard)].join(', ')}`)
    assert.ok(!heard.includes('response.output_audio.delta'))
    assert.equal(heard.filter((type) => type === 'session.created').length, 1)
    assert.equal(
      heard.filter((type) => type === 'response.created').length,
      heard.filter((type) => type === 'response.done').length,
    )
  })
})
