import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import twilio from 'twilio'
import { FakePlane } from '../testing/fake-plane.ts'
import { type Attempt, sendWebhook, type WebhookAnswer } from './webhook.ts'

const TOKEN = '12345678901234567890123456789012'
const planes: FakePlane[] = []
after(async () => {
  for (const plane of planes) await plane.close()
})

async function startPlane(): Promise<FakePlane> {
  const plane = await new FakePlane().start()
  planes.push(plane)
  return plane
}

function post(url: string, attempts: Attempt[] = []): Promise<WebhookAnswer> {
  const params = { From: '+15005550006', FromCity: '' }
  return sendWebhook({
    url,
    method: 'POST',
    params,
    authToken: TOKEN,
    rewrites: {},
    onAttempt: (a) => attempts.push(a),
  })
}

test('[W1] a retried webhook carries one idempotency token and a valid signature each time', async () => {
  const plane = await startPlane()
  plane.onRequest = () => (plane.requests.length < 3 ? { status: 503 } : { body: '<Response/>' })
  const answer = await post(`${plane.base}/voice?t=7#rc=3&rp=5xx`)
  assert.equal(answer.kind, 'answered')
  assert.equal(answer.attempts, 3)
  assert.equal(new Set(plane.requests.map((seen) => seen.headers['i-twilio-idempotency-token'])).size, 1)
  for (const seen of plane.requests) {
    assert.equal(seen.path, '/voice?t=7')
    const signature = String(seen.headers['x-twilio-signature'])
    assert.ok(twilio.validateRequest(TOKEN, signature, `${plane.base}/voice?t=7`, seen.params))
  }
})

test('[W2] without a policy a 503 is not retried, a refused connection is retried once', async () => {
  const plane = await startPlane()
  plane.onRequest = () => ({ status: 503 })
  const answer = await post(`${plane.base}/voice`)
  assert.deepEqual([answer.kind, answer.attempts], ['failed', 1])
  const attempts: Attempt[] = []
  const refused = await post('http://127.0.0.1:1/voice', attempts)
  assert.equal(refused.kind === 'failed' && refused.errorCode, 11205)
  assert.equal(attempts.length, 2)
})

test('[W1] the read timeout and the total time end a slow webhook', async () => {
  const plane = await startPlane()
  plane.onRequest = () => ({ delayMs: 600, body: '<Response/>' })
  const slow = await post(`${plane.base}/voice#rt=100`)
  assert.deepEqual([slow.kind, slow.attempts], ['failed', 1])
  const before = performance.now()
  const total = await post(`${plane.base}/voice#rt=150&tt=400&rc=5&rp=rt`)
  const spentMs = performance.now() - before
  assert.equal(total.kind, 'failed')
  assert.ok(total.attempts >= 2 && spentMs < 550, `${total.attempts} attempts in ${spentMs} ms`)
})

test('[W3] redirects are followed, signed anew, and bounded', async () => {
  const plane = await startPlane()
  plane.onRequest = (seen) =>
    seen.path === '/a' ? { status: 307, headers: { Location: '/b' } } : { body: '<Response/>' }
  const answer = await post(`${plane.base}/a`)
  assert.equal(answer.kind === 'answered' && answer.url, `${plane.base}/b`)
  const last = plane.requests.at(-1)!
  assert.equal(last.method, 'POST')
  assert.ok(twilio.validateRequest(TOKEN, String(last.headers['x-twilio-signature']), `${plane.base}/b`, last.params))
  plane.onRequest = () => ({ status: 302, headers: { Location: '/again' } })
  const endless = await post(`${plane.base}/a`)
  assert.equal(endless.kind === 'failed' && endless.errorCode, 11215)
})
