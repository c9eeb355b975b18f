// The caller's telephone: every 20 ms it hears one frame and says one.
// Y1: a silent caller still sends a frame of silence, as long as a stream is open.
// Y2: with probing on, every 25th frame of every second 100 is a probe in place of what the caller would have said. A probe is loud; in
//     the two seconds between, a caller who is silent is silent for the plane too.
// Y3: a caller with patience of its own does not count ticks that are made up for after this process was held up (STALL_MS): as much as
//     it was held up, whoever answers was held up too.

import type { CallRecord } from '../report.ts'
import { type ClipFrames, FRAME_BYTES, SILENCE } from '../wire/clip-frames.ts'
import { isProbeDue, probeFrame } from '../wire/probe.ts'
import { Recording } from './recording.ts'
import { type CallerActs, type CallerScript, ScriptRunner } from './script.ts'
import type { MediaStream } from './stream.ts'
import type { Leg, Wheel } from './wheel.ts'

/** Ticks later than this belong to a stall. */
const STALL_MS = 60
const TICK_MS = 20

export class CallerLeg implements Leg {
  readonly lateness: CallRecord['lateness']
  stream: MediaStream | undefined
  /** Streams of one way, beside the conversation. */
  forks: { name: string; stream: MediaStream }[] = []
  private readonly script: ScriptRunner
  private readonly recording: Recording | undefined
  private readonly record: CallRecord
  private readonly isProbing: boolean
  private readonly wheel: Wheel
  private readonly patience: 'own' | 'wall'
  private hasSounded = false
  /** The time of the script, in ms. */
  private clockMs = 0

  constructor(
    wheel: Wheel,
    record: CallRecord,
    caller: CallerScript,
    acts: CallerActs,
    wants: { probe: boolean; recording: boolean; patience: 'own' | 'wall' },
  ) {
    this.wheel = wheel
    this.record = record
    this.lateness = record.lateness
    this.isProbing = wants.probe
    this.patience = wants.patience
    this.recording = wants.recording ? new Recording() : undefined
    this.script = new ScriptRunner(caller, record.ear, acts)
  }

  start(): void {
    this.wheel.add(this)
  }

  stop(): void {
    this.wheel.remove(this)
  }

  tick(dueMs: number, atMs: number): void {
    const stream = this.stream?.isLive === true ? this.stream : undefined
    stream?.playTick(atMs)
    if (this.patience === 'wall') this.clockMs = atMs
    else if (atMs - dueMs <= STALL_MS) this.clockMs += TICK_MS
    this.script.tick(atMs, stream !== undefined || this.forks.length > 0, this.clockMs)
    if (stream === undefined && this.forks.length === 0) {
      this.recording?.add(undefined, 0, undefined)
      return
    }
    let frames: ClipFrames = this.script.sounding ?? SILENCE
    let index = this.script.sounding === undefined ? 0 : this.script.frameIndex
    this.noteSpeech()
    const sent = stream?.framesSent ?? this.forks[0]!.stream.framesSent
    if (this.isProbing && isProbeDue(sent)) {
      frames = probeFrame(this.record.call, sent)
      index = 0
      this.record.probesSent++
    }
    if (
      stream !== undefined &&
      index >= frames.firstAudible &&
      index <= frames.speechEnd &&
      frames === this.script.sounding
    )
      this.record.framesSpoken++
    stream?.sendFrame(frames, index)
    for (const fork of this.forks) if (fork.stream.isLive) fork.stream.sendFrame(frames, index)
    const heard = stream !== undefined && stream.playout.takenBytes > 0 ? stream.playout.frame : undefined
    this.recording?.add(frames.ulaw, index * FRAME_BYTES, heard)
  }

  /** Writes the recording when one was wanted. */
  async save(path: string): Promise<void> {
    await this.recording?.save(path)
  }

  private noteSpeech(): void {
    const sounding = this.script.sounding
    if (sounding !== undefined && !this.hasSounded) this.record.note('caller-speech', { clip: sounding.name })
    if (this.hasSounded && sounding === undefined) this.record.note('caller-silent')
    this.hasSounded = sounding !== undefined
  }
}
