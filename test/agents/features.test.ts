// What published agents use of the SDK, each in a whole call: handoffs with input, tools that fail, conditional approval, and a
// text agent that is asked by a tool.
import assert from 'node:assert/strict'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { Script, ScriptTurn } from '../../sim/openai/dialogue/script.ts'
import { loadUserAgent } from '../../src/packs/user-agent.ts'
import { keepingLog, type LogLine, Plane, type WitnessLine } from '../plane.ts'

const root = await mkdtemp(join(tmpdir(), 'voiceplane-features-'))
after(() => rm(root, { recursive: true, force: true }))
await symlink(fileURLToPath(new URL('../../node_modules', import.meta.url)), join(root, 'node_modules'))

const HEAD = `import { Agent, handoff, run, setDefaultOpenAIClient, setOpenAIAPI, setTracingDisabled } from '@openai/agents'
import { RealtimeAgent, tool } from '@openai/agents/realtime'
import OpenAI from 'openai'
import { z } from 'zod'
`
type Tool = { name: string; arguments: string; output: string | undefined }

/** Leads the agent of `source` through a call in which the model calls these tools; the tools as the transcript has them. */
async function toolsOf(
  name: string,
  source: string,
  calls: readonly NonNullable<ScriptTurn['call']>[],
): Promise<Tool[]> {
  const file = join(root, `${name}.ts`)
  await writeFile(file, HEAD + source)
  const turns = calls.map((call) => ({ call, thenSay: 'There you are.' }))
  const script: Script = { name: 'features', turns: [{ say: 'Hello.' }, ...turns] }
  let tools: Tool[] = []
  await Plane.with({ pack: await loadUserAgent(file), model: { scripts: [script] } }, async (plane) => {
    const line = await plane.say('Yes please')
    const finished = { waitForAgent: 'finished' as const, timeoutMs: 15_000 }
    const steps = [finished, ...calls.flatMap(() => [{ say: line }, finished]), { hangUp: true as const }]
    const report = await plane.call({ steps, maxMs: 90_000 })
    assert.equal(report.wasDropped, false)
    tools = plane.ended[0]!.call.state.transcript.items.filter((item) => item.kind === 'tool')
  })
  return tools
}

const outputs = (tools: readonly Tool[]): (string | undefined)[] => tools.map(({ output }) => output)

