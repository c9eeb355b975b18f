// Where what is sealed stands: the one seam between the stores and the keys. Rules:
// CDC1: with keys every text that holds a number or words of a call goes through `seal` on its way in and `open` on its way out, each under the
//      name of its column and its row; without keys texts go as they are, and one that is sealed is DATA_KEY_MISSING.
// CDC2: what a pod needs to go on with a call is read as far as it opens (`openOr`): a number that does not is unknown, a checkpoint that does
//      not is unreadable and begins the conversation anew.
// CDC3: without keys a text that only looks like a seal gets a space before it: whoever says such a thing locks nothing.
import { VoiceError } from '../../kit/errors.ts'
import { isSealed, openWithout, type Sealer } from './sealer.ts'

/** The columns that are sealed, as the comments of the schema say (sealed-columns.ts); a test holds both together. */
export const SEALED_COLUMNS = [
  'call.from_number',
  'call.to_number',
  'call.checkpoint',
  'call.next',
  'tool_intent.arguments',
  'tool_intent.output',
  'call_record.transcript',
  'call_record.summary',
  'call_record.intent',
  'call_record.disposition',
  'erasure.number',
] as const

/** Its row is named by the Call SID, that of an intent by its key, that of an erasure by its tenant. */
export type SealedColumn = (typeof SEALED_COLUMNS)[number]

export interface Codec {
  seal(column: SealedColumn, row: string, text: string): string
  /** Throws DATA_KEY_MISSING or DATA_SEAL_BROKEN. */
  open(column: SealedColumn, row: string, text: string): string
  /** How a far party's number is found; null without keys, where the number itself is there. */
  mark(number: string): string | null
}

/** The codec under `sealer`; undefined: no keys are configured. [CDC1] */
export function codecOf(sealer: Sealer | undefined): Codec {
  if (sealer === undefined)
    return {
      seal: (_column, _row, text) => (isSealed(text) ? ` ${text}` : text),
      open: (_column, _row, text) => openWithout(text),
      mark: () => null,
    }
  return {
    seal: (column, row, text) => sealer.seal(text, `${column} ${row}`),
    open: (column, row, text) => sealer.open(text, `${column} ${row}`),
    mark: (number) => sealer.marks(number)[0] ?? null,
  }
}

/** `open`, or `otherwise` when it does not open; any other error goes on. [CDC2] */
export function openOr<T>(open: () => string, otherwise: T): string | T {
  try {
    return open()
  } catch (error) {
    if (isSealTrouble(error)) return otherwise
    throw error
  }
}

/** Whether this is about keys, and not about the store. */
export function isSealTrouble(error: unknown): boolean {
  return error instanceof VoiceError && (error.code === 'DATA_KEY_MISSING' || error.code === 'DATA_SEAL_BROKEN')
}
