// Sends the caller's frames on one stream, and spoils them where a fault asks for it.
// G1: chunk counts every frame of the caller, lost ones included; timestamp is (chunk - 1) × 20 ms.
// G2: at most SOCKET_BYTES_MAX wait in the socket; beyond it a frame is dropped and reported as blocked.

import type { Socket } from 'node:net'
import type { BadFrame, Faults } from '../options.ts'
import { type ClipFrames, FRAME_MS } from '../wire/clip-frames.ts'
import { BINARY, maskedFrame, TEXT } from '../wire/frame.ts'
import { MediaTemplate } from '../wire/media-message.ts'

const SOCKET_BYTES_MAX = 1024 * 1024
/** Larger than any message a plane should take. */
const OVERSIZED_BYTES = 2 * 1024 * 1024

type Sending = 'sent' | 'lost' | 'blocked' | 'closed'

export class MediaSender {
  framesSent = 0
  private chunk = 0
  private held: Buffer | undefined
  private readonly template: MediaTemplate
  private readonly socket: Socket
  private readonly faults: Faults
  private readonly isFaulty: boolean
  private readonly nextSequence: () => number

  constructor(streamSid: string, socket: Socket, faults: Faults, nextSequence: () => number) {
    this.template = new MediaTemplate(streamSid)
    this.socket = socket
    this.faults = faults
    this.nextSequence = nextSequence
    this.isFaulty = [faults.loseEvery, faults.duplicateEvery, faults.swapEvery].some((every) => every !== undefined)
  }

  /** Sends one frame of a clip. */
  send(frames: ClipFrames, index: number): Sending {
    const { socket } = this
    if (!socket.writable) return 'closed'
    const chunk = ++this.chunk
    if (socket.writableLength > SOCKET_BYTES_MAX) return 'blocked'
    if (this.isFaulty && hits(this.faults.loseEvery, chunk)) return 'lost'
    const frame = this.template.fill(this.nextSequence(), chunk, (chunk - 1) * FRAME_MS, frames, index)
    this.framesSent++
    if (this.isFaulty) this.sendFaulty(Buffer.from(frame), chunk)
    else {
      socket.write(frame)
      if (socket.writableLength > 0) this.template.letGo()
    }
    return 'sent'
  }

  private sendFaulty(frame: Buffer, chunk: number): void {
    if (hits(this.faults.swapEvery, chunk) && this.held === undefined) {
      this.held = frame
      return
    }
    this.socket.write(frame)
    if (hits(this.faults.duplicateEvery, chunk)) this.socket.write(frame)
    if (this.held !== undefined) this.socket.write(this.held)
    this.held = undefined
  }
}

function hits(every: number | undefined, chunk: number): boolean {
  return every !== undefined && chunk % every === 0
}

/** A message no plane should be harmed by. */
export function badFrame(kind: BadFrame, streamSid: string): Buffer {
  const text = (value: string): Buffer => maskedFrame(TEXT, Buffer.from(value))
  const media = (sid: string, payload: string): string =>
    JSON.stringify({
      event: 'media',
      sequenceNumber: '0',
      streamSid: sid,
      media: { track: 'inbound', chunk: '0', timestamp: '0', payload },
    })
  switch (kind) {
    case 'binary':
      return maskedFrame(BINARY, Buffer.from([0, 1, 2, 3]))
    case 'non-json':
      return text('{"event":"media",')
    case 'oversized':
      return text(media(streamSid, 'A'.repeat(OVERSIZED_BYTES)))
    case 'unknown-event':
      return text(JSON.stringify({ event: 'weather', sequenceNumber: '0', streamSid }))
    case 'wrong-stream-sid':
      return text(media('MZ00000000000000000000000000000000', '//////8='))
    case 'bad-base64':
      return text(media(streamSid, '***not base64***'))
  }
}
