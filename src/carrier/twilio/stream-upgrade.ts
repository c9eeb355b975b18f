// The upgrade of a media stream: what a socket must show before it gets its 101. Rules:
// MD1: signature, then token, then stream admission, all before the 101; the first that fails answers with its status.
// MD2: a socket waits for stream admission within the bound of that; one that goes meanwhile, or before its stream has started, is relinquished.
// MD5: an address that is not one of our TwiML is told apart: log and answer name what it lacks (pod, Call SID, token).
// MD4: a pod that was picked for the stream and did not get it is told to drop what it prepared.
// MD3: at most UPGRADES_PENDING_MAX sockets wait at once; a further one gets 503.
import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import type { StreamControl } from '../../call-control/call-control.ts'
import { type StreamTokens, TokenUse } from '../../call-control/stream-token.ts'
import { systemClock } from '../../kit/clock.ts'
import { type ErrorCode, messageOf } from '../../kit/errors.ts'
import type { CallSid } from '../../kit/ids.ts'
import { type Log, sampled } from '../../kit/log.ts'
import { refuseUpgrade, sendUpgrade, upgradeProblem } from '../../kit/websocket/accept.ts'
import { WebSocketConnection } from '../../kit/websocket/connection.ts'
import type { Wheel } from '../../kit/wheel.ts'
import { MEDIA_MESSAGE_MAX_BYTES, MediaStream, type OnStart } from './media-stream.ts'
import { makeSignatures, type Signatures } from './signature.ts'
import { uncheckedProblem } from './unchecked.ts'

const MEDIA_PATH = /^\/media\/([a-z0-9-]{1,63})\/(CA[0-9a-f]{32})\/([\w-]{20,400})\/?$/
const UPGRADES_PENDING_MAX = 1_000
const STATUS_TEXT: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  403: 'Forbidden',
  404: 'Not Found',
  503: 'Service Unavailable',
}
/** Said to a client that dials a fixed address. It holds nothing of the request. */
const FIXED_ADDRESS = 'dial the Stream url of the answer to /twilio/voice: /media/<pod>/<call SID>/<token>'

type Shown =
  | { kind: 'shown'; callSid: CallSid; epoch: number; picked: string }
  | { kind: 'refused'; status: number; reason: string; code?: ErrorCode; advice?: string }

type StreamUpgradeParts = {
  streams: StreamControl
  log: Log
  wheel: Wheel
  tokens: StreamTokens
  config: {
    readonly twilio: {
      readonly signatureCheck: 'on' | 'off' | 'off-loopback'
      readonly authTokens: readonly string[]
      readonly accountSid: string | undefined
    }
    readonly call: { readonly outboundBufferMaxBytes: number }
  }
  baseUrl: () => string
  /** A socket has shown a right signature and token. */
  onAuthenticated?: (socket: Socket) => void
  onRefused?: (reason: string) => void
}

export class StreamUpgrade {
  readonly #parts: StreamUpgradeParts
  readonly #tokens: StreamTokens
  readonly #signatures: Signatures
  readonly #uses = new TokenUse()
  readonly #refusals: Log
  #pending = 0

  constructor(parts: StreamUpgradeParts) {
    this.#parts = parts
    this.#refusals = sampled(parts.log)
    this.#tokens = parts.tokens
    const { signatureCheck: check, authTokens } = parts.config.twilio
    this.#signatures = makeSignatures({ check, authTokens, baseUrl: parts.baseUrl })
  }

