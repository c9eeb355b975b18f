// The front desk's tools, made once and shared by all calls. Rules:
// O1: a tool finds its call in the run's context; no argument says who the caller is.
// O2: arguments are checked before anything runs; what does not fit comes back as data (F1), not as an exception.
import { backgroundResult, tool } from '@openai/agents-realtime'
import { z } from 'zod'
import type { CallControl } from '../pack.ts'
import type { DeskError, FrontDesk } from './desk.ts'

/** What the SDK hands to each tool of this pack. */
export type ClinicContext = { call: CallControl }

type Run = { context: ClinicContext }

/** The five tools over one desk. */
export function makeClinicTools(desk: FrontDesk) {
  return [findSlotsTool(desk), bookTool(desk), hoursTool(desk), endCallTool(), transferTool(desk)]
}

function findSlotsTool(desk: FrontDesk) {
  return tool({
    name: 'find_available_slots',
    description:
      'Finds up to three free appointment times. Call it before you offer any time. Give `day` only when the caller named one.',
    parameters: z.object({
      service: z
        .string()
        .describe('What the appointment is for, in the words of the caller or of the list of services.'),
      day: z.string().nullish().describe('YYYY-MM-DD, "today", "tomorrow" or the name of a weekday.'),
      provider: z.string().nullish().describe('Only when the caller asked for someone by name.'),
    }),
    errorFunction: invalidArguments,
    execute: async (wish) => desk.findSlots(wish),
  })
}

function bookTool(desk: FrontDesk) {
  return tool({
    name: 'book_appointment',
    description:
      'Books one of the times that find_available_slots gave. Call it once the caller has agreed to that time and has given the name of the patient.',
    parameters: z.object({
      slot_id: z.string().describe('The slot_id exactly as find_available_slots gave it.'),
      patient_name: z.string().describe('First and last name of the patient.'),
    }),
    errorFunction: invalidArguments,
    execute: async ({ slot_id, patient_name }, run) =>
      desk.book(callOf(run), { slotId: slot_id, patientName: patient_name }),
  })
}

function hoursTool(desk: FrontDesk) {
  return tool({
    name: 'get_office_hours',
    description: 'Tells when the clinic is open, and whether it is open now.',
    parameters: z.object({
      day: z
        .string()
        .nullish()
        .describe('YYYY-MM-DD, "today", "tomorrow" or a weekday. Leave it out for the whole week.'),
    }),
    errorFunction: invalidArguments,
    execute: async ({ day }) => desk.officeHours(day),
  })
}

function endCallTool() {
  return tool({
    name: 'end_call',
    description: 'Hangs up after what you are saying has been heard. Say goodbye first, in the same turn.',
    parameters: z.object({}),
    errorFunction: invalidArguments,
    // In the background: an answer to it would be one more sentence after the goodbye.
    execute: async (_, run) => {
      callOf(run).endCall()
      return backgroundResult({ ended: true })
    },
  })
}

function transferTool(desk: FrontDesk) {
  return tool({
    name: 'transfer_to_human',
    description:
      'Connects the caller to a person at the front desk. Say first, in the same turn, that you are connecting them.',
    parameters: z.object({ reason: z.string().describe('Why, in a few words.') }),
    errorFunction: invalidArguments,
    execute: async (_, run) => {
      callOf(run).transferCall(desk.seed.frontDeskNumber)
      return backgroundResult({ transferred: true })
    },
  })
}

function callOf(run: unknown): CallControl {
  return (run as Run).context.call
}

function invalidArguments(): DeskError {
  return {
    error: {
      code: 'invalid_arguments',
      sentence: 'I did not get that right. Could you say it once more?',
      retry: true,
    },
  }
}
