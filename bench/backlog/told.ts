// What a drain was, from the logs of the systems beside the workers. Rules:
// TD1: a call counts once, at the first time that the receiver was told of it; what came twice, or not whole, is counted by itself.
import { readFile } from 'node:fs/promises'
import type { AnswererLine } from '../peers/answerer.ts'

export type Drain = {
  perSecond: number
  tookS: number
  /** Until half of the calls, and 95 of 100, were told. */
  p50S: number
  p95S: number
  missing: number
  twice: number
  unwhole: number
  modelRequests: number
}
/** The lines of a log that is still being written; none when it is not there yet. */
export async function linesOf(file: string): Promise<AnswererLine[]> {
  const text = await readFile(file, 'utf8').catch(() => '')
  // The last line may be half there.
  return text
    .slice(0, text.lastIndexOf('\n') + 1)
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as AnswererLine)
}

/** [TD1] Pure: how fast the calls of `good` were told, from the first request that the model saw. */
export function judge(good: readonly string[], asked: readonly AnswererLine[], told: readonly AnswererLine[]): Drain {
  const wanted = new Set(good)
  const first = new Map<string, number>()
  let twice = 0
  let unwhole = 0
  for (const { reference, atMs, isWhole } of told) {
    if (!wanted.has(reference)) continue
    if (!isWhole) unwhole += 1
    if (first.has(reference)) twice += 1
    else first.set(reference, atMs)
  }
  const beganMs = Math.min(...asked.map(({ atMs }) => atMs))
  const times = [...first.values()].map((atMs) => (atMs - beganMs) / 1_000).sort((a, b) => a - b)
  const at = (share: number) => times[Math.min(times.length - 1, Math.floor(times.length * share))] ?? Number.NaN
  const tookS = times.at(-1) ?? Number.NaN
  return {
    perSecond: times.length / tookS,
    tookS,
    p50S: at(0.5),
    p95S: at(0.95),
    missing: good.length - first.size,
    twice,
    unwhole: unwhole + asked.filter(({ isWhole }) => !isWhole).length,
    modelRequests: asked.length,
  }
}
