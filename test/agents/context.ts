// A tool that reads the application's context and the history of the conversation.
import { RealtimeAgent, type RealtimeContextData, type RealtimeSessionOptions, tool } from '@openai/agents-realtime'
import { z } from 'zod'

type Membership = { plan: string; visitsLeft: number }

const checkMembership = tool({
  name: 'check_membership',
  description: "Tells the caller's plan and how many visits are left.",
  parameters: z.object({}),
  execute: async (_, run) => {
    const context = run?.context as RealtimeContextData<Membership> | undefined
    if (context === undefined) return 'No membership is known.'
    const turns = context.history.filter((item) => item.type === 'message').length
    return { plan: context.plan, visitsLeft: context.visitsLeft, turnsSoFar: turns }
  },
})

export const agent = new RealtimeAgent<Membership>({
  name: 'Members desk',
  instructions: (run) => `You answer members of the ${run.context.plan} plan. Use check_membership for their visits.`,
  tools: [checkMembership],
})

export const options: Partial<RealtimeSessionOptions<Membership>> = { context: { plan: 'Gold', visitsLeft: 3 } }
