// One table of docs/figures.md, made from the output of a bench or a chaos run: `npm run figures -- <file>`. Rules:
// FG1: the figures are those of the file's last JSON line; none is computed, rounded or left out here.
// FG2: a check that failed says so in its row, and a run that broke has no table.
// FG3: the head of the table says which command it was, when, and on which machine.
import './node-version.mjs'
import { readFileSync } from 'node:fs'
import { readCommandLine } from './command-line.ts'

const USAGE = `npm run figures -- <file>

Prints the output of a bench or a chaos run as a table for docs/figures.md:

  npm run -s bench -- latency > latency.json
  npm run -s figures -- latency.json

<file> holds what the run printed on standard output. Its last line is the JSON of the run.

  --help  this text`

/** What a bench (`bench`) or a chaos run (`run`) prints last. */
type Line = {
  bench?: string
  run?: string
  startedAt?: string
  error?: string
  machine: { cpu: string; cores: number; memoryMb: number; node: string; platform: string }
  samples?: Record<string, unknown>
  checks?: readonly { name: string; value: number | string | null; limit: string; pass: boolean }[]
}

const cell = (value: unknown): string =>
  (typeof value === 'object' ? JSON.stringify(value) : String(value)).replaceAll('|', '\\|')

/** [FG1] [FG2] The table of a run. Throws when `output` has no JSON line of a run, or the run broke. */
export function figuresTable(output: string): string {
  const last = output.trim().split('\n').at(-1) ?? ''
  let line: Line
  try {
    line = JSON.parse(last) as Line
  } catch {
    throw new Error(`the last line is no JSON: ${last.slice(0, 80)}`)
  }
  const { bench, run, startedAt, error, machine, samples = {}, checks } = line
  if (error !== undefined) throw new Error(`the run broke: ${error}`)
  if (checks === undefined || machine === undefined || (bench ?? run) === undefined)
    throw new Error('the last line is not that of a bench or a chaos run')
  const { cpu, cores, memoryMb, node, platform } = machine
  const command = bench === undefined ? `npm run chaos -- ${run}` : `npm run bench -- ${bench}`
  const counts = Object.entries(samples).map(([name, count]) => `${name} ${cell(count)}`)
  const head = [
    `\`${command}\`${startedAt === undefined ? '' : `, ${startedAt}`}; ${cpu}, ${cores} cores, ${memoryMb} MB, ${platform}, Node ${node}.`,
    ...(counts.length === 0 ? [] : [`Samples: ${counts.join(', ')}.`]),
  ].join(' ')
  const rows = checks.map(({ name, value, limit, pass }) => {
    const measured = `${value === null ? 'no figure' : cell(value)}${pass ? '' : ': **not reached**'}`
    return `| ${cell(name)} | ${cell(limit)} | ${measured} |`
  })
  return [head, '', '| figure | wanted | measured |', '| --- | --- | --- |', ...rows].join('\n')
}

if (import.meta.main) {
  const { words } = readCommandLine(USAGE, {}, { takesWords: true })
  const [file, ...more] = words
  if (file === undefined || more.length > 0) {
    console.error('name one file; see --help')
    process.exit(2)
  }
  let output: string
  try {
    output = readFileSync(file, 'utf8')
  } catch (error) {
    console.error(`cannot be read: ${(error as Error).message}`)
    process.exit(2)
  }
  try {
    console.log(figuresTable(output))
  } catch (error) {
    console.error(`${file}: ${(error as Error).message}`)
    process.exit(1)
  }
}
