// A queue of bytes in blocks that are used again. Audio lives for seconds: as buffers of its own it would grow old on
// the heap and wait for a full collection. Rules:
// BQ1: blocks come from one pool of the process; at most POOL_BLOCKS_MAX free ones are kept, the rest goes to the collector.
// BQ2: what `shift` returns is valid until the next `shift` of any queue.

export const BLOCK_BYTES = 4_096
/** 16 MiB of free blocks. */
const POOL_BLOCKS_MAX = 4_096
const OUT_BYTES = 16_384

const pool: Buffer[] = []
const out = Buffer.allocUnsafeSlow(OUT_BYTES)

export class ByteQueue {
  #blocks: Buffer[] = []
  /** Read offset in the first block, write offset in the last. */
  #readAt = 0
  #writeAt = BLOCK_BYTES
  #length = 0

  get length(): number {
    return this.#length
  }

  /** Copies `bytes` in. */
  push(bytes: Uint8Array): void {
    let at = 0
    while (at < bytes.length) {
      if (this.#writeAt === BLOCK_BYTES) {
        this.#blocks.push(pool.pop() ?? Buffer.allocUnsafeSlow(BLOCK_BYTES))
        this.#writeAt = 0
      }
      const count = Math.min(bytes.length - at, BLOCK_BYTES - this.#writeAt)
      this.#blocks[this.#blocks.length - 1]!.set(bytes.subarray(at, at + count), this.#writeAt)
      this.#writeAt += count
      at += count
    }
    this.#length += bytes.length
  }

  /** Takes up to `wanted` bytes (at most 16 KiB) off the front (BQ2). */
  shift(wanted: number): Buffer {
    const count = Math.min(wanted, this.#length, OUT_BYTES)
    let done = 0
    while (done < count) {
      const first = this.#blocks[0]!
      const part = Math.min(count - done, BLOCK_BYTES - this.#readAt)
      first.copy(out, done, this.#readAt, this.#readAt + part)
      this.#readAt += part
      done += part
      if (this.#readAt === BLOCK_BYTES) this.#release()
    }
    this.#length -= count
    if (this.#length === 0) this.clear()
    return out.subarray(0, count)
  }

  /** Forgets everything and gives the blocks back. */
  clear(): void {
    while (this.#blocks.length > 0) this.#release()
    this.#writeAt = BLOCK_BYTES
    this.#length = 0
  }

  #release(): void {
    const block = this.#blocks.shift()!
    this.#readAt = 0
    if (pool.length < POOL_BLOCKS_MAX) pool.push(block)
  }
}
