// One pooled HTTP client: connections are kept and bounded, answers are bounded, nothing is followed. Rules:
// HP1: at most `connectionsMax` connections to a host, kept alive between requests; a request beyond waits inside its own time.
// HP2: a request has `timeoutMs` in all, to the last byte of its answer; its socket is cut then.
// HP3: at most ANSWER_MAX_BYTES of an answer are read; more is a failure. Redirects are not followed.
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage, type RequestOptions } from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import type { LookupFunction } from 'node:net'

const ANSWER_MAX_BYTES = 1_048_576

type HttpAnswer =
  | { kind: 'answer'; status: number; headers: IncomingMessage['headers']; text: string }
  | { kind: 'failed'; reason: string }

type HttpPoolOptions = { connectionsMax: number; lookup?: LookupFunction }

export class HttpPool {
  readonly #http: HttpAgent
  readonly #https: HttpsAgent
  readonly #lookup: LookupFunction | undefined

  constructor({ connectionsMax, lookup }: HttpPoolOptions) {
    const options = {
      keepAlive: true,
      maxSockets: connectionsMax,
      maxFreeSockets: connectionsMax,
      scheduling: 'lifo' as const,
    }
    this.#http = new HttpAgent(options)
    this.#https = new HttpsAgent(options)
    this.#lookup = lookup
  }

  /** Posts `body`; never rejects. */
  post(
    url: URL,
    body: string,
    options: { headers: Record<string, string>; timeoutMs: number; signal: AbortSignal },
  ): Promise<HttpAnswer> {
    const isSecure = url.protocol === 'https:'
    const payload = Buffer.from(body)
    const request: RequestOptions = {
      method: 'POST',
      agent: isSecure ? this.#https : this.#http,
      headers: { 'content-type': 'application/json', ...options.headers, 'content-length': payload.length },
      signal: AbortSignal.any([options.signal, AbortSignal.timeout(options.timeoutMs)]),
      ...(this.#lookup === undefined ? {} : { lookup: this.#lookup }),
    }
    return new Promise((resolve) => {
      const fail = (reason: string) => resolve({ kind: 'failed', reason })
      const sent = (isSecure ? httpsRequest : httpRequest)(url, request, (answer) => {
        void read(answer).then(resolve, (error: NodeJS.ErrnoException) => fail(reasonOf(error)))
      })
      sent.on('error', (error: NodeJS.ErrnoException) => fail(reasonOf(error)))
      sent.end(payload)
    })
  }

  close(): void {
    this.#http.destroy()
    this.#https.destroy()
  }
}

async function read(answer: IncomingMessage): Promise<HttpAnswer> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    length += chunk.length
    if (length > ANSWER_MAX_BYTES) {
      answer.destroy()
      return { kind: 'failed', reason: 'the answer is too long' }
    }
    chunks.push(chunk)
  }
  return {
    kind: 'answer',
    status: answer.statusCode ?? 0,
    headers: answer.headers,
    text: Buffer.concat(chunks).toString(),
  }
}

/** A code or a word of our own: the message of an error may hold an address or more. */
function reasonOf(error: NodeJS.ErrnoException): string {
  if (error.name === 'TimeoutError' || error.code === 'ABORT_ERR' || error.name === 'AbortError')
    return 'no answer in time'
  return error.code ?? error.name
}

/** The wait that an answer asks for, in ms, at most `maxMs`; 0 when it asks for none. Seconds or a date (RFC 9110 §10.2.3). */
export function retryAfterMs(headers: IncomingMessage['headers'], nowMs: number, maxMs = 600_000): number {
  const text = headers['retry-after']
  if (text === undefined) return 0
  const ms = /^\d{1,6}$/.test(text) ? Number(text) * 1_000 : Date.parse(text) - nowMs
  return Number.isFinite(ms) ? Math.max(0, Math.min(maxMs, ms)) : 0
}
