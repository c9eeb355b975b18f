import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { sign } from './http/signature.ts'
import type { Faults } from './options.ts'
import type { CallerScript, CallReport } from './sim.ts'
import type { FakePlane, PlaneStream } from './testing/fake-plane.ts'
import { pairs } from './testing/pair.ts'

const pair = pairs(after)
type Outcome = { closedMs: number; report: CallReport; stream: PlaneStream; plane: FakePlane; events: string[] }

async function callWith(
  faults: Faults,
  steps: CallerScript['steps'] = [{ stayMs: 400 }],
  onStream: (stream: PlaneStream) => void = () => {},
): Promise<Outcome> {
  const { plane, sim } = await pair()
  plane.onStream = onStream
  const report = await sim.placeCall({ caller: { steps, maxMs: 8000 }, faults }).done
  const stream = plane.streams[0]!
  await stream.closed
  return {
    report,
    stream,
    plane,
    closedMs: performance.now(),
    events: stream.messages.map((seen) => seen.message.event),
  }
}

const chunks = (stream: PlaneStream): number[] =>
  stream.messages.flatMap(({ message }) => (message.media === undefined ? [] : Number(message.media.chunk)))

describe('faults', { concurrency: true }, () => {
  test('lost, doubled and swapped media show in chunk and timestamp', async () => {
    const lost = await callWith({ loseEvery: 5 })
    assert.deepEqual(chunks(lost.stream).slice(0, 6), [1, 2, 3, 4, 6, 7])
    const sequence = lost.stream.messages.flatMap(({ message }) => message.sequenceNumber ?? [])
    assert.deepEqual(sequence.slice(0, 6), ['1', '2', '3', '4', '5', '6'])
    assert.deepEqual(chunks((await callWith({ duplicateEvery: 3 })).stream).slice(0, 5), [1, 2, 3, 3, 4])
    assert.deepEqual(chunks((await callWith({ swapEvery: 4 })).stream).slice(0, 6), [1, 2, 3, 5, 4, 6])
  })

  test('start can be late, missing, or come after media', async () => {
    const late = await callWith({ startDelayMs: 200 })
    const gapMs = late.stream.messages[1]!.atMs - late.stream.messages[0]!.atMs
    assert.deepEqual(late.events.slice(0, 3), ['connected', 'start', 'media'])
    // How much later it comes is the machine's affair.
    assert.ok(gapMs > 180, `${gapMs} ms`)
    const missing = await callWith({ omitStart: true })
    assert.deepEqual(missing.events.slice(0, 2), ['connected', 'media'])
    const early = await callWith({ mediaFirst: true, startDelayMs: 100 })
    assert.ok(early.events.indexOf('media') < early.events.indexOf('start'))
  })

  test('marks can be late, never come, or be missing after a clear; digits can come twice', async () => {
    const say = (stream: PlaneStream): void => {
      stream.say(Buffer.alloc(160, 0x90))
      stream.mark('m')
    }
    const late = await callWith({ markDelayMs: 150 }, undefined, say)
    const mark = late.stream.messages.find((seen) => seen.message.event === 'mark')!
    assert.ok(mark.atMs - late.stream.messages[1]!.atMs > 150)
    assert.ok(!(await callWith({ neverEchoMarks: true }, undefined, say)).events.includes('mark'))
    const cleared = await callWith({ clearWithoutMarks: true }, undefined, (stream) => {
      stream.say(Buffer.alloc(8000, 0x90))
      stream.mark('m')
      stream.clear()
    })
    assert.equal(cleared.report.clearsReceived, 1)
    assert.ok(!cleared.events.includes('mark'))
    const digits = await callWith({ duplicateDtmf: true }, [{ dtmf: '12' }])
    const pressed = digits.stream.messages.flatMap(({ message }) => message.dtmf ?? [])
    assert.deepEqual(
      pressed.map((one) => one.digit),
      ['1', '1', '2', '2'],
    )
    assert.equal(pressed[0]!.track, 'inbound_track')
  })

  test('a stream can end by reset, without stop, or with stop and no close', async () => {
    const reset = await callWith({ endOfStream: 'reset' })
    assert.equal(await reset.stream.closed, 1006)
    assert.ok(!reset.events.includes('stop'))
    const abrupt = await callWith({ endOfStream: 'close-without-stop' })
    assert.equal(await abrupt.stream.closed, 1000)
    assert.ok(!abrupt.events.includes('stop'))
    const open = await callWith({ endOfStream: 'stop-without-close' })
    const stopMs = open.stream.messages.at(-1)!.atMs
    assert.equal(open.events.at(-1), 'stop')
    assert.ok(open.closedMs - stopMs > 1500, 'the socket stayed open after stop')
  })

  test('a script that drops the socket goes on with the next TwiML, and this is not a drop', async () => {
    const { report, events } = await callWith({}, [{ pauseMs: 200 }, { dropSocket: 'reset' }, { stayMs: 5000 }])
    assert.equal(report.endCause, 'twiml-hangup')
    assert.equal(report.wasDropped, false)
    assert.equal(report.streamEnds[0]!.by, 'script')
    assert.ok(!events.includes('stop'))
  })

  test('a plane that dies mid-call is a drop with close code 1006', async () => {
    const { report } = await callWith({}, [{ stayMs: 5000 }], (stream) => stream.socket.terminate())
    assert.equal(report.wasDropped, true)
    assert.equal(report.closeCode, 1006)
    assert.equal(report.endCause, 'twiml-hangup')
  })

  test('[D2] bad messages of the plane are warned of once and the call goes on', async () => {
    const { report } = await callWith({}, [{ stayMs: 2_500 }], (stream) => {
      const { socket, streamSid } = stream
      socket.send('not json')
      socket.send('null')
      socket.send(JSON.stringify({ event: 'media', streamSid: 'MZother', media: { payload: '////' } }))
      socket.send(JSON.stringify({ event: 'dance', streamSid }))
      socket.send(Buffer.from([1, 2, 3]))
      socket.send(Buffer.from([4]))
      const minute = Buffer.alloc(480_000, 0xff)
      for (let i = 0; i < 12; i++) stream.say(minute)
    })
    assert.deepEqual(
      report.warnings.map((warning) => warning.code),
      [31951, 31950, 31931],
    )
    assert.equal(report.endCause, 'caller-hung-up')
    assert.equal(report.agentReceivedMs, 600_000)
  })

  test('bad messages of the carrier reach the plane', async () => {
    const { events } = await callWith({ badFrames: ['binary', 'non-json', 'unknown-event'] }, [{ stayMs: 1700 }])
    const bad = events.filter((event) => ['binary', 'not-json', 'weather'].includes(event))
    assert.deepEqual(bad, ['binary', 'not-json', 'weather'])
  })

  test('[RG1][RG2] a carrier that stops reading sends on, and takes what waited when it reads again', async () => {
    const stopReading = { fromMs: 100, forMs: 400 }
    const { plane, sim } = await pair()
    const bytes: number[] = []
    plane.onStream = (stream) => void setTimeout(() => stream.mark('late'), 200)
    const call = sim.placeCall({ caller: { steps: [{ stayMs: 1_800 }], maxMs: 8_000 }, faults: { stopReading } })
    call.record.watch((event, facts) => {
      if (event.startsWith('reading-')) bytes.push(Number(facts?.bytes))
    })
    await call.done
    const { messages } = plane.streams[0]!
    const atMs = (event: string): number => messages.find(({ message }) => message.event === event)!.atMs
    const echoedMs = atMs('mark') - atMs('start')
    const inStop = messages.filter((one) => one.message.media && one.atMs < atMs('mark')).length
    // Read at 500 ms by the carrier's clock; this process may have seen the start of the stream late.
    assert.ok(echoedMs > 300, `${echoedMs} ms`)
    assert.ok(inStop >= 15, `${inStop} frames`)
    assert.equal(bytes.length, 3)
    assert.equal(bytes[1], bytes[0])
    assert.ok(bytes[2]! > bytes[1]!)
  })

  test('two webhooks for one call go out at once, and a used stream URL is tried again', async () => {
    const { plane, report } = await callWith({ duplicateWebhook: true, reuseStreamUrl: true })
    const voices = plane.requests.filter((seen) => seen.path === '/voice')
    assert.equal(voices.length, 2)
    assert.equal(voices[0]!.params.CallSid, voices[1]!.params.CallSid)
    assert.equal(report.duplicateAnswers?.length, 2)
    assert.equal(report.reuseStatus, 101)
  })

  test('wrong signatures are really wrong', async () => {
    const right = await callWith({})
    const wrong = await callWith({ wrongSignature: 'both' })
    const https = await callWith({ httpsSignedUpgrade: true })
    const token = '12345678901234567890123456789012'
    const signatureOf = (outcome: Outcome) => outcome.stream.request.headers['x-twilio-signature']
    const urlOf = (outcome: Outcome) => `${outcome.plane.wsBase}${outcome.stream.request.url}`
    assert.equal(signatureOf(right), sign(token, urlOf(right)))
    assert.notEqual(signatureOf(wrong), sign(token, urlOf(wrong)))
    assert.equal(signatureOf(https), sign(token, urlOf(https).replace('ws:', 'http:')))
    const voice = wrong.plane.requests[0]!
    assert.notEqual(voice.headers['x-twilio-signature'], sign(token, `${wrong.plane.base}/voice`, voice.params))
  })
})
