// The history of a call as conversation items, for a link that takes over. Rules:
// RP1: assistant audio cannot be created again; its text can. What was cut is replayed as far as it was heard.
// RP2: a tool call without its output is replayed as a call: its output follows when the tool is done.
// RP3: an item keeps its id, so that it can be taken out of any later conversation as well. What was cut stays `incomplete`.
import { contentOf, itemIdOf, type TranscriptItem } from '../../call/transcript.ts'

/** One `conversation.item.create` event; shape of the provider's ConversationItemCreateEvent. */
type ItemCreate = { type: 'conversation.item.create'; item: Record<string, unknown> }

/** The events that rebuild `history` in an empty conversation, in order. */
export function replayEvents(history: readonly TranscriptItem[]): ItemCreate[] {
  return history.flatMap(eventsOf)
}

function eventsOf(item: TranscriptItem): ItemCreate[] {
  if (item.kind === 'caller') {
    return item.text === '' ? [] : [message(item.id, 'user', 'input_text', item.text)]
  }
  if (item.kind === 'agent') {
    return item.text === '' ? [] : [heardSpeech(item)]
  }
  if (item.kind === 'message') {
    return [create({ id: item.id, type: 'message', role: item.role, content: contentOf(item) })]
  }
  const { id: call_id, name, arguments: args } = item
  const call = create({ id: itemIdOf(item), type: 'function_call', call_id, name, arguments: args })
  if (item.output === undefined) return [call]
  return [call, create({ type: 'function_call_output', call_id: item.id, output: item.output })]
}

/** Speech of the agent as text, as far as it was heard. */
export function heardSpeech(item: TranscriptItem & { kind: 'agent' }): ItemCreate {
  const { item: said, type } = message(item.id, 'assistant', 'output_text', item.text)
  return { type, item: item.cut ? { ...said, status: 'incomplete' } : said }
}

function message(id: string, role: string, type: string, text: string): ItemCreate {
  return create({ id, type: 'message', role, content: [{ type, text }] })
}

function create(item: Record<string, unknown>): ItemCreate {
  return { type: 'conversation.item.create', item }
}
