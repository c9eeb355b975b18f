// The benches: `npm run bench -- <name>`. Progress on standard error; one JSON line last on standard output. Rules:
// BM1: the exit code is 0 only when every check of the bench passed; 2 for wrong arguments.
// BM2: an interrupted or broken bench ends what it started and says what broke.
import { Arguments } from '../sim/command-line.ts'
import { admission } from './cases/admission.ts'
import { afterCall } from './cases/after-call.ts'
import { checkpoints } from './cases/checkpoints.ts'
import { density } from './cases/density.ts'
import { latency } from './cases/latency.ts'
import { leak } from './cases/leak.ts'
import { long } from './cases/long.ts'
import { records } from './cases/records.ts'
import { saturate } from './cases/saturate.ts'
import { thousand } from './cases/thousand.ts'
import { Bench, type BenchCase, type BenchOptions } from './runner/bench.ts'
import { CONTENDER_NAMES } from './runner/contenders.ts'
import { onInterrupt } from './runner/interrupt.ts'
import { describeMachine } from './runner/machine.ts'

const CASES: Record<string, BenchCase> = {
  density,
  latency,
  thousand,
  leak,
  long,
  admission,
  records,
  checkpoints,
  saturate,
  'after-call': afterCall,
}

const HELP = `Usage: npm run bench -- <name> [--calls N] [--seconds N] [--rounds N] [--pods N] [--only a,b] [--bounds]

${Object.entries(CASES)
  .map(([name, { text }]) => `  ${name.padEnd(11)} ${text}`)
  .join('\n')}

  --only     measure these only: ${CONTENDER_NAMES.join(', ')};
             a requirement on one that is left out fails. Other benches than density measure the first of them
             instead of the plane
  --calls    of saturate: the calls under which the pod learns what it carries
  --bounds   density only: the contenders and the requirements of decision 014, about a third of the time

Figures come from the simulators' logs and from /proc. Exit code 0 when the bench's figures stand.
`

type Asked =
  | { kind: 'run'; name: string; options: BenchOptions }
  | { kind: 'help' }
  | { kind: 'wrong'; problems: string[] }

const FLAGS = {
  calls: { type: 'string' },
  seconds: { type: 'string' },
  rounds: { type: 'string' },
  pods: { type: 'string' },
  only: { type: 'string' },
  bounds: { type: 'boolean' },
} as const

function readArguments(args: string[]): Asked {
  const given = new Arguments(args, FLAGS, { takesWords: true })
  if (given.wantsHelp || args.length === 0) return { kind: 'help' }
  const { problems, words } = given
  const whole = (name: keyof typeof FLAGS) => given.whole(name, 1, 999_999)
  const [name = ''] = words
  if (!(name in CASES)) problems.push(`"${name}" is not a bench: use one of ${Object.keys(CASES).join(', ')}`)
  if (words.length > 1) problems.push('name one bench at a time')
  const only = given.text('only')?.split(',')
  for (const one of only ?? []) {
    if ((CONTENDER_NAMES as readonly string[]).includes(one)) continue
    problems.push(`--only "${one}" is unknown: use ${CONTENDER_NAMES.join(', ')}`)
  }
  if (given.isSet('bounds') && (name !== 'density' || only !== undefined))
    problems.push('--bounds is for density, and takes no --only')
  const options = {
    calls: whole('calls'),
    seconds: whole('seconds'),
    rounds: whole('rounds'),
    pods: whole('pods'),
    only,
    isBounds: given.isSet('bounds'),
  }
  return problems.length > 0 ? { kind: 'wrong', problems } : { kind: 'run', name, options }
}

async function main(): Promise<number> {
  const asked = readArguments(process.argv.slice(2))
  if (asked.kind === 'help') {
    process.stdout.write(HELP)
    return 0
  }
  if (asked.kind === 'wrong') {
    process.stderr.write(`${asked.problems.map((problem) => `bench: ${problem}`).join('\n')}\n`)
    return 2
  }
  const bench = await Bench.open(asked.name, asked.options)
  const interrupted = new Promise<never>((_, reject) => {
    onInterrupt((signal) => reject(new Error(`interrupted by ${signal}`)))
  })
  const startedAt = new Date().toISOString()
  try {
    const result = await Promise.race([CASES[asked.name]!.run(bench), interrupted])
    const pass = result.checks.every((check) => check.pass)
    for (const check of result.checks)
      bench.note(`${check.pass ? 'pass' : 'FAIL'}  ${check.name}: ${check.value ?? 'no figure'} (${check.limit})`)
    print({ bench: asked.name, startedAt, machine: describeMachine(), ...result, pass })
    return pass ? 0 : 1
  } catch (error) {
    bench.note(`broken: ${(error as Error).message}`)
    print({ bench: asked.name, startedAt, machine: describeMachine(), error: (error as Error).message, pass: false })
    return 1
  } finally {
    await bench.close()
  }
}

function print(line: Record<string, unknown>): void {
  process.stdout.write(`${JSON.stringify(line)}\n`)
}

process.exit(await main())
