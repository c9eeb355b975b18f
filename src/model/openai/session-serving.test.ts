// A model session that serves, and its link: scripted provider on loopback, told time. The way up to ready: session.test.ts.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { afterEach, suite, test } from 'node:test'
import { RealtimeAgent, type RealtimeSession } from '@openai/agents-realtime'
import { type WebSocket, WebSocketServer } from 'ws'
import type { ModelEvent, ModelListener } from '../../call/ports.ts'
import type { TranscriptItem } from '../../call/transcript.ts'
import { FakeClock } from '../../kit/clock.ts'
import { silentLog } from '../../kit/log.ts'
import { until } from '../../kit/testing/patience.ts'
import { Wheel } from '../../kit/wheel.ts'
import { oneRoute } from '../testing/one-route.ts'
import { type LinkSettings, PING_MS } from './link.ts'
import { OpenAiSession } from './session.ts'

const closers: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

type Message = Record<string, unknown> & { type: string }

/** A session that is ready on a scripted link. */
class Bench implements ModelListener {
  readonly clock = new FakeClock()
  readonly wheel = new Wheel({ clock: this.clock, manual: true, onError: (error) => assert.fail(String(error)) })
  readonly events: ModelEvent[] = []
  readonly audio: Buffer[] = []
  readonly got: Message[] = []
  readonly told: string[] = []
  agent!: RealtimeSession<unknown>
  session!: OpenAiSession
  socket!: WebSocket
  frames = 1
  isClosed = false

  static async ready(
    options: {
      audio?: LinkSettings['audio']
      history?: TranscriptItem[]
      autoPong?: boolean
      joinsQuiet?: boolean
      turnDetection?: Record<string, unknown>
      transcription?: Record<string, unknown>
    } = {},
  ): Promise<Bench> {
    const { history = [], autoPong = true } = options
    const bench = new Bench()
    const server = new WebSocketServer({ host: '127.0.0.1', port: 0, autoPong })
    await once(server, 'listening')
    closers.push(() => {
      bench.session.close()
      for (const client of server.clients) client.terminate()
      server.close()
    })
    server.on('connection', (socket) => {
      bench.socket = socket
      socket.on('close', () => {
        bench.isClosed = true
      })
      bench.say({ type: 'session.created', session: {} })
      socket.on('message', (data) => {
        const message = JSON.parse(String(data)) as Message
        // The link's question whether it lives: link-alive.test.ts.
        if (message.event_id !== 'vp-alive') bench.got.push(message)
        if (message.event_id === 'vp-configure') bench.say({ type: 'session.updated', session: {} })
      })
    })
    bench.#make((server.address() as AddressInfo).port, options)
    bench.session.dial(history, false)
    await bench.event(1)
    return bench
  }
  #make(
    port: number,
    {
      audio = 'pcmu',
      joinsQuiet = false,
      turnDetection = { type: 'semantic_vad' },
      transcription,
    }: {
      audio?: LinkSettings['audio']
      joinsQuiet?: boolean
      turnDetection?: Record<string, unknown>
      transcription?: Record<string, unknown>
    },
  ): void {
    const routes = oneRoute(new URL(`ws://127.0.0.1:${port}/`))
    const link = {
      connectMs: 2_000,
      bufferedMaxBytes: 4_000_000,
      audio,
      framesPerAppend: () => this.frames,
    }
    const common = { turnDetection, transcription: transcription ?? null, voice: 'marin' }
    const defaults = { ...common, audio, bargeIn: true, autoRespond: true }
    const agent = new RealtimeAgent<unknown>({ name: 'A', instructions: 'Be brief.' })
    const onSession = (session: RealtimeSession<unknown>): void => {
      this.agent = session
      session.on('error', () => this.told.push('error'))
    }
    const world = { clock: this.clock, wheel: this.wheel, log: silentLog }
    this.session = new OpenAiSession(
      this,
      { agent, onSession },
      { routes, link, defaults, model: 'm', toolMaxMs: 30_000, joinsQuiet },
      world,
    )
  }
  onModelEvent(event: ModelEvent): void {
    this.events.push(event)
  }
  onModelAudio(_responseId: string, _itemId: string, ulaw: Buffer): void {
    this.audio.push(Buffer.from(ulaw))
  }
  say(event: Message): void {
    this.socket.send(JSON.stringify({ ...event, event_id: 'event_x' }))
  }
  delta(bytes: Buffer): void {
    this.say({ type: 'response.output_audio.delta', response_id: 'r', item_id: 'i', delta: bytes.toString('base64') })
  }
  async event(count: number): Promise<ModelEvent> {
    await until(`${count} events`, () => this.events.length >= count)
    return this.events[count - 1]!
  }
  appends(): Buffer[] {
    const all = this.got.filter(({ type }) => type === 'input_audio_buffer.append')
    return all.map(({ audio }) => Buffer.from(String(audio), 'base64'))
  }
  append(ulaw: Buffer): void {
    const base64 = Buffer.from(ulaw.toString('base64'))
    this.session.appendAudio(base64, 0, base64.length)
  }
}

