// The slots that the clinic's hours allow, whether taken or not. Rules:
// SL1: a slot id says all of the slot (provider, service, date, minute); it is believed only after the schedule has
//     been asked again whether that slot exists.
// SL2: nothing is offered less than an hour from now, nor more than HORIZON_DAYS ahead.
import { addDays, clockOf, daysBetween, isDate, type LocalMoment, weekdayOf } from './local-time.ts'
import type { ClinicSeed, DayHours, Provider, Service } from './seed.ts'

/** How far ahead appointments can be booked. */
export const HORIZON_DAYS = 30
const LEAD_MINUTES = 60
/** The grid of appointments; every service takes one or more of these cells. */
export const CELL_MINUTES = 30

export type Slot = { id: string; provider: Provider; service: Service; date: string; minute: number }
type SlotCheck = { kind: 'valid'; slot: Slot } | { kind: 'unknown' } | { kind: 'past' }

/** The slot that an id names, if the clinic has it and it has not begun. */
export function checkSlot(seed: ClinicSeed, id: string, now: LocalMoment): SlotCheck {
  const [providerId, serviceId, date, clock] = id.trim().toLowerCase().split('_')
  const provider = seed.providers.find((one) => one.id === providerId)
  const service = seed.services.find((one) => one.id === serviceId)
  if (provider === undefined || service === undefined || date === undefined || clock === undefined)
    return { kind: 'unknown' }
  if (!isDate(date)) return { kind: 'unknown' }
  const slot = slotsOfDay(seed, provider, service, date).find((one) => one.id.endsWith(`_${clock}`))
  if (slot === undefined) return { kind: 'unknown' }
  if (date < now.date || (date === now.date && slot.minute <= now.minute)) return { kind: 'past' }
  return daysBetween(now.date, date) > HORIZON_DAYS ? { kind: 'unknown' } : { kind: 'valid', slot }
}

/** Slots in order of time that may be offered now, for a service, on the dates from `fromDate` to `toDate`. */
export function* offerableSlots(
  seed: ClinicSeed,
  wish: { service: Service; provider?: Provider; fromDate: string; toDate: string },
  now: LocalMoment,
): Generator<Slot> {
  const providers = wish.provider === undefined ? seed.providers : [wish.provider]
  const lastDate = addDays(now.date, HORIZON_DAYS)
  for (let date = wish.fromDate; date <= wish.toDate && date <= lastDate; date = addDays(date, 1)) {
    const slots = providers.flatMap((provider) => slotsOfDay(seed, provider, wish.service, date))
    slots.sort((a, b) => a.minute - b.minute)
    for (const slot of slots) {
      const isSoon = date === now.date && slot.minute < now.minute + LEAD_MINUTES
      if (date >= now.date && !isSoon) yield slot
    }
  }
}

function slotsOfDay(seed: ClinicSeed, provider: Provider, service: Service, date: string): Slot[] {
  const weekday = weekdayOf(date)
  const hours = seed.hours[weekday]
  if (hours === undefined || !provider.weekdays.includes(weekday) || !provider.serviceIds.includes(service.id))
    return []
  const slots: Slot[] = []
  for (let minute = hours.openMinute; minute + service.minutes <= hours.closeMinute; minute += CELL_MINUTES) {
    if (isInBreak(hours, minute, service.minutes)) continue
    slots.push({
      id: `${provider.id}_${service.id}_${date}_${clockOf(minute).replace(':', '')}`,
      provider,
      service,
      date,
      minute,
    })
  }
  return slots
}

function isInBreak(hours: DayHours, minute: number, minutes: number): boolean {
  return minute < hours.breakEndMinute && minute + minutes > hours.breakStartMinute
}
