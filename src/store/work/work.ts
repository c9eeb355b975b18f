// The work after calls in SQL. Rules:
// SW1: an outcome, what it found and its successor are one statement, with the holder's fence in its WHERE.
// SW2: who claims takes no row that another is about to take, and waits for none (SKIP LOCKED).
// SW3: an item whose workers died ATTEMPTS_MAX times is buried like one that failed as often: it may be what kills them.
// SW4: the items of a call are made in the transaction that ends it; what was ended without them is found by a mark of the call, never
//      by a walk through all calls.
// SW5: call-backs of a tenant are kept one after the other, under a lock of the transaction: one person has one that is open.
import { endedBy, readEndCause } from '../../call/end-cause.ts'
import { readFigures } from '../../call/figures.ts'
import { farPartyOf, numberOf } from '../../call/identity.ts'
import type { CallId, CallSid } from '../../kit/ids.ts'
import {
  AFTER,
  type Analysis,
  ATTEMPTS_MAX,
  type CallCost,
  type CallRecord,
  type HeldItem,
  MADE_AT_END,
  type TranscriptLine,
  type VoicemailEntry,
  type Waiter,
  type WorkDepth,
  type WorkEntry,
  type WorkFailure,
  type WorkItem,
  type WorkResult,
  type WorkState,
  type WorkStore,
  type WorkType,
} from '../../work/ports.ts'
import { jsonOf, storable } from '../records/rows.ts'
import type { Row, Sql, SqlQuery } from '../records/sql.ts'
import { type Codec, codecOf } from '../sealing/codec.ts'
import * as statements from './statements.ts'

const ERROR_MAX_CHARS = 300
const BURIED = `its worker ended without an outcome, ${ATTEMPTS_MAX} times`
const MADE = [MADE_AT_END, MADE_AT_END.map((type) => AFTER[type] ?? null)] as const

/** Adds the items of a call that has just ended, in the transaction that ends it. Repeated, it adds nothing. */
export async function addWork(tx: SqlQuery, { callSid }: { callSid: CallSid }): Promise<void> {
  await tx.query(statements.ADD, [callSid, ...MADE])
}

export class SqlWork implements WorkStore {
  readonly #sql: Sql
  readonly #check: () => Promise<void>
  readonly #codec: Codec
  #isChecked = false

  /** `check` is looked at before the first use, again until it resolves. */
  constructor(sql: Sql, options: { check?: () => Promise<void>; codec?: Codec } = {}) {
    this.#sql = sql
    this.#check = options.check ?? (async () => undefined)
    this.#codec = options.codec ?? codecOf(undefined)
  }

  async claim({ worker, types, max, leaseMs }: Parameters<WorkStore['claim']>[0]): Promise<WorkItem[]> {
    const rows = await this.#ask(statements.CLAIM, [[...types], max, storable(worker), leaseMs, ATTEMPTS_MAX])
    rows.sort((one, other) => Number(one.due_ms) - Number(other.due_ms))
    return rows.map((row) => ({ ...identityOf(row), body: (row.body ?? {}) as Record<string, unknown> }))
  }

  async renew(held: readonly HeldItem[], leaseMs: number): Promise<string[]> {
    if (held.length === 0) return []
    const fences = [held.map(({ id }) => id), held.map(({ attempt }) => attempt), held.map(({ version }) => version)]
    const rows = await this.#ask(statements.RENEW, [...fences, leaseMs])
    const kept = new Set(rows.map(({ id, attempt, version }) => `${id} ${attempt} ${version}`))
    return held.filter((one) => !kept.has(fenceOf(one).join(' '))).map(({ id }) => id)
  }

  /** [SW1] */
  async finish(held: HeldItem, result: WorkResult): Promise<{ kind: 'done' | 'lost' }> {
    const rows = await this.#finish(held, result)
    return { kind: rows.length > 0 ? 'done' : 'lost' }
  }

  async fail(held: HeldItem, failure: WorkFailure): Promise<{ kind: 'kept' | 'lost' }> {
    const state = failure.kind === 'retry' ? 'ready' : failure.kind
    const waitMs = failure.kind === 'retry' ? failure.inMs : 0
    const error = storable(failure.error.slice(0, ERROR_MAX_CHARS))
    const rows = await this.#ask(statements.FAIL, [...fenceOf(held), state, error, waitMs, ATTEMPTS_MAX])
    return { kind: rows.length > 0 ? 'kept' : 'lost' }
  }

  async intend(held: HeldItem, key: string): Promise<{ kind: 'intended' | 'known' | 'lost' }> {
    const made = await this.#ask(statements.INTEND, [...fenceOf(held), storable(key)])
    if (made.length > 0) return { kind: 'intended' }
    const still = await this.#ask(statements.HELD, fenceOf(held))
    return { kind: still.length > 0 ? 'known' : 'lost' }
  }

