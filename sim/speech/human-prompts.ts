// Recorded human prompts, when Debian's asterisk-core-sounds-en-wav is installed (CC-BY-SA, so not part of this repository). Rules:
// H1: only files that exist and last MIN_MS..MAX_MS are taken; a broken one is left out.
// H2: the text beside a file is what its name stands for; the exact wording of the recording may differ by a word.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { encodeUlaw } from './g711.ts'
import { to8k } from './resample.ts'
import { readWav } from './wav.ts'

/** Where the Debian package puts the voice. */
const HUMAN_PROMPTS_DIR = '/usr/share/asterisk/sounds/en_US_f_Allison'

const MIN_MS = 900
const MAX_MS = 4_200

const PROMPTS: readonly (readonly [file: string, text: string])[] = [
  ['hello-world', 'Hello world.'],
  ['check-number-dial-again', 'Please check the number and dial again.'],
  ['sorry-youre-having-problems', "I'm sorry you're having problems."],
  ['one-moment-please', 'One moment please.'],
  ['please-try-call-later', 'Please try your call again later.'],
  ['vm-nobodyavail', 'Nobody is available to take your call at the moment.'],
  ['something-terribly-wrong', 'Something is terribly wrong.'],
  ['queue-thankyou', 'Thank you for your patience.'],
  ['cannot-complete-as-dialed', 'Your call cannot be completed as dialled.'],
  ['please-try-again', 'Please try again.'],
  ['number-not-answering', 'That number is not answering.'],
  ['feature-not-avail-line', 'That feature is not available on this line.'],
]

/** One prompt as 8 kHz µ-law. */
export type HumanPrompt = { name: string; text: string; ulaw: Buffer }

/** The prompts found in `folder`; none when the package is not installed. */
export async function readHumanPrompts(folder: string = HUMAN_PROMPTS_DIR): Promise<HumanPrompt[]> {
  const read = await Promise.all(PROMPTS.map(([name, text]) => readPrompt(folder, name, text)))
  return read.filter((prompt) => prompt !== undefined)
}

async function readPrompt(folder: string, name: string, text: string): Promise<HumanPrompt | undefined> {
  try {
    const sound = readWav(await readFile(join(folder, `${name}.wav`)))
    const ulaw = encodeUlaw(to8k(sound.samples, sound.rateHz))
    const ms = ulaw.length / 8
    return ms >= MIN_MS && ms <= MAX_MS ? { name, text, ulaw } : undefined
  } catch {
    return undefined
  }
}
