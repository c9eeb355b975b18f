// One clock for all calls of the process.
// T1: a tick every 2 ms on a monotonic origin; each leg has one of ten slots, so that legs spread over the 20 ms as callers do.
// T2: after a stall every owed tick is made up for, up to CATCH_UP_MS_MAX; what lies before that is skipped and counted.
// T3: a late tick first lets the sockets be read, so that our own stall does not look like an underrun of the plane.
// T4: the wheel turns only while it has legs, and it records how late each leg's tick was.

import { nowMs } from '../wire/clock.ts'
import { Lateness } from './lateness.ts'

const TICK_MS = 2
const SLOTS = 10
const LATE_MS = 10
const CATCH_UP_MS_MAX = 10_000

/** Something that acts every 20 ms. */
export type Leg = {
  readonly lateness: Lateness
  /** `dueMs`: when the tick was due; `atMs`: now. */
  tick(dueMs: number, atMs: number): void
}

export class Wheel {
  readonly lateness: Lateness = new Lateness()
  skippedTicks = 0
  private readonly slots: Leg[][] = Array.from({ length: SLOTS }, () => [])
  private legs = 0
  private originMs = 0
  private next = 0
  private timer: NodeJS.Timeout | undefined

  add(leg: Leg): void {
    const slot = this.slots.reduce((least, one) => (one.length < least.length ? one : least))
    slot.push(leg)
    this.legs++
    if (this.timer === undefined) this.start()
  }

  remove(leg: Leg): void {
    for (const slot of this.slots) {
      const at = slot.indexOf(leg)
      if (at < 0) continue
      slot[at] = slot[slot.length - 1]!
      slot.pop()
      this.legs--
      return
    }
  }

  private start(): void {
    this.originMs = nowMs()
    this.next = 1
    this.timer = setTimeout(this.wake, TICK_MS)
  }

  private readonly wake = (): void => {
    const lateMs = nowMs() - (this.originMs + this.next * TICK_MS)
    if (lateMs > LATE_MS) setImmediate(this.turn)
    else this.turn()
  }

  private readonly turn = (): void => {
    let now = nowMs()
    const owed = Math.floor((now - this.originMs) / TICK_MS)
    const oldest = owed - CATCH_UP_MS_MAX / TICK_MS
    if (this.next < oldest) {
      this.skippedTicks += oldest - this.next
      this.next = oldest
    }
    for (; this.next <= owed; this.next++) {
      const slot = this.slots[this.next % SLOTS]!
      const due = this.originMs + this.next * TICK_MS
      // Backwards, because a leg may remove itself during its tick and the last one takes its place.
      for (let i = slot.length - 1; i >= 0; i--) {
        const leg = slot[i]
        if (leg === undefined) continue
        if ((i & 15) === 0) now = nowMs()
        this.lateness.add(now - due)
        leg.lateness.add(now - due)
        leg.tick(due, now)
      }
    }
    this.timer = this.legs === 0 ? undefined : setTimeout(this.wake, this.untilNextMs())
  }

  private untilNextMs(): number {
    return Math.max(1, Math.ceil(this.originMs + this.next * TICK_MS - nowMs()))
  }
}
