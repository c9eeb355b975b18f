// Role edge: one pod. Webhooks, media streams, health and metrics on one port. Rules:
// ED1: signature and token are checked before the 101; then stream admission decides; a token opens one stream, once.
// ED2: start, drain, close; each idempotent; close never rejects and takes CLOSE_MAX_MS at most.
// ED3: /metrics, POST /drain and /admin are for operators (ops/operators.ts), wherever the request comes from; /internal/ is for peers. With
//      OPS_PORT they stand on a listener of their own, and not on the port of the calls.
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyInstance } from 'fastify'
import { Registry } from 'prom-client'
import { peerRoutes } from './call-control/peers.ts'
import type { MakeModel, PodWorld } from './call-control/pod-call.ts'
import type { RescueTimes } from './call-control/rescue/rescuer.ts'
import { makeStreamTokens } from './call-control/stream-token.ts'
import { StreamUpgrade } from './carrier/twilio/stream-upgrade.ts'
import { twilioWebhooks } from './carrier/twilio/webhooks.ts'
import { type Config, withPort } from './config.ts'
import { systemClock } from './kit/clock.ts'
import { messageOf } from './kit/errors.ts'
import type { Log } from './kit/log.ts'
import type { UnauthenticatedConnections } from './kit/unauthenticated.ts'
import { Wheel } from './kit/wheel.ts'
import { listen, makeListener, makeStrangers } from './listener.ts'
import { SettingRefusals } from './model/openai/refused-fields.ts'
import type { ModelPools } from './model/pools/pools.ts'
import { tellElsewhere } from './ops/elsewhere.ts'
import { healthRoutes, metricsRoute } from './ops/health.ts'
import { LagMeter } from './ops/lag.ts'
import { Metrics, registerDroppedLines, registerUnauthenticated } from './ops/metrics.ts'
import { Operators } from './ops/operators.ts'
import { openTraces, type Traces } from './ops/traces.ts'
import type { Pack } from './packs/pack.ts'
import { callShape, sorrySentence } from './pod/call-settings.ts'
import { modelMaker } from './pod/model-maker.ts'
import { openModelPools } from './pod/model-places.ts'
import { Pod } from './pod/pod.ts'
import type { Stores } from './pod/stores.ts'
import { closeWithin } from './stopping.ts'

/** How long a drained pod waits for the carrier's last questions. */
const FAREWELL_MAX_MS = 5_000
const FAREWELL_POLL_MS = 50
/** How long a pod that closes waits for webhooks under way to be answered. */
const ANSWERS_MAX_MS = 2_000
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))
/** The sum of what the closes below may take (docs/closures.md), and some more. */
const CLOSE_MAX_MS = 20_000

/** Webhooks that were not answered yet. */
type InFlight = { count: number }

/** A running pod. */
export interface Edge {
  readonly url: string
  /** Where operators ask: the listener of OPS_PORT, or `url`. */
  readonly opsUrl: string
  readonly pod: Pod
  /** Timers of calls that wait now: none when there is no call and no stream. */
  readonly timers: number
  /** Refuses new calls, hands over or awaits the live ones until the deadline, then closes. Asked again: closes all calls now. */
  drain(): Promise<void>
  close(): Promise<void>
  /** Resolves when the pod has ended by itself: after POST /drain, or because it has fenced itself; its calls are gone. */
  readonly ended: Promise<'drained' | 'fenced'>
}

