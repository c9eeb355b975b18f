// A carrier that says exactly what a test tells it to: signed webhooks by fetch, a media stream message by message.
import { createHmac } from 'node:crypto'
import { once } from 'node:events'
import { WebSocket } from 'ws'
import { TOKEN } from './plane.ts'

let calls = 0

/** A Call SID that no other test uses. */
export const newCallSid = (): string => `CA${(++calls).toString(16).padStart(32, '0')}`

/** The X-Twilio-Signature of a form, or of a bare URL. */
export function sign(url: string, fields: Record<string, string> = {}, token = TOKEN): string {
  const text = Object.keys(fields)
    .sort()
    .reduce((sum, key) => sum + key + fields[key], url)
  return createHmac('sha1', token).update(text).digest('base64')
}

/** How a request is signed: by the token, by another one, with this very text, or not at all. */
export type Signing = { token: string } | { text: string } | 'none'

export class RawCarrier {
  readonly #url: string

  constructor(edgeUrl: string) {
    this.#url = edgeUrl
  }

  /** Posts the voice webhook of a call; `ends` stand before the usual ones. */
  voice(
    callSid: string,
    signing: Signing = { token: TOKEN },
    ends: { From?: string; To?: string; Direction?: string } = {},
  ): Promise<{ status: number; body: string }> {
    const fields = {
      CallSid: callSid,
      AccountSid: 'AC1',
      From: `+1500555${1_000 + (Number.parseInt(callSid.slice(2), 16) % 9_000)}`,
      To: '+15005550001',
      CallStatus: 'ringing',
      Direction: 'inbound',
      ...ends,
    }
    return this.#post('/twilio/voice', fields, signing)
  }

  /** Tells by status callback that the call is over. */
  async over(callSid: string): Promise<void> {
    await this.#post('/twilio/status', { CallSid: callSid, CallStatus: 'completed' }, { token: TOKEN })
  }

  /** Asks what follows the call's stream. */
  next(callSid: string): Promise<{ status: number; body: string }> {
    return this.#post('/twilio/next', { CallSid: callSid, CallStatus: 'in-progress' }, { token: TOKEN })
  }

  /** Offers a new call; the path of its media stream. */
  async offer(callSid: string): Promise<string> {
    const { body } = await this.voice(callSid)
    return new URL(/url="(ws:[^"]+)"/.exec(body)![1]!).pathname
  }

  /** Asks for the upgrade: the socket, or the status that refused it. */
  upgrade(path: string, signing: Signing = { token: TOKEN }): Promise<WebSocket | number> {
    const url = this.#url.replace('http', 'ws') + path
    return new Promise((resolve, reject) => {
      const socket = new WebSocket(url, { headers: headersOf(signing, url, {}) })
      socket.on('open', () => resolve(socket))
      socket.on('unexpected-response', (_request, response) => {
        response.resume()
        resolve(response.statusCode ?? 0)
      })
      socket.on('error', (error) => (socket.readyState === WebSocket.CONNECTING ? undefined : reject(error)))
    })
  }

  /** Offers a new call and opens its stream, up to and with `start` if wanted. */
  async open(options: { start?: boolean } = {}): Promise<RawStream> {
    const callSid = newCallSid()
    const socket = await this.upgrade(await this.offer(callSid))
    if (typeof socket === 'number') throw new Error(`the upgrade was refused with ${socket}`)
    const stream = new RawStream(this, callSid, socket)
    if (options.start !== false) stream.start()
    return stream
  }

  async #post(
    path: string,
    fields: Record<string, string>,
    signing: Signing,
  ): Promise<{ status: number; body: string }> {
    const url = this.#url + path
    const answer = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded', ...headersOf(signing, url, fields) },
      body: new URLSearchParams(fields),
    })
    return { status: answer.status, body: await answer.text() }
  }
}

function headersOf(signing: Signing, url: string, fields: Record<string, string>): Record<string, string> {
  if (signing === 'none') return {}
  const text = 'text' in signing ? signing.text : sign(url, fields, signing.token)
  return { 'x-twilio-signature': text }
}

/** One open stream of a call. */
export class RawStream {
  readonly callSid: string
  readonly socket: WebSocket
  readonly streamSid = `MZ${'1'.repeat(32)}`
  /** What the plane has said, parsed. */
  readonly heard: { event: string }[] = []
  readonly closed: Promise<number>
  readonly #carrier: RawCarrier

  constructor(carrier: RawCarrier, callSid: string, socket: WebSocket) {
    this.#carrier = carrier
    this.callSid = callSid
    this.socket = socket
    this.closed = once(socket, 'close').then(([code]) => code as number)
    socket.on('error', () => undefined)
    socket.on('message', (text) => this.heard.push(JSON.parse(String(text)) as { event: string }))
  }

  send(message: object | string): void {
    this.socket.send(typeof message === 'string' ? message : JSON.stringify(message))
  }

  /** Says connected and start; `callSid` is this call's unless told otherwise. */
  start(callSid = this.callSid): void {
    this.send({ event: 'connected', protocol: 'Call', version: '1.0.0' })
    const { streamSid } = this
    const mediaFormat = { encoding: 'audio/x-mulaw', sampleRate: 8000, channels: 1 }
    const start = { accountSid: 'AC1', streamSid, callSid, tracks: ['inbound'], mediaFormat, customParameters: {} }
    this.send({ event: 'start', sequenceNumber: '1', streamSid, start })
  }

  /** One frame of silence, or `payload`. Its keys are in the order of the real carrier. */
  media(timestampMs: number, payload = Buffer.alloc(160, 0xff).toString('base64')): void {
    const chunk = String(timestampMs / 20 + 1)
    const media = { track: 'inbound', chunk, timestamp: String(timestampMs), payload }
    this.send({ event: 'media', sequenceNumber: '2', streamSid: this.streamSid, media })
  }

  /** Says stop and tells that the call is over; waits until the plane has closed. */
  async end(): Promise<void> {
    this.send({ event: 'stop', sequenceNumber: '3', streamSid: this.streamSid, stop: { callSid: this.callSid } })
    await this.#carrier.over(this.callSid)
    await this.closed
  }

  /** Tells that the call is over, whatever the stream does. */
  over(): Promise<void> {
    return this.#carrier.over(this.callSid)
  }
}
