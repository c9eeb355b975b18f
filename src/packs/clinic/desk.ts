// What the front desk can do, without any model: the tools only carry its answers. Rules:
// FD1: an error is an answer: { error: { code, sentence, retry } }; the sentence may be said to the caller as it is, and
//     `retry` says whether asking again with other arguments can help.
// FD2: who the far party is comes from the call. A withheld number is no identity: then the call itself is, and the desk asks for a
//      number to reach the patient at, which identifies nobody.
import type { Clock } from '../../kit/clock.ts'
import { unreachable } from '../../kit/errors.ts'
import type { CallActions } from '../pack.ts'
import {
  addDays,
  clockOf,
  daysBetween,
  type LocalMoment,
  makeLocalTime,
  parseDay,
  speakDate,
  speakMinute,
  weekdayName,
  weekdayOf,
} from './local-time.ts'
import { checkSlot, HORIZON_DAYS, offerableSlots, type Slot } from './schedule.ts'
import type { ClinicSeed, Provider, Service } from './seed.ts'
import { APPOINTMENTS_PER_CALLER_MAX, type AppointmentStore } from './store.ts'

/** Slots offered at once: more cannot be kept in mind by ear. */
const OFFERED_SLOTS_MAX = 3
const NAME_LENGTH_MAX = 80
const CONTACT_DIGITS_MIN = 6
const CONTACT_DIGITS_MAX = 15
/** What the tool is given for a patient without a phone number. */
export const NO_CONTACT = 'none'

export type DeskError = { error: { code: string; sentence: string; retry: boolean } }
export type OfferedSlot = { slot_id: string; spoken: string; provider: string; start: string }
export type SlotsAnswer = { slots: OfferedSlot[]; sentence?: string } | DeskError
type BookingAnswer = { reference: string; reference_spoken: string; spoken: string; provider: string } | DeskError
type HoursAnswer = { hours: { day: string; spoken: string }[]; open_now: boolean; spoken: string } | DeskError

/** The front desk of one clinic. */
export class FrontDesk {
  readonly seed: ClinicSeed
  readonly store: AppointmentStore
  readonly #clock: Clock
  readonly #toLocal: (wallMs: number) => LocalMoment

  constructor(parts: { seed: ClinicSeed; store: AppointmentStore; clock: Clock }) {
    this.seed = parts.seed
    this.store = parts.store
    this.#clock = parts.clock
    this.#toLocal = makeLocalTime(parts.seed.timeZone)
  }

  /** The clinic's date and minute of the day. */
  now(): LocalMoment {
    return this.#toLocal(this.#clock.wallMs())
  }

  /** At most three free times for a service, the earliest first. */
  findSlots(wish: { service: string; day?: string | null; provider?: string | null }): SlotsAnswer {
    const now = this.now()
    const service = this.#serviceNamed(wish.service)
    if (service === undefined) return this.#unknownService()
    const provider = this.#providerNamed(wish.provider, service)
    if (provider !== undefined && 'error' in provider) return provider
    const day = readDay(wish.day, now)
    if (day !== undefined && typeof day !== 'string') return day
    const range = { fromDate: day ?? now.date, toDate: day ?? addDays(now.date, HORIZON_DAYS) }
    const slots: OfferedSlot[] = []
    const times = new Set<string>()
    for (const slot of offerableSlots(this.seed, { service, provider, ...range }, now)) {
      // Two providers at one time are one choice to the ear.
      const start = startOf(slot)
      if (times.has(start) || !this.store.isFree(slot)) continue
      times.add(start)
      slots.push({ slot_id: slot.id, spoken: speakSlot(slot), provider: slot.provider.name, start })
      if (slots.length === OFFERED_SLOTS_MAX) break
    }
    return slots.length > 0 ? { slots } : { slots, sentence: this.#nothingFree(day, service) }
  }

  /** Books a slot for the caller of this call; again the same for the same caller and slot. */
  book(call: CallActions, wish: { slotId: string; patientName: string; phoneNumber?: string | null }): BookingAnswer {
    const now = this.now()
    const patientName = wish.patientName.trim().replace(/\s+/g, ' ')
    if (patientName.length < 2 || patientName.length > NAME_LENGTH_MAX) {
      return refuse('name_missing', 'May I have the full name of the patient, please?', true)
    }
    const contact = contactOf(call, wish.phoneNumber)
    if (contact === undefined) return refuse('number_missing', 'At which phone number can we reach the patient?', true)
    const check = checkSlot(this.seed, wish.slotId, now)
    if (check.kind === 'unknown')
      return refuse('unknown_slot', "I can't find that time. Let me look again for what is free.", true)
    if (check.kind === 'past')
      return refuse('slot_past', 'That time has already passed. Shall I look for another?', true)
    const callerKey = callerKeyOf(call)
    const booking = this.store.book({ slot: check.slot, callerKey, patientName, contact, today: now.date })
    switch (booking.kind) {
      case 'booked': {
        const { reference, slot } = booking.appointment
        return {
          reference,
          reference_spoken: speakReference(reference),
          spoken: speakSlot(slot),
          provider: slot.provider.name,
        }
      }
      case 'taken':
        return refuse('slot_taken', 'I am sorry, that time has just been taken. Shall I look for another?', true)
      case 'too-many':
        return refuse(
          'too_many_appointments',
          `You already have ${APPOINTMENTS_PER_CALLER_MAX} appointments to come. A colleague can help you with more.`,
          false,
        )
      case 'store-full':
        return refuse('book_full', "I can't book anything right now. A colleague can take this for you.", false)
      default:
        return unreachable(booking)
    }
  }

  /** Opening hours of one day, or of the week. */
  officeHours(day?: string | null): HoursAnswer {
    const now = this.now()
    let weekdays = [1, 2, 3, 4, 5, 6, 0]
    if (day !== undefined && day !== null && day.trim() !== '') {
      const date = parseDay(day, now.date)
      if (date === undefined) return unknownDay()
      weekdays = [weekdayOf(date)]
    }
    const hours = weekdays.map((weekday) => ({ day: weekdayName(weekday), spoken: this.#speakHours(weekday) }))
    const today = this.seed.hours[weekdayOf(now.date)]
    const openNow = today !== undefined && now.minute >= today.openMinute && now.minute < today.closeMinute
    return { hours, open_now: openNow, spoken: hours.map(({ day, spoken }) => `${day} ${spoken}`).join('; ') }
  }

  #speakHours(weekday: number): string {
    const hours = this.seed.hours[weekday]
    return hours === undefined ? 'closed' : `${speakMinute(hours.openMinute)} to ${speakMinute(hours.closeMinute)}`
  }

  #serviceNamed(text: string): Service | undefined {
    const wanted = plain(text)
    if (wanted === '') return undefined
    const namesOf = (service: Service): string[] => [service.id, service.name, ...service.otherNames].map(plain)
    return (
      this.seed.services.find((service) => namesOf(service).includes(wanted)) ??
      this.seed.services.find((service) =>
        namesOf(service).some((name) => wanted.includes(name) || name.includes(wanted)),
      )
    )
  }

  #providerNamed(text: string | null | undefined, service: Service): Provider | DeskError | undefined {
    const wanted = plain(text ?? '')
    if (wanted === '' || wanted === 'any' || wanted === 'anyone') return undefined
    const ofService = this.seed.providers.filter((one) => one.serviceIds.includes(service.id))
    const names = speakList(ofService.map((one) => one.name))
    const provider = this.seed.providers.find((one) => wanted.includes(one.id) || plain(one.name).includes(wanted))
    if (provider === undefined) return refuse('unknown_provider', `For a ${service.name} we have ${names}.`, true)
    if (ofService.includes(provider)) return provider
    return refuse(
      'provider_not_for_service',
      `${provider.name} does not do that. For a ${service.name} we have ${names}.`,
      true,
    )
  }

  #unknownService(): DeskError {
    const names = speakList(this.seed.services.map((service) => service.name))
    return refuse('unknown_service', `We don't have that here. We offer ${names}.`, true)
  }

