// One webhook of the carrier: attempts, retries, redirects, time limits.
// W1: all attempts of one webhook carry the same I-Twilio-Idempotency-Token and end within the total time (15 s at most).
// W2: it retries only for the causes of the retry policy, by default once after a failed connection.
// W3: up to REDIRECTS_MAX redirects are followed; each new URL is signed anew.
// W4: each attempt has a connection of its own, so that a connect timeout means what it says.

import { randomUUID } from 'node:crypto'
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { describeError } from '../wire/upgrade.ts'
import { type Overrides, overridesOf, type RetryCause } from './overrides.ts'
import { dialUrl, NOT_DIALLED, type Rewrites } from './rewrite.ts'
import { type FormParams, sign, withoutFragment } from './signature.ts'

const REDIRECTS_MAX = 10
const RESPONSE_BYTES_MAX = 256 * 1024

/** `contentType`: of the answer; a proxy's own error page is HTML, a pod answers XML. */
export type Attempt = {
  url: string
  attempt: number
  ms: number
  status?: number
  contentType?: string
  error?: string
}
type WebhookRequest = {
  url: string
  method: 'GET' | 'POST'
  params: FormParams
  authToken: string
  rewrites: Rewrites
  /** Whether a URL may be dialled. Default: all. */
  mayDial?: ((url: string) => boolean) | undefined
  /** Called after each attempt, also for those that are retried. */
  onAttempt?: (attempt: Attempt) => void
}
export type WebhookAnswer =
  | { kind: 'answered'; url: string; contentType: string; body: string; attempts: number }
  | { kind: 'failed'; url: string; errorCode: number; text: string; attempts: number; status?: number }

type Reply =
  | { kind: 'reply'; status: number; contentType: string; location: string | undefined; body: string }
  | { kind: 'broken'; cause: RetryCause; errorCode: number; text: string }

function formBody(params: FormParams): string {
  const body = new URLSearchParams()
  for (const [key, value] of Object.entries(params)) {
    for (const one of Array.isArray(value) ? value : [value]) body.append(key, one)
  }
  return body.toString()
}

function withQuery(url: string, params: FormParams): string {
  const query = formBody(params)
  return query === '' ? url : url + (url.includes('?') ? '&' : '?') + query
}

function headersFor(request: WebhookRequest, url: string, body: string, token: string): Record<string, string> {
  const isPost = request.method === 'POST'
  return {
    Host: new URL(url).host,
    Accept: '*/*',
    Connection: 'close',
    'User-Agent': 'TwilioProxy/1.1 (simulated)',
    'I-Twilio-Idempotency-Token': token,
    'X-Twilio-Signature': sign(request.authToken, url, isPost ? request.params : {}),
    ...(isPost && {
      'Content-Type': 'application/x-www-form-urlencoded; charset=UTF-8',
      'Content-Length': String(Buffer.byteLength(body)),
    }),
  }
}

/** Reads an answer to its end. */
function collect(response: IncomingMessage, finish: (reply: Reply) => void): void {
  const pieces: Buffer[] = []
  let bytes = 0
  response.on('data', (piece: Buffer) => {
    bytes += piece.length
    if (bytes <= RESPONSE_BYTES_MAX) pieces.push(piece)
    else finish({ kind: 'broken', cause: 'rt', errorCode: 11200, text: 'answer too large' })
  })
  response.on('error', (error) => finish({ kind: 'broken', cause: 'rt', errorCode: 11206, text: error.message }))
  response.once('end', () =>
    finish({
      kind: 'reply',
      status: response.statusCode ?? 0,
      contentType: response.headers['content-type'] ?? '',
      location: response.headers.location,
      body: Buffer.concat(pieces).toString('utf8'),
    }),
  )
}

