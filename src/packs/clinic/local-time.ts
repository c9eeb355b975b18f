// Dates and times of day at the clinic. Rules:
// LT1: a moment is kept as the clinic's own date ("2026-11-26") and minute of the day, never as an offset from UTC, so
//     that no change to or from summer time can move an appointment; such values compare as text and number.

/** A date and a minute of that day, in the clinic's time zone. */
export type LocalMoment = { date: string; minute: number }

const DAY_MS = 86_400_000
const WEEKDAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'] as const
const MONTHS = [
  'January',
  'February',
  'March',
  'April',
  'May',
  'June',
  'July',
  'August',
  'September',
  'October',
  'November',
  'December',
] as const

/** Gives a function from wall-clock milliseconds to the clinic's moment. Making one is slow: keep it. */
export function makeLocalTime(timeZone: string): (wallMs: number) => LocalMoment {
  const format = new Intl.DateTimeFormat('en-CA', {
    timeZone,
    hourCycle: 'h23',
    year: 'numeric',
    month: '2-digit',
    day: '2-digit',
    hour: '2-digit',
    minute: '2-digit',
  })
  return (wallMs) => {
    const parts: Record<string, string> = {}
    for (const { type, value } of format.formatToParts(wallMs)) parts[type] = value
    const date = `${parts.year}-${parts.month}-${parts.day}`
    return { date, minute: Number(parts.hour) * 60 + Number(parts.minute) }
  }
}

/** The date `days` later. */
export function addDays(date: string, days: number): string {
  return new Date(Date.parse(`${date}T00:00:00Z`) + days * DAY_MS).toISOString().slice(0, 10)
}

/** Whole days from one date to another. */
export function daysBetween(from: string, to: string): number {
  return Math.round((Date.parse(`${to}T00:00:00Z`) - Date.parse(`${from}T00:00:00Z`)) / DAY_MS)
}

/** 0 = Sunday. */
export function weekdayOf(date: string): number {
  return new Date(`${date}T00:00:00Z`).getUTCDay()
}

/** The English name of a weekday. */
export function weekdayName(weekday: number): string {
  return WEEKDAYS[weekday] ?? ''
}

/**
 * The date that a caller's word means: "2026-11-26", "today", "tomorrow", "Thursday" or "next Thursday" (the next one
 * to come, today not counted). Undefined when it is none of these, or no date of the calendar.
 */
export function parseDay(text: string, today: string): string | undefined {
  const word = text.trim().toLowerCase()
  if (word === 'today') return today
  if (word === 'tomorrow') return addDays(today, 1)
  const name = word.replace(/^(next|this|on) /, '')
  const weekday = WEEKDAYS.findIndex((day) => day.toLowerCase() === name)
  if (weekday >= 0) return addDays(today, ((weekday - weekdayOf(today) + 6) % 7) + 1)
  const date = word.slice(0, 10)
  return isDate(date) ? date : undefined
}

/** Whether the text is a date of the calendar, as "2026-11-26". */
export function isDate(text: string): boolean {
  if (!/^\d{4}-\d{2}-\d{2}$/.test(text) || Number.isNaN(Date.parse(`${text}T00:00:00Z`))) return false
  // The engine takes 31 April for 1 May: what does not come back as it was is no date.
  return addDays(text, 0) === text
}

/** "Thursday, November 26th". */
export function speakDate(date: string): string {
  const day = Number(date.slice(8, 10))
  const month = MONTHS[Number(date.slice(5, 7)) - 1] ?? ''
  return `${weekdayName(weekdayOf(date))}, ${month} ${day}${ordinalEnding(day)}`
}

/** "9:30 AM", "noon". */
export function speakMinute(minute: number): string {
  if (minute === 12 * 60) return 'noon'
  const hour = Math.floor(minute / 60)
  const rest = minute % 60
  const clock = rest === 0 ? `${hour % 12 || 12}` : `${hour % 12 || 12}:${String(rest).padStart(2, '0')}`
  return `${clock} ${hour < 12 ? 'AM' : 'PM'}`
}

/** "09:30". */
export function clockOf(minute: number): string {
  return `${String(Math.floor(minute / 60)).padStart(2, '0')}:${String(minute % 60).padStart(2, '0')}`
}

function ordinalEnding(day: number): string {
  if (day >= 11 && day <= 13) return 'th'
  return ['th', 'st', 'nd', 'rd'][day % 10] ?? 'th'
}
