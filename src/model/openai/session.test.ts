// A model session against a small scripted provider (`ws` on loopback). Time of the wheel is told; sockets are real.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, suite, test } from 'node:test'
import { RealtimeAgent, type RealtimeSession } from '@openai/agents-realtime'
import { type WebSocket, WebSocketServer } from 'ws'
import type { ModelEvent, ModelListener } from '../../call/ports.ts'
import { messageOf, type TranscriptItem } from '../../call/transcript.ts'
import { FakeClock } from '../../kit/clock.ts'
import { silentLog } from '../../kit/log.ts'
import { until } from '../../kit/testing/patience.ts'
import { Wheel } from '../../kit/wheel.ts'
import { oneRoute } from '../testing/one-route.ts'
import { OpenAiSession } from './session.ts'

const CONNECT_MS = 2_000
const closers: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

type Message = Record<string, unknown> & { type: string }
type Refusal = { status: number; body?: string; retryAfter?: string }

/** One link as the provider sees it. */
class Peer {
  readonly got: Message[] = []
  closed = 0
  readonly #socket: WebSocket
  constructor(socket: WebSocket) {
    this.#socket = socket
    socket.on('error', () => {})
    socket.on('message', (data) => {
      const message = JSON.parse(String(data)) as Message
      // The link's question whether it lives: link-alive.test.ts.
      if (message.event_id !== 'vp-alive') this.got.push(message)
    })
    socket.on('close', (code) => {
      this.closed = code
    })
  }
  say(...events: Message[]): void {
    for (const event of events) this.#socket.send(JSON.stringify({ ...event, event_id: 'event_x' }))
  }
  types(): string[] {
    return this.got.map(({ type }) => type)
  }
  async until(count: number): Promise<Message> {
    await until(`${count} messages, not ${this.types()}`, () => this.got.length >= count)
    return this.got[count - 1]!
  }
  terminate(): void {
    this.#socket.terminate()
  }
}

class Bench implements ModelListener {
  readonly clock = new FakeClock()
  readonly wheel = new Wheel({ clock: this.clock, manual: true, onError: (error) => assert.fail(String(error)) })
  readonly events: ModelEvent[] = []
  items: TranscriptItem[] = []
  readonly heard: string[] = []
  readonly peers: Peer[] = []
  refusal: Refusal | undefined
  agent!: RealtimeSession<unknown>
  session!: OpenAiSession

  static async open(): Promise<Bench> {
    const bench = new Bench()
    const http = createServer()
    const sockets = new WebSocketServer({ noServer: true })
    http.on('upgrade', (request: IncomingMessage, socket, head) => {
      const { refusal } = bench
      if (refusal === undefined) {
        sockets.handleUpgrade(request, socket, head, (peer) => bench.peers.push(new Peer(peer)))
        return
      }
      const { status, body = '', retryAfter } = refusal
      const more = retryAfter === undefined ? '' : `Retry-After: ${retryAfter}\r\n`
      socket.end(`HTTP/1.1 ${status} X\r\n${more}Content-Length: ${body.length}\r\n\r\n${body}`)
    })
    http.listen(0, '127.0.0.1')
    await once(http, 'listening')
    closers.push(() => {
      bench.session.close()
      for (const peer of bench.peers) peer.terminate()
      http.close()
    })
    bench.#make((http.address() as AddressInfo).port)
    return bench
  }
  #make(port: number): void {
    const routes = oneRoute(new URL(`ws://127.0.0.1:${port}/v1/realtime?model=m`))
    const link = {
      connectMs: CONNECT_MS,
      bufferedMaxBytes: 1_000_000,
      audio: 'pcmu' as const,
      framesPerAppend: () => 1,
    }
    const defaults = {
      audio: 'pcmu' as const,
      turnDetection: { type: 'semantic_vad' },
      transcription: null,
      voice: 'marin',
      bargeIn: true,
      autoRespond: true,
    }
    const agent = new RealtimeAgent<unknown>({ name: 'A', instructions: 'Be brief.' })
    const onSession = (session: RealtimeSession<unknown>): void => {
      this.agent = session
      session.on('error', () => this.heard.push('agent error'))
    }
    const world = { clock: this.clock, wheel: this.wheel, log: silentLog }
    this.session = new OpenAiSession(
      this,
      { agent, onSession },
      { routes, link, defaults, model: 'm', toolMaxMs: 30_000 },
      world,
    )
  }
  onModelEvent(event: ModelEvent): void {
    if (event.kind === 'item-put') this.items.push(messageOf(event.id, event.role, event.content))
    else if (event.kind !== 'agent-changed') this.events.push(event)
  }
  history(): readonly TranscriptItem[] {
    return this.items
  }
  onModelAudio(responseId: string, itemId: string, ulaw: Buffer): void {
    this.heard.push(`${responseId} ${itemId} ${ulaw.toString('hex')}`)
  }
  kinds(): string[] {
    return this.events.map(({ kind }) => kind)
  }
  async event(count = 1): Promise<ModelEvent> {
    await until(`${count} events, not ${this.kinds()}`, () => this.events.length >= count)
    return this.events[count - 1]!
  }
  async peer(count: number): Promise<Peer> {
    await until(`${count} links`, () => this.peers.length >= count)
    return this.peers[count - 1]!
  }
  /** Dials and answers as the provider does, up to ready. */
  async ready(history: TranscriptItem[] = [], renewal = false): Promise<Peer> {
    this.session.dial(history, renewal)
    const peer = await this.peer(this.peers.length + 1)
    peer.say({ type: 'session.created', session: {} })
    await peer.until(1)
    peer.say({ type: 'session.updated', session: {} })
    const count = this.events.length + 1
    assert.equal((await this.event(count)).kind, 'ready')
    return peer
  }
  audio(responseId: string): Message {
    return { type: 'response.output_audio.delta', response_id: responseId, item_id: 'i', delta: 'AQID' }
  }
}

