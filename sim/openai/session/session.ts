// One live session: its socket, its state, its end. Rules:
// S1: the first message is session.created; every message is one JSON object with `type` and `event_id`.
// S2: at the age cap: error session_expired, then close 1001.
// S3: when the socket is gone, every timer, response and buffer of the session is gone.
// S4: a client's mistake is answered by an `error` event; the session stays open.
import type { Duplex } from 'node:stream'
import type { WebSocket } from 'ws'
import { Dialogue } from '../dialogue/dialogue.ts'
import { readIncoming } from '../hearing/append.ts'
import { Ears } from '../hearing/ears.ts'
import { UNKNOWN_CALL } from '../hearing/probe.ts'
import type { Problem } from '../kit/checks.ts'
import { nowMs } from '../kit/clock.ts'
import type { Waiting } from '../kit/wheel.ts'
import type { WitnessFields } from '../kit/witness.ts'
import type { Act } from '../options.ts'
import type { Shared } from '../shared.ts'
import { handleEvent } from './client-events.ts'
import { earSettings, newConfig, type SessionConfig } from './config.ts'
import { Conversation, type Item } from './conversation.ts'
import { errorEvent, Ids, type ServerEvent } from './events.ts'
import { McpServers } from './mcp.ts'
import { Outbox } from './outbox.ts'
import { Turns } from './turns.ts'

const CLOSE_WAIT_MS = 1_000

type SessionOptions = { shared: Shared; socket: WebSocket; stream: Duplex; model: string; number: number }

export class Session {
  readonly id: string
  readonly ids = new Ids()
  readonly shared: Shared
  readonly conversation = new Conversation()
  readonly conversationId: string
  readonly openedMs = nowMs()
  readonly ears: Ears
  readonly turns: Turns
  readonly dialogue: Dialogue
  readonly mcp: McpServers
  config: SessionConfig
  call = UNKNOWN_CALL
  audioBytesOut = 0
  responses = 0
  readonly #socket: WebSocket
  readonly #stream: Duplex
  readonly #outbox: Outbox
  readonly #timers = new Set<Waiting>()
  #isClosed = false

