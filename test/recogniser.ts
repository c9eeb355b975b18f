// What was said in a recording, told by an independent recogniser (PocketSphinx) and by nothing of the plane. Rules:
// RC1: 8 kHz is brought to 16 kHz by repeating each sample: the mirror image fills the band that the recogniser expects.
// RC2: a grammar forces an answer, so the true sentence stands among decoys of about its length.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'

const PROGRAM = '/usr/bin/pocketsphinx_continuous'
const RUN_MAX_MS = 20_000
const HEAD_BYTES = 44
/** Sound below this amplitude is silence. */
const SILENCE_MAX = 200
const PAUSE_MS = 900
const SAMPLES_PER_MS = 8

export const DECOYS: readonly string[] = [
  'goodbye and thank you for calling us today',
  'please leave a message after the tone',
  'your balance is forty two dollars and ten cents',
  'the weather will be sunny tomorrow in the afternoon',
  'all of our agents are busy at the moment',
  'your order leaves the depot on monday morning',
]

/** The utterances of the right channel of a stereo WAV of 8 kHz: pieces of sound between pauses of PAUSE_MS. */
export async function agentUtterances(stereoWav: string): Promise<Int16Array[]> {
  const wav = await readFile(stereoWav)
  assert.equal(wav.readUInt32LE(24), 8_000, 'the recording is not of 8 kHz')
  assert.equal(wav.readUInt16LE(22), 2, 'the recording is not stereo')
  const right = new Int16Array(Math.floor((wav.length - HEAD_BYTES) / 4))
  for (let i = 0; i < right.length; i += 1) right[i] = wav.readInt16LE(HEAD_BYTES + i * 4 + 2)
  const utterances: Int16Array[] = []
  let first = -1
  let last = -1
  for (let i = 0; i <= right.length; i += 1) {
    const isOver = i === right.length || i - last > PAUSE_MS * SAMPLES_PER_MS
    if (first >= 0 && isOver) {
      const margin = 250 * SAMPLES_PER_MS
      utterances.push(right.slice(Math.max(0, first - margin), Math.min(right.length, last + margin)))
      first = -1
    }
    if (i === right.length || Math.abs(right[i]!) <= SILENCE_MAX) continue
    if (first < 0) first = i
    last = i
  }
  return utterances
}

/** The one of `sentences` that the recogniser hears in `sound`; files are left in `folder`. */
export async function recognise(sound: Int16Array, sentences: readonly string[], folder: string): Promise<string> {
  assert.ok(existsSync(PROGRAM), 'pocketsphinx is missing: run `node tools/setup.ts test`')
  const [wav, grammar] = [join(folder, 'heard.wav'), join(folder, 'heard.gram')]
  await writeFile(wav, repeatedTo16k(sound))
  const rule = sentences.map(plainWords).join(' | ')
  await writeFile(grammar, `#JSGF V1.0;\ngrammar heard;\npublic <heard> = ${rule};\n`)
  const run = promisify(execFile)
  const { stdout } = await run(PROGRAM, ['-infile', wav, '-jsgf', grammar, '-logfn', '/dev/null'], {
    timeout: RUN_MAX_MS,
  })
  return stdout
    .trim()
    .split(/\s*\n\s*/)
    .join(' ')
}

/** A sentence as the recogniser spells it. */
export function plainWords(sentence: string): string {
  return sentence
    .toLowerCase()
    .replace(/[^a-z' ]/g, '')
    .replace(/ +/g, ' ')
    .trim()
}

function repeatedTo16k(sound: Int16Array): Buffer {
  const bytes = sound.length * 4
  const out = Buffer.alloc(HEAD_BYTES + bytes)
  out.write('RIFF', 0, 'latin1')
  out.writeUInt32LE(HEAD_BYTES - 8 + bytes, 4)
  out.write('WAVEfmt ', 8, 'latin1')
  out.writeUInt32LE(16, 16)
  out.writeUInt16LE(1, 20)
  out.writeUInt16LE(1, 22)
  out.writeUInt32LE(16_000, 24)
  out.writeUInt32LE(32_000, 28)
  out.writeUInt16LE(2, 32)
  out.writeUInt16LE(16, 34)
  out.write('data', 36, 'latin1')
  out.writeUInt32LE(bytes, 40)
  for (let i = 0; i < sound.length; i += 1) {
    out.writeInt16LE(sound[i]!, HEAD_BYTES + i * 4)
    out.writeInt16LE(sound[i]!, HEAD_BYTES + i * 4 + 2)
  }
  return out
}