const frame = (fill: number): Buffer => Buffer.alloc(160, fill)

suite('serving', () => {
  test('[P36][OS9] a session that awaits last words brings transcriptions and nothing else, and asks for no speech', async () => {
    const bench = await Bench.ready({ transcription: { model: 'whisper-1' } })
    const before = bench.events.length
    assert.equal(bench.session.awaitWords(), true)
    await until('the cancel', () => bench.got.some(({ type }) => type === 'response.cancel'))
    bench.delta(frame(1))
    bench.say({ type: 'response.created', response: { id: 'r9' } })
    const type = 'conversation.item.input_audio_transcription'
    bench.say({ type: `${type}.delta`, item_id: 'i1', content_index: 0, delta: 'please ' })
    bench.say({ type: `${type}.failed`, item_id: 'i2', content_index: 0, error: { code: 'audio_unintelligible' } })
    bench.say({ type: `${type}.completed`, item_id: 'i1', content_index: 0, transcript: 'please cancel' })
    await until('three words', () => bench.events.length >= before + 3)
    assert.deepEqual(bench.events.slice(before), [
      { kind: 'caller-said-part', itemId: 'i1', text: 'please ' },
      { kind: 'caller-unclear', itemId: 'i2' },
      { kind: 'caller-said', itemId: 'i1', text: 'please cancel' },
    ])
    assert.equal(bench.audio.length, 0)
    bench.session.close()
    await until('the link is closed', () => bench.isClosed)
    assert.equal((await Bench.ready()).session.awaitWords(), false, 'without a transcription none is awaited')
  })

  test('[OS3] once the model has spoken, configurations leave the voice out; before it they do not', async () => {
    const bench = await Bench.ready()
    const voices = () =>
      bench.got
        .filter(({ type }) => type === 'session.update')
        .map(({ session }) => (session as { audio: { output: { voice?: string } } }).audio.output.voice)
    bench.agent.transport.updateSessionConfig({ instructions: 'a', voice: 'cedar' })
    await until('an update', () => voices().length === 2)
    bench.delta(frame(1))
    await until('audio', () => bench.audio.length === 1)
    bench.agent.transport.updateSessionConfig({ instructions: 'b', voice: 'ash' })
    await until('an update', () => voices().length === 3)
    assert.deepEqual(voices(), ['marin', 'cedar', undefined])
  })

  test('[OS1] items that were replayed are not told to the agent again; new ones are, under old names too', async () => {
    const bench = await Bench.ready({ history: [{ kind: 'caller', id: 'old', text: 'hello' }] })
    const item = (id: string) => ({
      id,
      type: 'message',
      role: 'user',
      status: 'completed',
      content: [{ type: 'input_text', text: 'x' }],
    })
    bench.say({ type: 'conversation.item.done', previous_item_id: null, item: item('old') })
    bench.say({ type: 'conversation.item.created', previous_item_id: 'old', item: item('new') })
    await until('an item', () => bench.agent.history.length > 1)
    assert.deepEqual(
      bench.agent.history.map(({ itemId }) => itemId),
      ['old', 'new'],
    )
  })

  test('[ME2] errors: weather and our own requests go to the call, others to the agent as well', async () => {
    const bench = await Bench.ready()
    const errors = [
      { code: 'conversation_already_has_active_response', event_id: 'vp-7' },
      { code: 'invalid_value', event_id: 'vp-truncate-5' },
      { type: 'invalid_request_error', event_id: null },
    ]
    for (const error of errors) bench.say({ type: 'error', error: { message: 'm', ...error } })
    await bench.event(4)
    assert.deepEqual(bench.events.slice(1), [
      { kind: 'request-refused', code: 'conversation_already_has_active_response', requestId: 'vp-7' },
      { kind: 'request-refused', code: 'invalid_value', requestId: 'vp-truncate-5' },
      { kind: 'request-refused', code: 'invalid_request_error', requestId: undefined },
    ])
    assert.deepEqual(bench.told, ['error'])
  })

  for (const [code, fatal] of [
    ['session_expired', false],
    ['insufficient_quota', true],
  ] as const)
    test(`[RF1] the error ${code} ends a link that serves, ${fatal ? 'for good' : 'to be dialled again'}, once`, async () => {
      const bench = await Bench.ready()
      bench.say({ type: 'error', error: { code } })
      assert.deepEqual(await bench.event(2), { kind: 'lost', loss: { code, fatal } })
      await until('the link is closed', () => bench.isClosed)
      assert.deepEqual([bench.events.length, bench.wheel.size], [2, 0])
    })

  test('[OW3] binary, unreadable and unknown messages are passed over', async () => {
    const bench = await Bench.ready()
    for (const odd of [Buffer.of(1, 2), '{', '[]', '{"type":"toString"}', '{"type":"response.new.thing"}'])
      bench.socket.send(odd)
    bench.say({ type: 'input_audio_buffer.speech_started', item_id: 'u' })
    assert.equal((await bench.event(3)).kind, 'speech-started')
    assert.deepEqual(
      bench.events.map(({ kind }) => kind),
      ['ready', 'response-alive', 'speech-started'],
    )
  })
})

