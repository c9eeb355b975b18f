// What a client may send besides audio, and what is done with it. Rules:
// X1: an event of unknown type, or of the wrong shape, is refused with the API's code and parameter; nothing is changed.
// X2: `event_id` of the client comes back in the error it causes.
import {
  anything,
  integerIn,
  invalidType,
  isObject,
  missing,
  nullable,
  oneOf,
  type Problem,
  shape,
  text,
} from '../kit/checks.ts'
import { earSettings, updateConfig } from './config.ts'
import { ITEM, RESPONSE } from './config-shape.ts'
import { type Item, unknownItem } from './conversation.ts'
import type { Session } from './session.ts'
import type { Overrides } from './turns.ts'

const COMMIT_MS_MIN = 100
/** So much of the instructions is noted: enough to tell an agent by. */
const INSTRUCTIONS_NOTED = 120

type ClientEvent = { type: string; event_id?: string; [field: string]: unknown }
type Act = (session: Session, event: ClientEvent) => Problem | undefined

const ACTS: Record<string, Act> = {
  'session.update': updateSession,
  'input_audio_buffer.append': (_, event) =>
    shape({ type: anything, event_id: text, audio: text }, ['audio'])(event, ''),
  'input_audio_buffer.commit': commitBuffer,
  'input_audio_buffer.clear': clearBuffer,
  'conversation.item.create': createItem,
  'conversation.item.retrieve': retrieveItem,
  'conversation.item.delete': deleteItem,
  'conversation.item.truncate': truncateItem,
  'response.create': createResponse,
  'response.cancel': cancelResponse,
}

/** Does what a parsed client event asks, or refuses it. */
export function handleEvent(session: Session, event: unknown): void {
  const eventId = isObject(event) && typeof event.event_id === 'string' ? event.event_id : undefined
  const problem = run(session, event)
  if (problem !== undefined) session.refuse(problem, eventId)
}

function run(session: Session, event: unknown): Problem | undefined {
  if (!isObject(event)) return { code: 'invalid_event', message: 'The event must be a JSON object.', param: null }
  if (event.type === undefined) return missing('type')
  if (typeof event.type !== 'string') return invalidType('type', 'a string', event.type)
  const act = Object.hasOwn(ACTS, event.type) ? ACTS[event.type] : undefined
  if (act !== undefined) return act(session, event as ClientEvent)
  const { message } = oneOf(...Object.keys(ACTS))(event.type, 'type')!
  return { code: 'unknown_event', message, param: 'type' }
}

function updateSession(session: Session, event: ClientEvent): Problem | undefined {
  if (event.session === undefined) return missing('session')
  const result = updateConfig(
    session.config,
    event.session,
    session.conversation.hasSpoken,
    session.shared.sessionUpdate,
  )
  if (result.kind === 'refused') return result.problem
  session.config = result.config
  const { input } = session.config.audio
  session.ears.configure(input.format.type, earSettings(input.turn_detection))
  const names = session.config.tools.flatMap((tool) => ('name' in tool ? [tool.name] : []))
  // Tools by the clock go with the default script: one that has calls of its own would also end the conversation.
  const plain = session.shared.options.toolEveryMs > 0
  if (session.dialogue.isFresh) session.dialogue.change(session.shared.catalogue.choose(names, { plain }))
  const servers = session.config.tools.filter((tool) => tool.type === 'mcp')
  const reply = () =>
    session.send({ type: 'session.updated', event_id: session.ids.next('event'), session: session.config })
  const { updatedDelayMs } = session.shared.faults
  if (updatedDelayMs > 0) session.after(updatedDelayMs, reply)
  else reply()
  session.mcp.configured(servers, (server) => session.dialogue.toolsAt(server))
  const formats = { input: input.format.type, output: session.config.audio.output.format.type }
  const detection = input.turn_detection?.type ?? 'none'
  session.note('session_updated', {
    ...formats,
    turn_detection: detection,
    tools: names,
    instructions: session.config.instructions.slice(0, INSTRUCTIONS_NOTED),
    voice: JSON.stringify(session.config.audio.output.voice ?? null),
    script: session.dialogue.scriptName,
  })
  return undefined
}

function commitBuffer(session: Session): Problem | undefined {
  const { pendingMs } = session.ears
  if (pendingMs < COMMIT_MS_MIN) {
    const message = `Error committing input audio buffer: buffer too small. Expected at least ${COMMIT_MS_MIN}ms of audio, but buffer only has ${pendingMs.toFixed(2)}ms of audio.`
    return { code: 'input_audio_buffer_commit_empty', message, param: null }
  }
  session.turns.commit(session.ids.next('item'), pendingMs)
  return undefined
}

function clearBuffer(session: Session): undefined {
  session.ears.empty()
  session.send({ type: 'input_audio_buffer.cleared', event_id: session.ids.next('event') })
}

