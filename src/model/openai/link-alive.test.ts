// A link whose provider falls silent while the caller speaks: real sockets, told time, both audio formats.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { afterEach, suite, test } from 'node:test'
import { type WebSocket, WebSocketServer } from 'ws'
import { FakeClock } from '../../kit/clock.ts'
import { until } from '../../kit/testing/patience.ts'
import { Wheel } from '../../kit/wheel.ts'
import { ANSWER_MS, LOOK_AGAIN_MS, QUIET_MS } from '../link-proof.ts'
import { oneRoute } from '../testing/one-route.ts'
import { Link, type LinkSettings } from './link.ts'

const closers: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

/** A link to a provider that answers probes, or nothing at all. */
class Bench {
  readonly clock = new FakeClock()
  readonly wheel = new Wheel({ clock: this.clock, manual: true, onError: (error) => assert.fail(String(error)) })
  readonly probes: Record<string, unknown>[] = []
  readonly events: string[] = []
  readonly ends: string[] = []
  answers = true
  link!: Link
  peer!: WebSocket
  closeCode = 0

  static async open(audio: LinkSettings['audio']): Promise<Bench> {
    const bench = new Bench()
    const server = new WebSocketServer({ host: '127.0.0.1', port: 0 })
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    server.on('connection', (socket) => {
      bench.peer = socket
      socket.on('message', (data) => bench.#onMessage(JSON.parse(String(data)) as Record<string, unknown>))
      socket.on('close', (code) => {
        bench.closeCode = code
      })
      bench.say({ type: 'session.created', session: {} })
    })
    const route = oneRoute(new URL(`ws://127.0.0.1:${port}/`)).next({ isResume: false })
    assert.ok(route.kind === 'go')
    const listener = {
      onLinkEvent: (_link: Link, { type }: { type: string }) => void bench.events.push(type),
      onLinkAudio() {},
      onLinkAlive() {},
      onLinkFault: (error: unknown) => assert.fail(String(error)),
      onLinkUnprovable() {},
      onLinkEnd: (_link: Link, { code, fatal }: { code: string; fatal: boolean }) =>
        void bench.ends.push(`${code} ${fatal}`),
    }
    const settings = { connectMs: 2_000, bufferedMaxBytes: 1_000_000, audio, wantsTranscriptDeltas: false }
    bench.link = new Link(listener, route.route, { ...settings, framesPerAppend: () => 1 }, bench.wheel)
    closers.push(() => {
      bench.link.close()
      for (const client of server.clients) client.terminate()
      server.close()
    })
    bench.link.open()
    await until('the first event', () => bench.events.length === 1)
    bench.link.serve()
    await until('the first question', () => bench.probes.length === 1)
    bench.say({ type: 'after.the.answer' })
    await until('its answer', () => bench.events.length === 2)
    bench.probes.pop()
    bench.events.pop()
    return bench
  }
  say(event: object): void {
    this.peer.send(JSON.stringify({ ...event, event_id: 'event_x' }))
  }
  #onMessage(message: Record<string, unknown>): void {
    if (message.type !== 'conversation.item.retrieve') return
    this.probes.push(message)
    const error = { type: 'invalid_request_error', code: 'item_retrieve_invalid_item_id', event_id: message.event_id }
    if (this.answers) this.say({ type: 'error', error })
  }
  /** A caller who is loud for `ms`, with time for the sockets at each step. */
  async loud(ms: number): Promise<void> {
    for (let passed = 0; passed < ms; passed += 100) {
      const frame = Buffer.from(Buffer.alloc(160, 0x20).toString('base64'))
      this.link.append(frame, 0, frame.length)
      this.link.callerSeemsLoud()
      this.clock.advance(100)
      this.wheel.advance()
      await new Promise((resolve) => setTimeout(resolve, 3))
    }
  }
}

for (const audio of ['pcmu', 'pcm16'] as const)
  suite(audio, () => {
    test('[LK4] a link that answers stays, however long the noise; its answers reach neither the call nor the agent', async () => {
      const bench = await Bench.open(audio)
      await bench.loud(10_000)
      await until('three probes', () => bench.probes.length >= 3)
      assert.deepEqual([bench.ends, bench.events], [[], ['session.created']])
      assert.equal(bench.probes[0]!.item_id, 'vp_no_such_item')
    })

    test('[LK4] a link that is silent to a loud caller and to the question ends once, as stalled, and is closed [LK1]', async () => {
      const bench = await Bench.open(audio)
      bench.answers = false
      await bench.loud(QUIET_MS + ANSWER_MS - 300)
      assert.deepEqual([bench.probes.length, bench.ends], [1, []])
      await bench.loud(300 + LOOK_AGAIN_MS + 200)
      assert.deepEqual(bench.ends, ['MODEL_STALLED false'])
      await until('the socket is closed', () => bench.closeCode === 1000)
      await bench.loud(5_000)
      assert.deepEqual([bench.probes.length, bench.ends.length, bench.wheel.size], [1, 1, 0])
    })
  })

test('[LK4] another error of the provider still reaches the call', async () => {
  const bench = await Bench.open('pcmu')
  bench.say({ type: 'error', error: { code: 'x', event_id: 'vp-1' } })
  await until('the error', () => bench.events.length === 2)
  assert.deepEqual(bench.events, ['session.created', 'error'])
})
