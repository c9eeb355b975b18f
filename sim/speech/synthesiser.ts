// Text to WAV by flite in a thread of its own, so that the caller's event loop never stalls. Rules:
// S1: at most QUEUE_MAX utterances wait; beyond it `speak` rejects.
// S2: the thread is started by the first request, ends after IDLE_MS without one, and never keeps the process alive by itself.
// S3: an utterance takes at most UTTERANCE_MS; then it rejects and the thread is replaced.
// S4: a thread that dies rejects what it owed; the next request starts another.
import { Worker } from 'node:worker_threads'
import type { Uttered } from './flite-thread.ts'

const QUEUE_MAX = 256
const IDLE_MS = 5_000
const UTTERANCE_MS = 60_000

type Owed = { resolve: (wav: Buffer) => void; reject: (error: Error) => void; timer: NodeJS.Timeout }

export class Synthesiser {
  #thread: Worker | undefined
  #idle: NodeJS.Timeout | undefined
  #isClosed = false
  #nextId = 1
  readonly #owed = new Map<number, Owed>()

  /** A WAV file of `text` in a flite voice (slt, rms, awb, kal). */
  speak(text: string, voice: string): Promise<Buffer> {
    if (this.#isClosed) return Promise.reject(new Error('the synthesiser is closed'))
    if (this.#owed.size >= QUEUE_MAX) return Promise.reject(new Error(`more than ${QUEUE_MAX} utterances wait`))
    clearTimeout(this.#idle)
    const thread = this.#thread ?? this.#start()
    const id = this.#nextId++
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#lose(thread, new Error('flite took too long')), UTTERANCE_MS)
      this.#owed.set(id, { resolve, reject, timer })
      thread.ref() // a wanted answer keeps the process alive, an idle thread does not
      thread.postMessage({ id, text, voice })
    })
  }

  /** Ends the thread; what it owed rejects. */
  async close(): Promise<void> {
    this.#isClosed = true
    clearTimeout(this.#idle)
    const thread = this.#thread
    if (thread !== undefined) this.#lose(thread, new Error('the synthesiser was closed'))
    await thread?.terminate()
  }

  #start(): Worker {
    const thread = new Worker(new URL('./flite-thread.ts', import.meta.url))
    this.#thread = thread
    thread.on('message', (uttered: Uttered) => this.#settle(thread, uttered))
    thread.on('error', (error) => this.#lose(thread, error instanceof Error ? error : new Error(String(error))))
    thread.on('exit', () => this.#lose(thread, new Error('the flite thread ended')))
    return thread
  }

  #settle(thread: Worker, uttered: Uttered): void {
    const owed = this.#owed.get(uttered.id)
    if (owed === undefined) return
    this.#owed.delete(uttered.id)
    clearTimeout(owed.timer)
    if ('error' in uttered) owed.reject(new Error(uttered.error))
    else owed.resolve(Buffer.from(uttered.wav.buffer, uttered.wav.byteOffset, uttered.wav.byteLength))
    if (this.#owed.size > 0) return
    thread.unref()
    this.#idle = setTimeout(() => this.#lose(thread, new Error('idle')), IDLE_MS).unref()
  }

  #lose(thread: Worker, reason: Error): void {
    if (this.#thread !== thread) return
    this.#thread = undefined
    const owed = [...this.#owed.values()]
    this.#owed.clear()
    for (const { reject, timer } of owed) {
      clearTimeout(timer)
      reject(reason)
    }
    void thread.terminate()
  }
}
