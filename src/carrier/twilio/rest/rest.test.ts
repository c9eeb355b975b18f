// The REST client against a small server on a real socket: outcomes, bounds, retries, and what the log may hold.
import assert from 'node:assert/strict'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, test } from 'node:test'
import type { CallSid } from '../../../kit/ids.ts'
import type { Log } from '../../../kit/log.ts'
import { startWatch, until } from '../../../kit/testing/patience.ts'
import { type CarrierRest, openCarrierRest, REST_TRIES_MAX, type RestOptions } from './rest.ts'

const ACCOUNT = `AC${'0'.repeat(31)}1`
const TOKEN = 'primary-token-of-the-tests-00000'
const SECOND = 'secondary-token-of-the-tests-000'
const CALL = `CA${'0'.repeat(31)}1` as CallSid
const URL_NEXT = 'https://voice.example.test/twilio/next?pod=pod-2'

type Seen = { method: string; path: string; authorization: string; form: URLSearchParams; atMs: number }
type Answer = { status: number; body?: object; headers?: Record<string, string>; afterMs?: number }

const closers: (() => unknown)[] = []
after(() => Promise.all(closers.map((close) => close())))

async function open(answer: (seen: Seen, index: number) => Answer, more: Partial<RestOptions> = {}) {
  const seen: Seen[] = []
  const busy = { now: 0, most: 0 }
  const server = createServer(async (request, response) => {
    busy.most = Math.max(busy.most, ++busy.now)
    const form = new URLSearchParams(await bodyOf(request))
    const { method = '', url: path = '', headers } = request
    const one = { method, path, authorization: headers.authorization ?? '', form, atMs: performance.now() }
    const { status, body = {}, headers: more = {}, afterMs = 0 } = answer(one, seen.push(one) - 1)
    if (afterMs > 0) await new Promise((resolve) => setTimeout(resolve, afterMs))
    busy.now -= 1
    response.writeHead(status, { 'content-type': 'application/json', ...more }).end(JSON.stringify(body))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const lines: string[] = []
  const keep = (fields: object, message: string) => void lines.push(`${message} ${JSON.stringify(fields)}`)
  const log: Log = { debug: keep, info: keep, warn: keep, error: keep, child: () => log }
  const baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const rest: CarrierRest = await openCarrierRest({ accountSid: ACCOUNT, authTokens: [TOKEN], baseUrl, log, ...more })
  closers.push(() => {
    rest.close()
    server.closeAllConnections()
    return new Promise((resolve) => server.close(resolve))
  })
  return { rest, seen, lines, busy }
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  let text = ''
  for await (const piece of request) text += String(piece)
  return text
}

const basic = (token: string) => `Basic ${btoa(`${ACCOUNT}:${token}`)}`

test('[RC4] a redirect and a status go out as the carrier wants them, and their outcomes are values', async () => {
  const { rest, seen } = await open(() => ({ status: 200, body: { sid: CALL, status: 'in-progress' } }))
  assert.deepEqual(await rest.redirectCall(CALL, URL_NEXT), { kind: 'redirected' })
  assert.deepEqual(await rest.callStatus(CALL), { kind: 'known', status: 'in-progress' })
  const path = `/2010-04-01/Accounts/${ACCOUNT}/Calls/${CALL}.json`
  assert.deepEqual(
    seen.map((one) => [one.method, one.path, one.authorization]),
    [
      ['POST', path, basic(TOKEN)],
      ['GET', path, basic(TOKEN)],
    ],
  )
  assert.deepEqual(Object.fromEntries(seen[0]!.form), { Url: URL_NEXT, Method: 'POST' })
})

test('[RC4] a call that is over is no failure and no line in the log', async () => {
  const over = { status: 404, body: { code: 20404, message: 'not found', status: 404 } }
  const { rest, lines } = await open((_seen, index) =>
    index === 1 ? { status: 400, body: { code: 21220, message: 'Call is not in-progress' } } : over,
  )
  assert.deepEqual(await rest.redirectCall(CALL, URL_NEXT), { kind: 'over' })
  assert.deepEqual(await rest.redirectCall(CALL, URL_NEXT), { kind: 'over' })
  assert.deepEqual(await rest.callStatus(CALL), { kind: 'unknown' })
  assert.deepEqual(lines, [])
})

test('[RC2] 429 is asked again after its Retry-After', async () => {
  const { rest, seen } = await open((_seen, index) =>
    index === 0 ? { status: 429, headers: { 'retry-after': '0.2' } } : { status: 200, body: { status: 'completed' } },
  )
  assert.deepEqual(await rest.callStatus(CALL), { kind: 'known', status: 'completed' })
  const pauseMs = seen[1]!.atMs - seen[0]!.atMs
  assert.ok(pauseMs >= 190 && pauseMs < 2_000, `asked again after ${pauseMs} ms`)
})

test('[RC2] 429 again and again is given up after REST_TRIES_MAX', async () => {
  const body = { code: 20429, message: 'Too Many Requests', status: 429 }
  const { rest, seen } = await open(() => ({ status: 429, headers: { 'retry-after': '0' }, body }))
  assert.deepEqual(await rest.redirectCall(CALL, URL_NEXT), {
    kind: 'failed',
    status: 429,
    code: 20429,
    reason: 'Too Many Requests',
  })
  assert.equal(seen.length, REST_TRIES_MAX)
})

test('[RC3] a server error is not asked again', async () => {
  const { rest, seen } = await open(() => ({ status: 503, body: { message: 'away', code: 1, status: 503 } }))
  assert.equal((await rest.redirectCall(CALL, URL_NEXT)).kind, 'failed')
  assert.equal(seen.length, 1)
})

test('[RC1] fifty at once at most, and all of three hundred come through', async () => {
  const { rest, seen, busy } = await open(() => ({ status: 200, body: { status: 'in-progress' }, afterMs: 5 }))
  const asked = Array.from({ length: 300 }, () => rest.callStatus(CALL))
  await Promise.resolve()
  assert.deepEqual(rest.load, { active: 50, waiting: 250 })
  for (const answer of await Promise.all(asked)) assert.deepEqual(answer, { kind: 'known', status: 'in-progress' })
  assert.equal(seen.length, 300)
  assert.ok(busy.most <= 50 && busy.most > 10, `${busy.most} at once`)
  assert.deepEqual(rest.load, { active: 0, waiting: 0 })
})

test('[RC1] over the bound of waiting requests a question fails at once', async () => {
  const bounds = { activeMax: 1, waitingMax: 1 }
  const { rest } = await open(() => ({ status: 200, body: { status: 'in-progress' }, afterMs: 50 }), { bounds })
  const asked = [rest.callStatus(CALL), rest.callStatus(CALL), rest.callStatus(CALL)]
  assert.equal((await asked[2]!).kind, 'failed')
  assert.deepEqual([(await asked[0]!).kind, (await asked[1]!).kind], ['known', 'known'])
})

test('[RC4] a carrier that does not answer is given up after its time', async () => {
  const { rest } = await open(() => ({ status: 200, afterMs: 400 }), { bounds: { attemptMs: 60 } })
  const watch = startWatch()
  const answer = await rest.redirectCall(CALL, URL_NEXT)
  assert.equal(answer.kind, 'failed')
  assert.ok(watch.elapsedMs() < 350)
})

test('[RC5] no failure brings a token into the log or into its answer', async () => {
  const { rest, lines } = await open(() => ({ status: 401, body: { code: 20003, message: 'Authenticate' } }))
  const answers = [await rest.redirectCall(CALL, URL_NEXT)]
  const away = await openCarrierRest({
    accountSid: ACCOUNT,
    authTokens: [TOKEN],
    baseUrl: 'http://127.0.0.1:1',
    log: {
      debug() {},
      info() {},
      warn: (fields) => void lines.push(JSON.stringify(fields)),
      error() {},
      child: () => assert.fail(),
    },
  })
  answers.push(await away.redirectCall(CALL, URL_NEXT))
  assert.deepEqual(
    answers.map(({ kind }) => kind),
    ['failed', 'failed'],
  )
  assert.equal(lines.length, 2)
  const said = lines.join('\n') + JSON.stringify(answers)
  for (const secret of [TOKEN, btoa(`${ACCOUNT}:${TOKEN}`)]) assert.equal(said.includes(secret), false)
})

test('[RC6] a primary token that is refused is followed by the secondary one', async () => {
  const { rest, seen } = await open(
    ({ authorization }) =>
      authorization === basic(SECOND)
        ? { status: 200, body: { status: 'ringing' } }
        : { status: 401, body: { code: 20003, message: 'Authenticate' } },
    { authTokens: [TOKEN, SECOND] },
  )
  assert.deepEqual(await rest.callStatus(CALL), { kind: 'known', status: 'ringing' })
  assert.equal(seen.length, 2)
})

test('[RC2] closing ends a pause and refuses what comes later', async () => {
  const { rest, seen } = await open(() => ({ status: 429, headers: { 'retry-after': '20' } }))
  const asked = rest.callStatus(CALL)
  await until('it is asked', () => seen.length > 0)
  await new Promise((resolve) => setTimeout(resolve, 20))
  rest.close()
  assert.equal((await asked).kind, 'failed')
  assert.equal((await rest.callStatus(CALL)).kind, 'failed')
  assert.equal(seen.length, 1)
})

const NEW_CALL = {
  to: '+15005550006',
  from: '+15005550001',
  url: 'https://voice.example.test/twilio/voice?callBack=de',
  statusUrl: 'https://voice.example.test/twilio/status',
  ringSeconds: 30,
}

test('[P30][RC4] a call that is made goes out as the carrier wants it', async () => {
  const { rest, seen } = await open(() => ({ status: 201, body: { sid: CALL, status: 'queued' } }))
  assert.deepEqual(await rest.createCall(NEW_CALL), { kind: 'created', callSid: CALL })
  assert.deepEqual([seen[0]!.method, seen[0]!.path], ['POST', `/2010-04-01/Accounts/${ACCOUNT}/Calls.json`])
  assert.deepEqual(Object.fromEntries(seen[0]!.form), {
    To: NEW_CALL.to,
    From: NEW_CALL.from,
    Url: NEW_CALL.url,
    Method: 'POST',
    StatusCallback: NEW_CALL.statusUrl,
    StatusCallbackMethod: 'POST',
    StatusCallbackEvent: 'completed',
    Timeout: '30',
  })
})

test('[P30][RC3] a call is created once: what the carrier refuses is said, and no answer is unknown', async () => {
  for (const [status, kind] of [
    [400, 'refused'],
    [429, 'refused'],
    [500, 'unknown'],
    [503, 'unknown'],
  ] as const) {
    const body = { code: 21_211, message: 'said by the carrier', status }
    const { rest, seen } = await open(() => ({ status, body, headers: { 'retry-after': '0' } }))
    assert.equal((await rest.createCall(NEW_CALL)).kind, kind, String(status))
    assert.equal(seen.length, 1, `${status} was asked again`)
  }
  const late = await open(() => ({ status: 201, body: { sid: CALL }, afterMs: 400 }), { bounds: { attemptMs: 50 } })
  assert.equal((await late.rest.createCall(NEW_CALL)).kind, 'unknown')
  assert.equal(late.seen.length, 1)
})

test('[P30] calls that were made are found by their two numbers, the newest first', async () => {
  const made = (n: number, at: string) => ({
    sid: `CA${String(n).padStart(32, '0')}`,
    status: 'ringing',
    date_created: at,
  })
  const calls = [made(1, 'Tue, 01 Dec 2026 03:00:00 +0000'), made(2, 'Tue, 01 Dec 2026 03:00:09 +0000')]
  const { rest, seen } = await open(() => ({ status: 200, body: { calls, next_page_uri: null, page_size: 20 } }))
  const found = await rest.findCalls({ to: NEW_CALL.to, from: NEW_CALL.from })
  assert.equal(found.kind, 'found')
  if (found.kind !== 'found') return
  assert.deepEqual(
    found.calls.map(({ callSid, createdAtMs }) => [callSid.slice(-1), createdAtMs]),
    [
      ['2', Date.UTC(2026, 11, 1, 3, 0, 9)],
      ['1', Date.UTC(2026, 11, 1, 3, 0, 0)],
    ],
  )
  const { searchParams } = new URL(seen[0]!.path, 'http://x')
  assert.deepEqual([searchParams.get('To'), searchParams.get('From')], [NEW_CALL.to, NEW_CALL.from])
})
