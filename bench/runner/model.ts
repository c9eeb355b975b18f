// The model simulator as a child of a bench.
import { join } from 'node:path'
import type { Bench } from './bench.ts'
import { type Child, startChild } from './child.ts'
import { startTerminator, type TlsFront } from './terminator.ts'

type ModelOptions = { toolEveryMs?: number; witness?: boolean; tls?: boolean }

export type Model = Child & { url: string; witnessFile: string | undefined; tls: TlsFront | undefined }

let started = 0

/** Starts a model simulator; it is ended with the bench. `witness` also turns its probes on; `tls` puts a TLS terminator before it, beside its plain address. */
export async function startModel(bench: Bench, options: ModelOptions = {}): Promise<Model> {
  const witnessFile = options.witness === true ? join(bench.folder, `model-${++started}.jsonl`) : undefined
  const command = {
    name: 'model simulator',
    file: process.execPath,
    args: [
      new URL('../../sim/openai/main.ts', import.meta.url).pathname,
      ...['--port', '0'],
      ...(witnessFile === undefined ? [] : ['--witness', witnessFile, '--probes']),
      ...(options.toolEveryMs === undefined ? [] : ['--tool-every-ms', String(options.toolEveryMs)]),
    ],
  }
  const child = await startChild(command, bench)
  const tls = options.tls === true ? await startTerminator(bench, child.port) : undefined
  return { ...child, tls, url: `ws://127.0.0.1:${child.port}/v1/realtime`, witnessFile }
}
