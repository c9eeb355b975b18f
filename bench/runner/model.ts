// The model simulator as a child of a bench.
import { join } from 'node:path'
import type { Bench } from './bench.ts'
import { type Child, startChild } from './child.ts'

export type ModelOptions = { toolEveryMs?: number; witness?: boolean }

export type Model = Child & { url: string; witnessFile: string | undefined }

let started = 0

/** Starts a model simulator; it is ended with the bench. `witness` also turns its probes on. */
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
  return { ...child, url: `ws://127.0.0.1:${child.port}/v1/realtime`, witnessFile }
}
