// Ids and the events that several parts send.
import { randomBytes } from 'node:crypto'
import type { Problem } from '../kit/checks.ts'

/** A server event before it is written. */
export type ServerEvent = { type: string; event_id: string; [field: string]: unknown }

/** Ids of one session: unique across sessions, cheap to make. */
export class Ids {
  readonly #stem = randomBytes(6).toString('hex')
  #count = 0

  /** A new id, such as item_1f3a…0007. */
  next(prefix: 'event' | 'item' | 'resp' | 'call' | 'conv' | 'sess'): string {
    this.#count += 1
    return `${prefix}_${this.#stem}${this.#count.toString(36).padStart(6, '0')}`
  }
}

/** The `error` event for a problem; `clientEventId` is the event that caused it. */
export function errorEvent(ids: Ids, problem: Problem, clientEventId: string | undefined): ServerEvent {
  return {
    type: 'error',
    event_id: ids.next('event'),
    error: {
      type: problem.type ?? 'invalid_request_error',
      code: problem.code,
      message: problem.message,
      param: problem.param,
      event_id: clientEventId ?? null,
    },
  }
}
