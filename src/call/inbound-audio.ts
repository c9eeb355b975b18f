// The caller's voice on its way in: kept while the model cannot hear, then straight through. Rules:
// EA1: at most EARLY_FRAMES_MAX frames (2 s) are kept, in order; beyond it the oldest is dropped and counted.
// EA2: a frame whose time is not after the last one's is dropped and counted: a duplicate, or out of order.
// EA3: a gap in the carrier's time stamps is filled with silence, at most GAP_FILL_MAX_MS: the model's clock is the audio.
// EA6: a time stamp that does not follow the last one (not after it, or more than GAP_FILL_MAX_MS later) is not believed alone: its frame is dropped and
//      counted. RESET_FRAMES of them in a row that follow each other say that the carrier has set its clock anew: it is followed from there, and counted.
// EA4: when what the model was given sounds like speech (audio/loudness.ts), its session is told so, whatever the model has said of it.
// EA5: while the caller is thought to speak, it listens for how long they have been quiet (audio/quiet.ts).
import { Loudness } from '../audio/loudness.ts'
import { Quiet } from '../audio/quiet.ts'
import type { Clock } from '../kit/clock.ts'
import type { Wheel, WheelTimer } from '../kit/wheel.ts'
import type { CallMeter } from './meter.ts'
import type { ModelSession } from './ports.ts'

export const EARLY_FRAMES_MAX = 100
export const GAP_FILL_MAX_MS = 10_000
const FRAME_MS = 20
/** 100 ms. */
export const RESET_FRAMES = 5
const WATCH_EVERY_MS = 1_000
/** The caller is thought to speak but no media comes: so much silence ends his turn. */
const SPEECH_GAP_MS = 750
/** One frame in so many is timed. */
const ADDED_SAMPLE = 64

/** What inbound audio needs of the model. */
type Hearer = Pick<ModelSession, 'appendAudio' | 'appendSilence' | 'callerSeemsLoud'>

export class InboundAudio {
  readonly #model: Hearer
  readonly #meter: CallMeter
  readonly #clock: Clock
  readonly #loudness = new Loudness()
  /** There only while the caller is thought to speak. */
  #quiet: Quiet | undefined
  #early: Buffer[] = []
  #isOpen = false
  #lastTimestampMs = -FRAME_MS
  /** Frames in a row that follow each other and not the last one that was believed. */
  #strays = { count: 0, lastMs: 0 }
  #hasHeard = false
  /** When `silentMs` last saw that media had come. */
  #lastMediaMs: number
  #sample = 0
  #watchTimer: WheelTimer | undefined
  #wheel: Wheel | undefined

  constructor(model: Hearer, meter: CallMeter, clock: Clock) {
    this.#model = model
    this.#meter = meter
    this.#clock = clock
    this.#lastMediaMs = clock.monotonicMs()
  }

  get isOpen(): boolean {
    return this.#isOpen
  }

  /** Up to where the caller's media has come, in ms since the stream began. */
  get heardToMs(): number {
    return this.#lastTimestampMs
  }

  /** One frame: base64 text in `buffer[start..end)`, `timestampMs` since the stream began. */
  hear(buffer: Buffer, start: number, end: number, timestampMs: number): void {
    if (!this.#follows(this.#lastTimestampMs, timestampMs) && !this.#isReset(timestampMs)) {
      this.#meter.frameDropped('out-of-order')
      return
    }
    this.#strays.count = 0
    const gapMs = timestampMs - this.#lastTimestampMs - FRAME_MS
    this.#lastTimestampMs = timestampMs
    this.#hasHeard = true
    if (!this.#isOpen) {
      this.#keep(Buffer.from(buffer.subarray(start, end)))
      return
    }
    if (gapMs >= FRAME_MS) this.#model.appendSilence(Math.min(gapMs, GAP_FILL_MAX_MS))
    this.#append(buffer, start, end)
  }

  #follows(lastMs: number, timestampMs: number): boolean {
    return timestampMs > lastMs && timestampMs - lastMs - FRAME_MS <= GAP_FILL_MAX_MS
  }

  /** [EA6] */
  #isReset(timestampMs: number): boolean {
    const { count, lastMs } = this.#strays
    const strays = count > 0 && this.#follows(lastMs, timestampMs) ? count + 1 : 1
    this.#strays = { count: strays, lastMs: timestampMs }
    if (strays < RESET_FRAMES) return false
    this.#meter.count('limit', 'carrier-clock-reset')
    return true
  }

  /** The model can hear (what was kept goes first, in order), or cannot any more. True when that is a change. */
  set(isOpen: boolean): boolean {
    if (isOpen === this.#isOpen) return false
    this.#isOpen = isOpen
    if (!isOpen) return true
    const frames = this.#early
    this.#early = []
    for (const frame of frames) this.#append(frame, 0, frame.length)
    return true
  }

  /** For how long nothing was heard of the turn that is under way, in ms of audio. */
  get quietMs(): number {
    return this.#quiet?.ms ?? 0
  }

  /** The caller is thought to speak, or not any more. */
  attend(isSpeaking: boolean): void {
    if (!isSpeaking) this.#quiet = undefined
    else this.#quiet ??= new Quiet()
  }

  /** How long no media has come, in ms, seen from one question to the next. */
  silentMs(): number {
    const nowMs = this.#clock.monotonicMs()
    if (this.#hasHeard) this.#lastMediaMs = nowMs
    this.#hasHeard = false
    return nowMs - this.#lastMediaMs
  }

  /** Looks once a second, from now on, whether the caller's media still comes. */
  watch(wheel: Wheel, by: { silentMaxMs: number; isCallerSpeaking(): boolean; onSilent(): void }): void {
    this.#wheel = wheel
    this.#watchTimer = wheel.after(WATCH_EVERY_MS, () => {
      const silentMs = this.silentMs()
      if (silentMs > by.silentMaxMs) {
        by.onSilent()
        return
      }
      if (silentMs > SPEECH_GAP_MS && by.isCallerSpeaking() && this.#isOpen) this.#model.appendSilence(WATCH_EVERY_MS)
      this.watch(wheel, by)
    })
  }

  /** Forgets what is kept, and watches no more. */
  close(): void {
    this.#wheel?.cancel(this.#watchTimer)
    this.#isOpen = false
    this.#early = []
  }

  #keep(frame: Buffer): void {
    this.#early.push(frame)
    if (this.#early.length <= EARLY_FRAMES_MAX) return
    this.#early.shift()
    this.#meter.frameDropped('early')
  }

  #append(buffer: Buffer, start: number, end: number): void {
    this.#meter.frameReceived()
    this.#quiet?.hear(buffer, start, end)
    this.#give(buffer, start, end)
    if (this.#loudness.hear(buffer, start, end)) this.#model.callerSeemsLoud()
  }

  #give(buffer: Buffer, start: number, end: number): void {
    this.#sample = (this.#sample + 1) % ADDED_SAMPLE
    if (this.#sample !== 0) {
      this.#model.appendAudio(buffer, start, end)
      return
    }
    const readAtMs = this.#clock.monotonicMs()
    this.#model.appendAudio(buffer, start, end)
    this.#meter.added('inbound', this.#clock.monotonicMs() - readAtMs)
  }
}
