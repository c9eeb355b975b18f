// One link to the provider: a socket from its dial to its end. Rules:
// LK1: a link ends once, in `onLinkEnd`, whatever ended it; `close()` is idempotent and silent.
// LK2: the link is pinged each PING_MS; a peer that is silent for a whole interval is dead.
// LK3: caller audio is joined to an append as bytes; several frames go as one append when the load asks for it, and
//      FRAMES_OF_QUIET when the caller has been quiet for so long that his turn is over (audio/quiet.ts). A loud frame waits for
//      nothing: what is held goes with it. What is held goes before any event.
// LK4: a link that serves a caller who seems to speak proves that it lives (link-proof.ts), or ends as MODEL_STALLED. The answer to
//      its question goes no further: no error of the call, nothing for the agent.
import { ULAW_SILENCE } from '../../audio/g711.ts'
import { Quiet } from '../../audio/quiet.ts'
import { PCM24K_BYTES_PER_ULAW, Pcm24kToUlaw, UlawToPcm24k } from '../../audio/ulaw-pcm24k.ts'
import { type SocketEnd, WebSocketConnection } from '../../kit/websocket/connection.ts'
import { type DialOutcome, dial } from '../../kit/websocket/dial.ts'
import type { Wheel } from '../../kit/wheel.ts'
import { LinkProof } from '../link-proof.ts'
import type { LinkLoss, Route } from '../route.ts'
import { isProbeAnswer, PROBE } from './client-events.ts'
import { lossOfDial, lossOfEnd } from './refusal.ts'
import {
  APPEND_HEAD,
  APPEND_TAIL,
  DeltaMemory,
  exactBytes,
  isIdle,
  readAudioDelta,
  readServerEvent,
  type ServerEvent,
} from './wire.ts'

export const PING_MS = 20_000
/** A server event with an item's audio can be large; the provider's own bound on audio is 15 MiB. */
const MAX_PAYLOAD_BYTES = 16 * 1024 * 1024
const COALESCE_MAX_BYTES = 5 * 160
/** 100 ms in one append while the caller is quiet. */
const FRAMES_OF_QUIET = 5
const SILENCE_MAX_MS = 10_000

/** How to dial. */
export type LinkSettings = {
  connectMs: number
  bufferedMaxBytes: number
  audio: 'pcmu' | 'pcm16'
  wantsTranscriptDeltas: boolean
  /** Somebody listens to every event of the provider. Default: nobody. */
  isObserved?(): boolean
  /** Frames of 20 ms per append at this moment; 1 is no joining. */
  framesPerAppend(): number
  /** The caller's turn is over once he has been quiet for so many ms: then frames are joined. Left out, or undefined: they never are. */
  quietAfterMs?(): number | undefined
}

/** What a link tells its owner. */
interface LinkListener {
  onLinkEvent(link: Link, event: ServerEvent): void
  onLinkAudio(link: Link, responseId: string, itemId: string, ulaw: Buffer): void
  /** An event came that means nothing but that a response is being made. */
  onLinkAlive(link: Link): void
  onLinkEnd(link: Link, loss: LinkLoss): void
  /** The provider does not answer the question whether it lives. */
  onLinkUnprovable(): void
  /** Something was thrown while an event was handled; the link ends next. */
  onLinkFault(error: unknown): void
}

const scratchUlaw = Buffer.allocUnsafe(4_096)
const scratchDelta = Buffer.allocUnsafe(65_536)
const scratchPcm = Buffer.allocUnsafe(4_096 * PCM24K_BYTES_PER_ULAW)

export class Link {
  readonly route: Route
  readonly #listener: LinkListener
  readonly #settings: LinkSettings
  readonly #wheel: Wheel
  #socket: WebSocketConnection | undefined
  #giveUp: () => void = () => {}
  #isEnded = false
  #held: Buffer | undefined
  #heldBytes = 0
  readonly #quiet = new Quiet()
  readonly #deltas = new DeltaMemory()
  readonly #proof: LinkProof
  readonly #up: UlawToPcm24k | undefined
  readonly #down: Pcm24kToUlaw | undefined
  /** The link serves; changes what its end means. */
  #isReady = false
  unreadable = 0

