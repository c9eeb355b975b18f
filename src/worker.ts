// Role worker: the work after calls, from the database it shares with the pods. Rules:
// WP1: a worker needs DATABASE_URL and tables of this version; without them it does not start, and says what to do.
// WP2: start, drain, close; each idempotent; close never rejects. A drain lets jobs end within WORK_DRAIN_MS.
// WP3: a worker sweeps too: live calls that no pod looks after (pod/rescue/sweeper.ts), each SWEEP_MS.
import type { AddressInfo } from 'node:net'
import fastify, { type FastifyInstance } from 'fastify'
import { Registry } from 'prom-client'
import type { Config } from './config.ts'
import { systemClock } from './kit/clock.ts'
import { messageOf } from './kit/errors.ts'
import type { Log } from './kit/log.ts'
import { Wheel } from './kit/wheel.ts'
import { erasureRoutes } from './ops/erasures.ts'
import { healthRoutes } from './ops/health.ts'
import { LagMeter } from './ops/lag.ts'
import { WorkMetrics, workRoutes } from './ops/work.ts'
import { SWEEP_TIMES, Sweeper, type SweeperTimes } from './pod/rescue/sweeper.ts'
import { openWorkParts, type RoleParts } from './pod/work-parts.ts'
import { Eraser } from './work/erasures.ts'
import { Worker, type WorkerTimes } from './work/worker.ts'

/** A running worker. */
export interface RunningWorker {
  readonly url: string
  readonly worker: Worker
  /** Claims no more, lets jobs end, then closes. Asked again: closes now. */
  drain(): Promise<void>
  close(): Promise<void>
}

/** Starts the worker of `config`; resolves when it listens and works. */
export async function startWorker(options: {
  config: Config
  log: Log
  times?: Partial<WorkerTimes>
  sweep?: Partial<SweeperTimes>
}): Promise<RunningWorker> {
  const { config, log } = options
  const wheel = new Wheel({
    clock: systemClock,
    onError: (error) => log.error({ reason: messageOf(error) }, 'a timer failed'),
  })
  const metrics = new WorkMetrics()
  const lag = new LagMeter()
  const parts = await openWorkParts(config, log)
  const worker = new Worker({
    name: config.podName,
    store: parts.work,
    jobs: parts.jobs,
    clock: systemClock,
    wheel,
    log,
    rooms: { analysis: config.work.analysisMax },
    times: { pollMs: config.work.pollMs, ...options.times },
    onOver: (type, outcome, tookMs) => metrics.over(type, outcome, tookMs),
  })
  const sweeper = new Sweeper({
    ...{ records: parts.records, leases: parts.leases, rest: parts.rest, clock: systemClock, wheel, log },
    times: {
      ...SWEEP_TIMES,
      silentMs: config.work.silentMs,
      callMaxMs: config.call.callMaxMs,
      ...options.sweep,
    },
    onSwept: (outcome) => metrics.swept.add(outcome),
  })
  const eraser = new Eraser({
    ...{ store: parts.erasures, retention: config.work.retention, clock: systemClock, wheel, log },
    onErased: (reason, calls) => metrics.erased.add(reason, calls),
  })
  const app = await makeApp({ config, parts, worker, metrics, lag })
  await app.listen({ host: config.http.host, port: config.http.port })
  const { port } = app.server.address() as AddressInfo
  worker.start()
  sweeper.start()
  eraser.start()
  const url = `http://${config.http.host}:${port}`
  log.info({ url, worker: config.podName, analysis: config.work.analysis.kind }, 'the worker is listening')
  return run({ app, parts, worker, beside: [sweeper, eraser], wheel, lag, log, url, drainMs: config.work.drainMs })
}

async function makeApp(of: {
  config: Config
  parts: RoleParts
  worker: Worker
  metrics: WorkMetrics
  lag: LagMeter
}): Promise<FastifyInstance> {
  const app = fastify({ requestTimeout: 10_000, bodyLimit: 65_536, forceCloseConnections: true })
  const registry = new Registry()
  of.metrics.register(registry, () => of.worker.depth)
  await app.register(healthRoutes, { lag: of.lag, registry, notReady: () => of.worker.notReady() })
  await app.register(workRoutes, { store: of.parts.work, reads: of.parts.reads, token: of.config.work.adminToken })
  await app.register(erasureRoutes, { store: of.parts.erasures, token: of.config.work.adminToken })
  return app
}

function run(of: {
  app: FastifyInstance
  parts: RoleParts
  worker: Worker
  beside: readonly { close(): void }[]
  wheel: Wheel
  lag: LagMeter
  log: Log
  url: string
  drainMs: number
}): RunningWorker {
  let draining: Promise<void> | undefined
  let closing: Promise<void> | undefined
  const end = async (): Promise<void> => {
    for (const one of of.beside) one.close()
    await of.worker.drain(0)
    await Promise.allSettled([of.app.close(), of.parts.close()])
    of.lag.close()
    of.wheel.close()
  }
  const close = (): Promise<void> => {
    closing ??= end()
    return closing
  }
  const drain = async (): Promise<void> => {
    of.log.info({ items: of.worker.size }, 'draining')
    for (const one of of.beside) one.close()
    await of.worker.drain(of.drainMs)
    await close()
  }
  return {
    url: of.url,
    worker: of.worker,
    close,
    drain: () => {
      if (draining !== undefined) return close()
      draining = drain()
      return draining
    },
  }
}
