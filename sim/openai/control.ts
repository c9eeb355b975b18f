// The control API of the simulator, on the port of the simulated service. Rules:
// Q1: POST /sim/faults sets faults and acts on sessions; POST /sim/script adds a script; GET /sim/sessions lists.
// Q2: a body over BODY_BYTES_MAX, not JSON, or of the wrong shape is refused with the reason; nothing is changed.
// Q3: POST /v1/realtime/client_secrets gives out a key that opens sessions, as the service does.
import { randomBytes } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { readScript } from './dialogue/script.ts'
import { FAULT_ORDER, type FaultOrder, SCRIPT_ORDER } from './fault-shape.ts'
import { UNKNOWN_CALL } from './hearing/probe.ts'
import { nowMs } from './kit/clock.ts'
import { NO_FAULTS } from './options.ts'
import type { Session } from './session/session.ts'
import type { Shared } from './shared.ts'

const BODY_BYTES_MAX = 1_000_000
const LISTED_MAX = 5_000

type ControlOptions = { shared: Shared; sessions: ReadonlySet<Session>; counts: () => Record<string, number> }

type Answer = { status: number; body: unknown }

/** Answers one HTTP request that is no upgrade. */
export async function answerControl(
  request: IncomingMessage,
  response: ServerResponse,
  options: ControlOptions,
): Promise<void> {
  const { status, body } = await route(request, options)
  const text = JSON.stringify(body)
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) })
  response.end(text)
}

async function route(request: IncomingMessage, options: ControlOptions): Promise<Answer> {
  const path = new URL(request.url ?? '/', 'http://sim').pathname
  if (request.method === 'GET' && path === '/sim/sessions') return { status: 200, body: listSessions(options) }
  if (request.method === 'GET' && path === '/sim/faults') return { status: 200, body: options.shared.faults }
  const posts: Record<string, (body: unknown, options: ControlOptions) => Answer> = {
    '/sim/faults': orderFaults,
    '/sim/script': orderScript,
    '/v1/realtime/client_secrets': giveSecret,
  }
  const post = request.method === 'POST' && Object.hasOwn(posts, path) ? posts[path] : undefined
  if (post === undefined) return refusal(404, `Invalid URL (${request.method} ${path})`)
  const body = await readBody(request)
  return body.kind === 'read' ? post(body.value, options) : refusal(body.status, body.why)
}

function orderFaults(body: unknown, { shared, sessions }: ControlOptions): Answer {
  const problem = FAULT_ORDER(body, '')
  if (problem !== undefined) return refusal(400, problem.message)
  const order = body as FaultOrder
  if (order.reset === true) Object.assign(shared.faults, structuredClone(NO_FAULTS))
  Object.assign(shared.faults, order.set)
  if (order.ceiling !== undefined) shared.options.ceiling = order.ceiling
  shared.witness.note('faults_set', { order: JSON.stringify(order) })
  let acted = 0
  for (const session of [...sessions]) {
    session.refreshFaults()
    if (order.act === undefined || !isMeant(session, order)) continue
    session.act(order.act)
    acted += 1
  }
  return { status: 200, body: { faults: shared.faults, ceiling: shared.options.ceiling, acted } }
}

function isMeant(session: Session, order: FaultOrder): boolean {
  if (order.session !== undefined) return session.id === order.session
  return order.call === undefined || session.call === order.call
}

function orderScript(body: unknown, { shared }: ControlOptions): Answer {
  const problem = SCRIPT_ORDER(body, '')
  if (problem !== undefined) return refusal(400, problem.message)
  const { script, name } = body as { script?: unknown; name?: string }
  if (script !== undefined) {
    const read = readScript(script)
    if (read.kind === 'broken') return refusal(400, read.problems.join('; '))
    shared.catalogue.add(read.script)
  }
  if (name !== undefined && !shared.catalogue.setDefault(name)) return refusal(404, `no script is named ${name}`)
  return { status: 200, body: { scripts: shared.catalogue.names } }
}

function giveSecret(body: unknown): Answer {
  const seconds = (body as { expires_after?: { seconds?: number } } | null)?.expires_after?.seconds ?? 600
  const value = `ek_${randomBytes(16).toString('hex')}`
  const session = (body as { session?: object } | null)?.session ?? { type: 'realtime' }
  return { status: 200, body: { value, expires_at: Math.floor(Date.now() / 1000) + seconds, session } }
}

function listSessions({ shared, sessions, counts }: ControlOptions): unknown {
  const listed = [...sessions].slice(0, LISTED_MAX).map((session) => ({
    session: session.id,
    call: session.call === UNKNOWN_CALL ? null : session.call,
    model: session.config.model,
    age_ms: Math.round(nowMs() - session.openedMs),
    script: session.dialogue.scriptName,
    responses: session.responses,
    is_responding: session.turns.active !== undefined,
    appends: session.ears.appends,
    audio_bytes_in: session.ears.totalBytes,
    drift_frames: session.turns.driftFrames,
    items: session.conversation.size,
  }))
  return { ...shared.load(), ...counts(), timers: shared.wheel.size, sessions: listed }
}

type Body = { kind: 'read'; value: unknown } | { kind: 'refused'; status: number; why: string }

async function readBody(request: IncomingMessage): Promise<Body> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > BODY_BYTES_MAX) return { kind: 'refused', status: 413, why: `the body is over ${BODY_BYTES_MAX} bytes` }
    chunks.push(chunk)
  }
  try {
    return { kind: 'read', value: JSON.parse(Buffer.concat(chunks).toString('utf8')) }
  } catch {
    return { kind: 'refused', status: 400, why: 'the body is not JSON' }
  }
}

function refusal(status: number, message: string): Answer {
  return { status, body: { error: { message, type: 'invalid_request_error', param: null, code: null } } }
}
