// What is no longer to be kept: by request, and by age. Rules:
// ERS1: a request erases the calls of a tenant, or of one of its callers, with all that hangs on them: events, intents, items, record. Calls that are
//      still live are erased after their end: each ROUND_MS open requests are gone through again, until nothing live is left of them.
// ERS2: by age ended calls go alone, each RETAIN_MS and by their tenant's days; while something is left to do for one it is kept, twice as long at
//      most. Without days everything is kept.
// ERS3: a worker that is away, or whose database is, erases later; nothing else waits for it.
import type { Clock } from '../kit/clock.ts'
import { messageOf } from '../kit/errors.ts'
import type { Log } from '../kit/log.ts'
import { Rounds } from '../kit/rounds.ts'
import type { Wheel } from '../kit/wheel.ts'

export const ROUND_MS = 60_000
export const RETAIN_MS = 3_600_000

/** What is to be erased; `from` undefined: all callers of the tenant. */
export type ErasureRequest = { tenant: string; from: string | undefined }

/** `calls` were erased so far; `live` ones follow after their end. */
export type Erasure = { id: string; tenant: string; calls: number; live: number; isDone: boolean }

/** For how many days calls are kept: of each named tenant, and of all others (undefined: for ever). */
export type Retention = { days: number | undefined; tenants: Readonly<Record<string, number>> }

/** Rejects with STORE_UNAVAILABLE when the database does not answer within its own bound. */
export interface ErasureStore {
  /**
   * Writes the request down and erases what has ended. Rejects with DATA_KEY_MISSING, and erases nothing, when some calls of the tenant are marked under
   * a key that is not here: nobody could say whether they are the caller's.
   */
  request(request: ErasureRequest): Promise<Erasure>
  /** How many calls of `tenant` are kept, live ones included. */
  count(tenant: string): Promise<number>
  find(id: string): Promise<Erasure | undefined>
  /** Goes through the open requests again; how many calls were erased. [ERS1] */
  round(): Promise<number>
  /** [ERS2] How many calls were erased. */
  retain(retention: Retention): Promise<number>
}

type EraserParts = {
  store: Pick<ErasureStore, 'round' | 'retain'>
  retention: Retention
  clock: Clock
  wheel: Wheel
  log: Log
  /** Told of calls that were erased. */
  onErased: (reason: 'request' | 'retention', calls: number) => void
}

/** Runs beside a worker. */
export class Eraser {
  readonly #parts: EraserParts
  readonly #rounds: Rounds
  #retainedMs = Number.NEGATIVE_INFINITY

  constructor(parts: EraserParts) {
    this.#parts = parts
    this.#rounds = new Rounds(parts.wheel, {
      everyMs: ROUND_MS,
      work: () => this.#round(),
      onFailed: (error) => parts.log.debug({ reason: messageOf(error) }, 'what is to be erased waits for the database'),
    })
  }

  /** Once. */
  start(): void {
    this.#rounds.start()
  }

  /** Idempotent. */
  close(): void {
    this.#rounds.close()
  }

  async #round(): Promise<void> {
    const { store, retention, clock } = this.#parts
    this.#tell('request', await store.round())
    if (clock.monotonicMs() - this.#retainedMs < RETAIN_MS) return
    this.#tell('retention', await store.retain(retention))
    this.#retainedMs = clock.monotonicMs()
  }

  #tell(reason: 'request' | 'retention', calls: number): void {
    if (calls === 0) return
    this.#parts.log.info({ reason, calls }, 'calls were erased')
    this.#parts.onErased(reason, calls)
  }
}
