// One media stream as the carrier's client: connected, start, media, dtmf, mark, stop; and what the plane sends back.
// D1: sequenceNumber counts all messages after connected, start has "1".
// D2: wrong or missing streamSid, unknown event, non-JSON: ignored, warning 31951 once; binary: 31950 once; buffer full: 31931 once.
// D3: the stream ends once, whatever ends it; stop is the last message, and only when the carrier ends it.
// D4: a plane that does not read is given at most SOCKET_BYTES_MAX; further frames are dropped and counted as a warning.

import type { Socket } from 'node:net'
import type { BadFrame, Faults } from '../options.ts'
import type { CallRecord, StreamEnd } from '../report.ts'
import type { ClipFrames } from '../wire/clip-frames.ts'
import { nowMs, nowUs } from '../wire/clock.ts'
import { BINARY, CLOSE, closeFrame, FrameReader, type FrameSink, maskedFrame, PING, PONG, TEXT } from '../wire/frame.ts'
import { mediaPrefix, quickMedia } from '../wire/media-message.ts'
import { takeProbes } from '../wire/probe.ts'
import { HeardLog } from './heard-log.ts'
import { badFrame, MediaSender } from './media-sender.ts'
import { Playout } from './playout.ts'

const CLOSE_MS_MAX = 2_000
const BAD_FRAMES_FROM_MS = 1_000
const BAD_FRAME_EVERY_MS = 200

type StreamIdentity = {
  accountSid: string
  callSid: string
  streamSid: string
  /** Which stream of its call it is: 1, 2, … */
  number: number
  customParameters: Record<string, string>
}
type Phase = 'starting' | 'live' | 'ended'

export class MediaStream implements FrameSink {
  readonly ended: Promise<StreamEnd>
  readonly playout: Playout
  private phase: Phase = 'starting'
  private resolveEnded!: (end: StreamEnd) => void
  private sequence = 0
  private readonly once = new Set<number>()
  private readonly reader = new FrameReader()
  private readonly sender: MediaSender
  private readonly prefix: Buffer
  private readonly heard: HeardLog
  private closeTimer: NodeJS.Timeout | undefined
  private readonly faultTimers = new Set<NodeJS.Timeout>()
  private openedMs = 0
  private badFramesSent = 0
  private readonly identity: StreamIdentity
  private readonly socket: Socket
  private readonly record: CallRecord
  private readonly faults: Faults
  private readonly sawProbe = (latencyUs: number): void => this.record.probe(latencyUs)

  constructor(identity: StreamIdentity, socket: Socket, record: CallRecord, faults: Faults) {
    this.identity = identity
    this.socket = socket
    this.record = record
    this.faults = faults
    this.playout = new Playout(Math.round((faults.playLateMs ?? 0) / 20))
    this.heard = new HeardLog(record, identity.number)
    this.prefix = mediaPrefix(identity.streamSid)
    this.sender = new MediaSender(identity.streamSid, socket, faults, () => ++this.sequence)
    this.ended = new Promise((resolve) => {
      this.resolveEnded = resolve
    })
  }

  /** Takes the socket over and begins: connected, then start. `head`: bytes that came with the 101. */
  begin(head: Buffer): void {
    const { socket, faults } = this
    this.openedMs = nowMs()
    socket.setNoDelay(true)
    socket.setTimeout(0)
    socket.on('data', (bytes: Buffer) => this.reader.push(bytes, this))
    socket.on('error', () => {})
    socket.on('end', () => socket.end())
    socket.on('close', () => {
      clearTimeout(this.closeTimer)
      this.finish({ by: 'plane', closeCode: 1006, errorCode: 31903, text: 'connection lost' })
    })
    if (faults.mediaFirst === true) this.phase = 'live'
    if (faults.startDelayMs === undefined) this.announce()
    else {
      this.send({ event: 'connected', protocol: 'Call', version: '1.0.0' })
      this.later(faults.startDelayMs, () => this.start())
    }
    if (head.length > 0) this.reader.push(head, this)
  }

  get isLive(): boolean {
    return this.phase === 'live'
  }

  /** Sends the caller's frame of this tick. */
  sendFrame(frames: ClipFrames, index: number): void {
    const result = this.sender.send(frames, index)
    if (result === 'sent') this.record.framesSent++
    else if (result === 'blocked') this.warnOnce(31930, 'the server does not read; frames dropped')
    const wanted = this.faults.badFrames
    if (wanted !== undefined) this.sendBadFrames(wanted)
  }

