// The records of calls in SQL. Rules:
// RQ1: every write has the guard of its epoch in its own WHERE, under the lock of the call's row. What the guard found is read
//      under that lock too, never from the view the statement began with.
// RQ2: a batch of checkpoints is one statement. It locks its rows in the order of their Call SIDs: two batches cannot deadlock.
// RQ3: a claim reads row and intents after its own write has come through: an intent that the last pod wrote meanwhile is seen.
// RQ4: a call without a row is unknown, not fenced: `save` leaves it out, `intend` rejects with CALL_UNKNOWN, so that a call that
//      began while the database was away is not ended for it.
// RQ5: the events of a call are numbered under the lock of its row and are only ever added.
// RQ6: text is stored without what PostgreSQL cannot hold (NUL, half a surrogate pair): models write anything.
import type {
  CallRecords,
  CallRow,
  CheckpointWrite,
  Claimed,
  EndRequest,
  Fenceable,
  Intended,
  LiveCall,
  OpenRequest,
  ToolIntent,
} from '../../control/records.ts'
import { VoiceError } from '../../kit/errors.ts'
import type { CallSid } from '../../kit/ids.ts'
import type { Row, Sql, SqlQuery } from './sql.ts'
import * as statements from './statements.ts'

/** A call that has just ended, for what follows in the same transaction. */
export type EndedCall = Pick<CallRow, 'callId' | 'callSid' | 'tenant' | 'pack' | 'packVersion'> & { cause: string }

export type SqlRecordsOptions = {
  /** Looked at before the first use, again until it resolves. */
  check?: () => Promise<void>
  /** The place of the jobs that follow a call: runs in the transaction that ends it, once for each call. */
  atEnd?: (tx: SqlQuery, call: EndedCall) => Promise<void>
}

export class SqlRecords implements CallRecords {
  readonly #sql: Sql
  readonly #options: SqlRecordsOptions
  #isChecked: boolean

  constructor(sql: Sql, options: SqlRecordsOptions = {}) {
    this.#sql = sql
    this.#options = options
    this.#isChecked = options.check === undefined
  }

  async open(request: OpenRequest): Promise<{ kind: 'opened' | 'exists' }> {
    await this.#check()
    const { callSid, callId, tenant, from, to, direction, pack, packVersion, epoch, pod, pool } = request
    const texts = [callSid, callId, tenant, from, to, direction, pack, packVersion, pod, pool].map(storable)
    const rows = await this.#sql.query(statements.OPEN, [...texts, epoch])
    return { kind: rows.length > 0 ? 'opened' : 'exists' }
  }

  /** [RQ3] */
  async claim({ callSid, epoch, pod, pool }: Fenceable & { pod: string; pool: string }): Promise<Claimed> {
    await this.#check()
    await this.#sql.query(statements.CLAIM, [callSid, epoch, storable(pod), storable(pool)])
    const row = await this.find(callSid)
    if (row === undefined) return { kind: 'unknown' }
    if (row.state === 'ended') return { kind: 'ended', row }
    // A repeated claim of the same pod changes nothing and is the same answer: the first one's may have been lost.
    return row.epoch === epoch && row.pod === storable(pod)
      ? { kind: 'claimed', row }
      : { kind: 'fenced', epoch: row.epoch }
  }

