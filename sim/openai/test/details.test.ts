import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { ulawToAlaw } from '../../speech/g711.ts'
import { isProbe, readProbe, writeProbe } from '../hearing/probe.ts'
import { nowUs } from '../kit/clock.ts'
import { startOpenAiSim } from '../sim.ts'
import { buzz, connect, type Seen, silence } from './client.ts'

const sim = await startOpenAiSim({ thinkMs: 10, speed: 40, probes: true, keepAudioMs: 2_000 })
after(() => sim.close())

const audioOf = (events: Seen[]) =>
  Buffer.concat(
    events
      .filter(({ type }) => type === 'response.output_audio.delta')
      .map(({ delta }) => Buffer.from(delta, 'base64')),
  )

test('a probe leads the audio of each response and carries the call number of the caller', async () => {
  const client = await connect(sim.url)
  await client.configure()
  client.append(writeProbe({ sentUs: nowUs(), call: 42, frame: 0 }))
  client.send({ type: 'response.create' })
  const done = await client.next('response.done')
  const audio = audioOf(client.events)
  assert.ok(isProbe(audio, 0))
  const probe = readProbe(audio, 0)
  assert.deepEqual([probe.call, probe.frame], [42, 0])
  assert.ok(Math.abs(nowUs() - probe.sentUs) < 5_000_000)
  client.send({ type: 'conversation.item.retrieve', item_id: done.response.output[0].id })
  const { item } = await client.next('conversation.item.retrieved')
  assert.deepEqual(Buffer.from(item.content[0].audio, 'base64'), audio)
  await client.close()
})

test('the deltas of a sentence keep the chunk law and join to the whole sentence', async () => {
  const client = await connect(sim.url)
  await client.configure()
  client.send({ type: 'response.create' })
  await client.next('response.done')
  const sizesMs = client.events
    .filter(({ type }) => type === 'response.output_audio.delta')
    .map(({ delta }) => Buffer.from(delta, 'base64').length / 8)
  assert.equal(sizesMs[0], 120)
  assert.ok(
    sizesMs.slice(1, -1).every((ms) => ms >= 200 && ms <= 400.2),
    sizesMs.join(' '),
  )
  assert.ok(new Set(sizesMs).size > 3)
  await client.close()
})

test('deltas come at the speed of generation, not of speech', async () => {
  const paced = await startOpenAiSim({ thinkMs: 0, speed: 4 })
  const client = await connect(paced.url)
  await client.configure()
  client.send({ type: 'response.create' })
  await client.next('response.output_audio.delta')
  const firstMs = performance.now()
  await client.next('response.done')
  const tookMs = performance.now() - firstMs
  const playedMs = audioOf(client.events).length / 8
  assert.ok(Math.abs(tookMs - playedMs / 4) < playedMs / 16 + 60, `${playedMs} ms of sound in ${tookMs} ms`)
  await client.close()
  await paced.close()
})

for (const [type, encode, bytesPerMs] of [
  ['audio/pcma', ulawToAlaw, 8],
  ['audio/pcm', undefined, 48],
] as const) {
  test(`${type} is spoken and heard`, async () => {
    const client = await connect(sim.url)
    const format = type === 'audio/pcm' ? { type, rate: 24_000 } : { type }
    client.send({
      type: 'session.update',
      session: { type: 'realtime', audio: { input: { format }, output: { format } } },
    })
    await client.next('session.updated')
    client.send({ type: 'response.create' })
    const done = await client.next('response.done')
    const tokens = done.response.usage.output_token_details.audio_tokens
    assert.equal(Math.ceil(audioOf(client.events).length / bytesPerMs / 50), tokens)
    const square = (ms: number) =>
      Buffer.alloc(
        ms * 48,
        Buffer.concat([Buffer.alloc(96, Buffer.from([0, 0x20])), Buffer.alloc(96, Buffer.from([0, 0xe0]))]),
      )
    const sound =
      encode === undefined ? [square(400), Buffer.alloc(600 * 48)] : [encode(buzz(400)), encode(silence(600))]
    client.append(Buffer.concat(sound))
    assert.equal((await client.next('input_audio_buffer.speech_stopped')).audio_end_ms, 900)
    await client.close()
  })
}

