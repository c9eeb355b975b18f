// The agent of the chaos runs: each of its tool calls has one effect in the world, at the sink. Given to the pods by AGENT_MODULE;
// SINK_URL is where the effect happens.
import { RealtimeAgent, tool } from '@openai/agents/realtime'
import { z } from 'zod'

type Context = { call: { callSid: string; effectKey(details: unknown): string } }

const SINK_WAIT_MS = 10_000

const recordStep = tool({
  name: 'record_step',
  description: 'Records a step of the conversation in the book. Use it once for each step.',
  parameters: z.object({ step: z.number().int() }),
  execute: async ({ step }, runContext, details) => {
    const { call } = (runContext?.context ?? {}) as Context
    const answer = await fetch(process.env.SINK_URL ?? '', {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'idempotency-key': call.effectKey(details) },
      body: JSON.stringify({ callSid: call.callSid, step }),
      signal: AbortSignal.timeout(SINK_WAIT_MS),
    })
    if (!answer.ok) throw new Error(`the book answered ${answer.status}`)
    return answer.text()
  },
})

/** The sink does each key once. */
export const toolEffects = { record_step: 'keyed' }

export const agent = new RealtimeAgent({
  name: 'Recorder',
  instructions: 'You talk with the caller and record each step of the conversation with record_step.',
  tools: [recordStep],
})
