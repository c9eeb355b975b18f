import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import type { CallReport } from '../../sim/twilio/report.ts'
import { failuresOf } from './failures.ts'
import type { FinishedCall } from './figures.ts'

const LATENESS = { count: 1, p50Ms: 0, p99Ms: 0, maxMs: 0 }

/** A finished call; by default one that was never set up. */
function callOf(changes: Partial<CallReport>): FinishedCall {
  const report: CallReport = {
    callSid: 'CA1',
    call: 1,
    status: 'completed',
    endCause: 'webhook-failed',
    durationMs: 0,
    verbs: [],
    streams: 0,
    streamEnds: [],
    wasDropped: false,
    resumes: 0,
    framesSent: 0,
    framesSpoken: 0,
    mediaReceived: 0,
    marksReceived: 0,
    marksPlayed: 0,
    clearsReceived: 0,
    agentReceivedMs: 0,
    agentPlayedMs: 0,
    utterances: 0,
    turns: [],
    voiceToVoiceMs: [],
    bargeIns: [],
    gapsMs: [],
    probesSent: 0,
    probeLatenciesUs: [],
    lateness: LATENESS,
    processLateness: LATENESS,
    scriptTimeouts: [],
    warnings: [],
    ...changes,
  }
  return { number: 1, scenario: 'talk', process: 0, report }
}

const webhook = (code: number, text: string): FinishedCall => callOf({ warnings: [{ code, text }] })
const stream = (errorCode: number, text: string): FinishedCall =>
  callOf({ endCause: 'twiml-ended', wasDropped: true, streamEnds: [{ by: 'handshake', errorCode, text }] })
const closed = (closeCode: number, more: Partial<CallReport> = {}): FinishedCall =>
  callOf({
    endCause: 'twiml-ended',
    setUpMs: 5,
    wasDropped: true,
    streamEnds: [{ by: 'plane', closeCode, text: 'the server closed the stream' }],
    ...more,
  })
const ANNOUNCED = 'wss://127.0.0.1/media-stream'

