// Callers who are in, asked over HTTP: what follows, the queue, its overflow, and a call control that does not answer.
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { type FastifyInstance, fastify } from 'fastify'
import { getExpectedTwilioSignature } from 'twilio/lib/webhooks/webhooks.js'
import type {
  Answer,
  CallControl,
  CallOffer,
  Message,
  NextQuestion,
  NextStep,
  Recording,
  WaitStep,
} from '../../../call-control/call-control.ts'
import type { CarrierEndCause } from '../../../call-control/carrier-calls.ts'
import { VoiceError } from '../../../kit/errors.ts'
import type { CallId, CallSid } from '../../../kit/ids.ts'
import type { Log } from '../../../kit/log.ts'
import { LANGUAGES } from '../../../phrases/languages.ts'
import type { PhraseSet } from '../../../phrases/phrase-set.ts'
import { twilioWebhooks } from '../webhooks.ts'
import { ASK_TRIES_MAX } from './replies.ts'

const TOKEN = '12345678901234567890123456789012'
const BASE = 'https://voice.example.test'
const CALL = 'CA00000000000000000000000000000001' as CallSid
const HUMAN = '+15005550009'
const grant = {
  kind: 'stream' as const,
  callId: 'call_1' as CallId,
  token: 'tok',
  pod: 'pod-1',
}
const fields = { CallSid: CALL, From: '+15005550006', To: '+15005550001', CallStatus: 'in-progress' }
const waiting = { kind: 'waiting' as const, ahead: 3, etaMs: 90_000, language: 'de' }

/** A call control that keeps what it was asked and answers as told. */
class ToldCallControl implements CallControl {
  events: unknown[] = []
  answer: Answer | (() => never) = grant
  place: WaitStep | (() => WaitStep | Promise<WaitStep>) = { kind: 'gone' }
  step: NextStep | (() => NextStep | Promise<NextStep>) = { kind: 'hang-up' }
  offer() {
    this.events.push(['offer'])
    return typeof this.answer === 'function' ? this.answer() : this.answer
  }
  wait(callSid: CallSid, { from, to }: CallOffer) {
    assert.deepEqual([from, to], [fields.From, fields.To])
    this.events.push(['wait', callSid])
    return typeof this.place === 'function' ? this.place() : this.place
  }
  next(callSid: CallSid, question: NextQuestion) {
    this.events.push(['next', callSid, question])
    return typeof this.step === 'function' ? this.step() : this.step
  }
  ended(callSid: CallSid, cause: CarrierEndCause) {
    this.events.push(['ended', callSid, cause])
  }
  streamFailed(callSid: CallSid, error?: string) {
    this.events.push(['stream', callSid, error])
  }
  callBack: 'taken' | 'refused' | Error = 'taken'
  async callBackWanted({ callSid, from }: CallOffer, language: string | undefined) {
    this.events.push(['call-back', callSid, from, language])
    if (this.callBack instanceof Error) throw this.callBack
    return this.callBack
  }
  messageLeft(callSid: CallSid, offer: CallOffer | undefined, message: Message) {
    this.events.push(['message', callSid, offer?.from, message])
  }
  recorded(callSid: CallSid, recording: Recording) {
    this.events.push(['recording', callSid, recording])
  }
}

const apps: FastifyInstance[] = []
after(() => Promise.all(apps.map((app) => app.close())))

async function open(more: { human?: string; holdAudioUrl?: string; callerLanguage?: string } = {}) {
  const callControl = new ToldCallControl()
  const codes: unknown[] = []
  const levels: string[] = []
  const keep = (level: string) => (line: object) => {
    codes.push((line as { code?: string }).code)
    levels.push(level)
  }
  const log: Log = { debug() {}, info() {}, warn: keep('warn'), error: keep('error'), child: () => log }
  const app = fastify()
  apps.push(app)
  const config = {
    http: { publicBaseUrl: BASE },
    twilio: { signatureCheck: 'on' as const, authTokens: [TOKEN], fallbackNumber: more.human },
    fleet: {
      holdAudioUrl: more.holdAudioUrl,
      ...(more.callerLanguage === undefined ? {} : { callerLanguage: more.callerLanguage }),
    },
  }
  await app.register(twilioWebhooks, { config, callControl, log, answerMs: 30 })
  const post = async (path: string, extra: Record<string, string> = {}, signedPath = path) => {
    const body = { ...fields, ...extra }
    const reply = await app.inject({
      method: 'POST',
      url: path,
      payload: new URLSearchParams(body).toString(),
      headers: {
        'content-type': 'application/x-www-form-urlencoded',
        'x-twilio-signature': getExpectedTwilioSignature(TOKEN, BASE + signedPath, body),
      },
    })
    return { status: reply.statusCode, body: reply.body, retryAfter: reply.headers['retry-after'] }
  }
  return { callControl, post, codes, levels }
}

