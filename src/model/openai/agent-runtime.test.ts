// An agent among others, with the SDK's own session: whose tool runs, and with what a session goes on.
import assert from 'node:assert/strict'
import { afterEach, test } from 'node:test'
import { RealtimeAgent, type RealtimeSession, tool } from '@openai/agents-realtime'
import { z } from 'zod'
import { type AgentState, NEW_AGENT } from '../../call/agent-state.ts'
import { type Log, silentLog } from '../../kit/log.ts'
import { until } from '../../kit/testing/patience.ts'
import type { PackCall } from '../../packs/pack.ts'
import { type AgentOwner, AgentRuntime } from './agent-runtime.ts'
import { NOBODY_DECIDES, UnheardApprovals } from './unheard-approvals.ts'
import type { ServerEvent } from './wire.ts'

const toClose: AgentRuntime[] = []
afterEach(() => {
  for (const runtime of toClose.splice(0)) runtime.close()
})

/** Reception and Billing, each with a tool `lookup`; Reception hands over to Billing. */
class Desk implements AgentOwner {
  readonly ran: string[] = []
  readonly answers: string[] = []
  readonly seen: string[] = []
  readonly warnings: string[] = []
  configured = 0
  runtime!: AgentRuntime
  session!: RealtimeSession<unknown>

  static async open(begin: AgentState = NEW_AGENT, more: Partial<PackCall> = {}): Promise<Desk> {
    const desk = new Desk()
    const billing = desk.agent('Billing')
    const reception = desk.agent('Reception', billing)
    const packCall: PackCall = { agent: reception, onSession: (session) => desk.#watch(session), ...more }
    const defaults = { audio: 'pcmu' as const, turnDetection: {}, transcription: null, voice: undefined }
    const log: Log = { ...silentLog, warn: (_fields, message) => desk.warnings.push(message) }
    const options = { model: 'm', defaults: { ...defaults, bargeIn: true, autoRespond: true }, log, begin }
    desk.runtime = new AgentRuntime(packCall, options, desk)
    toClose.push(desk.runtime)
    desk.runtime.start()
    await until('the session', () => desk.configured > 0)
    await new Promise((resolve) => setImmediate(resolve))
    return desk
  }
  agent(name: string, ...handoffs: RealtimeAgent<unknown>[]): RealtimeAgent<unknown> {
    const lookup = tool({
      name: 'lookup',
      description: `Looks up at ${name}.`,
      parameters: z.object({ what: z.string() }),
      execute: async ({ what }) => {
        this.ran.push(`${name} ${what}`)
        return `${name} knows ${what}`
      },
    })
    return new RealtimeAgent<unknown>({ name, instructions: `You are ${name}.`, tools: [lookup], handoffs })
  }
  #watch(session: RealtimeSession<unknown>): void {
    this.session = session
    session.on('agent_start', (_context, agent) => this.seen.push(`start ${agent.name}`))
    session.on('agent_handoff', (_context, from, to) => this.seen.push(`${from.name} to ${to.name}`))
  }
  configure(): void {
    this.configured += 1
  }
  sendClientEvent(): void {}
  wantResponse(): void {}
  wantInterrupt(): void {}
  agentChanged(): void {}
  agentFailed(message: string): void {
    assert.fail(message)
  }
  toolFailed(): void {}
  isToolAnswered(): boolean {
    return false
  }
  toolAnswered(_toolCallId: string, _name: string, output: string): void {
    this.answers.push(output)
  }
  began(id: string): void {
    this.runtime.deliver({ type: 'response.created', event_id: 'e', response: { id } })
  }
  done(id: string): void {
    this.runtime.deliver({ type: 'response.done', event_id: 'e', response: { id, output: [] } })
  }
  callOf(response_id: string, call_id: string, name: string, args: object): ServerEvent {
    const item = { id: `i_${call_id}`, type: 'function_call', status: 'completed', call_id, name }
    const whole = { ...item, arguments: JSON.stringify(args) }
    return { type: 'response.output_item.done', event_id: 'e', response_id, output_index: 0, item: whole }
  }
}

test('[P17][AR5] a tool that waited for its gate runs under its own agent, though another one has taken over since', async () => {
  const desk = await Desk.open()
  desk.began('r1')
  const owner = desk.runtime.ownerOf('r1')
  assert.deepEqual(owner, [])
  assert.equal(desk.runtime.runTool(desk.callOf('r1', 'c1', 'transfer_to_Billing', {}), owner), true)
  desk.done('r1')
  await until('the handoff', () => desk.session.currentAgent.name === 'Billing')
  assert.equal(desk.runtime.runTool(desk.callOf('r1', 'c2', 'lookup', { what: 'late' }), owner), true)
  // Meanwhile the new agent begins to answer: its response is its own, whatever is taken under the other for a moment.
  await Promise.resolve()
  assert.deepEqual(desk.runtime.carried().inCharge, ['Billing'])
  desk.began('r2')
  await until('the answer', () => desk.answers.length === 2)
  await until('the response', () => desk.seen.includes('start Billing'))
  assert.deepEqual(desk.runtime.ownerOf('r2'), ['Billing'])
  desk.runtime.runTool(desk.callOf('r2', 'c3', 'lookup', { what: 'now' }), desk.runtime.ownerOf('r2'))
  await until('the last answer', () => desk.answers.length === 3)
  assert.deepEqual(desk.ran, ['Reception late', 'Billing now'])
  assert.equal(desk.session.currentAgent.name, 'Billing')
  assert.deepEqual(desk.seen, ['start Reception', 'Reception to Billing', 'start Billing'])
})

