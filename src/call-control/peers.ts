// One pod to another: prepare for this call, and how is your store? Rules:
// PE1: a question bears a time, the hash of its body, and an HMAC over time, path and that hash under the fleet's secret. It is
//      verified before the body is read: without it, or older than SKEW_MAX_MS, it is refused with 403; so is another body.
// PE2: a question is bounded by its own time; no answer is a value.
// PE3: these paths stand below /internal/ and are not for the outside: the ingress does not pass them.
// PE4: while the fleet's secret is changed the second one is good too.
// PE5: at most PEER_BODIES_MAX questions are read at once; a further one gets 503.
import { createHash, createHmac, timingSafeEqual } from 'node:crypto'
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { request as httpsRequest } from 'node:https'
import type { FastifyInstance, FastifyReply } from 'fastify'
import type { CallIdentity } from '../call/identity.ts'
import type { TransferOutcome } from '../call/state.ts'
import type { ToolIntent } from '../control/records.ts'
import type { CallSid } from '../kit/ids.ts'

export const SKEW_MAX_MS = 30_000
export const PEER_BODY_MAX_BYTES = 4_194_304
export const PEER_BODIES_MAX = 32
const FORGET_MS = 2_000
const HEADER = 'x-voice-peer'

/** A call that will come: its stream is to open at the pod that is told. */
export type Expected = CallIdentity & {
  pool: string
  epoch: number
  /** We call because it was asked for; the language in which. */
  callBack?: string
  how:
    | { kind: 'new' }
    /** Its pod is lost, or it comes back from a transfer that ended as `dialed`: the one that is told claims it and reads its checkpoint. */
    | { kind: 'failover'; dialed?: TransferOutcome }
    /** Its pod gives it away: here is all that it knows. */
    | { kind: 'handover'; checkpoint: string; intents: ToolIntent[] }
}
export type ToldEnd = { callSid: CallSid; cause: 'caller-hung-up' | 'carrier-lost' }
type ExpectAnswer = { kind: 'ready' | 'refused' | 'silent' }
/** Whether the pod that was told of an end has the call. */
type EndAnswer = { kind: 'held' | 'unknown' | 'silent' }
export type StoreWord = 'well' | 'away' | 'unknown'

/** Questions to other pods. */
export interface Peers {
  /** Resolves when the pod has prepared: for a handover, when its model hears. */
  expect(address: string, call: Expected, withinMs: number): Promise<ExpectAnswer>
  /** A handover was given up: what was prepared may go. Not waited for. */
  forget(address: string, call: { callSid: CallSid; epoch: number }): Promise<void>
  /** The carrier says that the call is over. */
  ended(address: string, call: ToldEnd, withinMs: number): Promise<EndAnswer>
  storeWord(address: string, withinMs: number): Promise<StoreWord>
}

/** What this pod answers its peers with. */
export type PeerAnswers = {
  expect(call: Expected): Promise<'ready' | 'refused'>
  forget(callSid: CallSid, epoch: number): void
  /** True when the call is this pod's. */
  ended(end: ToldEnd): boolean | Promise<boolean>
  storeState(): 'well' | 'away'
}

/** Makes the questions of a pod that knows the fleet's `secret`. */
export function makePeers(secret: string, wallMs: () => number): Peers {
  const ask = (address: string, path: string, body: string, withinMs: number) =>
    post(new URL(path, address), body, { [HEADER]: stamp(secret, wallMs(), path, body) }, withinMs)
  return {
    async expect(address, call, withinMs) {
      const answer = await ask(address, '/internal/expect', JSON.stringify(call), withinMs)
      if (answer === undefined) return { kind: 'silent' }
      return { kind: answer.status === 200 ? 'ready' : 'refused' }
    },
    async forget(address, call) {
      await ask(address, '/internal/forget', JSON.stringify(call), FORGET_MS)
    },
    async ended(address, call, withinMs) {
      const answer = await ask(address, '/internal/ended', JSON.stringify(call), withinMs)
      if (answer === undefined) return { kind: 'silent' }
      return { kind: answer.status === 200 ? 'held' : 'unknown' }
    },
    async storeWord(address, withinMs) {
      const answer = await ask(address, '/internal/store', '{}', withinMs)
      if (answer?.status !== 200) return 'unknown'
      return answer.body.includes('"well"') ? 'well' : 'away'
    },
  }
}

