// Who may look at a process and act on it. Rules:
// OPR1: an operator shows a bearer token, wherever the request comes from. A process without any operator has no such route (404, with how to get one).
// OPR2: a token has an id, which is named in the log, and scopes, which bound what it may do; outside them it is 403.
// OPR3: each request that an operator makes, and each that is refused to one, is one audit line: who, what, on what, with which outcome. Never a
//      token, a number or a word of a call: of the path only a Call SID and a decimal id are written. Refusals are sampled (LG4).
// OPR4: after WRONG_MAX wrong tokens from one address in WRONG_MS its further ones are answered 429 and not logged. A right token always passes.
// OPR5: what fails behind a route is answered without its reason: 503 when a store is away, 500 otherwise. The log has the reason.
import { createHash, timingSafeEqual } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { messageOf, VoiceError } from '../kit/errors.ts'
import { type Log, sampled } from '../kit/log.ts'

/** `metrics`: GET /metrics. `drain`: POST /drain. `read`: records and lists. `work`: runs work again. `erase`: erases. */
export const SCOPES = ['metrics', 'drain', 'read', 'work', 'erase'] as const
type Scope = (typeof SCOPES)[number]

export const WRONG_MAX = 10
export const WRONG_MS = 60_000
/** Addresses that are remembered; beyond it the oldest is forgotten. */
const ADDRESSES_MAX = 1_000
/** Tokens that one process may know. */
const OPERATORS_MAX = 100
const TOKEN_MIN_CHARACTERS = 24
/** A Call SID, or the id of an item of work or of an erasure. */
const SUBJECT = /^(?:CA[0-9a-f]{32}|\d{1,18})$/
const ID = /^[a-z0-9][a-z0-9-]{0,31}$/

export type Credential = { readonly id: string; readonly scopes: readonly Scope[]; readonly token: string }

/** Reads `id:scope+scope:token`, several with commas between. What is wrong is said without the text, since it is secret. */
export function readOperators(
  text: string,
): { kind: 'operators'; operators: Credential[] } | { kind: 'bad'; fix: string } {
  const form = `write id:scopes:token, several with commas between; scopes of ${SCOPES.join(', ')} with + between, a token of ${TOKEN_MIN_CHARACTERS} characters or more without comma and colon`
  const operators: Credential[] = []
  const parts = text.split(',').map((part) => part.trim())
  if (parts.length > OPERATORS_MAX) return { kind: 'bad', fix: `write at most ${OPERATORS_MAX} operators` }
  for (const part of parts) {
    const [id = '', scopeText = '', token = '', more] = part.split(':')
    const scopes = scopeText.split('+').filter((scope): scope is Scope => (SCOPES as readonly string[]).includes(scope))
    const isRead =
      more === undefined && ID.test(id) && scopes.length === scopeText.split('+').length && /^[\x21-\x7e]+$/.test(token)
    if (!isRead || token.length < TOKEN_MIN_CHARACTERS) return { kind: 'bad', fix: form }
    operators.push({ id, scopes, token })
  }
  return { kind: 'operators', operators }
}

const digestOf = (text: string): Buffer => createHash('sha256').update(text).digest()

type Known = { id: string; scopes: ReadonlySet<Scope>; digest: Buffer }
type Wrong = { count: number; sinceMs: number }

/** The operators of a process. */
export class Operators {
  readonly #known: readonly Known[]
  readonly #log: Log
  readonly #refusals: Log
  readonly #nowMs: () => number
  readonly #onAuthenticated: ((request: IncomingMessage) => void) | undefined
  readonly #wrong = new Map<string, Wrong>()

  /** `nowMs`: monotonic. Two credentials of one id are one operator with two tokens, as while tokens are changed. */
  constructor(
    credentials: readonly Credential[],
    parts: { log: Log; nowMs: () => number; onAuthenticated?: (request: IncomingMessage) => void },
  ) {
    this.#known = credentials.map(({ id, scopes, token }) => ({ id, scopes: new Set(scopes), digest: digestOf(token) }))
    this.#log = parts.log
    this.#refusals = sampled(parts.log)
    this.#nowMs = parts.nowMs
    this.#onAuthenticated = parts.onAuthenticated
  }

  get isEmpty(): boolean {
    return this.#known.length === 0
  }

