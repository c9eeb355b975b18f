// The agent of the run "turns": two tools without effect, one of them slow, and a colleague. Given to the pods by AGENT_MODULE.
import { setTimeout as sleep } from 'node:timers/promises'
import { RealtimeAgent, tool } from '@openai/agents/realtime'
import { z } from 'zod'

const SLOW_MS = 3_000

const lookUp = tool({
  name: 'look_up',
  description: 'Tells the weather of a town.',
  parameters: z.object({ town: z.string() }),
  execute: async ({ town }) => `In ${town} it is 14 degrees.`,
})

const findRoom = tool({
  name: 'find_room',
  description: 'Looks for a free room on a day.',
  parameters: z.object({ day: z.string() }),
  execute: async ({ day }) => {
    await sleep(SLOW_MS)
    return `There is a room on ${day}.`
  },
})

const colleague = new RealtimeAgent({ name: 'Colleague', instructions: 'You know the rest.' })

export const agent = new RealtimeAgent({
  name: 'Front',
  instructions: 'You talk with the caller about the weather and about rooms.',
  tools: [lookUp, findRoom],
  handoffs: [colleague],
})
