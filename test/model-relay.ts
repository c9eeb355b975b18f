// Stands between the plane and the model and notes what the plane says, so that a journey can look at the words themselves.
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { WebSocket, WebSocketServer } from 'ws'

/** A client event of the plane, as it was on the wire. */
export type ClientEvent = { type: string } & Record<string, unknown>

const NOTED_MAX = 2_000

export class ModelRelay {
  /** What was said in each session, oldest session first; audio appends are left out. */
  readonly sessions: ClientEvent[][] = []
  readonly url: string
  readonly #server: WebSocketServer

  private constructor(server: WebSocketServer, upstreamUrl: string) {
    this.#server = server
    this.url = `ws://127.0.0.1:${(server.address() as AddressInfo).port}/v1/realtime`
    server.on('connection', (socket, request) => {
      const query = new URL(request.url ?? '/', 'http://relay').search
      const headers = { authorization: request.headers.authorization ?? '' }
      this.#join(socket, new WebSocket(upstreamUrl + query, { headers }))
    })
  }

  /** Listens on a free port; passes everything on to `upstreamUrl`. */
  static async open(upstreamUrl: string): Promise<ModelRelay> {
    const server = new WebSocketServer({ host: '127.0.0.1', port: 0 })
    await once(server, 'listening')
    return new ModelRelay(server, upstreamUrl)
  }

  /** The message items of a session, in the order in which the plane created them: `role: text`, `call: name`, `output`. */
  itemsOf(session: number): string[] {
    const created = (this.sessions[session] ?? []).filter(({ type }) => type === 'conversation.item.create')
    return created.map(({ item }) => {
      const { type, role, content, name } = item as {
        type: string
        role?: string
        content?: { text?: string }[]
        name?: string
      }
      if (type === 'function_call') return `call: ${name}`
      if (type === 'function_call_output') return 'output'
      return `${role}: ${content?.[0]?.text}`
    })
  }

  /** Cuts every connection that is open now. */
  drop(): void {
    for (const socket of this.#server.clients) socket.terminate()
  }

  async close(): Promise<void> {
    for (const socket of this.#server.clients) socket.terminate()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  #join(near: WebSocket, far: WebSocket): void {
    const noted: ClientEvent[] = []
    this.sessions.push(noted)
    const early: string[] = []
    near.on('message', (bytes) => {
      const text = String(bytes)
      if (!text.includes('"input_audio_buffer.append"') && noted.length < NOTED_MAX) noted.push(JSON.parse(text))
      if (far.readyState === WebSocket.OPEN) far.send(text)
      else early.push(text)
    })
    far.on('open', () => {
      for (const text of early.splice(0)) far.send(text)
    })
    far.on('message', (bytes) => near.send(String(bytes)))
    near.on('close', (code) => closeWith(far, code))
    far.on('close', (code) => closeWith(near, code))
    near.on('error', () => far.terminate())
    far.on('error', () => near.terminate())
  }
}

function closeWith(socket: WebSocket, code: number): void {
  if (code === 1005 || code === 1006) socket.terminate()
  else if (socket.readyState === WebSocket.OPEN) socket.close(code)
  else socket.terminate()
}
