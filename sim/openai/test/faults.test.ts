import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { after, beforeEach, test } from 'node:test'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { NO_FAULTS } from '../options.ts'
import { startOpenAiSim } from '../sim.ts'
import { buzz, connect, type Seen, silence } from './client.ts'

const folder = await mkdtemp(join(tmpdir(), 'openai-sim-'))
const witnessFile = join(folder, 'witness.jsonl')
const sim = await startOpenAiSim({ thinkMs: 10, speed: 20, badKeys: ['bad'], ceiling: 3, witnessFile })
after(async () => {
  await sim.close()
  await rm(folder, { recursive: true, force: true })
})
beforeEach(() => Object.assign(sim.faults, structuredClone(NO_FAULTS)))

const post = (path: string, body: unknown) =>
  fetch(`${sim.controlUrl}${path}`, { method: 'POST', body: JSON.stringify(body) })
const refusal = (url: string, options: Parameters<typeof connect>[1]) =>
  connect(url, options).then(
    () => assert.fail('the session was opened'),
    ({ status, body }: { status: number; body: string }) => ({ status, error: JSON.parse(body).error }),
  )

type Schema = { safeParse(value: unknown): { success: boolean; error?: unknown } }
const schemaFile = join(
  dirname(fileURLToPath(import.meta.resolve('@openai/agents-realtime'))),
  'openaiRealtimeEvents.mjs',
)
const { realtimeServerEventSchema } = (await import(pathToFileURL(schemaFile).href)) as {
  realtimeServerEventSchema: Schema
}

function assertParse(events: Seen[]): void {
  // Kinds that the SDK's union does not list; it passes them on as generic events.
  const unlisted = /^(input_audio_buffer\.timeout_triggered|response\.sim_unknown\.hint)$/
  for (const event of events) {
    if (unlisted.test(event.type)) continue
    const parsed = realtimeServerEventSchema.safeParse(event)
    assert.ok(parsed.success, `${event.type}: ${JSON.stringify(parsed.error)} in ${JSON.stringify(event)}`)
  }
}

test('[U1] keys, paths, models and refusals on demand are answered by HTTP with the body of the API', async () => {
  assert.deepEqual((await refusal(sim.url, { headers: {} })).status, 401)
  assert.equal((await refusal(sim.url, { headers: { 'api-key': 'bad' } })).error.code, 'invalid_api_key')
  assert.equal((await refusal(sim.url.replace('realtime', 'elsewhere'), {})).status, 404)
  for (const status of [403, 404, 500, 503]) {
    sim.faults.refuse = { status, code: 'told_to', count: 1 }
    assert.deepEqual((await refusal(sim.url, {})).status, status)
  }
  const azure = await connect(sim.url.replace('/v1', '/openai/v1'), { headers: { 'api-key': 'good' } })
  await azure.next('session.created')
  await azure.close()
})

test('[U2] the beta header is told off and closed with 4000', async () => {
  const client = await connect(sim.url, { headers: { authorization: 'Bearer k', 'openai-beta': 'realtime=v1' } })
  assert.equal((await client.next('error')).error.code, 'beta_api_shape_disabled')
  assert.deepEqual(await client.closed, { code: 4000, reason: 'invalid_request_error.beta_api_shape_disabled' })
})

test('[U1] above the ceiling comes 429, below it again a session', async () => {
  const clients = await Promise.all([connect(sim.url), connect(sim.url), connect(sim.url)])
  const { status, error } = await refusal(sim.url, {})
  assert.deepEqual([status, error.code], [429, 'rate_limit_exceeded'])
  await Promise.all(clients.map((client) => client.close()))
  await (await connect(sim.url)).close()
})

test('[U3] the ceiling can also refuse after the upgrade', async () => {
  const full = await startOpenAiSim({ ceiling: 0, ceilingMode: 'after-upgrade' })
  const client = await connect(full.url)
  assert.equal((await client.next('error')).error.code, 'rate_limit_exceeded')
  assert.equal((await client.closed).code, 4429)
  await full.close()
})

