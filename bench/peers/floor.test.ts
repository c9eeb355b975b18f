// The floor alone, built with the sanitizers for memory and undefined behaviour: a false access or a leak ends it with another code than 0.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { WebSocket, WebSocketServer } from 'ws'
import { until } from '../../src/kit/testing/patience.ts'
import { Bench } from '../runner/bench.ts'
import { type Child, startChild } from '../runner/child.ts'
import { buildFloor } from '../runner/floor.ts'
import { needPackages } from '../runner/packages.ts'
import { makeCertificate, startTerminator } from '../runner/terminator.ts'
import { SESSION_UPDATE, streamTwiml } from './settings.ts'

const LINKS_MAX = 32
const SANITIZED = [
  '-O1',
  '-g',
  '-Wall',
  '-Wextra',
  '-Werror',
  '-fsanitize=address,undefined',
  '-fno-sanitize-recover',
  '-DSEND_BUFFER_BYTES=16384',
  `-DLINKS_MAX=${LINKS_MAX}`,
]
const BARE = new URL('./bare-bridge.ts', import.meta.url).pathname
const SANITIZER_LOG = 'sanitizer-log'
const OUT_MAX_BYTES = 1024 * 1024
const FRAME_MAX_BYTES = 1024 * 1024

let bench: Bench
before(async () => {
  bench = await Bench.open('floor-test', {})
  await buildFloor(bench, SANITIZED)
})
const models: ToldModel[] = []
after(async () => {
  for (const model of models) model.close()
  await bench.close()
})

/** A model that is told what to say; what it was asked and told is kept. */
class ToldModel {
  readonly asked: Record<string, string | undefined>[] = []
  readonly heard: string[] = []
  readonly closed: number[] = []
  /** Messages of the newest link. */
  linkHeard = 0
  readonly #http: Server
  readonly #sockets: WebSocketServer
  #link: WebSocket | undefined

