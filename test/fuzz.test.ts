// Both wires under generated and mutated messages, over real sockets: nothing throws, each call ends once, nothing is left.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import fc from 'fast-check'
import { type WebSocket, WebSocketServer } from 'ws'
import { Plane } from './plane.ts'
import { RawCarrier, type RawStream } from './raw-carrier.ts'

/** A call whose socket broke keeps its slot while its carrier may come back for it; these carriers never do. */
const ROOM = { CALLS_MAX: '20000' }

/** Each property stops looking for trouble after this long. */
const TIME_MAX_MS = 4_000
const CLOSED_MAX_MS = 20_000
const bounded = { interruptAfterTimeLimit: TIME_MAX_MS, markInterruptAsFailure: false }

/** Runs `fuzz` and tells of everything that was thrown past all handlers meanwhile. */
async function withoutThrowing(fuzz: () => Promise<void>): Promise<void> {
  const thrown: unknown[] = []
  const onThrown = (error: unknown): void => void thrown.push(error)
  process.on('uncaughtException', onThrown)
  process.on('unhandledRejection', onThrown)
  try {
    await fuzz()
    await new Promise((resolve) => setImmediate(resolve))
  } finally {
    process.off('uncaughtException', onThrown)
    process.off('unhandledRejection', onThrown)
  }
  assert.deepEqual(thrown, [])
}

/** Ends the call from the carrier's side, whatever is left of it, and holds it to one end. */
async function endOnce(plane: Plane, stream: RawStream): Promise<void> {
  await stream.over()
  const late = new Promise((_, reject) => setTimeout(reject, CLOSED_MAX_MS, new Error('the stream stays open')).unref())
  await Promise.race([stream.closed, late])
  const ends = plane.ended.filter(({ call }) => call.callSid === stream.callSid)
  assert.equal(ends.length, 1)
  plane.ended.length = 0
}

/** The text with one place of it replaced. */
const spoilt = (text: fc.Arbitrary<string>): fc.Arbitrary<string> =>
  fc.tuple(text, fc.nat(), fc.string({ maxLength: 3 })).map(([whole, where, bit]) => {
    const at = where % (whole.length + 1)
    return whole.slice(0, at) + bit + whole.slice(at + 1)
  })

const STREAM_SID = `MZ${'1'.repeat(32)}`
const carrierMessage = fc
  .oneof(
    fc.record({
      event: fc.constant('media'),
      sequenceNumber: fc.nat().map(String),
      streamSid: fc.constantFrom(STREAM_SID, STREAM_SID, 'MZ', ''),
      media: fc.record({
        track: fc.constantFrom('inbound', 'inbound', 'outbound'),
        chunk: fc.nat().map(String),
        timestamp: fc.oneof(fc.nat(100_000).map(String), fc.constantFrom('x', '-1', '1e9')),
        payload: fc.oneof(fc.base64String({ maxLength: 400 }), fc.string()),
      }),
    }),
    fc.record({
      event: fc.constantFrom('mark', 'dtmf', 'start', 'connected', 'x'),
      streamSid: fc.constant(STREAM_SID),
      mark: fc.oneof(fc.record({ name: fc.constantFrom('vp:0:1', 'vp:0:2', 'vp:7:1', '') }), fc.anything()),
      dtmf: fc.oneof(fc.record({ digit: fc.constantFrom('1', '#', 'x') }), fc.anything()),
      start: fc.anything(),
    }),
    fc.anything(),
  )
  .map((value) => JSON.stringify(value) ?? '')
const carrierMessages = fc.array(
  fc.oneof(carrierMessage, spoilt(carrierMessage), fc.string(), fc.uint8Array({ maxLength: 200 })),
  { maxLength: 30 },
)

test('[TALK-8][MW2] the carrier may say anything on a live stream', () =>
  withoutThrowing(() =>
    Plane.with({ env: ROOM }, async (plane) => {
      const carrier = new RawCarrier(plane.edge.url)
      const property = fc.asyncProperty(carrierMessages, fc.boolean(), async (messages, isCut) => {
        const stream = await carrier.open()
        for (const message of messages) stream.socket.send(message)
        stream.media(200_000)
        if (isCut) stream.socket.terminate()
        else if (messages.length % 2 === 0) stream.send({ event: 'stop', streamSid: STREAM_SID })
        await endOnce(plane, stream)
      })
      await fc.assert(property, { numRuns: 300, ...bounded })
      await plane.settled()
      await plane.servesANormalCall()
    }),
  ))

test('[TALK-8][FR3] the carrier may write any bytes on the socket of a live stream', () =>
  withoutThrowing(() =>
    Plane.with({ env: ROOM }, async (plane) => {
      const carrier = new RawCarrier(plane.edge.url)
      const property = fc.asyncProperty(
        fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 8 }),
        async (pieces) => {
          const stream = await carrier.open()
          const { _socket: socket } = stream.socket as unknown as { _socket: { write(bytes: Uint8Array): void } }
          for (const piece of pieces) socket.write(piece)
          await endOnce(plane, stream)
        },
      )
      await fc.assert(property, { numRuns: 200, ...bounded })
      await plane.settled()
      await plane.servesANormalCall()
    }),
  ))