  /** All routes of `app` ask for a token with `scope`, are audited, and tell no reason of a failure. Call it before its routes. */
  guard(app: FastifyInstance, scope: Scope): void {
    app.addHook('onRequest', async (request, reply) => {
      const asked = this.#ask(request, scope)
      if (asked.kind === 'refused') return this.#refuse(request, reply, scope, asked)
      this.#onAuthenticated?.(request.raw)
      this.#audit.set(request, asked.id)
    })
    app.addHook('onResponse', async (request, reply) => {
      const id = this.#audit.get(request)
      if (id === undefined) return
      const { method } = request
      const fields = { operator: id, scope, method, route: routeOf(request), ...subjectOf(request) }
      this.#log.info({ ...fields, status: reply.statusCode }, 'an operator made a request')
    })
    app.setErrorHandler((error, request, reply) => {
      const { statusCode } = error as { statusCode?: number }
      if (statusCode !== undefined && statusCode >= 400 && statusCode < 500)
        return reply.code(statusCode).send({ refused: 'the request cannot be read' })
      const isAway = error instanceof VoiceError && error.code === 'STORE_UNAVAILABLE'
      const code = isAway ? 'STORE_UNAVAILABLE' : 'OPERATOR_REQUEST_FAILED'
      this.#log.warn({ code, route: routeOf(request), reason: messageOf(error) }, 'the request of an operator failed')
      return reply.code(isAway ? 503 : 500).send({
        refused: isAway ? 'the database does not answer: try again' : 'it failed; the log has the reason',
        code,
      })
    })
  }

  readonly #audit = new WeakMap<FastifyRequest, string>()

  #ask(
    request: FastifyRequest,
    scope: Scope,
  ): { kind: 'admitted'; id: string } | { kind: 'refused'; status: 401 | 403 | 404 | 429; id?: string } {
    if (this.isEmpty) return { kind: 'refused', status: 404 }
    const given = /^Bearer (\S{1,1000})$/i.exec(request.headers.authorization ?? '')?.[1]
    const digest = digestOf(given ?? '')
    // Each is compared, so that the time tells nothing.
    const found = this.#known.filter((one) => timingSafeEqual(one.digest, digest))[0]
    if (given === undefined || found === undefined) return { kind: 'refused', status: this.#noteWrong(request.ip) }
    if (!found.scopes.has(scope)) return { kind: 'refused', status: 403, id: found.id }
    return { kind: 'admitted', id: found.id }
  }

  /** [OPR4] */
  #noteWrong(address: string): 401 | 429 {
    const nowMs = this.#nowMs()
    const before = this.#wrong.get(address)
    const wrong = before === undefined || nowMs - before.sinceMs > WRONG_MS ? { count: 0, sinceMs: nowMs } : before
    wrong.count += 1
    this.#wrong.delete(address)
    this.#wrong.set(address, wrong)
    if (this.#wrong.size > ADDRESSES_MAX) this.#wrong.delete(this.#wrong.keys().next().value!)
    return wrong.count > WRONG_MAX ? 429 : 401
  }

  #refuse(
    request: FastifyRequest,
    reply: FastifyReply,
    scope: Scope,
    { status, id }: { status: 401 | 403 | 404 | 429; id?: string },
  ): FastifyReply {
    if (status !== 429 && status !== 404) {
      const fields = {
        operator: id,
        scope,
        method: request.method,
        route: routeOf(request),
        address: request.ip,
        status,
      }
      this.#refusals.warn(fields, 'a request for operators was refused')
    }
    if (status === 401) reply.header('www-authenticate', 'Bearer')
    if (status === 429) reply.header('retry-after', Math.ceil(WRONG_MS / 1_000))
    return reply.code(status).send({ refused: REFUSALS[status] })
  }
}

const REFUSALS = {
  401: "show an operator's token: Authorization: Bearer …",
  403: 'the token does not have the scope for this',
  404: 'there are no operators here: set ADMIN_TOKEN or OPERATOR_TOKENS',
  429: 'too many wrong tokens: try later',
} as const

const routeOf = ({ routeOptions }: FastifyRequest): string => routeOptions.url ?? 'unknown'

/** [OPR3] Ids in the path: they are no personal data. Whatever else somebody writes there is not repeated. */
function subjectOf({ params }: FastifyRequest): { subject?: string } {
  const values = Object.values((params ?? {}) as Record<string, unknown>).filter(
    (value) => typeof value === 'string' && SUBJECT.test(value),
  )
  return values.length === 0 ? {} : { subject: values.join(' ') }
}
