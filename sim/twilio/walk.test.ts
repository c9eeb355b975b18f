import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import twilio from 'twilio'
import type { CallerScript } from './sim.ts'
import type { FakePlane } from './testing/fake-plane.ts'
import { AUTH_TOKEN, pairs } from './testing/pair.ts'

const pair = pairs(after)
const PATIENT: CallerScript = { steps: [{ stayMs: 20_000 }], maxMs: 20_000 }

/** Answers each path with its TwiML. */
function route(plane: FakePlane, routes: Record<string, string>): void {
  plane.onRequest = (seen) => {
    const body = routes[seen.path]
    return body === undefined ? { status: 404 } : { body: `<Response>${body}</Response>` }
  }
}

test('every webhook is signed so that the official validateRequest accepts it', async () => {
  const { plane, sim } = await pair((plane) => ({ statusCallback: `${plane.base}/status` }))
  route(plane, { '/voice': '<Redirect>/next?x=1&amp;y=2</Redirect>', '/next?x=1&y=2': '<Hangup/>', '/status': '' })
  const report = await sim.placeCall({ caller: PATIENT }).done
  assert.deepEqual(
    plane.requests.map((seen) => seen.path),
    ['/voice', '/next?x=1&y=2', '/status'],
  )
  for (const seen of plane.requests) {
    const signature = String(seen.headers['x-twilio-signature'])
    assert.ok(twilio.validateRequest(AUTH_TOKEN, signature, plane.base + seen.path, seen.params), seen.path)
    assert.equal(seen.params.CallSid, report.callSid)
    assert.equal(seen.params.FromCity, '')
  }
  assert.deepEqual(
    plane.requests.map((seen) => seen.params.CallStatus),
    ['ringing', 'in-progress', 'completed'],
  )
  assert.equal(plane.requests[2]!.params.SequenceNumber, '0')
  assert.equal(report.endCause, 'twiml-hangup')
})

test('Say, Play, Pause, Dial and an unknown verb run in order and are reported', async () => {
  const { plane, sim } = await pair({ verbTimeScale: 0.01, dial: () => ({ status: 'busy', ms: 20 }) })
  route(plane, {
    '/voice': `<Say>Hello &amp; welcome</Say><Play>https://media.test/x.wav</Play><Pause length="2"/><Sing/>
      <Dial action="/dialled"><Number>+15005550009</Number></Dial><Say>never</Say>`,
    '/dialled': '<Hangup/>',
  })
  const report = await sim.placeCall({ caller: PATIENT }).done
  assert.deepEqual(report.verbs, [
    { verb: 'Say', detail: 'Hello & welcome' },
    { verb: 'Play', detail: 'https://media.test/x.wav' },
    { verb: 'Pause', detail: '2' },
    { verb: 'Dial', detail: '+15005550009' },
    { verb: 'Hangup', detail: '' },
  ])
  assert.equal(plane.requests[1]!.params.DialCallStatus, 'busy')
  assert.deepEqual(
    report.warnings.map((warning) => warning.code),
    [12200],
  )
})

test('Enqueue asks the waitUrl again and again, leaves by Leave, and tells the action', async () => {
  const { plane, sim } = await pair({ verbTimeScale: 0.01 })
  plane.onRequest = (seen) => {
    const rounds = plane.requests.filter((one) => one.path === '/wait').length
    const bodies: Record<string, string> = {
      '/voice': '<Enqueue waitUrl="/wait" action="/left">support</Enqueue>',
      '/wait': rounds < 3 ? '<Say>Please hold</Say>' : '<Leave/>',
      '/left': '<Hangup/>',
    }
    return { body: `<Response>${bodies[seen.path]}</Response>` }
  }
  await sim.placeCall({ caller: PATIENT }).done
  const waits = plane.requests.filter((seen) => seen.path === '/wait')
  assert.equal(waits.length, 3)
  assert.deepEqual([waits[0]!.params.QueuePosition, waits[0]!.params.CurrentQueueSize], ['1', '1'])
  assert.match(waits[0]!.params.QueueSid!, /^QU[0-9a-f]{32}$/)
  assert.equal(plane.requests.at(-1)!.params.QueueResult, 'leave')
})

test('a caller taken out of the queue is bridged, a full queue refuses', async () => {
  const { plane, sim } = await pair()
  route(plane, {
    '/voice': '<Enqueue waitUrl="/wait" action="/left" maxQueueSize="1">q</Enqueue>',
    '/wait': '<Pause length="5"/>',
    '/left': '<Hangup/>',
  })
  const first = sim.placeCall({ caller: PATIENT })
  while (plane.requests.length < 2) await new Promise((resolve) => setTimeout(resolve, 5))
  await sim.placeCall({ caller: PATIENT }).done
  assert.equal(sim.dequeue('q'), first.callSid)
  await first.done
  const results = plane.requests.filter((seen) => seen.path === '/left').map((seen) => seen.params.QueueResult)
  assert.deepEqual(results, ['queue-full', 'bridged'])
})

