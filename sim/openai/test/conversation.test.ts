import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { startOpenAiSim } from '../sim.ts'
import { buzz, connect, type Seen, silence } from './client.ts'

const sim = await startOpenAiSim({ thinkMs: 20, speed: 40 })
after(() => sim.close())

const kinds = (events: Seen[]) => events.map((event) => event.type).filter((type) => !/delta$|rate_limits/.test(type))

test('a greeting comes in the order of the API, with audio, transcript and usage', async () => {
  const client = await connect(sim.url)
  const created = await client.next('session.created')
  assert.equal(created.session.object, 'realtime.session')
  assert.ok(Math.abs(created.session.expires_at - Date.now() / 1000 - 3600) < 5)
  const updated = await client.configure({ instructions: 'Be brief.' })
  assert.equal(updated.session.instructions, 'Be brief.')
  assert.equal(updated.session.audio.output.format.type, 'audio/pcmu')
  client.send({ type: 'response.create' })
  const done = await client.next('response.done')
  assert.deepEqual(kinds(client.events).slice(3), [
    'response.created',
    'response.output_item.added',
    'conversation.item.added',
    'response.content_part.added',
    'response.output_audio.done',
    'response.output_audio_transcript.done',
    'response.content_part.done',
    'response.output_item.done',
    'conversation.item.done',
    'response.done',
  ])
  const deltas = client.events.filter((event) => event.type === 'response.output_audio.delta')
  const bytes = deltas.reduce((sum, { delta }) => sum + Buffer.from(delta, 'base64').length, 0)
  assert.ok(bytes > 16_000, `${bytes} bytes of audio`)
  assert.equal(Buffer.from(deltas[0]!.delta, 'base64').length, 800)
  assert.ok(deltas.some(({ delta }) => Buffer.from(delta, 'base64').length % 160 !== 0))
  const words = client.events
    .filter((event) => event.type === 'response.output_audio_transcript.delta')
    .map((event) => event.delta)
  assert.equal(words.join(''), done.response.output[0].content[0].transcript)
  assert.equal(done.response.status, 'completed')
  assert.equal(done.response.usage.output_token_details.audio_tokens, Math.ceil(bytes / 8 / 50))
  await client.close()
})

test("a caller's turn is heard by its sound, transcribed by the script, and answered", async () => {
  const client = await connect(sim.url)
  await client.configure({}, { transcription: { model: 'gpt-4o-mini-transcribe' } })
  client.pour(silence(1000))
  client.pour(buzz(800))
  client.pour(silence(600))
  const started = await client.next('input_audio_buffer.speech_started')
  assert.equal(started.audio_start_ms, 700)
  const stopped = await client.next('input_audio_buffer.speech_stopped')
  assert.equal(stopped.audio_end_ms, 2300)
  const committed = await client.next('input_audio_buffer.committed')
  assert.equal(committed.item_id, started.item_id)
  const item = await client.next('conversation.item.done')
  assert.deepEqual(item.item.content, [{ type: 'input_audio', transcript: null }])
  await client.next('response.created')
  const transcript = await client.next('conversation.item.input_audio_transcription.completed')
  assert.equal(transcript.transcript, 'I have a question about my booking.')
  client.send({ type: 'conversation.item.retrieve', item_id: started.item_id })
  const retrieved = await client.next('conversation.item.retrieved')
  assert.ok(Buffer.from(retrieved.item.content[0].audio, 'base64').includes(buzz(100)))
  await client.close()
})

test('speech over a response cancels it and closes its item as incomplete', async () => {
  const slow = await startOpenAiSim({ thinkMs: 10, speed: 1 })
  const client = await connect(slow.url)
  await client.configure()
  client.send({ type: 'response.create' })
  await client.next('response.output_audio.delta')
  client.pour(buzz(200))
  await client.next('input_audio_buffer.speech_started')
  const item = await client.next('response.output_item.done')
  assert.equal(item.item.status, 'incomplete')
  const done = await client.next('response.done')
  assert.equal(done.response.status, 'cancelled')
  assert.deepEqual(done.response.status_details, { type: 'cancelled', reason: 'turn_detected' })
  assert.ok(done.response.usage.output_token_details.audio_tokens > 0)
  await client.close()
  await slow.close()
})

