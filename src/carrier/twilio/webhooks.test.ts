// The webhooks over real HTTP: forgeries, bad bodies, repeats, drain, full, and a call control that fails.
import assert from 'node:assert/strict'
import { request as httpRequest } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, test } from 'node:test'
import { type FastifyInstance, fastify } from 'fastify'
import { getExpectedTwilioSignature } from 'twilio/lib/webhooks/webhooks.js'
import type {
  Answer,
  CallControl,
  CallOffer,
  NextQuestion,
  NextStep,
  Recording,
  WaitStep,
} from '../../call-control/call-control.ts'
import type { CarrierEndCause } from '../../call-control/carrier-calls.ts'
import { readConfig } from '../../config.ts'
import type { CallId, CallSid } from '../../kit/ids.ts'
import type { Log } from '../../kit/log.ts'
import { until } from '../../kit/testing/patience.ts'
import { FORM_FIELDS_MAX, twilioWebhooks } from './webhooks.ts'

const TOKEN = '12345678901234567890123456789012'
const BASE = 'https://voice.example.test'
const OVERRIDES = '#ct=1500&amp;rt=4000&amp;tt=14000&amp;rc=3&amp;rp=all'
const CALL = 'CA00000000000000000000000000000001' as CallSid
const grant = {
  kind: 'stream' as const,
  callId: 'call_1' as CallId,
  token: 'tok',
  pod: 'pod-1',
}
const fields = { CallSid: CALL, From: '+15005550006', To: '+15005550001', CallStatus: 'ringing', Direction: 'inbound' }

/** A call control that keeps what it was asked and answers as told. */
class ToldCallControl implements CallControl {
  offers: CallOffer[] = []
  events: unknown[] = []
  answer: () => Answer | Promise<Answer> = () => grant
  step: () => NextStep | Promise<NextStep> = () => ({ kind: 'hang-up' })
  offer(offer: CallOffer) {
    this.offers.push(offer)
    return this.answer()
  }
  next(callSid: CallSid, { transfer }: NextQuestion) {
    this.events.push(['next', callSid, transfer?.outcome])
    return this.step()
  }
  ended(callSid: CallSid, cause: CarrierEndCause) {
    this.events.push(['ended', callSid, cause])
  }
  streamFailed(callSid: CallSid, error?: string) {
    this.events.push(['stream', callSid, error])
  }
  wait(callSid: CallSid): WaitStep {
    this.events.push(['wait', callSid])
    return { kind: 'gone' }
  }
  async callBackWanted({ callSid }: CallOffer) {
    this.events.push(['call-back', callSid])
    return 'taken' as const
  }
  messageLeft(callSid: CallSid) {
    this.events.push(['message', callSid])
  }
  recorded(callSid: CallSid, { recordingSid }: Recording) {
    this.events.push(['recording', callSid, recordingSid])
  }
}

const apps: FastifyInstance[] = []
after(() => Promise.all(apps.map((app) => app.close())))

async function open(env: Record<string, string> = {}, bounds: { inFlightMax?: number; answerMs?: number } = {}) {
  const read = readConfig({ PUBLIC_BASE_URL: BASE, TWILIO_AUTH_TOKEN: TOKEN, ...env })
  assert.equal(read.kind, 'ok')
  if (read.kind !== 'ok') throw new Error('unreached')
  const callControl = new ToldCallControl()
  const lines: [string, Record<string, unknown>][] = []
  const keep = (fields: object, message: string) => void lines.push([message, fields as Record<string, unknown>])
  const log: Log = { debug: keep, info: keep, warn: keep, error: keep, child: () => log }
  const app = fastify()
  apps.push(app)
  await app.register(twilioWebhooks, { config: read.config, callControl, log, ...bounds })
  const post = (path: string, body: Record<string, string>, headers: Record<string, string> = {}) => {
    const signature = getExpectedTwilioSignature(TOKEN, BASE + path, body)
    return app.inject({
      method: 'POST',
      url: path,
      payload: new URLSearchParams(body).toString(),
      headers: {
        'content-type': 'application/x-www-form-urlencoded',
        'x-twilio-signature': signature,
        host: 'evil.example',
        ...headers,
      },
    })
  }
  return { app, callControl, lines, post }
}

