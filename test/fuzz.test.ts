// Both wires under generated and mutated messages: nothing throws, calls end or go on, nothing is left.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import fc from 'fast-check'
import { type WebSocket, WebSocketServer } from 'ws'
import { Call } from '../src/call/call.ts'
import type { LegListener } from '../src/call/ports.ts'
import { MediaStream } from '../src/carrier/twilio/media-stream.ts'
import { readConfig } from '../src/config.ts'
import { callSettings } from '../src/desk.ts'
import { FakeClock, systemClock } from '../src/kit/clock.ts'
import type { CallId, CallSid } from '../src/kit/ids.ts'
import { silentLog } from '../src/kit/log.ts'
import { Wheel } from '../src/kit/wheel.ts'
import { modelMaker } from '../src/model-maker.ts'
import { Metrics } from '../src/ops/metrics.ts'
import { noTraces } from '../src/ops/traces.ts'
import { makeClinicPack } from '../src/packs/clinic/clinic.ts'
import { Watch } from '../src/watch.ts'

const CALL_SID = `CA${'a'.repeat(32)}`
const STREAM_SID = `MZ${'b'.repeat(32)}`
const START = JSON.stringify({
  event: 'start',
  streamSid: STREAM_SID,
  start: { streamSid: STREAM_SID, callSid: CALL_SID, mediaFormat: { encoding: 'audio/x-mulaw' } },
})

const carrierMessage = fc
  .oneof(
    fc.record({
      event: fc.constant('media'),
      sequenceNumber: fc.nat().map(String),
      streamSid: fc.constantFrom(STREAM_SID, 'MZ', ''),
      media: fc.record({
        track: fc.constantFrom('inbound', 'outbound'),
        chunk: fc.nat().map(String),
        timestamp: fc.oneof(fc.nat().map(String), fc.constant('x')),
        payload: fc.oneof(fc.base64String(), fc.string()),
      }),
    }),
    fc.record({
      event: fc.constantFrom('mark', 'dtmf', 'stop', 'start', 'connected', 'x'),
      streamSid: fc.constant(STREAM_SID),
      mark: fc.anything(),
      dtmf: fc.anything(),
      start: fc.anything(),
    }),
    fc.anything(),
  )
  .map((value) => JSON.stringify(value) ?? '')
const mutated = fc
  .tuple(carrierMessage, fc.nat(), fc.string({ maxLength: 3 }))
  .map(([text, at, bit]) => text.slice(0, at % (text.length + 1)) + bit + text.slice((at % (text.length + 1)) + 1))

test('[MW2] the carrier may say anything on a live stream', () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(carrierMessage, mutated, fc.string()), { maxLength: 20 }), (messages) => {
      const wheel = new Wheel({ clock: new FakeClock(), onError: assert.ifError, manual: true })
      let ends = 0
      const listener: LegListener = { onMedia() {}, onMark() {}, onDigit() {}, onLegEnd: () => (ends += 1) }
      const stream = new MediaStream(CALL_SID, () => listener, { wheel, log: silentLog })
      for (const text of [START, ...messages]) {
        const bytes = Buffer.from(text)
        stream.onText(bytes, 0, bytes.length)
      }
      stream.onClosed({ code: 1006, reason: '', cause: 'lost' })
      assert.equal(ends, 1)
      assert.equal(wheel.size, 0)
    }),
    { numRuns: 400 },
  )
})

const TYPES = [
  'session.created',
  'session.updated',
  'error',
  'input_audio_buffer.speech_started',
  'input_audio_buffer.speech_stopped',
  'response.created',
  'response.output_audio.delta',
  'response.output_audio.done',
  'response.output_item.done',
  'conversation.item.done',
  'conversation.item.input_audio_transcription.completed',
  'response.done',
  'made.up',
]
const some = fc.oneof(
  fc.string({ maxLength: 12 }),
  fc.integer(),
  fc.constant(null),
  fc.record({
    id: fc.string({ maxLength: 4 }),
    type: fc.constantFrom('message', 'function_call', 'x'),
    status: fc.constantFrom('completed', 'failed', 'cancelled'),
    call_id: fc.string({ maxLength: 4 }),
    name: fc.constantFrom('get_office_hours', 'no_such_tool'),
    arguments: fc.constantFrom('{}', '{', '[]'),
  }),
)
const modelEvent = fc
  .record(
    {
      type: fc.constantFrom(...TYPES),
      event_id: some,
      response_id: some,
      item_id: some,
      delta: fc.oneof(some, fc.base64String()),
      transcript: some,
      item: some,
      response: some,
      error: some,
    },
    { requiredKeys: ['type'] },
  )
  .map((event) => JSON.stringify(event))

test('[OW3] the model may say anything on a live link', async () => {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0 })
  await once(server, 'listening')
  const reading = readConfig({
    OPENAI_API_KEY: 'a-key-for-tests',
    OPENAI_REALTIME_URL: `ws://127.0.0.1:${(server.address() as AddressInfo).port}/`,
  })
  if (reading.kind === 'invalid') throw new Error('wrong configuration')
  const { config } = reading
  const thrown: unknown[] = []
  const onThrown = (error: unknown): void => void thrown.push(error)
  process.on('uncaughtException', onThrown)
  process.on('unhandledRejection', onThrown)
  const wheel = new Wheel({ clock: systemClock, onError: onThrown })
  const pack = makeClinicPack({ clock: systemClock, log: silentLog })
  const makeModel = modelMaker(config, pack, { clock: systemClock, wheel, liveCalls: () => 1 })
  let messages: string[] = []
  server.on('connection', (socket: WebSocket) => {
    socket.send('{"type":"session.created","session":{}}')
    socket.on('message', (text) => {
      if (!String(text).includes('session.update')) return
      socket.send('{"type":"session.updated","session":{}}')
      for (const message of messages) socket.send(message)
    })
  })
  await fc.assert(
    fc.asyncProperty(fc.array(modelEvent, { maxLength: 25 }), async (events) => {
      messages = events
      const ids = { callId: 'call_fuzz' as CallId, callSid: CALL_SID as CallSid }
      const packCall = await pack.openCall({ ...ids, from: '', to: '', endCall() {}, transferCall() {} })
      const meter = new Watch({
        metrics: new Metrics(),
        traces: noTraces,
        clock: systemClock,
        callId: ids.callId,
        onEntry: undefined,
      })
      let ends = 0
      const call = new Call(
        {
          ...ids,
          settings: callSettings(config, packCall),
          playout: { leadMs: 300, chunkMs: 200, markEveryMs: 400 },
          mediaWatchdogMs: 30_000,
          onEnded: () => (ends += 1),
        },
        (listener) => makeModel(listener, packCall, silentLog),
        { clock: systemClock, wheel, log: silentLog, meter },
      )
      call.start()
      call.attach({ streamSid: STREAM_SID, sendAudio() {}, clear() {}, close() {} })
      await new Promise((resolve) => setTimeout(resolve, 15))
      call.carrierEnded()
      call.carrierEnded()
      assert.equal(ends, 1)
      assert.equal(wheel.size, 0)
    }),
    { numRuns: 120 },
  )
  for (const client of server.clients) client.terminate()
  await new Promise((resolve) => server.close(resolve))
  process.off('uncaughtException', onThrown)
  process.off('unhandledRejection', onThrown)
  assert.deepEqual(thrown, [])
})
