// A small plane for the carrier's own tests: answers webhooks with the TwiML a test wants and keeps all it is sent.

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type WebSocket, WebSocketServer } from 'ws'

type SeenRequest = {
  path: string
  method: string
  headers: IncomingMessage['headers']
  params: Record<string, string>
  atMs: number
}
/** A message of the carrier, loosely typed: tests look into it. */
export type WireMessage = {
  event: string
  sequenceNumber?: string
  streamSid?: string
  protocol?: string
  version?: string
  start?: Record<string, unknown>
  media?: { track: string; chunk: string; timestamp: string; payload: string }
  mark?: { name: string }
  dtmf?: { track: string; digit: string }
  stop?: Record<string, unknown>
}
type SeenMessage = { atMs: number; message: WireMessage }
export type PlaneStream = {
  socket: WebSocket
  request: IncomingMessage
  messages: SeenMessage[]
  streamSid: string
  /** Resolves with the close code when the socket is closed. */
  closed: Promise<number>
  send(message: Record<string, unknown>): void
  sendText(text: string): void
  /** Sends µ-law audio. */
  say(ulaw: Buffer): void
  mark(name: string): void
  clear(): void
}
type Reply = { status?: number; body?: string; headers?: Record<string, string>; delayMs?: number }

export class FakePlane {
  readonly requests: SeenRequest[] = []
  readonly streams: PlaneStream[] = []
  /** Off for measurements: messages after start are not parsed and not kept. */
  keepsMessages = true
  base = ''
  wsBase = ''
  /** Answers a webhook. */
  onRequest: (seen: SeenRequest) => Reply = () => ({ body: '<Response/>' })
  onStream: (stream: PlaneStream) => void = () => {}
  onMessage: (stream: PlaneStream, message: WireMessage) => void = () => {}
  /** Status to refuse an upgrade with. */
  refuseUpgrade: (request: IncomingMessage) => number | undefined = () => undefined
  private readonly server = createServer((request, response) => void this.respond(request, response))
  private readonly sockets = new WebSocketServer({ noServer: true, perMessageDeflate: false })

  async start(): Promise<this> {
    this.server.on('upgrade', (request, socket, head) => {
      const refused = this.refuseUpgrade(request)
      if (refused !== undefined) return void socket.end(`HTTP/1.1 ${refused} Refused\r\nContent-Length: 0\r\n\r\n`)
      this.sockets.handleUpgrade(request, socket, head, (open) => this.accept(open, request))
    })
    await new Promise<void>((resolve) => this.server.listen(0, '127.0.0.1', resolve))
    const { port } = this.server.address() as AddressInfo
    this.base = `http://127.0.0.1:${port}`
    this.wsBase = `ws://127.0.0.1:${port}`
    return this
  }

  /** TwiML that connects a stream, with what follows it. */
  connectTwiml(after = '', connectAttributes = '', streamAttributes = '', inner = ''): string {
    const stream = `<Stream url="${this.wsBase}/media/t1" ${streamAttributes}>${inner}</Stream>`
    return `<?xml version="1.0" encoding="UTF-8"?><Response><Connect ${connectAttributes}>${stream}</Connect>${after}</Response>`
  }

  async close(): Promise<void> {
    for (const socket of this.sockets.clients) socket.terminate()
    this.server.closeAllConnections()
    await new Promise<void>((resolve) => this.server.close(() => resolve()))
  }

  private accept(socket: WebSocket, request: IncomingMessage): void {
    const stream: PlaneStream = {
      socket,
      request,
      messages: [],
      streamSid: '',
      closed: new Promise((resolve) => socket.once('close', resolve)),
      send: (message) => socket.send(JSON.stringify(message)),
      sendText: (text) => socket.send(text),
      say: (ulaw) =>
        stream.send({ event: 'media', streamSid: stream.streamSid, media: { payload: ulaw.toString('base64') } }),
      mark: (name) => stream.send({ event: 'mark', streamSid: stream.streamSid, mark: { name } }),
      clear: () => stream.send({ event: 'clear', streamSid: stream.streamSid }),
    }
    this.streams.push(stream)
    socket.on('error', () => {})
    socket.on('message', (raw, isBinary) => {
      if (!this.keepsMessages && stream.streamSid !== '') return
      let message: WireMessage
      try {
        message = isBinary ? { event: 'binary' } : JSON.parse(String(raw))
      } catch {
        message = { event: 'not-json' }
      }
      stream.messages.push({ atMs: performance.now(), message })
      if (message.event === 'start') {
        stream.streamSid = message.streamSid ?? ''
        this.onStream(stream)
      }
      this.onMessage(stream, message)
    })
  }

  private async respond(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const pieces: Buffer[] = []
    for await (const piece of request as AsyncIterable<Buffer>) pieces.push(piece)
    const params = Object.fromEntries(new URLSearchParams(Buffer.concat(pieces).toString('utf8')))
    const path = request.url ?? '/'
    const seen = { path, method: request.method ?? '', headers: request.headers, params, atMs: performance.now() }
    this.requests.push(seen)
    const reply = this.onRequest(seen)
    if (reply.delayMs !== undefined) await new Promise((resolve) => setTimeout(resolve, reply.delayMs))
    response.writeHead(reply.status ?? 200, { 'Content-Type': 'text/xml', ...reply.headers })
    response.end(reply.body ?? '')
  }
}