  constructor(listener: LinkListener, route: Route, settings: LinkSettings, wheel: Wheel) {
    this.route = route
    this.#listener = listener
    this.#settings = settings
    this.#wheel = wheel
    this.#proof = new LinkProof(wheel, {
      ask: () => this.send(PROBE),
      onStalled: () => this.#stalled(),
      onNoProof: () => listener.onLinkUnprovable(),
    })
    this.#up = settings.audio === 'pcm16' ? new UlawToPcm24k() : undefined
    this.#down = settings.audio === 'pcm16' ? new Pcm24kToUlaw() : undefined
  }

  open(): void {
    const { url, headers } = this.route
    const { connectMs: timeoutMs } = this.#settings
    this.#giveUp = dial(url, { headers: { ...headers }, timeoutMs }, (outcome) => this.#dialled(outcome))
  }

  /** The owner says that the link serves from now on. */
  serve(): void {
    this.#isReady = true
    this.#proof.begin()
  }

  /** Sends a client event. */
  send(event: object): void {
    if (this.#socket === undefined) return
    this.#flush(this.#socket)
    this.#socket.sendText(JSON.stringify(event))
  }

  /** Appends caller audio: base64 µ-law text in `buffer[start..end)`. */
  append(buffer: Buffer, start: number, end: number): void {
    const socket = this.#socket
    if (socket === undefined) return
    const frames = this.#framesNow(buffer, start, end)
    if (frames <= 1 && this.#up === undefined && this.#heldBytes === 0) {
      socket.sendSpliced(APPEND_HEAD, buffer, start, end, APPEND_TAIL)
      return
    }
    this.#held ??= Buffer.allocUnsafeSlow(COALESCE_MAX_BYTES)
    const bytes = exactBytes(buffer, start, end) ?? Math.floor(((end - start) * 3) / 4)
    if (this.#heldBytes + bytes > this.#held.length) this.#flush(socket)
    if (bytes > this.#held.length)
      this.#appendUlaw(socket, Buffer.from(buffer.toString('latin1', start, end), 'base64'))
    else this.#heldBytes += this.#held.write(buffer.toString('latin1', start, end), this.#heldBytes, 'base64')
    if (this.#heldBytes >= frames * 160) this.#flush(socket)
  }

  /** How many frames go in one append, this one being the last heard. */
  #framesNow(buffer: Buffer, start: number, end: number): number {
    const frames = this.#settings.framesPerAppend()
    const afterMs = this.#settings.quietAfterMs?.()
    if (afterMs === undefined || frames >= FRAMES_OF_QUIET) return frames
    this.#quiet.hear(buffer, start, end)
    return this.#quiet.ms > afterMs ? FRAMES_OF_QUIET : frames
  }

  /** Appends `ms` of silence, at most SILENCE_MAX_MS at a time. */
  appendSilence(ms: number): void {
    if (this.#socket === undefined) return
    this.#flush(this.#socket)
    const bytes = Math.min(SILENCE_MAX_MS, Math.max(0, Math.round(ms))) * 8
    this.#appendUlaw(this.#socket, Buffer.alloc(bytes, ULAW_SILENCE))
  }

  /** The caller seems to speak: if the provider stays silent, the link is proved (link-proof.ts). */
  callerSeemsLoud(): void {
    if (this.#socket !== undefined && !this.#isEnded) this.#proof.callerSeemsLoud()
  }

  /** Ends the link without a word to the owner. */
  close(): void {
    if (this.#isEnded) return
    this.#isEnded = true
    this.#proof.close()
    this.#giveUp()
    this.#socket?.close(1000, '')
    this.route.released()
  }

  /** The next delta of the item that speaks: the hot kind of message. All of it must be base64, else it is read in full. */
  onAscii(buffer: Buffer, start: number, end: number): boolean {
    if (this.#isEnded) return false
    const delta = this.#deltas.read(buffer, start, end)
    if (delta === undefined) return false
    const { audioStart, audioEnd } = delta
    const count = exactBytes(buffer, audioStart, audioEnd)
    if (count === undefined) return false
    const bytes = decode(buffer.toString('latin1', audioStart, audioEnd))
    if (bytes.length !== count) return false
    this.#proof.received()
    this.#hear(delta.responseId, delta.itemId, bytes)
    return true
  }

  onText(buffer: Buffer, start: number, end: number): void {
    if (this.#isEnded) return
    this.#proof.received()
    const delta = readAudioDelta(buffer, start, end)
    if (delta !== undefined) {
      this.#deltas.keep(buffer, start, end, delta)
      this.#hear(delta.responseId, delta.itemId, decode(buffer.toString('latin1', delta.audioStart, delta.audioEnd)))
      return
    }
    if (this.#settings.isObserved?.() !== true && isIdle(buffer, start, end, this.#settings.wantsTranscriptDeltas)) {
      this.#listener.onLinkAlive(this)
      return
    }
    const event = readServerEvent(buffer.toString('utf8', start, end))
    if (event === undefined) this.unreadable += 1
    else if (event.type === 'response.output_audio.delta') {
      this.#hear(String(event.response_id ?? ''), String(event.item_id ?? ''), decode(String(event.delta ?? '')))
    } else if (isProbeAnswer(event)) this.#proof.answered()
    else this.#listener.onLinkEvent(this, event)
  }

  onBinary(): void {
    this.unreadable += 1
  }

  onFault(error: unknown): void {
    this.#listener.onLinkFault(error)
  }

  onClosed(end: SocketEnd): void {
    this.#end(lossOfEnd(end, this.#isReady))
  }

  #dialled(outcome: DialOutcome): void {
    if (outcome.kind !== 'open') {
      this.#end(lossOfDial(outcome))
      return
    }
    if (this.#isEnded) {
      outcome.socket.destroy()
      return
    }
    this.#socket = new WebSocketConnection(outcome.socket, this, {
      role: 'client',
      maxPayloadBytes: MAX_PAYLOAD_BYTES,
      bufferedMaxBytes: this.#settings.bufferedMaxBytes,
    })
    this.#socket.keepAlive(this.#wheel, PING_MS)
    this.#socket.feed(outcome.head)
  }

  #end(loss: LinkLoss): void {
    if (this.#isEnded) return
    this.#isEnded = true
    this.#proof.close()
    this.#listener.onLinkEnd(this, loss)
    this.route.released()
  }

  /** The peer may be gone without a word: the socket is closed by us. */
  #stalled(): void {
    this.#end({ code: 'MODEL_STALLED', fatal: false })
    this.#socket?.close(1000, '')
  }

  #hear(responseId: string, itemId: string, bytes: Buffer): void {
    let ulaw = bytes
    if (this.#down !== undefined) {
      const count = this.#down.outputBytes(bytes.length)
      ulaw = count <= scratchUlaw.length ? scratchUlaw.subarray(0, count) : Buffer.allocUnsafe(count)
      this.#down.push(bytes, ulaw, 0)
    }
    if (ulaw.length > 0) this.#listener.onLinkAudio(this, responseId, itemId, ulaw)
  }

  #flush(socket: WebSocketConnection): void {
    if (this.#heldBytes === 0) return
    const bytes = this.#held!.subarray(0, this.#heldBytes)
    this.#heldBytes = 0
    this.#appendUlaw(socket, bytes)
  }

  #appendUlaw(socket: WebSocketConnection, ulaw: Buffer): void {
    for (let at = 0; at < ulaw.length; at += scratchUlaw.length) {
      const part = ulaw.subarray(at, at + scratchUlaw.length)
      const raw = this.#up === undefined ? part : scratchPcm.subarray(0, this.#up.push(part, scratchPcm, 0))
      socket.sendBase64(APPEND_HEAD, raw, APPEND_TAIL, '')
    }
  }
}

/** Decodes base64 into the shared scratch, when it has room: the listener takes a copy (PT2). */
function decode(base64: string): Buffer {
  const room = Math.ceil((base64.length * 3) / 4)
  const raw = room <= scratchDelta.length ? scratchDelta : Buffer.allocUnsafe(room)
  return raw.subarray(0, raw.write(base64, 0, 'base64'))
}
