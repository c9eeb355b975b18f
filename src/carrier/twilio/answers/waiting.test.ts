// Waiting and what comes instead of it, as TwiML.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { partyOf } from '../../../call/identity.ts'
import { hold, overflow, VOICEMAIL_MAX_SECONDS, WAIT_POLL_MS, wantsCallBack } from './waiting.ts'

const waitUrl = 'https://voice.example.test/twilio/wait/CA1?said=3&language=en#ct=1500'
const HOLD = 'https://cdn.example.test/hold.mp3'
const urls = {
  nextUrl: 'https://voice.example.test/twilio/next',
  voicemailUrl: 'https://voice.example.test/twilio/voicemail?language=en',
  recordingUrl: 'https://voice.example.test/twilio/recording',
  callBackUrl: 'https://voice.example.test/twilio/call-back?language=en',
}
const place = (ahead: number, language = 'en', etaMs = 130_000) => ({ ahead, etaMs, language })
const holdOf = (
  ahead: number,
  said: number | undefined,
  more: { language?: string; audio?: string; etaMs?: number } = {},
) => hold({ place: place(ahead, more.language, more.etaMs), said, waitUrl, holdAudioUrl: more.audio })
const pauseSeconds = (twiml: string) => Number(/<Pause length="(\d+)"\/>/.exec(twiml)?.[1])

test('[WQ2] the place is said at the start, and again only when it changed', () => {
  const first = holdOf(3, undefined)
  assert.match(
    first,
    /<Say language="en-US">All our lines are busy\. .*There are 3 callers ahead of you\. The wait is about 3 minutes\.<\/Say>/,
  )
  assert.doesNotMatch(holdOf(3, 3), /<Say/)
  const moved = holdOf(2, 3)
  assert.match(moved, /<Say language="en-US">There are 2 callers ahead of you\. /)
  assert.match(holdOf(4, 3), /There are 4 callers/)
  assert.match(
    holdOf(0, 1, { etaMs: 20_000 }),
    /<Say language="en-US">You are next\. The wait is less than a minute\.<\/Say>/,
  )
  assert.doesNotMatch(holdOf(0, 0), /<Say/)
})

test('[WQ2] the place is said in the caller’s language', () => {
  assert.match(holdOf(2, undefined, { language: 'de-CH' }), /<Say language="de-DE">.*Vor Ihnen warten noch 2 Anrufe/)
  assert.match(holdOf(5, 6, { language: 'pl' }), /<Say language="pl-PL">Przed tobą czeka 5 osób/)
  assert.match(holdOf(5, 6, { language: 'xx' }), /<Say language="en-US">There are 5/)
})

test('[WQ1] the caller asks again after some nine seconds, speech counted in', () => {
  assert.equal(pauseSeconds(holdOf(3, 3)) * 1_000, WAIT_POLL_MS)
  for (const language of ['en', 'de', 'fr', 'ja', 'ko', 'tr']) {
    const twiml = holdOf(3, 2, { language })
    const said = /<Say[^>]*>(.*)<\/Say>/.exec(twiml)![1]!
    const perCharacterMs = language === 'ja' || language === 'ko' ? 150 : 60
    const totalMs = said.length * perCharacterMs + pauseSeconds(twiml) * 1_000
    assert.ok(totalMs >= 7_000 && totalMs <= 10_500, `${language}: ${totalMs} ms`)
  }
  assert.ok(holdOf(3, 3).endsWith(`<Redirect method="POST">${waitUrl.replaceAll('&', '&amp;')}</Redirect></Response>`))
})

test('[WQ1][WQ3] a hold clip is played once, and a second passes before the caller asks again', () => {
  const twiml = holdOf(3, 3, { audio: HOLD })
  assert.match(twiml, new RegExp(`<Response><Play>${HOLD}</Play><Pause length="1"/><Redirect`))
  assert.match(holdOf(3, undefined, { audio: HOLD }), /<\/Say><Play>.*<\/Play><Pause length="1"\/><Redirect/)
})

test('[WQ3] a Redirect never follows at once, however long the sentence', () => {
  for (const language of ['en', 'ja', 'fi']) assert.ok(pauseSeconds(holdOf(200, undefined, { language })) >= 1)
})

test('[WQ4] a message has a bound and a place to be told of; silence ends in Hangup', () => {
  const twiml = overflow({ kind: 'voicemail' }, 'fr', partyOf('+15005550006'), urls)
  assert.match(twiml, /<Say language="fr-FR">Laissez votre message/)
  const record = /<Record ([^>]*)\/>/.exec(twiml)![1]!
  for (const attribute of [
    `maxLength="${VOICEMAIL_MAX_SECONDS}"`,
    `action="${urls.voicemailUrl}"`,
    `recordingStatusCallback="${urls.recordingUrl}"`,
    'recordingStatusCallbackEvent="completed"',
    'finishOnKey="#"',
    'method="POST"',
  ])
    assert.ok(record.includes(attribute), `${attribute} in ${record}`)
  assert.match(twiml, /<\/Say><Hangup\/><\/Response>$/)
})

test('[WQ4] a human is dialled after a sentence; a mere end is a sentence and Hangup', () => {
  const human = overflow({ kind: 'transfer', number: '+15005550009' }, 'es', partyOf('+15005550006'), urls)
  assert.match(human, /<Say language="es-ES">.*<\/Say><Dial action="https:\/\/voice\.example\.test\/twilio\/next"/)
  assert.match(human, /<Number>\+15005550009<\/Number>/)
  assert.match(
    overflow({ kind: 'hang-up' }, 'it', partyOf(''), urls),
    /<Response><Say language="it-IT">.*<\/Say><Hangup\/>/,
  )
})

test('[P11][P30][WQ5] a caller with a number presses 1; one without is offered no call-back; no digit ends in Hangup', () => {
  const here = overflow({ kind: 'call-back' }, 'en', partyOf('+15005550006'), urls)
  assert.match(
    here,
    /<Gather input="dtmf" action="[^"]*call-back\?language=en" method="POST" timeout="\d" numDigits="1"><Say language="en-US">.*press 1\.<\/Say><\/Gather><Say/,
  )
  assert.match(here, /<\/Gather><Say.*<\/Say><Hangup\/><\/Response>$/)
  for (const from of ['anonymous', '+266696687', ''])
    assert.match(
      overflow({ kind: 'call-back' }, 'en', partyOf(from), urls),
      /<Response><Say language="en-US">We are sorry.*<\/Say><Hangup\/><\/Response>$/,
      from,
    )
})

test('[P11][P30][WQ5] only a press of 1 of somebody with a number asks for a call-back', () => {
  for (const [from, digits, wants] of [
    ['+15005550006', '1', true],
    ['+15005550006', '2', false],
    ['+15005550006', '', false],
    ['anonymous', '1', false],
    ['anonymous', '4930123456', false],
    ['', '1', false],
    ['sip:callControl@example.test', '1', false],
    ['+266696687', '1', false],
  ] as const)
    assert.equal(wantsCallBack(partyOf(from), digits), wants, `${from} ${digits}`)
})
