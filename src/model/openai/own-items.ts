// What the agent's own code does to the conversation: messages and images it puts in, items it takes out. Rules:
// OI1: the call's history has it from the moment it is asked for. A link that serves is told; the next one is told by the history,
//      once and in its place.
// OI2: the SDK shows a change when the model has confirmed it. What no link has confirmed is confirmed by the next one's history.
// OI3: an item that the model refuses leaves the history again. One that it cannot take out, since it has it not, is out.
// OI4: at most WAITING_MAX changes are unconfirmed; beyond it the oldest counts as confirmed.
import { randomBytes } from 'node:crypto'
import type { MessagePart } from '../../call/transcript.ts'
import { record, type ServerEvent, text } from './wire.ts'

export const WAITING_MAX = 64

/** A change as the call's history takes it. `after`: the item before it, `root` for the front; undefined: at the end. */
export type Change =
  | {
      kind: 'put'
      id: string
      role: 'user' | 'assistant' | 'system'
      content: MessagePart[]
      after: string | undefined
    }
  | { kind: 'taken'; id: string }

type Asked = { change: Change; event: Record<string, unknown> }

export class OwnItems {
  /** By the event id under which the model may refuse it. */
  readonly #asked = new Map<string, Asked>()
  #count = 0

  /** Reads a client event of the agent. Undefined: it is no such change, and means something on the link that serves only. */
  ask(given: Record<string, unknown>): Asked | undefined {
    const change = changeOf(given)
    if (change === undefined) return undefined
    this.#count += 1
    const eventId = text(given.event_id) || `own-${this.#count}`
    const item = change.kind === 'put' ? { item: { ...record(given.item), id: change.id } } : {}
    const asked = { change, event: { ...given, ...item, event_id: eventId } }
    this.#asked.set(eventId, asked)
    if (this.#asked.size > WAITING_MAX) this.#asked.delete(this.#asked.keys().next().value!)
    return asked
  }

  /** The model confirms a change; true when it was asked for here. */
  confirm(kind: Change['kind'], id: string): boolean {
    for (const [eventId, { change }] of this.#asked) {
      if (change.kind !== kind || change.id !== id) continue
      this.#asked.delete(eventId)
      return true
    }
    return false
  }

  /** The model refuses the event of this id: the change that it was. */
  refused(eventId: string): Change | undefined {
    const asked = this.#asked.get(eventId)
    this.#asked.delete(eventId)
    return asked?.change
  }

  /** [OI2] The confirmations that a lost link has not given, in order; all count as given. */
  overdue(): ServerEvent[] {
    const events = [...this.#asked.values()].flatMap(({ change, event }) => confirmationsOf(change, record(event.item)))
    this.#asked.clear()
    return events
  }
}

/** What the model says when it has done `change`. */
export function confirmationsOf(change: Change, item: Record<string, unknown>): ServerEvent[] {
  const event_id = `own-${change.id}`
  if (change.kind === 'taken') return [{ type: 'conversation.item.deleted', event_id, item_id: change.id }]
  const previous_item_id = change.after === 'root' ? null : change.after
  const where = previous_item_id === undefined ? {} : { previous_item_id }
  const whole = { status: 'completed', ...item }
  return ['conversation.item.added', 'conversation.item.done'].map((type) => ({
    type,
    event_id,
    ...where,
    item: whole,
  }))
}

function changeOf(event: Record<string, unknown>): Change | undefined {
  if (event.type === 'conversation.item.delete') return { kind: 'taken', id: text(event.item_id) }
  const { type, id, role, content } = record(event.item)
  if (event.type !== 'conversation.item.create' || type !== 'message' || !Array.isArray(content)) return undefined
  if (role !== 'user' && role !== 'assistant' && role !== 'system') return undefined
  const after = typeof event.previous_item_id === 'string' ? event.previous_item_id : undefined
  return { kind: 'put', id: text(id) || newItemId(), role, content: content as MessagePart[], after }
}

/** At most 32 characters, which is all that the provider takes. */
function newItemId(): string {
  return `own_${randomBytes(12).toString('hex')}`
}
