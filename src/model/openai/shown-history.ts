// The call's history as the SDK keeps it. Pure.
import { contentOf, itemIdOf, type MessagePart, type TranscriptItem } from '../../call/transcript.ts'

/** An item in the shape of the SDK's `item_update`. */
type ShownItem = { itemId: string } & Record<string, unknown>

/** The items of `history`, in order. */
export function shownHistory(history: readonly TranscriptItem[]): ShownItem[] {
  return history.map(shown)
}

function shown(item: TranscriptItem): ShownItem {
  if (item.kind === 'tool') {
    const { name, arguments: args, output = null } = item
    const status = output === null ? 'in_progress' : 'completed'
    return { itemId: itemIdOf(item), type: 'function_call', status, name, arguments: args, output }
  }
  if (item.kind === 'message') return message(item.id, item.role, 'completed', contentOf(item).map(part))
  if (item.kind === 'caller')
    return message(item.id, 'user', 'completed', [{ type: 'input_audio', audio: null, transcript: item.text }])
  const words = item.text === '' ? [] : [{ type: 'output_audio', audio: null, transcript: item.text }]
  return message(item.id, 'assistant', item.cut ? 'incomplete' : 'completed', words)
}

function message(itemId: string, role: string, status: string, content: MessagePart[]): ShownItem {
  return { itemId, type: 'message', role, ...(role === 'system' ? {} : { status }), content }
}

function part({ image_url, ...rest }: MessagePart): MessagePart {
  return image_url === undefined ? rest : { ...rest, image: image_url }
}
