// Twilio's REST API for live calls, as far as a rescue needs it. Rules:
// RC1: at most REST_ACTIVE_MAX requests at once, REST_WAITING_MAX wait; beyond them a question is `failed` at once.
// RC2: 429 is asked again after its Retry-After, at most RETRY_AFTER_MAX_MS, REST_TRIES_MAX times in all; it keeps its place
//      meanwhile, so that a carrier which is asked too much is asked less.
// RC3: nothing else is asked again: a redirect whose answer was lost may have been made, and a second one would break into
//      what the first began. A call is created once: not even 429 is asked again, and an answer that did not come is `unknown`.
// RC4: an attempt takes REST_ATTEMPT_MS at most. Expected outcomes are values; nothing rejects.
// RC5: neither a token nor the carrier's own error object reaches the log: status, code and a short reason do.
// RC6: 401 is asked again with the secondary token, while tokens are rotated.
import type { Twilio } from 'twilio'
import { messageOf } from '../../../kit/errors.ts'
import type { CallSid } from '../../../kit/ids.ts'
import type { Log } from '../../../kit/log.ts'
import { Gate } from './gate.ts'

const REST_ACTIVE_MAX = 50
const REST_WAITING_MAX = 10_000 // the calls of a large cell; more are found again by the next round of a rescue
const REST_ATTEMPT_MS = 5_000
export const REST_TRIES_MAX = 4
const RETRY_AFTER_MAX_MS = 30_000
const RETRY_FIRST_MS = 500 // when 429 names no time: doubled each time, plus up to a half by chance
const REASON_CHARACTERS_MAX = 200
/** Calls of one pair of numbers that are looked at. */
const FOUND_MAX = 20
const NOT_FOUND = 20_404
const NOT_IN_PROGRESS = 21_220

type RestFailure = { kind: 'failed'; status: number | undefined; code: number | undefined; reason: string }
/** `over`: the carrier knows no live call by this SID. */
export type Redirected = { kind: 'redirected' } | { kind: 'over' } | RestFailure
/** `unknown`: no answer came, and the call may have been made. `status` and `code` are the carrier's. */
type Created =
  | { kind: 'created'; callSid: CallSid }
  | { kind: 'refused'; status: number; code: number | undefined; reason: string }
  | { kind: 'unknown'; reason: string }
/** Calls that we made, newest first. */
type FoundCalls =
  | { kind: 'found'; calls: readonly { callSid: CallSid; status: string; createdAtMs: number }[] }
  | RestFailure
/** A call to be made. `url` is asked when it is answered, `statusUrl` told how it ended; both absolute. */
type NewCall = { to: string; from: string; url: string; statusUrl: string; ringSeconds: number }

/** `status` is the carrier's own word: queued, ringing, in-progress, completed, busy, failed, no-answer or canceled. */
export type CallStatus = { kind: 'known'; status: string } | { kind: 'unknown' } | RestFailure

export interface CarrierRest {
  /** Makes a live call fetch its next TwiML from `url` (absolute); whatever it is doing ends. */
  redirectCall(callSid: CallSid, url: string): Promise<Redirected>
  callStatus(callSid: CallSid): Promise<CallStatus>
  createCall(call: NewCall): Promise<Created>
  /** The newest calls that we made from one number to another, FOUND_MAX at most. */
  findCalls(ends: { to: string; from: string }): Promise<FoundCalls>
  /** Requests at work and waiting now. */
  readonly load: { active: number; waiting: number }
  /** Refuses those who wait, ends pauses; requests at work finish by themselves. Idempotent. */
  close(): void
}

export type RestOptions = {
  accountSid: string
  /** Primary first. */
  authTokens: readonly string[]
  /** Another address than Twilio's own, `http://host:port` of a simulator. */
  baseUrl?: string | undefined
  log: Log
  bounds?: Partial<{ activeMax: number; waitingMax: number; attemptMs: number }>
}

