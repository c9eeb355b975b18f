// The demonstration clinic: what it offers, who works when. Rules:
// SE1: times of day are minutes since midnight in the clinic's own time zone; weekdays count from 0 = Sunday.

/** One thing that can be booked. */
export type Service = { id: string; name: string; minutes: 30 | 60; otherNames: readonly string[] }
/** One person who can be booked. */
export type Provider = { id: string; name: string; serviceIds: readonly string[]; weekdays: readonly number[] }
/** When the doors are open on a weekday; breaks are closed for appointments. */
export type DayHours = { openMinute: number; closeMinute: number; breakStartMinute: number; breakEndMinute: number }

export type ClinicSeed = {
  name: string
  timeZone: string
  /** Where a caller goes who wants a person; E.164. */
  frontDeskNumber: string
  hours: Readonly<Record<number, DayHours>>
  services: readonly Service[]
  providers: readonly Provider[]
}

const WEEKDAY: DayHours = {
  openMinute: 8 * 60,
  closeMinute: 17 * 60,
  breakStartMinute: 12 * 60,
  breakEndMinute: 13 * 60,
}
const FRIDAY: DayHours = {
  openMinute: 8 * 60,
  closeMinute: 14 * 60,
  breakStartMinute: 12 * 60,
  breakEndMinute: 12 * 60,
}

/** Linden Street Clinic; the number is from the range kept for fiction. */
export const LINDEN_STREET: ClinicSeed = {
  name: 'Linden Street Clinic',
  timeZone: 'America/New_York',
  frontDeskNumber: '+12025550143',
  hours: { 1: WEEKDAY, 2: WEEKDAY, 3: WEEKDAY, 4: WEEKDAY, 5: FRIDAY },
  services: [
    { id: 'checkup', name: 'check-up', minutes: 30, otherNames: ['physical', 'exam', 'annual visit', 'general visit'] },
    {
      id: 'vaccination',
      name: 'vaccination',
      minutes: 30,
      otherNames: ['flu shot', 'vaccine', 'booster', 'injection'],
    },
    { id: 'bloodwork', name: 'blood work', minutes: 30, otherNames: ['blood test', 'lab work', 'lab test'] },
    { id: 'newpatient', name: 'new patient visit', minutes: 60, otherNames: ['first visit', 'registration', 'intake'] },
    { id: 'physio', name: 'physiotherapy', minutes: 60, otherNames: ['physical therapy', 'physio', 'back pain'] },
  ],
  providers: [
    {
      id: 'okafor',
      name: 'Dr. Okafor',
      serviceIds: ['checkup', 'vaccination', 'newpatient'],
      weekdays: [1, 2, 3, 4, 5],
    },
    { id: 'lindqvist', name: 'Dr. Lindqvist', serviceIds: ['checkup', 'newpatient'], weekdays: [1, 3, 5] },
    { id: 'marsh', name: 'Nurse Marsh', serviceIds: ['vaccination', 'bloodwork'], weekdays: [1, 2, 3, 4, 5] },
    { id: 'tanaka', name: 'Ms. Tanaka', serviceIds: ['physio'], weekdays: [2, 4] },
  ],
}