  constructor(options: SessionOptions) {
    const { shared, socket, stream } = options
    this.shared = shared
    this.#socket = socket
    this.#stream = stream
    this.id = this.ids.next('sess')
    this.conversationId = this.ids.next('conv')
    const { sessionCapMs, keepAudioMs, toolEveryMs, toolEveryAnswers, talkMs } = shared.options
    const expiresAt = shared.options.expiresAt ?? Math.floor((Date.now() + sessionCapMs) / 1000)
    this.config = newConfig(this.id, options.model, expiresAt)
    this.#outbox = new Outbox({ socket, stream, wheel: shared.wheel, onOverflow: (why) => this.#cut(why) })
    this.#outbox.slowMs = shared.faults.slowMs
    // The first call by the clock comes at another moment in each session, so that a thousand do not call at once.
    const firstToolMs = toolEveryMs === 0 ? 0 : (options.number * 7919) % toolEveryMs
    this.dialogue = new Dialogue({
      script: shared.catalogue.choose([]),
      toolEveryMs,
      firstToolMs,
      toolEveryAnswers,
      nowMs: this.openedMs,
      talk: { ms: talkMs, turns: shared.catalogue.smallTalk },
    })
    this.mcp = new McpServers({
      ids: this.ids,
      send: (event) => this.send(event),
      faults: () => this.shared.faults,
      after: (ms, run) => void this.after(ms, run),
      addItem: (item) => {
        const added = this.conversation.add(item)
        return added.kind === 'added' ? added.previousId : null
      },
      heard: (output) => void this.dialogue.hearOutput(output),
      note: (event, fields) => this.note(event, fields),
    })
    this.turns = new Turns(this)
    this.ears = new Ears(this.turns, keepAudioMs)
    this.ears.configure(this.config.audio.input.format.type, earSettings(this.config.audio.input.turn_detection))
    socket.on('message', (message: Buffer, isBinary: boolean) => this.#receive(message, isBinary))
    this.after(sessionCapMs, () => this.act({ kind: 'expire' }))
  }

  /** Greets the client. */
  open(): void {
    this.send({ type: 'session.created', event_id: this.ids.next('event'), session: this.config })
    const conversation = { id: this.conversationId, object: 'realtime.conversation' }
    this.send({ type: 'conversation.created', event_id: this.ids.next('event'), conversation })
  }

  send(event: ServerEvent, beforeSend?: () => void): void {
    if (this.shared.faults.unknownEvents && event.type.endsWith('created')) {
      const stranger = {
        type: 'response.sim_unknown.hint',
        event_id: this.ids.next('event'),
        payload: { depth: [1, null] },
      }
      this.#outbox.send(JSON.stringify(stranger))
    }
    this.#outbox.send(JSON.stringify(event), beforeSend)
  }

  /** Sends an event that is JSON already. */
  sendText(text: string): void {
    this.#outbox.send(text)
  }

  refuse(problem: Problem, clientEventId: string | undefined): void {
    this.note('client_error', { code: problem.code, message: problem.message })
    this.send(errorEvent(this.ids, problem, clientEventId))
  }

  /** Runs `run` later, unless the session is closed before. */
  after(delayMs: number, run: () => void): Waiting {
    const waiting = this.shared.wheel.after(delayMs, () => {
      this.#timers.delete(waiting)
      run()
    })
    this.#timers.add(waiting)
    return waiting
  }

  cancelTimer(waiting: Waiting | undefined): void {
    if (waiting === undefined) return
    this.#timers.delete(waiting)
    this.shared.wheel.cancel(waiting)
  }

  /** Writes a line to the witness log. */
  note(event: string, fields: WitnessFields, atUs?: number): void {
    const call = this.call === UNKNOWN_CALL ? undefined : this.call
    this.shared.witness.note(event, { session: this.id, call, ...fields }, atUs)
  }

  /** Notes what became of an item of the conversation, and by whom. */
  noteItem(event: 'item_added' | 'item_removed', { id, type, role }: Item, by: 'client' | 'caller' | 'model'): void {
    this.note(event, { item: id, kind: type, role: role ?? 'none', by })
  }

  /** Takes over changed standing faults. */
  refreshFaults(): void {
    this.#outbox.slowMs = this.shared.faults.slowMs
  }

  /** Does something to this session, as a fault. */
  act(act: Act): void {
    this.note('fault', { kind: act.kind })
    if (act.kind === 'drop') this.#destroy()
    else if (act.kind === 'close') this.#socket.close(act.code, act.reason ?? '')
    else if (act.kind === 'stall') this.#outbox.stall(act.ms)
    else if (act.kind === 'expire') this.#expire()
    else
      this.refuse(
        { type: act.type ?? 'server_error', code: act.code, message: act.message ?? act.code, param: null },
        undefined,
      )
  }

  /** Closes the socket politely; cuts it when the peer does not answer. */
  end(code: number, reason: string): void {
    this.#socket.close(code, reason)
    this.after(CLOSE_WAIT_MS, () => this.#destroy())
  }

  /** The socket is closed: frees everything. Idempotent. */
  closed(code: number): void {
    if (this.#isClosed) return
    this.#isClosed = true
    for (const waiting of this.#timers) this.shared.wheel.cancel(waiting)
    this.#timers.clear()
    this.turns.close()
    this.#outbox.close()
    this.ears.empty()
    const { appends, totalBytes, positionMs } = this.ears
    const heard = { appends, audio_bytes: totalBytes, audio_ms: positionMs, drift_frames: this.turns.driftFrames }
    this.note('session_closed', {
      code,
      ...heard,
      audio_bytes_out: this.audioBytesOut,
      responses: this.responses,
      ...this.shared.load(),
    })
  }

  #receive(message: Buffer, isBinary: boolean): void {
    if (this.#isClosed) return
    const incoming = isBinary ? ({ kind: 'not-json' } as const) : readIncoming(message)
    switch (incoming.kind) {
      case 'append':
        if (this.ears.appends === 0) this.note('first_append', { bytes: incoming.audio.length })
        this.ears.append(incoming.audio)
        return
      case 'append-invalid':
        this.refuse(
          { code: 'invalid_value', message: "Invalid 'audio'. Expected base64-encoded audio bytes.", param: 'audio' },
          incoming.eventId,
        )
        return
      case 'not-json':
        this.refuse({ code: 'invalid_event', message: 'The event is not valid JSON text.', param: null }, undefined)
        return
      default:
        handleEvent(this, incoming.event)
    }
  }

  #expire(): void {
    const minutes = Math.max(1, Math.round(this.shared.options.sessionCapMs / 60_000))
    const message = `Your session hit the maximum duration of ${minutes} minutes.`
    this.refuse({ code: 'session_expired', message, param: null }, undefined)
    this.end(1001, message)
  }

  #cut(why: string): void {
    this.note('session_cut', { why })
    this.#destroy()
  }

  #destroy(): void {
    this.#socket.terminate()
    this.#stream.destroy()
  }
}
