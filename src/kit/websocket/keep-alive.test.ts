// Keeping a connection alive: real sockets, time that is told.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { afterEach, test } from 'node:test'
import { type WebSocket, WebSocketServer } from 'ws'
import { FakeClock } from '../clock.ts'
import { until } from '../testing/patience.ts'
import { Wheel } from '../wheel.ts'
import { type SocketEnd, WebSocketConnection } from './connection.ts'
import { dial } from './dial.ts'

const EVERY_MS = 1_000
const closers: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

/** Our connection to a peer that answers a ping only when told to. */
async function pair() {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0, autoPong: false })
  closers.push(() => server.close())
  await once(server, 'listening')
  const url = new URL(`ws://127.0.0.1:${(server.address() as AddressInfo).port}/`)
  const connected = once(server, 'connection') as Promise<[WebSocket]>
  const texts: string[] = []
  const ends: SocketEnd[] = []
  const listener = {
    onText: (buffer: Buffer, start: number, end: number) => void texts.push(buffer.toString('utf8', start, end)),
    onFault: (error: unknown) => assert.fail(String(error)),
    onBinary() {},
    onClosed: (end: SocketEnd) => void ends.push(end),
  }
  const options = { role: 'client' as const, maxPayloadBytes: 1_000, bufferedMaxBytes: 10_000 }
  const connection = await new Promise<WebSocketConnection>((resolve, reject) =>
    dial(url, { headers: {}, timeoutMs: 2_000 }, (outcome) => {
      if (outcome.kind !== 'open') return reject(new Error(outcome.kind))
      const made = new WebSocketConnection(outcome.socket, listener, options)
      made.feed(outcome.head)
      resolve(made)
    }),
  )
  const [peer] = await connected
  peer.on('error', () => {})
  closers.push(() => [connection.destroy(), peer.terminate()])
  const clock = new FakeClock()
  const wheel = new Wheel({ clock, manual: true, onError: (error) => assert.fail(String(error)) })
  const passes = () => {
    clock.advance(EVERY_MS + 10)
    wheel.advance()
  }
  return { connection, peer, texts, ends, wheel, passes }
}

test('[WC6] a peer that answers or speaks lives; one that is silent for a whole interval is dead', async () => {
  const { connection, peer, texts, ends, wheel, passes } = await pair()
  connection.keepAlive(wheel, EVERY_MS)
  for (let n = 1; n <= 3; n += 1) {
    const pinged = once(peer, 'ping')
    passes()
    await pinged
    if (n < 3) peer.pong()
    peer.send(`alive ${n}`)
    await until(`text ${n}`, () => texts.length === n)
  }
  const pinged = once(peer, 'ping')
  passes()
  await pinged
  assert.deepEqual([connection.isOpen, ends], [true, []])
  passes()
  await until('the end', () => ends.length === 1)
  assert.deepEqual(ends, [{ code: 1006, reason: '', cause: 'dead' }])
  assert.equal(wheel.size, 0)
})

test('[WC6] a connection that is being closed keeps no timer and begins none; keeping it alive twice is keeping it once', async () => {
  const { connection, ends, wheel } = await pair()
  connection.keepAlive(wheel, EVERY_MS)
  connection.keepAlive(wheel, EVERY_MS)
  assert.equal(wheel.size, 1)
  connection.close()
  connection.keepAlive(wheel, EVERY_MS)
  assert.equal(wheel.size, 0)
  await until('the end', () => ends.length === 1)
  assert.equal(ends[0]!.cause, 'closed')
})

test('[WC6] a peer that goes takes the timer with it', async () => {
  const { connection, peer, ends, wheel } = await pair()
  connection.keepAlive(wheel, EVERY_MS)
  peer.terminate()
  await until('the end', () => ends.length === 1)
  assert.deepEqual([ends[0]!.cause, wheel.size], ['lost', 0])
})
