// The history of a call as conversation items, for a link that takes over. Rules:
// RP1: assistant audio cannot be created again; its text can. What was cut is replayed as far as it was heard.
// RP2: a tool call without its output is replayed as a call: its output follows when the tool is done.
import type { TranscriptItem } from '../../call/transcript.ts'

/** One `conversation.item.create` event; shape of the provider's ConversationItemCreateEvent. */
export type ItemCreate = { type: 'conversation.item.create'; item: Record<string, unknown> }

/** The events that rebuild `history` in an empty conversation, in order. */
export function replayEvents(history: readonly TranscriptItem[]): ItemCreate[] {
  return history.flatMap(eventsOf)
}

function eventsOf(item: TranscriptItem): ItemCreate[] {
  if (item.kind === 'caller') {
    return item.text === '' ? [] : [message(item.id, 'user', 'input_text', item.text)]
  }
  if (item.kind === 'agent') {
    return item.text === '' ? [] : [message(item.id, 'assistant', 'output_text', item.text)]
  }
  const call = create({ type: 'function_call', call_id: item.id, name: item.name, arguments: item.arguments })
  if (item.output === undefined) return [call]
  return [call, create({ type: 'function_call_output', call_id: item.id, output: item.output })]
}

function message(id: string, role: string, type: string, text: string): ItemCreate {
  return create({ id, type: 'message', role, content: [{ type, text }] })
}

function create(item: Record<string, unknown>): ItemCreate {
  return { type: 'conversation.item.create', item }
}