/** The fastify plugin with POST /internal/expect, /internal/forget, /internal/ended and /internal/store. */
export async function peerRoutes(
  app: FastifyInstance,
  options: {
    secret: string
    secondary?: string | undefined
    wallMs: () => number
    answers: PeerAnswers
    /** A request has shown that it is a peer's. */
    onAuthenticated?: (request: IncomingMessage) => void
    onRefused?: (reason: string) => void
  },
): Promise<void> {
  const { secret, secondary, wallMs, answers, onAuthenticated, onRefused } = options
  const secrets = secondary === undefined ? [secret] : [secret, secondary]
  let reading = 0
  const refuse = (reply: FastifyReply, status: number, refused: string) => {
    onRefused?.('peer')
    if (!reply.request.raw.complete) reply.header('connection', 'close')
    return reply.code(status).send({ refused })
  }
  app.removeAllContentTypeParsers()
  app.addContentTypeParser(
    'application/json',
    { parseAs: 'string', bodyLimit: PEER_BODY_MAX_BYTES },
    (_r, body, done) => done(null, body),
  )
  app.addHook('onRequest', async (request, reply) => {
    const { [HEADER]: header } = request.headers
    const isOurs = typeof header === 'string' && secrets.some((one) => isFresh(one, wallMs(), request.url, header))
    if (!isOurs) return refuse(reply, 403, 'not a peer')
    onAuthenticated?.(request.raw)
    if (reading >= PEER_BODIES_MAX) return refuse(reply, 503, 'too many questions')
    reading += 1
    reply.raw.once('close', () => {
      reading -= 1
    })
    return undefined
  })
  app.addHook('preHandler', async (request, reply) => {
    const [, hash] = String(request.headers[HEADER]).split('.')
    return hash === hashOf(String(request.body)) ? undefined : refuse(reply, 403, 'not a peer')
  })
  app.post('/internal/expect', async (request, reply) => {
    const kind = await answers.expect(JSON.parse(String(request.body)) as Expected)
    return reply.code(kind === 'ready' ? 200 : 409).send({ kind })
  })
  app.post('/internal/forget', async (request) => {
    const { callSid, epoch } = JSON.parse(String(request.body)) as { callSid: CallSid; epoch: number }
    answers.forget(callSid, epoch)
    return {}
  })
  app.post('/internal/ended', async (request, reply) => {
    const isHeld = await answers.ended(JSON.parse(String(request.body)) as ToldEnd)
    return reply.code(isHeld ? 200 : 409).send({ kind: isHeld ? 'held' : 'unknown' })
  })
  app.post('/internal/store', async () => ({ store: answers.storeState() }))
}

/** The header that says: this question is of a pod that knows the secret. */
export function stamp(secret: string, nowMs: number, path: string, body: string): string {
  const said = `${Math.floor(nowMs)}.${hashOf(body)}`
  return `${said}.${macOf(secret, path, said)}`
}

function isFresh(secret: string, nowMs: number, path: string, header: string): boolean {
  const [time = '', hash = '', mac = ''] = header.split('.')
  if (!/^\d{1,15}$/.test(time) || Math.abs(nowMs - Number(time)) > SKEW_MAX_MS) return false
  const wanted = Buffer.from(macOf(secret, path, `${time}.${hash}`))
  const given = Buffer.from(mac)
  return wanted.length === given.length && timingSafeEqual(wanted, given)
}

const hashOf = (body: string): string => createHash('sha256').update(body).digest('base64url')

const macOf = (secret: string, path: string, said: string): string =>
  createHmac('sha256', secret).update(`${said}\n${path}`).digest('base64url')

function post(
  url: URL,
  body: string,
  headers: Record<string, string>,
  withinMs: number,
): Promise<{ status: number; body: string } | undefined> {
  return new Promise((resolve) => {
    const send = url.protocol === 'https:' ? httpsRequest : httpRequest
    const request = send(url, {
      method: 'POST',
      headers: { ...headers, 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) },
      signal: AbortSignal.timeout(withinMs),
    })
    request.on('error', () => resolve(undefined))
    request.on('response', (response) => {
      let text = ''
      response.setEncoding('utf8')
      response.on('data', (part: string) => {
        if (text.length < 4_096) text += part
      })
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body: text }))
      response.on('error', () => resolve(undefined))
    })
    request.end(body)
  })
}
