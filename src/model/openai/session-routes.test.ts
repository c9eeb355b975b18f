// What a session tells its routes, and what it tells its call when there is no way. A small provider on loopback.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, test } from 'node:test'
import { RealtimeAgent } from '@openai/agents-realtime'
import { type WebSocket, WebSocketServer } from 'ws'
import type { ModelEvent, ModelListener, ModelLoss } from '../../call/ports.ts'
import { FakeClock } from '../../kit/clock.ts'
import { silentLog } from '../../kit/log.ts'
import { Wheel } from '../../kit/wheel.ts'
import type { LinkLoss, Routes, Way } from '../route.ts'
import { oneRoute } from '../testing/one-route.ts'
import { OpenAiSession } from './session.ts'

const SHED: ModelLoss = { code: 'MODEL_SHED', fatal: false, retryAfterMs: 700 }
const closers: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

/** How the provider answers a dial. */
type Answer = 'serve' | 'refuse-429' | 'full-after-upgrade' | 'bad-configuration' | 'silent'

class Bench implements ModelListener {
  readonly events: ModelEvent[] = []
  readonly told: string[] = []
  readonly asked: boolean[] = []
  readonly sockets: WebSocket[] = []
  readonly wheel = new Wheel({ clock: new FakeClock(), manual: true, onError: (error) => assert.fail(String(error)) })
  answer: Answer = 'serve'
  isShed = false
  session!: OpenAiSession

  static async open(): Promise<Bench> {
    const bench = new Bench()
    const http = createServer()
    const server = new WebSocketServer({ noServer: true })
    http.on('upgrade', (request, socket, head) => {
      if (bench.answer === 'refuse-429') socket.end('HTTP/1.1 429 X\r\nContent-Length: 0\r\n\r\n')
      else server.handleUpgrade(request, socket, head, (peer) => bench.#serve(peer))
    })
    http.listen(0, '127.0.0.1')
    await once(http, 'listening')
    closers.push(() => {
      bench.session.close()
      for (const socket of bench.sockets) socket.terminate()
      http.close()
    })
    const { port } = http.address() as AddressInfo
    const link = { connectMs: 2_000, bufferedMaxBytes: 1_000_000, audio: 'pcmu' as const, framesPerAppend: () => 1 }
    const vad = { turnDetection: { type: 'semantic_vad' }, transcription: null, voice: 'marin' }
    const defaults = { audio: 'pcmu' as const, ...vad, bargeIn: true, autoRespond: true }
    const routes = bench.#noting(oneRoute(new URL(`ws://127.0.0.1:${port}/`)))
    const agent = new RealtimeAgent<unknown>({ name: 'A', instructions: 'Be brief.' })
    const world = { clock: new FakeClock(), wheel: bench.wheel, log: silentLog }
    bench.session = new OpenAiSession(
      bench,
      { agent },
      { routes, link, defaults, model: 'm', toolMaxMs: 30_000 },
      world,
    )
    return bench
  }

  #noting(plain: Routes): Routes {
    const next = (dial: { isResume: boolean }): Way => {
      this.asked.push(dial.isResume)
      const way = plain.next(dial)
      if (this.isShed || way.kind === 'shed') return { kind: 'shed', loss: SHED }
      const { route } = way
      const lost = (loss: LinkLoss): ModelLoss => {
        this.told.push(`lost ${loss.code}${loss.isLimit === true ? ' limit' : ''}`)
        return route.lost(loss)
      }
      const note = (what: string) => () => void this.told.push(what)
      return { kind: 'go', route: { ...route, accepted: note('accepted'), lost, released: note('released') } }
    }
    return { next }
  }