  /** Number of media messages sent on this stream; the frame number of the next probe. */
  get framesSent(): number {
    return this.sender.framesSent
  }

  /** One turn of the far end's playout. */
  playTick(atMs: number): void {
    const { playout, record } = this
    playout.tick()
    for (let name = playout.nextPlayedMark(); name !== undefined; name = playout.nextPlayedMark()) {
      record.marksPlayed++
      record.note('mark-played', { mark: name })
      this.echoMark(name)
    }
    if (playout.takenBytes === 0) {
      record.ear.silent(atMs)
      this.heard.silent(atMs)
      return
    }
    record.agentPlayedBytes += playout.takenBytes
    this.heard.frame(playout.frame, playout.takenBytes, atMs)
    if (record.ear.framePlayed(playout.frame, playout.takenBytes, atMs)) {
      record.note('agent-utterance', { utterance: record.ear.utterances })
    }
  }

  pressDigit(digit: string): void {
    for (let n = this.faults.duplicateDtmf === true ? 2 : 1; n > 0; n--) {
      this.sendNumbered('dtmf', { dtmf: { track: 'inbound_track', digit } })
    }
    this.record.note('digit-pressed', { digit })
  }

  /** Ends the stream from the carrier's side: stop, close 1000; or as the fault or script asks. */
  end(how: 'stop-and-close' | 'reset' | 'stop-without-close' | 'close-without-stop', by: 'carrier' | 'script'): void {
    if (this.phase === 'ended') return
    const { accountSid, callSid } = this.identity
    if (how === 'stop-and-close' || how === 'stop-without-close') {
      this.sendNumbered('stop', { stop: { accountSid, callSid } })
    }
    if (how === 'reset') this.socket.resetAndDestroy()
    else if (how !== 'stop-without-close') this.write(closeFrame(1000))
    this.closeTimer = setTimeout(() => this.socket.destroy(), CLOSE_MS_MAX)
    this.finish({ by, closeCode: how === 'reset' ? undefined : 1000, text: how })
  }

  onMessage(opcode: number, buffer: Buffer, start: number, end: number): void {
    if (this.phase === 'ended') return
    if (opcode === BINARY) {
      this.warnOnce(31950, 'binary message')
      return
    }
    const audio = quickMedia(this.prefix, buffer, start, end)
    if (audio !== undefined) this.takeAudio(audio)
    else this.takeJson(buffer.toString('utf8', start, end))
  }

  onControl(opcode: number, payload: Buffer): void {
    if (opcode === PING) this.write(maskedFrame(PONG, payload))
    if (opcode !== CLOSE) return
    const closeCode = payload.length >= 2 ? payload.readUInt16BE(0) : 1005
    if (this.phase !== 'ended') {
      this.write(closeFrame(payload.length >= 2 ? closeCode : undefined))
      const closeReason = payload.toString('utf8', 2)
      const text = 'the server closed the stream'
      this.finish({ by: 'plane', closeCode, ...(closeReason !== '' && { closeReason }), errorCode: 31921, text })
      this.closeTimer = setTimeout(() => this.socket.destroy(), CLOSE_MS_MAX)
    }
    this.socket.end()
  }

  onViolation(closeCode: number, text: string): void {
    this.write(closeFrame(closeCode))
    this.socket.end()
    this.closeTimer ??= setTimeout(() => this.socket.destroy(), CLOSE_MS_MAX)
    this.finish({ by: 'plane', closeCode, errorCode: 31924, text })
  }

  private announce(): void {
    this.send({ event: 'connected', protocol: 'Call', version: '1.0.0' })
    this.start()
  }

  private start(): void {
    const { accountSid, callSid, streamSid, customParameters } = this.identity
    if (this.faults.omitStart === true) this.sequence++
    else {
      const mediaFormat = { encoding: 'audio/x-mulaw', sampleRate: 8000, channels: 1 }
      const whole = { accountSid, streamSid, callSid, tracks: ['inbound'], mediaFormat, customParameters }
      const lacking = this.faults.startLacks ?? []
      const start = Object.fromEntries(Object.entries(whole).filter(([name]) => !lacking.some((one) => one === name)))
      if (lacking.includes('streamSid')) this.send({ event: 'start', sequenceNumber: String(++this.sequence), start })
      else this.sendNumbered('start', { start })
    }
    if (this.phase === 'starting') this.phase = 'live'
  }

