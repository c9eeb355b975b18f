// Appointments in memory. Rules:
// AB1: a provider's half hour belongs to one appointment; the check and the claim are one synchronous step.
// AB2: the same caller asking for the same slot again gets the same appointment: a repeated tool call books once.
// AB3: the store is bounded: past days are swept when it is full; if it still is, booking is refused and says so.
import { createHash } from 'node:crypto'
import { CELL_MINUTES, type Slot } from './schedule.ts'

/** Appointments kept at once. */
const APPOINTMENTS_MAX = 20_000
/** Appointments to come that one caller may hold. */
export const APPOINTMENTS_PER_CALLER_MAX = 4
// Without letters and digits that sound or look alike on the phone.
const REFERENCE_LETTERS = 'ACFHJKMRWXY34679'
const REFERENCE_LENGTH = 6

/** `contact`: the digits the patient can be reached at, or `none`; it identifies nobody. */
type Appointment = { reference: string; slot: Slot; callerKey: string; patientName: string; contact: string }
type Booking =
  | { kind: 'booked'; appointment: Appointment }
  | { kind: 'taken' }
  | { kind: 'too-many' }
  | { kind: 'store-full' }

/** The clinic's book of appointments. */
export class AppointmentStore {
  readonly #max: number
  readonly #byCell = new Map<string, Appointment>()
  readonly #byReference = new Map<string, Appointment>()
  readonly #countByCaller = new Map<string, number>()

  constructor(options: { max?: number } = {}) {
    this.#max = options.max ?? APPOINTMENTS_MAX
  }

  /** Appointments held now. */
  get size(): number {
    return this.#byReference.size
  }

  /** Whether nobody holds any part of the slot. */
  isFree(slot: Slot): boolean {
    return cellsOf(slot).every((cell) => !this.#byCell.has(cell))
  }

  /** The appointment with this reference. */
  find(reference: string): Appointment | undefined {
    return this.#byReference.get(reference)
  }

  /** Books the slot for a caller (AB1, AB2). `today` is the clinic's date; older days may be swept. */
  book(request: Omit<Appointment, 'reference'> & { today: string }): Booking {
    const { slot, callerKey, patientName, contact, today } = request
    const cells = cellsOf(slot)
    for (const cell of cells) {
      const holder = this.#byCell.get(cell)
      if (holder === undefined) continue
      const isSame = holder.callerKey === callerKey && holder.slot.id === slot.id
      return isSame ? { kind: 'booked', appointment: holder } : { kind: 'taken' }
    }
    if (this.size >= this.#max || this.#heldBy(callerKey) >= APPOINTMENTS_PER_CALLER_MAX) this.#sweep(today)
    if (this.size >= this.#max) return { kind: 'store-full' }
    if (this.#heldBy(callerKey) >= APPOINTMENTS_PER_CALLER_MAX) return { kind: 'too-many' }
    const appointment = { reference: this.#newReference(slot, callerKey), slot, callerKey, patientName, contact }
    for (const cell of cells) this.#byCell.set(cell, appointment)
    this.#byReference.set(appointment.reference, appointment)
    this.#countByCaller.set(callerKey, this.#heldBy(callerKey) + 1)
    return { kind: 'booked', appointment }
  }

  #heldBy(callerKey: string): number {
    return this.#countByCaller.get(callerKey) ?? 0
  }

  #sweep(today: string): void {
    for (const appointment of this.#byReference.values()) {
      if (appointment.slot.date >= today) continue
      this.#byReference.delete(appointment.reference)
      for (const cell of cellsOf(appointment.slot)) this.#byCell.delete(cell)
      const left = this.#heldBy(appointment.callerKey) - 1
      if (left > 0) this.#countByCaller.set(appointment.callerKey, left)
      else this.#countByCaller.delete(appointment.callerKey)
    }
  }

  #newReference(slot: Slot, callerKey: string): string {
    // From the slot and the caller, so that a run is repeatable; another try only if it is in use.
    for (let attempt = 0; ; attempt += 1) {
      const hash = createHash('sha256').update(`${slot.id} ${callerKey} ${attempt}`).digest()
      let reference = ''
      for (let i = 0; i < REFERENCE_LENGTH; i += 1) reference += REFERENCE_LETTERS[hash[i]! & 15]
      if (!this.#byReference.has(reference)) return reference
    }
  }
}

function cellsOf(slot: Slot): string[] {
  const cells: string[] = []
  for (let minute = slot.minute; minute < slot.minute + slot.service.minutes; minute += CELL_MINUTES) {
    cells.push(`${slot.provider.id} ${slot.date} ${minute}`)
  }
  return cells
}
