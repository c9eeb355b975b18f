// Two agents in one session that hand the caller to each other.
import { RealtimeAgent, tool } from '@openai/agents-realtime'
import { z } from 'zod'

const checkInvoice = tool({
  name: 'check_invoice',
  description: 'Tells what is still to be paid on an invoice.',
  parameters: z.object({ invoiceId: z.string() }),
  execute: async ({ invoiceId }) => ({ invoiceId, openDollars: 42 }),
})

export const billing: RealtimeAgent = new RealtimeAgent({
  name: 'Billing',
  handoffDescription: 'Knows invoices and payments.',
  instructions: 'You answer questions about invoices with check_invoice. For anything else hand the caller back.',
  tools: [checkInvoice],
})

export const agent: RealtimeAgent = new RealtimeAgent({
  name: 'Reception',
  handoffDescription: 'Finds out what the caller needs.',
  instructions: 'Find out what the caller needs. For invoices and payments hand the caller to Billing.',
  handoffs: [billing],
})

billing.handoffs.push(agent)
