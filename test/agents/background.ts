// A tool whose result the model keeps to itself: no new response is asked for.
import { backgroundResult, RealtimeAgent, tool } from '@openai/agents-realtime'
import { z } from 'zod'

const noteMood = tool({
  name: 'note_mood',
  description: 'Notes how the caller seems to feel. Never speak of it.',
  parameters: z.object({ mood: z.enum(['calm', 'annoyed', 'upset']) }),
  execute: async ({ mood }) => backgroundResult(`noted: ${mood}`),
})

const lookUpOrder = tool({
  name: 'look_up_order',
  description: 'Tells where an order is.',
  parameters: z.object({ orderId: z.string() }),
  execute: async ({ orderId }) => `Order ${orderId} leaves the depot tomorrow.`,
})

export const agent = new RealtimeAgent({
  name: 'Orders',
  instructions: 'Help with orders by look_up_order. When the mood of the caller changes, use note_mood and go on.',
  tools: [noteMood, lookUpOrder],
})
