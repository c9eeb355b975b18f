// What an operator sees and does of the work after calls: figures and the admin routes. Rules:
// WOP1: what the store has not said for a while is absent from the figures, never zero.
// WOP2: a list holds no number and no transcript; the record of one call does, for whoever has the token.
// WOP3: a record that is sealed under a key that is not here is 409 with the code and the id of the key, not an empty record.
// WOP4: a rerun keeps the item's key, so that a receiver that did it already does not do it twice; `{"newKey": true}` asks for another.
import type { FastifyInstance } from 'fastify'
import { Counter, Gauge, type Registry } from 'prom-client'
import { z } from 'zod'
import { VoiceError } from '../kit/errors.ts'
import type { CallSid } from '../kit/ids.ts'
import type { WorkDepth, WorkState, WorkStore, WorkType } from '../work/ports.ts'
import type { Operators } from './operators.ts'
import { Durations, registerDurations, Tally, wholeCell } from './tally.ts'

const JOB_BOUNDS_MS = [5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 120_000]
const STATES: readonly WorkState[] = ['waiting', 'ready', 'running', 'done', 'dead', 'uncertain']
const PAGE_MAX = 100
const RERUN_BODY = z.strictObject({ newKey: z.boolean().optional() })
const ID = /^\d{1,18}$/
const CALL_SID = /^CA[0-9a-f]{32}$/

/** What a worker counts. */
export class WorkMetrics {
  readonly #outcomes = new Map<WorkType, Tally>()
  readonly swept = new Tally() // by outcome
  readonly erased = new Tally() // by reason
  readonly #took = new Map<WorkType, Durations>()

  /** Counts an item that left its lane after `tookMs`. */
  over(type: WorkType, outcome: string, tookMs: number): void {
    const outcomes = this.#outcomes.get(type) ?? new Tally()
    this.#outcomes.set(type, outcomes)
    outcomes.add(outcome)
    const took = this.#took.get(type) ?? new Durations(JOB_BOUNDS_MS)
    this.#took.set(type, took)
    took.observeMs(tookMs)
  }

  /** Puts the counts and `depth`, the store's last word, on the registry's page. Undefined: it is not known, and its figures are absent. */
  register(registry: Registry, depth: () => readonly WorkDepth[] | undefined): void {
    const outcomes = this.#outcomes
    const took = this.#took
    new Counter({
      name: 'voice_postcall_items_total',
      help: 'Attempts at items of work that came to an outcome',
      labelNames: ['type', 'outcome'],
      registers: [registry],
      collect() {
        this.reset()
        for (const [type, tally] of outcomes)
          for (const [outcome, count] of tally.entries()) this.inc({ type, outcome }, count)
      },
    })
    const { swept, erased } = this
    new Counter({
      name: 'voice_erased_calls_total',
      help: 'Calls that were erased, by request or by age',
      labelNames: ['reason'],
      registers: [registry],
      collect() {
        this.reset()
        for (const [reason, count] of erased.entries()) this.inc({ reason }, count)
      },
    })
    new Counter({
      name: 'voice_swept_calls_total',
      help: 'Live calls that no pod saved, as the sweep found them',
      labelNames: ['outcome'],
      registers: [registry],
      collect() {
        this.reset()
        for (const [outcome, count] of swept.entries()) this.inc({ outcome }, count)
      },
    })
    registerDurations(registry, {
      name: 'voice_postcall_item_seconds',
      help: 'How long an attempt took',
      labels: ['type'],
      read: () => [...took].map(([type, durations]) => [{ type }, durations]),
    })
    new Gauge({
      name: 'voice_postcall_jobs',
      help: wholeCell('Items of work'),
      labelNames: ['state', 'type'],
      registers: [registry],
      collect() {
        this.reset()
        for (const { type, state, count } of depth() ?? []) this.set({ type, state }, count)
      },
    })
    new Gauge({
      name: 'voice_postcall_oldest_seconds',
      help: wholeCell('How long the oldest item has been due'),
      registers: [registry],
      collect() {
        const known = depth()
        if (known === undefined) {
          this.remove()
          return
        }
        const due = known.filter(({ state }) => state === 'ready').map(({ oldestMs }) => oldestMs)
        this.set(Math.max(0, ...due) / 1_000)
      },
    })
  }
}

/** GET /admin/work, GET /admin/voicemails, POST /admin/work/:id/rerun, GET /admin/calls/:callSid. */
export async function workRoutes(
  app: FastifyInstance,
  {
    store,
    reads = store,
    operators,
  }: {
    store: Pick<WorkStore, 'rerun' | 'list' | 'record' | 'voicemails'>
    /** A replica may answer them. */
    reads?: Pick<WorkStore, 'list' | 'record' | 'voicemails'>
    operators: Operators
  },
): Promise<void> {
  await app.register(async (scoped) => readRoutes(scoped, reads, operators))
  await app.register(async (scoped) => {
    operators.guard(scoped, 'work')
    scoped.post<{ Params: { id: string } }>('/admin/work/:id/rerun', async (request, reply) => {
      const how = RERUN_BODY.safeParse(request.body ?? {}).data
      if (how === undefined)
        return reply.code(400).send({ refused: 'write {"newKey": true} for a new key, or no body; nothing else' })
      const { id } = request.params
      const answer = ID.test(id) ? await store.rerun(id, how) : { kind: 'unknown' as const }
      return reply.code(answer.kind === 'ready' ? 200 : 404).send(answer)
    })
  })
}

function readRoutes(
  app: FastifyInstance,
  reads: Pick<WorkStore, 'list' | 'record' | 'voicemails'>,
  operators: Operators,
): void {
  operators.guard(app, 'read')
  app.get<{ Querystring: { before?: string; max?: string } }>('/admin/voicemails', async (request, reply) => {
    const { before, max = String(PAGE_MAX) } = request.query
    if ((before !== undefined && !ID.test(before)) || !/^\d{1,3}$/.test(max))
      return reply.code(400).send({ refused: 'before is an id; max a number' })
    const found = await reads.voicemails({ before, max: Math.max(1, Math.min(PAGE_MAX, Number(max))) })
    const items = found.map(({ type: _type, body, ...item }) => ({ ...item, ...body }))
    return { items, next: items.at(-1)?.id ?? null }
  })
  app.get<{ Querystring: { state?: string; before?: string; max?: string } }>('/admin/work', async (request, reply) => {
    const { state = 'dead', before, max = String(PAGE_MAX) } = request.query
    const known = STATES.find((one) => one === state)
    if (known === undefined || (before !== undefined && !ID.test(before)) || !/^\d{1,3}$/.test(max))
      return reply.code(400).send({ refused: `state is one of ${STATES.join(', ')}; before is an id; max a number` })
    const items = await reads.list({ state: known, before, max: Math.max(1, Math.min(PAGE_MAX, Number(max))) })
    return { items, next: items.at(-1)?.id ?? null }
  })
  app.get<{ Params: { callSid: string } }>('/admin/calls/:callSid', async (request, reply) => {
    const { callSid } = request.params
    try {
      const record = CALL_SID.test(callSid) ? await reads.record(callSid as CallSid) : undefined
      return record ?? reply.code(404).send({ kind: 'unknown' })
    } catch (error) {
      // [WOP3]
      if (error instanceof VoiceError && error.code.startsWith('DATA_'))
        return reply.code(409).send({ kind: 'sealed', code: error.code, reason: error.message })
      throw error
    }
  })
}
