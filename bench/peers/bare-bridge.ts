// Bare sockets of Node: the cheapest bridge on this runtime that still carries a call; the limit of the machine is floor.c. Sockets by hand,
// payload bytes copied from one frame into the other, no parse, no agents, no pacing, no recovery; it greets, passes audio both ways and
// clears on speech. It is a yardstick, not something to run.
import { createHash, randomBytes } from 'node:crypto'
import { createServer, type IncomingMessage } from 'node:http'
import { connect, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { RawSocket } from './framing.ts'
import { API_KEY, answerVoice, exitOnSignal, MODEL, MODEL_URL, PORT, printReady, SESSION_UPDATE } from './settings.ts'

const EVENT_MEDIA = Buffer.from('"event":"media"')
const EVENT_START = Buffer.from('"event":"start"')
const EVENT_STOP = Buffer.from('"event":"stop"')
const PAYLOAD = Buffer.from('"payload":"')
const TYPE_DELTA = Buffer.from('"type":"response.output_audio.delta"')
const TYPE_SPEECH = Buffer.from('"type":"input_audio_buffer.speech_started"')
const TYPE_UPDATED = Buffer.from('"type":"session.updated"')
const DELTA = Buffer.from('"delta":"')
const APPEND = Buffer.from('{"type":"input_audio_buffer.append","audio":"')
const APPEND_END = Buffer.from('"}')
const MEDIA_END = Buffer.from('"}}')
const QUOTE = 0x22
const HEAD_BYTES = 48

/** Is `needle` within the first bytes of the message, where a kind always stands? */
function begins(buffer: Buffer, start: number, needle: Buffer): boolean {
  const at = buffer.indexOf(needle, start)
  return at >= 0 && at < start + HEAD_BYTES
}

function range(buffer: Buffer, start: number, end: number, key: Buffer): Buffer | undefined {
  const at = buffer.indexOf(key, start)
  if (at < 0 || at > end) return undefined
  return buffer.subarray(at + key.length, buffer.indexOf(QUOTE, at + key.length))
}

function dialModel(onText: (buffer: Buffer, start: number, end: number) => void, onOpen: (link: RawSocket) => void) {
  const url = new URL(MODEL_URL)
  const to = { port: Number(url.port), host: url.hostname }
  const socket = url.protocol === 'wss:' ? connectTls(to) : connect(to)
  socket.on('error', () => socket.destroy())
  socket.write(
    `GET ${url.pathname}?model=${MODEL} HTTP/1.1\r\nHost: ${url.host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
      `Sec-WebSocket-Key: ${randomBytes(16).toString('base64')}\r\nSec-WebSocket-Version: 13\r\n` +
      `Authorization: Bearer ${API_KEY}\r\n\r\n`,
  )
  let head = Buffer.alloc(0)
  const onHead = (chunk: Buffer): void => {
    head = Buffer.concat([head, chunk])
    const end = head.indexOf('\r\n\r\n')
    if (end < 0) return
    socket.off('data', onHead)
    if (!head.subarray(0, 12).equals(Buffer.from('HTTP/1.1 101'))) {
      socket.destroy()
      return
    }
    const link = new RawSocket(socket, true, onText)
    onOpen(link)
    link.push(head.subarray(end + 4))
  }
  socket.on('data', onHead)
  return socket
}

function bridge(carrierSocket: Socket, head: Buffer): void {
  let model: RawSocket | undefined
  let mediaHead = Buffer.alloc(0)
  let mark = ''
  let clear = ''
  let isReady = false
  const greet = (): void => {
    if (isReady && mediaHead.length > 0) model?.send('{"type":"response.create"}')
  }
  const carrier = new RawSocket(carrierSocket, false, (buffer, start, end) => {
    if (begins(buffer, start, EVENT_MEDIA)) {
      const payload = range(buffer, start, end, PAYLOAD)
      if (payload !== undefined && isReady) model?.send(APPEND, payload, APPEND_END)
    } else if (begins(buffer, start, EVENT_START)) {
      const { streamSid } = JSON.parse(buffer.toString('utf8', start, end)) as { streamSid: string }
      mediaHead = Buffer.from(`{"event":"media","streamSid":"${streamSid}","media":{"payload":"`)
      mark = `{"event":"mark","streamSid":"${streamSid}","mark":{"name":"d"}}`
      clear = `{"event":"clear","streamSid":"${streamSid}"}`
      greet()
    } else if (begins(buffer, start, EVENT_STOP)) carrierSocket.end()
  })
  const modelSocket = dialModel(
    (buffer, start, end) => {
      if (begins(buffer, start, TYPE_DELTA)) {
        const delta = range(buffer, start, end, DELTA)
        if (delta === undefined) return
        carrier.send(mediaHead, delta, MEDIA_END)
        carrier.send(mark)
      } else if (begins(buffer, start, TYPE_SPEECH)) carrier.send(clear)
      else if (begins(buffer, start, TYPE_UPDATED) && !isReady) {
        isReady = true
        greet()
      }
    },
    (link) => {
      model = link
      link.send(SESSION_UPDATE)
    },
  )
  carrierSocket.on('close', () => (model === undefined ? modelSocket.destroy() : model.close()))
  modelSocket.on('close', () => carrier.close())
  if (head.length > 0) carrier.push(head)
}

const server = createServer(answerVoice)
server.on('upgrade', (request: IncomingMessage, socket: Socket, head: Buffer) => {
  const accept = createHash('sha1')
    .update(`${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
    .digest('base64')
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
  )
  bridge(socket, head)
})
server.listen(PORT, '127.0.0.1', () => printReady((server.address() as { port: number }).port))
exitOnSignal()
