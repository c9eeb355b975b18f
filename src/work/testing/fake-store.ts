// A store of work in memory, for tests of the engine: leases by a clock, faults on demand. Rules:
// (those of ports.ts; SQL has its own conformance suite)
import type { CallId, CallSid } from '../../kit/ids.ts'
import {
  AFTER,
  ATTEMPTS_MAX,
  type CallRecord,
  type HeldItem,
  MADE_AT_END,
  type VoicemailEntry,
  type WorkDepth,
  type WorkEntry,
  type WorkFailure,
  type WorkItem,
  type WorkResult,
  type WorkState,
  type WorkStore,
  type WorkType,
} from '../ports.ts'

type FakeItem = WorkItem & {
  state: WorkState
  dueMs: number
  result?: WorkResult
  error?: string
  intended?: string
}

export class FakeStore implements WorkStore {
  readonly items: FakeItem[] = []
  isAway = false
  claims = 0
  depths: WorkDepth[] = []
  derived = 0
  readonly #nowMs: () => number

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs
  }

  /** The items of a call that has ended. */
  addCall(n: number, types: readonly WorkType[] = MADE_AT_END): void {
    const callSid = `CA${String(n).padStart(32, '0')}` as CallSid
    for (const type of types) {
      this.items.push({
        id: String(this.items.length + 1),
        callSid,
        callId: `call-${n}` as CallId,
        tenant: 'default',
        type,
        attempt: 0,
        version: 1,
        keyNumber: 1,
        body: {},
        createdAtMs: 0,
        state: AFTER[type] !== undefined && types.includes(AFTER[type]!) ? 'waiting' : 'ready',
        dueMs: 0,
      })
    }
  }

  inState(state: WorkState): FakeItem[] {
    return this.items.filter((item) => item.state === state)
  }

  async claim({ types, max, leaseMs }: Parameters<WorkStore['claim']>[0]): Promise<WorkItem[]> {
    this.#ask()
    this.claims += 1
    const due = this.items.filter(
      ({ type, state, dueMs }) =>
        types.includes(type) && (state === 'ready' || state === 'running') && dueMs <= this.#nowMs(),
    )
    return due.slice(0, max).map((item) => {
      Object.assign(item, { state: 'running', attempt: item.attempt + 1, dueMs: this.#nowMs() + leaseMs })
      return { ...item }
    })
  }

  async renew(held: readonly HeldItem[], leaseMs: number): Promise<string[]> {
    this.#ask()
    return held.flatMap((one) => {
      const item = this.#held(one)
      if (item === undefined) return [one.id]
      item.dueMs = this.#nowMs() + leaseMs
      return []
    })
  }

  async finish(held: HeldItem, result: WorkResult): Promise<{ kind: 'done' | 'lost' }> {
    this.#ask()
    const item = this.#held(held)
    if (item === undefined) return { kind: 'lost' }
    Object.assign(item, { state: 'done', result })
    this.#next(item)
    return { kind: 'done' }
  }

  async fail(held: HeldItem, failure: WorkFailure): Promise<{ kind: 'kept' | 'lost' }> {
    this.#ask()
    const item = this.#held(held)
    if (item === undefined) return { kind: 'lost' }
    item.error = failure.error
    if (failure.kind === 'retry' && item.attempt < ATTEMPTS_MAX)
      Object.assign(item, { state: 'ready', dueMs: this.#nowMs() + failure.inMs })
    else {
      item.state = failure.kind === 'uncertain' ? 'uncertain' : 'dead'
      this.#next(item)
    }
    return { kind: 'kept' }
  }

  async intend(held: HeldItem, key: string): Promise<{ kind: 'intended' | 'known' | 'lost' }> {
    this.#ask()
    const item = this.#held(held)
    if (item === undefined) return { kind: 'lost' }
    if (item.intended === key) return { kind: 'known' }
    item.intended = key
    return { kind: 'intended' }
  }

  async derive(): Promise<number> {
    this.#ask()
    this.derived += 1
    return 0
  }

  async addRecording(): Promise<{ kind: 'unknown' }> {
    return { kind: 'unknown' }
  }

  async addVoicemail(): Promise<{ kind: 'exists' }> {
    return { kind: 'exists' }
  }

  async addCallBack(): Promise<{ kind: 'exists' }> {
    return { kind: 'exists' }
  }

  async keep(held: HeldItem, body: Record<string, unknown>): Promise<{ kind: 'kept' | 'lost' }> {
    this.#ask()
    const item = this.#held(held)
    if (item === undefined) return { kind: 'lost' }
    // As JSON keeps it.
    item.body = { ...item.body, ...(JSON.parse(JSON.stringify(body)) as Record<string, unknown>) }
    return { kind: 'kept' }
  }

  async voicemails(): Promise<VoicemailEntry[]> {
    return []
  }

  async record(): Promise<CallRecord | undefined> {
    return undefined
  }

  async list(): Promise<WorkEntry[]> {
    return []
  }

  async rerun(id: string, { newKey = false } = {}): Promise<{ kind: 'ready' | 'unknown' }> {
    const item = this.items.find((one) => one.id === id && (one.state === 'dead' || one.state === 'uncertain'))
    if (item === undefined) return { kind: 'unknown' }
    const keyNumber = item.keyNumber + (newKey ? 1 : 0)
    Object.assign(item, {
      state: 'ready',
      attempt: 0,
      version: item.version + 1,
      keyNumber,
      error: undefined,
      dueMs: 0,
    })
    return { kind: 'ready' }
  }

  async depth(): Promise<WorkDepth[]> {
    this.#ask()
    return this.depths
  }

  async close(): Promise<void> {}

  #held({ id, attempt, version }: HeldItem): FakeItem | undefined {
    return this.items.find(
      (item) => item.id === id && item.attempt === attempt && item.version === version && item.state === 'running',
    )
  }

  #next({ callSid, type }: FakeItem): void {
    for (const item of this.items)
      if (item.callSid === callSid && AFTER[item.type] === type && item.state === 'waiting') item.state = 'ready'
  }

  #ask(): void {
    if (this.isAway) throw new Error('away')
  }
}