const AUDIO = Buffer.alloc(800, 0x55).toString('base64')
const of = (n: number, rest: object): object => ({ response_id: `resp_${n}`, item_id: `item_${n}`, ...rest })
/** What a model says in one answer, in order; the fuzz drops, repeats, moves and spoils parts of it. */
const answer = (n: number): object[] => [
  { type: 'input_audio_buffer.speech_started', item_id: `said_${n}`, audio_start_ms: 100 },
  { type: 'input_audio_buffer.speech_stopped', item_id: `said_${n}`, audio_end_ms: 900 },
  { type: 'response.created', response: { id: `resp_${n}`, status: 'in_progress', output: [] } },
  { type: 'response.output_audio.delta', ...of(n, { delta: AUDIO }) },
  { type: 'response.output_audio_transcript.delta', ...of(n, { delta: 'Good morning' }) },
  { type: 'conversation.item.input_audio_transcription.completed', item_id: `said_${n}`, transcript: 'Hello.' },
  { type: 'response.output_audio.delta', ...of(n, { delta: AUDIO.slice(0, 401) }) },
  { type: 'response.output_audio.done', ...of(n, {}) },
  { type: 'response.output_audio_transcript.done', ...of(n, { transcript: 'Good morning to you.' }) },
  {
    type: 'response.output_item.done',
    ...of(n, {
      item: { id: `f_${n}`, type: 'function_call', call_id: `call_${n}`, name: 'get_office_hours', arguments: '{}' },
    }),
  },
  { type: 'conversation.item.done', item: { id: `item_${n}`, type: 'message', role: 'assistant', content: [] } },
  { type: 'error', error: { code: 'conversation_already_has_active_response', event_id: 'vp-1' } },
  { type: 'rate_limits.updated', rate_limits: [] },
  { type: 'response.done', response: { id: `resp_${n}`, status: 'completed', output: [], usage: null } },
]
const ANSWERS = [1, 2, 3].flatMap(answer)
const spoiltEvent = fc
  .record({
    at: fc.nat(ANSWERS.length - 1),
    key: fc.nat(),
    value: fc.oneof(fc.anything(), fc.constantFrom('', 'resp_1', -1)),
  })
  .map(({ at, key, value }) => {
    const event: Record<string, unknown> = { ...ANSWERS[at] }
    const keys = Object.keys(event)
    event[keys[key % keys.length]!] = value
    return JSON.stringify(event)
  })
const plainEvent = fc.nat(ANSWERS.length - 1).map((at) => JSON.stringify(ANSWERS[at]))
const modelMessages = fc
  .tuple(
    fc.subarray(ANSWERS.map((event) => JSON.stringify(event))),
    fc.array(
      fc.tuple(
        fc.nat(),
        fc.oneof(plainEvent, spoiltEvent, spoilt(plainEvent), fc.string(), fc.uint8Array({ maxLength: 99 })),
      ),
      {
        maxLength: 20,
      },
    ),
    fc.constantFrom('stays', 'stays', 'closes', 'cuts'),
  )
  .map(([subset, extra, end]) => {
    const messages: (string | Uint8Array)[] = [...subset]
    for (const [where, message] of extra) messages.splice(where % (messages.length + 1), 0, message)
    return { messages, end }
  })

test('[TALK-8][OW3] the model may say anything on a live link, close it and cut it', async () => {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0 })
  await once(server, 'listening')
  let script: { messages: (string | Uint8Array)[]; end: string } = { messages: [], end: 'stays' }
  server.on('connection', (socket: WebSocket) => {
    socket.on('error', () => undefined)
    socket.send('{"type":"session.created","session":{}}')
    socket.on('message', (text) => {
      if (!String(text).includes('"session.update"')) return
      socket.send('{"type":"session.updated","session":{}}')
      for (const message of script.messages) socket.send(message)
      if (script.end === 'cuts') socket.terminate()
      else if (script.end === 'closes') socket.close(1011)
    })
  })
  const modelUrl = `ws://127.0.0.1:${(server.address() as AddressInfo).port}/`
  try {
    await withoutThrowing(() =>
      Plane.with({ modelUrl, env: ROOM }, async (plane) => {
        const carrier = new RawCarrier(plane.edge.url)
        const property = fc.asyncProperty(modelMessages, async (next) => {
          script = next
          const stream = await carrier.open()
          await new Promise((resolve) => setTimeout(resolve, 10))
          await endOnce(plane, stream)
        })
        await fc.assert(property, { numRuns: 250, ...bounded })
        await plane.settled()
        script = { messages: answer(1).map((event) => JSON.stringify(event)), end: 'stays' }
        const stream = await carrier.open()
        await plane.until(() => stream.heard.some(({ event }) => event === 'media'))
        await endOnce(plane, stream)
      }),
    )
  } finally {
    for (const client of server.clients) client.terminate()
    await new Promise((resolve) => server.close(resolve))
  }
})