  /** `certificateFile`: for TLS, with its key beside it. */
  constructor(certificateFile?: string) {
    this.#http =
      certificateFile === undefined
        ? createServer()
        : createTlsServer({ cert: readFileSync(certificateFile), key: readFileSync(`${certificateFile}.key`) })
    this.#sockets = new WebSocketServer({ server: this.#http })
    this.#sockets.on('connection', (link, { url, headers }) => {
      this.#link = link
      this.linkHeard = 0
      link.on('message', () => {
        if (link === this.#link) this.linkHeard += 1
      })
      this.asked.push({ url, host: headers.host?.replace(/\d+$/, ''), authorization: headers.authorization })
      link.on('message', (data) => this.heard.push(String(data)))
      link.on('pong', (data) => this.heard.push(`pong ${data}`))
      link.on('close', (code) => this.closed.push(code))
    })
  }

  async start(): Promise<this> {
    models.push(this)
    this.#http.listen(0, '127.0.0.1')
    await once(this.#http, 'listening')
    return this
  }

  get port(): number {
    return (this.#http.address() as AddressInfo).port
  }

  get link(): WebSocket {
    return this.#link!
  }

  say(event: object): void {
    this.link.send(JSON.stringify(event))
  }

  close(): void {
    for (const client of this.#sockets.clients) client.terminate()
    this.#http.close()
  }
}

async function start(program: { file: string; args: string[] }, modelUrl: string, env: Record<string, string> = {}) {
  const command = {
    name: 'bridge',
    ...program,
    env: {
      PORT: '0',
      OPENAI_REALTIME_URL: modelUrl,
      OPENAI_API_KEY: 'sk-told',
      ASAN_OPTIONS: `log_path=${join(bench.folder, SANITIZER_LOG)}`,
      ...env,
    },
  }
  const child = await startChild(command, bench)
  return { ...child, url: `http://127.0.0.1:${child.port}` }
}

async function startFloor(modelUrl: string, env?: Record<string, string>) {
  return start({ file: await buildFloor(bench), args: [] }, modelUrl, env)
}

const START = { event: 'start', sequenceNumber: '1', start: { streamSid: 'MZ01', callSid: 'CA01' }, streamSid: 'MZ01' }
const media = (payload: string) => ({
  event: 'media',
  sequenceNumber: '2',
  media: { track: 'inbound', chunk: '1', payload },
})
const delta = (text: string) => ({ type: 'response.output_audio.delta', event_id: 'e1', item_id: 'i1', delta: text })

/** One call from its webhook to its end; all that was on the wires. */
async function tell(bridge: { url: string; port: number }, model: ToldModel) {
  const voice = await fetch(`${bridge.url}/twilio/voice`, { method: 'POST', body: 'CallSid=CA01' })
  const status = await fetch(`${bridge.url}/twilio/status`, { method: 'POST', body: 'CallSid=CA01' })
  const other = await fetch(`${bridge.url}/other`)
  const answers = [voice.status, await voice.text(), voice.headers.get('content-type'), status.status, other.status]
  const carrier = new WebSocket(`ws://127.0.0.1:${bridge.port}/media`)
  const heard: string[] = []
  carrier.on('message', (data) => heard.push(String(data)))
  carrier.on('pong', (data) => heard.push(`pong ${data}`))
  await once(carrier, 'open')
  const say = (event: object): void => carrier.send(JSON.stringify(event))
  await until('the session is updated', () => model.heard.length === 1)
  say(START)
  say(media('ZWFybHk='))
  carrier.ping('before')
  await until('the carrier is answered', () => heard.length === 1)
  model.say({ type: 'session.updated', session: {} })
  await until('the greeting is asked for', () => model.heard.length === 2)
  for (const text of ['one', 'x'.repeat(60), 'y'.repeat(70_000)]) say(media(text))
  say({ event: 'mark', streamSid: 'MZ01', mark: { name: 'd' } })
  await until('the model hears three frames', () => model.heard.length === 5)
  for (const text of ['uno', 'z'.repeat(300), 'w'.repeat(70_000)]) model.say(delta(text))
  model.say({ type: 'response.output_audio_transcript.delta', delta: 'words' })
  model.say({ type: 'input_audio_buffer.speech_started', audio_start_ms: 0 })
  model.link.ping('there?')
  await until('the carrier hears all', () => heard.length === 8)
  await until('the model is answered', () => model.heard.length === 6)
  say({ event: 'stop', streamSid: 'MZ01' })
  await Promise.all([once(carrier, 'close'), until('the model link is closed', () => model.closed.length === 1)])
  return { answers, heard, asked: model.asked, told: model.heard, closed: model.closed }
}

/** A masked frame of a client; `first` is its first byte. */
function masked(first: number, payload: Buffer | string, mask = Buffer.from([1, 2, 3, 4])): Buffer {
  const body = Buffer.from(payload as string)
  const head = Buffer.alloc(body.length < 126 ? 2 : 4)
  head[0] = first
  head[1] = 0x80 | Math.min(body.length, 126)
  if (body.length >= 126) head.writeUInt16BE(body.length, 2)
  return Buffer.concat([head, mask, body.map((byte, i) => byte ^ mask[i & 3]!)])
}

const UPGRADE = `GET /media HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: ${'k'.repeat(22)}==\r\n\r\n`

/** A carrier on a plain socket: what it received, and whether it was closed. */
async function rawCarrier(port: number, allowHalfOpen = false) {
  const socket: Socket = connect({ port, host: '127.0.0.1', allowHalfOpen, noDelay: true })
  const state = { text: '', isClosed: false }
  socket.setEncoding('latin1').on('data', (text: string) => {
    state.text += text
  })
  socket
    .on('error', () => undefined)
    .on('close', () => {
      state.isClosed = true
    })
  await once(socket, 'connect')
  return { socket, state }
}

/** More payloads than kernel and floor can hold. */
const SAID_MAX = 1_000
const PAYLOAD_CHARS = 20_000
const payloadOf = (i: number): string => `${i}.`.padEnd(PAYLOAD_CHARS, 'd')

/** One direction of a call whose far end does not read until `resume`. */
type Way = {
  say: (payload: string) => void
  /** Resolves when the floor has taken all that was said, or has ended the call. */
  isTaken: () => Promise<unknown>
  hasEnded: () => boolean
  pause: () => void
  resume: () => void
  received: string[]
  end: () => void
}

async function openCall(port: number, model: ToldModel) {
  const calls = model.asked.length
  const carrier = new WebSocket(`ws://127.0.0.1:${port}/media`)
  await once(carrier, 'open')
  await until('the session is updated', () => model.asked.length === calls + 1 && model.linkHeard === 1)
  carrier.send(JSON.stringify(START))
  model.say({ type: 'session.updated' })
  await until('the greeting is asked for', () => model.linkHeard === 2)
  return { carrier, link: model.link }
}

async function openToCarrier(port: number, model: ToldModel): Promise<Way> {
  const { carrier, link } = await openCall(port, model)
  const received: string[] = []
  carrier.on('message', (data) => {
    const { media } = JSON.parse(String(data)) as { media?: { payload: string } }
    if (media !== undefined) received.push(media.payload)
  })
  carrier.pause()
  return {
    say: (payload) => link.send(JSON.stringify(delta(payload))),
    isTaken: () => pingOf(link),
    hasEnded: () => link.readyState !== WebSocket.OPEN,
    pause: () => carrier.pause(),
    resume: () => carrier.resume(),
    received,
    end: () => carrier.close(),
  }
}

async function openToModel(port: number, model: ToldModel): Promise<Way> {
  const { carrier, link } = await openCall(port, model)
  const received: string[] = []
  link.on('message', (data) => received.push((JSON.parse(String(data)) as { audio: string }).audio))
  link.pause()
  return {
    say: (payload) => carrier.send(JSON.stringify(media(payload))),
    isTaken: () => pingOf(carrier),
    hasEnded: () => carrier.readyState !== WebSocket.OPEN,
    pause: () => link.pause(),
    resume: () => link.resume(),
    received,
    end: () => carrier.close(),
  }
}

/** Resolves when the peer of `socket` has answered a ping, or ended. */
async function pingOf(socket: WebSocket): Promise<void> {
  if (socket.readyState !== WebSocket.OPEN) return
  const { promise, resolve } = Promise.withResolvers<void>()
  const end = (): void => resolve()
  socket.on('pong', end).on('close', end)
  socket.ping()
  await promise
  socket.off('pong', end).off('close', end)
}

/** Says up to `max` payloads, each taken before the next; how many were said when the call ended, or `max`. */
async function sayUntilEnded(way: Way, max: number): Promise<number> {
  for (let said = 0; said < max; said++) {
    if (way.hasEnded()) return said
    way.say(payloadOf(said))
    await way.isTaken()
  }
  return max
}

/** Ends the floor; the sanitizers must have had nothing to say. */
async function stopClean(bridge: Child, errorText = ''): Promise<void> {
  await bridge.stop()
  const logs = readdirSync(bench.folder).filter((name) => name.startsWith(SANITIZER_LOG))
  assert.deepEqual(
    logs.map((name) => readFileSync(join(bench.folder, name), 'utf8')),
    [],
  )
  assert.equal(bridge.errorText(), errorText)
}

suite('floor', { concurrency: false }, () => {
  test('[FC2] it puts the same messages on the wires as bare sockets of Node', async () => {
    const told = []
    for (const program of [
      { file: await buildFloor(bench), args: [] },
      { file: process.execPath, args: [BARE] },
    ]) {
      const model = await new ToldModel().start()
      const bridge = await start(program, `ws://127.0.0.1:${model.port}/v1/realtime`)
      told.push({ ...(await tell(bridge, model)), host: `127.0.0.1:${bridge.port}` })
      await stopClean(bridge)
      model.close()
    }
    const [floor, bare] = told.map(({ host, answers, ...rest }) => ({
      ...rest,
      answers: answers.map((one) => String(one).replace(host, 'HOST')),
    }))
    assert.deepEqual(floor, bare)
    assert.equal(floor!.told[0], SESSION_UPDATE)
    assert.equal(floor!.answers[1], streamTwiml('HOST'))
    assert.equal(
      floor!.told[2],
      '{"type":"input_audio_buffer.append","audio":"one"}',
      'audio before session.updated is not sent',
    )
  })

  test('[FC1] requests and frames are found however the bytes are cut; the handshake is answered as RFC 6455 says', async () => {
    const model = await new ToldModel().start()
    const bridge = await startFloor(`ws://127.0.0.1:${model.port}/v1/realtime`)
    const form = 'CallSid=CA01'
    const post = `POST /twilio/status HTTP/1.1\r\nhost: h\r\ncontent-length: ${form.length}\r\n\r\n${form}`
    const bytes = Buffer.concat([
      Buffer.from(post + post + UPGRADE),
      masked(0x81, JSON.stringify(START)),
      masked(0x89, 'cut'),
      masked(0x81, JSON.stringify(media('a'.repeat(216)))),
    ])
    const { socket, state } = await rawCarrier(bridge.port)
    for (const byte of bytes) {
      socket.write(Buffer.from([byte]))
      await new Promise(setImmediate)
    }
    const accept = createHash('sha1')
      .update(`${'k'.repeat(22)}==258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
      .digest('base64')
    await until('the ping is answered', () => state.text.endsWith('\x8a\x03cut'))
    assert.equal(state.text.split('HTTP/1.1 204 No Content\r\n\r\n').length, 3)
    assert.ok(state.text.includes(`HTTP/1.1 101 Switching Protocols\r\n`))
    assert.ok(state.text.includes(`Sec-WebSocket-Accept: ${accept}\r\n`))
    await until('the session is updated', () => model.heard.length === 1)
    socket.write(masked(0x88, Buffer.from([3, 0xe8])))
    await until('the close is answered and the socket ended', () => state.isClosed)
    assert.ok(state.text.endsWith('\x88\x02\x03\xe8'), '[FC5]')
    await until('the model link is closed with 1000', () => model.closed[0] === 1000)
    await stopClean(bridge)
    model.close()
  })

  test('[FC4] what breaks the rules closes the link and ends the model link', async () => {
    const long = Buffer.alloc(10)
    long.set([0x81, 0xff])
    long.writeBigUInt64BE(BigInt(FRAME_MAX_BYTES + 1), 2)
    const wrong: Record<string, Buffer> = {
      'a frame above the bound': long,
      'a frame without a mask': Buffer.from([0x81, 1, 0x61]),
      'a fragment': masked(0x01, 'a'),
      'a continuation': masked(0x80, 'a'),
      'a binary message': masked(0x82, 'a'),
      'reserved bits': masked(0xc1, 'a'),
      'an unknown opcode': masked(0x83, 'a'),
      'a long ping': masked(0x89, 'p'.repeat(126)),
      'a stream id that is too long': masked(0x81, JSON.stringify({ event: 'start', streamSid: 'M'.repeat(65) })),
    }
    const model = await new ToldModel().start()
    const bridge = await startFloor(`ws://127.0.0.1:${model.port}/v1/realtime`)
    for (const [name, bytes] of Object.entries(wrong)) {
      const { socket, state } = await rawCarrier(bridge.port)
      const before = [model.heard.length, model.closed.length] as const
      socket.write(UPGRADE)
      await until('the model link is open', () => model.heard.length === before[0] + 1)
      assert.equal(state.isClosed, false)
      socket.write(bytes)
      await until(`${name} closes the link`, () => state.isClosed)
      await until(`${name} ends the model link`, () => model.closed.length === before[1] + 1)
      assert.equal(model.closed.at(-1), 1000)
    }
    for (const text of [
      `GET / HTTP/1.1\r\nx: ${'x'.repeat(17_000)}`,
      'nonsense\r\n\r\n',
      UPGRADE.replace('Key', 'Kex'),
    ]) {
      const { socket, state } = await rawCarrier(bridge.port)
      socket.write(text)
      await until('what is no request closes the link', () => state.isClosed)
    }
    await stopClean(bridge)
    model.close()
  })

  for (const name of ['to the carrier', 'to the model over TLS'] as const) {
    test(`[FC3] ${name}: what a peer does not read waits up to the bound and arrives whole, beyond it the call ends`, async () => {
      const isTls = name !== 'to the carrier'
      // Not through the terminator: its buffers are others in each call.
      const certificate = join(bench.folder, 'model.crt')
      if (isTls) await makeCertificate(certificate, `${certificate}.key`)
      const model = await new ToldModel(isTls ? certificate : undefined).start()
      const url = `${isTls ? 'wss' : 'ws'}://127.0.0.1:${model.port}/v1/realtime`
      const bridge = await startFloor(url, { SSL_CERT_FILE: certificate })
      const open = isTls ? openToModel : openToCarrier
      const most = await sayUntilEnded(await open(bridge.port, model), SAID_MAX)
      assert.ok(most < SAID_MAX, 'the call is ended')
      assert.ok(most * PAYLOAD_CHARS > OUT_MAX_BYTES, `${most} frames`)
      // The kernel's part of what waits differs a little from call to call.
      let survived = 0
      for (let frames = most - 5; survived === 0 && frames > 0; frames -= 10) {
        const way = await open(bridge.port, model)
        const said = await sayUntilEnded(way, frames)
        if (way.hasEnded()) continue
        survived = said
        for (let round = 0; way.received.length < said; round++) {
          assert.ok(round < 10_000, `${way.received.length} of ${said} arrive`)
          way.resume()
          await new Promise(setImmediate)
          way.pause()
          await sleep(1)
        }
        way.resume()
        assert.deepEqual(
          way.received,
          Array.from({ length: said }, (_, i) => payloadOf(i)),
        )
        way.end()
      }
      assert.ok(survived * PAYLOAD_CHARS > most * PAYLOAD_CHARS - OUT_MAX_BYTES, `${survived} of ${most} frames`)
      await stopClean(bridge)
      model.close()
    })
  }

  test('[FC5] a model that ends, refuses, or is not there ends the carrier with 1000; one that answers nothing is cut', async () => {
    const model = await new ToldModel().start()
    const bridge = await startFloor(`ws://127.0.0.1:${model.port}/v1/realtime`)
    const carrier = new WebSocket(`ws://127.0.0.1:${bridge.port}/media`)
    await until('the model link is open', () => model.heard.length === 1)
    model.link.close(1011)
    assert.equal((await once(carrier, 'close'))[0], 1000)
    const silent = await rawCarrier(bridge.port, true)
    silent.socket.write(UPGRADE)
    await until('the second model link is open', () => model.heard.length === 2)
    model.link.terminate()
    await until('the carrier is told', () => silent.state.text.endsWith('\x88\x02\x03\xe8'))
    await until('the link that its peer keeps open is cut', () => {
      if (!silent.state.isClosed) silent.socket.write(masked(0x8a, ''))
      return silent.state.isClosed
    })
    model.close()
    const refused = new WebSocket(`ws://127.0.0.1:${bridge.port}/media`)
    assert.equal((await once(refused, 'close'))[0], 1000)
    await stopClean(bridge)
    const liar = createServer().on('upgrade', (_request, socket) => {
      socket.write('HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: false\r\n\r\n')
    })
    liar.listen(0, '127.0.0.1')
    await once(liar, 'listening')
    const other = await startFloor(`ws://127.0.0.1:${(liar.address() as AddressInfo).port}/v1/realtime`)
    const misled = new WebSocket(`ws://127.0.0.1:${other.port}/media`)
    assert.equal((await once(misled, 'close'))[0], 1000, 'a wrong Sec-WebSocket-Accept')
    await stopClean(other)
    liar.close()
  })

  test('[FC6] a connection above the bound is closed, a call whose model would be above it is ended, and others go on', async () => {
    const model = await new ToldModel().start()
    const bridge = await startFloor(`ws://127.0.0.1:${model.port}/v1/realtime`)
    const first = new WebSocket(`ws://127.0.0.1:${bridge.port}/media`)
    await until('the first call is on', () => model.heard.length === 1)
    const idle: Awaited<ReturnType<typeof rawCarrier>>[] = []
    for (let count = 2; count < LINKS_MAX; count++) idle.push(await rawCarrier(bridge.port))
    const above = await rawCarrier(bridge.port)
    await until('the connection above is closed', () => above.state.isClosed)
    idle.at(-1)!.socket.write(UPGRADE)
    await until('the call without a model link is ended', () => idle.at(-1)!.state.text.endsWith('\x88\x02\x03\xe8'))
    await until('its socket too', () => idle.at(-1)!.state.isClosed)
    assert.equal(idle.filter(({ state }) => state.isClosed).length, 1)
    idle.at(-2)!.socket.destroy()
    first.ping()
    await once(first, 'pong')
    first.close()
    await until('the first call is over', () => model.closed.length === 1)
    const later = new WebSocket(`ws://127.0.0.1:${bridge.port}/media`)
    await until('there is room again', () => model.heard.length === 2)
    later.close()
    for (const { socket } of idle) socket.destroy()
    await stopClean(bridge)
    model.close()
  })

  test('[FC7] over TLS it talks to a model that it can verify, and to no other', async () => {
    const model = await new ToldModel().start()
    const front = await startTerminator(bench, model.port)
    const trusting: Record<string, string>[] = [
      { NODE_EXTRA_CA_CERTS: front.certificateFile },
      { SSL_CERT_FILE: front.certificateFile },
    ]
    for (const [i, env] of trusting.entries()) {
      const bridge = await startFloor(front.url, env)
      const carrier = new WebSocket(`ws://127.0.0.1:${bridge.port}/media`)
      await once(carrier, 'open')
      await until('the model is told', () => model.heard.length === 2 * i + 1)
      carrier.send(JSON.stringify(START))
      model.say({ type: 'session.updated' })
      await until('the greeting is asked for', () => model.heard.length === 2 * i + 2)
      const heard: string[] = []
      carrier.on('message', (data) => heard.push(String(data)))
      const said = Array.from({ length: 40 }, (_, i) => String(i).padEnd(40_000, 'd'))
      for (const [at, text] of said.entries()) {
        model.say(delta(text))
        if (at % 10 === 9) await until('audio of many records comes whole', () => heard.length === 2 * at + 2)
      }
      assert.deepEqual(
        heard
          .filter((_, i) => i % 2 === 0)
          .map((text) => (JSON.parse(text) as { media: { payload: string } }).media.payload),
        said,
      )
      // Small records that come while it is stopped lie in OpenSSL together after one read.
      process.kill(bridge.pid, 'SIGSTOP')
      for (const text of ['a', 'b', 'c']) {
        model.say(delta(text))
        await sleep(50)
      }
      process.kill(bridge.pid, 'SIGCONT')
      await until('records that came together are all read', () => heard.length === 2 * said.length + 6)
      carrier.close()
      await until('the model link is closed', () => model.closed.length === i + 1)
      assert.equal(model.closed.at(-1), 1000)
      await stopClean(bridge)
    }
    const asked = model.asked.length
    for (const [url, env, reason] of [
      [front.url, {}, 'self-signed certificate'],
      [front.url.replace('127.0.0.1', 'localhost'), trusting[1]!, 'hostname mismatch'],
    ] as const) {
      const bridge = await startFloor(url, env)
      const carrier = new WebSocket(`ws://127.0.0.1:${bridge.port}/media`)
      assert.equal((await once(carrier, 'close'))[0], 1000)
      await stopClean(bridge, `floor: no TLS with the model: ${reason}`)
    }
    assert.equal(model.asked.length, asked, 'nothing was asked of it')
    model.close()
  })

  test('[PK1] without its packages a contender fails with one sentence that says what to install', async () => {
    const notes: string[] = []
    const getuid = process.getuid
    process.getuid = () => 1_000
    try {
      await assert.rejects(
        () =>
          needPackages(
            { note: (text) => notes.push(text) },
            { what: 'the floor', packages: ['gcc', 'libssl-dev'], isMet: () => false },
          ),
        {
          message: 'the floor needs packages of Debian; run: apt-get install -y --no-install-recommends gcc libssl-dev',
        },
      )
    } finally {
      process.getuid = getuid!
    }
    assert.deepEqual(notes, [])
  })
})
