// One Twilio media stream: the socket of a caller's leg. Rules:
// MS1: listeners are attached at the upgrade; `start` must come within START_MAX_MS, media before it is dropped.
// MS2: `start` must name the Call SID that the token was minted for, and our account when it is configured; else the stream
//      is closed (1008).
// MS6: a `start` that lacks a SID is refused at once (1008), and both the log and the close reason name what it lacks.
// MS3: a message of another stream, of unknown kind or that cannot be read is counted and ignored; the call goes on.
//      More than STRAY_MAX of them close the stream (1008): that peer is not Twilio.
// MS4: stop, close, loss and violation are one end, reported once; without a `start` before it, as a stream that never started.
// MS5: from its start on the peer is pinged each PING_MS; silence for a whole interval ends the stream (WC6).
import type { Leg, LegEnd, LegListener } from '../../call/ports.ts'
import { whereOf } from '../../kit/errors.ts'
import type { Log } from '../../kit/log.ts'
import { type Pattern, patternOf } from '../../kit/pattern.ts'
import type { SocketEnd, WebSocketConnection } from '../../kit/websocket/connection.ts'
import type { Wheel, WheelTimer } from '../../kit/wheel.ts'
import {
  clearMessage,
  MEDIA_TAIL,
  type MediaMessage,
  markMessage,
  mediaHead,
  readMarkName,
  readMediaMessage,
  readMediaRange,
} from './media-wire.ts'

export const START_MAX_MS = 5_000
export const STRAY_MAX = 200
export const PING_MS = 20_000
/** A media message is 385 bytes; custom parameters of `start` are at most a few kB. */
export const MEDIA_MESSAGE_MAX_BYTES = 64 * 1024
const NO_STREAM = patternOf('none')
const STREAM_SID = /^MZ[0-9a-f]{32}$/

/** What the owner does when the stream has begun. Undefined: nobody wants this stream. */
export type OnStart = (leg: Leg, parameters: Record<string, string>) => LegListener | undefined

/** What the media stream tells its owner. */
type StreamOwner = {
  onStart: OnStart
  /** The stream has ended without a `start`; once. */
  onNeverStarted?: () => void
}

/** What a stream asks of its socket. */
type StreamSocket = Pick<WebSocketConnection, 'sendText' | 'sendBase64' | 'keepAlive' | 'close'>

export class MediaStream implements Leg {
  readonly callSid: string
  streamSid = ''
  readonly #wheel: Wheel
  readonly #log: Log
  readonly #owner: StreamOwner
  readonly #accountSid: string | undefined
  #socket: StreamSocket | undefined
  #listener: LegListener | undefined
  #sidPattern: Pattern = NO_STREAM
  #mediaHead: Buffer = MEDIA_TAIL
  #timer: WheelTimer | undefined
  #strays = 0
  #isEnded = false

  /** `accountSid`: the only account whose calls are taken; undefined takes any that bears our token. */
  constructor(callSid: string, owner: StreamOwner, world: { wheel: Wheel; log: Log; accountSid?: string | undefined }) {
    this.callSid = callSid
    this.#owner = owner
    this.#accountSid = world.accountSid
    this.#wheel = world.wheel
    this.#log = world.log
    this.#timer = world.wheel.after(START_MAX_MS, () => this.#refuse('no start came'))
  }

  /** The socket whose listener this stream is. */
  bind(socket: StreamSocket): void {
    this.#socket = socket
  }

  sendAudio(ulaw: Uint8Array, mark: string | undefined): void {
    const bytes = Buffer.isBuffer(ulaw) ? ulaw : Buffer.from(ulaw.buffer, ulaw.byteOffset, ulaw.length)
    const next = mark === undefined ? '' : markMessage(this.streamSid, mark)
    this.#socket?.sendBase64(this.#mediaHead, bytes, MEDIA_TAIL, next)
  }

  clear(): void {
    this.#socket?.sendText(clearMessage(this.streamSid))
  }

  close(_reason: string): void {
    this.#isEnded = true
    this.#listener = undefined
    this.#wheel.cancel(this.#timer)
    this.#socket?.close(1000, '')
  }