test('a call that enters is connected to its stream, and its fields reach call control', async () => {
  const { callControl, post } = await open()
  const reply = await post('/twilio/voice?tenant=7', fields)
  assert.equal(reply.statusCode, 200)
  assert.equal(reply.headers['content-type'], 'text/xml; charset=utf-8')
  assert.equal(
    reply.body,
    '<?xml version="1.0" encoding="UTF-8"?><Response>' +
      `<Connect action="${BASE}/twilio/next?pod=pod-1${OVERRIDES}" method="POST">` +
      `<Stream url="wss://voice.example.test/media/pod-1/${CALL}/tok" statusCallback="${BASE}/twilio/stream-status" statusCallbackMethod="POST">` +
      '<Parameter name="callId" value="call_1"/></Stream></Connect>' +
      `<Redirect method="POST">${BASE}/twilio/next?pod=pod-1${OVERRIDES}</Redirect></Response>`,
  )
  assert.deepEqual(callControl.offers[0], {
    callSid: CALL,
    from: '+15005550006',
    to: '+15005550001',
    direction: 'inbound',
  })
})

test('[WH1] a missing and a forged signature get 403 on every path and call control hears nothing', async () => {
  const { app, callControl, post, lines } = await open()
  for (const path of ['/twilio/voice', '/twilio/next', '/twilio/status', '/twilio/stream-status']) {
    const bare = await app.inject({
      method: 'POST',
      url: path,
      payload: `CallSid=${CALL}`,
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
    })
    assert.equal(bare.statusCode, 403)
    assert.equal((await post(path, fields, { 'x-twilio-signature': 'AAAAAAAAAAAAAAAAAAAAAAAAAAA=' })).statusCode, 403)
    const ofOtherPath = getExpectedTwilioSignature(TOKEN, `${BASE}/twilio/other`, fields)
    assert.equal((await post(path, fields, { 'x-twilio-signature': ofOtherPath })).statusCode, 403)
  }
  assert.deepEqual([callControl.offers, callControl.events], [[], []])
  assert.equal(lines.filter(([, { code }]) => code === 'WEBHOOK_REFUSED').length, 12)
})

test('[P70][WH13] a signed webhook of another account than ours is refused on every path, before call control hears of it', async () => {
  const ours = `AC${'a'.repeat(32)}`
  const { callControl, lines, post } = await open({ TWILIO_ACCOUNT_SID: ours })
  const paths = ['voice', 'next', 'status', 'stream-status', 'call-back', 'voicemail', 'recording', 'message']
  for (const path of [...paths, `wait/${CALL}`]) {
    const reply = await post(`/twilio/${path}`, { ...fields, AccountSid: `AC${'b'.repeat(32)}` })
    assert.equal(reply.statusCode, 403, path)
  }
  assert.deepEqual([callControl.offers, callControl.events], [[], []])
  const line = lines.find(([, { reason }]) => reason === 'another account')
  assert.match(String(line?.[1].fix), /TWILIO_ACCOUNT_SID/)
  assert.equal((await post('/twilio/voice', { ...fields, AccountSid: ours })).statusCode, 200)
  const { post: postToAny } = await open()
  assert.equal((await postToAny('/twilio/voice', { ...fields, AccountSid: ours })).statusCode, 200)
})

test('[WH1] the line of a forged signature names the address that was checked, without its query, and what to compare', async () => {
  const { post, lines } = await open()
  const wrong = getExpectedTwilioSignature(TOKEN, 'https://voice.other.test/twilio/next?secret=1', fields)
  assert.equal((await post('/twilio/next?secret=1', fields, { 'x-twilio-signature': wrong })).statusCode, 403)
  const [, line] = lines.find(([, { code }]) => code === 'WEBHOOK_REFUSED')!
  assert.equal(line.checkedUrl, `${BASE}/twilio/next`)
  assert.match(String(line.fix), /PUBLIC_BASE_URL/)
  assert.doesNotMatch(JSON.stringify(lines), /secret|AAAA|5005550006/)
})