describe('an agent of the field', { concurrency: 4 }, () => {
  test('[A9] hands off with an input that its schema checks, and is told of it', async () => {
    const source = `
      const seen = { reason: 'none' }
      const told = tool({ name: 'why', description: 'Tells why.', parameters: z.object({}), execute: async () => seen.reason })
      const billing = new RealtimeAgent({ name: 'Billing', instructions: 'Help.', tools: [told] })
      export const agent = new RealtimeAgent({ name: 'Reception', instructions: 'Greet.', handoffs: [handoff(billing, {
        toolNameOverride: 'ask_billing', toolDescriptionOverride: 'For invoices.', inputType: z.object({ reason: z.string() }),
        onHandoff: async (_context, input) => { seen.reason = input!.reason },
      })] })`
    const tools = await toolsOf('handoff', source, [
      { name: 'ask_billing', arguments: { reason: 'a wrong invoice' } },
      { name: 'why', arguments: {} },
    ])
    assert.deepEqual(
      tools.map(({ name }) => name),
      ['ask_billing', 'why'],
    )
    assert.equal(tools[1]?.output, 'a wrong invoice')
  })

  test('[A9] answers for a tool that fails: by its own words, by the SDK’s, and the call goes on', async () => {
    const source = `
      const fail = () => { throw new Error('no database') }
      const own = tool({ name: 'own_words', description: 'Fails.', parameters: z.object({}), execute: fail,
        errorFunction: (_context, error) => 'Sorry: ' + (error as Error).message })
      const plain = tool({ name: 'sdk_words', description: 'Fails.', parameters: z.object({}), execute: fail })
      export default new RealtimeAgent({ name: 'Desk', instructions: 'Help.', tools: [own, plain] })`
    const calls = ['own_words', 'sdk_words', 'own_words'].map((name) => ({ name, arguments: {} }))
    const [first, second, third] = outputs(await toolsOf('failing', source, calls))
    assert.deepEqual([first, third], ['Sorry: no database', 'Sorry: no database'])
    assert.match(second ?? '', /error occurred while running the tool/)
  })

  test('[A9] asks for approval only where its condition says so', async () => {
    const source = `
      const pay = tool({ name: 'pay', description: 'Pays.', parameters: z.object({ dollars: z.number() }),
        needsApproval: async (_context, { dollars }) => dollars > 100, execute: async ({ dollars }) => 'paid ' + dollars })
      export const agent = new RealtimeAgent({ name: 'Desk', instructions: 'Help.', tools: [pay] })
      export const onSession = (session: any) => {
        session.on('tool_approval_requested', (_context: unknown, _agent: unknown, request: any) => {
          const { dollars } = JSON.parse(request.approvalItem.rawItem.arguments)
          if (dollars > 1000) session.reject(request.approvalItem, { message: 'Too much.' })
          else session.approve(request.approvalItem)
        })
      }`
    const calls = [50, 500, 5_000].map((dollars) => ({ name: 'pay', arguments: { dollars } }))
    assert.deepEqual(outputs(await toolsOf('approval', source, calls)), ['paid 50', 'paid 500', 'Too much.'])
  })

  test('[A9] asks a text agent from a tool, over the provider’s own API', async () => {
    const asked: string[] = []
    const server = createServer((request, response) => {
      const parts: Buffer[] = []
      request.on('data', (part: Buffer) => parts.push(part))
      request.on('end', () => {
        asked.push(`${request.method} ${request.url} ${Buffer.concat(parts).toString()}`)
        const content = [{ type: 'output_text', text: 'Give the caller ten percent.', annotations: [] }]
        const output = [{ type: 'message', id: 'msg_1', role: 'assistant', status: 'completed', content }]
        const usage = { input_tokens: 9, output_tokens: 6, total_tokens: 15 }
        response.setHeader('content-type', 'application/json')
        response.end(
          JSON.stringify({ id: 'resp_1', object: 'response', status: 'completed', model: 'm', output, usage }),
        )
      })
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    try {
      const { port } = server.address() as AddressInfo
      const source = `
        setTracingDisabled(true)
        setDefaultOpenAIClient(new OpenAI({ apiKey: 'a-key-for-tests', baseURL: 'http://127.0.0.1:${port}/v1' }) as never)
        const expert = new Agent({ name: 'Expert', instructions: 'Decide about discounts.', model: 'gpt-test' })
        const ask = tool({ name: 'ask_expert', description: 'Asks.', parameters: z.object({ question: z.string() }),
          execute: async ({ question }) => (await run(expert, question)).finalOutput ?? 'nothing' })
        export const agent = new RealtimeAgent({ name: 'Desk', instructions: 'Ask the expert.', tools: [ask] })`
      const tools = await toolsOf('text-agent', source, [
        { name: 'ask_expert', arguments: { question: 'How much off?' } },
      ])
      assert.deepEqual(outputs(tools), ['Give the caller ten percent.'])
      assert.match(asked[0] ?? '', /^POST \/v1\/responses .*How much off\?/)
    } finally {
      server.close()
    }
  })
})

describe('a hosted MCP tool', { concurrency: 2 }, () => {
  const server = (approval: string, more = '') => `
    import { hostedMcpTool } from '@openai/agents'
    const shop = hostedMcpTool({ serverLabel: 'shop', serverUrl: 'https://mcp.example.com', requireApproval: '${approval}' })
    export const agent = new RealtimeAgent({ name: 'Desk', instructions: 'Use the shop.', tools: [shop] })
    ${more}`
  const call = { name: 'find_order', arguments: { id: '7' }, server: 'shop', output: 'It is on its way.' }

  async function through(name: string, source: string) {
    const file = join(root, `${name}.ts`)
    await writeFile(file, HEAD + source)
    const script: Script = {
      name: 'mcp',
      turns: [{ say: 'Hello.' }, { call, thenSay: 'Your order is on its way.' }],
    }
    let said: string[] = []
    let log: WitnessLine[] = []
    const pack = await loadUserAgent(file)
    await Plane.with({ pack, model: { scripts: [script] } }, async (plane) => {
      const line = await plane.say('Yes please')
      const finished = { waitForAgent: 'finished' as const, timeoutMs: 8_000 }
      const steps = [finished, { say: line }, finished, { hangUp: true as const }]
      assert.equal((await plane.call({ steps, maxMs: 60_000 })).wasDropped, false)
      said = plane.ended[0]!.call.state.transcript.items.flatMap((item) => (item.kind === 'agent' ? [item.text] : []))
      log = await plane.witness()
    })
    assert.deepEqual(
      log.filter(({ event, code }) => event === 'client_error' && code !== 'item_retrieve_invalid_item_id'),
      [],
    )
    return { said, count: (event: string) => log.filter((one) => one.event === event).length }
  }

  test('[A9] is listed, called by the provider, and answered from', async () => {
    const events =
      "export const onSession = (session: any) => session.on('mcp_tools_changed', (tools: { name: string }[]) => channel('test:mcp').publish(tools.map(({ name }) => name)))"
    const listed: unknown[] = []
    const hear = (names: unknown) => listed.push(names)
    subscribe('test:mcp', hear)
    const { said, count } = await through(
      'mcp',
      `import { channel } from 'node:diagnostics_channel'\n${server('never', events)}`,
    )
    unsubscribe('test:mcp', hear)
    assert.deepEqual([count('mcp_listed'), count('mcp_approval_asked'), count('mcp_called')], [1, 0, 1])
    assert.deepEqual(listed, [['find_order']])
    assert.deepEqual(said, ['Hello.', 'Your order is on its way.'])
  })

  test('[A3] [A9] asks for no answer by itself when the option says so', async () => {
    const off = 'export const options = { automaticallyTriggerResponseForMcpToolCalls: false }'
    const { said, count } = await through('mcp-silent', server('never', off))
    assert.deepEqual([count('mcp_called'), said], [1, ['Hello.']])
  })

  test('[A9] runs when its approval was given, and never when it was refused', async () => {
    const decide = (verb: string) =>
      `export const onSession = (session: any) => session.on('tool_approval_requested', (_c: unknown, _a: unknown, request: any) => session.${verb}(request.approvalItem))`
    const [given, refused] = await Promise.all([
      through('mcp-approved', server('always', decide('approve'))),
      through('mcp-refused', server('always', decide('reject'))),
    ])
    assert.deepEqual(
      [given.count('mcp_approval_asked'), given.count('mcp_decided'), given.count('mcp_called')],
      [1, 1, 1],
    )
    assert.deepEqual(given.said, ['Hello.', 'Your order is on its way.'])
    assert.deepEqual([refused.count('mcp_decided'), refused.count('mcp_called')], [1, 0])
  })
})

test('[A9] a filter of a handoff, which a realtime session never asks, is named in the log', async () => {
  const file = join(root, 'filter.ts')
  const lines: LogLine[] = []
  await writeFile(
    file,
    `${HEAD}const billing = new RealtimeAgent({ name: 'Billing' })
    export const createAgent = () => new RealtimeAgent({ name: 'Desk', handoffs: [handoff(billing, { inputFilter: (data) => data })] })`,
  )
  const { recordingCall } = await import('./rehearsal.ts')
  await (await loadUserAgent(file, { log: keepingLog(lines) })).openCall(recordingCall())
  assert.match(String(lines[0]?.reason), /handoff of the agent Desk to Billing has an `inputFilter`/)
})
