// Each example agent loads as an operator's module and behaves, in the SDK's own session, as the SDK documents.
import assert from 'node:assert/strict'
import { subscribe } from 'node:diagnostics_channel'
import { test } from 'node:test'
import { loadUserAgent } from '../../src/packs/user-agent.ts'
import { Rehearsal, recordingCall } from './rehearsal.ts'

const seen: string[] = []
subscribe('test:hooks', (event) => seen.push(String(event)))

const BASE = { baseDir: import.meta.dirname }

async function open(file: string): Promise<Rehearsal> {
  const pack = await loadUserAgent(file, BASE)
  assert.equal(pack.name, file.replace('.ts', ''))
  assert.match(pack.version, /^[0-9a-f]{12}$/)
  return new Rehearsal(await pack.openCall(recordingCall()))
}

test('a simple agent runs its tool', async () => {
  const rehearsal = await open('simple.ts')
  const config = await rehearsal.connect()
  assert.deepEqual(
    config.tools.map(({ name }) => name),
    ['get_forecast'],
  )
  const answer = await rehearsal.callTool('get_forecast', { town: 'Oslo' })
  assert.deepEqual([answer.output, answer.startResponse], ['In Oslo it is 14 degrees with light rain.', true])
  rehearsal.close()
})

test('[TOOL-6] a tool that needs approval runs when the session approves and not when it rejects', async () => {
  const rehearsal = await open('approval.ts')
  await rehearsal.connect()
  const small = await rehearsal.callTool('refund_order', { orderId: 'A1', amount: 20 })
  assert.equal(small.output, 'Paid 20 dollars back for order A1.')
  const large = await rehearsal.callTool('refund_order', { orderId: 'A2', amount: 900 })
  assert.equal(large.output, 'A person has to look at that amount first.')
  assert.deepEqual(rehearsal.errors, [])
  rehearsal.close()
})

test('a handoff changes agent and tools inside the session, and back again', async () => {
  const rehearsal = await open('handoffs.ts')
  const config = await rehearsal.connect()
  assert.deepEqual(
    config.tools.map(({ name }) => name),
    ['transfer_to_Billing'],
  )
  await rehearsal.callTool('transfer_to_Billing', {})
  assert.equal(rehearsal.session.currentAgent.name, 'Billing')
  const update = rehearsal.transport.calls.filter(({ method }) => method === 'updateSessionConfig').at(-1)
  assert.match(JSON.stringify(update), /check_invoice/)
  const invoice = await rehearsal.callForData<{ openDollars: number }>('check_invoice', { invoiceId: '7' })
  assert.equal(invoice.openDollars, 42)
  await rehearsal.callTool('transfer_to_Reception', {})
  assert.equal(rehearsal.session.currentAgent.name, 'Reception')
  rehearsal.close()
})

test('an output guardrail interrupts a forbidden promise and lets the rest pass', async () => {
  const rehearsal = await open('guardrail.ts')
  await rehearsal.connect()
  const tripped: string[] = []
  rehearsal.session.on('guardrail_tripped', (_context, _agent, error) => tripped.push(error.result.guardrail.name))
  await rehearsal.speak('With this account your savings stay within reach at all times, and you pay no fee.')
  assert.deepEqual(tripped, [])
  await rehearsal.speak('With this account you get guaranteed profits each year, whatever the market does.')
  assert.deepEqual(tripped, ['No promise of profit'])
  const methods = rehearsal.transport.calls.map(({ method }) => method)
  assert.ok(methods.includes('interrupt'))
  assert.ok(methods.includes('sendMessage'))
  rehearsal.close()
})

test('a tool reads its own context, the history, and the call', async () => {
  const rehearsal = await open('context.ts')
  const config = await rehearsal.connect()
  assert.match(config.instructions, /Gold plan/)
  rehearsal.transport.emit('item_update', {
    itemId: 'item_1',
    type: 'message',
    role: 'user',
    status: 'completed',
    content: [{ type: 'input_text', text: 'How many visits do I have?' }],
  })
  const answer = await rehearsal.callForData('check_membership', {})
  assert.deepEqual(answer, { plan: 'Gold', visitsLeft: 3, turnsSoFar: 1 })
  const context = rehearsal.session.context.context as unknown as { call: { from: string } }
  assert.equal(context.call.from, '+12025550100')
  rehearsal.close()
})

test('a background result asks for no response, an ordinary one does', async () => {
  const rehearsal = await open('background.ts')
  await rehearsal.connect()
  const noted = await rehearsal.callTool('note_mood', { mood: 'upset' })
  assert.deepEqual([noted.output, noted.startResponse], ['noted: upset', false])
  const found = await rehearsal.callTool('look_up_order', { orderId: '5' })
  assert.deepEqual([found.output, found.startResponse], ['Order 5 leaves the depot tomorrow.', true])
  rehearsal.close()
})

test('hooks of agents made per call and of the session see handoff and tools in order', async () => {
  const rehearsal = await open('hooks.ts')
  await rehearsal.connect()
  seen.length = 0
  await rehearsal.callTool('transfer_to_Porter', {})
  await rehearsal.callTool('open_gate', { gate: '4' })
  assert.deepEqual(seen, [
    'session:agent_start:Guide',
    'Guide:agent_start',
    'Guide:agent_handoff:Porter',
    'session:agent_handoff:Guide>Porter',
    'session:agent_start:Porter',
    'Porter:agent_start',
    'session:agent_tool_start:open_gate',
    'Porter:agent_tool_start:open_gate',
    'session:agent_tool_end:open_gate',
    'Porter:agent_tool_end:open_gate',
  ])
  rehearsal.close()
})

test('an agent made by a function is another one for each call; an exported one is shared', async () => {
  const perCall = await loadUserAgent('hooks.ts', BASE)
  const shared = await loadUserAgent('simple.ts', BASE)
  const open = async (pack: typeof shared) => (await pack.openCall(recordingCall())).agent
  assert.notEqual(await open(perCall), await open(perCall))
  assert.equal(await open(shared), await open(shared))
})