  enter(request: IncomingMessage, socket: Socket, head: Buffer): void {
    socket.on('error', () => socket.destroy())
    const shown = this.#look(request)
    if (shown.kind === 'refused') {
      this.#refuse(socket, shown)
      return
    }
    this.#parts.onAuthenticated?.(socket)
    this.#pending += 1
    void this.#admit(request, socket, head, shown).finally(() => {
      this.#pending -= 1
    })
  }

  async #admit(
    request: IncomingMessage,
    socket: Socket,
    head: Buffer,
    shown: Shown & { kind: 'shown' },
  ): Promise<void> {
    const { streams, log } = this.#parts
    const { callSid, epoch } = shown
    try {
      const entry = await streams.enter(callSid, epoch)
      if (entry.kind === 'refused') this.#refuse(socket, { kind: 'refused', status: 403, reason: entry.reason })
      else if (socket.destroyed) streams.neverStarted(callSid, epoch)
      else this.#open(request, socket, head, shown)
    } catch (error) {
      log.error({ callSid, reason: messageOf(error) }, 'a stream could not enter')
      socket.destroy()
    }
  }

  #open(
    request: IncomingMessage,
    socket: Socket,
    head: Buffer,
    { callSid, epoch, picked }: Shown & { kind: 'shown' },
  ): void {
    const { streams, log, wheel, config } = this.#parts
    streams.opened(callSid, epoch, picked)
    const world = { wheel, log: log.child({ callSid }), accountSid: config.twilio.accountSid }
    const onStart: OnStart = (leg) => streams.attach(callSid, leg)
    const onNeverStarted = () => streams.neverStarted(callSid, epoch)
    const stream = new MediaStream(callSid, { onStart, onNeverStarted }, world)
    sendUpgrade(request, socket)
    const connection = new WebSocketConnection(socket, stream, {
      role: 'server',
      maxPayloadBytes: MEDIA_MESSAGE_MAX_BYTES,
      bufferedMaxBytes: config.call.outboundBufferMaxBytes,
    })
    stream.bind(connection)
    connection.feed(head)
  }

  #refuse(socket: Socket, { status, reason, code, advice }: Shown & { kind: 'refused' }): void {
    this.#parts.onRefused?.('stream')
    this.#refusals.warn({ code, reason, ...(advice !== undefined && { advice }) }, 'a media stream was refused')
    const text = STATUS_TEXT[status] ?? 'Bad Request'
    refuseUpgrade(socket, status, text, advice === undefined ? text : `${reason}: ${advice}`)
  }

  #look(request: IncomingMessage): Shown {
    const problem = upgradeProblem(request)
    if (problem !== undefined) return { kind: 'refused', status: 400, reason: problem }
    const path = request.url ?? ''
    const match = MEDIA_PATH.exec(path)
    if (match === null) return { kind: 'refused', status: 404, reason: lackOf(path), advice: FIXED_ADDRESS }
    const { signatureCheck } = this.#parts.config.twilio
    const unchecked = signatureCheck === 'on' ? undefined : uncheckedProblem(request.headers)
    if (unchecked !== undefined) return { kind: 'refused', status: 403, reason: unchecked }
    const signature = this.#signatures.upgrade({ path, signature: request.headers['x-twilio-signature'] })
    if (signature.kind !== 'valid') return { kind: 'refused', status: 403, reason: 'signature is missing or forged' }
    const nowMs = systemClock.wallMs()
    const callSid = match[2] as CallSid
    const token = this.#tokens.verify(match[3]!, { callSid, nowMs })
    if (token.kind !== 'valid')
      return { kind: 'refused', status: 403, reason: 'stream token is not valid', code: 'TOKEN_INVALID' }
    if (this.#pending >= UPGRADES_PENDING_MAX)
      return { kind: 'refused', status: 503, reason: 'too many streams wait to enter' }
    if (this.#uses.take(token, nowMs).kind !== 'fresh')
      return { kind: 'refused', status: 403, reason: 'stream token was used', code: 'TOKEN_INVALID' }
    return { kind: 'shown', callSid, epoch: token.epoch, picked: match[1]! }
  }
}

/** [MD5] What an address that is none of ours lacks. */
function lackOf(path: string): string {
  const [, root, pod, callSid, token] = path.split(/[?#]/, 1)[0]!.split('/')
  if (root !== 'media') return 'the address is no media stream of ours'
  const parts: [string, string | undefined, RegExp][] = [
    ['pod', pod, /^[a-z0-9-]{1,63}$/],
    ['Call SID', callSid, /^CA[0-9a-f]{32}$/],
    ['token', token, /^[\w-]{20,400}$/],
  ]
  const lacking = parts.filter(([, text, form]) => text === undefined || !form.test(text)).map(([name]) => name)
  return lacking.length === 0 ? 'the address goes on after its token' : `the address lacks ${lacking.join(', ')}`
}
