// A copy of the program with one breakage, and what a run says of it. Rules:
// MU1: the tree that is worked on is never touched: the copy is a temporary folder, its node_modules are those of the original.
// MU2: a breakage is a text that stands exactly once in its file, and what takes its place; a text that is not there any more is an error,
//      so that a mutant cannot silently become the program itself.
// MU3: a mutant is caught when its run goes red and the same run is green without it. A run that is red on its own proves nothing.
// MU4: a run that does not end within its bound (JR2) is `hung`, which is not caught: a run that fails must say what failed.
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type JudgingRun, runJudge } from './judging-run.ts'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const PARTS = ['src', 'sim', 'load', 'bench', 'tools', 'test', 'chaos', 'package.json', 'tsconfig.json']
/** The bound of a judge that names none: a test file. */
const RUN_MS_MAX = 90_000

export type Mutant = {
  name: string
  file: string
  find: string
  replace: string
  /** Arguments of node. */
  run: readonly string[]
  /** Its bound (RUN_MS_MAX). */
  maxMs?: number
}

type Sentence = {
  name: string
  run: string
  verdict: 'caught' | 'survived' | 'hung' | 'no proof'
  text: string
  ms: number
}

/** Judges mutants one after the other; `note` is told what goes on. */
export async function judgeMutants(mutants: readonly Mutant[], note: (text: string) => void): Promise<Sentence[]> {
  const folder = await mkdtemp(join(tmpdir(), 'voiceplane-mutants-'))
  try {
    for (const part of PARTS) await cp(join(ROOT, part), join(folder, part), { recursive: true })
    await symlink(join(ROOT, 'node_modules'), join(folder, 'node_modules'))
    const sound = new Map<string, JudgingRun>()
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

async function judge(mutant: Mutant, folder: string, sound: Map<string, JudgingRun>): Promise<Sentence> {
  const run = mutant.run.filter((word) => !word.startsWith('--')).join(' ')
  const before = sound.get(run) ?? (await runIn(folder, mutant))
  sound.set(run, before)
  if (before.kind !== 'green') {
    const text = `the run is ${before.kind} without it: ${failuresOf(before.lines)}`
    return { name: mutant.name, run, verdict: 'no proof', text, ms: Math.round(before.ms) }
  }
  const path = join(folder, mutant.file)
  const text = await readFile(path, 'utf8')
  await writeFile(path, mutate(text, mutant))
  try {
    const { kind, lines, ms } = await runIn(folder, mutant)
    const verdict = kind === 'red' ? 'caught' : kind === 'green' ? 'survived' : 'hung'
    return { name: mutant.name, run, verdict, text: failuresOf(lines), ms: Math.round(ms) }
  } finally {
    await writeFile(path, text)
  }
}

/** [MU2] The text with the breakage. Throws when its place is not there, or there more than once. */
export function mutate(text: string, { name, file, find, replace }: Omit<Mutant, 'run' | 'maxMs'>): string {
  const places = text.split(find).length - 1
  if (places !== 1)
    throw new Error(`mutant ${name}: its text stands ${places} times in ${file}: mend chaos/cases/mutants.ts`)
  return text.replace(find, () => replace)
}

function runIn(folder: string, { run, maxMs = RUN_MS_MAX }: Mutant): Promise<JudgingRun> {
  return runJudge(run, { cwd: folder, maxMs, logFile: join(folder, 'judge.log') })
}

/** What failed: lines of failed checks of a run, or of failed tests. */
export function failuresOf(lines: readonly string[]): string {
  const failed = lines.filter((line) => /FAILS|✖|^not ok|broke:/.test(line) && !line.includes('failing tests'))
  const texts = failed.map((line) => line.trim().replace(/\s*\([\d.]+ms\)$/, ''))
  return [...new Set(texts)].slice(0, 4).join(' · ') || 'nothing failed'
}