/** Opens the client; the carrier's package is loaded only here, since most pods never rescue. */
export async function openCarrierRest(options: RestOptions): Promise<CarrierRest> {
  const { default: twilio } = await import('twilio')
  const { accountSid, authTokens, baseUrl, bounds } = options
  const activeMax = bounds?.activeMax ?? REST_ACTIVE_MAX
  const attemptMs = bounds?.attemptMs ?? REST_ATTEMPT_MS
  const pauses = new Pauses()
  const http = new twilio.RequestClient({ timeout: attemptMs, maxSockets: activeMax, maxTotalSockets: activeMax })
  type HttpRequest = Parameters<typeof http.request>[0]
  const request = http.request.bind(http)
  const ask = async (asked: HttpRequest) => {
    const uri = baseUrl === undefined ? asked.uri : baseUrl.replace(/\/$/, '') + pathOf(asked.uri)
    for (let tries = 1; ; tries += 1) {
      const answer = await within(attemptMs, request({ ...asked, uri }))
      const isCreate = asked.method === 'post' && asked.uri.endsWith('/Calls.json')
      if (answer.statusCode !== 429 || isCreate || tries >= REST_TRIES_MAX) return answer
      if (!(await pauses.pause(retryMs(answer.headers, tries)))) return answer
    }
  }
  http.request = ask as typeof http.request
  const clients = authTokens.map((token) => twilio(accountSid, token, { httpClient: http, logLevel: 'none' }))
  const gate = new Gate({ activeMax, waitingMax: bounds?.waitingMax ?? REST_WAITING_MAX })
  return new Rest({ clients, gate, pauses, log: options.log })
}

class Rest implements CarrierRest {
  readonly #parts: { clients: readonly Twilio[]; gate: Gate; pauses: Pauses; log: Log }

  constructor(parts: { clients: readonly Twilio[]; gate: Gate; pauses: Pauses; log: Log }) {
    this.#parts = parts
  }

  get load(): { active: number; waiting: number } {
    const { active, waiting } = this.#parts.gate
    return { active, waiting }
  }

  redirectCall(callSid: CallSid, url: string): Promise<Redirected> {
    return this.#ask(callSid, 'redirect', async (client): Promise<Redirected> => {
      await client.calls(callSid).update({ url, method: 'POST' })
      return { kind: 'redirected' }
    }).then((answer) => (isOver(answer) ? { kind: 'over' } : answer))
  }

  callStatus(callSid: CallSid): Promise<CallStatus> {
    return this.#ask(callSid, 'status', async (client): Promise<CallStatus> => {
      const { status } = await client.calls(callSid).fetch()
      return { kind: 'known', status }
    }).then((answer) => (isOver(answer) ? { kind: 'unknown' } : answer))
  }

  async createCall({ to, from, url, statusUrl, ringSeconds }: NewCall): Promise<Created> {
    const answer = await this.#ask(undefined, 'create', async (client): Promise<Created> => {
      const callback = { statusCallback: statusUrl, statusCallbackMethod: 'POST', statusCallbackEvent: ['completed'] }
      const { sid } = await client.calls.create({ to, from, url, method: 'POST', timeout: ringSeconds, ...callback })
      return { kind: 'created', callSid: sid as CallSid }
    })
    if (answer.kind !== 'failed') return answer
    const { status, code, reason } = answer
    // Only an answer of its own says that the carrier did nothing.
    return status !== undefined && status >= 400 && status < 500 && status !== 408
      ? { kind: 'refused', status, code, reason }
      : { kind: 'unknown', reason }
  }

  findCalls({ to, from }: { to: string; from: string }): Promise<FoundCalls> {
    return this.#ask(undefined, 'find', async (client): Promise<FoundCalls> => {
      const calls = await client.calls.list({ to, from, pageSize: FOUND_MAX, limit: FOUND_MAX })
      const found = calls.map(({ sid, status, dateCreated }) => ({
        callSid: sid as CallSid,
        status,
        createdAtMs: dateCreated.getTime(),
      }))
      return { kind: 'found', calls: found.sort((one, other) => other.createdAtMs - one.createdAtMs) }
    })
  }

  close(): void {
    this.#parts.gate.close()
    this.#parts.pauses.close()
  }

  async #ask<T>(
    callSid: CallSid | undefined,
    question: 'redirect' | 'status' | 'create' | 'find',
    ask: (client: Twilio) => Promise<T>,
  ): Promise<T | RestFailure> {
    const { gate, log } = this.#parts
    const answer = await gate.pass(() => this.#withTokens(ask))
    if (answer === undefined) return failure('too many requests wait, or closed')
    if (answer.kind === 'answered') return answer.value
    if (!isOver(answer.failure)) {
      const { status, code, reason } = answer.failure
      log.warn({ callSid, question, status, carrierCode: code, reason }, 'the carrier refused a question about a call')
    }
    return answer.failure
  }

  async #withTokens<T>(ask: (client: Twilio) => Promise<T>): Promise<Tried<T>> {
    let tried: Tried<T> = { kind: 'failed', failure: failure('no token is configured') }
    for (const client of this.#parts.clients) {
      try {
        return { kind: 'answered', value: await ask(client) }
      } catch (error) {
        tried = { kind: 'failed', failure: failureOf(error) }
        if (tried.failure.status !== 401) return tried
      }
    }
    return tried
  }
}

