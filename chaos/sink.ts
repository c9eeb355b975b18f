// An effect that tools bring about: a small HTTP service with Idempotency-Key, and its log. Rules:
// SK1: `POST /effect` with a key: the first request makes the effect and is answered after `delayMs`; a further one with the same
//      key gets the first answer again. A request is written down when it arrives, before it is answered.
// SK2: it knows nothing of the plane: it listens on 127.0.0.1, keeps at most KEYS_MAX keys, and refuses beyond with 507.
// SK3: a request without a key, or with a body that is no JSON object of a call and a step, is refused with 400 and logged.
import { appendFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { nowUs } from '../load/messages.ts'

const KEYS_MAX = 200_000
const BODY_BYTES_MAX = 10_000

export type Sink = {
  /** Where tools post to. */
  url: string
  /** How many distinct keys were seen. */
  keys: () => number
  close: () => Promise<void>
}

type SinkOptions = { logFile: string; delayMs?: () => number }

/** [SK1][SK2] Starts a sink. */
export async function startSink(options: SinkOptions): Promise<Sink> {
  const answers = new Map<string, string>()
  const timers = new Set<NodeJS.Timeout>()
  const note = (event: string, facts: Record<string, unknown>): void =>
    appendFileSync(options.logFile, `${JSON.stringify({ t: nowUs(), event, ...facts })}\n`)
  const server = createServer((request, response) => {
    take(request).then(
      (effect) => {
        if (effect === undefined) {
          note('refused', { path: request.url })
          respond(response, 400, '{"error":"a key, a callSid and a step are needed"}')
          return
        }
        note('request', effect)
        if (!answers.has(effect.key) && answers.size >= KEYS_MAX) {
          respond(response, 507, '{"error":"too many keys"}')
          return
        }
        const answer = answers.get(effect.key) ?? `{"done":${answers.size + 1}}`
        answers.set(effect.key, answer)
        const timer = setTimeout(() => {
          timers.delete(timer)
          respond(response, 200, answer)
        }, options.delayMs?.() ?? 0)
        timers.add(timer)
      },
      () => response.destroy(),
    )
  })
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/effect`,
    keys: () => answers.size,
    close: () =>
      new Promise((resolve) => {
        for (const timer of timers) clearTimeout(timer)
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

/** `owner`: the agent that the tool belongs to, where it says so. */
type Effect = { key: string; callSid: string; step: number; owner?: string }

/** [SK3] */
async function take(request: IncomingMessage): Promise<Effect | undefined> {
  const pieces: Buffer[] = []
  let bytes = 0
  for await (const piece of request as AsyncIterable<Buffer>) {
    bytes += piece.length
    if (bytes > BODY_BYTES_MAX) return undefined
    pieces.push(piece)
  }
  const key = request.headers['idempotency-key']
  let body: { callSid?: unknown; step?: unknown; owner?: unknown } | null
  try {
    body = JSON.parse(Buffer.concat(pieces).toString('utf8'))
  } catch {
    return undefined
  }
  if (request.method !== 'POST' || typeof key !== 'string' || key === '') return undefined
  if (typeof body?.callSid !== 'string' || typeof body.step !== 'number') return undefined
  const { callSid, step, owner } = body
  return { key, callSid, step, ...(typeof owner === 'string' ? { owner } : {}) }
}

function respond(response: ServerResponse, status: number, body: string): void {
  if (response.destroyed) return
  response.writeHead(status, { 'content-type': 'application/json' })
  response.end(body)
}
