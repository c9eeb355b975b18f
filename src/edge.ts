// Role edge: one pod. Webhooks, media streams, health and metrics on one port. Rules:
// ED1: signature and token are checked before the 101; a token opens one stream, once.
// ED2: start, drain, close; each idempotent; close never rejects.
import type { IncomingMessage, Server } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import fastify, { type FastifyInstance } from 'fastify'
import { Registry } from 'prom-client'
import { MEDIA_MESSAGE_MAX_BYTES, MediaStream } from './carrier/twilio/media-stream.ts'
import { makeSignatures } from './carrier/twilio/signature.ts'
import { makeStreamTokens, TokenUse } from './carrier/twilio/token.ts'
import { twilioWebhooks } from './carrier/twilio/webhooks.ts'
import { type Config, withPort } from './config.ts'
import { Desk, type MakeModel } from './desk.ts'
import { systemClock } from './kit/clock.ts'
import { type ErrorCode, messageOf } from './kit/errors.ts'
import type { CallSid } from './kit/ids.ts'
import type { Log } from './kit/log.ts'
import { refuseUpgrade, sendUpgrade, upgradeProblem } from './kit/websocket/accept.ts'
import { WebSocketConnection } from './kit/websocket/connection.ts'
import { Wheel } from './kit/wheel.ts'
import { modelMaker } from './model-maker.ts'
import { healthRoutes } from './ops/health.ts'
import { LagMeter } from './ops/lag.ts'
import { Metrics } from './ops/metrics.ts'
import { openTraces, type Traces } from './ops/traces.ts'
import type { Pack } from './packs/pack.ts'

const MEDIA_PATH = /^\/media\/([a-z0-9-]{1,63})\/(CA[0-9a-f]{32})\/([\w-]{20,400})\/?$/
const HEADERS_MAX_MS = 10_000
/** How long a drained pod waits for the carrier's last questions. */
const FAREWELL_MAX_MS = 5_000
const FAREWELL_POLL_MS = 50

/** A running pod. */
export interface Edge {
  readonly url: string
  readonly desk: Desk
  /** Timers that wait now: none when there is no call and no stream. */
  readonly timers: number
  /** Refuses new calls, waits for live ones until the deadline, then closes. */
  drain(deadlineMs: number): Promise<void>
  close(): Promise<void>
}

/** Starts a pod for `pack`; resolves when it listens. */
export async function startEdge(options: {
  config: Config
  pack: Pack
  log: Log
  makeModel?: MakeModel
}): Promise<Edge> {
  const { pack, log } = options
  let config = options.config
  const clock = systemClock
  const wheel = new Wheel({ clock, onError: (error) => log.error({ reason: messageOf(error) }, 'a timer failed') })
  const metrics = new Metrics()
  const traces = await openTraces({ endpoint: config.otlpEndpoint, pod: config.podName, log })
  const lag = new LagMeter()
  const world = { clock, wheel, log, metrics, traces }
  const tokens = makeStreamTokens(config.streamToken)
  let desk: Desk | undefined
  const makeModel =
    options.makeModel ?? modelMaker(config, pack, { clock, wheel, liveCalls: () => desk?.activeCalls ?? 0 })
  desk = new Desk({ config, pack, makeModel, tokens, world })
  const app = await makeApp({ config, desk, log, metrics, lag, baseUrl: () => config.http.publicBaseUrl })
  const door = new MediaDoor({ desk, log, wheel, tokens, config, baseUrl: () => config.http.publicBaseUrl })
  app.server.on('upgrade', (request: IncomingMessage, socket: Socket, head: Buffer) =>
    door.enter(request, socket, head),
  )
  await app.listen({ host: config.http.host, port: config.http.port })
  const { port } = app.server.address() as AddressInfo
  config = withPort(config, port)
  log.info(
    { url: config.http.publicBaseUrl, pod: config.podName, signatureCheck: config.twilio.signatureCheck },
    'the edge is listening',
  )
  if (config.twilio.signatureCheck !== 'on')
    log.warn({}, 'signatures of the carrier are not checked: loopback development only')
  return new RunningEdge({ app, desk, wheel, lag, traces, log, url: `http://${config.http.host}:${port}` })
}

async function makeApp(parts: {
  config: Config
  desk: Desk
  log: Log
  metrics: Metrics
  lag: LagMeter
  baseUrl: () => string
}): Promise<FastifyInstance> {
  const { config, desk, log, metrics, lag, baseUrl } = parts
  const app = fastify({
    requestTimeout: HEADERS_MAX_MS,
    keepAliveTimeout: 72_000,
    bodyLimit: 65_536,
    forceCloseConnections: true,
  })
  const registry = new Registry()
  metrics.register(registry, {
    activeCalls: () => desk.activeCalls,
    eventLoopLagMs: () => lag.last?.p99Ms,
    quotaLimit: () => config.call.callsMax,
    quotaUsed: () => desk.activeCalls,
  })
  await app.register(healthRoutes, { lag, registry, notReady: () => (desk.isDraining ? ['draining'] : []) })
  await app.register(twilioWebhooks, { config, desk, log, baseUrl })
  return app
}

