// Probe frames: 160 µ-law bytes that carry the time they were written, for measuring latency and loss on one machine.
// Bytes 0-7 "VPPROBE1", 8-15 monotonic µs, 16-19 call number, 20-23 frame number (all big-endian), then silence.

import { ULAW_SILENCE } from '../../speech/g711.ts'

const MAGIC = Buffer.from('VPPROBE1', 'latin1')
const PROBE_BYTES = 160

/** What a probe frame says. */
type Probe = { sentUs: number; call: number; frame: number }

/** The call number of a stream whose call is not known. */
export const UNKNOWN_CALL = 0xffffffff

/** Whether the frame at `from` is a probe. */
export function isProbe(bytes: Buffer, from: number): boolean {
  return bytes[from] === 0x56 && bytes[from + 1] === 0x50 && bytes.compare(MAGIC, 0, 8, from, from + 8) === 0
}

/** Reads the probe at `from`. */
export function readProbe(bytes: Buffer, from: number): Probe {
  const sentUs = bytes.readUInt32BE(from + 8) * 0x1_0000_0000 + bytes.readUInt32BE(from + 12)
  return { sentUs, call: bytes.readUInt32BE(from + 16), frame: bytes.readUInt32BE(from + 20) }
}

/** A probe frame. */
export function writeProbe(probe: Probe): Buffer {
  const frame = Buffer.alloc(PROBE_BYTES, ULAW_SILENCE)
  MAGIC.copy(frame, 0)
  frame.writeUInt32BE(Math.floor(probe.sentUs / 0x1_0000_0000), 8)
  frame.writeUInt32BE(probe.sentUs % 0x1_0000_0000, 12)
  frame.writeUInt32BE(probe.call, 16)
  frame.writeUInt32BE(probe.frame, 20)
  return frame
}
