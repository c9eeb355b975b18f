// A connection against the `ws` library on real loopback sockets, in both roles, plain and over TLS, and against raw bytes.
// Over TLS a shared key stands in for certificates.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import { createServer as createTlsServer, request as requestTls } from 'node:https'
import { type AddressInfo, connect, type Socket, createServer as tcpServer } from 'node:net'
import { afterEach, suite, test } from 'node:test'
import { WebSocket, WebSocketServer } from 'ws'
import { refuseUpgrade, sendUpgrade, upgradeProblem } from './accept.ts'
import { CLOSE_TIMEOUT_MS, type SocketEnd, type SocketListener, WebSocketConnection } from './connection.ts'
import { dial } from './dial.ts'
import { frameOf } from './memory.ts'

const closers: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

/** Keeps what a connection says, and lets a test wait for it. */
class Ears implements SocketListener {
  readonly heard: (string | Buffer)[] = []
  readonly ends: SocketEnd[] = []
  readonly faults: unknown[] = []
  /** Thrown at each message. */
  throws: Error | undefined
  #wake: () => void = () => {}
  onText(buffer: Buffer, start: number, end: number): void {
    if (this.throws !== undefined) throw this.throws
    this.heard.push(buffer.toString('utf8', start, end))
    this.#wake()
  }
  onBinary(buffer: Buffer, start: number, end: number): void {
    if (this.throws !== undefined) throw this.throws
    this.heard.push(Buffer.from(buffer.subarray(start, end)))
    this.#wake()
  }
  onFault(error: unknown): void {
    this.faults.push(error)
  }
  onClosed(end: SocketEnd): void {
    this.ends.push(end)
    this.#wake()
  }
  async until(isTrue: () => boolean): Promise<void> {
    while (!isTrue()) await new Promise<void>((resolve) => (this.#wake = resolve))
  }
  async end(): Promise<SocketEnd> {
    await this.until(() => this.ends.length > 0)
    return this.ends[0]!
  }
}

const OPTIONS = { maxPayloadBytes: 1_000_000, bufferedMaxBytes: 4_000_000 }
type Options = Partial<typeof OPTIONS>
type Ours = { ears: Ears; connection: WebSocketConnection }

async function portOf(server: Server | ReturnType<typeof tcpServer>): Promise<number> {
  await once(server.listen(0, '127.0.0.1'), 'listening')
  return (server.address() as AddressInfo).port
}

/** What a client and a server over TLS are given. */
const PSK = { psk: Buffer.from('0123456789abcdef'), identity: 'test' }
const CIPHERS = { ciphers: 'PSK', maxVersion: 'TLSv1.2' } as const
const TLS_SERVER = { ...CIPHERS, pskCallback: () => PSK.psk }
const TLS_CLIENT = { ...CIPHERS, pskCallback: () => PSK, checkServerIdentity: () => undefined }

/** Our server; `accept` is called for each connection with what we hold of it. */
async function ourServer(options: Options = {}, isTls = false): Promise<{ port: number; next(): Promise<Ours> }> {
  const server = isTls ? createTlsServer(TLS_SERVER) : createServer()
  const waiting: Ours[] = []
  let wake: () => void = () => {}
  server.on('upgrade', (request: IncomingMessage, socket: Socket, head: Buffer) => {
    const problem = upgradeProblem(request)
    if (problem !== undefined) {
      refuseUpgrade(socket, 400, 'Bad Request')
      return
    }
    sendUpgrade(request, socket)
    const ears = new Ears()
    const connection = new WebSocketConnection(socket, ears, { ...OPTIONS, ...options, role: 'server' })
    closers.push(() => connection.destroy())
    connection.feed(head)
    waiting.push({ ears, connection })
    wake()
  })
  closers.push(() => server.close())
  const port = await portOf(server)
  const next = async (): Promise<Ours> => {
    while (waiting.length === 0) await new Promise<void>((resolve) => (wake = resolve))
    return waiting.shift()!
  }
  return { port, next }
}

async function asServer(options: Options = {}, isTls = false): Promise<Ours & { peer: WebSocket }> {
  const { port, next } = await ourServer(options, isTls)
  const peer = isTls
    ? new WebSocket(`wss://127.0.0.1:${port}`, TLS_CLIENT as object)
    : new WebSocket(`ws://127.0.0.1:${port}`)
  peer.on('error', () => {})
  closers.push(() => peer.terminate())
  const [ours] = await Promise.all([next(), once(peer, 'open')])
  return { ...ours, peer }
}

async function asClient(options: Options = {}, isTls = false): Promise<Ours & { peer: WebSocket }> {
  const httpServer = isTls ? createTlsServer(TLS_SERVER) : createServer()
  const server = new WebSocketServer({ server: httpServer })
  const port = await portOf(httpServer)
  closers.push(() => [server.close(), httpServer.close()])
  const connected = once(server, 'connection') as Promise<[WebSocket]>
  const ears = new Ears()
  const { socket, head } = await (isTls ? upgradeOverTls(port) : upgradeByDial(port))
  const connection = new WebSocketConnection(socket, ears, { ...OPTIONS, ...options, role: 'client' })
  connection.feed(head)
  const [peer] = await connected
  peer.on('error', () => {})
  closers.push(() => [connection.destroy(), peer.terminate()])
  return { ears, connection, peer }
}

type Upgraded = { socket: Socket; head: Buffer }

function upgradeByDial(port: number): Promise<Upgraded> {
  return new Promise((resolve, reject) =>
    dial(new URL(`ws://127.0.0.1:${port}/`), { headers: {}, timeoutMs: 2_000 }, (outcome) => {
      if (outcome.kind === 'open') resolve(outcome)
      else reject(new Error(outcome.kind))
    }),
  )
}

/** `dial` trusts certificates only, so that the handshake is made here. */
async function upgradeOverTls(port: number): Promise<Upgraded> {
  const headers = { Connection: 'Upgrade', Upgrade: 'websocket', 'Sec-WebSocket-Version': '13' }
  const key = { 'Sec-WebSocket-Key': 'AAAAAAAAAAAAAAAAAAAAAA==' }
  const request = requestTls({ ...TLS_CLIENT, host: '127.0.0.1', port, agent: false, headers: { ...headers, ...key } })
  request.end()
  const [, socket, head] = (await once(request, 'upgrade')) as [IncomingMessage, Socket, Buffer]
  return { socket, head }
}

/** A raw TCP client of our server, past the upgrade. */
async function asRaw(options: Options = {}): Promise<Ours & { raw: Socket }> {
  const { port, next } = await ourServer(options)
  const raw = connect(port, '127.0.0.1')
  raw.on('error', () => {})
  closers.push(() => raw.destroy())
  const headers = ['GET / HTTP/1.1', 'Host: x', 'Connection: Upgrade', 'Upgrade: websocket']
  raw.write(
    `${[...headers, 'Sec-WebSocket-Version: 13', 'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=='].join('\r\n')}\r\n\r\n`,
  )
  const [ours] = await Promise.all([next(), once(raw, 'data')])
  return { ...ours, raw }
}

for (const [role, open] of [
  ['server', asServer],
  ['client', asClient],
  ['server over TLS', (options: Options = {}) => asServer(options, true)],
  ['client over TLS', (options: Options = {}) => asClient(options, true)],
] as const)
  suite(`as ${role}`, () => {
    test('[P57][WC7] a listener that throws at a message is told and loses its own connection, once', async () => {
      const other = await open()
      const { ears, connection, peer } = await open()
      ears.throws = new Error('a bug of ours')
      peer.send('one')
      peer.send(Buffer.from('two'))
      const end = await ears.end()
      assert.deepEqual([end.cause, ears.faults, connection.isOpen], ['fault', [ears.throws], false])
      other.peer.send('the others go on')
      await other.ears.until(() => other.ears.heard.length === 1)
    })

    test('[WC4] texts and binaries of every length encoding pass both ways unchanged', async () => {
      const { ears, connection, peer } = await open()
      peer.on('message', (data: Buffer, isBinary: boolean) => peer.send(isBinary ? data : `${data}`))
      const texts = [0, 1, 125, 126, 65_535, 65_536, 300_000].map((bytes) => 'ä€'.repeat(bytes).slice(0, bytes))
      for (const text of texts) connection.sendText(text)
      const [head, tail, audio] = [Buffer.from('<'), Buffer.from('>'), Buffer.alloc(60_000)]
      connection.sendSpliced(head, Buffer.from('xMIDDLEx'), 1, 7, tail)
      for (const next of ['{"a":1}', '']) connection.sendBase64(head, next ? audio.subarray(0, 7) : audio, tail, next)
      const want = [...texts, '<MIDDLE>', '<AAAAAAAAAA==>', '{"a":1}', `<${'A'.repeat(80_000)}>`]
      await ears.until(() => ears.heard.length === want.length)
      assert.deepEqual(ears.heard, want)
      peer.send(Buffer.from('raw'))
      await ears.until(() => ears.heard.length > want.length)
      assert.deepEqual(ears.heard.at(-1), Buffer.from('raw'))
    })

    test('[FR3] fragments with a ping between them come as one message; the ping is answered', async () => {
      const { ears, peer } = await open()
      const pong = once(peer, 'pong')
      peer.send('one ', { fin: false })
      peer.ping('are you there')
      peer.send('two ', { fin: false })
      peer.send('three', { fin: true })
      await ears.until(() => ears.heard.length === 1)
      assert.deepEqual(ears.heard, ['one two three'])
      assert.equal(String((await pong)[0]), 'are you there')
    })

    test('[WC1] a close of ours reaches the peer with code and reason and ends both, once', async () => {
      const { ears, connection, peer } = await open()
      const closed = once(peer, 'close') as Promise<[number, Buffer]>
      connection.close(4001, 'enough')
      connection.close(1011, 'again')
      connection.sendText('never sent')
      const [code, reason] = await closed
      assert.deepEqual([code, String(reason)], [4001, 'enough'])
      assert.deepEqual(await ears.end(), { code: 4001, reason: 'enough', cause: 'closed' })
      connection.close()
      connection.destroy()
      connection.sendText('never sent')
      assert.equal(ears.ends.length, 1)
      assert.equal(connection.isOpen, false)
    })

    test('[WC1] a close of the peer is answered with its code and told with its reason', async () => {
      const { ears, peer } = await open()
      const closed = once(peer, 'close') as Promise<[number]>
      peer.close(4002, 'good-bye')
      assert.deepEqual(await ears.end(), { code: 4002, reason: 'good-bye', cause: 'closed' })
      assert.equal((await closed)[0], 4002)
    })

    test('[WC1] a peer that vanishes is told as lost', async () => {
      const { ears, peer } = await open()
      peer.terminate()
      assert.deepEqual(await ears.end(), { code: 1006, reason: '', cause: 'lost' })
    })

    test('[FR2] a message over the bound ends the connection with 1009', async () => {
      const { ears, peer } = await open({ maxPayloadBytes: 1_000 })
      const closed = once(peer, 'close') as Promise<[number]>
      peer.send('x'.repeat(1_001))
      assert.equal((await closed)[0], 1009)
      assert.equal((await ears.end()).cause, 'violation')
      assert.deepEqual(ears.heard, [])
    })

    test('[WC3] a peer that does not read is cut off at the bound', async () => {
      const { ears, connection, peer } = await open({ bufferedMaxBytes: 200_000 })
      ;(peer as unknown as { _socket: Socket })._socket.pause()
      const text = 'x'.repeat(50_000)
      for (let i = 0; i < 1_000 && connection.isOpen; i += 1) {
        connection.sendText(text)
        assert.ok(connection.bufferedBytes <= 200_000 + 50_100)
        if (i % 10 === 9) await new Promise((resolve) => setImmediate(resolve))
      }
      assert.deepEqual(await ears.end(), { code: 1006, reason: '', cause: 'overflow' })
      connection.sendText(text)
      assert.equal(ears.ends.length, 1)
    })

    test('[WC1] destroy tells the cause that it was given', async () => {
      const { ears, connection } = await open()
      connection.destroy('dead')
      assert.equal((await ears.end()).cause, 'dead')
    })
  })

suite('memory of a frame', () => {
  for (const [what, open] of [
    ['plain', () => asClient()],
    ['over TLS', () => asClient({}, true)],
  ] as const)
    test(`[O22] ${what}, frames of many calls in one turn are built in one memory, and each arrives whole`, async () => {
      const { connection, peer } = await open()
      const heard: string[] = []
      let heardAll: () => void = () => {}
      const all = new Promise<void>((resolve) => (heardAll = resolve))
      peer.on('message', (data: Buffer) => {
        if (heard.push(`${data}`) === 500) heardAll()
      })
      connection.sendText('the first one settles the stream')
      await new Promise((resolve) => setTimeout(resolve, 20))
      const first = frameOf(1_000)
      for (let i = 1; i < 500; i += 1) connection.sendText(`${i} ${'y'.repeat(200)}`)
      assert.equal(frameOf(1_000).buffer, first.buffer, 'the scratch was never given up')
      await all
      assert.deepEqual(
        heard.map((text) => Number.parseInt(text, 10)).slice(1),
        Array.from({ length: 499 }, (_, i) => i + 1),
      )
      assert.ok(heard.slice(1).every((text) => text.endsWith('y'.repeat(200))))
    })

  test('[TLW3] over TLS, what was sent before a close arrives before it, also from a peer that has closed', async () => {
    const { ears, connection, peer } = await asClient({}, true)
    const heard: number[] = []
    const closed = once(peer, 'close') as Promise<[number]>
    peer.on('message', (data: Buffer) => heard.push(Number.parseInt(`${data}`, 10)))
    for (let i = 0; i < 100; i += 1) connection.sendText(`${i} ${'z'.repeat(10_000)}`)
    connection.close(4003, 'all said')
    assert.equal((await closed)[0], 4003)
    assert.equal(heard.length, 100)
    assert.deepEqual(await ears.end(), { code: 4003, reason: 'all said', cause: 'closed' })
  })
})

suite('raw bytes', () => {
  const masked = (first: number, payload: string): Buffer => {
    const body = Buffer.from(payload)
    return Buffer.concat([Buffer.of(first, 0x80 | body.length, 0, 0, 0, 0), body])
  }

  test('[FR1] a message that comes byte by byte arrives', async () => {
    const { ears, raw } = await asRaw()
    raw.setNoDelay(true)
    for (const byte of masked(0x81, 'slowly')) {
      raw.write(Buffer.of(byte))
      await new Promise((resolve) => setImmediate(resolve))
    }
    await ears.until(() => ears.heard.length === 1)
    assert.deepEqual(ears.heard, ['slowly'])
  })

  for (const [what, bytes, code] of [
    ['a frame without a mask', Buffer.of(0x81, 1, 0x61), 1002],
    ['text that is not UTF-8', Buffer.from([0x81, 0x82, 0, 0, 0, 0, 0xc3, 0x28]), 1007],
    ['a close code that may not be sent', Buffer.from([0x88, 0x82, 0, 0, 0, 0, 0x03, 0xed]), 1002],
  ] as const)
    test(`[FR3] ${what} is answered with ${code} and the end of the socket`, async () => {
      const { ears, raw } = await asRaw()
      const answer = once(raw, 'data') as Promise<[Buffer]>
      raw.write(bytes)
      const [close] = await answer
      assert.deepEqual([close[0], close.readUInt16BE(2)], [0x88, code])
      raw.end()
      assert.equal((await ears.end()).cause, 'violation')
    })

  test('[WC2] a peer that does not answer the close is destroyed within the bound', async () => {
    const { ears, connection, raw } = await asRaw()
    raw.resume()
    const startMs = performance.now()
    connection.close(1000, '')
    assert.deepEqual(await ears.end(), { code: 1000, reason: '', cause: 'closed' })
    const tookMs = performance.now() - startMs
    assert.ok(tookMs >= CLOSE_TIMEOUT_MS - 20 && tookMs < CLOSE_TIMEOUT_MS + 1_000, `${tookMs} ms`)
  })

  test('[WC4] two frames of a client never bear the same mask', async () => {
    const server = tcpServer()
    const port = await portOf(server)
    closers.push(() => server.close())
    const raw = connect(port, '127.0.0.1')
    const [socket] = (await once(server, 'connection')) as [Socket]
    closers.push(() => [raw.destroy(), socket.destroy()])
    const connection = new WebSocketConnection(raw, new Ears(), { ...OPTIONS, role: 'client' })
    for (let i = 0; i < 500; i += 1) connection.sendText('abcd')
    const chunks: Buffer[] = []
    for await (const chunk of socket) if (chunks.push(chunk as Buffer) && Buffer.concat(chunks).length >= 5_000) break
    const all = Buffer.concat(chunks)
    const masks = new Set(Array.from({ length: 500 }, (_, i) => all.toString('hex', i * 10 + 2, i * 10 + 6)))
    assert.equal(masks.size, 500)
  })

  for (const [what, line] of [
    ['another version', 'Sec-WebSocket-Version: 8\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=='],
    ['no key', 'Sec-WebSocket-Version: 13'],
    ['a malformed key', 'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: short'],
  ] as const)
    test(`[WA1] an upgrade with ${what} gets a status and the end`, async () => {
      const { port } = await ourServer()
      const raw = connect(port, '127.0.0.1')
      closers.push(() => raw.destroy())
      raw.write(`GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n${line}\r\n\r\n`)
      let answer = ''
      for await (const chunk of raw) answer += String(chunk)
      assert.match(answer, /^HTTP\/1\.1 400 Bad Request\r\n/)
    })
})
