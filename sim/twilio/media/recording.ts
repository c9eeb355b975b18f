// A call's stereo recording: left what the caller sent, right what was played to the caller, on one time line.
// V1: 8 kHz 16-bit PCM; a tick without a stream is silence on both sides.
// V2: at most RECORDED_FRAMES_MAX (3 hours); what comes later is not recorded.

import { writeFile } from 'node:fs/promises'
import { ULAW_SILENCE, ULAW_TO_LINEAR } from '../../speech/g711.ts'
import { FRAME_BYTES } from '../wire/clip-frames.ts'

const RECORDED_FRAMES_MAX = 3 * 3600 * 50
const BLOCK_FRAMES = 500
const HEADER_BYTES = 44
const RATE = 8000

export class Recording {
  private readonly left: Buffer[] = []
  private readonly right: Buffer[] = []
  private frames = 0

  /** Adds 20 ms; an absent side is silent. */
  add(left: Buffer | undefined, leftAt: number, right: Buffer | undefined): void {
    if (this.frames >= RECORDED_FRAMES_MAX) return
    const inBlock = this.frames % BLOCK_FRAMES
    if (inBlock === 0) {
      this.left.push(Buffer.alloc(BLOCK_FRAMES * FRAME_BYTES, ULAW_SILENCE))
      this.right.push(Buffer.alloc(BLOCK_FRAMES * FRAME_BYTES, ULAW_SILENCE))
    }
    const at = inBlock * FRAME_BYTES
    left?.copy(this.left.at(-1)!, at, leftAt, leftAt + FRAME_BYTES)
    right?.copy(this.right.at(-1)!, at, 0, FRAME_BYTES)
    this.frames++
  }

  /** Writes the WAV file. */
  async save(path: string): Promise<void> {
    const samples = this.frames * FRAME_BYTES
    const left = Buffer.concat(this.left)
    const right = Buffer.concat(this.right)
    const wav = Buffer.alloc(HEADER_BYTES + samples * 4)
    writeHeader(wav, samples)
    for (let i = 0; i < samples; i++) {
      wav.writeInt16LE(ULAW_TO_LINEAR[left[i]!]!, HEADER_BYTES + i * 4)
      wav.writeInt16LE(ULAW_TO_LINEAR[right[i]!]!, HEADER_BYTES + i * 4 + 2)
    }
    await writeFile(path, wav)
  }
}

function writeHeader(wav: Buffer, samples: number): void {
  const channels = 2
  const frameBytes = channels * 2
  wav.write('RIFF', 0, 'latin1')
  wav.writeUInt32LE(36 + samples * frameBytes, 4)
  wav.write('WAVEfmt ', 8, 'latin1')
  wav.writeUInt32LE(16, 16)
  wav.writeUInt16LE(1, 20)
  wav.writeUInt16LE(channels, 22)
  wav.writeUInt32LE(RATE, 24)
  wav.writeUInt32LE(RATE * frameBytes, 28)
  wav.writeUInt16LE(frameBytes, 32)
  wav.writeUInt16LE(16, 34)
  wav.write('data', 36, 'latin1')
  wav.writeUInt32LE(samples * frameBytes, 40)
}
