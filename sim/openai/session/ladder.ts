// The order of events around an item of a response. Rules:
// L1: opened: output_item.added, conversation.item.added, content_part.added.
// L2: closed: audio.done, transcript.done, content_part.done, output_item.done, conversation.item.done; with the fault
//     `reorderDones` in reverse, which clients must bear.
// L3: an item out of band is in no conversation: its conversation.item events are left out.
import type { Item } from './conversation.ts'
import type { ServerEvent } from './events.ts'
import type { ResponseRequest } from './response.ts'
import type { EventSink } from './response-host.ts'

const ARGUMENT_PIECE_CHARS = 24

/** Ids that every event of an item carries. */
export type Place = { response_id: string; item_id: string; output_index: number; content_index: number }

export type CallPlace = {
  responseId: string
  outputIndex: number
  item: Item
  previousId: string | null
  isOutOfBand: boolean
}

/** Opens a message item. */
export function openSpeech(
  sink: EventSink,
  place: Place,
  item: Item,
  previousId: string | null,
  request: ResponseRequest,
): void {
  const { response_id, output_index } = place
  send(sink, { type: 'response.output_item.added', response_id, output_index, item })
  if (!request.isOutOfBand) send(sink, { type: 'conversation.item.added', previous_item_id: previousId, item })
  const part = request.modality === 'audio' ? { type: 'audio', transcript: '' } : { type: 'text', text: '' }
  send(sink, { type: 'response.content_part.added', ...place, part })
}

/** Closes a message item; `item` holds its final state, `said` its words, `previousId` what came before it. */
export function closeSpeech(
  sink: EventSink,
  closing: { place: Place; item: Item; previousId: string | null; said: string },
  request: ResponseRequest,
): void {
  const { place, item, previousId, said } = closing
  const { response_id, output_index } = place
  const isAudio = request.modality === 'audio'
  const part = isAudio ? { type: 'audio', transcript: said } : { type: 'text', text: said }
  const events: Unnumbered[] = isAudio
    ? [
        { type: 'response.output_audio.done', ...place },
        { type: 'response.output_audio_transcript.done', ...place, transcript: said },
      ]
    : [{ type: 'response.output_text.done', ...place, text: said }]
  events.push({ type: 'response.content_part.done', ...place, part })
  events.push({ type: 'response.output_item.done', response_id, output_index, item })
  if (!request.isOutOfBand) events.push({ type: 'conversation.item.done', previous_item_id: previousId, item })
  if (sink.faults().reorderDones) events.reverse()
  for (const event of events) send(sink, event)
}

/** A whole function call: added, argument pieces, done. Leaves `item` completed. */
export function callEvents(sink: EventSink, place: CallPlace, argumentsJson: string): void {
  openCall(sink, place)
  for (let from = 0; from < argumentsJson.length; from += ARGUMENT_PIECE_CHARS)
    argumentPiece(sink, place, argumentsJson.slice(from, from + ARGUMENT_PIECE_CHARS))
  closeCall(sink, place, argumentsJson)
}

const whereOf = ({ responseId, outputIndex }: CallPlace) => ({ response_id: responseId, output_index: outputIndex })

/** A function call begins. */
export function openCall(sink: EventSink, place: CallPlace): void {
  const { item, previousId, isOutOfBand } = place
  send(sink, { type: 'response.output_item.added', ...whereOf(place), item })
  if (!isOutOfBand) send(sink, { type: 'conversation.item.added', previous_item_id: previousId, item })
}

/** A piece of its arguments. */
export function argumentPiece(sink: EventSink, place: CallPlace, delta: string): void {
  const { item } = place
  const ids = { ...whereOf(place), item_id: item.id, call_id: item.call_id }
  send(sink, { type: 'response.function_call_arguments.delta', ...ids, delta })
}

/** The call is whole. Leaves `item` completed. */
export function closeCall(sink: EventSink, place: CallPlace, argumentsJson: string): void {
  const { item, previousId, isOutOfBand } = place
  const at = whereOf(place)
  const ids = { ...at, item_id: item.id, call_id: item.call_id }
  item.arguments = argumentsJson
  item.status = 'completed'
  send(sink, { type: 'response.function_call_arguments.done', ...ids, name: item.name, arguments: argumentsJson })
  send(sink, { type: 'response.output_item.done', ...at, item })
  if (sink.faults().duplicateCalls) send(sink, { type: 'response.output_item.done', ...at, item })
  if (!isOutOfBand) send(sink, { type: 'conversation.item.done', previous_item_id: previousId, item })
}

type Unnumbered = { type: string; [field: string]: unknown }

function send(sink: EventSink, event: Unnumbered): void {
  const { type, ...rest } = event
  const numbered: ServerEvent = { type, event_id: sink.ids.next('event'), ...rest }
  sink.send(numbered)
}