/** Starts a pod for `pack`; resolves when it listens. */
export async function startEdge(options: {
  config: Config
  pack: Pack
  log: Log
  makeModel?: MakeModel
  /** Default: those of the configuration. */
  stores?: Stores
  /** What else answers on the pod's port. */
  alsoServe?: (app: FastifyInstance, registry: Registry, operators: Operators) => Promise<void>
  rescueTimes?: Partial<RescueTimes>
  /** Log lines that were dropped, for /metrics; none unless given. */
  droppedLines?: () => number
}): Promise<Edge> {
  const { pack, log } = options
  let config = options.config
  const clock = systemClock
  const wheel = new Wheel({ clock, onError: (error) => log.error({ reason: messageOf(error) }, 'a timer failed') })
  const metrics = new Metrics()
  const traces = await openTraces({ endpoint: config.otlpEndpoint, pod: config.podName, log })
  const lag = new LagMeter()
  const world: PodWorld = { clock, wheel, log, metrics, traces }
  const tokens = makeStreamTokens(config.streamToken)
  let pod: Pod | undefined
  const liveCalls = () => pod?.calls.madeCount ?? 0
  const pools = options.makeModel === undefined ? openModelPools(config, { clock, log, metrics }) : undefined
  const refusals = new SettingRefusals()
  const makeModel = options.makeModel ?? modelMaker(config, pack, pools!, { clock, wheel, liveCalls }, refusals)
  const shape = callShape(config)
  const url = () => `http://${config.http.host}:${config.http.port}`
  const address = () => config.fleet.podAddress ?? url()
  const baseUrl = () => config.http.publicBaseUrl
  const { stores, rescueTimes } = options
  const parts = { config, pack, makeModel, pools, shape, tokens, lag, world, address, baseUrl, stores, rescueTimes }
  pod = await Pod.open({ ...parts, sorry: sorrySentence(config) })
  const strangers = makeStrangers(config.http.trustedProxies)
  const inFlight = { count: 0 }
  const { app, ops } = await makeApps({
    strangers,
    config,
    pod,
    pools,
    refusals,
    log,
    metrics,
    lag,
    baseUrl,
    inFlight,
    alsoServe: options.alsoServe,
    droppedLines: options.droppedLines,
  })
  const streamUpgrade = new StreamUpgrade({
    ...{ streams: pod.streams, log, wheel, tokens, config, baseUrl },
    onAuthenticated: (socket) => strangers.authenticated(socket),
    onRefused: (reason) => metrics.refusals.add(reason),
  })
  app.server.on('upgrade', (request: IncomingMessage, socket: Socket, head: Buffer) => {
    if (strangers.begin(request)) streamUpgrade.enter(request, socket, head)
  })
  config = withPort(config, await listen(app, config.http))
  const opsUrl = ops === undefined ? url() : await listenForOperators(ops, config)
  await pod.start()
  const { publicBaseUrl } = config.http
  log.info(
    { url: publicBaseUrl, pod: config.podName, signatureCheck: config.twilio.signatureCheck },
    'the edge is listening',
  )
  if (config.twilio.signatureCheck !== 'on')
    log.warn({}, 'signatures of the carrier are not checked: loopback development only')
  return new RunningEdge({ app, ops, inFlight, pod, wheel, lag, traces, log, url: url(), opsUrl })
}

/** Listens where OPS_PORT says; gives back the address. */
async function listenForOperators(ops: FastifyInstance, { ops: { listener } }: Config): Promise<string> {
  return `http://${listener!.host}:${await listen(ops, listener!)}`
}

