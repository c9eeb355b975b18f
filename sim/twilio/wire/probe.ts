// Probe frames: how the witnesses of one machine measure latency through the plane.
// P1: 160 bytes of µ-law: magic "VPPROBE1", u64be monotonic µs at writing, u32be call number, u32be frame number, then 0xFF.
// P2: a received probe is blanked to silence, so it never counts as audible sound.
// P3: a probe whose first 24 bytes are split over two messages is not seen; nothing else is lost by it.

import { ClipFrames, FRAME_BYTES, FRAME_MS } from './clip-frames.ts'
import { nowUs } from './clock.ts'

const MAGIC = Buffer.from('VPPROBE1')
const PROBE_HEAD_BYTES = 24
const PROBE_EVERY_FRAMES = 25
const PROBES_PAUSE_FRAMES = 100

/** Whether frame `frameNumber` of a stream is a probe: each PROBE_EVERY_FRAMES, in every second stretch of PROBES_PAUSE_FRAMES. */
export function isProbeDue(frameNumber: number): boolean {
  const isPause = Math.floor(frameNumber / PROBES_PAUSE_FRAMES) % 2 === 1
  return !isPause && frameNumber % PROBE_EVERY_FRAMES === PROBE_EVERY_FRAMES - 1
}

/** A probe as one frame, stamped with the present. */
export function probeFrame(callNumber: number, frameNumber: number): ClipFrames {
  const ulaw = Buffer.alloc(FRAME_BYTES, 0xff)
  MAGIC.copy(ulaw)
  ulaw.writeBigUInt64BE(BigInt(nowUs()), 8)
  ulaw.writeUInt32BE(callNumber >>> 0, 16)
  ulaw.writeUInt32BE(frameNumber >>> 0, 20)
  return new ClipFrames({ name: 'probe', ulaw, ms: FRAME_MS, speechEndMs: 0 })
}

/** Calls `found` with the age in µs of each probe in the audio, and blanks it. */
export function takeProbes(audio: Buffer, found: (latencyUs: number, frameNumber: number) => void): void {
  let at = audio.indexOf(MAGIC)
  if (at < 0) return
  const now = nowUs()
  while (at >= 0 && at + PROBE_HEAD_BYTES <= audio.length) {
    found(now - Number(audio.readBigUInt64BE(at + 8)), audio.readUInt32BE(at + 20))
    audio.fill(0xff, at, at + PROBE_HEAD_BYTES)
    at = audio.indexOf(MAGIC, at + PROBE_HEAD_BYTES)
  }
}