const settle = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 25))
const append = (bench: Bench): void => bench.session.appendAudio(Buffer.from('AAAA'), 0, 4)

suite('until a link is ready', () => {
  test('[OS1] nothing is sent before session.created, only the configuration before session.updated, then all in order', async () => {
    const bench = await Bench.open()
    const history: TranscriptItem[] = [
      { kind: 'caller', id: 'u', text: 'hello' },
      { kind: 'tool', id: 't', name: 'n', arguments: '{}', output: 'done' },
    ]
    bench.items = history
    bench.session.dial(history, false)
    const peer = await bench.peer(1)
    const content = [{ type: 'input_text', text: 'x' }]
    const late = { id: 'late', type: 'message', role: 'user', content }
    bench.session.sendClientEvent({ type: 'conversation.item.create', item: late })
    append(bench)
    bench.session.command({ kind: 'cancel' })
    await settle()
    assert.deepEqual(peer.got, [])
    peer.say({ type: 'session.created', session: { expires_at: bench.clock.wallMs() / 1000 + 60 } })
    const configuration = await peer.until(1)
    assert.deepEqual([configuration.type, configuration.event_id], ['session.update', 'vp-configure'])
    append(bench)
    await settle()
    assert.deepEqual([peer.got.length, bench.events.length], [1, 0])
    peer.say({ type: 'session.updated', session: {} })
    assert.deepEqual(await bench.event(), { kind: 'ready', expiresInMs: 60_000, renewed: false })
    append(bench)
    await peer.until(6)
    const items = peer.got.slice(1, 5).map(({ item }) => item as Record<string, unknown>)
    assert.deepEqual(
      items.map(({ id, type }) => id ?? type),
      ['u', 'fc_t', 'function_call_output', 'late'],
    )
    assert.deepEqual(peer.got[5], { type: 'input_audio_buffer.append', audio: 'AAAA' })
  })

  test('[OS1] an agent that changes its configuration meanwhile has it in force on the new link', async () => {
    const bench = await Bench.open()
    bench.session.dial([], false)
    const peer = await bench.peer(1)
    peer.say({ type: 'session.created', session: {} })
    await peer.until(1)
    bench.session.configure({ instructions: 'the other agent' }, 'whole')
    peer.say({ type: 'session.updated', session: {} })
    await bench.event()
    await settle()
    const last = peer.got.findLast(({ type }) => type === 'session.update')
    assert.equal((last!.session as { instructions: string }).instructions, 'the other agent')
  })

  test('[OI1][P23] what the agent puts in while there is no link is in the history of the next one, once and in order; what meant another link is not sent', async () => {
    const bench = await Bench.open()
    for (let i = 0; i < 3; i += 1) {
      const content = [{ type: 'input_text', text: `message ${i}` }]
      bench.session.sendClientEvent({ type: 'input_audio_buffer.clear' })
      bench.session.sendClientEvent({
        type: 'conversation.item.create',
        item: { type: 'message', role: 'user', content },
      })
    }
    const peer = await bench.ready()
    await peer.until(4)
    await settle()
    const texts = peer.got.slice(1).map(({ item }) => (item as { content: { text: string }[] }).content[0]!.text)
    assert.deepEqual(texts, ['message 0', 'message 1', 'message 2'])
    await until('the agent shows them', () => bench.agent.history.length === 3)
  })

  for (const [what, refusal, loss] of [
    ['401', { status: 401, body: '{"error":{"code":"invalid_api_key"}}' }, { code: 'invalid_api_key', fatal: true }],
    ['429', { status: 429, retryAfter: '2' }, { code: 'http_429', fatal: false, retryAfterMs: 2_000 }],
    ['503', { status: 503, body: 'busy' }, { code: 'http_503', fatal: false }],
  ] as const)
    test(`[RF1] a dial refused with ${what} is told once and leaves no timer`, async () => {
      const bench = await Bench.open()
      bench.refusal = refusal
      bench.session.dial([], false)
      assert.deepEqual(await bench.event(), { kind: 'lost', loss })
      await settle()
      assert.deepEqual([bench.events.length, bench.wheel.size], [1, 0])
    })

  for (const [event, loss] of [
    [
      { code: 'invalid_value', event_id: 'vp-configure' },
      { code: 'invalid_value', fatal: true },
    ],
    [{ type: 'insufficient_quota' }, { code: 'insufficient_quota', fatal: true }],
  ] as const)
    test(`[RF1] an error ${JSON.stringify(event)} before ready is fatal`, async () => {
      const bench = await Bench.open()
      bench.session.dial([], false)
      const peer = await bench.peer(1)
      peer.say({ type: 'session.created', session: {} })
      await peer.until(1)
      peer.say({ type: 'error', error: event })
      assert.deepEqual(await bench.event(), { kind: 'lost', loss })
      await until('the link is closed', () => peer.closed > 0)
      assert.equal(bench.wheel.size, 0)
    })

  const refusal = (param: string, event_id = 'vp-configure') => ({
    type: 'error',
    error: { type: 'invalid_request_error', code: 'invalid_value', param, event_id, message: 'Invalid value.' },
  })
  const voiceIn = (message: Message | undefined): unknown =>
    (message as unknown as { session: { audio: { output: { voice?: unknown } } } }).session.audio.output.voice

  test('[P54][RFF1][RFF2] a voice that the provider refuses is left out, for this link and the next, and the call is ready', async () => {
    const bench = await Bench.open()
    bench.session.dial([], false)
    const peer = await bench.peer(1)
    peer.say({ type: 'session.created', session: {} })
    assert.equal(voiceIn(await peer.until(1)), 'marin')
    peer.say(refusal('session.audio.output.voice'))
    const again = await peer.until(2)
    assert.deepEqual([again.event_id, voiceIn(again)], ['vp-configure', undefined])
    assert.ok((again.session as { instructions?: string }).instructions, 'the rest is sent again')
    peer.say({ type: 'session.updated', session: { audio: { output: { voice: 'alloy' } } } })
    assert.equal((await bench.event()).kind, 'ready')
    bench.session.configure({ instructions: 'the other agent', audio: { output: { voice: 'marin' } } }, 'whole')
    assert.equal(voiceIn(await peer.until(3)), undefined)
    peer.say({ type: 'response.created', response: { id: 'r' } }, bench.audio('r'))
    await until('the agent is heard', () => bench.heard.length > 0)
    bench.session.dial([], true)
    const next = await bench.peer(2)
    next.say({ type: 'session.created', session: {} })
    assert.equal(voiceIn(await next.until(1)), 'alloy', 'the voice that has spoken goes on')
  })

  test("[P54][RFF2][OS3] a voice that has spoken and is not known to a later link gives way to that link's own", async () => {
    const bench = await Bench.open()
    const first = await bench.ready()
    first.say({ type: 'response.created', response: { id: 'r' } }, bench.audio('r'))
    await until('the agent is heard', () => bench.heard.length > 0)
    bench.session.dial([], true)
    const next = await bench.peer(2)
    next.say({ type: 'session.created', session: {} })
    assert.equal(voiceIn(await next.until(1)), 'marin')
    next.say(refusal('session.audio.output.voice'))
    assert.equal(voiceIn(await next.until(2)), undefined)
    next.say({ type: 'session.updated', session: { audio: { output: { voice: 'lark' } } } })
    await until('the second link serves', () => bench.kinds().filter((kind) => kind === 'ready').length === 2)
    assert.equal(bench.session.carried().voice, 'lark')
  })

  test('[P54][RFF1] the same field refused again, and a field that a call needs, are fatal', async () => {
    for (const params of [
      ['session.audio.output.voice', 'session.audio.output.voice'],
      ['session.tools[0].name'],
      ['session.audio.output.voices'],
    ]) {
      const bench = await Bench.open()
      bench.session.dial([], false)
      const peer = await bench.peer(1)
      peer.say({ type: 'session.created', session: {} })
      for (const [i, param] of params.entries()) {
        await peer.until(i + 1)
        peer.say(refusal(param))
      }
      assert.deepEqual(await bench.event(), { kind: 'lost', loss: { code: 'invalid_value', fatal: true } })
    }
  })

  test('[P54][RFF1] a change that is refused for one setting is made without it on a link that serves', async () => {
    const bench = await Bench.open()
    const peer = await bench.ready()
    const transcription = { model: 'no-such-model' }
    bench.session.configure({ instructions: 'the other agent', audio: { input: { transcription } } }, 'whole')
    assert.equal((await peer.until(2)).event_id, 'vp-reconfigure')
    peer.say(refusal('session.audio.input.transcription.model', 'vp-reconfigure'))
    const { session } = (await peer.until(3)) as unknown as { session: Record<string, unknown> }
    assert.equal(session.instructions, 'the other agent')
    assert.ok(!('transcription' in (session.audio as { input: object }).input))
    assert.deepEqual(
      bench.kinds().filter((kind) => kind === 'lost'),
      [],
    )
  })

  test('[OS4] a provider that opens and says nothing is given up after the bound, once', async () => {
    const bench = await Bench.open()
    bench.session.dial([], false)
    const peer = await bench.peer(1)
    await settle()
    bench.clock.advance(CONNECT_MS + 20)
    bench.wheel.advance()
    assert.deepEqual(bench.events, [{ kind: 'lost', loss: { code: 'MODEL_STALLED', fatal: false } }])
    await until('the link is closed', () => peer.closed > 0)
    assert.deepEqual([bench.events.length, bench.wheel.size], [1, 0])
  })
})