  private takeAudio(audio: Buffer): void {
    const { record } = this
    record.mediaReceived++
    if (record.firstAudioMs === undefined) {
      record.firstAudioMs = nowMs() - record.webhookSentMs
      record.note('first-agent-audio', { ms: record.firstAudioMs })
    }
    takeProbes(audio, this.sawProbe)
    if (this.playout.push(audio)) record.agentReceivedBytes += audio.length
    else this.warnOnce(31931, 'media discarded: more than ten minutes waiting')
  }

  private takeJson(text: string): void {
    let message: { event?: unknown; streamSid?: unknown; media?: { payload?: unknown }; mark?: { name?: unknown } }
    try {
      message = JSON.parse(text)
    } catch {
      this.warnOnce(31951, 'message is not JSON')
      return
    }
    if (message === null || typeof message !== 'object') {
      this.warnOnce(31951, 'message is not an object')
      return
    }
    if (message.streamSid !== this.identity.streamSid) {
      this.warnOnce(31951, 'wrong or missing streamSid')
      return
    }
    const payload = message.media?.payload
    const name = message.mark?.name
    if (message.event === 'media' && typeof payload === 'string') this.takeAudio(Buffer.from(payload, 'base64'))
    else if (message.event === 'mark' && typeof name === 'string') this.takeMark(name)
    else if (message.event === 'clear') this.takeClear()
    else this.warnOnce(31951, `unknown or incomplete event ${String(message.event)}`)
  }

  private takeMark(name: string): void {
    this.record.marksReceived++
    const result = this.playout.mark(name)
    if (result === 'at once') this.echoMark(name)
    else if (result === 'full') this.warnOnce(31930, 'too many marks outstanding')
  }

  private takeClear(): void {
    const { record } = this
    record.clearsReceived++
    const droppedBytes = this.playout.waitingBytes
    const reactionMs = record.ear.cleared(nowMs())
    const names = this.playout.clear()
    record.note('clear-received', { atUs: nowUs(), droppedMs: droppedBytes / 8, marks: names.length, reactionMs })
    if (this.faults.clearWithoutMarks === true) return
    for (const name of names) this.echoMark(name)
  }

  private echoMark(name: string): void {
    if (this.faults.neverEchoMarks === true) return
    const echo = (): void => this.sendNumbered('mark', { mark: { name } })
    if (this.faults.markDelayMs === undefined) echo()
    else this.later(this.faults.markDelayMs, echo)
  }

  private sendBadFrames(wanted: BadFrame[]): void {
    const next = wanted[this.badFramesSent]
    const dueMs = this.openedMs + BAD_FRAMES_FROM_MS + this.badFramesSent * BAD_FRAME_EVERY_MS
    if (next === undefined || nowMs() < dueMs) return
    this.badFramesSent++
    this.write(badFrame(next, this.identity.streamSid))
    this.record.note('bad-frame-sent', { bad: next })
  }

  private later(ms: number, act: () => void): void {
    const timer = setTimeout(() => {
      this.faultTimers.delete(timer)
      if (this.phase !== 'ended') act()
    }, ms)
    this.faultTimers.add(timer)
  }

  private sendNumbered(event: string, rest: Record<string, unknown>): void {
    this.send({ event, sequenceNumber: String(++this.sequence), streamSid: this.identity.streamSid, ...rest })
  }

  private send(message: Record<string, unknown>): void {
    this.write(maskedFrame(TEXT, Buffer.from(JSON.stringify(message))))
  }

  private write(frame: Buffer): void {
    if (this.socket.writable) this.socket.write(frame)
  }

  private warnOnce(code: number, text: string): void {
    if (this.once.has(code)) return
    this.once.add(code)
    this.record.warn(code, text)
  }

  private finish(end: StreamEnd): void {
    if (this.phase === 'ended') return
    this.phase = 'ended'
    for (const timer of this.faultTimers) clearTimeout(timer)
    if (end.errorCode !== undefined) this.record.warn(end.errorCode, end.text)
    this.record.ear.silent(nowMs())
    this.heard.end(nowMs())
    this.resolveEnded(end)
  }
}
