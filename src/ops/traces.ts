// Traces: a span per call, under it one per turn. Rules:
// TC1: off unless an endpoint is configured; then, and only then, the OpenTelemetry packages are loaded.
// TC2: tracing never waits and never throws on the call's path; spans over the queue's bound are dropped by the exporter.
// TC3: a span holds times, ids, counts and outcomes; no number, name or transcript of a caller.
// TC4: nothing is registered globally; close() sends what is left within CLOSE_MS and never rejects.
import type { Attributes, Span, Tracer } from '@opentelemetry/api'
import { messageOf } from '../kit/errors.ts'
import type { CallId } from '../kit/ids.ts'
import type { Log } from '../kit/log.ts'

const SERVICE_NAME = 'voiceplane'
const SPANS_QUEUED_MAX = 4_096 // further ones are dropped until a batch has left
const SPANS_PER_BATCH = 512
const BATCH_EVERY_MS = 2_000
const EXPORT_TIMEOUT_MS = 5_000
const CLOSE_MS = 5_000

/** One finished turn; times are wall-clock milliseconds. */
export type TurnSpan = {
  party: 'caller' | 'agent'
  startMs: number
  endMs: number
  /** How the turn ended, for example completed, barge-in, cancelled. */
  ending: string
  attributes?: Attributes
}

/** The trace of one call. */
export interface CallTrace {
  turn(turn: TurnSpan): void
  /** Ends the call's span; later calls do nothing. `endMs` is wall-clock. */
  end(end: { endMs: number; outcome: string; attributes?: Attributes }): void
}

/** Gives each call its trace. */
export interface Traces {
  call(call: { callId: CallId; startMs: number; attributes?: Attributes }): CallTrace
  close(): Promise<void>
}

const nullTrace: CallTrace = { turn() {}, end() {} }

/** Traces that are off. */
export const noTraces: Traces = { call: () => nullTrace, close: async () => {} }

/** Where spans go (base URL of an OTLP/HTTP collector) and from which pod; a try to send ends at `exportTimeoutMs`. */
type TracesOptions = { endpoint: string | undefined; pod: string; log: Log; exportTimeoutMs?: number }

/** Opens tracing towards an OTLP/HTTP collector, or hands out `noTraces` without an endpoint. */
export async function openTraces(options: TracesOptions): Promise<Traces> {
  const { endpoint, pod, log, exportTimeoutMs = EXPORT_TIMEOUT_MS } = options
  if (endpoint === undefined) return noTraces
  const [api, sdk, { resourceFromAttributes }, { OTLPTraceExporter }] = await Promise.all([
    import('@opentelemetry/api'),
    import('@opentelemetry/sdk-trace-node'),
    import('@opentelemetry/resources'),
    import('@opentelemetry/exporter-trace-otlp-http'),
  ])
  const exporter = new OTLPTraceExporter({ url: `${endpoint}/v1/traces`, timeoutMillis: exportTimeoutMs })
  const processor = new sdk.BatchSpanProcessor(exporter, {
    maxQueueSize: SPANS_QUEUED_MAX,
    maxExportBatchSize: SPANS_PER_BATCH,
    scheduledDelayMillis: BATCH_EVERY_MS,
    exportTimeoutMillis: exportTimeoutMs,
  })
  const resource = resourceFromAttributes({ 'service.name': SERVICE_NAME, 'service.instance.id': pod })
  const provider = new sdk.NodeTracerProvider({ resource, spanProcessors: [processor] })
  const tracer = provider.getTracer(SERVICE_NAME)
  let closing: Promise<void> | undefined
  return {
    call: ({ callId, startMs, attributes }) =>
      new SpanTrace(api, tracer, {
        startMs,
        attributes: { ...attributes, 'call.id': callId },
      }),
    close() {
      closing ??= within(CLOSE_MS, provider.shutdown()).catch((error: unknown) =>
        log.warn({ reason: messageOf(error) }, 'traces not sent at close'),
      )
      return closing
    },
  }
}

type Api = typeof import('@opentelemetry/api')

class SpanTrace implements CallTrace {
  readonly #api: Api
  readonly #tracer: Tracer
  readonly #span: Span
  #hasEnded = false

  constructor(api: Api, tracer: Tracer, start: { startMs: number; attributes: Attributes }) {
    this.#api = api
    this.#tracer = tracer
    const options = { startTime: start.startMs, attributes: start.attributes, kind: api.SpanKind.SERVER }
    this.#span = tracer.startSpan('call', options, api.ROOT_CONTEXT)
  }

  turn({ party, startMs, endMs, ending, attributes }: TurnSpan): void {
    if (this.#hasEnded) return
    const parent = this.#api.trace.setSpan(this.#api.ROOT_CONTEXT, this.#span)
    const all = { ...attributes, 'turn.party': party, 'turn.ending': ending }
    this.#tracer.startSpan('turn', { startTime: startMs, attributes: all }, parent).end(endMs)
  }

  end({ endMs, outcome, attributes }: Parameters<CallTrace['end']>[0]): void {
    if (this.#hasEnded) return
    this.#hasEnded = true
    this.#span.setAttributes({ ...attributes, 'call.outcome': outcome })
    this.#span.end(endMs)
  }
}

async function within(limitMs: number, work: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`not done within ${limitMs} ms`)), limitMs)
  })
  try {
    await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}
