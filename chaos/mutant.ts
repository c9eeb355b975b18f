// A copy of the program with one breakage, and what a run says of it. Rules:
// MU1: the tree that is worked on is never touched: the copy is a temporary folder, its node_modules are those of the original.
// MU2: a breakage is a text that stands exactly once in its file, and what takes its place; a text that is not there any more is an error,
//      so that a mutant cannot silently become the program itself.
// MU3: a mutant is caught when its run goes red and the same run is green without it. A run that is red on its own proves nothing.
// MU4: a run that does not end within its bound counts as neither.
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { runChild } from '../tools/child.ts'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const PARTS = ['src', 'sim', 'load', 'bench', 'tools', 'test', 'chaos', 'package.json', 'tsconfig.json']
const RUN_MS_MAX = 400_000

export type Mutant = {
  name: string
  file: string
  find: string
  replace: string
  /** Arguments of node. */
  run: readonly string[]
}

export type Sentence = {
  name: string
  run: string
  verdict: 'caught' | 'survived' | 'no proof'
  text: string
  ms: number
}

type Run = { kind: 'green' | 'red' | 'unfinished'; lines: string[]; ms: number }

/** Judges mutants one after the other; `note` is told what goes on. */
export async function judgeMutants(mutants: readonly Mutant[], note: (text: string) => void): Promise<Sentence[]> {
  const folder = await mkdtemp(join(tmpdir(), 'voiceplane-mutants-'))
  try {
    for (const part of PARTS) await cp(join(ROOT, part), join(folder, part), { recursive: true })
    await symlink(join(ROOT, 'node_modules'), join(folder, 'node_modules'))
    const sound = new Map<string, Run>()
    const sentences: Sentence[] = []
    for (const mutant of mutants) {
      const sentence = await judge(mutant, folder, sound)
      note(`${sentence.name}: ${sentence.verdict} by ${sentence.run}; ${sentence.text}`)
      sentences.push(sentence)
    }
    return sentences
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function judge(mutant: Mutant, folder: string, sound: Map<string, Run>): Promise<Sentence> {
  const run = mutant.run.filter((word) => !word.startsWith('--')).join(' ')
  const before = sound.get(run) ?? (await runIn(folder, mutant.run))
  sound.set(run, before)
  if (before.kind !== 'green') {
    return { name: mutant.name, run, verdict: 'no proof', text: `the run is ${before.kind} without it`, ms: before.ms }
  }
  const path = join(folder, mutant.file)
  const text = await readFile(path, 'utf8')
  await writeFile(path, mutate(text, mutant))
  try {
    const { kind, lines, ms } = await runIn(folder, mutant.run)
    const verdict = kind === 'red' ? 'caught' : kind === 'green' ? 'survived' : 'no proof'
    return { name: mutant.name, run, verdict, text: failuresOf(lines), ms: Math.round(ms) }
  } finally {
    await writeFile(path, text)
  }
}

/** [MU2] The text with the breakage. Throws when its place is not there, or there more than once. */
export function mutate(text: string, { name, file, find, replace }: Omit<Mutant, 'run'>): string {
  const places = text.split(find).length - 1
  if (places !== 1)
    throw new Error(`mutant ${name}: its text stands ${places} times in ${file}: mend chaos/cases/mutants.ts`)
  return text.replace(find, () => replace)
}

async function runIn(folder: string, args: readonly string[]): Promise<Run> {
  const { end, lines, ms } = await runChild(process.execPath, args, { cwd: folder, maxMs: RUN_MS_MAX, output: 'keep' })
  const kind = end.kind === 'exited' ? (end.code === 0 ? 'green' : 'red') : 'unfinished'
  return { kind, lines, ms }
}

/** What failed: lines of failed checks of a run, or of failed tests. */
export function failuresOf(lines: readonly string[]): string {
  const failed = lines.filter((line) => /FAILS|✖|^not ok|broke:/.test(line) && !line.includes('failing tests'))
  const texts = failed.map((line) => line.trim().replace(/\s*\([\d.]+ms\)$/, ''))
  return [...new Set(texts)].slice(0, 4).join(' · ') || 'nothing failed'
}