function createItem(session: Session, event: ClientEvent): Problem | undefined {
  if (event.item === undefined) return missing('item')
  const problem = ITEM(event.item, 'item') ?? nullable(text)(event.previous_item_id ?? null, 'previous_item_id')
  if (problem !== undefined) return problem
  const given = event.item as Partial<Item> & { type: string }
  if (given.role === 'assistant' && given.content?.some((part) => part.type.includes('audio'))) {
    return { code: 'invalid_value', message: 'Assistant audio cannot be created by the client.', param: 'item.content' }
  }
  const item: Item = {
    ...given,
    id: given.id ?? session.ids.next('item'),
    object: 'realtime.item',
    status: 'completed',
  }
  if (item.type === 'function_call') item.call_id ??= session.ids.next('call')
  const added = session.conversation.add(item, event.previous_item_id as string | null | undefined)
  if (added.kind === 'refused') return added.problem
  session.noteItem('item_added', item, 'client')
  const { previousId: previous_item_id } = added
  session.send({ type: 'conversation.item.added', event_id: session.ids.next('event'), previous_item_id, item })
  session.send({ type: 'conversation.item.done', event_id: session.ids.next('event'), previous_item_id, item })
  hearItem(session, item)
  return undefined
}

/** Tells the dialogue of an item that the client put in. */
function hearItem(session: Session, item: Item): void {
  const { dialogue } = session
  if (item.type === 'function_call') dialogue.replayCall(item.name ?? '', item.arguments ?? '')
  else if (item.type === 'message' && item.role === 'user') dialogue.hearCaller()
  else if (item.type === 'message' && item.role === 'assistant') dialogue.replaySpeech()
  else if (item.type === 'mcp_approval_response') {
    const { approval_request_id, approve } = item as { approval_request_id?: unknown; approve?: unknown }
    const problem = session.mcp.decide(approval_request_id, approve === true)
    if (problem !== undefined) session.refuse(problem, undefined)
  } else if (item.type === 'function_call_output') {
    const wasAwaited = dialogue.hearOutput(item.output ?? '')
    session.note('function_output', { call_id: item.call_id, awaited: wasAwaited, bytes: item.output?.length ?? 0 })
  }
}

function retrieveItem(session: Session, event: ClientEvent): Problem | undefined {
  if (typeof event.item_id !== 'string')
    return event.item_id === undefined ? missing('item_id') : invalidType('item_id', 'a string', event.item_id)
  const item = session.conversation.withAudio(event.item_id)
  if (item === undefined) return unknownItem('item_retrieve_invalid_item_id', 'item_id', event.item_id)
  session.send({ type: 'conversation.item.retrieved', event_id: session.ids.next('event'), item })
  return undefined
}

function deleteItem(session: Session, event: ClientEvent): Problem | undefined {
  if (typeof event.item_id !== 'string')
    return event.item_id === undefined ? missing('item_id') : invalidType('item_id', 'a string', event.item_id)
  const item = session.conversation.find(event.item_id)
  const problem = session.conversation.remove(event.item_id)
  if (problem !== undefined) return problem
  if (item !== undefined) session.noteItem('item_removed', item, 'client')
  session.send({ type: 'conversation.item.deleted', event_id: session.ids.next('event'), item_id: event.item_id })
  return undefined
}

const TRUNCATE = shape(
  {
    type: anything,
    event_id: text,
    item_id: text,
    content_index: integerIn(0, 1_000),
    audio_end_ms: integerIn(0, 1e9),
  },
  ['item_id', 'content_index', 'audio_end_ms'],
)

function truncateItem(session: Session, event: ClientEvent): Problem | undefined {
  const shapeProblem = TRUNCATE(event, '')
  const { item_id, content_index, audio_end_ms } = event as unknown as {
    item_id: string
    content_index: number
    audio_end_ms: number
  }
  const problem = shapeProblem ?? session.conversation.truncate(item_id, content_index, audio_end_ms)
  session.note('truncate', {
    item: String(item_id),
    ms: Number(audio_end_ms),
    ok: problem === undefined,
    error: problem?.message,
  })
  if (problem !== undefined) return problem
  session.send({
    type: 'conversation.item.truncated',
    event_id: session.ids.next('event'),
    item_id,
    content_index,
    audio_end_ms,
  })
  return undefined
}

function createResponse(session: Session, event: ClientEvent): Problem | undefined {
  const given = event.response ?? {}
  const problem = RESPONSE(given, 'response')
  if (problem !== undefined) return problem
  const started = session.turns.respond(given as Overrides)
  if (started === 'started') return undefined
  const id = session.turns.active?.id ?? ''
  const message = `Conversation already has an active response in progress: ${id}. Wait until the response is finished before creating a new one.`
  return { code: 'conversation_already_has_active_response', message, param: null }
}

function cancelResponse(session: Session, event: ClientEvent): Problem | undefined {
  const id = event.response_id
  if (id !== undefined && id !== null && typeof id !== 'string') return invalidType('response_id', 'a string', id)
  if (session.turns.cancel(id ?? undefined)) return undefined
  return { code: 'response_cancel_not_active', message: 'Cancellation failed: no active response found', param: null }
}
