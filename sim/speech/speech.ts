// The speech kit: real audible speech for the simulators, 8 kHz µ-law. Rules:
// K1: callers speak human prompts when enough are installed, else synthesised sentences; a clip says which.
// K2: the same text and voice is synthesised once: memory, then disk, then flite; requests in flight are shared.
// K3: memory keeps CLIPS_MAX clips; the least recently used goes first (it is still on disk).
import { join } from 'node:path'
import { ClipStore } from './clip-store.ts'
import { encodeUlaw } from './g711.ts'
import { type HumanPrompt, readHumanPrompts } from './human-prompts.ts'
import { speechEndMs } from './loudness.ts'
import { to8k } from './resample.ts'
import { Synthesiser } from './synthesiser.ts'
import { readWav } from './wav.ts'

const CLIPS_MAX = 1_024
const TEXT_CHARS_MAX = 2_000
const CALLER_CLIPS_MIN = 8
const VOICES = ['slt', 'rms', 'awb', 'kal'] as const

/** A flite voice. */
type Voice = (typeof VOICES)[number]

/** Sound of one utterance: 8 kHz µ-law, `ms` long, audible until `speechEndMs`. */
export type Clip = {
  name: string
  text: string
  ulaw: Buffer
  ms: number
  speechEndMs: number
  source: 'human' | 'synthesised'
}

type SpeechOptions = {
  /** Folder of the disk cache; `.data/speech` under the current directory by default. */
  cacheDir?: string
  /** Folder of the human prompts; where Debian's package puts them by default. */
  humanDir?: string
}

export type Speech = {
  /** At least 8 varied prompts of about 1 to 4 s for a caller to say. */
  callerClips(): Clip[]
  /** Speech of `text`; from the cache when it was said before. */
  say(text: string, voice?: Voice): Promise<Clip>
  /** Ends the synthesis thread. Idempotent. */
  close(): Promise<void>
}

const CALLER_SENTENCES: readonly (readonly [name: string, voice: Voice, text: string])[] = [
  ['appointment', 'rms', 'Hello, I would like to make an appointment please.'],
  ['thursday', 'awb', 'Do you have anything free on Thursday morning?'],
  ['yes-please', 'rms', 'Yes please, that works for me.'],
  ['opening-hours', 'slt', 'Could you tell me your opening hours?'],
  ['reference', 'awb', 'I have a reference number here if you need it.'],
  ['speak-up', 'rms', 'Sorry, could you say that again a little slower?'],
  ['thank-you', 'slt', 'Thank you very much, goodbye.'],
  ['price', 'awb', 'How much does a check up cost these days?'],
  ['reschedule', 'rms', 'I need to move my appointment to next week.'],
  ['parking', 'slt', 'Is there any parking near the front door?'],
]

/** Opens the kit: reads the human prompts, or synthesises the caller's sentences (a few seconds, the first time only). */
export async function openSpeech(options: SpeechOptions = {}): Promise<Speech> {
  const store = new ClipStore(options.cacheDir ?? join(process.cwd(), '.data', 'speech'))
  const synthesiser = new Synthesiser()
  const clips = new Map<string, Promise<Clip>>()

  const say = (text: string, voice: Voice = 'slt'): Promise<Clip> => {
    if (text.trim() === '') return Promise.reject(new Error('there is no text to say'))
    if (text.length > TEXT_CHARS_MAX) return Promise.reject(new Error(`text is over ${TEXT_CHARS_MAX} characters`))
    if (!VOICES.includes(voice)) return Promise.reject(new Error(`no voice ${voice}: have ${VOICES.join(', ')}`))
    const key = `${voice}|${text}`
    const known = clips.get(key)
    const clip = known ?? makeClip(store, synthesiser, text, voice)
    clips.delete(key)
    clips.set(key, clip)
    if (known === undefined) clip.catch(() => clips.delete(key))
    if (clips.size > CLIPS_MAX) clips.delete(clips.keys().next().value!)
    return clip
  }

  try {
    const callers = await openCallerClips(say, options.humanDir)
    return { callerClips: () => [...callers], say, close: () => synthesiser.close() }
  } catch (error) {
    await synthesiser.close()
    throw error
  }
}

async function openCallerClips(say: Speech['say'], humanDir: string | undefined): Promise<Clip[]> {
  const human = (await readHumanPrompts(humanDir)).map(asClip)
  if (human.length >= CALLER_CLIPS_MIN) return human
  const made = CALLER_SENTENCES.map(async ([name, voice, text]) => ({ ...(await say(text, voice)), name }))
  return [...human, ...(await Promise.all(made))]
}

async function makeClip(store: ClipStore, synthesiser: Synthesiser, text: string, voice: Voice): Promise<Clip> {
  const kept = await store.read(text, voice)
  const ulaw = kept ?? (await synthesise(synthesiser, text, voice))
  if (kept === undefined) await store.write(text, voice, ulaw)
  return describe({ name: text.slice(0, 40), text, ulaw }, 'synthesised')
}

async function synthesise(synthesiser: Synthesiser, text: string, voice: Voice): Promise<Buffer> {
  const sound = readWav(await synthesiser.speak(text, voice))
  return encodeUlaw(to8k(sound.samples, sound.rateHz))
}

function asClip(prompt: HumanPrompt): Clip {
  return describe(prompt, 'human')
}

function describe(prompt: HumanPrompt, source: Clip['source']): Clip {
  return { ...prompt, ms: prompt.ulaw.length / 8, speechEndMs: speechEndMs(prompt.ulaw), source }
}
