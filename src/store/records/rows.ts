// A row of the records as the plane reads it, and text as a database takes it. Rules:
// ROW1: what is sealed and does not open leaves the rest of its row as it is, and the row says so (`isSealed`).
// ROW2: text is stored without what PostgreSQL cannot hold (NUL, half a surrogate pair): models write anything.
import { readEndCause } from '../../call/end-cause.ts'
import type { CallRow, RecordedNext, ToolIntent } from '../../control/records.ts'
import { type Codec, openOr, type SealedColumn } from '../sealing/codec.ts'
import type { Row } from './sql.ts'

/** What a number is that does not open. */
const UNKNOWN = 'unknown'
/** Not a checkpoint of any version. */
const UNREADABLE = ''

/** [ROW2] */
export function storable(text: string): string {
  return (text.includes('\0') ? text.replaceAll('\0', '\uFFFD') : text).toWellFormed()
}

export function jsonOf(value: object): string {
  return JSON.stringify(value, (_key, part: unknown) => (typeof part === 'string' ? storable(part) : part))
}

/** The number or sentence in it is sealed; its kind stays plain. */
export function sealedNext(codec: Codec, callSid: string, next: RecordedNext): RecordedNext {
  const seal = (text: string): string => codec.seal('call.next', callSid, storable(text))
  if (next.kind === 'transfer') return { ...next, to: seal(next.to) }
  return next.kind === 'hang-up' && next.sentence !== undefined ? { ...next, sentence: seal(next.sentence) } : next
}

/** [ROW1] The row with its intents; `codec` opens what is sealed. */
export function callRowOf(row: Row, codec: Codec): CallRow {
  const callSid = row.call_sid as CallRow['callSid']
  let isSealed = false
  const open = <T>(column: SealedColumn, name: string, text: string, otherwise: T): string | T => {
    const value = openOr<undefined>(() => codec.open(column, name, text), undefined)
    if (value !== undefined) return value
    isSealed = true
    return otherwise
  }
  const optional = (column: SealedColumn, name: string, text: unknown, otherwise: string | undefined) =>
    typeof text === 'string' ? open(column, name, text, otherwise) : undefined
  const intents = (row.intents as (Omit<ToolIntent, 'output'> & { output: string | null })[]).map((intent) => ({
    ...intent,
    argumentsText: open('tool_intent.arguments', intent.key, intent.argumentsText, '{}'),
    output: optional('tool_intent.output', intent.key, intent.output, undefined),
  }))
  const found: CallRow = {
    callId: row.call_id as CallRow['callId'],
    callSid,
    tenant: String(row.tenant),
    from: open('call.from_number', callSid, String(row.from_number), UNKNOWN),
    to: open('call.to_number', callSid, String(row.to_number), UNKNOWN),
    direction: row.direction as CallRow['direction'],
    pack: String(row.pack),
    packVersion: String(row.pack_version),
    state: row.state as CallRow['state'],
    epoch: Number(row.epoch),
    pod: String(row.pod),
    pool: String(row.pool),
    checkpoint: optional('call.checkpoint', callSid, row.checkpoint, UNREADABLE),
    sequence: Number(row.sequence),
    resumes: Number(row.resumes),
    failovers: Number(row.failovers),
    startedAtMs: Number(row.started_at_ms),
    endedAtMs: row.ended_at_ms === null || row.ended_at_ms === undefined ? undefined : Number(row.ended_at_ms),
    cause: readEndCause(row.cause), // [EC2]
    next: openedNext(row.next as RecordedNext | null, (text) => open('call.next', callSid, text, undefined)),
    intents,
  }
  return isSealed ? { ...found, isSealed } : found
}

/** Without its number a transfer leads nowhere: the call ends politely. */
function openedNext(next: RecordedNext | null, open: (text: string) => string | undefined): RecordedNext | undefined {
  if (next === null) return undefined
  if (next.kind === 'transfer') {
    const to = open(next.to)
    return to === undefined ? { kind: 'hang-up' } : { ...next, to }
  }
  if (next.kind !== 'hang-up' || next.sentence === undefined) return next
  const sentence = open(next.sentence)
  return sentence === undefined ? { kind: 'hang-up' } : { ...next, sentence }
}