suite('the link', () => {
  test('[LK1] a socket that closes or is lost is told once; after a close of ours nothing is told', async () => {
    for (const [end, code] of [
      [(bench: Bench) => bench.socket.close(1011), 'close_1011'],
      [(bench: Bench) => bench.socket.terminate(), 'socket_lost'],
    ] as const) {
      const bench = await Bench.ready()
      end(bench)
      assert.deepEqual(await bench.event(2), { kind: 'lost', loss: { code, fatal: false } })
      bench.session.close()
      assert.deepEqual([bench.events.length, bench.wheel.size], [2, 0])
    }
    const bench = await Bench.ready()
    bench.session.close()
    bench.session.close()
    bench.append(frame(1))
    await until('the link is closed', () => bench.isClosed)
    assert.deepEqual([bench.events.length, bench.wheel.size], [1, 0])
  })

  test('[LK2] a provider that is silent after a ping for a whole interval is dead', async () => {
    const bench = await Bench.ready({ autoPong: false })
    const pinged = once(bench.socket, 'ping')
    bench.clock.advance(PING_MS + 10)
    bench.wheel.advance()
    await pinged
    bench.clock.advance(PING_MS + 10)
    bench.wheel.advance()
    assert.deepEqual(await bench.event(2), { kind: 'lost', loss: { code: 'socket_dead', fatal: false } })
  })

  test('[LK3] frames are joined as the load asks, in order, none lost; a smaller load sends what is held first', async () => {
    const bench = await Bench.ready()
    bench.frames = 3
    for (let i = 1; i <= 7; i += 1) bench.append(frame(i))
    bench.frames = 1
    bench.append(frame(8))
    bench.append(frame(9))
    bench.frames = 5
    bench.append(Buffer.alloc(2_000, 10))
    await until('all bytes', () => Buffer.concat(bench.appends()).length === 9 * 160 + 2_000)
    assert.deepEqual(
      bench.appends().map(({ length }) => length),
      [480, 480, 320, 160, 2_000],
    )
    const want = Buffer.concat([...Array.from({ length: 9 }, (_, i) => frame(i + 1)), Buffer.alloc(2_000, 10)])
    assert.ok(Buffer.concat(bench.appends()).equals(want))
  })

  /** Lengths of the appends, in frames. */
  const framesOf = (bench: Bench): number[] => bench.appends().map(({ length }) => length / 160)
  const many = (bench: Bench, fill: number, frames: number): void => {
    for (let i = 0; i < frames; i += 1) bench.append(frame(fill))
  }
  const total = (bench: Bench): number => framesOf(bench).reduce((sum, one) => sum + one, 0)
  const [QUIET, LOUD] = [0xff, 0x90]

  for (const [name, turnDetection, afterMs] of [
    ['server, 500 ms', { type: 'server_vad', silenceDurationMs: 500 }, 1_000],
    ['server, 1.2 s', { type: 'server_vad', silenceDurationMs: 1_200 }, 1_700],
    ['semantic', { type: 'semantic_vad' }, 4_500],
    ['semantic, low', { type: 'semantic_vad', eagerness: 'low' }, 8_500],
  ] as const)
    test(`[LK3] [SH6] quiet frames are joined once the turn is over (${name}: ${afterMs} ms); a loud one takes what is held along`, async () => {
      const bench = await Bench.ready({ joinsQuiet: true, turnDetection })
      many(bench, LOUD, 10)
      many(bench, QUIET, afterMs / 20 + 5 + 5 + 3)
      many(bench, LOUD, 1)
      many(bench, QUIET, afterMs / 20 + 5)
      await until('all frames', () => total(bench) === afterMs / 10 + 29)
      const singles = Array<number>(10 + afterMs / 20).fill(1)
      assert.deepEqual(framesOf(bench), [...singles, 5, 5, 4, ...Array<number>(afterMs / 20).fill(1), 5])
      const audio = Buffer.concat(bench.appends())
      const loudAt = 160 * (10 + afterMs / 20 + 13)
      assert.ok(audio.subarray(loudAt, loudAt + 160).equals(frame(LOUD)))
      assert.equal(audio.filter((byte) => byte === LOUD).length, 11 * 160)
    })

  test('[LK3] without joining, and where code ends turns, a quiet caller’s frames go one by one', async () => {
    const off = await Bench.ready({ joinsQuiet: false, turnDetection: { type: 'server_vad' } })
    many(off, QUIET, 200)
    await until('all frames', () => total(off) === 200)
    assert.deepEqual(framesOf(off), Array(200).fill(1))
    const manual = await Bench.ready({ joinsQuiet: true, turnDetection: { type: 'server_vad' } })
    manual.agent.transport.updateSessionConfig({ audio: { input: { turnDetection: null } } })
    many(manual, QUIET, 200)
    await until('all frames', () => total(manual) === 200)
    assert.deepEqual(framesOf(manual), Array(200).fill(1))
  })

  test('[LK3] what is held goes before an event: a commit of the buffer misses no frame', async () => {
    const bench = await Bench.ready({ joinsQuiet: true, turnDetection: { type: 'server_vad' } })
    many(bench, QUIET, 53)
    bench.session.sendClientEvent({ type: 'input_audio_buffer.commit' })
    many(bench, QUIET, 2)
    bench.session.appendSilence(100)
    await until('all frames', () => total(bench) === 60)
    const types = bench.got.map(({ type }) => type)
    const commit = types.indexOf('input_audio_buffer.commit')
    assert.equal(types.slice(0, commit).filter((type) => type === 'input_audio_buffer.append').length, 51)
    assert.deepEqual(framesOf(bench).slice(50), [3, 2, 5])
  })

  test('[PT1] [LK3] a model of 24 kHz PCM gets quiet frames joined as well, none lost', async () => {
    const bench = await Bench.ready({ audio: 'pcm16', joinsQuiet: true, turnDetection: { type: 'server_vad' } })
    many(bench, QUIET, 70)
    await until('all frames', () => total(bench) >= 70 * 6 - 1)
    assert.deepEqual(framesOf(bench), [...Array(50).fill(6), 30, 30, 30, 30])
  })

  test('[EA3] ten seconds of silence are ten seconds on the wire, after what was held', async () => {
    const bench = await Bench.ready()
    bench.frames = 5
    bench.append(frame(1))
    bench.session.appendSilence(10_000)
    await until('all bytes', () => Buffer.concat(bench.appends()).length >= 80_160)
    assert.ok(Buffer.concat(bench.appends()).equals(Buffer.concat([frame(1), Buffer.alloc(80_000, 0xff)])))
  })

  test('[PT1] a model of 24 kHz PCM hears and is heard in full length, in pieces of any size', async () => {
    const bench = await Bench.ready({ audio: 'pcm16' })
    bench.append(frame(0xff))
    bench.append(frame(0xff))
    await until('both frames', () => Buffer.concat(bench.appends()).length >= 2 * 160 * 6)
    assert.equal(Buffer.concat(bench.appends()).length, 2 * 160 * 6)
    for (const bytes of [4_800, 7, 4_793, 60_000]) bench.delta(Buffer.alloc(bytes))
    const total = () => bench.audio.reduce((sum, { length }) => sum + length, 0)
    await until('all audio', () => total() >= 69_600 / 6 - 40)
    assert.ok(Math.abs(total() - 69_600 / 6) <= 40, `${total()}`)
    assert.ok(bench.audio.every((piece) => piece.length > 0))
  })

  test('[OW1] audio of any length arrives unchanged, also beyond the shared scratch', async () => {
    const bench = await Bench.ready()
    const pieces = [1, 160, 4_000, 200_000].map((bytes) =>
      Buffer.from(Array.from({ length: bytes }, (_, i) => (i * 7) & 0xff)),
    )
    for (const piece of pieces) bench.delta(piece)
    await until('all audio', () => bench.audio.length === pieces.length)
    assert.deepEqual(bench.audio, pieces)
  })
})