type Tried<T> = { kind: 'answered'; value: T } | { kind: 'failed'; failure: RestFailure }

function isOver(answer: { kind: string } | RestFailure): boolean {
  return 'code' in answer && (answer.code === NOT_FOUND || answer.code === NOT_IN_PROGRESS || answer.status === 404)
}

function failure(reason: string): RestFailure {
  return { kind: 'failed', status: undefined, code: undefined, reason }
}

/** Only these fields of an error: the carrier's HTTP errors hold the request with its credentials (RC5). */
function failureOf(error: unknown): RestFailure {
  const { status, code } = error as { status?: unknown; code?: unknown }
  return {
    kind: 'failed',
    status: typeof status === 'number' ? status : undefined,
    code: typeof code === 'number' ? code : undefined,
    // An answer without a body of the carrier's own has no message at all.
    reason: (messageOf(error) || 'no reason given').slice(0, REASON_CHARACTERS_MAX),
  }
}

function pathOf(uri: string): string {
  const { pathname, search } = new URL(uri)
  return pathname + search
}

/** How long a 429 asks to wait, in ms: seconds or a date. */
function retryMs(headers: unknown, tries: number): number {
  const said = (headers as Record<string, unknown> | undefined)?.['retry-after']
  const text = typeof said === 'string' ? said.trim() : ''
  const asked = /^\d+(\.\d+)?$/.test(text) ? Number(text) * 1_000 : Date.parse(text) - Date.now()
  const chosen = Number.isFinite(asked) ? asked : RETRY_FIRST_MS * 2 ** (tries - 1) * (1 + Math.random() / 2)
  return Math.min(RETRY_AFTER_MAX_MS, Math.max(0, chosen))
}

/** Waits at most `maxMs`, then rejects; what comes later is dropped. */
async function within<T>(maxMs: number, answer: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error('the carrier did not answer in time')), maxMs)
  })
  try {
    return await Promise.race([answer, late])
  } finally {
    clearTimeout(timer)
  }
}

/** Pauses that end early when they are closed. */
class Pauses {
  readonly #open = new Set<() => void>()
  #isClosed = false

  /** True when the time is up, false when the pause was ended. */
  pause(ms: number): Promise<boolean> {
    if (this.#isClosed) return Promise.resolve(false)
    return new Promise((resolve) => {
      const end = () => {
        clearTimeout(timer)
        this.#open.delete(end)
        resolve(!this.#isClosed)
      }
      const timer = setTimeout(end, ms)
      this.#open.add(end)
    })
  }

  close(): void {
    this.#isClosed = true
    for (const end of [...this.#open]) end()
  }
}
