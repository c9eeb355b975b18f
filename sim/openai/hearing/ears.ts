// What a session hears: the input audio buffer. Rules:
// B1: positions are milliseconds of appended audio since the session began; a clear does not turn them back.
// B2: sound is judged in frames of FRAME_MS, whatever the sizes of the appends; µ-law by a table of squares.
// B3: a probe frame is measured and counts for the clock, but the frame before it is judged in its place.
// B4: a probe says how many frames its sender had sent; a change of the difference to what came is a loss or an excess.
// B5: kept audio is bounded by `keepMs`; before speech only the prefix is kept.
import { ALAW_SQUARES, ULAW_SQUARES } from '../../speech/g711.ts'
import { nowUs } from '../kit/clock.ts'
import { type AudioFormat, BYTES_PER_MS } from '../voice/fragments.ts'
import { isProbe, readProbe } from './probe.ts'
import { EnergyVad } from './vad.ts'

const FRAME_MS = 20
const PROBE_FRAME_BYTES = 160

export type EarSettings = { threshold: number; silenceMs: number; prefixMs: number } | null

export type EarReports = {
  speechStarted(audioStartMs: number): void
  speechStopped(audioEndMs: number): void
  probe(seen: { latencyUs: number; call: number; frame: number; driftFrames: number; isFirst: boolean }): void
}

export class Ears {
  readonly #reports: EarReports
  readonly #keepMs: number
  readonly #vad = new EnergyVad({ threshold: 0.5, silenceMs: 500 })
  #settings: EarSettings = null
  #format: AudioFormat = 'audio/pcm'
  #frameBytes = FRAME_MS * BYTES_PER_MS['audio/pcm']
  #carry: Buffer = Buffer.alloc(this.#frameBytes)
  #carried = 0
  #power = 0
  #driftFrames: number | undefined
  #kept: Buffer[] = []
  #keptBytes = 0
  /** Bytes appended since the session began (in the format of now). */
  #streamBytes = 0
  #pendingBytes = 0
  #totalMs = 0
  appends = 0
  totalBytes = 0

  constructor(reports: EarReports, keepMs: number) {
    this.#reports = reports
    this.#keepMs = keepMs
  }

  /** Length of the appended audio, ms. */
  get positionMs(): number {
    return Math.floor(this.#totalMs)
  }

  /** Milliseconds in the buffer since the last commit or clear. */
  get pendingMs(): number {
    return this.#pendingBytes / BYTES_PER_MS[this.#format]
  }

  get isSpeaking(): boolean {
    return this.#vad.isSpeaking
  }

  /** Sets the format and, unless null, the turn detection. */
  configure(format: AudioFormat, settings: EarSettings): void {
    if (format !== this.#format) {
      this.#format = format
      this.#frameBytes = FRAME_MS * BYTES_PER_MS[format]
      this.#carry = Buffer.alloc(this.#frameBytes)
      this.#carried = 0
      this.#streamBytes = 0
      this.empty()
    }
    if (settings === null) this.#vad.reset()
    else this.#vad.set(settings)
    this.#settings = settings
  }

  /** Hears appended audio. */
  append(audio: Buffer): void {
    this.appends += 1
    this.totalBytes += audio.length
    this.#keep(audio)
    for (let at = 0; at < audio.length; ) {
      if (this.#carried === 0 && audio.length - at >= this.#frameBytes) {
        this.#frame(audio, at)
        at += this.#frameBytes
        continue
      }
      const copied = audio.copy(
        this.#carry,
        this.#carried,
        at,
        Math.min(audio.length, at + this.#frameBytes - this.#carried),
      )
      at += copied
      this.#carried += copied
      if (this.#carried < this.#frameBytes) continue
      this.#carried = 0
      this.#frame(this.#carry, 0)
    }
  }

  /** Empties the buffer without a commit. */
  empty(): void {
    this.#kept = []
    this.#keptBytes = 0
    this.#pendingBytes = 0
  }

  /** Takes what is in the buffer for an item: the kept audio. */
  take(): Buffer {
    const audio = this.#kept.length === 0 ? EMPTY : Buffer.concat(this.#kept)
    this.empty()
    return audio
  }

  #frame(bytes: Buffer, from: number): void {
    const isMeasured = this.#format === 'audio/pcmu' && isProbe(bytes, from)
    if (isMeasured) this.#measure(bytes, from)
    else if (this.#settings !== null) this.#power = power(bytes, from, this.#frameBytes, this.#format)
    this.#streamBytes += this.#frameBytes
    this.#totalMs += FRAME_MS
    if (this.#settings === null) return
    const change = this.#vad.hear(this.#power, FRAME_MS)
    if (change === 'started') {
      const heardMs = this.#totalMs - EnergyVad.startFrames * FRAME_MS
      this.#reports.speechStarted(Math.max(0, heardMs - this.#settings.prefixMs))
    } else if (change === 'stopped') this.#reports.speechStopped(this.#totalMs)
  }

  #measure(bytes: Buffer, from: number): void {
    const { sentUs, call, frame } = readProbe(bytes, from)
    const received = this.#streamBytes / PROBE_FRAME_BYTES
    const before = this.#driftFrames
    this.#driftFrames = frame - received
    const driftFrames = this.#driftFrames - (before ?? 0)
    this.#reports.probe({ latencyUs: nowUs() - sentUs, call, frame, driftFrames, isFirst: before === undefined })
  }

  #keep(audio: Buffer): void {
    this.#pendingBytes += audio.length
    if (this.#keepMs === 0) return
    this.#kept.push(Buffer.from(audio))
    this.#keptBytes += audio.length
    const isWaiting = this.#settings !== null && !this.#vad.isSpeaking
    const limitMs = isWaiting ? Math.min(this.#settings!.prefixMs + 200, this.#keepMs) : this.#keepMs
    const limit = limitMs * BYTES_PER_MS[this.#format]
    while (this.#keptBytes > limit && this.#kept.length > 1) this.#keptBytes -= this.#kept.shift()!.length
  }
}

const EMPTY = Buffer.alloc(0)

/** Mean square of one frame on the 16-bit scale. */
function power(bytes: Buffer, from: number, length: number, format: AudioFormat): number {
  let sum = 0
  if (format === 'audio/pcm') {
    for (let i = from; i < from + length; i += 2) {
      const sample = ((bytes[i]! | (bytes[i + 1]! << 8)) << 16) >> 16
      sum += sample * sample
    }
    return (sum * 2) / length
  }
  const squares = format === 'audio/pcmu' ? ULAW_SQUARES : ALAW_SQUARES
  for (let i = from; i < from + length; i++) sum += squares[bytes[i]!]!
  return sum / length
}