/** One HTTP exchange with its time limits; never rejects. */
function exchange(
  request: WebhookRequest,
  url: string,
  token: string,
  times: Overrides,
  leftMs: number,
): Promise<Reply> {
  const body = request.method === 'POST' ? formBody(request.params) : ''
  const dialled = dialUrl(url, request.rewrites)
  if (request.mayDial?.(dialled) === false) {
    const text = `${dialled} ${NOT_DIALLED}`
    return Promise.resolve({ kind: 'broken', cause: 'ct', errorCode: 11205, text })
  }
  const target = new URL(dialled)
  const isSecure = target.protocol === 'https:'
  return new Promise((resolve) => {
    const timers: NodeJS.Timeout[] = []
    const finish = (reply: Reply): void => {
      for (const timer of timers) clearTimeout(timer)
      resolve(reply)
      wire.destroy()
    }
    const limit = (ms: number, cause: RetryCause, errorCode: number, text: string): void => {
      timers.push(setTimeout(() => finish({ kind: 'broken', cause, errorCode, text }), Math.max(1, ms)))
    }
    const wire = (isSecure ? httpsRequest : httpRequest)({
      host: target.hostname,
      port: target.port === '' ? (isSecure ? 443 : 80) : Number(target.port),
      method: request.method,
      path: target.pathname + target.search,
      agent: false,
      headers: headersFor(request, url, body, token),
    })
    let isConnected = false
    limit(Math.min(times.connectMs, leftMs), 'ct', 11205, 'connect timeout')
    limit(leftMs, 'rt', 11200, 'total time used up')
    wire.once('socket', (socket) => {
      socket.once('connect', () => {
        isConnected = true
        clearTimeout(timers[0])
        limit(times.readMs, 'rt', 11200, 'read timeout')
      })
    })
    wire.on('error', (error) => {
      const cause = isConnected ? 'rt' : 'ct'
      finish({ kind: 'broken', cause, errorCode: isConnected ? 11200 : 11205, text: describeError(error) })
    })
    wire.once('response', (response) => {
      if (timers[2] !== undefined) clearTimeout(timers[2])
      collect(response, finish)
    })
    wire.end(body)
  })
}

type Progress = { attempts: number; startedMs: number; token: string; times: Overrides }

async function attempt(request: WebhookRequest, url: string, progress: Progress): Promise<Reply> {
  const before = performance.now()
  const leftMs = progress.times.totalMs - (before - progress.startedMs)
  progress.attempts++
  const reply = await exchange(request, url, progress.token, progress.times, leftMs)
  request.onAttempt?.({
    url,
    attempt: progress.attempts,
    ms: performance.now() - before,
    ...(reply.kind === 'reply'
      ? { status: reply.status, contentType: reply.contentType }
      : { error: `${reply.cause}: ${reply.text}` }),
  })
  return reply
}

function retryCause(reply: Reply): RetryCause | undefined {
  if (reply.kind === 'broken') return reply.cause
  if (reply.status >= 500) return '5xx'
  return reply.status >= 400 ? '4xx' : undefined
}

async function withRetries(request: WebhookRequest, url: string, progress: Progress): Promise<Reply> {
  for (let retry = 0; ; retry++) {
    const reply = await attempt(request, url, progress)
    const cause = retryCause(reply)
    const isOver = performance.now() - progress.startedMs >= progress.times.totalMs
    if (cause === undefined || isOver || retry >= progress.times.retriesMax || !progress.times.retryOn.has(cause)) {
      return reply
    }
  }
}

/** Sends a webhook and answers with its body or with the carrier's error code. Never rejects. */
export async function sendWebhook(original: WebhookRequest): Promise<WebhookAnswer> {
  const times = overridesOf(original.url)
  const progress: Progress = { attempts: 0, startedMs: performance.now(), token: randomUUID(), times }
  let request = original
  let url = withoutFragment(original.url)
  if (request.method === 'GET') url = withQuery(url, request.params)
  for (let redirects = 0; redirects <= REDIRECTS_MAX; redirects++) {
    const reply = await withRetries(request, url, progress)
    const { attempts } = progress
    if (reply.kind === 'broken') {
      return { kind: 'failed', url, errorCode: reply.errorCode, text: reply.text, attempts }
    }
    const { status, location } = reply
    if (status >= 300 && status < 400 && location !== undefined) {
      url = new URL(location, url).href
      if (status !== 307 && status !== 308) request = { ...request, method: 'GET', params: {} }
      continue
    }
    if (status < 200 || status >= 300) {
      return { kind: 'failed', url, errorCode: 11200, text: `answered ${status}`, attempts, status }
    }
    return { kind: 'answered', url, contentType: reply.contentType, body: reply.body, attempts }
  }
  return { kind: 'failed', url, errorCode: 11215, text: 'too many redirects', attempts: progress.attempts }
}
