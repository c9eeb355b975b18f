// A model that answers at once, for accelerated time: it waits for nothing and speaks when it is told to.
// Not a simulator of time or hearing (that is sim/openai); its peer is the plane's real session on a real socket.
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { type WebSocket, WebSocketServer } from 'ws'

const DELTA_BYTES = 1_600
const SPOKEN = Buffer.alloc(DELTA_BYTES, 0x55).toString('base64')
const WORDS = 'We have an opening on Thursday morning, and another one on Friday in the afternoon. '

/** What the quick model has seen. */
type QuickFacts = { sessions: number; audioBytes: number; items: number; toolOutputs: number; responses: number }

export class QuickModel {
  readonly facts: QuickFacts = { sessions: 0, audioBytes: 0, items: 0, toolOutputs: 0, responses: 0 }
  readonly #server: WebSocketServer
  #socket: WebSocket | undefined
  #id = 0

  private constructor(server: WebSocketServer) {
    this.#server = server
    server.on('connection', (socket) => this.#greet(socket))
  }

  static async start(): Promise<QuickModel> {
    const server = new WebSocketServer({ host: '127.0.0.1', port: 0 })
    await once(server, 'listening')
    return new QuickModel(server)
  }

  get url(): string {
    return `ws://127.0.0.1:${(this.#server.address() as AddressInfo).port}/v1/realtime?model=quick`
  }

  /** The caller has said something: the events of one turn, and the answer of `answerMs` of audio (or a tool call). */
  turn(answerMs: number, tool: string | undefined): void {
    const item = this.#next('item')
    this.#send({ type: 'input_audio_buffer.speech_started', audio_start_ms: 0, item_id: item })
    this.#send({ type: 'input_audio_buffer.speech_stopped', audio_end_ms: 0, item_id: item })
    const content = [{ type: 'input_audio', transcript: null }]
    this.#send({
      type: 'conversation.item.done',
      previous_item_id: null,
      item: { id: item, type: 'message', role: 'user', status: 'completed', content },
    })
    this.#send({
      type: 'conversation.item.input_audio_transcription.completed',
      item_id: item,
      content_index: 0,
      transcript: WORDS,
    })
    if (tool === undefined) this.#answer(answerMs)
    else this.#callTool(tool)
  }

  async close(): Promise<void> {
    for (const client of this.#server.clients) client.terminate()
    await new Promise<void>((resolve) => this.#server.close(() => resolve()))
  }

  #greet(socket: WebSocket): void {
    this.facts.sessions += 1
    const send = (event: object): void => socket.send(JSON.stringify({ event_id: this.#next('event'), ...event }))
    send({ type: 'session.created', session: { type: 'realtime', id: this.#next('sess') } })
    socket.on('message', (data) => {
      const event = JSON.parse(String(data)) as { type: string; audio?: string; item?: { type: string } }
      if (event.type === 'session.update') {
        this.#socket = socket
        send({ type: 'session.updated', session: { type: 'realtime' } })
      } else if (event.type === 'input_audio_buffer.append')
        this.facts.audioBytes += Buffer.byteLength(event.audio ?? '', 'base64')
      else if (event.type === 'response.create') this.#answer(2_000)
      else if (event.type === 'conversation.item.create') {
        this.facts.items += 1
        if (event.item?.type === 'function_call_output') this.facts.toolOutputs += 1
      }
    })
  }

  #answer(ms: number): void {
    const [response, item] = [this.#next('resp'), this.#next('item')]
    const ids = { response_id: response, item_id: item, output_index: 0, content_index: 0 }
    this.#send({ type: 'response.created', response: { id: response, status: 'in_progress' } })
    for (let done = 0; done < ms * 8; done += DELTA_BYTES)
      this.#send({ type: 'response.output_audio.delta', ...ids, delta: SPOKEN })
    this.#send({ type: 'response.output_audio_transcript.done', ...ids, transcript: WORDS })
    this.#send({ type: 'response.output_audio.done', ...ids })
    const message = {
      id: item,
      type: 'message',
      role: 'assistant',
      status: 'completed',
      content: [{ type: 'output_audio', transcript: WORDS }],
    }
    this.#send({ type: 'conversation.item.done', previous_item_id: null, item: message })
    this.#done(response, [message])
  }

  #callTool(name: string): void {
    const response = this.#next('resp')
    const item = {
      id: this.#next('item'),
      type: 'function_call',
      call_id: this.#next('call'),
      name,
      arguments: '{}',
      status: 'completed',
    }
    this.#send({ type: 'response.created', response: { id: response, status: 'in_progress' } })
    this.#send({ type: 'response.output_item.done', response_id: response, output_index: 0, item })
    this.#done(response, [item])
  }

  #done(id: string, output: object[]): void {
    this.facts.responses += 1
    const usage = { total_tokens: 30, input_tokens: 20, output_tokens: 10 }
    this.#send({
      type: 'response.done',
      response: { id, object: 'realtime.response', status: 'completed', output, usage },
    })
  }

  #next(kind: string): string {
    this.#id += 1
    return `${kind}_${this.#id}`
  }

  #send(event: object): void {
    this.#socket?.send(JSON.stringify({ ...event, event_id: this.#next('event') }))
  }
}