test('[WH1] the Host header does not move the URL that is verified', async () => {
  const { post } = await open()
  const signature = getExpectedTwilioSignature(TOKEN, 'https://evil.example/twilio/voice', fields)
  assert.equal((await post('/twilio/voice', fields, { 'x-twilio-signature': signature })).statusCode, 403)
})

test('[WH1] a bad Call SID, a repeated one, none, and a body of another type get 4xx as XML', async () => {
  const { app, callControl, post } = await open()
  assert.equal((await post('/twilio/voice', { ...fields, CallSid: 'CA1' })).statusCode, 400)
  assert.equal((await post('/twilio/voice', { ...fields, CallSid: `${CALL}/../x` })).statusCode, 400)
  assert.equal((await post('/twilio/voice', { From: '+15005550006' })).statusCode, 400)
  const twice = getExpectedTwilioSignature(TOKEN, `${BASE}/twilio/voice`, { CallSid: [CALL, `${CALL.slice(0, -1)}2`] })
  const send = (payload: string, type: string, signature = 'AAAAAAAAAAAAAAAAAAAAAAAAAAA=') =>
    app.inject({
      method: 'POST',
      url: '/twilio/voice',
      payload,
      headers: { 'content-type': type, 'x-twilio-signature': signature },
    })
  const form = 'application/x-www-form-urlencoded'
  assert.equal((await send(`CallSid=${CALL}&CallSid=${CALL.slice(0, -1)}2`, form, twice)).statusCode, 400)
  assert.equal((await send('%E0%A4%A&&&===', form)).statusCode, 403)
  const json = await send('{"CallSid":1}', 'application/json')
  assert.equal(json.statusCode, 415)
  assert.equal(json.headers['content-type'], 'text/xml; charset=utf-8')
  assert.deepEqual(callControl.offers, [])
})

test('[WH1] a body over 16 kB gets 413, one just under it is read', async () => {
  const { post } = await open()
  assert.equal((await post('/twilio/voice', { ...fields, Big: 'x'.repeat(16_400) })).statusCode, 413)
  assert.equal((await post('/twilio/voice', { ...fields, Big: 'x'.repeat(16_000) })).statusCode, 200)
})

test('[S5] [WH1] a form of more fields than are read gets 400 unparsed, one of just as many is read', async () => {
  const { post, callControl } = await open()
  const own = Object.keys(fields).length
  const many = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, i) => [`f${i}`, '']))
  assert.equal((await post('/twilio/voice', { ...fields, ...many(FORM_FIELDS_MAX - own + 1) })).statusCode, 400)
  assert.deepEqual(callControl.offers, [])
  assert.equal((await post('/twilio/voice', { ...fields, ...many(FORM_FIELDS_MAX - own) })).statusCode, 200)
})

test('[WH2] two webhooks of one call at once share one offer and one answer', async () => {
  const { callControl, post } = await open()
  let count = 0
  callControl.answer = async () => {
    count += 1
    await new Promise((resolve) => setTimeout(resolve, 20))
    return { ...grant, token: `tok-${count}` }
  }
  const [first, second] = await Promise.all([post('/twilio/voice', fields), post('/twilio/voice', fields)])
  assert.equal(first.statusCode, 200)
  assert.equal(first.body, second.body)
  assert.equal(count, 1)
})

test('[CALL-3][WH3] draining gives 503 with Retry-After; full gives a sentence, or the human when there is one', async () => {
  const plain = await open()
  plain.callControl.answer = () => ({ kind: 'busy', reason: 'draining' })
  const draining = await plain.post('/twilio/voice', fields)
  assert.equal(draining.statusCode, 503)
  assert.equal(draining.headers['retry-after'], '5')
  plain.callControl.answer = () => ({ kind: 'busy', reason: 'full' })
  const full = await plain.post('/twilio/voice', fields)
  assert.equal(full.statusCode, 200)
  assert.match(full.body, /<Say language="en-US">.*busy.*<\/Say><Hangup\/>/)
  const human = await open({ FALLBACK_NUMBER: '+15005550009' })
  human.callControl.answer = () => ({ kind: 'busy', reason: 'full' })
  assert.match((await human.post('/twilio/voice', fields)).body, /<Dial .*<Number>\+15005550009<\/Number>/)
})

