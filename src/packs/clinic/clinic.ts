// The clinic pack: one agent, five tools, one book of appointments for all calls of the process.
import { RealtimeAgent } from '@openai/agents-realtime'
import type { Clock } from '../../kit/clock.ts'
import type { Log } from '../../kit/log.ts'
import { type Pack, type PackCall, packCall } from '../pack.ts'
import { FrontDesk } from './desk.ts'
import { clinicGreeting, clinicPrompt } from './prompt.ts'
import { type ClinicSeed, LINDEN_STREET } from './seed.ts'
import { AppointmentStore } from './store.ts'
import { type ClinicContext, makeClinicTools } from './tools.ts'

/** A booking of one slot by one caller is the same booking (AB2); to end or to transfer again changes nothing. */
const TOOL_EFFECTS: PackCall['toolEffects'] = {
  find_available_slots: 'read',
  get_office_hours: 'read',
  book_appointment: 'keyed',
  end_call: 'read',
  transfer_to_human: 'read',
}

/** Makes the pack. Its agent is shared by all calls: what differs is in the context (PK1). */
export function makeClinicPack(parts: { clock: Clock; log: Log; seed?: ClinicSeed; store?: AppointmentStore }): Pack {
  const seed = parts.seed ?? LINDEN_STREET
  const desk = new FrontDesk({ seed, store: parts.store ?? new AppointmentStore(), clock: parts.clock })
  const agent = new RealtimeAgent<ClinicContext>({
    name: 'Front desk',
    instructions: ({ context }) => clinicPrompt(seed, desk.now().date, context.call.farParty.kind === 'withheld'),
    tools: makeClinicTools(desk, parts.log),
  })
  const greeting = { kind: 'agent', instructions: clinicGreeting(seed) } as const
  return {
    name: 'clinic',
    version: '1',
    openCall: (call) => packCall<ClinicContext>({ agent, context: { call }, greeting, toolEffects: TOOL_EFFECTS }),
  }
}