  #nothingFree(day: string | undefined, service: Service): string {
    if (day === undefined) return `There is nothing free for a ${service.name} in the next ${HORIZON_DAYS} days.`
    if (this.seed.hours[weekdayOf(day)] === undefined)
      return `We are closed on ${weekdayName(weekdayOf(day))}s. Would another day suit you?`
    return `There is nothing free for a ${service.name} on ${speakDate(day)}. Would another day suit you?`
  }
}

/** Letters and digits one by one, as they are to be said. */
function speakReference(reference: string): string {
  return [...reference].join(' ')
}

function readDay(text: string | null | undefined, now: LocalMoment): string | DeskError | undefined {
  if (text === undefined || text === null || text.trim() === '') return undefined
  const day = parseDay(text, now.date)
  if (day === undefined) return unknownDay()
  if (day < now.date) return refuse('past_day', 'That day has already passed. Which day would suit you?', true)
  if (daysBetween(now.date, day) > HORIZON_DAYS) {
    return refuse(
      'too_far_ahead',
      `We book up to ${HORIZON_DAYS} days ahead. Is there an earlier day that suits you?`,
      true,
    )
  }
  return day
}

function unknownDay(): DeskError {
  return refuse('unknown_day', 'Which day do you mean?', true)
}

function refuse(code: string, sentence: string, retry: boolean): DeskError {
  return { error: { code, sentence, retry } }
}

function callerKeyOf(call: CallActions): string {
  return call.farParty.kind === 'known' ? call.farParty.number : call.callId
}

/** [FD2] Where the patient can be reached; undefined: he must be asked. Who has no number is taken without. */
function contactOf(call: CallActions, phoneNumber: string | null | undefined): string | undefined {
  if (call.farParty.kind === 'known') return call.farParty.number
  const text = (phoneNumber ?? '').trim()
  const digits = text.replace(/\D/g, '')
  if (digits.length >= CONTACT_DIGITS_MIN && digits.length <= CONTACT_DIGITS_MAX) return digits
  return text.toLowerCase() === NO_CONTACT ? NO_CONTACT : undefined
}

function startOf(slot: Slot): string {
  return `${slot.date}T${clockOf(slot.minute)}`
}

function speakSlot(slot: Slot): string {
  return `${speakDate(slot.date)} at ${speakMinute(slot.minute)}`
}

function speakList(names: readonly string[]): string {
  return names.length < 2 ? names.join('') : `${names.slice(0, -1).join(', ')} and ${names.at(-1)}`
}

function plain(text: string): string {
  return text
    .toLowerCase()
    .replace(/[^a-z]+/g, ' ')
    .trim()
}
