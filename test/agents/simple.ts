// An agent with one tool, as small as the SDK allows. Knows nothing of Voiceplane.
import { RealtimeAgent, tool } from '@openai/agents/realtime'
import { z } from 'zod'

const getForecast = tool({
  name: 'get_forecast',
  description: 'Tells the weather of a town.',
  parameters: z.object({ town: z.string() }),
  execute: async ({ town }) => `In ${town} it is 14 degrees with light rain.`,
})

export const agent = new RealtimeAgent({
  name: 'Forecaster',
  instructions: 'You tell callers the weather. Ask for the town, then use get_forecast. Keep it to one sentence.',
  tools: [getForecast],
  voice: 'marin',
})
