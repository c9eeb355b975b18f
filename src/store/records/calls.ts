// The records of calls in SQL. Rules:
// RQ1: every write has the guard of its epoch in its own WHERE, under the lock of the call's row. What the guard found is read
//      under that lock too, never from the view the statement began with.
// RQ2: a batch of checkpoints is one statement. It locks its rows in the order of their Call SIDs: two batches cannot deadlock.
// RQ3: a claim reads row and intents after its own write has come through: an intent that the last pod wrote meanwhile is seen.
// RQ4: a call without a row is unknown, not fenced: `save` leaves it out, `intend` rejects with CALL_UNKNOWN, so that a call that
//      began while the database was away is not ended for it.
// RQ5: the events of a call are numbered under the lock of its row and are only ever added.
import { farPartyOf, numberOf } from '../../call/identity.ts'
import { FAILOVER_CALM_MS } from '../../call/state.ts'
import type {
  CallRecords,
  CallRow,
  CheckpointWrite,
  Claimed,
  ClaimRequest,
  EndRequest,
  Fenceable,
  Intended,
  LiveCall,
  OpenRequest,
  ToolIntent,
} from '../../control/records.ts'
import { VoiceError } from '../../kit/errors.ts'
import type { CallSid } from '../../kit/ids.ts'
import { type Codec, codecOf, openOr } from '../sealing/codec.ts'
import { callRowOf, jsonOf, sealedNext, storable } from './rows.ts'
import type { Row, Sql, SqlQuery } from './sql.ts'
import * as statements from './statements.ts'

/** A call that has just ended, for what follows in the same transaction. */
type EndedCall = Pick<CallRow, 'callId' | 'callSid' | 'tenant' | 'pack' | 'packVersion'> & { cause: string }

export type SqlRecordsOptions = {
  /** Looked at before the first use, again until it resolves. */
  check?: () => Promise<void>
  /** The place of the jobs that follow a call: runs in the transaction that ends it, once for each call. */
  atEnd?: (tx: SqlQuery, call: EndedCall) => Promise<void>
  /** What is encrypted at rest; unless given, nothing is. */
  codec?: Codec
}

export class SqlRecords implements CallRecords {
  readonly #sql: Sql
  readonly #options: SqlRecordsOptions
  readonly #codec: Codec
  #isChecked: boolean

  constructor(sql: Sql, options: SqlRecordsOptions = {}) {
    this.#sql = sql
    this.#options = options
    this.#codec = options.codec ?? codecOf(undefined)
    this.#isChecked = options.check === undefined
  }

  async open(request: OpenRequest): Promise<{ kind: 'opened' | 'exists' }> {
    await this.#check()
    const { callSid, callId, tenant, from, to, direction, pack, packVersion, epoch, pod, pool } = request
    const sealedFrom = this.#codec.seal('call.from_number', callSid, storable(from))
    const sealedTo = this.#codec.seal('call.to_number', callSid, storable(to))
    const texts = [callSid, callId, tenant, sealedFrom, sealedTo, direction, pack, packVersion, pod, pool].map(storable)
    const number = numberOf(farPartyOf({ from, to, direction }))
    const mark = number === undefined ? null : this.#codec.mark(number)
    const rows = await this.#sql.query(statements.OPEN, [...texts, mark, epoch])
    return { kind: rows.length > 0 ? 'opened' : 'exists' }
  }

  /** [RQ3] */
  async claim({ callSid, epoch, pod, pool, how }: ClaimRequest): Promise<Claimed> {
    await this.#check()
    const isFailover = how !== 'handover'
    const texts = [storable(pod), storable(pool)]
    await this.#sql.query(statements.CLAIM, [callSid, epoch, ...texts, isFailover, FAILOVER_CALM_MS])
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
      batch.map((write) => this.#codec.seal('call.checkpoint', write.callSid, storable(write.text))),
    ])
    return rows.map((row) => row.call_sid as CallSid)
  }

  async intend(request: Fenceable & Omit<ToolIntent, 'output'>): Promise<Intended> {
    await this.#check()
    const { callSid, epoch, key, toolCallId, name, argumentsText } = request
    const sealed = this.#codec.seal('tool_intent.arguments', key, storable(argumentsText))
    const texts = [key, toolCallId, name, sealed].map(storable)
    const [made] = await this.#sql.query(statements.INTEND, [callSid, epoch, ...texts])
    if (made?.made === 1) return { kind: 'intended' }
    if (made?.held === 1) {
      const [known] = await this.#sql.query(statements.OUTPUT_OF, [texts[0], callSid])
      if (known === undefined) throw new Error('the key of a tool intent belongs to another call')
      const output = textOf(known.output)
      if (output === undefined) return { kind: 'known', output }
      return { kind: 'known', output: openOr(() => this.#codec.open('tool_intent.output', key, output), undefined) }
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
    const sealed = this.#codec.seal('tool_intent.output', key, storable(output))
    const rows = await this.#sql.query(statements.SETTLE, [callSid, epoch, storable(key), sealed])
    return { kind: rows.length > 0 ? 'settled' : 'fenced' }
  }

  async end(request: EndRequest): Promise<{ kind: 'ended' | 'repeated' | 'fenced' | 'unknown' }> {
    await this.#check()
    const { callSid, epoch, cause, next, checkpoint } = request
    const text = checkpoint === undefined ? null : this.#codec.seal('call.checkpoint', callSid, storable(checkpoint))
    const sealed = jsonOf(sealedNext(this.#codec, callSid, next))
    const isEnded = await this.#sql.transaction(async (tx) => {
      const [row] = await tx.query(statements.END, [callSid, epoch, storable(cause), sealed, text])
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
    const [row] = await this.#sql.query(statements.FIND, [callSid, FAILOVER_CALM_MS])
    return row === undefined ? undefined : callRowOf(row, this.#codec)
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

const textOf = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined)

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
