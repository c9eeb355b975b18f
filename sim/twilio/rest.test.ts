import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import twilio from 'twilio'
import type { TwilioSim } from './sim.ts'
import { ACCOUNT_SID, AUTH_TOKEN, pairs } from './testing/pair.ts'

const pair = pairs(after)
const STAY = { steps: [{ stayMs: 20_000 }], maxMs: 20_000 }

/** The official client, its api.twilio.com led to the simulator. */
function clientOf(sim: TwilioSim, token = AUTH_TOKEN) {
  const inner = new twilio.RequestClient()
  const httpClient = {
    request: (options: Parameters<typeof inner.request>[0]) =>
      inner.request({ ...options, uri: options.uri.replace('https://api.twilio.com', sim.restUrl) }),
  }
  return twilio(ACCOUNT_SID, token, { httpClient: httpClient as unknown as typeof inner })
}

async function streamOpen(call: { once(event: string, act: () => void): unknown }): Promise<void> {
  await new Promise<void>((resolve) => call.once('stream-opened', resolve))
}

test('the official client creates a call: queued, rings, fetches its Url, and is heard of by callbacks', async () => {
  const { plane, sim } = await pair({
    outbound: () => ({ kind: 'answers', ringMs: 30, caller: { steps: [{ stayMs: 100 }], maxMs: 5000 } }),
  })
  const created = await clientOf(sim).calls.create({
    to: '+15005550009',
    from: '+15005550001',
    url: `${plane.base}/voice`,
    statusCallback: `${plane.base}/status`,
    statusCallbackEvent: ['initiated', 'ringing', 'answered', 'completed'],
  })
  assert.equal(created.status, 'queued')
  assert.equal(created.direction, 'outbound-api')
  assert.ok(created.dateCreated instanceof Date)
  const report = await sim.call(created.sid)!.done
  assert.equal(report.status, 'completed')
  assert.equal(plane.streams.length, 1)
  const statuses = plane.requests.filter((seen) => seen.path === '/status').map((seen) => seen.params)
  assert.deepEqual(
    statuses.map((params) => params.CallStatus),
    ['initiated', 'ringing', 'in-progress', 'completed'],
  )
  assert.deepEqual(
    statuses.map((params) => params.SequenceNumber),
    ['0', '1', '2', '3'],
  )
  assert.equal((await clientOf(sim).calls(created.sid).fetch()).status, 'completed')
})

test('an outbound call to a busy number ends busy without asking for TwiML', async () => {
  const { plane, sim } = await pair({ outbound: () => ({ kind: 'busy', ringMs: 10 }) })
  const created = await clientOf(sim).calls.create({ to: '+15005550009', from: '+1', twiml: '<Response/>' })
  assert.equal((await sim.call(created.sid)!.done).status, 'busy')
  assert.equal(plane.requests.length, 0)
})

test('the official client redirects a live call: stop, close, then the new TwiML', async () => {
  const { plane, sim } = await pair()
  const call = sim.placeCall({ caller: STAY })
  await streamOpen(call)
  const updated = await clientOf(sim).calls(call.callSid).update({ twiml: '<Response><Hangup/></Response>' })
  assert.equal(updated.sid, call.callSid)
  const report = await call.done
  assert.equal(await plane.streams[0]!.closed, 1000)
  assert.equal(plane.streams[0]!.messages.at(-1)!.message.event, 'stop')
  assert.equal(report.endCause, 'twiml-hangup')
  assert.equal(report.wasDropped, false)
})

test('the official client hangs up a live call; afterwards an update is 404 with 20404', async () => {
  const { sim } = await pair()
  const call = sim.placeCall({ caller: STAY })
  await streamOpen(call)
  const client = clientOf(sim)
  await client.calls(call.callSid).update({ status: 'completed' })
  assert.equal((await call.done).endCause, 'rest-completed')
  await assert.rejects(client.calls(call.callSid).update({ status: 'completed' }), { status: 404, code: 20404 })
  await assert.rejects(client.calls(`CA${'0'.repeat(32)}`).fetch(), { status: 404, code: 20404 })
})

test('Url wins over Twiml and 32019 is noted', async () => {
  const { plane, sim } = await pair()
  const call = sim.placeCall({ caller: STAY })
  await streamOpen(call)
  plane.onRequest = () => ({ body: '<Response><Hangup/></Response>' })
  await clientOf(sim)
    .calls(call.callSid)
    .update({ url: `${plane.base}/moved`, twiml: '<Response/>' })
  const report = await call.done
  assert.equal(plane.requests.at(-1)!.path, '/moved')
  assert.ok(report.warnings.some((warning) => warning.code === 32019))
})

test('[P1] a wrong token is refused, the secondary one accepted; refusals and bad numbers are told', async () => {
  const { sim } = await pair({ secondaryToken: 'second', restRefusals: [{ status: 429, code: 20429 }] })
  const fields = { to: '+15005550009', from: '+15005550001', twiml: '<Response/>' }
  await assert.rejects(clientOf(sim, 'wrong').calls.create(fields), { status: 401, code: 20003 })
  await assert.rejects(clientOf(sim, 'second').calls.create(fields), { status: 429, code: 20429 })
  const created = await clientOf(sim, 'second').calls.create(fields)
  assert.match(created.sid, /^CA[0-9a-f]{32}$/)
  await assert.rejects(clientOf(sim).calls.create({ ...fields, to: 'abc' }), { status: 400, code: 21211 })
})