async function makeApps(parts: {
  config: Config
  pod: Pod
  pools: ModelPools | undefined
  refusals: SettingRefusals
  log: Log
  metrics: Metrics
  lag: LagMeter
  strangers: UnauthenticatedConnections
  baseUrl: () => string
  inFlight: InFlight
  droppedLines: (() => number) | undefined
  alsoServe: ((app: FastifyInstance, registry: Registry, operators: Operators) => Promise<void>) | undefined
}): Promise<{ app: FastifyInstance; ops: FastifyInstance | undefined }> {
  const { config, pod, pools, refusals, log, metrics, lag, baseUrl, strangers } = parts
  const answers = new WeakMap<IncomingMessage, ServerResponse>()
  const app = makeListener(strangers, (request, response) => answers.set(request, response))
  const authentication = {
    onAuthenticated: (request: IncomingMessage) => strangers.authenticated(request.socket),
    onRefused: (reason: string) => metrics.refusals.add(reason),
  }
  const webhookAuthentication = {
    ...authentication,
    onAuthenticated: (request: IncomingMessage) => {
      strangers.authenticated(request.socket)
      // A drain waits for the answers to the carrier, and for no stranger.
      parts.inFlight.count += 1
      answers.get(request)?.once('close', () => {
        parts.inFlight.count -= 1
      })
    },
  }
  const registry = new Registry()
  metrics.register(registry, {
    activeCalls: () => pod.calls.size,
    eventLoopLagMs: () => lag.last?.p99Ms,
    callCostCores: () => pod.driver.capacity.costShare,
    capacityCalls: () => pod.newCallsMax,
    demandCalls: () => pod.fleet.demand(pod.calls.size),
    quotaLimit: () => pod.fleet.usage?.limit,
    quotaUsed: () => pod.fleet.usage?.inUse,
    queueDepth: () => pod.fleet.usage?.queued,
    leases: () => pod.fleet.leases,
    poolCeilings: () => pools?.ceilings(),
  })
  registerUnauthenticated(registry, strangers)
  registerDroppedLines(registry, parts.droppedLines)
  const { listener, operators: credentials } = config.ops
  const ops = listener === undefined ? undefined : makeListener(strangers)
  const operators = new Operators(credentials, {
    log,
    nowMs: () => systemClock.monotonicMs(),
    onAuthenticated: authentication.onAuthenticated,
  })
  for (const one of ops === undefined ? [app] : [app, ops])
    await one.register(healthRoutes, { lag, notReady: () => pod.notReady(), warnings: () => refusals.warnings() })
  const operated = ops ?? app
  await operated.register(metricsRoute, { registry, operators: ops === undefined ? operators : undefined })
  await app.register(twilioWebhooks, { config, callControl: pod.callControl, log, baseUrl, ...webhookAuthentication })
  const { secret, secondary } = config.streamToken
  await app.register(peerRoutes, {
    ...{ secret, secondary, wallMs: () => systemClock.wallMs(), answers: pod.peerAnswers },
    ...authentication,
  })
  if (parts.alsoServe === undefined) tellElsewhere(operated, 'edge')
  else await parts.alsoServe(operated, registry, operators)
  await operated.register(async (scoped) => {
    operators.guard(scoped, 'drain')
    scoped.post('/drain', async () => {
      log.info({}, 'a drain was asked for')
      pod.driver.drain('request')
      return { state: pod.driver.phase, calls: pod.calls.size }
    })
  })
  return { app, ops }
}

class RunningEdge implements Edge {
  readonly url: string
  readonly pod: Pod
  readonly opsUrl: string
  readonly #parts: {
    app: FastifyInstance
    ops: FastifyInstance | undefined
    inFlight: InFlight
    wheel: Wheel
    lag: LagMeter
    traces: Traces
    log: Log
  }
  #closing: Promise<void> | undefined
  #draining: Promise<void> | undefined

  constructor(parts: {
    app: FastifyInstance
    ops: FastifyInstance | undefined
    opsUrl: string
    inFlight: InFlight
    pod: Pod
    wheel: Wheel
    lag: LagMeter
    traces: Traces
    log: Log
    url: string
  }) {
    this.#parts = parts
    this.url = parts.url
    this.opsUrl = parts.opsUrl
    this.pod = parts.pod
  }

  get timers(): number {
    return this.#parts.wheel.size
  }

  get ended(): Promise<'drained' | 'fenced'> {
    return this.pod.gone.then((cause) => (cause === 'fenced' ? 'fenced' : 'drained'))
  }

  drain(): Promise<void> {
    if (this.#draining === undefined) this.#draining = this.#drain()
    else this.pod.driver.signal()
    return this.#draining
  }

  async #drain(): Promise<void> {
    this.#parts.log.info({ activeCalls: this.pod.calls.size }, 'draining')
    await this.pod.drain()
    await this.#farewell()
    await this.close()
  }

  /** The last callers' carrier asks /twilio/next a moment after the stream has closed: it must find somebody. */
  async #farewell(): Promise<void> {
    const untilMs = performance.now() + FAREWELL_MAX_MS
    const isAsking = () => this.pod.calls.unasked > 0 || this.#parts.inFlight.count > 0
    while (isAsking() && performance.now() < untilMs && this.#closing === undefined) {
      await pause(FAREWELL_POLL_MS)
    }
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    const { app, ops, wheel, lag, traces, log } = this.#parts
    await closeWithin(CLOSE_MAX_MS, log, async () => {
      await this.pod.close()
      // Whoever asked is answered: with what follows, or that this pod takes no call now.
      const untilMs = performance.now() + ANSWERS_MAX_MS
      while (this.#parts.inFlight.count > 0 && performance.now() < untilMs) await pause(FAREWELL_POLL_MS)
      await Promise.allSettled([app.close(), ops?.close()])
      ;(app.server as Server).closeAllConnections()
      await traces.close()
    })
    lag.close()
    wheel.close()
  }
}
