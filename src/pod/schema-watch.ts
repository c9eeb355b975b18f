// Whether the database has the tables of this program, as a pod sees it. Rules:
// SCW1: it is asked in the background, each LOOK_MS until it says that they are there. One that is away says nothing, and the pod stays ready.
// SCW2: tables that are missing or older are one error of the log with its fix, and a reason against new calls until they are there; live calls go on.
import { messageOf, VoiceError } from '../kit/errors.ts'
import type { Log } from '../kit/log.ts'
import type { Wheel, WheelTimer } from '../kit/wheel.ts'

export const LOOK_MS = 5_000
/** The reason at /ready. */
export const NOT_MIGRATED = 'the database is not migrated'
const FIX = 'run "npm run migrate" (role migrate) with the DATABASE_URL of this pod; it goes on by itself then'

export class SchemaWatch {
  readonly #parts: { check: () => Promise<void>; wheel: Wheel; log: Log }
  #isMissing = false
  #timer: WheelTimer | undefined
  #isClosed = false

  /** `check` rejects with MIGRATION_MISSING when tables are missing, and with anything else when it cannot tell. */
  constructor(parts: { check: () => Promise<void>; wheel: Wheel; log: Log }) {
    this.#parts = parts
  }

  get isMissing(): boolean {
    return this.#isMissing
  }

  /** Begins to look. Never waits, never throws. */
  start(): void {
    void this.#look()
  }

  close(): void {
    this.#isClosed = true
    if (this.#timer !== undefined) this.#parts.wheel.cancel(this.#timer)
  }

  async #look(): Promise<void> {
    const { check, wheel, log } = this.#parts
    try {
      await check()
      if (this.#isMissing) log.info({}, 'the tables of the database are there')
      this.#isMissing = false
      return
    } catch (error) {
      if (error instanceof VoiceError && error.code === 'MIGRATION_MISSING') {
        const fields = { code: error.code, reason: messageOf(error), fix: FIX }
        if (!this.#isMissing) log.error(fields, 'the database is not migrated, this pod is not ready for calls')
        this.#isMissing = true
      }
    }
    if (!this.#isClosed) this.#timer = wheel.after(LOOK_MS, () => void this.#look())
  }
}