test('[WH4] a call control that throws, rejects or stalls gives an apology, never a 500', async () => {
  const { callControl, post, lines } = await open({}, { answerMs: 30 })
  const failures: (() => Promise<Answer>)[] = [
    () => {
      throw new Error('boom')
    },
    () => Promise.reject(new Error('lost')),
    () => new Promise(() => {}),
  ]
  for (const failure of failures) {
    callControl.answer = failure
    const reply = await post('/twilio/voice', fields)
    assert.equal(reply.statusCode, 200)
    assert.match(reply.body, /<Say language="en-US">.*sorry.*<\/Say><Hangup\/>/)
  }
  const codes = lines.map(([, { code }]) => code).filter((code) => code !== undefined)
  assert.deepEqual(codes, ['WEBHOOK_FAILED', 'WEBHOOK_FAILED', 'CALL_CONTROL_STALLED'])
  callControl.answer = () => grant
  assert.match((await post('/twilio/voice', fields)).body, /<Connect/)
})

test('the end of a call reaches call control from the status callback and from a late next', async () => {
  const { callControl, post } = await open()
  for (const CallStatus of ['ringing', 'in-progress', 'completed', 'no-answer']) {
    assert.equal((await post('/twilio/status', { ...fields, CallStatus })).statusCode, 200)
  }
  assert.match((await post('/twilio/next', { ...fields, CallStatus: 'completed' })).body, /<Response\/>/)
  const stream = { ...fields, StreamEvent: 'stream-error', StreamError: '31924' }
  assert.equal((await post('/twilio/stream-status', stream)).statusCode, 200)
  assert.deepEqual(callControl.events, [
    ['ended', CALL, 'caller-hung-up'],
    ['ended', CALL, 'carrier-lost'],
    ['ended', CALL, 'caller-hung-up'],
    ['stream', CALL, '31924'],
  ])
})

test('[WH5] over the bound of signed requests in flight a further one gets 503, and places come back with the answers', async () => {
  const { callControl, post, lines } = await open({}, { inFlightMax: 2 })
  const answers: (() => void)[] = []
  callControl.answer = () => new Promise((resolve) => answers.push(() => resolve(grant)))
  const other = (digit: number) => ({ ...fields, CallSid: `${CALL.slice(0, -1)}${digit}` })
  const held = [post('/twilio/voice', other(2)), post('/twilio/voice', other(3))]
  await until('it', async () => answers.length === 2)
  const refused = await post('/twilio/voice', fields)
  assert.equal(refused.statusCode, 503)
  assert.equal(refused.headers['retry-after'], '1')
  assert.equal((await post('/twilio/voice', fields)).statusCode, 503)
  assert.equal(lines.filter(([, { code }]) => code === 'WEBHOOK_OVERLOAD').length, 1)
  assert.equal(callControl.offers.length, 2)
  for (const answer of answers) answer()
  assert.deepEqual(
    (await Promise.all(held)).map(({ statusCode }) => statusCode),
    [200, 200],
  )
  for (let n = 0; n < 5; n++) assert.equal((await post('/twilio/status', fields)).statusCode, 200)
})

test('[S2] [WH5] requests whose bodies do not come take no place of signed ones', async () => {
  const { app, post } = await open({}, { inFlightMax: 2 })
  const { port } = await listen(app)
  const headers = {
    'content-type': 'application/x-www-form-urlencoded',
    'x-twilio-signature': 'AAAAAAAAAAAAAAAAAAAAAAAAAAA=',
    'content-length': '16000',
  }
  const hung = Array.from({ length: 50 }, () => {
    const request = httpRequest({ port, host: '127.0.0.1', method: 'POST', path: '/twilio/voice', headers })
    request.on('error', () => {})
    request.write('CallSid=')
    return request
  })
  let reading = 0
  app.server.on('request', () => {
    reading += 1
  })
  for (let n = 0; n < 20; n++) assert.equal((await post('/twilio/voice', fields)).statusCode, 200)
  await until('it', async () => reading >= hung.length)
  for (let n = 0; n < 20; n++) assert.equal((await post('/twilio/voice', fields)).statusCode, 200)
  for (const request of hung) request.destroy()
})

