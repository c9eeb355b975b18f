// TwiML: what each answer says, what it leaves out, and what it costs.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { askAgain, connectStream, empty, hangUp, type StreamAnswer, transfer, unfitParameters } from './twiml.ts'

const HEAD = '<?xml version="1.0" encoding="UTF-8"?>'
/** Set-up is a hot path: a thousand calls arrive together. */
const BUILD_MAX_TIMES = 100
const answer: StreamAnswer = {
  streamUrl: `wss://voice.example.test/media/pod-1/CA00000000000000000000000000000001/${'t'.repeat(150)}`,
  parameters: { callId: 'call_1', tenant: 't-1' },
  actionUrl: 'https://voice.example.test/twilio/next?a=1&b=2',
  nextUrl: 'https://voice.example.test/twilio/next',
  streamStatusUrl: 'https://voice.example.test/twilio/stream-status',
}

test('[TX1] a stream is followed by its action and by a redirect', () => {
  assert.equal(
    connectStream(answer),
    `${HEAD}<Response><Connect action="https://voice.example.test/twilio/next?a=1&amp;b=2" method="POST">` +
      `<Stream url="${answer.streamUrl}" statusCallback="${answer.streamStatusUrl}" statusCallbackMethod="POST">` +
      '<Parameter name="callId" value="call_1"/><Parameter name="tenant" value="t-1"/></Stream></Connect>' +
      `<Redirect method="POST">${answer.nextUrl}</Redirect></Response>`,
  )
})

test('[TX1] a sentence before a stream is said in its language, and nothing stands between it and the stream', () => {
  const twiml = connectStream({ ...answer, sentence: 'Wir sind wieder da.', language: 'de-DE' })
  assert.match(twiml, /<Response><Say language="de-DE">Wir sind wieder da\.<\/Say><Connect /)
  assert.equal(connectStream({ ...answer, sentence: ' ' }), connectStream(answer))
})

test('[TX1] asking again ends in a Redirect, after a sentence and a pause when there are any', () => {
  const url = 'https://voice.example.test/twilio/next?pod=p&tries=1'
  const redirect = '<Redirect method="POST">https://voice.example.test/twilio/next?pod=p&amp;tries=1</Redirect>'
  assert.equal(askAgain({ url, pauseSeconds: 0 }), `${HEAD}<Response>${redirect}</Response>`)
  assert.equal(
    askAgain({ url, pauseSeconds: 3, sentence: 'One moment.', language: 'en-US' }),
    `${HEAD}<Response><Say language="en-US">One moment.</Say><Pause length="3"/>${redirect}</Response>`,
  )
})

test('[TX1] every ending ends in Hangup, with a sentence when there is one', () => {
  assert.equal(hangUp(), `${HEAD}<Response><Hangup/></Response>`)
  assert.equal(hangUp('   '), hangUp())
  assert.equal(hangUp('Good bye'), `${HEAD}<Response><Say>Good bye</Say><Hangup/></Response>`)
  assert.equal(empty(), `${HEAD}<Response/>`)
})

test('[S7][TX1] a transfer dials a number, a SIP address or a client, and asks what next', () => {
  const nextUrl = 'https://voice.example.test/twilio/next'
  const dial = `<Dial action="${nextUrl}" method="POST" timeout="30" answerOnBridge="true" timeLimit="3600"`
  const to = (target: string) => transfer({ to: target, nextUrl })
  assert.equal(to('+15005550009'), `${HEAD}<Response>${dial}><Number>+15005550009</Number></Dial></Response>`)
  assert.match(to('sip:callControl@example.test'), /<Sip>sip:callControl@example\.test<\/Sip>/)
  assert.match(to('client:desk'), /<Client>desk<\/Client>/)
  const said = transfer({ to: '+15005550009', nextUrl, callerId: '+15005550001', sentence: 'One moment.' })
  assert.match(said, /<Say>One moment\.<\/Say><Dial .*callerId="\+15005550001">/)
})

test('[TX3] a parameter of 499 characters passes, one of 500 is left out and named', () => {
  const parameters = { fits: 'x'.repeat(495), long: 'x'.repeat(496) }
  assert.deepEqual(unfitParameters(parameters), ['long'])
  const twiml = connectStream({ ...answer, parameters })
  assert.match(twiml, /name="fits"/)
  assert.doesNotMatch(twiml, /name="long"/)
})

test('[TX4] what XML cannot hold is taken out, what it reserves is escaped', () => {
  assert.match(hangUp('a\u0000b\u001fc\ufffe <&> "é" 🙂'), /<Say>abc &lt;&amp;&gt; "é" 🙂<\/Say>/)
  assert.match(hangUp('half \ud83d'), /<Say>half \ufffd<\/Say>/)
  const twiml = connectStream({ ...answer, parameters: { note: '"/><Hangup/>\u0007' } })
  assert.match(twiml, /value="&quot;\/&gt;&lt;Hangup\/&gt;"|value="&quot;\/>&lt;Hangup\/>"/)
  assert.equal(twiml.match(/<Hangup\/>/g), null)
})

test('[O18] building an answer costs no more than so many readings of the same text as JSON', () => {
  const roundTrip = () => JSON.parse(JSON.stringify(answer))
  const [build, reference] = [costOf(() => connectStream(answer)), costOf(roundTrip)]
  assert.ok(build <= BUILD_MAX_TIMES * reference, `${build} µs, ${build / reference} times the reference`)
})

/** CPU time of one `act` in µs: the best of some rounds, since other processes share the machine and its caches. */
function costOf(act: () => unknown): number {
  for (let n = 0; n < 1_000; n++) act()
  const rounds = Array.from({ length: 7 }, () => {
    const before = process.cpuUsage()
    for (let n = 0; n < 500; n++) act()
    const { user, system } = process.cpuUsage(before)
    return (user + system) / 500
  })
  return Math.min(...rounds)
}
