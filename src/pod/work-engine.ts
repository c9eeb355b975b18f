// What works after calls in one process, put together: worker, sweep, eraser, their figures and routes. Role worker and role all use the same.
import type { FastifyInstance } from 'fastify'
import type { Registry } from 'prom-client'
import { SWEEP_TIMES, Sweeper, type SweeperTimes } from '../call-control/rescue/sweeper.ts'
import { Links } from '../carrier/twilio/answers/links.ts'
import { makeLiveCalls } from '../carrier/twilio/rest/live-calls.ts'
import type { CarrierRest } from '../carrier/twilio/rest/rest.ts'
import type { Config } from '../config.ts'
import type { LeaseStore } from '../control/ports.ts'
import { systemClock } from '../kit/clock.ts'
import type { Log } from '../kit/log.ts'
import type { Wheel } from '../kit/wheel.ts'
import { erasureRoutes } from '../ops/erasures.ts'
import type { Operators } from '../ops/operators.ts'
import { WorkMetrics, workRoutes } from '../ops/work.ts'
import type { OperatorReads } from '../store/work/replica.ts'
import { Eraser } from '../work/erasures.ts'
import type { WorkType } from '../work/ports.ts'
import { Worker, type WorkerTimes } from '../work/worker.ts'
import type { WorkParts } from './work-parts.ts'

export type WorkEngine = {
  readonly worker: Worker
  /** Once. */
  start(): void
  /** Sweeps and erases no more, lets jobs end for `withinMs` at most. */
  drain(withinMs: number): Promise<void>
  /** Puts the figures on the registry's page and the admin routes on `app`. */
  serve(app: FastifyInstance, registry: Registry, operators: Operators): Promise<void>
}

/** Makes the engine on opened parts, which it does not close. */
export function makeWorkEngine(of: {
  config: Config
  log: Log
  wheel: Wheel
  parts: WorkParts
  leases: LeaseStore | undefined
  rest: CarrierRest | undefined
  /** Where operators read; unless given, from the store itself. */
  reads?: OperatorReads
  rooms: Partial<Record<WorkType, number>>
  times?: Partial<WorkerTimes> | undefined
  sweep?: Partial<SweeperTimes> | undefined
}): WorkEngine {
  const { config, log, wheel, parts, leases, rest, rooms } = of
  const world = { clock: systemClock, wheel, log }
  const metrics = new WorkMetrics()
  const worker = new Worker({
    ...world,
    name: config.podName,
    store: parts.work,
    jobs: parts.jobs,
    rooms,
    times: { pollMs: config.work.pollMs, ...of.times },
    onOver: (type, outcome, tookMs) => metrics.over(type, outcome, tookMs),
  })
  const sweeper = new Sweeper({
    ...world,
    ...{
      records: parts.records,
      leases,
      carrier: rest && makeLiveCalls(rest, () => new Links(() => config.http.publicBaseUrl).next()),
    },
    times: { ...SWEEP_TIMES, silentMs: config.work.silentMs, callMaxMs: config.call.callMaxMs, ...of.sweep },
    onSwept: (outcome) => metrics.swept.add(outcome),
  })
  const eraser = new Eraser({
    ...world,
    ...{ store: parts.erasures, retention: config.work.retention },
    onErased: (reason, calls) => metrics.erased.add(reason, calls),
  })
  return {
    worker,
    start: () => {
      worker.start()
      sweeper.start()
      eraser.start()
    },
    drain: async (withinMs) => {
      sweeper.close()
      eraser.close()
      await worker.drain(withinMs)
    },
    serve: async (app, registry, operators) => {
      metrics.register(registry, () => worker.depth)
      await app.register(workRoutes, { store: parts.work, reads: of.reads ?? parts.work, operators })
      await app.register(erasureRoutes, { store: parts.erasures, operators })
    },
  }
}