  onAscii(buffer: Buffer, start: number, end: number): boolean {
    const listener = this.#listener
    if (listener === undefined) return false
    const media = readMediaRange(buffer, start, end, this.#sidPattern)
    if (media === undefined) return this.#mark(listener, buffer, start, end)
    listener.onMedia(buffer, media.payloadStart, media.payloadEnd, media.timestampMs)
    return true
  }

  onText(buffer: Buffer, start: number, end: number): void {
    if (!this.onAscii(buffer, start, end)) this.#onMessage(buffer.toString('utf8', start, end))
  }

  onBinary(): void {
    this.#stray('binary message')
  }

  onFault(error: unknown): void {
    this.#log.error({ code: 'SOCKET_FAULT', reason: whereOf(error) }, 'a message of the stream could not be handled')
  }

  onClosed(end: SocketEnd): void {
    this.#wheel.cancel(this.#timer)
    this.#end({ cause: end.cause, code: end.code })
  }

  #onMessage(text: string): void {
    if (this.#isEnded) return
    const message = readMediaMessage(text)
    if (message.kind === 'start') {
      this.#begin(message)
      return
    }
    if (message.kind === 'connected') return
    if (message.kind === 'unreadable') this.#stray(message.reason)
    else if (message.kind === 'unknown') this.#stray('unknown event')
    else if (this.#listener === undefined) this.#stray('message before start')
    else if (message.streamSid !== this.streamSid) this.#stray('message of another stream')
    else if (message.kind === 'media') this.#media(this.#listener, message.payload, message.timestampMs)
    else if (message.kind === 'mark') this.#listener.onMark(message.name)
    else if (message.kind === 'dtmf') this.#listener.onDigit(message.digit)
    else this.#end({ cause: 'stop', code: 1000 })
  }

  #begin(start: MediaMessage & { kind: 'start' }): void {
    if (this.#listener !== undefined) {
      this.#stray('second start')
      return
    }
    const problem = this.#problemOf(start)
    if (problem !== undefined) {
      this.#refuse(problem)
      return
    }
    this.streamSid = start.streamSid
    this.#sidPattern = patternOf(start.streamSid)
    this.#mediaHead = mediaHead(start.streamSid)
    this.#wheel.cancel(this.#timer)
    this.#socket?.keepAlive(this.#wheel, PING_MS)
    this.#listener = this.#owner.onStart(this, start.parameters)
    if (this.#listener === undefined && !this.#isEnded) this.#refuse('nobody awaits this stream')
  }

  #problemOf(start: MediaMessage & { kind: 'start' }): string | undefined {
    const lacking = (['streamSid', 'callSid'] as const).filter((name) => start[name] === '')
    if (this.#accountSid !== undefined && start.accountSid === '') return lacks([...lacking, 'accountSid'])
    if (lacking.length > 0) return lacks(lacking)
    if (start.callSid !== this.callSid) return 'start names another call'
    if (this.#accountSid !== undefined && start.accountSid !== this.#accountSid) return 'start names another account'
    if (!STREAM_SID.test(start.streamSid)) return 'stream SID is malformed'
    if (start.encoding !== '' && start.encoding !== 'audio/x-mulaw') return 'encoding is not mu-law'
    return undefined
  }

  #media(listener: LegListener, payload: string, timestampMs: number): void {
    const bytes = Buffer.from(payload, 'latin1')
    listener.onMedia(bytes, 0, bytes.length, timestampMs)
  }

  #mark(listener: LegListener, buffer: Buffer, start: number, end: number): boolean {
    const name = readMarkName(buffer, start, end, this.#sidPattern)
    if (name !== undefined) listener.onMark(name)
    return name !== undefined
  }

  #stray(reason: string): void {
    this.#strays += 1
    if (this.#strays === 1) this.#log.warn({ reason }, 'a media message was ignored')
    if (this.#strays > STRAY_MAX) this.#refuse('too many messages that are not ours')
  }

  #refuse(reason: string): void {
    if (this.#isEnded) return
    this.#log.warn({ reason }, 'the media stream was closed')
    this.#wheel.cancel(this.#timer)
    this.#socket?.close(1008, reason)
    this.#end({ cause: 'violation', code: 1008 })
  }

  #end(end: LegEnd): void {
    if (this.#isEnded) return
    this.#isEnded = true
    this.#wheel.cancel(this.#timer)
    const listener = this.#listener
    this.#listener = undefined
    if (this.streamSid === '') this.#owner.onNeverStarted?.()
    listener?.onLegEnd(end)
    this.#socket?.close(1000, '')
  }
}

/** [MS6] At most 123 bytes, the room of a close reason. */
function lacks(names: readonly string[]): string {
  return `start lacks ${names.join(', ')}: send start as Twilio does`
}