test('[S2] a session at its age cap gets session_expired and close 1001', async () => {
  const short = await startOpenAiSim({ sessionCapMs: 60 })
  const client = await connect(short.url)
  assert.equal((await client.next('error')).error.code, 'session_expired')
  assert.equal((await client.closed).code, 1001)
  await short.close()
})

test('late deltas, reordered ends, doubled calls, unknown events and slow updates are sent on demand', async () => {
  await post('/faults', {
    set: {
      lateDeltas: 2,
      reorderDones: true,
      duplicateCalls: true,
      unknownEvents: true,
      updatedDelayMs: 60,
      slowMs: 5,
    },
  })
  const client = await connect(sim.url)
  const askedMs = performance.now()
  const tools = ['find_available_slots', 'book_appointment'].map((name) => ({ type: 'function', name }))
  await client.configure({ tools }, { transcription: { model: 'whisper-1' } })
  assert.ok(performance.now() - askedMs >= 60)
  client.send({ type: 'response.create' })
  await client.next('response.output_audio.delta')
  client.send({ type: 'response.cancel' })
  const ends = client.events.length
  assert.equal((await client.next('response.done')).response.status, 'cancelled')
  await client.next('response.output_audio.delta')
  await client.next('response.output_audio.delta')
  const order = client.events.slice(ends).map((event) => event.type)
  assert.ok(order.indexOf('conversation.item.done') < order.indexOf('response.output_audio.done'))
  client.pour(Buffer.concat([buzz(400), silence(600)]))
  await client.next('response.done')
  const calls = client.events.filter(
    (event) => event.type === 'response.output_item.done' && event.item.type === 'function_call',
  )
  assert.equal(calls.length, 2)
  assert.equal(calls[0]!.item.call_id, calls[1]!.item.call_id)
  assert.ok(client.events.some((event) => event.type === 'response.sim_unknown.hint'))
  assertParse(client.events)
  await client.close()
})

test('a response fails by rate limit on demand, and the next one is well', async () => {
  await post('/faults', { set: { rateLimitedResponses: 1 } })
  const client = await connect(sim.url)
  await client.configure()
  client.send({ type: 'response.create' })
  const { response } = await client.next('response.done')
  assert.deepEqual([response.status, response.status_details.error.code], ['failed', 'rate_limit_exceeded'])
  client.send({ type: 'response.create' })
  assert.equal((await client.next('response.done')).response.status, 'completed')
  assertParse(client.events)
  await client.close()
})

test('[S3] a drop in the middle of a response cuts TCP and leaves no timer behind', async () => {
  await post('/faults', { set: { midResponse: { afterAudioMs: 300, act: { kind: 'drop' }, count: 1 } } })
  const client = await connect(sim.url)
  await client.configure()
  client.send({ type: 'response.create' })
  await client.next('response.output_audio.delta')
  assert.equal((await client.closed).code, 1006)
  const listed = (await (await fetch(`${sim.controlUrl}/sessions`)).json()) as { live: number; timers: number }
  assert.deepEqual([listed.live, listed.timers], [0, 0])
})

test('stall holds all events and lets them go in order; close uses the code it was told', async () => {
  const client = await connect(sim.url)
  const { session } = await client.next('session.created')
  const answer = (await (await post('/faults', { act: { kind: 'stall', ms: 150 }, session: session.id })).json()) as {
    acted: number
  }
  assert.equal(answer.acted, 1)
  const askedMs = performance.now()
  await client.configure()
  assert.ok(performance.now() - askedMs >= 120)
  await post('/faults', { act: { kind: 'close', code: 1011, reason: 'told to' } })
  assert.deepEqual(await client.closed, { code: 1011, reason: 'told to' })
})

test('[Q2] orders of the wrong shape change nothing and say why', async () => {
  for (const [path, body, why] of [
    ['/faults', { set: { slowMs: -1 } }, /slowMs/],
    ['/faults', { act: { kind: 'explode' } }, /act\.kind|Supported values/],
    ['/script', { script: { name: 'x', turns: [{}] } }, /turn 0/],
    ['/nothing', {}, /Invalid URL/],
  ] as const) {
    const answer = await post(path, body)
    assert.ok(answer.status >= 400)
    assert.match(await answer.text(), why)
  }
  assert.deepEqual(sim.faults, NO_FAULTS)
})