  /** [RQ2] */
  async save(writes: readonly CheckpointWrite[]): Promise<CallSid[]> {
    if (writes.length === 0) return []
    await this.#check()
    const newest = new Map<string, CheckpointWrite>()
    for (const write of writes) {
      const key = `${write.epoch} ${write.callSid}`
      if ((newest.get(key)?.sequence ?? -1) < write.sequence) newest.set(key, write)
    }
    const batch = [...newest.values()]
    const rows = await this.#sql.query(statements.SAVE, [
      batch.map((write) => write.callSid),
      batch.map((write) => write.epoch),
      batch.map((write) => write.sequence),
      batch.map((write) => storable(write.text)),
    ])
    return rows.map((row) => row.call_sid as CallSid)
  }

  async intend(request: Fenceable & Omit<ToolIntent, 'output'>): Promise<Intended> {
    await this.#check()
    const { callSid, epoch, key, toolCallId, name, argumentsText } = request
    const texts = [key, toolCallId, name, argumentsText].map(storable)
    const [made] = await this.#sql.query(statements.INTEND, [callSid, epoch, ...texts])
    if (made?.made === 1) return { kind: 'intended' }
    if (made?.held === 1) {
      const [known] = await this.#sql.query(statements.OUTPUT_OF, [texts[0], callSid])
      if (known === undefined) throw new Error('the key of a tool intent belongs to another call')
      return { kind: 'known', output: textOf(known.output) }
    }
    if ((await this.#stateOf(callSid)) === undefined) throw new VoiceError('CALL_UNKNOWN', { retryable: true })
    return { kind: 'fenced' }
  }

  async settle({
    callSid,
    epoch,
    key,
    output,
  }: Fenceable & { key: string; output: string }): Promise<{ kind: 'settled' | 'fenced' }> {
    await this.#check()
    const rows = await this.#sql.query(statements.SETTLE, [callSid, epoch, storable(key), storable(output)])
    return { kind: rows.length > 0 ? 'settled' : 'fenced' }
  }

  async end(request: EndRequest): Promise<{ kind: 'ended' | 'repeated' | 'fenced' | 'unknown' }> {
    await this.#check()
    const { callSid, epoch, cause, next, checkpoint } = request
    const text = checkpoint === undefined ? null : storable(checkpoint)
    const isEnded = await this.#sql.transaction(async (tx) => {
      const [row] = await tx.query(statements.END, [callSid, epoch, storable(cause), jsonOf(next), text])
      if (row === undefined) return false
      await this.#options.atEnd?.(tx, endedCallOf(row))
      return true
    })
    if (isEnded) return { kind: 'ended' }
    const found = await this.#stateOf(callSid)
    if (found === undefined) return { kind: 'unknown' }
    return { kind: found.state === 'ended' && found.epoch === epoch ? 'repeated' : 'fenced' }
  }

  async find(callSid: CallSid): Promise<CallRow | undefined> {
    await this.#check()
    const [row] = await this.#sql.query(statements.FIND, [callSid])
    return row === undefined ? undefined : callRowOf(row)
  }

  async live({ after = '' as CallSid, max }: Parameters<CallRecords['live']>[0]): Promise<LiveCall[]> {
    await this.#check()
    return (await this.#sql.query(statements.LIVE, [after, max])).map(liveCallOf)
  }

  async silent(page: Parameters<CallRecords['silent']>[0]): Promise<LiveCall[]> {
    await this.#check()
    const { after = '' as CallSid, max, forMs, unsignedForMs } = page
    return (await this.#sql.query(statements.SILENT, [after, max, forMs, unsignedForMs])).map(liveCallOf)
  }

  async take({ callSid, epoch, forMs }: Fenceable & { forMs: number }): Promise<{ kind: 'taken' | 'busy' }> {
    await this.#check()
    const rows = await this.#sql.query(statements.TAKE, [callSid, epoch, forMs])
    return { kind: rows.length > 0 ? 'taken' : 'busy' }
  }

  close(): Promise<void> {
    return this.#sql.close()
  }

  async #check(): Promise<void> {
    if (this.#isChecked) return
    await this.#options.check?.()
    this.#isChecked = true
  }

  async #stateOf(callSid: CallSid): Promise<{ state: string; epoch: number } | undefined> {
    const [row] = await this.#sql.query(statements.STATE_OF, [callSid])
    return row === undefined ? undefined : { state: String(row.state), epoch: Number(row.epoch) }
  }
}

/** [RQ6] */
export function storable(text: string): string {
  return (text.includes('\0') ? text.replaceAll('\0', '\uFFFD') : text).toWellFormed()
}

export function jsonOf(value: object): string {
  return JSON.stringify(value, (_key, part: unknown) => (typeof part === 'string' ? storable(part) : part))
}

const textOf = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined)
const numberOf = (value: unknown): number | undefined =>
  value === null || value === undefined ? undefined : Number(value)

const liveCallOf = (row: Row): LiveCall => ({
  callSid: row.call_sid as CallSid,
  epoch: Number(row.epoch),
  pod: String(row.pod),
})

function endedCallOf(row: Row): EndedCall {
  return {
    callId: row.call_id as CallRow['callId'],
    callSid: row.call_sid as CallSid,
    tenant: String(row.tenant),
    pack: String(row.pack),
    packVersion: String(row.pack_version),
    cause: String(row.cause),
  }
}

function callRowOf(row: Row): CallRow {
  return {
    callId: row.call_id as CallRow['callId'],
    callSid: row.call_sid as CallSid,
    tenant: String(row.tenant),
    from: String(row.from_number),
    to: String(row.to_number),
    direction: row.direction as CallRow['direction'],
    pack: String(row.pack),
    packVersion: String(row.pack_version),
    state: row.state as CallRow['state'],
    epoch: Number(row.epoch),
    pod: String(row.pod),
    pool: String(row.pool),
    checkpoint: textOf(row.checkpoint),
    sequence: Number(row.sequence),
    resumes: Number(row.resumes),
    startedAtMs: Number(row.started_at_ms),
    endedAtMs: numberOf(row.ended_at_ms),
    cause: textOf(row.cause),
    next: (row.next as CallRow['next'] | null) ?? undefined,
    intents: (row.intents as (Omit<ToolIntent, 'output'> & { output: string | null })[]).map((intent) => ({
      ...intent,
      output: intent.output ?? undefined,
    })),
  }
}
