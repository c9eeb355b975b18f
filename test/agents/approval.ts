// A tool that runs only after somebody approved it: small refunds by rule, large ones never.
import { RealtimeAgent, type RealtimeSession, tool } from '@openai/agents-realtime'
import { z } from 'zod'

const SMALL_AMOUNT = 50

const refundOrder = tool({
  name: 'refund_order',
  description: 'Pays the price of an order back.',
  parameters: z.object({ orderId: z.string(), amount: z.number() }),
  needsApproval: true,
  execute: async ({ orderId, amount }) => `Paid ${amount} dollars back for order ${orderId}.`,
})

export const agent = new RealtimeAgent({
  name: 'Refunds',
  instructions:
    'You pay orders back. Ask for the order and the amount, then use refund_order, and say what came of it.',
  tools: [refundOrder],
})

/** The session's own events decide, as in an application that holds the session. */
export function onSession(session: RealtimeSession): void {
  session.on('tool_approval_requested', (_context, _agent, request) => {
    const { rawItem } = request.approvalItem
    const asked = JSON.parse('arguments' in rawItem ? (rawItem.arguments ?? '{}') : '{}') as { amount?: number }
    if ((asked.amount ?? Number.POSITIVE_INFINITY) <= SMALL_AMOUNT) void session.approve(request.approvalItem)
    else void session.reject(request.approvalItem, { message: 'A person has to look at that amount first.' })
  })
}
