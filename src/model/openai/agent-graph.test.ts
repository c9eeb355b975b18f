import assert from 'node:assert/strict'
import { test } from 'node:test'
import { handoff } from '@openai/agents'
import { RealtimeAgent } from '@openai/agents-realtime'
import { AGENTS_MAX, AgentGraph } from './agent-graph.ts'

type Agent = RealtimeAgent<unknown>
const agent = (name: string, ...handoffs: Agent[]): Agent => new RealtimeAgent<unknown>({ name, handoffs })

test('[P1][AG1] an agent is found again by its way, over circles and over handoff()', () => {
  const far = agent('Far')
  const billing = agent('Billing')
  const start = agent('Start', billing)
  billing.handoffs.push(start, handoff(far) as never)
  const graph = new AgentGraph(start)
  assert.deepEqual(
    [graph.pathOf(start), graph.pathOf(billing), graph.pathOf(far)],
    [[], ['Billing'], ['Billing', 'Far']],
  )
  for (const one of [start, billing, far]) assert.equal(graph.at(graph.pathOf(one)!), one)
  assert.equal(graph.pathOf(agent('Stranger')), undefined)
  assert.equal(graph.hasMany, true)
  assert.equal(new AgentGraph(far).hasMany, false)
})

test('[P1][AG1] agents of one name are told apart, under one agent and under two, and a name that looks like a number sign', () => {
  const twins = [agent('Desk'), agent('Desk'), agent('Desk#2')]
  const other = agent('Desk')
  const start = agent('Start', ...twins, agent('Night', other))
  const graph = new AgentGraph(start)
  const paths = [...twins, other].map((one) => graph.pathOf(one)!)
  assert.deepEqual(paths, [['Desk'], ['Desk#2'], ['Desk%232'], ['Night', 'Desk']])
  assert.deepEqual(
    paths.map((path) => graph.at(path)),
    [...twins, other],
  )
})

test('[AG1] an agent that no handoff reaches is found when it is offered beside', () => {
  const [start, beside] = [agent('Start'), agent('Beside', agent('Behind'))]
  const graph = new AgentGraph(start, [beside])
  assert.deepEqual(graph.pathOf(beside), ['', 'Beside'])
  assert.equal(graph.at(['', 'Beside', 'Behind']), beside.handoffs[0])
})

test('[AG2] a way of another release means the one agent of that name; of two it means none', () => {
  const billing = agent('Billing')
  const graph = new AgentGraph(agent('Start', agent('Front', billing)))
  assert.equal(graph.at(['Billing']), billing)
  assert.equal(graph.at(['Gone']), undefined)
  const two = new AgentGraph(agent('Start', agent('Front', agent('Billing')), agent('Back', agent('Billing'))))
  assert.equal(two.at(['Elsewhere', 'Billing']), undefined)
})

test('[AG3] a graph without end is looked at up to its bound', () => {
  const start = agent('Start')
  let last = start
  for (let i = 0; i < AGENTS_MAX + 5; i += 1) {
    const next = agent(`A${i}`)
    last.handoffs.push(next)
    last = next
  }
  const graph = new AgentGraph(start)
  assert.equal(graph.pathOf(last), undefined)
  assert.equal(graph.pathOf(start.handoffs[0] as Agent)?.length, 1)
})