test('truncation is granted up to what was sent, and refused beyond it and for strangers', async () => {
  const client = await connect(sim.url)
  await client.configure()
  client.send({ type: 'response.create' })
  const done = await client.next('response.done')
  const item_id = done.response.output[0].id
  const truncate = (fields: object) =>
    client.send({ type: 'conversation.item.truncate', item_id, content_index: 0, ...fields })
  truncate({ audio_end_ms: 3_600_000, event_id: 'e1' })
  const over = (await client.next('error')).error
  assert.match(over.message, /^Audio content of \d+ms is already shorter than 3600000ms$/)
  assert.deepEqual([over.code, over.event_id], ['invalid_value', 'e1'])
  truncate({ audio_end_ms: 12.5 })
  assert.match((await client.next('error')).error.message, /expected an integer, but got a decimal number/)
  truncate({ audio_end_ms: 700, item_id: 'item_nobody' })
  assert.equal((await client.next('error')).error.code, 'item_truncate_invalid_item_id')
  client.send({
    type: 'conversation.item.create',
    item: { id: 'mine', type: 'message', role: 'user', content: [{ type: 'input_text', text: 'hi' }] },
  })
  truncate({ audio_end_ms: 1, item_id: 'mine' })
  assert.match((await client.next('error')).error.message, /Only model output audio/)
  truncate({ audio_end_ms: 700 })
  assert.equal((await client.next('conversation.item.truncated')).audio_end_ms, 700)
  client.send({ type: 'conversation.item.retrieve', item_id })
  const { item } = await client.next('conversation.item.retrieved')
  assert.equal(item.content[0].transcript, '')
  assert.equal(Buffer.from(item.content[0].audio, 'base64').length, 5600)
  await client.close()
})

test('one response at a time; a second and a needless cancel are refused', async () => {
  const client = await connect(sim.url)
  await client.configure()
  client.send({ type: 'response.create' })
  client.send({ type: 'response.create', event_id: 'again' })
  const { error } = await client.next('error')
  assert.deepEqual([error.code, error.event_id], ['conversation_already_has_active_response', 'again'])
  client.send({ type: 'response.cancel' })
  const done = await client.next('response.done')
  assert.deepEqual(done.response.status_details, { type: 'cancelled', reason: 'client_cancelled' })
  client.send({ type: 'response.cancel' })
  assert.equal((await client.next('error')).error.code, 'response_cancel_not_active')
  await client.close()
})

test('the clinic script offers a slot from the tool, books it, says the reference and ends the call', async () => {
  const client = await connect(sim.url)
  const names = ['find_available_slots', 'book_appointment', 'end_call']
  const tools = names.map((name) => ({ type: 'function', name, parameters: { type: 'object', properties: {} } }))
  await client.configure({ tools })
  client.send({ type: 'response.create' })
  await client.next('response.done')
  const turn = async (output: object) => {
    client.pour(buzz(400))
    client.pour(silence(600))
    const call = await client.next('response.function_call_arguments.done')
    const done = await client.next('response.done')
    assert.equal(done.response.output.at(-1).call_id, call.call_id)
    client.send({
      type: 'conversation.item.create',
      item: { type: 'function_call_output', call_id: call.call_id, output: JSON.stringify(output) },
    })
    client.send({ type: 'response.create' })
    const said = await client.next('response.done')
    return { call, words: said.response.output[0].content[0].transcript as string }
  }
  const offer = await turn({
    slots: [{ slot_id: 's-9', spoken: 'Thursday at nine thirty', provider: 'Doctor Okafor' }],
  })
  assert.deepEqual(
    [offer.call.name, JSON.parse(offer.call.arguments)],
    ['find_available_slots', { service: 'check-up' }],
  )
  assert.equal(offer.words, 'I can offer you Thursday at nine thirty with Doctor Okafor. Would that suit you?')
  const booking = await turn({ spoken: 'Thursday at nine thirty', reference_spoken: 'B, seven, two' })
  assert.deepEqual(JSON.parse(booking.call.arguments), { slot_id: 's-9', patient_name: 'Jordan Lee' })
  assert.match(booking.words, /booked for Thursday at nine thirty\. Your reference is B, seven, two\./)
  const goodbye = await turn({ ok: true })
  assert.equal(goodbye.call.name, 'end_call')
  await client.close()
})

test('a plea for patience that is cancelled does not make the model forget the call whose output it awaits', async () => {
  const client = await connect(sim.url)
  const names = ['find_available_slots', 'book_appointment', 'end_call']
  const tools = names.map((name) => ({ type: 'function', name, parameters: { type: 'object', properties: {} } }))
  await client.configure({ tools })
  client.send({ type: 'response.create' })
  await client.next('response.done')
  client.pour(buzz(400))
  client.pour(silence(600))
  const call = await client.next('response.function_call_arguments.done')
  await client.next('response.done')
  client.send({ type: 'response.create' })
  await client.next('response.created')
  client.send({ type: 'response.cancel' })
  assert.equal((await client.next('response.done')).response.status, 'cancelled')
  const output = JSON.stringify({ slots: [{ slot_id: 's-1', spoken: 'Friday at noon', provider: 'Doctor Okafor' }] })
  const item = { type: 'function_call_output', call_id: call.call_id, output }
  client.send({ type: 'conversation.item.create', item })
  client.send({ type: 'response.create' })
  const said = await client.next('response.done')
  assert.match(said.response.output[0].content[0].transcript, /Friday at noon/)
  await client.close()
})
