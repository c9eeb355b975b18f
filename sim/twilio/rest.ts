// The carrier's REST API for calls, as far as the official client uses it: create, update, fetch.
// P1: Basic auth with the account SID and either token; otherwise 401 code 20003.
// P2: a call that is over or unknown cannot be updated: 404 code 20404.
// P3: Url and Twiml together: Url wins, 32019 is noted.
// P4: bodies are at most BODY_BYTES_MAX.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Call, TwimlSource } from './call/call.ts'
import type { CallbackTarget } from './http/callbacks.ts'
import type { TwilioSimOptions } from './options.ts'

const BODY_BYTES_MAX = 256 * 1024
const TWIML_CHARS_MAX = 4000
const API = '/2010-04-01'

export type OutboundRequest = {
  to: string
  from: string
  source: TwimlSource
  fallbackUrl?: string
  statusTarget?: CallbackTarget
  statusEvents: string[]
}
export type RestServer = {
  url: string
  onCreate(create: (request: OutboundRequest) => Call): void
  close(): Promise<void>
}
/** `isLost`: the connection breaks before it is sent. */
type Answer = { status: number; body: Record<string, unknown>; isLost?: true }

function problem(status: number, code: number, message: string): Answer {
  return { status, body: { code, message, more_info: `https://www.twilio.com/docs/errors/${code}`, status } }
}

function methodOf(text: string | null): 'GET' | 'POST' {
  return text?.toUpperCase() === 'GET' ? 'GET' : 'POST'
}

function sourceOf(form: URLSearchParams): TwimlSource | undefined {
  const url = form.get('Url')
  const xml = form.get('Twiml')
  if (url !== null) return { kind: 'url', url, method: methodOf(form.get('Method')) }
  return xml === null ? undefined : { kind: 'text', xml }
}

function resource(call: Call, accountSid: string): Record<string, unknown> {
  const { plan } = call
  const isOver = call.isOver
  const uri = `${API}/Accounts/${accountSid}/Calls/${call.callSid}`
  return {
    sid: call.callSid,
    account_sid: accountSid,
    parent_call_sid: null,
    phone_number_sid: null,
    api_version: '2010-04-01',
    from: plan.from,
    from_formatted: plan.from,
    to: plan.to,
    to_formatted: plan.to,
    direction: plan.direction,
    status: call.status,
    date_created: call.createdAt.toUTCString(),
    date_updated: new Date().toUTCString(),
    start_time: call.createdAt.toUTCString(),
    end_time: isOver ? new Date().toUTCString() : null,
    duration: isOver ? String(Math.ceil(call.talkedMs / 1000)) : null,
    price: null,
    price_unit: 'USD',
    answered_by: null,
    forwarded_from: null,
    caller_name: null,
    group_sid: null,
    trunk_sid: null,
    annotation: null,
    queue_time: '0',
    uri: `${uri}.json`,
    subresource_uris: { streams: `${uri}/Streams.json`, recordings: `${uri}/Recordings.json` },
  }
}

class CallsApi {
  create: ((request: OutboundRequest) => Call) | undefined
  private readonly options: TwilioSimOptions
  private readonly find: (callSid: string) => Call | undefined
  private readonly refusals: { status: number; code: number }[]
  private readonly createFaults: NonNullable<TwilioSimOptions['createFaults']>
  private readonly calls: () => Call[]

  constructor(options: TwilioSimOptions, find: (callSid: string) => Call | undefined, calls: () => Call[]) {
    this.options = options
    this.find = find
    this.createFaults = [...(options.createFaults ?? [])]
    this.calls = calls
    this.refusals = [...(options.restRefusals ?? [])]
  }

  answer(method: string, path: string, authorization: string | undefined, form: URLSearchParams): Answer {
    const { accountSid, authToken, secondaryToken } = this.options
    const allowed = [authToken, secondaryToken].map((token) => `Basic ${btoa(`${accountSid}:${token}`)}`)
    if (
      authorization === undefined ||
      !allowed.slice(0, secondaryToken === undefined ? 1 : 2).includes(authorization)
    ) {
      return problem(401, 20003, 'Authenticate')
    }
    const refusal = this.refusals.shift()
    if (refusal !== undefined) return problem(refusal.status, refusal.code, 'refused by a fault of the simulator')
    const calls = `${API}/Accounts/${accountSid}/Calls`
    if (path === `${calls}.json` && method === 'POST') return this.faultyCreate(form)
    if (path === `${calls}.json` && method === 'GET') return this.list(form)
    const callSid = new RegExp(`^${calls}/(CA[0-9a-f]{32})\\.json$`).exec(path)?.[1]
    const call = callSid === undefined ? undefined : this.find(callSid)
    if (call === undefined) return problem(404, 20404, `The requested resource ${path} was not found`)
    if (method === 'GET') return { status: 200, body: resource(call, accountSid) }
    return method === 'POST' ? this.update(call, form) : problem(405, 20004, 'Method not allowed')
  }