  #serve(peer: WebSocket): void {
    this.sockets.push(peer)
    const say = (event: object): void => peer.send(JSON.stringify({ ...event, event_id: 'event_x' }))
    const { answer } = this
    if (answer === 'silent') return
    if (answer === 'full-after-upgrade') {
      say({ type: 'error', error: { code: 'rate_limit_exceeded' } })
      return
    }
    say({ type: 'session.created', session: {} })
    peer.on('message', (data) => {
      const { event_id } = JSON.parse(String(data)) as { event_id?: string }
      if (event_id !== 'vp-configure') return
      const error = { code: 'invalid_value', event_id }
      say(answer === 'bad-configuration' ? { type: 'error', error } : { type: 'session.updated', session: {} })
    })
  }

  onModelEvent(event: ModelEvent): void {
    this.events.push(event)
  }
  onModelAudio(): void {}

  /** Dials and waits for what comes of it. */
  async dial(options: { answer?: Answer; isRenewal?: boolean; hasHistory?: boolean } = {}): Promise<ModelEvent> {
    const { answer = 'serve', isRenewal = false, hasHistory = false } = options
    this.answer = answer
    const count = this.events.length
    this.session.dial(hasHistory ? [{ kind: 'caller', id: 'u', text: 'hello' }] : [], isRenewal)
    await this.until(() => this.events.length > count)
    return this.events[count]!
  }

  async until(isSo: () => boolean): Promise<void> {
    for (const endMs = performance.now() + 30_000; !isSo(); ) {
      assert.ok(performance.now() < endMs, `never; told ${this.told.join(', ')}`)
      await new Promise((resolve) => setTimeout(resolve, 2))
    }
  }
}

test('[RO2] a dial that is shed is a loss, or a renewal that failed; it leaves no timer, and the link that serves', async () => {
  const bench = await Bench.open()
  bench.isShed = true
  assert.deepEqual(await bench.dial(), { kind: 'lost', loss: SHED })
  bench.isShed = false
  assert.equal((await bench.dial()).kind, 'ready')
  bench.isShed = true
  assert.deepEqual(await bench.dial({ isRenewal: true }), { kind: 'renewal-failed', loss: SHED })
  assert.deepEqual([bench.told, bench.wheel.size > 0], [['accepted'], true])
})

test('a dial is a resume when something was said, when a link has served, and when it renews', async () => {
  const bench = await Bench.open()
  bench.isShed = true
  await bench.dial()
  await bench.dial({ hasHistory: true })
  bench.isShed = false
  await bench.dial()
  await bench.dial({ isRenewal: true })
  bench.sockets.at(-1)!.terminate()
  await bench.until(() => bench.events.at(-1)?.kind === 'lost')
  await bench.dial()
  assert.deepEqual(bench.asked, [false, true, false, true, true])
})

test('[RO1] a route is told `accepted` when configured, `lost` when the link ends by itself, then `released`, once', async () => {
  const bench = await Bench.open()
  await bench.dial()
  bench.sockets[0]!.terminate()
  await bench.until(() => bench.told.includes('released'))
  bench.session.close()
  assert.deepEqual(bench.told, ['accepted', 'lost socket_lost', 'released'])
})

for (const [answer, told, loss] of [
  ['refuse-429', ['lost http_429 limit', 'released'], { code: 'http_429', fatal: false }],
  ['full-after-upgrade', ['lost rate_limit_exceeded limit', 'released'], { code: 'rate_limit_exceeded', fatal: false }],
  // The agent's own fault is nothing against the provider.
  ['bad-configuration', ['accepted', 'released'], { code: 'invalid_value', fatal: true }],
] as const)
  test(`[RO1] [RF3] a provider that answers ${answer} is told so, and the call hears nothing of limits`, async () => {
    const bench = await Bench.open()
    assert.deepEqual(await bench.dial({ answer }), { kind: 'lost', loss })
    await bench.until(() => bench.told.includes('released'))
    bench.session.close()
    assert.deepEqual([bench.told, bench.wheel.size], [told, 0])
  })

test('[RO1] a dial that the call gives up is only released', async () => {
  const bench = await Bench.open()
  bench.answer = 'silent'
  bench.session.dial([], false)
  await bench.until(() => bench.sockets.length === 1)
  bench.session.close()
  assert.deepEqual([bench.told, bench.wheel.size], [['released'], 0])
})
