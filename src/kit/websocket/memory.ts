// The memory that frames pass through: one buffer that all sockets read into, one scratch that frames are built in, and
// a pool of random bytes for masks. Each has a view, so that four bytes are handled at a time. Rules:
// MM1: what was read is valid until the next read; a frame in the scratch is valid until the next frame is begun.
// MM2: a scratch whose frame could not go out at once is given up to it; a new one takes its place.
// MM3: no mask is used twice.
import { randomFillSync } from 'node:crypto'
import { endianness } from 'node:os'

const READ_BYTES = 65_536
const SCRATCH_BYTES = 8_192
const MASK_POOL_BYTES = 16_384
const IS_LITTLE_ENDIAN = endianness() === 'LE'

/** What all sockets read into. */
export const READ = withView(Buffer.allocUnsafeSlow(READ_BYTES))

let scratch = withView(Buffer.allocUnsafeSlow(SCRATCH_BYTES))
/** The scratch as long as the last frame was: most frames of a call are of one length. */
let scratchFrame = scratch.bytes
const masks = withView(Buffer.allocUnsafeSlow(MASK_POOL_BYTES))
let maskOffset = MASK_POOL_BYTES

type Viewed = { bytes: Buffer; view: DataView; words: Int32Array }

function withView(bytes: Buffer): Viewed {
  const { buffer, byteOffset, length } = bytes
  return {
    bytes,
    view: new DataView(buffer, byteOffset, length),
    words: new Int32Array(buffer, byteOffset, length >> 2),
  }
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
  const words = (start & 3) === 0 ? wordsOf(buffer) : undefined
  if (words !== undefined) {
    // Most frames: a head of eight bytes at the beginning of their memory.
    const last = end >> 2
    for (let word = start >> 2; word < last; word += 1) words[word]! ^= mask
    i = last << 2
  }
  for (; i + 4 <= end; i += 4) view.setInt32(i, view.getInt32(i, true) ^ mask, true)
  for (let shift = 0; i < end; i += 1, shift += 8) view.setUint8(i, view.getUint8(i) ^ (mask >>> shift))
}

/** Words at the beginning of `buffer`, when it is one of the two above and the machine's words are little-endian. */
function wordsOf(buffer: Buffer): Int32Array | undefined {
  if (!IS_LITTLE_ENDIAN) return undefined
  if (buffer === READ.bytes) return READ.words
  return buffer === scratchFrame ? scratch.words : undefined
}
