// One file out of a ZIP archive in memory, without a program for it: the machine may have none. Rules:
// ZI1: the central directory is what counts; sizes come from there.
// ZI2: stored and deflated entries only; anything else is an error.
import { inflateRawSync } from 'node:zlib'

const END_MARK = 0x06054b50
const ENTRY_MARK = 0x02014b50
const END_BYTES = 22
const COMMENT_BYTES_MAX = 65_535
const ENTRY_BYTES_MAX = 300_000_000

/** The bytes of the entry `name`. */
export function readZip(zip: Buffer, name: string): Buffer {
  const end = findEnd(zip)
  let at = zip.readUInt32LE(end + 16)
  for (let left = zip.readUInt16LE(end + 10); left > 0; left -= 1) {
    if (zip.readUInt32LE(at) !== ENTRY_MARK) throw new Error('the archive has a damaged directory')
    const nameBytes = zip.readUInt16LE(at + 28)
    const entryName = zip.toString('utf8', at + 46, at + 46 + nameBytes)
    if (entryName === name) return readEntry(zip, at)
    at += 46 + nameBytes + zip.readUInt16LE(at + 30) + zip.readUInt16LE(at + 32)
  }
  throw new Error(`the archive has no ${name}`)
}

function findEnd(zip: Buffer): number {
  const first = Math.max(0, zip.length - END_BYTES - COMMENT_BYTES_MAX)
  for (let at = zip.length - END_BYTES; at >= first; at -= 1) {
    if (zip.readUInt32LE(at) === END_MARK) return at
  }
  throw new Error('this is no ZIP archive')
}

function readEntry(zip: Buffer, at: number): Buffer {
  const method = zip.readUInt16LE(at + 10)
  const packedBytes = zip.readUInt32LE(at + 20)
  const bytes = zip.readUInt32LE(at + 24)
  const local = zip.readUInt32LE(at + 42)
  if (bytes > ENTRY_BYTES_MAX) throw new Error(`an entry of ${bytes} bytes is too large`)
  const start = local + 30 + zip.readUInt16LE(local + 26) + zip.readUInt16LE(local + 28)
  const packed = zip.subarray(start, start + packedBytes)
  if (method !== 0 && method !== 8) throw new Error(`method ${method} of the archive is not known`)
  const content = method === 0 ? Buffer.from(packed) : inflateRawSync(packed, { maxOutputLength: bytes })
  if (content.length !== bytes) throw new Error('an entry is shorter than the archive says')
  return content
}