  private faultyCreate(form: URLSearchParams): Answer {
    const fault = this.createFaults.shift() ?? 'none'
    if (fault === 'request-lost') return { ...problem(503, 20503, 'lost'), isLost: true }
    const answer = this.createCall(form)
    return fault === 'answer-lost' ? { ...answer, isLost: true } : answer
  }

  /** Newest first, one page. */
  private list(query: URLSearchParams): Answer {
    const { accountSid } = this.options
    const fits = (name: string, value: string): boolean => !query.has(name) || query.get(name) === value
    const found = this.calls()
      .filter(({ plan }) => fits('To', plan.to) && fits('From', plan.from))
      .reverse()
      .slice(0, Number(query.get('PageSize') ?? 50))
    const uri = `${API}/Accounts/${accountSid}/Calls.json`
    const page = { page: 0, page_size: found.length, start: 0, end: found.length, uri, first_page_uri: uri }
    const calls = found.map((call) => resource(call, accountSid))
    return { status: 200, body: { ...page, next_page_uri: null, previous_page_uri: null, calls } }
  }

  private createCall(form: URLSearchParams): Answer {
    const to = form.get('To') ?? ''
    const from = form.get('From') ?? ''
    const source = sourceOf(form)
    if (!/^(\+[1-9]\d{6,14}|client:.+|sip:.+)$/.test(to)) return problem(400, 21211, `Invalid 'To' Phone Number: ${to}`)
    if (from === '') return problem(400, 21213, "A 'From' phone number is required")
    if (source === undefined) return problem(400, 21205, 'Url parameter is required')
    if (source.kind === 'text' && source.xml.length > TWIML_CHARS_MAX) return problem(400, 21218, 'Twiml is too long')
    const statusUrl = form.get('StatusCallback')
    const events = form.getAll('StatusCallbackEvent')
    const call = this.create!({
      to,
      from,
      source,
      fallbackUrl: form.get('FallbackUrl') ?? undefined,
      statusTarget:
        statusUrl === null ? undefined : { url: statusUrl, method: methodOf(form.get('StatusCallbackMethod')) },
      statusEvents: events.length === 0 ? ['completed'] : events,
    })
    return { status: 201, body: resource(call, this.options.accountSid) }
  }

  private update(call: Call, form: URLSearchParams): Answer {
    if (call.isOver) return problem(404, 20404, `Call ${call.callSid} is over`)
    const status = form.get('Status')
    const source = sourceOf(form)
    if (form.has('Url') && form.has('Twiml')) call.record.warn(32019, 'Url and Twiml both given; Url wins')
    if (status === 'completed' || status === 'canceled') {
      if (status === 'canceled' && call.status === 'in-progress') return problem(400, 21220, 'Call is in progress')
      call.record.note('rest-hang-up', { status })
      call.interrupt({ kind: 'hang-up', cause: 'rest-completed' })
    } else if (source !== undefined) {
      if (call.status !== 'in-progress') return problem(400, 21220, 'Call is not in-progress')
      if (source.kind === 'text' && /(action|url)="(?![a-z]+:)/i.test(source.xml)) {
        call.record.warn(15004, 'relative URL in Twiml of a live call')
      }
      call.record.note('rest-redirect', { url: source.kind === 'url' ? source.url : undefined })
      call.interrupt({ kind: 'redirect', source })
    }
    return { status: 200, body: resource(call, this.options.accountSid) }
  }
}

async function readForm(request: IncomingMessage): Promise<URLSearchParams | undefined> {
  const pieces: Buffer[] = []
  let bytes = 0
  for await (const piece of request as AsyncIterable<Buffer>) {
    bytes += piece.length
    if (bytes > BODY_BYTES_MAX) return undefined
    pieces.push(piece)
  }
  return new URLSearchParams(Buffer.concat(pieces).toString('utf8'))
}

async function respond(api: CallsApi, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const form = await readForm(request)
  const { pathname: path, searchParams } = new URL(request.url ?? '/', 'http://rest')
  const { status, body, isLost } =
    form === undefined
      ? problem(413, 20001, 'Body too large')
      : api.answer(
          request.method ?? 'GET',
          path,
          request.headers.authorization,
          request.method === 'GET' ? searchParams : form,
        )
  if (isLost === true) {
    request.socket.destroy()
    return
  }
  response.writeHead(status, { 'Content-Type': 'application/json;charset=utf-8' })
  response.end(JSON.stringify(body))
}

/** Opens the REST server on 127.0.0.1. */
export async function openRest(
  options: TwilioSimOptions,
  find: (callSid: string) => Call | undefined,
  calls: () => Call[],
): Promise<RestServer> {
  const api = new CallsApi(options, find, calls)
  const server: Server = createServer((request, response) => {
    respond(api, request, response).catch(() => response.destroy())
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(options.restPort ?? 0, '127.0.0.1', resolve)
  })
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    onCreate(create) {
      api.create = create
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}