  /** [SW3][SW4] */
  async derive(max: number): Promise<number> {
    await this.#ask(statements.BURY, [ATTEMPTS_MAX, BURIED])
    const [row] = await this.#ask(statements.DERIVE, [max, ...MADE])
    return Number(row?.count ?? 0)
  }

  async addRecording(
    callSid: CallSid,
    body: Record<string, unknown>,
  ): Promise<{ kind: 'added' | 'exists' | 'unknown' }> {
    const added = await this.#ask(statements.ADD_RECORDING, [callSid, jsonOf(body)])
    if (added.length > 0) return { kind: 'added' }
    const known = await this.#ask(statements.KNOWS, [callSid])
    return { kind: known.length > 0 ? 'exists' : 'unknown' }
  }

  async addVoicemail(waiter: Waiter, body: Record<string, unknown>): Promise<{ kind: 'added' | 'exists' }> {
    await this.#checkOnce()
    return this.#sql.transaction(async (tx) => {
      await this.#addWaiter(tx, waiter)
      return addItem(tx, waiter.callSid, 'voicemail', body)
    })
  }

  /** [SW5] */
  async addCallBack(
    waiter: Waiter,
    body: Record<string, unknown>,
    max: number,
  ): Promise<{ kind: 'added' | 'exists' | 'full' }> {
    await this.#checkOnce()
    const { callSid, tenant } = waiter
    const number = numberOf(farPartyOf(waiter))
    if (number === undefined) throw new Error('a call-back is for a far party that is known')
    return this.#sql.transaction(async (tx) => {
      await tx.query(statements.LOCK_CALL_BACKS, [tenant])
      const params = [tenant, this.#codec.mark(number), number, callSid]
      const [row] = await tx.query(statements.OPEN_CALL_BACKS, params)
      if (row?.is_known === true) return { kind: 'exists' }
      if (Number(row?.open ?? 0) >= max) return { kind: 'full' }
      await this.#addWaiter(tx, waiter)
      return addItem(tx, callSid, 'call-back', body)
    })
  }

  async keep(held: HeldItem, body: Record<string, unknown>): Promise<{ kind: 'kept' | 'lost' }> {
    const rows = await this.#ask(statements.KEEP, [...fenceOf(held), jsonOf(body)])
    return { kind: rows.length > 0 ? 'kept' : 'lost' }
  }

  async voicemails({ before, max }: { before: string | undefined; max: number }): Promise<VoicemailEntry[]> {
    const rows = await this.#ask(statements.VOICEMAILS, [before ?? null, max])
    return rows.map((row) => ({
      id: String(row.id),
      callSid: row.call_sid as CallSid,
      callId: row.call_id as CallId,
      tenant: String(row.tenant),
      type: 'voicemail',
      state: row.state as WorkState,
      error: (row.error as string | null) ?? undefined,
      createdAtMs: Number(row.created_at_ms),
      body: (row.body ?? {}) as Record<string, unknown>,
    }))
  }

  async record(callSid: CallSid): Promise<CallRecord | undefined> {
    const [row] = await this.#ask(statements.RECORD, [callSid])
    return row === undefined ? undefined : recordOf(row, this.#codec)
  }

  async list({ state, before, max }: Parameters<WorkStore['list']>[0]): Promise<WorkEntry[]> {
    const rows = await this.#ask(statements.LIST, [state, before ?? null, max])
    return rows.map((row) => ({
      ...identityOf(row),
      state: row.state as WorkState,
      error: (row.error as string | null) ?? undefined,
      runAtMs: Number(row.run_at_ms),
    }))
  }

  async rerun(id: string, { newKey = false } = {}): Promise<{ kind: 'ready' | 'unknown' }> {
    const rows = await this.#ask(statements.RERUN, [id, newKey])
    return { kind: rows.length > 0 ? 'ready' : 'unknown' }
  }

  async depth(): Promise<WorkDepth[]> {
    const rows = await this.#ask(statements.DEPTH, [])
    return rows.map((row) => ({
      type: row.type as WorkType,
      state: row.state as WorkState,
      count: Number(row.count),
      oldestMs: Number(row.oldest_ms),
    }))
  }

  close(): Promise<void> {
    return this.#sql.close()
  }

  #finish(held: HeldItem, result: WorkResult): Promise<Row[]> {
    const { callSid } = held
    const fence = fenceOf(held)
    switch (result.kind) {
      case 'record': {
        const { durationMs, turns, figures, transcript, cost } = result
        const effect = jsonOf({ kind: 'record', lines: transcript.length })
        const costText = cost === undefined ? null : jsonOf(cost)
        return this.#ask(statements.FINISH_RECORD, [
          ...fence,
          effect,
          Math.round(durationMs),
          turns,
          this.#codec.seal('call_record.transcript', callSid, jsonOf(transcript)),
          costText,
          jsonOf(figures),
        ])
      }
      case 'analysis': {
        const { analyser, summary, intent, sentiment, leadScore, satisfaction, isEscalated, disposition } =
          result.analysis
        const effect = jsonOf({ kind: 'analysis', analyser })
        const texts = [
          storable(analyser),
          this.#codec.seal('call_record.summary', callSid, storable(summary)),
          this.#codec.seal('call_record.intent', callSid, storable(intent)),
        ]
        const told = this.#codec.seal('call_record.disposition', callSid, storable(disposition))
        const found = [...texts, sentiment, leadScore, satisfaction, isEscalated, told]
        return this.#ask(statements.FINISH_ANALYSIS, [...fence, effect, ...found])
      }
      default:
        return this.#ask(statements.FINISH, [...fence, jsonOf(result)])
    }
  }

  async #addWaiter(tx: SqlQuery, waiter: Waiter): Promise<void> {
    const { callSid, callId, tenant, from, to, direction, pack, packVersion, pod } = waiter
    const number = numberOf(farPartyOf(waiter))
    const sealedFrom = this.#codec.seal('call.from_number', callSid, storable(from))
    const sealedTo = this.#codec.seal('call.to_number', callSid, storable(to))
    const texts = [callSid, callId, tenant, sealedFrom, sealedTo, direction, pack, packVersion, pod].map(storable)
    await tx.query(statements.ADD_WAITER, [...texts, number === undefined ? null : this.#codec.mark(number)])
  }

  async #checkOnce(): Promise<void> {
    if (this.#isChecked) return
    await this.#check()
    this.#isChecked = true
  }

  async #ask(text: string, params: readonly unknown[]): Promise<Row[]> {
    await this.#checkOnce()
    return this.#sql.query(text, params)
  }
}

