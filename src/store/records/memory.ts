// The records of calls in this process's memory, for a single pod without a database; they end with it. Rules:
// MR1: the same answers as the SQL: one conformance suite holds both.
// MR2: at most ENDED_MAX ended calls are kept, the oldest are forgotten first; live ones are bounded by admission.
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
import { type Clock, systemClock } from '../../kit/clock.ts'
import { VoiceError } from '../../kit/errors.ts'
import type { CallSid } from '../../kit/ids.ts'

const ENDED_MAX = 2_000

/** The epoch that wrote the checkpoint: its number counts within it. */
type KeptRow = CallRow & {
  checkpointEpoch: number
  rescuedUntilMs: number
  seenAtMs: number | undefined
  failoverAtMs: number
}

export class MemoryRecords implements CallRecords {
  readonly #rows = new Map<CallSid, KeptRow>()
  readonly #callIds = new Set<string>()
  /** In the order of their ends. */
  readonly #ended = new Set<CallSid>()
  readonly #clock: Clock
  #isClosed = false

  constructor(clock: Clock = systemClock) {
    this.#clock = clock
  }

  async open(request: OpenRequest): Promise<{ kind: 'opened' | 'exists' }> {
    this.#check()
    if (this.#rows.has(request.callSid) || this.#callIds.has(request.callId)) return { kind: 'exists' }
    this.#callIds.add(request.callId)
    this.#rows.set(request.callSid, {
      ...request,
      state: 'live',
      checkpoint: undefined,
      checkpointEpoch: -1,
      rescuedUntilMs: 0,
      seenAtMs: undefined,
      sequence: 0,
      resumes: 0,
      failovers: 0,
      failoverAtMs: -Infinity,
      startedAtMs: this.#clock.wallMs(),
      endedAtMs: undefined,
      cause: undefined,
      next: undefined,
      intents: [],
    })
    return { kind: 'opened' }
  }

  async claim({ callSid, epoch, pod, pool, how }: ClaimRequest): Promise<Claimed> {
    this.#check()
    const row = this.#rows.get(callSid)
    if (row === undefined) return { kind: 'unknown' }
    if (row.state === 'ended') return { kind: 'ended', row: this.#copyOf(row) }
    if (row.epoch < epoch) {
      Object.assign(row, { epoch, pod, pool, resumes: row.resumes + 1 })
      if (how !== 'handover')
        Object.assign(row, { failovers: this.#failoversOf(row) + 1, failoverAtMs: this.#clock.wallMs() })
    } else if (row.epoch > epoch || row.pod !== pod) return { kind: 'fenced', epoch: row.epoch }
    return { kind: 'claimed', row: this.#copyOf(row) }
  }

  async save(writes: readonly CheckpointWrite[]): Promise<CallSid[]> {
    this.#check()
    const fenced = new Set<CallSid>()
    for (const { callSid, epoch, sequence, text } of writes) {
      const row = this.#rows.get(callSid)
      if (row === undefined) continue
      if (row.state === 'ended' || row.epoch > epoch) {
        fenced.add(callSid)
        continue
      }
      row.seenAtMs = this.#clock.wallMs()
      if (row.checkpointEpoch < epoch || row.sequence < sequence)
        Object.assign(row, { epoch, checkpointEpoch: epoch, sequence, checkpoint: text })
    }
    return [...fenced]
  }

  async intend(request: Fenceable & Omit<ToolIntent, 'output'>): Promise<Intended> {
    this.#check()
    const { callSid, epoch, ...intent } = request
    const row = this.#rows.get(callSid)
    if (row === undefined) throw new VoiceError('CALL_UNKNOWN', { retryable: true })
    if (row.state === 'ended' || row.epoch > epoch) return { kind: 'fenced' }
    row.epoch = epoch
    const known = row.intents.find((one) => one.key === intent.key)
    if (known !== undefined) return { kind: 'known', output: known.output }
    row.intents.push({ ...intent, output: undefined })
    return { kind: 'intended' }
  }

  async settle({
    callSid,
    epoch,
    key,
    output,
  }: Fenceable & { key: string; output: string }): Promise<{ kind: 'settled' | 'fenced' }> {
    this.#check()
    const row = this.#rows.get(callSid)
    const intent = row?.intents.find((one) => one.key === key)
    if (row === undefined || row.epoch > epoch || (row.epoch < epoch && row.state === 'ended'))
      return { kind: 'fenced' }
    row.epoch = epoch
    if (intent === undefined) return { kind: 'fenced' }
    intent.output ??= output
    return { kind: 'settled' }
  }

  async end(request: EndRequest): Promise<{ kind: 'ended' | 'repeated' | 'fenced' | 'unknown' }> {
    this.#check()
    const { callSid, epoch, cause, next, checkpoint } = request
    const row = this.#rows.get(callSid)
    if (row === undefined) return { kind: 'unknown' }
    if (row.state === 'ended') return { kind: row.epoch === epoch ? 'repeated' : 'fenced' }
    if (row.epoch > epoch) return { kind: 'fenced' }
    const endedAtMs = this.#clock.wallMs()
    Object.assign(row, { state: 'ended', epoch, cause, next, endedAtMs, checkpoint: checkpoint ?? row.checkpoint })
    this.#forgetBeyondBound(callSid)
    return { kind: 'ended' }
  }

  async find(callSid: CallSid): Promise<CallRow | undefined> {
    this.#check()
    const row = this.#rows.get(callSid)
    return row === undefined ? undefined : this.#copyOf(row)
  }

  async live({ after, max }: Parameters<CallRecords['live']>[0]): Promise<LiveCall[]> {
    this.#check()
    return pageOf([...this.#rows.values()], after, max)
  }

  async silent({ after, max, forMs, unsignedForMs }: Parameters<CallRecords['silent']>[0]): Promise<LiveCall[]> {
    this.#check()
    const nowMs = this.#clock.wallMs()
    const silent = [...this.#rows.values()].filter(({ seenAtMs, startedAtMs }) =>
      seenAtMs === undefined ? startedAtMs + unsignedForMs <= nowMs : seenAtMs + forMs <= nowMs,
    )
    return pageOf(silent, after, max)
  }

  async take({ callSid, epoch, forMs }: Fenceable & { forMs: number }): Promise<{ kind: 'taken' | 'busy' }> {
    this.#check()
    const row = this.#rows.get(callSid)
    const nowMs = this.#clock.wallMs()
    if (row === undefined || row.state === 'ended' || row.epoch !== epoch || row.rescuedUntilMs > nowMs)
      return { kind: 'busy' }
    row.rescuedUntilMs = nowMs + forMs
    return { kind: 'taken' }
  }

  async close(): Promise<void> {
    this.#isClosed = true
  }

  /** [RR6] */
  #failoversOf({ failovers, failoverAtMs }: KeptRow): number {
    return this.#clock.wallMs() - failoverAtMs < FAILOVER_CALM_MS ? failovers : 0
  }

  #copyOf(kept: KeptRow): CallRow {
    const { checkpointEpoch: _, rescuedUntilMs: __, seenAtMs: ___, failoverAtMs: ____, ...row } = kept
    return { ...row, failovers: this.#failoversOf(kept), intents: row.intents.map((intent) => ({ ...intent })) }
  }

  /** [MR2] */
  #forgetBeyondBound(callSid: CallSid): void {
    this.#ended.add(callSid)
    if (this.#ended.size <= ENDED_MAX) return
    const [oldest] = this.#ended
    this.#ended.delete(oldest!)
    this.#callIds.delete(this.#rows.get(oldest!)!.callId)
    this.#rows.delete(oldest!)
  }

  #check(): void {
    if (this.#isClosed) throw new VoiceError('STORE_UNAVAILABLE', { message: 'the records are closed' })
  }
}

function pageOf(rows: readonly KeptRow[], after: CallSid | undefined, max: number): LiveCall[] {
  return rows
    .filter(({ state, callSid }) => state === 'live' && (after === undefined || callSid > after))
    .sort((one, other) => (one.callSid < other.callSid ? -1 : 1))
    .slice(0, max)
    .map(({ callSid, epoch, pod }) => ({ callSid, epoch, pod }))
}
