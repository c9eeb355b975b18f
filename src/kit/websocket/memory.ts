// The memory that frames pass through: one buffer that all sockets read into, one scratch that frames are built in, and
// a pool of random bytes for masks. Each has a view, so that four bytes are handled at a time. Rules:
// MM1: what was read is valid until the next read; a frame in the scratch is valid until the next frame is begun.
// MM2: a scratch whose frame could not go out at once is given up to it; a new one takes its place.
// MM3: no mask is used twice.
import { randomFillSync } from 'node:crypto'

const READ_BYTES = 65_536
const SCRATCH_BYTES = 8_192
const MASK_POOL_BYTES = 16_384

/** What all sockets read into. */
export const READ = withView(Buffer.allocUnsafeSlow(READ_BYTES))

let scratch = withView(Buffer.allocUnsafeSlow(SCRATCH_BYTES))
/** The scratch as long as the last frame was: most frames of a call are of one length. */
let scratchFrame = scratch.bytes
const masks = withView(Buffer.allocUnsafeSlow(MASK_POOL_BYTES))
let maskOffset = MASK_POOL_BYTES

function withView(bytes: Buffer): { bytes: Buffer; view: DataView } {
  return { bytes, view: new DataView(bytes.buffer, bytes.byteOffset, bytes.length) }
}

/** A view of `buffer`, from its first byte; made only when the buffer is not one of the two above. */
export function viewOf(buffer: Buffer): DataView {
  if (buffer === READ.bytes) return READ.view
  if (buffer === scratchFrame) return scratch.view
  return new DataView(buffer.buffer, buffer.byteOffset, buffer.length)
}

/** Memory for one frame: the scratch, or its own when it is long. */
export function frameOf(frameBytes: number): Buffer {
  if (scratchFrame.length === frameBytes) return scratchFrame
  if (frameBytes > SCRATCH_BYTES) return Buffer.allocUnsafe(frameBytes)
  scratchFrame = scratch.bytes.subarray(0, frameBytes)
  return scratchFrame
}

/** `frame` is not out yet (MM2). */
export function giveUp(frame: Buffer): void {
  if (frame !== scratchFrame) return
  scratch = withView(Buffer.allocUnsafeSlow(SCRATCH_BYTES))
  scratchFrame = scratch.bytes
}

/** Four fresh random bytes, as one little-endian number. */
export function freshMask(): number {
  if (maskOffset >= MASK_POOL_BYTES) {
    randomFillSync(masks.bytes)
    maskOffset = 0
  }
  maskOffset += 4
  return masks.view.getInt32(maskOffset - 4, true)
}

/** XORs `buffer[start..end)` with `mask` (four bytes as one little-endian number), the first byte with its lowest. */
export function applyMask(buffer: Buffer, start: number, end: number, mask: number): void {
  const view = viewOf(buffer)
  let i = start
  for (; i + 4 <= end; i += 4) view.setInt32(i, view.getInt32(i, true) ^ mask, true)
  for (let shift = 0; i < end; i += 1, shift += 8) view.setUint8(i, view.getUint8(i) ^ (mask >>> shift))
}
