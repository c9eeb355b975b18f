// An agent made per call, whose life is watched by the events of agent and session.
import { channel } from 'node:diagnostics_channel'
import { RealtimeAgent, type RealtimeSession, tool } from '@openai/agents-realtime'
import { z } from 'zod'

/** What is seen, in order: `<who>:<event>[:<name>]`. A channel, since who listens is in another copy of this module. */
const seen = { push: (event: string) => channel('test:hooks').publish(event) }

const openGate = tool({
  name: 'open_gate',
  description: 'Opens a gate.',
  parameters: z.object({ gate: z.string() }),
  execute: async ({ gate }) => `Gate ${gate} is open.`,
})

/** Makes the agents of one call. */
export function createAgent(): RealtimeAgent {
  const porter = new RealtimeAgent({
    name: 'Porter',
    instructions: 'You open gates with open_gate.',
    tools: [openGate],
  })
  const guide = new RealtimeAgent({ name: 'Guide', instructions: 'For gates hand over to Porter.', handoffs: [porter] })
  for (const agent of [guide, porter]) {
    agent.on('agent_start', () => seen.push(`${agent.name}:agent_start`))
    agent.on('agent_end', () => seen.push(`${agent.name}:agent_end`))
    agent.on('agent_handoff', (_context, next) => seen.push(`${agent.name}:agent_handoff:${next.name}`))
    agent.on('agent_tool_start', (_context, used) => seen.push(`${agent.name}:agent_tool_start:${used.name}`))
    agent.on('agent_tool_end', (_context, used) => seen.push(`${agent.name}:agent_tool_end:${used.name}`))
  }
  return guide
}

/** The same events as the session tells them. */
export function onSession(session: RealtimeSession): void {
  session.on('agent_start', (_context, agent) => seen.push(`session:agent_start:${agent.name}`))
  session.on('agent_end', (_context, agent) => seen.push(`session:agent_end:${agent.name}`))
  session.on('agent_handoff', (_context, from, to) => seen.push(`session:agent_handoff:${from.name}>${to.name}`))
  session.on('agent_tool_start', (_context, _agent, used) => seen.push(`session:agent_tool_start:${used.name}`))
  session.on('agent_tool_end', (_context, _agent, used) => seen.push(`session:agent_tool_end:${used.name}`))
}
