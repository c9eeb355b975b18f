// What a call asks of its model, as client events of the wire. Pure. Facts: the provider's package, realtime.d.ts.
import type { ModelCommand } from '../../call/ports.ts'
import { wordsOfKeys } from '../../call/turn.ts'
import { unreachable } from '../../kit/errors.ts'
import { record, type ServerEvent } from './wire.ts'

const PROBE_ID = 'vp-alive'
const PROVE_ID = 'vp-prove'

/** A question about an item that never was: cheap, changes nothing, and every server answers it, with an error that names it. */
export const PROBE = { type: 'conversation.item.retrieve', event_id: PROBE_ID, item_id: 'vp_no_such_item' }

/** Is this the answer to a probe? */
export function isProbeAnswer(event: ServerEvent): boolean {
  return event.type === 'error' && record(event.error).event_id === PROBE_ID
}

/** Is this the answer to the call's own question (`prove`)? */
export function isProof(event: ServerEvent): boolean {
  return event.type === 'error' && record(event.error).event_id === PROVE_ID
}

/** The client event that `command` is. Its `event_id` comes back in an error about it. */
export function clientEventOf(command: ModelCommand): Record<string, unknown> {
  switch (command.kind) {
    case 'respond': {
      const { requestId, instructions, extra } = command
      const response = { ...extra, ...(instructions === undefined ? {} : { instructions }) }
      const body = Object.keys(response).length === 0 ? {} : { response }
      return { type: 'response.create', event_id: requestId, ...body }
    }
    case 'cancel':
      return { type: 'response.cancel', event_id: 'vp-cancel' }
    case 'truncate': {
      const { itemId, audioEndMs } = command
      const where = { item_id: itemId, content_index: 0, audio_end_ms: audioEndMs }
      return { type: 'conversation.item.truncate', event_id: `vp-truncate-${audioEndMs}`, ...where }
    }
    case 'digits': {
      const content = [{ type: 'input_text', text: wordsOfKeys(command.digits) }]
      const item = { id: command.itemId, type: 'message', role: 'user', content }
      return { type: 'conversation.item.create', event_id: `vp-${command.itemId}`, item }
    }
    case 'commit':
      return { type: 'input_audio_buffer.commit', event_id: 'vp-commit' }
    case 'note':
      return { ...systemNote(command.text, command.itemId), event_id: `vp-${command.itemId}` }
    case 'prove':
      return { ...PROBE, event_id: PROVE_ID }
    default:
      return unreachable(command)
  }
}

/** The answer to a tool call. */
export function toolOutput(toolCallId: string, output: string): Record<string, unknown> {
  return {
    type: 'conversation.item.create',
    item: { type: 'function_call_output', call_id: toolCallId, output },
  }
}

/** The item that says why the line was silent: nobody's history has it. */
export const NOTE_ID = 'vp_note'

/** Something the model is told that nobody said. */
export function systemNote(text: string, id?: string): Record<string, unknown> {
  return {
    type: 'conversation.item.create',
    item: {
      ...(id === undefined ? {} : { id }),
      type: 'message',
      role: 'system',
      content: [{ type: 'input_text', text }],
    },
  }
}
