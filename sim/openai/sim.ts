// A simulator of the OpenAI Realtime API (GA, WebSocket): a real peer on a real socket. Rules:
// M1: it listens on 127.0.0.1 only.
// M2: `close()` ends sessions, timers, the speech thread and the witness log, and frees the port; it is idempotent.
// M3: what it cannot do: understand speech. It measures energy, and speaks from a script.
import { createServer, type IncomingMessage, STATUS_CODES } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import { WebSocketServer } from 'ws'
import { openSpeech } from '../speech/speech.ts'
import { answerControl } from './control.ts'
import { Catalogue } from './dialogue/catalogue.ts'
import { type Farewell, judge, refusalBytes } from './gate.ts'
import { nowMs } from './kit/clock.ts'
import { Wheel } from './kit/wheel.ts'
import { Witness } from './kit/witness.ts'
import { DEFAULTS, type Faults, NO_FAULTS, type OpenAiSimOptions } from './options.ts'
import { sessionUpdate } from './session/config-shape.ts'
import { errorEvent, Ids } from './session/events.ts'
import { Session } from './session/session.ts'
import type { Shared } from './shared.ts'
import { VoiceBank } from './voice/fragments.ts'

const MESSAGE_BYTES_MAX = 22_000_000 // 15 MiB of audio as base64, and its envelope
const FAREWELL_WAIT_MS = 1_000
const GOODBYE_MS = 300

export type OpenAiSim = {
  /** ws://127.0.0.1:PORT/v1/realtime */
  readonly url: string
  readonly port: number
  /** http://127.0.0.1:PORT/sim, the root of the control API. */
  readonly controlUrl: string
  /** Standing faults; may be changed in place. */
  readonly faults: Faults
  /** Live sessions. */
  liveSessions(): number
  close(): Promise<void>
}

export type StartOptions = Partial<Omit<OpenAiSimOptions, 'faults'>> & { faults?: Partial<Faults> }

/** Starts a simulator; resolves when it listens. */
export async function startOpenAiSim(given: StartOptions = {}): Promise<OpenAiSim> {
  const faults = { ...structuredClone(NO_FAULTS), ...given.faults }
  const options: OpenAiSimOptions = { ...DEFAULTS, ...given, faults }
  const speech = await openSpeech({ cacheDir: options.speechDir })
  const sessions = new Set<Session>()
  const shared: Shared = {
    options,
    faults,
    wheel: new Wheel((error) => process.stderr.write(`sim/openai timer failed: ${String(error)}\n`)),
    witness: new Witness(options.witnessFile),
    sessionUpdate: sessionUpdate(options.known),
    voices: new VoiceBank(speech, options.chunkLaw),
    catalogue: new Catalogue(options.scripts),
    load: () => ({ live: sessions.size, ceiling: options.ceiling }),
  }
  const door = new Door(shared, sessions)
  const server = createServer((request, response) => {
    answerControl(request, response, { shared, sessions, counts: () => door.counts }).catch(() => response.destroy())
  })
  server.on('upgrade', (request, stream, head) => door.knock(request, stream, head))
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(options.port, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  let closing: Promise<void> | undefined
  const close = async (): Promise<void> => {
    const isFree = new Promise<void>((resolve) => server.close(() => resolve()))
    await door.close()
    server.closeAllConnections()
    await isFree
    shared.wheel.close()
    shared.witness.close()
    await speech.close()
  }
  return {
    url: `ws://127.0.0.1:${port}/v1/realtime`,
    port,
    controlUrl: `http://127.0.0.1:${port}/sim`,
    faults,
    liveSessions: () => sessions.size,
    close: () => (closing ??= close()),
  }
}

/** Lets clients in, or refuses them. */
class Door {
  readonly counts = { opened: 0, refused: 0 }
  readonly #shared: Shared
  readonly #sessions: Set<Session>
  readonly #streams = new Set<Duplex>()
  readonly #sockets = new WebSocketServer({
    noServer: true,
    perMessageDeflate: false,
    maxPayload: MESSAGE_BYTES_MAX,
    skipUTF8Validation: true,
    clientTracking: false,
    handleProtocols: (offered) => (offered.has('realtime') ? 'realtime' : false),
  })

  constructor(shared: Shared, sessions: Set<Session>) {
    this.#shared = shared
    this.#sessions = sessions
  }

  knock(request: IncomingMessage, stream: Duplex, head: Buffer): void {
    this.#streams.add(stream)
    stream.on('error', () => stream.destroy())
    stream.once('close', () => this.#streams.delete(stream))
    const { connectDelayMs } = this.#shared.faults
    if (connectDelayMs > 0) this.#shared.wheel.after(connectDelayMs, () => this.#answer(request, stream, head))
    else this.#answer(request, stream, head)
  }

  /** Says goodbye to all, gives them GOODBYE_MS to answer, then cuts. */
  async close(): Promise<void> {
    for (const session of [...this.#sessions]) {
      session.end(1001, 'The simulator is closing.')
      this.#left(session, 1001)
    }
    const untilMs = nowMs() + GOODBYE_MS
    while (this.#streams.size > 0 && nowMs() < untilMs) await new Promise((resolve) => setTimeout(resolve, 10))
    for (const stream of this.#streams) stream.destroy()
    this.#sockets.close()
  }

  #answer(request: IncomingMessage, stream: Duplex, head: Buffer): void {
    if (stream.destroyed) return
    const { options, faults, witness } = this.#shared
    const verdict = judge(request, options, faults, this.#sessions.size)
    if (verdict.kind !== 'open') this.counts.refused += 1
    if (verdict.kind === 'refused') {
      witness.note('session_refused', { status: verdict.status, code: verdict.code, ...this.#shared.load() })
      stream.end(refusalBytes(verdict, STATUS_CODES[verdict.status] ?? 'Refused'))
    } else if (verdict.kind === 'farewell') this.#farewell(request, stream, head, verdict.farewell)
    else this.#open(request, stream, head, verdict.model)
  }

  #open(request: IncomingMessage, stream: Duplex, head: Buffer, model: string): void {
    this.#sockets.handleUpgrade(request, stream, head, (socket) => {
      this.counts.opened += 1
      const session = new Session({ shared: this.#shared, socket, stream, model, number: this.counts.opened })
      this.#sessions.add(session)
      session.note('session_opened', { model, path: request.url?.split('?')[0], ...this.#shared.load() })
      socket.on('error', () => socket.terminate())
      socket.on('close', (code) => this.#left(session, code))
      session.open()
    })
  }

  #left(session: Session, code: number): void {
    if (this.#sessions.delete(session)) session.closed(code)
  }

  #farewell(request: IncomingMessage, stream: Duplex, head: Buffer, farewell: Farewell): void {
    const { witness, wheel } = this.#shared
    witness.note('session_refused', { status: 101, code: farewell.code, ...this.#shared.load() })
    this.#sockets.handleUpgrade(request, stream, head, (socket) => {
      socket.on('error', () => socket.terminate())
      const { type, code, message } = farewell
      socket.send(JSON.stringify(errorEvent(new Ids(), { type, code, message, param: null }, undefined)))
      socket.close(farewell.closeCode, farewell.closeReason)
      const cut = wheel.after(FAREWELL_WAIT_MS, () => socket.terminate())
      socket.once('close', () => wheel.cancel(cut))
    })
  }
}