/** Path and query of the document's Redirect, as the carrier would ask it. */
function redirectOf(body: string): string {
  const url = /<Redirect method="POST">([^<#]*)/.exec(body)?.[1] ?? ''
  assert.ok(url.startsWith(BASE), body)
  return url.slice(BASE.length).replaceAll('&amp;', '&')
}
const WAIT = `/twilio/wait/${CALL}`

test('a queued caller hears the place, asks again, hears it when it changed, and is connected', async () => {
  const { callControl, post } = await open()
  callControl.answer = { kind: 'queued', ahead: 3, etaMs: 90_000, language: 'de' }
  const first = await post('/twilio/voice', { CallStatus: 'ringing' })
  assert.match(first.body, /<Say language="de-DE">.*Vor Ihnen warten noch 3 Anrufe/)
  assert.equal(redirectOf(first.body), `${WAIT}?said=3&language=de`)
  callControl.place = waiting
  const second = await post(redirectOf(first.body))
  assert.doesNotMatch(second.body, /<Say/)
  callControl.place = { ...waiting, ahead: 1 }
  const third = await post(redirectOf(second.body))
  assert.match(third.body, /Vor Ihnen wartet noch 1 Anruf/)
  assert.equal(redirectOf(third.body), `${WAIT}?said=1&language=de`)
  callControl.place = { ...grant, pod: 'pod-7' }
  const last = await post(redirectOf(third.body))
  assert.match(last.body, /<Response><Connect action="https:\/\/voice\.example\.test\/twilio\/next\?pod=pod-7#/)
  assert.match(last.body, /<Redirect method="POST">https:\/\/voice\.example\.test\/twilio\/next\?pod=pod-7#/)
  assert.deepEqual(callControl.events, [['offer'], ['wait', CALL], ['wait', CALL], ['wait', CALL]])
})

test('the hold clip of the configuration is played', async () => {
  const { callControl, post } = await open({ holdAudioUrl: 'https://cdn.example.test/hold.mp3' })
  callControl.place = waiting
  assert.match((await post(`${WAIT}?said=3`)).body, /<Play>https:\/\/cdn\.example\.test\/hold\.mp3<\/Play>/)
})

test('[WH1] a wait that is forged, names another call, or whose query was changed is refused; call control hears nothing', async () => {
  const { callControl, post, codes } = await open()
  const other = WAIT.replace(/1$/, '2')
  assert.equal((await post(WAIT, {}, '/twilio/voice')).status, 403)
  assert.equal((await post(`${WAIT}?said=0`, {}, `${WAIT}?said=3`)).status, 403)
  assert.equal((await post(`${WAIT}?anew=0`, {}, WAIT)).status, 403)
  assert.equal((await post(other)).status, 400)
  assert.equal((await post('/twilio/next?pod=pod-2', {}, '/twilio/next?pod=pod-1')).status, 403)
  assert.deepEqual(callControl.events, [])
  assert.deepEqual(codes, Array(5).fill('WEBHOOK_REFUSED'))
})

test('a caller who waits and is gone for the carrier ends at call control', async () => {
  const { callControl, post } = await open()
  assert.match((await post(WAIT, { CallStatus: 'completed' })).body, /<Response\/>/)
  assert.deepEqual(callControl.events, [['ended', CALL, 'caller-hung-up']])
})

test('[WH7] a call control that throws or stalls is asked again by a caller who waits, who then gets the place', async () => {
  const { callControl, post, codes } = await open()
  callControl.place = () => Promise.reject(new Error('away'))
  const first = await post(`${WAIT}?said=3&language=de`)
  assert.match(first.body, /<Say language="de-DE">Einen Moment bitte\.<\/Say><Pause length="9"\/>/)
  assert.equal(redirectOf(first.body), `${WAIT}?said=3&language=de&tries=1`)
  callControl.place = () => new Promise(() => {})
  const second = await post(redirectOf(first.body))
  assert.doesNotMatch(second.body, /<Say/)
  callControl.place = waiting
  const third = await post(redirectOf(second.body))
  assert.equal(redirectOf(third.body), `${WAIT}?said=3&language=de`)
  assert.deepEqual(codes, ['WEBHOOK_FAILED', 'CALL_CONTROL_STALLED'])
})

test('[WH7] a store that was late is a warning: the caller is asked for again; what nobody expects is an error', async () => {
  const { callControl, post, codes, levels } = await open()
  callControl.place = () => Promise.reject(new VoiceError('STORE_UNAVAILABLE'))
  const first = await post(`${WAIT}?said=3&language=de`)
  callControl.place = () => Promise.reject(new Error('a bug'))
  await post(redirectOf(first.body))
  assert.deepEqual(
    [codes, levels],
    [
      ['STORE_UNAVAILABLE', 'WEBHOOK_FAILED'],
      ['warn', 'error'],
    ],
  )
})

test('[WAIT-2][WH7] after ASK_TRIES_MAX the caller is handed to the human, or hears an apology', async () => {
  for (const human of [HUMAN, undefined]) {
    const { callControl, post } = await open(human === undefined ? {} : { human })
    callControl.step = () => Promise.reject(new Error('away'))
    let path = '/twilio/next?pod=pod-3'
    let body = ''
    for (let asked = 1; asked <= ASK_TRIES_MAX; asked += 1) {
      ;({ body } = await post(path))
      if (asked < ASK_TRIES_MAX) path = redirectOf(body)
    }
    // The pod that could not say is not named again: another one is to be asked.
    assert.equal(path, `/twilio/next?tries=${ASK_TRIES_MAX - 1}`)
    assert.match(
      body,
      human === undefined ? /<Say language="en-US">.*sorry.*<Hangup\/>/ : /<Dial .*<Number>\+15005550009</,
    )
    assert.equal(callControl.events.length, ASK_TRIES_MAX)
  }
})

test('[WH7] how a transfer ended is not lost when it has to be asked again', async () => {
  const { callControl, post } = await open()
  callControl.step = () => Promise.reject(new Error('away'))
  const first = await post('/twilio/next?pod=pod-3', { DialCallStatus: 'busy' })
  callControl.step = { kind: 'hang-up' }
  await post(redirectOf(first.body))
  assert.deepEqual(callControl.events, [
    ['next', CALL, { transfer: { outcome: 'busy', isLast: false } }],
    ['next', CALL, { transfer: { outcome: 'busy', isLast: false } }],
  ])
})

test('[WH7] a store that is away when a call enters is waited for, then the caller is told or handed on', async () => {
  for (const human of [HUMAN, undefined]) {
    const { callControl, post } = await open(human === undefined ? {} : { human })
    callControl.answer = { kind: 'busy', reason: 'store-away' }
    let path = '/twilio/voice'
    let body = ''
    for (let asked = 1; asked <= ASK_TRIES_MAX; asked += 1) {
      ;({ body } = await post(path))
      if (asked < ASK_TRIES_MAX) path = redirectOf(body)
    }
    assert.match(body, human === undefined ? /<Say language="en-US">.*busy.*<Hangup\/>/ : /<Dial /)
    callControl.answer = grant
    assert.match((await post(path)).body, /<Connect /)
  }
})

test('[WH3] a caller who is in never gets an HTTP error from a pod that drains', async () => {
  const { callControl, post } = await open()
  callControl.answer = { kind: 'busy', reason: 'draining' }
  const fresh = await post('/twilio/voice')
  assert.deepEqual([fresh.status, fresh.retryAfter], [503, '5'])
  const inCall = await post('/twilio/voice?anew=1&language=de')
  assert.equal(inCall.status, 200)
  assert.equal(redirectOf(inCall.body), '/twilio/voice?language=de&anew=1&tries=1')
})

test('[WH8] a caller whose place is not known enters anew, a bounded number of times', async () => {
  const { callControl, post } = await open()
  callControl.answer = { kind: 'queued', ahead: 8, etaMs: 30_000, language: 'de' }
  callControl.place = { kind: 'gone' }
  let path = `${WAIT}?said=3&language=de`
  for (let n = 1; n <= 3; n += 1) {
    const lost = await post(path)
    assert.equal(redirectOf(lost.body), `/twilio/voice?language=de&anew=${n}`)
    const again = await post(redirectOf(lost.body))
    path = redirectOf(again.body)
    assert.equal(path, `${WAIT}?said=8&language=de&anew=${n}`)
  }
  assert.match((await post(path)).body, /<Say language="de-DE">.*belegt.*<Hangup\/>/)
})

test('[WAIT-3][WQ4] each overflow of call control is carried, in the language of the waiting', async () => {
  const { callControl, post } = await open()
  const overflowOf = async (to: (WaitStep & { kind: 'overflow' })['to']) => {
    callControl.place = { kind: 'overflow', to }
    return (await post(`${WAIT}?language=fr`)).body
  }
  assert.match(await overflowOf({ kind: 'transfer', number: HUMAN }), /<Say language="fr-FR">.*<Number>\+15005550009</)
  assert.match(await overflowOf({ kind: 'voicemail' }), /<Record action="[^"]*\/twilio\/voicemail\?language=fr"/)
  assert.match(await overflowOf({ kind: 'call-back' }), /<Gather [^>]*action="[^"]*\/twilio\/call-back\?language=fr"/)
  assert.match(await overflowOf({ kind: 'hang-up' }), /<Say language="fr-FR">.*<Hangup\/>/)
})

test('[WQ5] a call-back that is wanted reaches the callControl; other digits are asked for once more', async () => {
  const { callControl, post } = await open()
  const thanked = await post('/twilio/call-back?language=es', { Digits: '1' })
  assert.match(thanked.body, /<Say language="es-ES">Gracias\. .*<Hangup\/>/)
  const again = await post('/twilio/call-back?language=es', { Digits: '9' })
  const action = /<Gather [^>]*action="([^"]*)"/.exec(again.body)![1]!.replaceAll('&amp;', '&').slice(BASE.length)
  assert.equal(action, '/twilio/call-back?language=es&tries=1')
  assert.match((await post(action, { Digits: '8' })).body, /<Response><Say language="es-ES">.*<Hangup\/>/)
  assert.deepEqual(callControl.events, [['call-back', CALL, '+15005550006', 'es']])
})

test('[P30][WQ5] nothing is promised that is not kept, and nobody without a number is asked or called', async () => {
  const { callControl, post } = await open()
  for (const answer of ['refused', new Error('away')] as const) {
    callControl.callBack = answer
    const told = await post('/twilio/call-back?language=en', { Digits: '1' })
    assert.match(told.body, /<Response><Say language="en-US">We are sorry.*<Hangup\/>/)
  }
  callControl.events.length = 0
  for (const From of ['anonymous', '+266696687', '']) {
    const told = await post('/twilio/call-back?language=en', { Digits: '4930123456', From })
    assert.match(told.body, /<Response><Say language="en-US">We are sorry.*<Hangup\/>/, From)
  }
  assert.deepEqual(callControl.events, [])
})

test('[P29][WQ4] a message is thanked for, and told to call control when its recording is there', async () => {
  const { callControl, post } = await open()
  assert.match((await post('/twilio/voicemail?language=ja', {})).body, /<Say language="ja-JP">.*<Hangup\/>/)
  assert.deepEqual(callControl.events, [])
  const recordingSid = `RE${'1'.repeat(32)}`
  const recordingUrl = `https://api.example.test/${recordingSid}`
  const recording = { RecordingSid: recordingSid, RecordingUrl: recordingUrl, RecordingDuration: '12' }
  const kept = { recordingSid, recordingUrl, durationMs: 12_000, language: 'ja' }
  assert.match((await post('/twilio/voicemail?language=ja', recording)).body, /<Say language="ja-JP">.*<Hangup\/>/)
  const hungUp = await post('/twilio/voicemail?language=ja', { ...recording, CallStatus: 'completed' })
  assert.match(hungUp.body, /<Response\/>/)
  await post('/twilio/message?language=ja', { ...recording, RecordingStatus: 'absent' })
  await post('/twilio/message?language=ja', { ...recording, RecordingStatus: 'completed' })
  assert.equal((await post('/twilio/message', { RecordingSid: 'x', RecordingStatus: 'completed' })).status, 400)
  assert.deepEqual(callControl.events.splice(0), [
    ['message', CALL, '+15005550006', kept],
    ['message', CALL, '+15005550006', kept],
    ['ended', CALL, 'caller-hung-up'],
    ['message', CALL, undefined, kept],
  ])
  await post('/twilio/recording', { ...recording, RecordingStatus: 'absent' })
  await post('/twilio/recording', { ...recording, RecordingStatus: 'completed', CallStatus: 'completed' })
  assert.deepEqual(callControl.events, [['recording', CALL, { recordingSid, recordingUrl, durationMs: 12_000 }]])
})

test('a resume goes straight into the stream, after the callControl’s sentence when it has one', async () => {
  const { callControl, post } = await open()
  callControl.step = { ...grant, pod: 'pod-2' }
  assert.match((await post('/twilio/next?pod=pod-1')).body, /<Response><Connect action="[^"]*pod=pod-2#/)
  callControl.step = { ...grant, pod: 'pod-2', sentence: 'Un instant.', language: 'fr' }
  assert.match(
    (await post('/twilio/next?pod=pod-1')).body,
    /<Response><Say language="fr-FR">Un instant\.<\/Say><Connect/,
  )
  assert.deepEqual(callControl.events[0], ['next', CALL, {}])
})

test('[P31][DK13] how a transfer ended rides in what is asked after the stream into which the call came back', async () => {
  const { callControl, post } = await open()
  callControl.step = { ...grant, pod: 'pod-2', returnedFrom: 'no-answer' }
  const { body } = await post('/twilio/next?pod=pod-1', { DialCallStatus: 'no-answer' })
  assert.match(body, /<Connect action="[^"]*\/twilio\/next\?pod=pod-2&amp;dialed=no-answer#/)
  callControl.step = () => Promise.reject(new Error('away'))
  const asked = await post('/twilio/next?pod=pod-2&dialed=no-answer')
  assert.deepEqual(callControl.events.at(-1), ['next', CALL, { returnedFrom: 'no-answer' }])
  assert.equal(redirectOf(asked.body), '/twilio/next?dialed=no-answer&tries=1')
})

test('/twilio/next carries each step of call control as TwiML', async () => {
  const { callControl, post } = await open()
  const bodyFor = async (step: NextStep) => {
    callControl.step = step
    return (await post('/twilio/next')).body
  }
  assert.match(await bodyFor(grant), /<Stream url="wss:/)
  assert.match(await bodyFor({ kind: 'hang-up' }), /<Response><Hangup\/>/)
  assert.match(
    await bodyFor({ kind: 'hang-up', sentence: 'Bye & <ok>' }),
    /<Say language="en-US">Bye &amp; &lt;ok&gt;<\/Say><Hangup\/>/,
  )
  const transfer = await bodyFor({ kind: 'transfer', to: '+15005550009', callerId: '+15005550001' })
  assert.match(transfer, /<Dial action="https:\/\/voice.example.test\/twilio\/next#.*callerId="\+15005550001"/)
  assert.match(await bodyFor({ kind: 'transfer', to: 'sip:desk@example.test' }), /<Sip>sip:desk@example.test<\/Sip>/)
  assert.match(await bodyFor({ kind: 'unknown-call' }), /sorry/)
})

test('[P31] a call no pod knows is handed to the human once, and ends after that transfer', async () => {
  const { callControl, post } = await open({ human: HUMAN })
  callControl.step = { kind: 'unknown-call' }
  const after = (status: string) => post('/twilio/next', { DialCallStatus: status })
  assert.match((await post('/twilio/next')).body, /<Dial action="[^"]*last=1/)
  assert.match((await after('completed')).body, /<Response><Hangup\/>/)
  assert.match((await after('no-answer')).body, /<Dial action="[^"]*last=1/)
  const last = await post('/twilio/next?last=1&language=de', { DialCallStatus: 'no-answer' })
  assert.match(last.body, /<Say language="de-DE">.*niemanden erreichen.*<Hangup\/>/)
  assert.deepEqual(callControl.events.at(-1), ['next', CALL, { transfer: { outcome: 'no-answer', isLast: true } }])
})

/** Every way in which the plane speaks to a caller of whom it knows no language, with what it then says. */
const SPOKEN: Readonly<
  Record<
    string,
    [phrase: keyof PhraseSet, path: string, callControl: (callControl: ToldCallControl) => void, fields?: object]
  >
> = {
  full: ['full', 'voice', (callControl) => (callControl.answer = { kind: 'busy', reason: 'full' } as never)],
  'caller-full': [
    'full',
    'voice',
    (callControl) => (callControl.answer = { kind: 'busy', reason: 'caller-full' } as never),
  ],
  'store away, asked again': [
    'moment',
    'voice',
    (callControl) => (callControl.answer = { kind: 'busy', reason: 'store-away' } as never),
  ],
  'store away': [
    'full',
    `voice?tries=${ASK_TRIES_MAX}`,
    (callControl) => (callControl.answer = { kind: 'busy', reason: 'store-away' } as never),
  ],
  'a call control that throws': ['sorry', 'voice', (callControl) => (callControl.answer = () => assert.fail('away'))],
  'a place that is gone': ['full', 'wait/CALL?anew=9', (callControl) => (callControl.place = { kind: 'gone' })],
  'what follows, asked again': ['moment', 'next', (callControl) => (callControl.step = () => assert.fail('away'))],
  'what follows, in vain': [
    'sorry',
    `next?tries=${ASK_TRIES_MAX}`,
    (callControl) => (callControl.step = () => assert.fail('away')),
  ],
  'an unknown call': ['sorry', 'next', (callControl) => (callControl.step = { kind: 'unknown-call' })],
  'an unknown transfer': [
    'notReached',
    'next',
    (callControl) => (callControl.step = { kind: 'unknown-call' }),
    { DialCallStatus: 'busy' },
  ],
  'no call-back': ['busy', 'call-back', (callControl) => (callControl.callBack = 'refused'), { Digits: '1' }],
  'a message': ['voicemailTaken', 'voicemail', () => undefined],
}

test('[P47][PH4] whatever the plane says to a caller of whom it knows no language is in CALLER_LANGUAGE, each of them', async () => {
  for (const [name, { say, regions, phrases }] of Object.entries(LANGUAGES)) {
    for (const callerLanguage of [name, ...regions]) {
      const { callControl, post } = await open({ callerLanguage })
      for (const [what, [phrase, path, set, more = {}]] of Object.entries(SPOKEN)) {
        set(callControl)
        const { status, body } = await post(`/twilio/${path.replace('CALL', CALL)}`, more as Record<string, string>)
        assert.equal(status, 200, what)
        const said = [...body.matchAll(/<Say language="([^"]*)">([^<]*)<\/Say>/g)].map(([, code, text]) => [code, text])
        const words = String(phrases[phrase]).replaceAll('&', '&amp;')
        assert.deepEqual(said, [[callerLanguage === name ? say : callerLanguage, words]], `${callerLanguage}: ${what}`)
      }
      callControl.step = { kind: 'hang-up', sentence: phrases.sorry }
      assert.ok(
        (await post('/twilio/next')).body.includes(
          `<Say language="${callerLanguage === name ? say : callerLanguage}">`,
        ),
      )
    }
  }
})

test('[P47][PH4] a language that the call carries comes before CALLER_LANGUAGE', async () => {
  const { callControl, post } = await open({ callerLanguage: 'de' })
  callControl.answer = () => assert.fail('away')
  assert.match((await post('/twilio/voice?language=ja')).body, /<Say language="ja-JP">申し訳/)
})
