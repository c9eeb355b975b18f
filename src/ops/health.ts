// What an orchestrator asks: alive? ready? how much? Rules:
// HE1: /healthz fails only when the event loop has been stuck for seconds on end; a drain never fails it.
// HE2: /ready says 503 with every reason (draining, model not configured, …); live calls go on all the same.
// HE5: /ready lists what goes wrong without making the pod unready, as warnings.
// HE3: /metrics of several scrapers at once is made once.
// HE4: /metrics asks for an operator's token, unless it stands on the listener of OPS_PORT: who reaches that one is the operator's choice.
import type { FastifyInstance } from 'fastify'
import type { Registry } from 'prom-client'
import type { LagMeter } from './lag.ts'
import type { Operators } from './operators.ts'

const STUCK_MS = 2_000 // one delay of this length …
const STUCK_WINDOWS = 8 // … in each of the last 8 half-second readings: no pod recovers calls from that

/** What the probes look at. `notReady` gives every reason against new calls; none means ready. */
type HealthOptions = {
  lag: Pick<LagMeter, 'last' | 'isStuck'>
  notReady: () => readonly string[]
  /** What an operator should mend though calls go on; default none. [HE5] */
  warnings?: () => readonly string[]
}

/** The fastify plugin with GET /healthz and /ready, for anybody who asks. */
export async function healthRoutes(app: FastifyInstance, options: HealthOptions): Promise<void> {
  const { lag, notReady, warnings = () => [] } = options
  app.get('/healthz', async (_request, reply) => {
    const isStuck = lag.isStuck({ thresholdMs: STUCK_MS, windows: STUCK_WINDOWS })
    return reply.code(isStuck ? 503 : 200).send({ alive: !isStuck, eventLoopLagMs: lag.last?.p99Ms ?? null })
  })
  app.get('/ready', async (_request, reply) => {
    const reasons = notReady()
    const told = warnings()
    return reply
      .code(reasons.length === 0 ? 200 : 503)
      .send({ ready: reasons.length === 0, reasons, ...(told.length === 0 ? {} : { warnings: told }) })
  })
}

/**
 * The fastify plugin with GET /metrics. `operators` undefined: it asks for no token, which only a listener of its own may do. [HE3][HE4]
 */
export async function metricsRoute(
  app: FastifyInstance,
  { registry, operators }: { registry: Registry; operators: Operators | undefined },
): Promise<void> {
  operators?.guard(app, 'metrics')
  let page: Promise<string> | undefined
  app.get('/metrics', async (_request, reply) => {
    page ??= registry.metrics().finally(() => {
      page = undefined
    })
    const text = await page
    return reply.type(registry.contentType).send(text)
  })
}
