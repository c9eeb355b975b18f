import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { after, before, suite, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { startRelay } from './relay.ts'

/** Answers each piece with its name before it. */
async function startEcho(name: string): Promise<{ server: Server; port: number }> {
  const server = createServer((socket) => {
    socket.on('error', () => {})
    socket.on('data', (bytes) => socket.write(`${name}:${bytes}`))
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  return { server, port: (server.address() as AddressInfo).port }
}

function dial(port: number): Socket {
  return connect(port, '127.0.0.1').on('error', () => {})
}

async function say(socket: Socket, text: string): Promise<string> {
  socket.write(text)
  const [bytes] = await once(socket, 'data', { signal: AbortSignal.timeout(3_000) })
  return String(bytes)
}

suite('a relay', () => {
  let one: Awaited<ReturnType<typeof startEcho>>
  let two: Awaited<ReturnType<typeof startEcho>>
  before(async () => {
    one = await startEcho('one')
    two = await startEcho('two')
  })
  after(() => {
    one.server.close()
    two.server.close()
  })

  test('[VL1][VL2] passes on while it is open; cut, it destroys what is there and what comes', async () => {
    const relay = await startRelay(one.port)
    const socket = dial(relay.port)
    assert.equal(await say(socket, 'a'), 'one:a')
    const closed = once(socket, 'close')
    relay.set('cut')
    await closed
    await once(dial(relay.port), 'close')
    relay.set('open')
    const again = dial(relay.port)
    assert.equal(await say(again, 'b'), 'one:b')
    await relay.close()
  })

  test('[VL3] frozen, nothing passes and nothing is lost', async () => {
    const relay = await startRelay(one.port)
    const old = dial(relay.port)
    assert.equal(await say(old, 'a'), 'one:a')
    relay.set('frozen')
    const fresh = dial(relay.port)
    let heard = ''
    for (const socket of [old, fresh]) socket.on('data', (bytes) => (heard += bytes))
    old.write('b')
    fresh.write('c')
    await sleep(150)
    assert.equal(heard, '')
    relay.set('open')
    for (let tries = 0; tries < 100 && heard.length < 10; tries++) await sleep(10)
    assert.ok(heard.includes('one:b') && heard.includes('one:c'), heard)
    await relay.close()
  })

  test('a new target gets the clients that come again', async () => {
    const relay = await startRelay(one.port)
    const socket = dial(relay.port)
    assert.equal(await say(socket, 'a'), 'one:a')
    const closed = once(socket, 'close')
    relay.retarget(two.port)
    await closed
    assert.equal(await say(dial(relay.port), 'b'), 'two:b')
    await relay.close()
  })
})