async function addItem(
  tx: SqlQuery,
  callSid: CallSid,
  type: WorkType,
  body: Record<string, unknown>,
): Promise<{ kind: 'added' | 'exists' }> {
  const rows = await tx.query(statements.ADD_ITEM, [callSid, type, jsonOf(body)])
  return { kind: rows.length > 0 ? 'added' : 'exists' }
}

/** The first parameters of what only a holder may write. */
function fenceOf({ id, attempt, version }: HeldItem): unknown[] {
  return [id, attempt, version]
}

function identityOf(row: Row): Omit<WorkItem, 'body'> {
  return {
    id: String(row.id),
    callSid: row.call_sid as CallSid,
    callId: row.call_id as CallId,
    tenant: String(row.tenant),
    type: row.type as WorkType,
    attempt: Number(row.attempt),
    version: Number(row.version),
    keyNumber: Number(row.key_number),
    createdAtMs: Number(row.created_at_ms),
  }
}

function recordOf(row: Row, codec: Codec): CallRecord {
  const callSid = row.call_sid as CallSid
  const cause = readEndCause(row.cause) // [EC2]
  const optional = (value: unknown): number | undefined => (value === null ? undefined : Number(value))
  return {
    callSid,
    callId: row.call_id as CallId,
    tenant: String(row.tenant),
    from: codec.open('call.from_number', callSid, String(row.from_number)),
    to: codec.open('call.to_number', callSid, String(row.to_number)),
    direction: row.direction as CallRecord['direction'],
    pack: String(row.pack),
    startedAtMs: Number(row.started_at_ms),
    endedAtMs: optional(row.ended_at_ms),
    cause,
    endedBy: cause === undefined ? undefined : endedBy(cause),
    durationMs: optional(row.duration_ms),
    turns: optional(row.turns),
    figures: readFigures(row.figures), // [FIG2]
    transcript:
      row.transcript === null
        ? undefined
        : linesOf(codec.open('call_record.transcript', callSid, String(row.transcript))),
    cost: (row.cost as CallCost | null) ?? undefined,
    analysis: row.analyser === null ? undefined : analysisOf(row, codec),
  }
}

const linesOf = (text: string): TranscriptLine[] => JSON.parse(text) as TranscriptLine[]

function analysisOf(row: Row, codec: Codec): Analysis {
  const callSid = String(row.call_sid)
  return {
    analyser: String(row.analyser),
    summary: codec.open('call_record.summary', callSid, String(row.summary)),
    intent: codec.open('call_record.intent', callSid, String(row.intent)),
    sentiment: Number(row.sentiment),
    leadScore: Number(row.lead_score),
    satisfaction: Number(row.satisfaction),
    isEscalated: row.is_escalated === true,
    disposition: codec.open('call_record.disposition', callSid, String(row.disposition)),
  }
}