test('[A2] a webhook that fails goes to the fallback URL once, with the error', async () => {
  const { plane, sim } = await pair((plane) => ({ fallbackUrl: `${plane.base}/fallback` }))
  route(plane, { '/fallback': '<Redirect>/gone</Redirect>' })
  const report = await sim.placeCall({ caller: PATIENT }).done
  assert.deepEqual(
    plane.requests.map((seen) => seen.path),
    ['/voice', '/fallback', '/gone'],
  )
  assert.equal(plane.requests[1]!.params.ErrorCode, '11200')
  assert.equal(plane.requests[1]!.params.ErrorUrl, `${plane.base}/voice`)
  assert.equal(report.endCause, 'webhook-failed')
})

test('TwiML that does not parse ends the call with 12100', async () => {
  const { plane, sim } = await pair()
  plane.onRequest = () => ({ body: '<Response><Say>' })
  const report = await sim.placeCall({ caller: PATIENT }).done
  assert.equal(report.status, 'failed')
  assert.equal(report.warnings[0]!.code, 12100)
})

test('[Z3] when the plane closes the stream, the action is asked, and the stream callbacks come signed', async () => {
  const { plane, sim } = await pair()
  plane.onRequest = (seen) => {
    const stream = 'name="main" statusCallback="/stream"'
    const inner = '<Parameter name="tenant" value="t-42"/>'
    if (seen.path === '/voice') return { body: plane.connectTwiml('<Say>no</Say>', 'action="/after"', stream, inner) }
    return { body: seen.path === '/after' ? '<Response><Hangup/></Response>' : '' }
  }
  plane.onStream = (stream) => stream.socket.close(1000)
  const caller: CallerScript = { ...PATIENT, isEndedByAgent: true }
  const report = await sim.placeCall({ caller }).done
  const start = plane.streams[0]!.messages[1]!.message.start
  assert.deepEqual(start?.customParameters, { tenant: 't-42' })
  assert.equal(plane.requests.find((seen) => seen.path === '/after')!.params.CallStatus, 'in-progress')
  const events = plane.requests.filter((seen) => seen.path === '/stream')
  assert.deepEqual(
    events.map((seen) => seen.params.StreamEvent),
    ['stream-started', 'stream-stopped'],
  )
  assert.deepEqual([events[0]!.params.StreamName, events[0]!.params.StreamSid], ['main', plane.streams[0]!.streamSid])
  assert.equal(report.closeCode, 1000)
  assert.equal(report.wasDropped, false)
  assert.ok(report.warnings.some((warning) => warning.code === 31921))
  assert.ok(!plane.streams[0]!.messages.some((seen) => seen.message.event === 'stop'))
})

test('[I1] [I2] the upgrade is signed over the announced wss URL though another is dialled, its query never arrives', async () => {
  const { plane, sim } = await pair((plane) => ({
    voiceUrl: 'https://voice.example.test/voice',
    httpUrlRewrite: { 'https://voice.example.test': plane.base },
    wsUrlRewrite: { 'wss://voice.example.test': plane.wsBase },
  }))
  route(plane, { '/voice': '<Connect><Stream url="wss://voice.example.test/media/a?b=c"/></Connect>' })
  await sim.placeCall({ caller: { steps: [{ stayMs: 50 }], maxMs: 5000 } }).done
  const { request } = plane.streams[0]!
  assert.equal(request.url, '/media/a')
  assert.equal(request.headers.host, 'voice.example.test')
  assert.ok(request.rawHeaders.includes('x-twilio-signature'))
  assert.equal(request.headers.origin, undefined)
  assert.equal(request.headers['sec-websocket-protocol'], undefined)
  const signature = String(request.headers['x-twilio-signature'])
  assert.ok(twilio.validateRequest(AUTH_TOKEN, signature, 'wss://voice.example.test/media/a', {}))
  const voice = plane.requests[0]!
  const voiceSignature = String(voice.headers['x-twilio-signature'])
  assert.ok(twilio.validateRequest(AUTH_TOKEN, voiceSignature, 'https://voice.example.test/voice', voice.params))
})

test('a refused upgrade is 31920, a stream-error callback, and then the next verb', async () => {
  const { plane, sim } = await pair()
  plane.refuseUpgrade = () => 403
  plane.onRequest = (seen) => ({
    body: seen.path === '/voice' ? plane.connectTwiml('<Hangup/>', '', 'statusCallback="/stream"') : '',
  })
  const report = await sim.placeCall({ caller: PATIENT }).done
  assert.equal(report.endCause, 'twiml-hangup')
  assert.equal(report.streamEnds[0]!.errorCode, 31920)
  assert.equal(report.wasDropped, true)
  assert.equal(plane.requests.at(-1)!.params.StreamEvent, 'stream-error')
})