suite('renewal', () => {
  test('[OS2] the first link serves until the second is ready; then all goes to the second and the first is closed', async () => {
    const bench = await Bench.open()
    const first = await bench.ready()
    bench.session.dial([], true)
    const second = await bench.peer(2)
    second.say({ type: 'session.created', session: {} })
    await second.until(1)
    first.say(bench.audio('r1'))
    append(bench)
    await first.until(2)
    await until('audio of the first', () => bench.heard.length === 1)
    second.say({ type: 'session.updated', session: {} })
    assert.deepEqual(await bench.event(2), { kind: 'ready', expiresInMs: undefined, renewed: true })
    append(bench)
    assert.equal((await second.until(2)).type, 'input_audio_buffer.append')
    await until('the first is closed', () => first.closed === 1000)
    assert.deepEqual([first.got.length, bench.kinds()], [2, ['ready', 'ready']])
  })

  test('[OS2] a renewal that fails leaves the first link as it is, whether refused, fatal or lost', async () => {
    const bench = await Bench.open()
    const first = await bench.ready()
    for (const refusal of [{ status: 503 }, { status: 401 }]) {
      bench.refusal = refusal
      bench.session.dial([], true)
      const event = await bench.event(bench.events.length + 1)
      assert.equal(event.kind, 'renewal-failed')
    }
    bench.refusal = undefined
    bench.session.dial([], true)
    ;(await bench.peer(2)).terminate()
    assert.equal((await bench.event(4)).kind, 'renewal-failed')
    append(bench)
    assert.equal((await first.until(2)).type, 'input_audio_buffer.append')
    bench.session.close()
    assert.equal(bench.wheel.size, 0)
  })
})