test('the witness log tells of sessions, turns and responses in microseconds', async () => {
  const client = await connect(sim.url)
  await client.configure()
  client.send({ type: 'response.create' })
  await client.next('response.done')
  client.pour(Buffer.concat([buzz(400), silence(600)]))
  await client.next('input_audio_buffer.speech_stopped')
  await client.close()
  await new Promise((resolve) => setTimeout(resolve, 350))
  const lines = (await readFile(witnessFile, 'utf8'))
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  const mine = lines.filter((line) => line.session === client.events[0]!.session.id)
  const events = mine.map((line) => line.event)
  for (const event of [
    'session_opened',
    'session_updated',
    'response_created',
    'response_done',
    'first_append',
    'speech_started',
    'speech_stopped',
    'session_closed',
  ]) {
    assert.ok(events.includes(event), `${event} is in ${events}`)
  }
  assert.ok(mine.every((line, i) => i === 0 || line.t >= mine[i - 1].t))
  assert.deepEqual([mine.at(-1).appends, mine.at(-1).audio_bytes, mine.at(-1).live], [50, 8000, 0])
})

test('[P54][X1] wrong client events are refused with the code and parameter of the API, and the session goes on', async () => {
  const client = await connect(sim.url)
  await client.next('session.created')
  const session = (fields: object) => ({ type: 'session.update', session: { type: 'realtime', ...fields } })
  const input = (fields: object) => session({ audio: { input: fields } })
  for (const [event, code, param] of [
    [{ type: 'session.update', session: {} }, 'missing_required_parameter', 'session.type'],
    [session({ voice: 'marin' }), 'unknown_parameter', 'session.voice'],
    [session({ audio: { output: { voice: 'bob' } } }), 'invalid_value', 'session.audio.output.voice'],
    [input({ transcription: { model: 'whisper-0' } }), 'invalid_value', 'session.audio.input.transcription.model'],
    [input({ turn_detection: { type: 'my_vad' } }), 'invalid_value', 'session.audio.input.turn_detection.type'],
    [session({ audio: { output: { speed: 9 } } }), 'invalid_value', 'session.audio.output.speed'],
    [
      input({ turn_detection: { type: 'server_vad', threshold: 7 } }),
      'invalid_value',
      'session.audio.input.turn_detection.threshold',
    ],
    [input({ format: { type: 'audio/ogg' } }), 'invalid_value', 'session.audio.input.format.type'],
    [session({ model: 'gpt-other' }), 'invalid_value', 'session.model'],
    [{ type: 'response.jump' }, 'unknown_event', 'type'],
    [{ type: 'input_audio_buffer.commit' }, 'input_audio_buffer_commit_empty', null],
    [{ type: 'input_audio_buffer.append', audio: 'A' }, 'invalid_value', 'audio'],
    [{ type: 'conversation.item.delete', item_id: 'x' }, 'item_delete_invalid_item_id', 'item_id'],
    [{ type: 'response.create', response: { foo: 1 } }, 'unknown_parameter', 'response.foo'],
  ] as const) {
    client.send(event)
    const { error } = await client.next('error')
    assert.deepEqual([error.code, error.param], [code, param], JSON.stringify(event))
  }
  client.socket.send('{"type":')
  assert.equal((await client.next('error')).error.code, 'invalid_event')
  client.socket.send(Buffer.from([1, 2, 3]), { binary: true })
  assert.equal((await client.next('error')).error.code, 'invalid_event')
  await client.configure()
  client.send({ type: 'response.create' })
  await client.next('response.done')
  client.send(session({ audio: { output: { voice: 'cedar' } } }))
  assert.equal((await client.next('error')).error.code, 'cannot_update_voice')
  assertParse(client.events)
  await client.close()
})
