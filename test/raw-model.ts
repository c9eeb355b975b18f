// A model that says exactly what a test tells it to: the provider's realtime protocol on a real socket, event by event.
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { type WebSocket, WebSocketServer } from 'ws'

type ModelMessage = { type: string; event_id?: string } & Record<string, unknown>

/** What the model does beside configuring itself, in which it is always in order unless told otherwise. */
export type ModelHabits = {
  /** It says `session.updated`. Default: yes. */
  updates?: boolean
  /** It answers the question after an item that it does not know. Default: yes. */
  proves?: boolean
  onRespond?(session: RawSession): void
  onCancel?(session: RawSession, message: ModelMessage): void
}

const BYTES_PER_MS = 8
const PIECE_MS = 200

/** One link of the plane. */
class RawSession {
  readonly got: ModelMessage[] = []
  #count = 0
  readonly #socket: WebSocket
  readonly #habits: ModelHabits

  constructor(socket: WebSocket, habits: ModelHabits) {
    this.#socket = socket
    this.#habits = habits
    socket.on('error', () => {})
    socket.on('message', (data) => this.#on(JSON.parse(String(data)) as ModelMessage))
    this.say({ type: 'session.created', session: { id: 'sess_1' } })
  }

  say(event: object): void {
    this.#count += 1
    this.#socket.send(JSON.stringify({ event_id: `event_${this.#count}`, ...event }))
  }

  refuse(code: string, message: ModelMessage): void {
    this.say({
      type: 'error',
      error: { type: 'invalid_request_error', code, message: code, event_id: message.event_id },
    })
  }

  count(type: string): number {
    return this.got.filter((message) => message.type === type).length
  }

  /** A response of `ms` of a tone; `after`: then its end is told, or a tool is called first, or nothing is told. */
  speak(id: string, ms: number, after: 'done' | 'nothing' | 'end_call' = 'done'): void {
    const at = { response_id: id, item_id: `item_${id}`, output_index: 0, content_index: 0 }
    const delta = Buffer.alloc(PIECE_MS * BYTES_PER_MS, 0x20).toString('base64')
    this.say({ type: 'response.created', response: { id, status: 'in_progress' } })
    for (let said = 0; said < ms; said += PIECE_MS) this.say({ type: 'response.output_audio.delta', ...at, delta })
    this.say({ type: 'response.output_audio.done', ...at })
    this.say({ type: 'response.output_audio_transcript.done', ...at, transcript: `words of ${id}` })
    if (after === 'nothing') return
    if (after !== 'done') this.#call(id, after)
    this.say({ type: 'response.done', response: { id, status: 'completed', output: [] } })
  }

  #call(id: string, name: string): void {
    const called = { name, call_id: `call_${id}`, arguments: '{}' }
    const item = { id: `tool_${id}`, type: 'function_call', status: 'completed', ...called }
    this.say({ type: 'response.output_item.done', response_id: id, output_index: 1, item })
  }

  begins(itemId: string): void {
    this.say({ type: 'input_audio_buffer.speech_started', audio_start_ms: 0, item_id: itemId })
  }

  stops(itemId: string): void {
    this.say({ type: 'input_audio_buffer.speech_stopped', audio_end_ms: 0, item_id: itemId })
    this.say({ type: 'input_audio_buffer.committed', item_id: itemId })
  }

  #on(message: ModelMessage): void {
    if (message.type === 'input_audio_buffer.append') return
    this.got.push(message)
    const { updates = true, proves = true, onRespond, onCancel } = this.#habits
    if (message.type === 'session.update' && updates) this.say({ type: 'session.updated', session: message.session })
    else if (message.type === 'conversation.item.retrieve' && proves)
      this.refuse('item_retrieve_invalid_item_id', message)
    else if (message.type === 'response.create') onRespond?.(this)
    else if (message.type === 'response.cancel') onCancel?.(this, message)
  }
}

export class RawModel {
  readonly sessions: RawSession[] = []
  readonly url: string
  readonly #server: WebSocketServer

  private constructor(server: WebSocketServer) {
    this.#server = server
    this.url = `ws://127.0.0.1:${(server.address() as AddressInfo).port}/v1/realtime`
  }

  static async open(habits: ModelHabits = {}): Promise<RawModel> {
    const server = new WebSocketServer({ host: '127.0.0.1', port: 0 })
    await once(server, 'listening')
    const model = new RawModel(server)
    server.on('connection', (socket) => model.sessions.push(new RawSession(socket, habits)))
    return model
  }

  get last(): RawSession {
    return this.sessions.at(-1)!
  }

  async close(): Promise<void> {
    for (const client of this.#server.clients) client.terminate()
    await new Promise((resolve) => this.#server.close(resolve))
  }
}