test('[WH6] numbers are logged under pii. only', async () => {
  const { post, lines } = await open()
  await post('/twilio/voice', fields)
  for (const [message, record] of lines) {
    assert.doesNotMatch(message, /1500555/)
    for (const [key, value] of Object.entries(record)) {
      if (!key.startsWith('pii.')) assert.doesNotMatch(String(value), /1500555/)
    }
  }
  assert.equal(
    lines.some(([, record]) => record['pii.from'] === '+15005550006'),
    true,
  )
})

test('with checks off for loopback an unsigned webhook enters', async () => {
  const { app } = await open({ PUBLIC_BASE_URL: '', TWILIO_AUTH_TOKEN: '' })
  const reply = await app.inject({
    method: 'POST',
    url: '/twilio/voice',
    payload: new URLSearchParams(fields).toString(),
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
  })
  assert.match(reply.body, /<Stream url="ws:\/\/127.0.0.1:8080\/media/)
})

async function listen(app: FastifyInstance): Promise<AddressInfo> {
  await app.listen({ host: '127.0.0.1', port: 0 })
  return app.server.address() as AddressInfo
}

test('[P34] a webhook that comes with GET gets 405, and the log says how to set it', async () => {
  const { app, callControl, lines } = await open()
  const address = await app.listen({ host: '127.0.0.1', port: 0 })
  const headers = {
    'x-twilio-signature': getExpectedTwilioSignature(TOKEN, `${BASE}/twilio/voice?CallSid=${CALL}`, {}),
  }
  const reply = await fetch(`${address}/twilio/voice?CallSid=${CALL}`, { headers })
  assert.deepEqual([reply.status, reply.headers.get('allow')], [405, 'POST'])
  const told = lines.filter(([message]) => /POST/.test(message)).map(([, { path, method }]) => [path, method])
  assert.deepEqual(told, [['/twilio/voice', 'GET']])
  assert.deepEqual(callControl.offers, [])
  assert.equal((await fetch(`${address}/twilio/voice`)).status, 403, 'a stranger is refused as before')
})

test('[S22] [WH12] an address that is too long is refused on every path, and a long name is cut', async () => {
  const { callControl, post } = await open()
  for (const name of ['From', 'To', 'Caller', 'Called', 'ForwardedFrom'])
    for (const path of [
      '/twilio/voice',
      `/twilio/wait/${CALL}`,
      '/twilio/next',
      '/twilio/call-back',
      '/twilio/voicemail',
    ])
      assert.equal((await post(path, { ...fields, [name]: `+${'1'.repeat(256)}` })).statusCode, 400, `${name} ${path}`)
  assert.deepEqual([callControl.offers, callControl.events], [[], []])
  const from = `sip:${'a'.repeat(252)}`
  const sent = { ...fields, From: from, CallerName: 'n'.repeat(5_000), ToCity: 'c'.repeat(5_000) }
  assert.equal((await post('/twilio/voice', sent)).statusCode, 200)
  assert.equal(callControl.offers[0]?.from, from)
  const failed = { ...fields, StreamEvent: 'stream-error', StreamError: 'e'.repeat(5_000) }
  assert.equal((await post('/twilio/stream-status', failed)).statusCode, 200)
  assert.deepEqual(callControl.events, [['stream', CALL, 'e'.repeat(256)]])
})

test('[CALL-7][S22] [WH11] a call that is over for the carrier does not enter', async () => {
  const { callControl, post } = await open()
  const over = ['completed', 'busy', 'failed', 'no-answer', 'canceled']
  for (const CallStatus of over) {
    const reply = await post('/twilio/voice', { ...fields, CallStatus })
    assert.deepEqual([reply.statusCode, /<Response\/>/.test(reply.body)], [200, true], CallStatus)
  }
  assert.deepEqual(callControl.offers, [])
  assert.deepEqual(
    callControl.events,
    // [STW1]
    ['caller-hung-up', 'carrier-lost', 'carrier-lost', 'carrier-lost', 'caller-hung-up'].map((cause) => [
      'ended',
      CALL,
      cause,
    ]),
  )
})
