// Three desks that hand callers to each other, each with tools of the same names: the agents of the run `moves`. Their tools have an
// effect at the sink, which says whose tool it was. The session approves one tool, takes items out of the history and puts notes in.
import { RealtimeAgent, type RealtimeSession, type RealtimeSessionOptions, tool } from '@openai/agents/realtime'
import { z } from 'zod'

type Context = { call: { callSid: string; effectKey(details: unknown): string }; steps?: number }

const SINK_WAIT_MS = 10_000
const APPROVED_AFTER_MS = 400
/** The history is edited at every so many tools. */
const EDIT_EVERY = 3
const HISTORY_KEPT = 12

async function write(owner: string, step: number, context: Context, details: unknown): Promise<string> {
  const { call } = context
  const answer = await fetch(process.env.SINK_URL ?? '', {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'idempotency-key': call.effectKey(details) },
    body: JSON.stringify({ callSid: call.callSid, step, owner }),
    signal: AbortSignal.timeout(SINK_WAIT_MS),
  })
  if (!answer.ok) throw new Error(`the book answered ${answer.status}`)
  context.steps = (context.steps ?? 0) + 1
  return `${owner}: ${await answer.text()}`
}

function desk(name: string, voice: string): RealtimeAgent<unknown> {
  const parameters = z.object({ step: z.number().int() })
  const lookup = tool({
    name: 'lookup',
    description: `Looks something up at ${name}.`,
    parameters,
    execute: ({ step }, run, details) => write(name, step, run?.context as Context, details),
  })
  const refund = tool({
    name: 'refund',
    description: `Pays money back from ${name}.`,
    parameters,
    needsApproval: true,
    execute: ({ step }, run, details) => write(name, step, run?.context as Context, details),
  })
  return new RealtimeAgent<unknown>({
    name,
    voice,
    instructions: `You are ${name}. Use your own tools.`,
    tools: [lookup, refund],
  })
}

/** Makes the desks of one call; the first is Reception. */
export function createAgent(): RealtimeAgent<unknown> {
  const desks = [desk('Reception', 'marin'), desk('Billing', 'cedar'), desk('Support', 'alloy')]
  for (const one of desks) one.handoffs.push(...desks.filter((other) => other !== one))
  return desks[0]!
}

export function onSession(session: RealtimeSession<unknown>): void {
  let tools = 0
  session.on('tool_approval_requested', (_context, _agent, request) => {
    setTimeout(() => void session.approve(request.approvalItem).catch(() => {}), APPROVED_AFTER_MS)
  })
  session.on('agent_tool_end', () => {
    tools += 1
    if (tools % EDIT_EVERY !== 0) return
    const excess = session.history.filter(({ type }) => type === 'message').slice(0, -HISTORY_KEPT)
    session.updateHistory((history) => history.filter((item) => !excess.includes(item)))
    const content = [{ type: 'input_text', text: `Note ${tools}: be brief.` }]
    session.transport.sendEvent({
      type: 'conversation.item.create',
      item: { type: 'message', role: 'system', content },
    })
  })
}

/** The sink does each key once. */
export const toolEffects = { lookup: 'keyed', refund: 'keyed' }

export const options: Partial<RealtimeSessionOptions<unknown>> = {
  outputGuardrails: [
    {
      name: 'No guarantee',
      policyHint: 'Promise nothing.',
      execute: async ({ agentOutput }) => ({ tripwireTriggered: agentOutput.includes('guaranteed'), outputInfo: {} }),
    },
  ],
}
