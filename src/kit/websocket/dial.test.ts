// The dial: its outcomes, each exactly once, against real servers on loopback.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type RequestListener, type Server } from 'node:http'
import { type AddressInfo, type Socket, createServer as tcpServer } from 'node:net'
import { afterEach, test } from 'node:test'
import { WebSocketServer } from 'ws'
import { startWatch } from '../testing/patience.ts'
import { acceptValue } from './accept.ts'
import { type DialOutcome, dial } from './dial.ts'

const closers: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

async function urlOf(server: Server | ReturnType<typeof tcpServer>): Promise<URL> {
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  closers.push(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return new URL(`ws://127.0.0.1:${(server.address() as AddressInfo).port}/v1/realtime?model=m`)
}

const httpUrl = (listener: RequestListener): Promise<URL> => urlOf(createServer(listener))
const rawUrl = (onSocket: (socket: Socket) => void): Promise<URL> => urlOf(tcpServer(onSocket))

/** Dials, waits a little longer than the outcome and fails if there was a second one. */
async function outcomeOf(url: URL, timeoutMs = 2_000, headers: Record<string, string> = {}): Promise<DialOutcome> {
  const outcomes: DialOutcome[] = []
  const outcome = await new Promise<DialOutcome>((resolve) =>
    dial(url, { headers, timeoutMs }, (one) => {
      outcomes.push(one)
      resolve(one)
    }),
  )
  if (outcome.kind === 'open') closers.push(() => outcome.socket.destroy())
  await new Promise((resolve) => setTimeout(resolve, 20))
  assert.equal(outcomes.length, 1)
  return outcome
}

test('[WD1] an accepted dial is open; path, query and headers arrive; early bytes of the server are kept', async () => {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0 })
  await once(server, 'listening')
  closers.push(() => server.close())
  const connection = once(server, 'connection') as Promise<[{ terminate(): void }, { url: string; headers: object }]>
  const url = new URL(`ws://127.0.0.1:${(server.address() as AddressInfo).port}/v1/realtime?model=m`)
  const outcome = await outcomeOf(url, 2_000, { authorization: 'Bearer k' })
  const [peer, request] = await connection
  closers.push(() => peer.terminate())
  assert.equal(outcome.kind, 'open')
  assert.equal(request.url, '/v1/realtime?model=m')
  assert.equal((request.headers as Record<string, string>).authorization, 'Bearer k')
})

test('[WD1] frames that come in one packet with the 101 are handed over as head', async () => {
  const url = await rawUrl((socket) =>
    socket.once('data', (request) => {
      const key = /sec-websocket-key: (\S+)/i.exec(String(request))![1]!
      const head = `HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${acceptValue(key)}\r\n\r\n`
      socket.write(Buffer.concat([Buffer.from(head), Buffer.of(0x81, 1, 0x61)]))
    }),
  )
  const outcome = await outcomeOf(url)
  assert.ok(outcome.kind === 'open' && outcome.head.equals(Buffer.of(0x81, 1, 0x61)))
})

test('[WD1] a refusal bears status, body and Retry-After in ms', async () => {
  const url = await httpUrl((_request, response) =>
    response.writeHead(429, { 'retry-after': '3' }).end('{"error":{"code":"rate_limit_exceeded"}}'),
  )
  const want = { kind: 'refused', status: 429, body: '{"error":{"code":"rate_limit_exceeded"}}', retryAfterMs: 3_000 }
  assert.deepEqual(await outcomeOf(url), want)
})

for (const value of ['-1', '0', 'soon', 'Wed, 21 Oct 2026 07:28:00 GMT'])
  test(`[WD1] a Retry-After of ${value} is none`, async () => {
    const url = await httpUrl((_request, response) => response.writeHead(503, { 'retry-after': value }).end())
    assert.deepEqual(await outcomeOf(url), { kind: 'refused', status: 503, body: '', retryAfterMs: undefined })
  })

test('[WD3] the body of a refusal is kept up to its bound', async () => {
  const url = await httpUrl((_request, response) => response.writeHead(500).end('x'.repeat(100_000)))
  const outcome = await outcomeOf(url)
  assert.ok(outcome.kind === 'refused' && outcome.body.length === 16_384)
})

test('[WD1] a body that breaks off is still a refusal', async () => {
  const url = await rawUrl((socket) =>
    socket.once('data', () => socket.end('HTTP/1.1 401 No\r\nContent-Length: 99\r\n\r\n{"error"')),
  )
  assert.deepEqual(await outcomeOf(url), { kind: 'refused', status: 401, body: '{"error"', retryAfterMs: undefined })
})

test('[WD1] a server that says nothing is a failure after the bound', async () => {
  const url = await rawUrl(() => {})
  const watch = startWatch()
  assert.deepEqual(await outcomeOf(url, 100), { kind: 'failed', reason: 'timed out' })
  assert.ok(watch.elapsedMs() < 1_000)
})

test('[WD3] a body without end does not hold the dial beyond its bound, and the status counts all the same', async () => {
  const url = await httpUrl((_request, response) => void response.writeHead(401).write('{"er'))
  const want = { kind: 'refused', status: 401, body: '{"er', retryAfterMs: undefined }
  assert.deepEqual(await outcomeOf(url, 100), want)
  const watch = startWatch()
  assert.deepEqual(await outcomeOf(url, 60_000), want)
  assert.ok(watch.elapsedMs() < 3_000)
})

test('[WD3] a body that drips without end is cut at its bound', async () => {
  const url = await httpUrl((_request, response) => {
    response.writeHead(403)
    const timer = setInterval(() => response.write('x'.repeat(4_000)), 1)
    response.on('close', () => clearInterval(timer))
  })
  const outcome = await outcomeOf(url, 5_000)
  assert.ok(outcome.kind === 'refused' && outcome.status === 403 && outcome.body.length === 16_384)
})

test('[WD1] a wrong accept header is a failure', async () => {
  const url = await rawUrl((socket) =>
    socket.once('data', () =>
      socket.write('HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: bm8=\r\n\r\n'),
    ),
  )
  assert.deepEqual(await outcomeOf(url), { kind: 'failed', reason: 'the accept header does not match' })
})

test('[WD1] a port where nobody listens, and a socket that closes at once, are failures', async () => {
  const url = await rawUrl((socket) => socket.destroy())
  assert.equal((await outcomeOf(url)).kind, 'failed')
  for (const close of closers.splice(0)) await close()
  assert.equal((await outcomeOf(url)).kind, 'failed')
})

test('[WD1] a dial that is given up is told so once, and what comes later is closed', async () => {
  const url = await rawUrl(() => {})
  const outcomes: DialOutcome[] = []
  const giveUp = dial(url, { headers: {}, timeoutMs: 2_000 }, (one) => outcomes.push(one))
  giveUp()
  giveUp()
  await new Promise((resolve) => setTimeout(resolve, 30))
  assert.deepEqual(outcomes, [{ kind: 'failed', reason: 'given up' }])
})