suite('[L1] [FL1] each failure has its cause and its fix', () => {
  for (const [what, call, cause, fix] of [
    ['404 for the webhook', webhook(11200, 'answered 404'), /no such path/, /--voice-path/],
    ['405 for the webhook', webhook(11200, 'answered 405'), /does not take POST/, /POST/],
    ['403 for the webhook', webhook(11200, 'answered 403'), /signature/, /--auth-token/],
    ['422 for the webhook', webhook(11200, 'answered 422'), /form/, /python-multipart/],
    ['500 for the webhook', webhook(11200, 'answered 500'), /failed while/, /log/],
    ['503 for the webhook', webhook(11200, 'answered 503'), /limit/, /fewer calls/],
    ['a webhook that takes too long', webhook(11200, 'read timeout'), /15 s/, /at once/],
    ['no server', webhook(11205, 'connect ECONNREFUSED 127.0.0.1:1'), /Nothing listens/, /--url/],
    ['JSON instead of TwiML', webhook(12100, 'TwiML at 0: expected <'), /not TwiML/, /text\/xml/],
    ['plain HTTP on a TLS address', webhook(11205, 'EPROTO: wrong version number'), /TLS was refused/, /http:/],
    [
      'an untrusted certificate',
      webhook(11205, 'DEPTH_ZERO_SELF_SIGNED_CERT: x'),
      /not trusted/,
      /NODE_EXTRA_CA_CERTS/,
    ],
    [
      'a strange address',
      webhook(11205, 'https://a.example/x is not on this machine or network'),
      /away/,
      /--allow-remote/,
    ],
    [
      'TwiML without a Stream',
      callOf({ endCause: 'twiml-ended', verbs: [{ verb: 'Play', detail: '' }] }),
      /no Stream/,
      /<Connect>/,
    ],
    [
      'a host without a port',
      stream(31902, `${ANNOUNCED}: connect ECONNREFUSED 127.0.0.1:443`),
      /without its port/,
      /--media-url/,
    ],
    [
      'a stream that is refused',
      stream(31902, 'wss://127.0.0.1:5/m: connect ECONNREFUSED 127.0.0.1:5'),
      /Nothing listens/,
      /--url/,
    ],
    [
      '404 for the stream',
      stream(31920, `${ANNOUNCED}: handshake answered 404`),
      /no media stream at the path/,
      /--media-url/,
    ],
    [
      '403 for the stream',
      stream(31920, `${ANNOUNCED}: handshake answered 403`),
      /let the media stream in/,
      /--auth-token/,
    ],
    ['a stream of plain HTTP', stream(31910, `${ANNOUNCED}: EPROTO: wrong version number`), /TLS was refused/, /ws:/],
    ['ws:// to a name', stream(31922, 'scheme is not wss: ws://a.example'), /without wss/, /wss:/],
    ['a stream that says nothing', stream(31901, `${ANNOUNCED}: no answer to the handshake`), /within 10 s/, /first/],
    ['a process that died', closed(1006), /crashed/, /log/],
    ['an error in the call', closed(1011), /error in this call/, /key, quota/],
    ['a close before a word', closed(1000), /before the agent/, /model could not be reached/],
    ['a refusal with a reason', closed(1008), /rule of its own/, /close reason/],
    ['a code of its own', closed(4001), /code of its own/, /source/],
    [
      'a sentence instead of an agent',
      callOf({ endCause: 'twiml-hangup', verbs: [{ verb: 'Say', detail: 'All lines are busy.' }] }),
      /hung up/,
      /limit/,
    ],
    [
      'messages without streamSid',
      callOf({
        endCause: 'caller-hung-up',
        setUpMs: 5,
        framesSent: 1_000,
        framesSpoken: 0,
        warnings: [{ code: 31951, text: 'wrong or missing streamSid' }],
      }),
      /do not carry the streamSid/,
      /start\.streamSid/,
    ],
    ['no sound at all', callOf({ endCause: 'caller-hung-up', setUpMs: 5, framesSent: 1_000 }), /no audio/, /pcmu/],
    [
      'a stream of one way',
      callOf({ endCause: 'caller-hung-up', setUpMs: 5, framesSent: 1_000, verbs: [{ verb: 'Start', detail: '' }] }),
      /one way/,
      /<Connect><Stream>/,
    ],
    ['what nobody knows', webhook(11200, 'answered 299'), /No known cause/, /log/],
  ] as const)
    test(what, () => {
      const [failure, ...rest] = failuresOf([call, call], [])
      assert.equal(rest.length, 0)
      assert.deepEqual([failure!.kind, failure!.calls], ['failure', 2])
      assert.match(failure!.cause, cause)
      assert.match(failure!.fix, fix)
      assert.ok(failure!.seen.length > 5, failure!.seen)
    })

  test('a close reason that the server gave is shown', () => {
    const end = { by: 'plane' as const, closeCode: 1008, closeReason: 'bad token', text: '' }
    assert.match(failuresOf([closed(1008, { streamEnds: [end] })], [])[0]!.seen, /1008 "bad token"/)
  })

  test('a good call is in no failure; the frequent failure comes first, hints last', () => {
    const good = callOf({ endCause: 'caller-hung-up', setUpMs: 5, framesSent: 1_000, mediaReceived: 9 })
    assert.deepEqual(failuresOf([good], []), [])
    const hinted = {
      ...good,
      report: { ...good.report, warnings: [{ code: 11200, text: 'callback status completed: answered 404' }] },
    }
    const all = failuresOf([hinted, hinted, hinted, closed(1011), closed(1006), closed(1006)], ['process 1 ended'])
    assert.deepEqual(
      all.map(({ kind, calls }) => [kind, calls]),
      [
        ['failure', 2],
        ['failure', 1],
        ['failure', 1],
        ['hint', 3],
      ],
    )
    assert.match(all.at(-1)!.fix, /--status-path none/)
    const away = [
      { code: 11205, text: 'connect ECONNREFUSED 127.0.0.1:1' },
      { code: 11205, text: 'callback status failed: connect ECONNREFUSED 127.0.0.1:1' },
    ]
    assert.equal(failuresOf([callOf({ warnings: away })], []).length, 1, 'one cause, one failure')
  })
})

test('[P75][FL1] an agent that does not speak first is told as that, and is no fault of the server', () => {
  const spoke = 'the agent did not speak first: the caller spoke after 15 s'
  const call = callOf({ setUpMs: 5, mediaReceived: 9, framesSent: 900, scriptTimeouts: [spoke] })
  const [hint, ...more] = failuresOf([call], [])
  assert.deepEqual([hint?.kind, hint?.seen, more], ['hint', spoke, []])
  assert.match(hint?.fix ?? '', /--caller-first/)
  const silent = callOf({ setUpMs: 5, framesSent: 900 })
  assert.deepEqual(failuresOf([{ ...silent, isCallerFirst: true }], []), [], 'nobody spoke: nobody is to be heard')
  assert.equal(failuresOf([silent], []).length, 1)
})