test('[P17][AR5] tools of two agents that were running elsewhere run under their own, in a session that goes on with one of them', async () => {
  const desk = await Desk.open({ ...NEW_AGENT, inCharge: ['Billing'] })
  assert.equal(desk.session.currentAgent.name, 'Billing')
  desk.runtime.runTool(desk.callOf('vp-pending', 'c1', 'lookup', { what: 'one' }), [])
  desk.runtime.runTool(desk.callOf('vp-pending', 'c2', 'lookup', { what: 'two' }), ['Billing'])
  await Promise.resolve()
  desk.runtime.runTool(desk.callOf('vp-pending', 'c3', 'lookup', { what: 'three' }), [])
  desk.runtime.runTool(desk.callOf('vp-pending', 'c4', 'lookup', { what: 'four' }), ['Billing'])
  await until('the answers', () => desk.answers.length === 4)
  assert.deepEqual(desk.ran.toSorted(), ['Billing four', 'Billing two', 'Reception one', 'Reception three'])
  await until('the agent in charge', () => desk.session.currentAgent.name === 'Billing')
  assert.deepEqual([desk.seen, desk.runtime.carried().inCharge], [[], ['Billing']])
})

test('[P17][AR5] a tool whose agent is in no release any more does not run under another', async () => {
  const desk = await Desk.open()
  assert.equal(desk.runtime.runTool(desk.callOf('r', 'c', 'lookup', { what: 'x' }), ['Gone']), false)
  assert.deepEqual(desk.ran, [])
})

test('[P1][AR6] an agent in charge that is not there any more gives way to the first, and that is said', async () => {
  const desk = await Desk.open({ ...NEW_AGENT, inCharge: ['Gone'] })
  assert.equal(desk.session.currentAgent.name, 'Reception')
  assert.deepEqual(desk.warnings, ['the agent in charge is not in this release of the module: the first one goes on'])
})

test('[P1][AG1] an agent put in charge by code is carried when it is offered beside, else the one before, and that is said once', async () => {
  const night = new RealtimeAgent<unknown>({ name: 'Night', instructions: 'You are night.' })
  const desk = await Desk.open(NEW_AGENT, { agents: [night] })
  await desk.session.updateAgent(night)
  assert.deepEqual(desk.runtime.carried().inCharge, ['', 'Night'])
  await desk.session.updateAgent(new RealtimeAgent<unknown>({ name: 'Stray', instructions: 'x' }))
  desk.runtime.carried()
  assert.deepEqual(desk.runtime.carried().inCharge, ['', 'Night'])
  assert.equal(desk.warnings.length, 1)
})

/** A desk whose first agent has a tool that needs an approval. */
async function approvalDesk(needsApproval: boolean | (() => Promise<boolean>), onSession?: PackCall['onSession']) {
  const pay = tool({
    name: 'pay',
    description: 'Pays.',
    parameters: z.object({ dollars: z.number() }),
    needsApproval: typeof needsApproval === 'boolean' ? needsApproval : async (_context, _input) => needsApproval(),
    execute: async () => 'paid',
  })
  const cashier = new RealtimeAgent<unknown>({ name: 'Cashier', instructions: 'x', tools: [pay] })
  const first = new RealtimeAgent<unknown>({ name: 'First', instructions: 'x', handoffs: [cashier] })
  const desk = await Desk.open(
    { ...NEW_AGENT, inCharge: ['Cashier'] },
    { agent: first, ...(onSession ? { onSession } : { onSession: () => {} }) },
  )
  desk.began('r1')
  desk.runtime.runTool(desk.callOf('r1', 'c1', 'pay', { dollars: 5 }), ['Cashier'])
  await until('the answer', () => desk.answers.length === 1)
  return desk
}

test('[P72][UHA1][UHA2] a tool that nobody can approve is warned of when the session begins, and refused in words at once', async () => {
  for (const rule of [true, async () => true]) {
    const desk = await approvalDesk(rule)
    assert.deepEqual(desk.answers, [NOBODY_DECIDES])
    assert.match(desk.warnings[0]!, /nobody listens/)
    assert.deepEqual(desk.warnings.length, 2)
  }
})

test('[P72][UHA1][UHA2] a listener decides, and a tool that needs no approval is not spoken of', async () => {
  const approved = await approvalDesk(true, (session) => {
    session.on('tool_approval_requested', (_context, _agent, { approvalItem }) => void session.approve(approvalItem))
  })
  const once = await approvalDesk(true, (session) => {
    session.once('tool_approval_requested', (_context, _agent, { approvalItem }) => void session.approve(approvalItem))
  })
  const free = await approvalDesk(false)
  for (const desk of [approved, once, free]) assert.deepEqual([desk.answers, desk.warnings], [['paid'], []])
})

test('[P72][UHA2] a pod warns once of a tool, however many calls have it', async () => {
  const unheard = new UnheardApprovals()
  const lines: string[] = []
  const log: Log = { ...silentLog, warn: (_fields, message) => lines.push(message) }
  const session = { listenerCount: () => 1 } as unknown as RealtimeSession<unknown>
  const hosted = { type: 'hosted_tool', name: 'mcp', providerData: { require_approval: 'always' } } as never
  const agents = [new RealtimeAgent<unknown>({ name: 'A', instructions: 'x', tools: [hosted] })]
  for (let call = 0; call < 3; call += 1) await unheard.warn(session, agents, log)
  assert.equal(lines.length, 1)
})