test('without turn detection the client commits and asks; nothing is answered by itself', async () => {
  const client = await connect(sim.url)
  await client.configure({}, { turn_detection: null })
  client.pour(Buffer.concat([buzz(400), silence(800)]))
  client.send({ type: 'input_audio_buffer.commit' })
  const { item_id } = await client.next('input_audio_buffer.committed')
  assert.ok(!client.events.some(({ type }) => type.includes('speech_started') || type === 'response.created'))
  client.send({ type: 'conversation.item.delete', item_id })
  await client.next('conversation.item.deleted')
  client.pour(buzz(200))
  client.send({ type: 'input_audio_buffer.clear' })
  await client.next('input_audio_buffer.cleared')
  client.send({ type: 'input_audio_buffer.commit' })
  assert.match((await client.next('error')).error.message, /buffer only has 0\.00ms of audio/)
  await client.close()
})

test('a text response out of band speaks beside the conversation and leaves it as it was', async () => {
  const client = await connect(sim.url)
  await client.configure()
  client.send({ type: 'response.create' })
  client.send({
    type: 'response.create',
    response: { conversation: 'none', output_modalities: ['text'], metadata: { purpose: 'summary' } },
  })
  const done = await client.next('response.done', (event) => event.response.metadata?.purpose === 'summary')
  assert.equal(done.response.conversation_id, null)
  assert.equal(done.response.output[0].content[0].type, 'output_text')
  const itemId = done.response.output[0].id
  assert.ok(!client.events.some((event) => event.type === 'conversation.item.added' && event.item.id === itemId))
  const said = client.events.filter((event) => event.type === 'response.output_text.delta').map((event) => event.delta)
  assert.equal(said.join(''), done.response.output[0].content[0].text)
  await client.close()
})

test('items go where they are told: after another, at the root, or not at all', async () => {
  const client = await connect(sim.url)
  await client.configure()
  const create = (id: string, previous_item_id?: string) =>
    client.send({
      type: 'conversation.item.create',
      previous_item_id,
      item: { id, type: 'message', role: 'user', content: [{ type: 'input_text', text: id }] },
    })
  const before = async () => (await client.next('conversation.item.added')).previous_item_id
  create('a')
  assert.equal(await before(), null)
  create('c')
  assert.equal(await before(), 'a')
  create('b', 'a')
  assert.equal(await before(), 'a')
  create('first', 'root')
  assert.equal(await before(), null)
  create('d')
  assert.equal(await before(), 'c')
  create('e', 'nobody')
  assert.equal((await client.next('error')).error.code, 'item_create_invalid_previous_item_id')
  create('a')
  assert.match((await client.next('error')).error.message, /already exists/)
  await client.close()
})

test('silence after an answer was played triggers the idle timeout and another answer', async () => {
  const script = { name: 'short', turns: [{ say: 'Hello.' }, { say: 'Still there?' }] }
  await fetch(`${sim.controlUrl}/script`, { method: 'POST', body: JSON.stringify({ script, name: 'short' }) })
  const client = await connect(sim.url)
  await client.configure({}, { turn_detection: { type: 'server_vad', idle_timeout_ms: 300 } })
  client.pour(silence(2_000))
  client.send({ type: 'response.create' })
  await client.next('response.done')
  const doneMs = performance.now()
  const playedMs = audioOf(client.events).length / 8
  const timeout = await client.next('input_audio_buffer.timeout_triggered')
  assert.ok(performance.now() - doneMs > playedMs + 300 - 100, 'the clock starts when the answer was played')
  assert.equal(timeout.audio_end_ms - timeout.audio_start_ms, 300)
  assert.equal((await client.next('input_audio_buffer.committed')).item_id, timeout.item_id)
  const done = await client.next('response.done')
  assert.equal(done.response.output[0].content[0].transcript, 'Still there?')
  await client.close()
})

/** Bytes of heap in use after a full collection. */
function settledHeapBytes(): number {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  collect()
  return process.memoryUsage().heapUsed
}

test('sessions that come and go leave no timer, no session and no heap behind', async () => {
  const visit = async () => {
    const client = await connect(sim.url)
    await client.configure()
    client.send({ type: 'response.create' })
    client.pour(silence(200))
    await client.next('response.output_audio.delta')
    await client.close()
  }
  const rounds = async (count: number) => {
    for (let i = 0; i < count; i++) await Promise.all(Array.from({ length: 10 }, visit))
    await new Promise((resolve) => setTimeout(resolve, 50))
    return settledHeapBytes()
  }
  const before = await rounds(10)
  const bytesEach = ((await rounds(30)) - before) / 300
  const state = (await (await fetch(`${sim.controlUrl}/sessions`)).json()) as { live: number; timers: number }
  assert.deepEqual([state.live, state.timers], [0, 0])
  assert.ok(bytesEach < 2_000, `${Math.round(bytesEach)} bytes stay of each session`)
})