/** The way in for media streams. */
class MediaDoor {
  readonly #parts: { desk: Desk; log: Log; wheel: Wheel; config: Config }
  readonly #tokens
  readonly #signatures
  readonly #uses = new TokenUse()

  constructor(parts: {
    desk: Desk
    log: Log
    wheel: Wheel
    tokens: ReturnType<typeof makeStreamTokens>
    config: Config
    baseUrl: () => string
  }) {
    this.#parts = parts
    this.#tokens = parts.tokens
    const { signatureCheck: check, authTokens } = parts.config.twilio
    this.#signatures = makeSignatures({ check, authTokens, baseUrl: parts.baseUrl })
  }

  enter(request: IncomingMessage, socket: Socket, head: Buffer): void {
    socket.on('error', () => socket.destroy())
    const refusal = this.#refusal(request)
    if (refusal.kind === 'refused') {
      this.#parts.log.warn({ code: refusal.code, reason: refusal.reason }, 'a media stream was refused')
      refuseUpgrade(
        socket,
        refusal.status,
        refusal.status === 403 ? 'Forbidden' : refusal.status === 404 ? 'Not Found' : 'Bad Request',
      )
      return
    }
    const { desk, log, wheel, config } = this.#parts
    const { callSid } = refusal
    const world = { wheel, log: log.child({ callSid }) }
    const stream = new MediaStream(callSid, (leg) => desk.attach(callSid, leg), world)
    sendUpgrade(request, socket)
    const connection = new WebSocketConnection(socket, stream, {
      role: 'server',
      maxPayloadBytes: MEDIA_MESSAGE_MAX_BYTES,
      bufferedMaxBytes: config.call.outboundBufferMaxBytes,
    })
    stream.bind(connection)
    connection.feed(head)
  }

  #refusal(
    request: IncomingMessage,
  ): { kind: 'enter'; callSid: CallSid } | { kind: 'refused'; status: number; reason: string; code?: ErrorCode } {
    const problem = upgradeProblem(request)
    if (problem !== undefined) return { kind: 'refused', status: 400, reason: problem }
    const path = request.url ?? ''
    const match = MEDIA_PATH.exec(path)
    if (match === null) return { kind: 'refused', status: 404, reason: 'no such path' }
    const signature = this.#signatures.upgrade({ path, signature: request.headers['x-twilio-signature'] })
    if (signature.kind !== 'valid') return { kind: 'refused', status: 403, reason: 'signature is missing or forged' }
    const nowMs = systemClock.wallMs()
    const callSid = match[2] as CallSid
    const token = this.#tokens.verify(match[3]!, { callSid, nowMs })
    if (token.kind !== 'valid')
      return { kind: 'refused', status: 403, reason: 'stream token is not valid', code: 'TOKEN_INVALID' }
    if (this.#uses.take(token, nowMs).kind !== 'fresh')
      return { kind: 'refused', status: 403, reason: 'stream token was used', code: 'TOKEN_INVALID' }
    return { kind: 'enter', callSid }
  }
}

class RunningEdge implements Edge {
  readonly url: string
  readonly desk: Desk
  readonly #parts: { app: FastifyInstance; wheel: Wheel; lag: LagMeter; traces: Traces; log: Log }
  #closing: Promise<void> | undefined

  constructor(parts: {
    app: FastifyInstance
    desk: Desk
    wheel: Wheel
    lag: LagMeter
    traces: Traces
    log: Log
    url: string
  }) {
    this.#parts = parts
    this.url = parts.url
    this.desk = parts.desk
  }

  get timers(): number {
    return this.#parts.wheel.size
  }

  async drain(deadlineMs: number): Promise<void> {
    this.#parts.log.info({ activeCalls: this.desk.activeCalls, deadlineMs }, 'draining')
    await this.desk.drain(deadlineMs)
    await this.#farewell()
    await this.close()
  }

  /** The last callers' carrier asks /twilio/next a moment after the stream has closed: it must find somebody. */
  async #farewell(): Promise<void> {
    const untilMs = performance.now() + FAREWELL_MAX_MS
    while (this.desk.unasked > 0 && performance.now() < untilMs && this.#closing === undefined) {
      await new Promise((resolve) => setTimeout(resolve, FAREWELL_POLL_MS))
    }
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    const { app, wheel, lag, traces, log } = this.#parts
    this.desk.endAll()
    try {
      await app.close()
      ;(app.server as Server).closeAllConnections()
      await traces.close()
    } catch (error) {
      log.error({ reason: messageOf(error) }, 'closing met an error')
    }
    lag.close()
    wheel.close()
  }
}
