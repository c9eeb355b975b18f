// The operator's side of the work after calls, as a program of its own: a receiver of webhooks and a text model, with one log. Rules:
// RC1: it shares no code with the plane: it makes the signature itself, over `<seconds>.<body>`, and refuses a wrong or old one with 401.
// RC2: the effect of a key is taken at its first request that was believed; each request is written down before it is answered, with its key,
//      its call, and whether the key was known.
// RC3: it answers after a random time of `delayMs` at most. Of the new effects `dropPercent` get no answer (the connection is cut after the
//      effect was taken), and of the requests `busyPercent` are refused with 503 before anything was taken.
// RC4: `POST /v1/chat/completions` is answered after MODEL_MS with one analysis; it says nothing about the call, so nothing is judged by it.
// RC5: at most KEYS_MAX keys are kept; beyond it answers 507 and takes nothing.
// RC6: with `poisonEvery` the deliveries of one call in so many are refused with 400, which is final, until `POST /heal`: they become dead letters.
import { createHmac, timingSafeEqual } from 'node:crypto'
import { appendFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { nowUs } from '../../load/messages.ts'
import { type Random, seededRandom } from '../../load/plan/arrivals.ts'
import { Arguments } from '../../sim/command-line.ts'

const BODY_BYTES_MAX = 1_000_000
const KEYS_MAX = 100_000
const MODEL_MS = 200
const OLD_S = 300

export type ReceiverOptions = {
  logFile: string
  secret: string
  seed: number
  delayMs: number
  dropPercent: number
  busyPercent: number
  /** Undefined: nothing is poison. */
  poisonEvery?: number
}

/** Takes one request. */
type Receiver = (request: IncomingMessage, response: ServerResponse) => void

/** [RC2] What a request wants, as far as it can be read. */
type Delivery = { key: string; bodyKey: string; callSid: string }

/** Makes the receiver; `wallMs` tells the age of a signature. */
export function makeReceiver(options: ReceiverOptions, wallMs: () => number = Date.now): Receiver {
  const random = seededRandom(options.seed)
  const known = new Set<string>()
  let isHealed = options.poisonEvery === undefined
  const note = (event: string, facts: Record<string, unknown>): void =>
    appendFileSync(options.logFile, `${JSON.stringify({ t: nowUs(), event, ...facts })}\n`)
  const take = (request: IncomingMessage, response: ServerResponse, body: string): void => {
    if (request.url === '/v1/chat/completions') {
      note('model-asked', {})
      setTimeout(() => respond(response, 200, COMPLETION), MODEL_MS)
      return
    }
    if (request.url === '/heal') {
      isHealed = true
      respond(response, 200, '{}')
      return
    }
    const delivery = deliveryOf(request, body)
    const isSigned = isSignedBy(options.secret, request.headers['x-voiceplane-signature'], body, wallMs())
    if (delivery === undefined || !isSigned) {
      note('refused', { ...delivery, isSigned })
      respond(response, delivery === undefined ? 400 : 401, '{}')
      return
    }
    const isRepeat = known.has(delivery.key)
    const isPoison = !isHealed && isPoisoned(delivery.callSid, options.poisonEvery)
    const outcome = isPoison ? 'poison' : outcomeOf(random, options, isRepeat, known.size)
    note('delivery', { ...delivery, isRepeat, outcome })
    if (outcome === 'busy' || outcome === 'full') {
      respond(response, outcome === 'busy' ? 503 : 507, '{}')
      return
    }
    const delayMs = random() * options.delayMs
    if (outcome === 'poison') {
      setTimeout(() => respond(response, 400, '{}'), delayMs)
      return
    }
    known.add(delivery.key)
    setTimeout(() => (outcome === 'dropped' ? response.destroy() : respond(response, 200, '{}')), delayMs)
  }
  return (request, response) => {
    readBody(request).then(
      (body) => take(request, response, body),
      () => response.destroy(),
    )
  }
}

/** [RC6] By the call's own name, so that each try of it is refused alike. */
function isPoisoned(callSid: string, every: number | undefined): boolean {
  return every !== undefined && Number.parseInt(callSid.slice(-6), 16) % every === 0
}

/** [RC3][RC5] */
function outcomeOf(
  random: Random,
  { dropPercent, busyPercent }: ReceiverOptions,
  isRepeat: boolean,
  keys: number,
): 'answered' | 'dropped' | 'busy' | 'full' {
  if (!isRepeat && keys >= KEYS_MAX) return 'full'
  const chance = random() * 100
  if (chance < busyPercent) return 'busy'
  return !isRepeat && chance < busyPercent + dropPercent ? 'dropped' : 'answered'
}

/** [RC1] Whether one of the header's marks is ours and its time is not old. */
export function isSignedBy(
  secret: string,
  header: string | string[] | undefined,
  body: string,
  wallMs: number,
): boolean {
  if (typeof header !== 'string') return false
  const parts = header.split(',').map((part) => part.split('='))
  const seconds = Number(parts.find(([name]) => name === 't')?.[1])
  if (!(Math.abs(wallMs / 1_000 - seconds) <= OLD_S)) return false
  const wanted = createHmac('sha256', secret).update(`${seconds}.${body}`).digest()
  return parts.some(([name, hex = '']) => {
    const mark = Buffer.from(hex, 'hex')
    return name === 'v1' && mark.length === wanted.length && timingSafeEqual(mark, wanted)
  })
}

function deliveryOf(request: IncomingMessage, body: string): Delivery | undefined {
  const key = request.headers['idempotency-key']
  if (request.method !== 'POST' || typeof key !== 'string' || key === '') return undefined
  try {
    const { key: bodyKey, event, data } = JSON.parse(body) as Record<string, unknown>
    const callSid = (data as Record<string, unknown> | null | undefined)?.callSid
    if (event !== 'call.ended' || typeof bodyKey !== 'string' || typeof callSid !== 'string') return undefined
    return { key, bodyKey, callSid }
  } catch {
    return undefined
  }
}

async function readBody(request: IncomingMessage): Promise<string> {
  const pieces: Buffer[] = []
  let bytes = 0
  for await (const piece of request as AsyncIterable<Buffer>) {
    bytes += piece.length
    if (bytes > BODY_BYTES_MAX) throw new Error('the body is too long')
    pieces.push(piece)
  }
  return Buffer.concat(pieces).toString('utf8')
}

function respond(response: ServerResponse, status: number, body: string): void {
  if (response.destroyed) return
  response.writeHead(status, { 'content-type': 'application/json' })
  response.end(body)
}

const ANALYSIS = {
  ...{ summary: 'The caller had steps written into the book.', intent: 'write steps', sentiment: 0.2, lead_score: 10 },
  ...{ satisfaction: 4, escalated: false, disposition: 'completed' },
}
const COMPLETION = JSON.stringify({ choices: [{ message: { content: JSON.stringify(ANALYSIS) } }] })

/** As a program: prints `{"port":…}` when it listens on 127.0.0.1. */
async function main(): Promise<void> {
  const text = { type: 'string' } as const
  const { values, problems } = new Arguments(process.argv.slice(2), {
    log: text,
    secret: text,
    seed: text,
    'delay-ms': text,
    'drop-percent': text,
    'busy-percent': text,
    'poison-every': text,
  })
  if (problems.length > 0) throw new Error(problems.join('; '))
  const receive = makeReceiver({
    logFile: values.log ?? '',
    secret: values.secret ?? '',
    seed: Number(values.seed ?? 1),
    delayMs: Number(values['delay-ms'] ?? 0),
    dropPercent: Number(values['drop-percent'] ?? 0),
    busyPercent: Number(values['busy-percent'] ?? 0),
    ...(values['poison-every'] === undefined ? {} : { poisonEvery: Number(values['poison-every']) }),
  })
  const server = createServer(receive)
  server.keepAliveTimeout = 60_000
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve))
  process.stdout.write(`${JSON.stringify({ port: (server.address() as AddressInfo).port })}\n`)
}

if (import.meta.main) await main()
