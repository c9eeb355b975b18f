// The front desk's tools, made once and shared by all calls. Rules:
// CT1: a tool finds its call in the run's context; no argument says who the caller is.
// CT2: arguments are checked before anything runs; what does not fit comes back as data (FD1), not as an exception.
import { backgroundResult, ModelBehaviorError, tool } from '@openai/agents-realtime'
import { z } from 'zod'
import type { Log } from '../../kit/log.ts'
import type { CallActions } from '../pack.ts'
import { type DeskError, type FrontDesk, NO_CONTACT } from './desk.ts'

/** What the SDK hands to each tool of this pack. */
export type ClinicContext = { call: CallActions }

const NO_COLLEAGUE = "I can't connect you at the moment. Please call again later."

type Run = { context: ClinicContext }

type ToError = (run: unknown, thrown: unknown) => string

/** The five tools over one desk. */
export function makeClinicTools(desk: FrontDesk, log: Log) {
  const toError = makeToError(log)
  return [
    findSlotsTool(desk, toError),
    bookTool(desk, toError),
    hoursTool(desk, toError),
    endCallTool(toError),
    transferTool(desk, toError),
  ]
}

function findSlotsTool(desk: FrontDesk, toError: ToError) {
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
    errorFunction: toError,
    execute: async (wish) => desk.findSlots(wish),
  })
}

function bookTool(desk: FrontDesk, toError: ToError) {
  return tool({
    name: 'book_appointment',
    description:
      'Books one of the times that find_available_slots gave. Call it once the caller has agreed to that time and has given the name of the patient.',
    parameters: z.object({
      slot_id: z.string().describe('The slot_id exactly as find_available_slots gave it.'),
      patient_name: z.string().describe('First and last name of the patient.'),
      phone_number: z
        .string()
        .nullish()
        .describe(
          `Only when the number of the caller is withheld: where to reach the patient, or "${NO_CONTACT}" when there is none.`,
        ),
    }),
    errorFunction: toError,
    execute: async ({ slot_id, patient_name, phone_number }, run) =>
      desk.book(callOf(run), { slotId: slot_id, patientName: patient_name, phoneNumber: phone_number }),
  })
}

function hoursTool(desk: FrontDesk, toError: ToError) {
  return tool({
    name: 'get_office_hours',
    description: 'Tells when the clinic is open, and whether it is open now.',
    parameters: z.object({
      day: z
        .string()
        .nullish()
        .describe('YYYY-MM-DD, "today", "tomorrow" or a weekday. Leave it out for the whole week.'),
    }),
    errorFunction: toError,
    execute: async ({ day }) => desk.officeHours(day),
  })
}

function endCallTool(toError: ToError) {
  return tool({
    name: 'end_call',
    description: 'Hangs up after what you are saying has been heard. Say goodbye first, in the same turn.',
    parameters: z.object({}),
    errorFunction: toError,
    // In the background: an answer to it would be one more sentence after the goodbye.
    execute: async (_, run) => {
      const answer = callOf(run).endCall()
      return backgroundResult(answer.kind === 'refused' ? { ended: false, reason: answer.words } : { ended: true })
    },
  })
}

function transferTool(desk: FrontDesk, toError: ToError) {
  return tool({
    name: 'transfer_to_human',
    description:
      'Connects the caller to a person at the front desk. Say first, in the same turn, that you are connecting them.',
    parameters: z.object({ reason: z.string().describe('Why, in a few words.') }),
    errorFunction: toError,
    execute: async (_, run) => {
      const answer = callOf(run).transferCall(desk.seed.frontDeskNumber)
      if (answer.kind === 'refused') return { error: { code: 'not_transferred', sentence: NO_COLLEAGUE, retry: false } }
      return backgroundResult({ transferred: true })
    },
  })
}

function callOf(run: unknown): CallActions {
  return (run as Run).context.call
}

/** CT2. The SDK calls it for arguments that do not fit the schema and for anything that a tool throws. */
function makeToError(log: Log): ToError {
  return (_, thrown) => {
    const isArguments = thrown instanceof ModelBehaviorError
    if (!isArguments) log.error({ err: thrown }, 'clinic tool threw')
    const answer: DeskError = isArguments
      ? { error: { code: 'invalid_arguments', sentence: 'I did not get that. Could you say it again?', retry: true } }
      : { error: { code: 'tool_failed', sentence: "I can't do that now. A colleague can help you.", retry: false } }
    return JSON.stringify(answer)
  }
}
