// Role worker: the work after calls, from the database it shares with the pods. Rules:
// WP1: a worker needs DATABASE_URL and tables of this version; without them it does not start, and says what to do.
// WP2: start, drain, close; each idempotent; close never rejects and takes CLOSE_MAX_MS at most. A drain lets jobs end within WORK_DRAIN_MS.
// WP3: a worker sweeps too: live calls that no pod looks after (pod/rescue/sweeper.ts), each SWEEP_MS.
import type { FastifyInstance } from 'fastify'
import { Registry } from 'prom-client'
import type { SweeperTimes } from './call-control/rescue/sweeper.ts'
import type { Config } from './config.ts'
import { systemClock } from './kit/clock.ts'
import { messageOf } from './kit/errors.ts'
import type { Log } from './kit/log.ts'
import type { UnauthenticatedConnections } from './kit/unauthenticated.ts'
import { Wheel } from './kit/wheel.ts'
import { listen, makeListener, makeStrangers } from './listener.ts'
import { tellElsewhere } from './ops/elsewhere.ts'
import { healthRoutes, metricsRoute } from './ops/health.ts'
import { LagMeter } from './ops/lag.ts'
import { registerDroppedLines, registerUnauthenticated } from './ops/metrics.ts'
import { Operators } from './ops/operators.ts'
import { registerProcess } from './ops/process.ts'
import { makeWorkEngine, type WorkEngine } from './pod/work-engine.ts'
import { openWorkParts, type RoleParts } from './pod/work-parts.ts'
import { closeWithin } from './stopping.ts'
import type { Worker, WorkerTimes } from './work/worker.ts'

const CLOSE_MAX_MS = 20_000

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
  /** Log lines that were dropped, for /metrics; none unless given. */
  droppedLines?: () => number
}): Promise<RunningWorker> {
  const { config, log } = options
  const wheel = new Wheel({
    clock: systemClock,
    onError: (error) => log.error({ reason: messageOf(error) }, 'a timer failed'),
  })
  const lag = new LagMeter()
  const parts = await openWorkParts(config, log)
  const engine = makeWorkEngine({
    ...{ config, log, wheel, parts, leases: parts.leases, rest: parts.rest, reads: parts.reads },
    ...{ rooms: { analysis: config.work.analysisMax }, times: options.times, sweep: options.sweep },
  })
  const strangers = makeStrangers(config.http.trustedProxies)
  const operators = new Operators(config.ops.operators, {
    log,
    nowMs: () => systemClock.monotonicMs(),
    onAuthenticated: (request) => strangers.authenticated(request.socket),
  })
  const { listener } = config.ops
  const at = listener ?? config.http
  const access = { strangers, operators, isOpsListener: listener !== undefined }
  const app = await makeApp(engine, lag, access, options.droppedLines)
  const port = await listen(app, at)
  engine.start()
  const url = `http://${at.host}:${port}`
  log.info({ url, worker: config.podName, analysis: config.work.analysis.kind }, 'the worker is listening')
  return run({ app, parts, engine, wheel, lag, log, url, drainMs: config.work.drainMs })
}

/** A worker serves operators alone: its one listener is that of OPS_PORT when it is set. */
async function makeApp(
  engine: WorkEngine,
  lag: LagMeter,
  access: { strangers: UnauthenticatedConnections; operators: Operators; isOpsListener: boolean },
  droppedLines?: () => number,
): Promise<FastifyInstance> {
  const { strangers, operators, isOpsListener } = access
  const app = makeListener(strangers)
  const registry = new Registry()
  registerProcess(registry)
  registerUnauthenticated(registry, strangers)
  registerDroppedLines(registry, droppedLines)
  await app.register(healthRoutes, { lag, notReady: () => engine.worker.notReady() })
  await app.register(metricsRoute, { registry, operators: isOpsListener ? undefined : operators })
  await engine.serve(app, registry, operators)
  tellElsewhere(app, 'worker')
  return app
}

function run(of: {
  app: FastifyInstance
  parts: RoleParts
  engine: WorkEngine
  wheel: Wheel
  lag: LagMeter
  log: Log
  url: string
  drainMs: number
}): RunningWorker {
  let draining: Promise<void> | undefined
  let closing: Promise<void> | undefined
  const end = async (): Promise<void> => {
    await closeWithin(CLOSE_MAX_MS, of.log, async () => {
      await of.engine.drain(0)
      await Promise.allSettled([of.app.close(), of.parts.close()])
    })
    of.lag.close()
    of.wheel.close()
  }
  const close = (): Promise<void> => {
    closing ??= end()
    return closing
  }
  const drain = async (): Promise<void> => {
    of.log.info({ items: of.engine.worker.size }, 'draining')
    await of.engine.drain(of.drainMs)
    await close()
  }
  return {
    url: of.url,
    worker: of.engine.worker,
    close,
    drain: () => {
      if (draining !== undefined) return close()
      draining = drain()
      return draining
    },
  }
}
