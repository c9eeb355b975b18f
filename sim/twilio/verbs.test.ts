// The verbs that other people's TwiML uses beside Connect: Start, Stop, Gather and Record.
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import type { CallerScript } from './sim.ts'
import type { FakePlane } from './testing/fake-plane.ts'
import { pairs } from './testing/pair.ts'

const pair = pairs(after)
const PATIENT: CallerScript = { steps: [{ stayMs: 20_000 }], maxMs: 20_000 }

/** Answers each path with its TwiML, the query apart. */
function route(plane: FakePlane, routes: (plane: FakePlane) => Record<string, string>): void {
  plane.onRequest = (seen) => ({ body: `<Response>${routes(plane)[seen.path.split('?')[0]!] ?? ''}</Response>` })
}

test('[Z5] [I6] Start opens a stream beside the document with its parameters; Stop ends it, and neither is a drop', async () => {
  const { plane, sim } = await pair()
  route(plane, ({ wsBase }) => ({
    '/voice': `<Start><Stream name="ears" url="${wsBase}/ears"><Parameter name="lang" value="en"/></Stream></Start>
      <Pause length="1"/><Stop><Stream name="ears"/></Stop><Pause length="0"/><Hangup/>`,
  }))
  const report = await sim.placeCall({ caller: PATIENT }).done
  const [stream] = plane.streams
  await stream!.closed
  const events = stream!.messages.map(({ message }) => message.event)
  assert.deepEqual(events.slice(0, 3), ['connected', 'start', 'media'])
  assert.equal(events.at(-1), 'stop')
  assert.ok(events.length > 30, `${events.length} messages in a second`)
  const start = stream!.messages[1]!.message.start as { customParameters: Record<string, string> }
  assert.deepEqual(start.customParameters, { lang: 'en' })
  assert.deepEqual(
    report.verbs.map(({ verb }) => verb),
    ['Start', 'Pause', 'Stop', 'Pause', 'Hangup'],
  )
  assert.ok(report.setUpMs !== undefined)
  assert.deepEqual([report.wasDropped, report.streams, report.warnings], [false, 1, []])
})

test('[I6] a stream of Start lives through the document and ends with the call, beside the conversation of a Connect', async () => {
  const { plane, sim } = await pair()
  route(plane, ({ wsBase }) => ({
    '/voice': `<Start><Stream url="${wsBase}/ears"/></Start><Connect><Stream url="${wsBase}/talk"/></Connect>`,
  }))
  const report = await sim.placeCall({ caller: { steps: [{ stayMs: 800 }], maxMs: 5_000 } }).done
  await Promise.all(plane.streams.map(({ closed }) => closed))
  const heard = plane.streams.map(({ request, messages }) => [request.url, messages.at(-1)!.message.event])
  assert.deepEqual(heard, [
    ['/ears', 'stop'],
    ['/talk', 'stop'],
  ])
  assert.deepEqual([report.wasDropped, report.endCause], [false, 'caller-hung-up'])
  const frames = plane.streams.map(({ messages }) => messages.filter(({ message }) => message.event === 'media').length)
  assert.ok(
    frames.every((count) => count > 10),
    frames.join(', '),
  )
})

test('[Z6] Gather says what is in it and asks its action with what the caller answers: keys or words', async () => {
  for (const [attributes, answer] of [
    ['numDigits="1"', { Digits: '4' }],
    ['input="speech"', { SpeechResult: 'a table for two' }],
    ['input="dtmf speech"', { SpeechResult: 'a table for two' }],
  ] as const) {
    const { plane, sim } = await pair({ verbTimeScale: 0.05, gather: { digits: '42', speech: 'a table for two' } })
    route(plane, () => ({
      '/voice': `<Gather ${attributes} action="/chosen"><Say>What can I do?</Say></Gather><Say>never</Say>`,
      '/chosen': '<Hangup/>',
    }))
    const report = await sim.placeCall({ caller: PATIENT }).done
    const chosen = plane.requests.find(({ path }) => path === '/chosen')!.params
    for (const [name, value] of Object.entries(answer)) assert.equal(chosen[name], value)
    assert.deepEqual(
      report.verbs.map(({ verb }) => verb),
      ['Gather', 'Say', 'Hangup'],
    )
  }
})

test('[Z6] a caller who answers nothing lets the document go on', async () => {
  const { plane, sim } = await pair({ verbTimeScale: 0.01 })
  route(plane, () => ({ '/voice': '<Gather action="/chosen"><Pause/></Gather><Say>Nobody?</Say><Hangup/>' }))
  const report = await sim.placeCall({ caller: PATIENT }).done
  assert.deepEqual(
    report.verbs.map(({ verb }) => verb),
    ['Gather', 'Pause', 'Say', 'Hangup'],
  )
  assert.ok(plane.requests.every(({ path }) => path !== '/chosen'))
})

test('[Z7] Record asks its action with the recording and tells its callback', async () => {
  const { plane, sim } = await pair({ verbTimeScale: 0.01 })
  route(plane, () => ({
    '/voice': '<Record maxLength="2" action="/left" recordingStatusCallback="/recorded"/><Say>never</Say>',
    '/left': '<Hangup/>',
  }))
  const report = await sim.placeCall({ caller: PATIENT }).done
  const left = plane.requests.find(({ path }) => path === '/left')!.params
  assert.match(left.RecordingSid!, /^RE[0-9a-f]{32}$/)
  assert.ok(left.RecordingUrl!.endsWith(left.RecordingSid!))
  assert.equal(left.RecordingDuration, '2')
  const recorded = plane.requests.find(({ path }) => path === '/recorded')!.params
  assert.deepEqual([recorded.RecordingSid, recorded.RecordingStatus], [left.RecordingSid, 'completed'])
  assert.equal(report.endCause, 'twiml-hangup')
})

test('what may not be dialled is not, wherever it is named', async () => {
  const near = (url: string): boolean => new URL(url).hostname === '127.0.0.1'
  const { plane, sim } = await pair({ mayDial: near })
  route(plane, () => ({ '/voice': '<Redirect>https://voice.example.com/next</Redirect>' }))
  const redirected = await sim.placeCall({ caller: PATIENT }).done
  assert.equal(redirected.endCause, 'webhook-failed')
  assert.match(redirected.warnings[0]!.text, /voice\.example\.com\/next is not on this machine or network/)
  route(plane, () => ({ '/voice': '<Connect><Stream url="wss://voice.example.com/m"/></Connect>' }))
  const streamed = await sim.placeCall({ caller: PATIENT }).done
  assert.match(streamed.streamEnds[0]!.text, /is not on this machine or network/)
})
