// The acceptance case of the SDK seam: agents that know nothing of Voiceplane run unchanged through the whole plane.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { Script } from '../sim/openai/dialogue/script.ts'
import { loadUserAgent } from '../src/packs/user-agent.ts'
import { Plane, type WitnessLine } from './plane.ts'

const HELLO = { say: 'Hello.' }

/** Runs the agent of `file` through one call whose model follows `script`; gives the model's log and the call's tools. */
async function run(
  file: string,
  script: Script,
  callerLines = 1,
): Promise<{ log: WitnessLine[]; outputs: string[]; said: string[] }> {
  const pack = await loadUserAgent(fileURLToPath(new URL(`./agents/${file}.ts`, import.meta.url)))
  const plane = await Plane.open({ pack, model: { scripts: [script] } })
  try {
    const line = await plane.say('Yes please')
    const turn = [{ say: line }, { waitForAgent: 'finished' as const, timeoutMs: 4_000 }]
    const steps = [
      { waitForAgent: 'finished' as const, timeoutMs: 6_000 },
      ...Array.from({ length: callerLines }, () => turn).flat(),
      { hangUp: true as const },
    ]
    const report = await plane.call({ steps, maxMs: 25_000 })
    assert.equal(report.wasDropped, false)
    await plane.settled()
    const { items } = plane.ended[0]!.call.state.transcript
    return {
      log: await plane.witness(),
      outputs: items.flatMap((item) => (item.kind === 'tool' ? [item.output ?? ''] : [])),
      said: items.flatMap((item) => (item.kind === 'agent' ? [item.text] : [])),
    }
  } finally {
    await plane.close()
  }
}

const calling = (name: string, args: object, thenSay = 'There you are.'): Script => ({
  name: 'acceptance',
  turns: [HELLO, { call: { name, arguments: args as Record<string, unknown> }, thenSay }],
})

test('[AR1] a tool that needs approval runs when the session approves, and not when it refuses', async () => {
  const paid = await run('approval', calling('refund_order', { orderId: 'A1', amount: 20 }))
  assert.deepEqual(paid.outputs, ['Paid 20 dollars back for order A1.'])
  const refused = await run('approval', calling('refund_order', { orderId: 'A1', amount: 900 }))
  assert.match(refused.outputs[0] ?? '', /person has to look/)
})

test('[AR1] a handoff changes instructions and tools inside one session, and the new agent uses its own tool', async () => {
  const script: Script = {
    name: 'acceptance',
    turns: [
      HELLO,
      { call: { name: 'transfer_to_Billing', arguments: {} }, thenSay: 'This is billing.' },
      { call: { name: 'check_invoice', arguments: { invoiceId: '7' } }, thenSay: 'It is open.' },
    ],
  }
  const { log, outputs } = await run('handoffs', script, 2)
  assert.equal(log.filter(({ event }) => event === 'session_opened').length, 1)
  assert.match(outputs[0] ?? '', /Billing/)
  assert.match(outputs[1] ?? '', /"openDollars":42/)
})

test('[AR1] an output guardrail interrupts the agent while it speaks, and it corrects itself', async () => {
  const script: Script = {
    name: 'acceptance',
    turns: [
      HELLO,
      {
        say: 'With this account you have guaranteed profits every single year, whatever the market does, and I can tell you much more about that.',
      },
      { say: 'I am sorry, value can fall as well as rise.' },
    ],
  }
  const { log } = await run('guardrail', script)
  assert.ok(log.filter(({ event }) => event === 'response_created').length >= 3, 'a correction was asked for')
  assert.ok(
    log.some(({ event, ok }) => event === 'truncate' && ok === true),
    'the forbidden speech was truncated',
  )
})

test('[AR1] a tool sees the context and the history of its own call', async () => {
  const { outputs } = await run('context', calling('check_membership', {}))
  assert.match(outputs[0] ?? '', /"plan":"Gold","visitsLeft":3,"turnsSoFar":[1-9]/)
})

test('[AR1] a background result asks for no further response', async () => {
  const { log, outputs } = await run('background', calling('note_mood', { mood: 'calm' }, 'must not be said'))
  assert.deepEqual(outputs, ['noted: calm'])
  assert.equal(log.filter(({ event }) => event === 'response_created').length, 2)
})

test('[AR1] the events of agent and session come in the order of the SDK', async () => {
  const { seen } = (await import('./agents/hooks.ts')) as { seen: string[] }
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
  assert.match(outputs[1] ?? '', /Gate north is open/)
  const order = [
    'Guide:agent_start',
    'Guide:agent_handoff:Porter',
    'session:agent_handoff:Guide>Porter',
    'session:agent_tool_start:open_gate',
    'session:agent_tool_end:open_gate',
  ]
  const places = order.map((event) => seen.indexOf(event))
  assert.ok(
    places.every((at) => at >= 0),
    seen.join('\n'),
  )
  assert.deepEqual(
    [...places].sort((a, b) => a - b),
    places,
  )
})

test('[AR1] the simplest agent answers with its tool', async () => {
  const pack = await loadUserAgent(fileURLToPath(new URL('./agents/simple.ts', import.meta.url)))
  const tools = (await pack.openCall({} as never)).agent.tools as { name: string }[]
  const { outputs } = await run('simple', {
    name: 'acceptance',
    turns: [
      HELLO,
      {
        call: { name: tools[0]!.name, arguments: { city: 'Oslo', town: 'Oslo', location: 'Oslo' } },
        thenSay: 'That is it.',
      },
    ],
  })
  assert.equal(outputs.length, 1)
  assert.notEqual(outputs[0], '')
})
